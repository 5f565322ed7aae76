// The values of docs/conformance: what a step says is made at run time, and what it expects is
// compared. docs/conformance.md defines each form.

import { randomBytes } from "node:crypto";
import { same } from "./data.mjs";
import { exact } from "./msgpack.mjs";
import { Device } from "./keys.mjs";

/** What a case expected, and did not find. */
export class Mismatch extends Error {}

export function show(value) {
  return JSON.stringify(value, (_, item) => {
    if (typeof item === "bigint") return String(item);
    return item?.type === "Buffer" ? { hex: Buffer.from(item.data).toString("hex") } : item;
  });
}

const EXPECTATIONS = ["save", "at_least", "not", "length", "contains", "find"];
const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value)
  && !Buffer.isBuffer(value);

export class Values {
  /**
   * @param {string} pin The server's pin; empty without TLS.
   * @param {object} devices Private keys, in hex, by name.
   */
  constructor(pin, devices = {}) {
    this.pin = pin;
    this.variables = { lane: randomBytes(16), room: `room-${randomBytes(4).toString("hex")}` };
    this.devices = {};
    for (const name in devices) this.devices[name] = new Device(Buffer.from(devices[name], "hex"));
  }

  device(name) {
    return (this.devices[name] ??= new Device());
  }

  let(values) {
    for (const name in values) this.variables[name] = this.make(values[name]);
  }

  /** Make a value of what stands in a case. */
  make(form) {
    if (Array.isArray(form)) return form.map((item) => this.make(item));
    if (!isObject(form)) return form;
    if ("hex" in form) return Buffer.from(form.hex, "hex");
    if ("var" in form) return this.#variable(form);
    if ("random" in form) return randomBytes(form.random);
    if ("unique" in form) return `${form.unique}-${randomBytes(4).toString("hex")}`;
    if ("repeat" in form) return this.#repeated(this.make(form.repeat), this.make(form.times));
    if ("length" in form) return this.#length(this.make(form.length));
    if ("map" in form) return new Map(form.map.map((pair) => this.make(pair)));
    if ("nested" in form) return form.nested > 1 ? [this.make({ nested: form.nested - 1 })] : [];
    if ("public" in form) return this.device(form.public).public;
    if ("fingerprint" in form) return this.device(form.fingerprint).fingerprint;
    if ("proof" in form) return this.#proof(form);
    return Object.fromEntries(Object.entries(form).map(([name, item]) => [name, this.make(item)]));
  }

  #variable({ var: name, plus }) {
    if (!(name in this.variables)) throw new TypeError(`there is no ${name} yet`);
    const value = this.variables[name];
    return plus === undefined ? value : exact(BigInt(value) + BigInt(plus));
  }

  #repeated(what, times) {
    return typeof what === "string" ? what.repeat(times) : Buffer.alloc(what.length * times, what);
  }

  #length(length) {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(length);
    return bytes;
  }

  #proof({ proof, lane, nonce, pin = this.pin }) {
    return this.device(proof).prove(pin, this.make(lane), this.make(nonce));
  }

  /** Throw `Mismatch` if a value is not what is expected. */
  check(found, expected, where) {
    if (Array.isArray(expected)) {
      if (!Array.isArray(found) || found.length !== expected.length) {
        this.#miss(found, expected, where);
      }
      expected.forEach((item, i) => this.check(found[i], item, `${where}[${i}]`));
    } else if (!isObject(expected)) {
      if (!same(found, expected)) this.#miss(found, expected, where);
    } else if (EXPECTATIONS.some((name) => name in expected)) {
      this.#checkForm(found, expected, where);
    } else if (isObject(found)) {
      for (const name in expected) this.check(found[name], expected[name], `${where}.${name}`);
    } else {
      const value = this.make(expected);
      if (!same(found, value)) this.#miss(found, value, where);
    }
  }

  #checkForm(found, expected, where) {
    const miss = () => this.#miss(found, expected, where);
    if ("not" in expected && same(found, this.make(expected.not))) miss();
    if ("at_least" in expected && !(found >= this.make(expected.at_least))) miss();
    if ("length" in expected) {
      const [least, most] = expected.length;
      if (!(found.length >= least && found.length <= most)) miss();
    }
    for (const part of expected.contains ?? []) if (!found.includes(this.make(part))) miss();
    let kept = found;
    if ("find" in expected) {
      const match = new RegExp(expected.find).exec(found);
      if (!match) miss();
      kept = match[1];
    }
    if ("save" in expected) this.variables[expected.save] = kept;
  }

  #miss(found, expected, where) {
    throw new Mismatch(`${where} is ${show(found)}, not ${show(expected)}`);
  }
}
