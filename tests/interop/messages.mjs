// The messages of docs/protocol.md: its tables, and bytes to messages and back by them.
//
// A message is `{type: "Ack", fields: {number: 3}}`. Bytes are Buffers; integers as in msgpack.mjs.

import { Broken, Text, pack, unpack } from "./msgpack.mjs";

/** A body that is no message, and the code of the goodbye that answers it. */
export class Malformed extends Error {
  constructor(code, why) {
    super(why);
    this.code = code;
  }
}

/** A Greeting or Hello of a version that is not ours. */
export class OtherVersion extends Malformed {
  constructor(version) {
    super(1002, `version ${version} is not spoken here, version ${VERSION} is`);
  }
}

export const VERSION = 1;
const LARGEST = 2n ** 63n - 1n;

function wrong(why) {
  throw new Malformed(1002, why);
}

// What may stand in a field. Each type takes a value as msgpack.mjs has read it, and returns what
// the message has; and takes what the message has, and returns what msgpack.mjs writes.

function integer(least, most) {
  return {
    read(value) {
      if (typeof value !== "number" && typeof value !== "bigint") wrong("no integer");
      if (value < least || value > most) wrong(`${value} is out of bounds`);
      return value;
    },
    write: (value) => value,
  };
}

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function text(most = Infinity) {
  return {
    read(value) {
      if (!(value instanceof Text)) wrong("no text");
      let decoded;
      try {
        decoded = UTF8.decode(value.bytes);
      } catch {
        throw new Malformed(1007, "text that is not UTF-8");
      }
      if (most !== Infinity && [...decoded].length > most) wrong("a text that is too long");
      return decoded;
    },
    write: (value) => value,
  };
}

function bytes(least, most) {
  return {
    read(value) {
      if (!Buffer.isBuffer(value)) wrong("no bytes");
      if (value.length < least || value.length > most) wrong(`${value.length} bytes`);
      return value;
    },
    write: (value) => value,
  };
}

function list(item, most) {
  return {
    read(value) {
      if (!Array.isArray(value) || value.length > most) wrong("no such array");
      return value.map(item.read);
    },
    write: (value) => value.map(item.write),
  };
}

const count = integer(0n, LARGEST);
const number = integer(1n, LARGEST);
const code = integer(1000n, 4999n);

const place = {
  read(value) {
    if (!Array.isArray(value) || value.length !== 2) wrong("no place");
    return value.map(count.read);
  },
  write: (value) => value,
};

const maxSize = integer(4096n, 2n ** 32n - 1n);
const limits = {
  read(value) {
    if (!Array.isArray(value)) wrong("no limits");
    return { max_size: value.length ? maxSize.read(value[0]) : 1048576 };
  },
  write: (value) => [value.max_size],
};

const NONE = Buffer.alloc(0);
const USUAL = { max_size: 1048576 };

function post(body) {
  return [
    ["number", number],
    ["body", body],
    ["at", count, 0],
    ["sender", text(64), ""],
    ["to", text(64), ""],
    ["own", count, 0],
    ["key", bytes(0, 32), NONE],
  ];
}

/** By type: the kind, and the fields: name, type, default (none: the field must be there). */
const TABLE = {
  Greeting: [1, [
    ["version", count],
    ["nonce", bytes(16, 64)],
    ["server", text(64), ""],
    ["limits", limits, USUAL],
  ]],
  Hello: [2, [
    ["version", count],
    ["lane", bytes(16, 16)],
    ["nick", text(64), ""],
    ["room", text(64), ""],
    ["session", bytes(0, 16), NONE],
    ["after", place, [0, 0]],
    ["history", count, 0],
    ["limits", limits, USUAL],
    ["key", bytes(0, 32), NONE],
    ["signature", bytes(0, 64), NONE],
    ["invite", text(1024), ""],
  ]],
  Welcome: [3, [
    ["session", bytes(16, 16)],
    ["mark", count, 0],
    ["nick", text(64), ""],
    ["room", text(64), ""],
    ["floor", count, 0],
    ["head", count, 0],
    ["after", place, [0, 0]],
    ["next_key", bytes(0, 32), NONE],
  ]],
  Refused: [4, [["code", code], ["reason", text(500), ""]]],
  TextPost: [5, post(text())],
  DataPost: [6, post(bytes(0, Infinity))],
  Ack: [7, [["number", count]]],
  Reject: [8, [["number", number], ["code", code], ["reason", text(500), ""]]],
  Ping: [9, [["number", count]]],
  Pong: [10, [["number", count]]],
  Event: [11, [
    ["kind", text(32)],
    ["nick", text(64), ""],
    ["address", text(64), ""],
    ["key", bytes(0, 32), NONE],
    ["text", text(300), ""],
  ]],
  Bye: [12, [["code", code], ["reason", text(500), ""]]],
  Present: [13, [["nicks", list(text(64), 256), []], ["keys", list(bytes(0, 32), 256), []]]],
  Command: [14, [["id", count], ["name", text(32)], ["argument", text(1000), ""]]],
  Answer: [15, [["id", count], ["code", code], ["text", text(4000), ""]]],
};

const BY_KIND = new Map(Object.entries(TABLE).map(([type, [kind]]) => [kind, type]));

/** Read a body; null is a message to skip. Throws `Malformed`. */
export function decode(body) {
  let items;
  try {
    items = unpack(body);
  } catch (error) {
    if (!(error instanceof Broken)) throw error;
    wrong(error.message);
  }
  if (!Array.isArray(items) || !items.length) wrong("no array with a kind");
  const kind = items[0];
  if (typeof kind !== "number" && typeof kind !== "bigint") wrong("a kind that is no integer");
  const type = BY_KIND.get(kind);
  if (type === undefined) return null;
  if (kind <= 2 && items.length > 1 && count.read(items[1]) !== VERSION) {
    throw new OtherVersion(items[1]);
  }
  const fields = {};
  TABLE[type][1].forEach(([name, field, otherwise], i) => {
    if (i + 1 < items.length) fields[name] = field.read(items[i + 1]);
    else if (otherwise !== undefined) fields[name] = otherwise;
    else wrong(`${type} without ${name}`);
  });
  return { type, fields };
}

/** All the fields of a message: those that are given, and the defaults of the others. */
export function complete(type, given) {
  const fields = {};
  for (const [name, , otherwise] of TABLE[type][1]) {
    fields[name] = name in given ? given[name] : otherwise;
    if (fields[name] === undefined) throw new TypeError(`${type} without ${name}`);
  }
  for (const name in given) if (!(name in fields)) throw new TypeError(`${type} has no ${name}`);
  return fields;
}

/** Put the length in front of a body. */
export function frameOf(body) {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(body.length);
  return Buffer.concat([length, body]);
}

/** Write a message as a frame, with all its items, and `more` behind them. */
export function encode(type, given, more = []) {
  const [kind, table] = TABLE[type];
  const fields = complete(type, given);
  const items = table.map(([name, field]) => field.write(fields[name]));
  return frameOf(pack([kind, ...items, ...more]));
}
