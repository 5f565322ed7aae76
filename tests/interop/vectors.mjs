// Checks this peer against docs/vectors, whose bytes need no server: node vectors.mjs DIRECTORY.
// Prints a line of JSON for each vector, {file, name, error}; error is null if all is well.

import { readFileSync } from "node:fs";
import path from "node:path";
import { X509Certificate } from "node:crypto";
import { Client } from "./client.mjs";
import { Frames, TooLong } from "./frames.mjs";
import { parse, same } from "./data.mjs";
import { Device, fingerprint, spkiOf, whatIsSigned } from "./keys.mjs";
import { NoInvite, Refused, checkToken, parseInvite } from "./invites.mjs";
import { Malformed, complete, decode, encode } from "./messages.mjs";

const directory = process.argv[2];
const load = (name) => parse(readFileSync(path.join(directory, name), "utf8"));
const hex = (value) => Buffer.from(value, "hex");

/** `{hex}` to bytes, at any depth. */
function valued(value) {
  if (Array.isArray(value)) return value.map(valued);
  if (value === null || typeof value !== "object" || Buffer.isBuffer(value)) return value;
  if ("hex" in value) return hex(value.hex);
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, valued(item)]));
}

function mustBe(found, expected, what) {
  if (!same(found, expected)) {
    throw new Error(`${what}: found ${show(found)}, not ${show(expected)}`);
  }
}

function show(value) {
  return JSON.stringify(value, (_, item) => (typeof item === "bigint" ? String(item) : item));
}

function bodyOf(frame, limit = 2 ** 32) {
  const frames = new Frames();
  frames.limit = limit;
  frames.feed(hex(frame));
  const body = frames.next();
  if (body === null || frames.next() !== null) throw new Error("not one frame");
  return body;
}

function checkMessage({ frame, type, fields }) {
  const wanted = { type, fields: complete(type, valued(fields)) };
  mustBe(decode(bodyOf(frame)), wanted, "decoded");
  mustBe(encode(type, wanted.fields).toString("hex"), frame, "encoded");
}

function checkAccepted({ frame, type, fields }) {
  const wanted = type && { type, fields: complete(type, valued(fields)) };
  mustBe(decode(bodyOf(frame)), wanted, "decoded");
}

function checkMalformed({ frame, code }) {
  mustBe(mustThrow(() => decode(bodyOf(frame)), Malformed).code, code, "code");
}

/** A server's half of a greeting, as far as these vectors go: the Hello is not answered. */
function codeOfServer(stream) {
  const frames = new Frames();
  frames.feed(stream);
  let state = "GREETED";
  try {
    for (let body; state !== "FAILED" && (body = frames.next()) !== null;) {
      const message = decode(body);
      if (message === null) continue;
      if (message.type === "Bye") state = "FAILED";
      else if (message.type === "Hello" && state === "GREETED") state = "ASKED";
      else return 1002;
    }
  } catch (error) {
    if (error instanceof Malformed || error instanceof TooLong) return error.code;
    throw error;
  }
  return null;
}

function checkStream({ listener, stream, code, posts }) {
  const all = hex(stream);
  if (listener === "server") {
    mustBe(codeOfServer(all), code, "code");
    return;
  }
  for (const size of [1, 7, all.length]) {
    const client = new Client({ nick: "ada" });
    client.begin("");
    for (let at = 0; at < all.length; at += size) client.hear(all.subarray(at, at + size));
    mustBe(client.complaint, code, `code, in pieces of ${size}`);
    const taken = client.takeNews().filter(({ type }) => type === "post");
    mustBe(taken.map(({ number }) => number), posts, `posts, in pieces of ${size}`);
  }
}

function checkPin({ certificate, spki, pin }) {
  mustBe(spkiOf(new X509Certificate(hex(certificate))).toString("hex"), spki, "spki");
  mustBe(fingerprint(hex(spki)), pin, "pin");
}

function checkProof(vector) {
  const device = new Device(hex(vector.private));
  const [lane, nonce] = [hex(vector.lane), hex(vector.nonce)];
  mustBe(device.public.toString("hex"), vector.public, "public key");
  mustBe(device.fingerprint, vector.fingerprint, "fingerprint");
  mustBe(whatIsSigned(vector.pin, lane, nonce).toString("hex"), vector.signed, "what is signed");
  mustBe(device.prove(vector.pin, lane, nonce).toString("hex"), vector.signature, "signature");
}

function checkInvite({ url, invite, certificate, now, grant, refused }) {
  if (refused === "url") {
    mustThrow(() => parseInvite(url), NoInvite);
    return;
  }
  const { host, port, pin, room, token, others = [] } = invite;
  const further = others.map(([name, at, key]) => ({ host: name, port: at, pin: key }));
  const wanted = { servers: [{ host, port, pin }, ...further], room, token };
  mustBe(parseInvite(url), wanted, "the invite");
  const check = () => checkToken(hex(certificate), token, now);
  if (refused) mustBe(mustThrow(check, Refused).message, refused, "refused");
  else mustBe(check(), valued(grant), "the grant");
}

function mustThrow(action, kind) {
  try {
    action();
  } catch (error) {
    if (error instanceof kind) return error;
    throw error;
  }
  throw new Error("nothing is wrong with it");
}

/** Play the client of a conversation: what it says must be what is written there. */
function checkConversation(links) {
  let client = null;
  for (const steps of links) {
    const hello = valued(steps[1].fields);
    client ??= new Client(hello);
    Object.assign(client, { nick: hello.nick, room: hello.room, history: hello.history });
    client.begin("");
    let [heard, said] = [Buffer.alloc(0), Buffer.alloc(0)];
    for (const { from, frame, type, fields, note, lost } of steps) {
      if (from === "server") {
        if (!lost) heard = Buffer.concat([heard, hex(frame)]);
        continue;
      }
      // One Ack for all that has come in.
      client.hear(heard);
      heard = Buffer.alloc(0);
      said = Buffer.concat([said, client.take()]);
      if (!said.length) {
        act(client, type, valued(fields));
        said = client.take();
      }
      const expected = hex(frame);
      mustBe(said.subarray(0, expected.length).toString("hex"), frame, note);
      said = said.subarray(expected.length);
    }
    client.hear(heard);
    mustBe(Buffer.concat([said, client.take()]).toString("hex"), "", "what is said besides");
  }
  mustBe(client.finished, true, "finished");
}

/** Let the user do what the client does not by itself. */
function act(client, type, fields) {
  switch (type) {
    case "TextPost": case "DataPost": client.post(fields.body, fields); break;
    case "Event": client.event(fields.kind, fields); break;
    case "Ping": client.askWhetherThere(); break;
    case "Bye": client.close(fields.code, fields.reason); break;
    default: throw new Error(`a client says no ${type} by itself here`);
  }
}

const CHECKS = {
  "messages.json": checkMessage,
  "accepted.json": checkAccepted,
  "malformed.json": checkMalformed,
  "streams.json": checkStream,
  "pins.json": checkPin,
  "proofs.json": checkProof,
  "invites.json": checkInvite,
};
const CONVERSATIONS = ["conversation.json", "resume.json", "restart.json", "room.json"];

function report(file, name, check) {
  let error = null;
  try {
    check();
  } catch (found) {
    error = found.stack;
  }
  console.log(JSON.stringify({ file, name, error }));
}

for (const [file, check] of Object.entries(CHECKS)) {
  for (const vector of load(file).vectors) report(file, vector.name, () => check(vector));
}
for (const file of CONVERSATIONS) {
  report(file, "the client", () => checkConversation(load(file).links));
}
