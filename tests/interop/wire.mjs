// A link of a case: says what it is told to, right or wrong, and hears one message after another.

import { Frames } from "./frames.mjs";
import { decode, encode, frameOf } from "./messages.mjs";
import { call } from "./link.mjs";
import { pack } from "./msgpack.mjs";
import { Mismatch, show } from "./values.mjs";

/** Milliseconds until something that was waited for has failed: far above what anything takes. */
const DEADLINE = 30000;

/** What may come between what is waited for. */
const PASSING = new Set(["Ack", "Ping", "Pong", "Event", "Present"]);

export class Wire {
  static async call(server, values) {
    return new Wire(await call(server), values);
  }

  constructor(socket, values) {
    this.socket = socket;
    this.values = values;
    this.frames = new Frames();
    this.frames.limit = 2 ** 32;
    this.ended = false;
    /** What was passed over since something was said last. */
    this.passed = [];
    /** The number of the last post that was heard; 0 if none was. */
    this.lastPost = 0;
    this.pings = 1000;
    this.wake = () => {};
    socket.on("data", (bytes) => { this.frames.feed(bytes); this.wake(); });
    // A reset is an end as well.
    socket.on("error", () => {});
    socket.on("close", () => { this.ended = true; this.wake(); });
  }

  cut() {
    this.socket.destroy();
  }

  async say(what, pieces) {
    this.passed = [];
    const bytes = Buffer.concat(what.map((message) => this.#bytesOf(message)));
    const size = pieces ?? bytes.length;
    for (let at = 0; at < bytes.length; at += size) {
      await this.#write(bytes.subarray(at, at + size));
    }
  }

  #write(bytes) {
    return new Promise((resolve) => { this.socket.write(bytes, resolve); });
  }

  #bytesOf(message) {
    const make = (form) => this.values.make(form);
    if ("bytes" in message) return Buffer.concat(make(message.bytes));
    if ("items" in message) return frameOf(pack(make(message.items)));
    return encode(message.type, make(message.fields), make(message.more ?? []));
  }

  /** The next message, or null at the end of the connection. */
  async #next() {
    const deadline = Date.now() + DEADLINE;
    for (;;) {
      for (let body; (body = this.frames.next()) !== null;) {
        const message = decode(body);
        if (message === null) continue;
        if (message.fields.own !== undefined) this.lastPost = message.fields.number;
        return message;
      }
      if (this.ended) return null;
      await new Promise((resolve, reject) => {
        const timer = setTimeout(() => reject(new Mismatch("nothing came")), deadline - Date.now());
        this.wake = () => { clearTimeout(timer); resolve(); };
      });
    }
  }

  /** The mismatch of a message, or null if it is the one that is expected. */
  #mismatch(message, type, fields) {
    if (message.type !== type) return new Mismatch(`heard ${show(message)} in place of ${type}`);
    try {
      this.values.check(message.fields, fields, type);
    } catch (error) {
      if (error instanceof Mismatch) return new Mismatch(`${error.message}: ${show(message)}`);
      throw error;
    }
    return null;
  }

  async #pass(message, answer, passing = []) {
    if (!PASSING.has(message.type) && !passing.includes(message.type)) {
      throw new Mismatch(`heard ${show(message)}`);
    }
    this.passed.push(message);
    if (message.type === "Ping" && answer) {
      await this.#write(encode("Pong", { number: message.fields.number }));
    }
  }

  async hear({ type, fields, before_ack: beforeAck, unanswered = false, passing }) {
    const fits = (message) => this.#mismatch(message, type, fields) === null;
    const already = this.passed.findIndex(fits);
    if (already >= 0) {
      this.passed.splice(already, 1);
      return;
    }
    for (;;) {
      const message = await this.#next();
      if (message === null) throw new Mismatch(`the connection has ended, in place of ${type}`);
      const mismatch = this.#mismatch(message, type, fields);
      if (mismatch === null) break;
      if (message.type === type && !PASSING.has(type)) throw mismatch;
      await this.#pass(message, !unanswered, passing);
    }
    const early = (message) => message.type === "Ack" && message.fields.number >= beforeAck;
    if (beforeAck !== undefined && this.passed.some(early)) throw new Mismatch("Ack came first");
  }

  async hearEnd({ unanswered = false }) {
    for (let message; (message = await this.#next()) !== null;) {
      await this.#pass(message, !unanswered);
    }
  }

  /** Find out that nothing but what passes is on its way. */
  async quiet() {
    const number = ++this.pings;
    await this.say([{ type: "Ping", fields: { number } }]);
    await this.hear({ type: "Pong", fields: { number } });
  }
}
