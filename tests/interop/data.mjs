// The JSON of docs/vectors and docs/conformance, and how its values are compared.

import { exact } from "./msgpack.mjs";

/** Read JSON; whole numbers that JavaScript's own cannot keep become BigInts. */
export function parse(text) {
  // Outside of strings alone: a string is matched as a whole, and put back as it is.
  const kept = text.replace(/"(?:[^"\\]|\\.)*"|-?\d{16,}/g, (found) =>
    found.startsWith('"') ? found : `{"integer": "${found}"}`);
  return JSON.parse(kept, (_, value) =>
    value !== null && typeof value === "object" && "integer" in value
      ? exact(BigInt(value.integer)) : value);
}

/** Whether two values are the same: bytes as bytes, arrays and objects item by item. */
export function same(one, other) {
  if (Buffer.isBuffer(one) || Buffer.isBuffer(other)) {
    return Buffer.isBuffer(one) && Buffer.isBuffer(other) && one.equals(other);
  }
  if (one === null || other === null || typeof one !== "object" || typeof other !== "object") {
    return one === other;
  }
  const names = Object.keys(one);
  return names.length === Object.keys(other).length
    && names.every((name) => name in other && same(one[name], other[name]));
}
