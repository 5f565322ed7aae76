// msgpack as far as docs/protocol.md needs it: everything can be read, and what messages are made
// of can be written, in its shortest form.
//
// Texts are read as `Text`, bytes that nobody has looked at yet: in what is skipped they need not
// be UTF-8. Integers are numbers where these are exact, else BigInts. It knows no messages.

/** What is no msgpack, or not one whole value. */
export class Broken extends Error {}

/** A text as it came. */
export class Text {
  constructor(bytes) {
    this.bytes = bytes;
  }
}

/** A value that stands nowhere in a message: nil, a boolean, a float, a map, an extension. */
export class Foreign {
  constructor(what) {
    this.what = what;
  }
}

/** As deep as items may stand within items. */
const DEEPEST = 32;

/** Make a number of a BigInt, if that is exact. */
export function exact(value) {
  const small = BigInt.asIntN(54, value) === value && Number.isSafeInteger(Number(value));
  return small ? Number(value) : value;
}

class Reader {
  constructor(bytes) {
    this.bytes = bytes;
    this.at = 0;
  }

  take(size) {
    if (size > this.bytes.length - this.at) throw new Broken("cut short");
    const taken = this.bytes.subarray(this.at, this.at + size);
    this.at += size;
    return taken;
  }

  unsigned(size) {
    const taken = this.take(size);
    return size === 8 ? exact(taken.readBigUInt64BE()) : taken.readUIntBE(0, size);
  }

  signed(size) {
    const taken = this.take(size);
    return size === 8 ? exact(taken.readBigInt64BE()) : taken.readIntBE(0, size);
  }

  array(size, depth) {
    if (depth > DEEPEST) throw new Broken("too deep");
    const items = [];
    // Each item has a byte at least: no room is made for what only a length claims.
    for (let i = 0; i < size; i++) items.push(this.value(depth + 1));
    return items;
  }

  map(size, depth) {
    this.array(size * 2, depth);
    return new Foreign("a map");
  }

  extension(size) {
    this.take(1 + size);
    return new Foreign("an extension");
  }

  value(depth) {
    const mark = this.take(1)[0];
    if (mark < 0x80) return mark;
    if (mark < 0x90) return this.map(mark & 0x0f, depth);
    if (mark < 0xa0) return this.array(mark & 0x0f, depth);
    if (mark < 0xc0) return new Text(this.take(mark & 0x1f));
    if (mark >= 0xe0) return mark - 0x100;
    switch (mark) {
      case 0xc0: return new Foreign("nil");
      case 0xc2: case 0xc3: return new Foreign("a boolean");
      case 0xc4: case 0xc5: case 0xc6: return this.take(this.unsigned(1 << (mark - 0xc4)));
      case 0xc7: case 0xc8: case 0xc9: return this.extension(this.unsigned(1 << (mark - 0xc7)));
      case 0xca: case 0xcb: this.take(4 << (mark - 0xca)); return new Foreign("a float");
      case 0xcc: case 0xcd: case 0xce: case 0xcf: return this.unsigned(1 << (mark - 0xcc));
      case 0xd0: case 0xd1: case 0xd2: case 0xd3: return this.signed(1 << (mark - 0xd0));
      case 0xd4: case 0xd5: case 0xd6: case 0xd7: case 0xd8:
        return this.extension(1 << (mark - 0xd4));
      case 0xd9: case 0xda: case 0xdb:
        return new Text(this.take(this.unsigned(1 << (mark - 0xd9))));
      case 0xdc: case 0xdd: return this.array(this.unsigned(2 << (mark - 0xdc)), depth);
      case 0xde: case 0xdf: return this.map(this.unsigned(2 << (mark - 0xde)), depth);
      default: throw new Broken("a byte that msgpack does not use");
    }
  }
}

/** Read one value that fills all the bytes, or throw `Broken`. */
export function unpack(bytes) {
  const reader = new Reader(Buffer.from(bytes));
  const value = reader.value(0);
  if (reader.at !== bytes.length) throw new Broken("bytes behind the value");
  return value;
}

function head(size, marks) {
  for (const [mark, width] of marks) {
    if (size < 2 ** (8 * width)) {
      const bytes = Buffer.alloc(1 + width);
      bytes[0] = mark;
      bytes.writeUIntBE(size, 1, width);
      return bytes;
    }
  }
  throw new RangeError(`too long: ${size}`);
}

function packInteger(value) {
  if (value >= 0 && value < 0x80) return Buffer.from([Number(value)]);
  if (value < 0 && value >= -32) return Buffer.from([0x100 + Number(value)]);
  if (value < 0) {
    const bytes = Buffer.alloc(9);
    bytes[0] = 0xd3;
    bytes.writeBigInt64BE(BigInt(value), 1);
    return bytes;
  }
  if (value < 2 ** 32) return head(Number(value), [[0xcc, 1], [0xcd, 2], [0xce, 4]]);
  const bytes = Buffer.alloc(9);
  bytes[0] = 0xcf;
  bytes.writeBigUInt64BE(BigInt(value), 1);
  return bytes;
}

function packFloat(value) {
  const bytes = Buffer.alloc(9);
  bytes[0] = 0xcb;
  bytes.writeDoubleBE(value, 1);
  return bytes;
}

function packText(value) {
  if (/\p{Surrogate}/u.test(value)) throw new TypeError("half a surrogate pair is no text");
  const bytes = Buffer.from(value, "utf8");
  const size = bytes.length;
  const short = size < 32;
  const mark = short ? Buffer.from([0xa0 | size]) : head(size, [[0xd9, 1], [0xda, 2], [0xdb, 4]]);
  return Buffer.concat([mark, bytes]);
}

/** Write a number, a string, bytes, nil (null), a boolean, or an array or Map of these. */
export function pack(value) {
  if (value === null) return Buffer.from([0xc0]);
  switch (typeof value) {
    case "boolean": return Buffer.from([value ? 0xc3 : 0xc2]);
    case "bigint": return packInteger(value);
    case "string": return packText(value);
    case "number":
      if (Number.isSafeInteger(value)) return packInteger(value);
      if (Number.isInteger(value)) throw new TypeError(`not exact: ${value}`);
      return packFloat(value);
  }
  if (value instanceof Map) {
    if (value.size > 15) throw new RangeError("no such map is needed");
    return Buffer.concat([Buffer.from([0x80 | value.size]), ...[...value].flat().map(pack)]);
  }
  if (Array.isArray(value)) {
    const size = value.length;
    const mark = size < 16 ? Buffer.from([0x90 | size]) : head(size, [[0xdc, 2], [0xdd, 4]]);
    return Buffer.concat([mark, ...value.map(pack)]);
  }
  if (value instanceof Uint8Array) {
    return Buffer.concat([head(value.length, [[0xc4, 1], [0xc5, 2], [0xc6, 4]]), value]);
  }
  throw new TypeError(`nothing that a message is made of: ${value}`);
}
