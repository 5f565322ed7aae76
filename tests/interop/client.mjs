// The client's end of a session, as docs/protocol.md has it: bytes in, bytes and news out. It reads
// no socket and no clock, and outlives its links.
//
// News, in the order in which they came: {type: "welcome", ...}, {type: "post", number, body, ...},
// {type: "acknowledged", number}, {type: "rejected", number, code}, {type: "message", message} for
// what passes, {type: "closed", code}.

import { randomBytes } from "node:crypto";
import { TooLong, Frames } from "./frames.mjs";
import { Malformed, VERSION, decode, encode } from "./messages.mjs";

const NONE = Buffer.alloc(0);

// What a server may say in each state, and the state behind it ("" is: the same).
const TALK = { TextPost: "", DataPost: "", Event: "", Present: "", Answer: "" };
const ANSWERS = { Ack: "", Reject: "", Ping: "", Pong: "" };
const SERVER_MAY = {
  START: { Greeting: "GREETED", Bye: "FAILED" },
  GREETED: { Bye: "FAILED" },
  ASKED: { Welcome: "OPEN", Refused: "FAILED", Bye: "FAILED" },
  OPEN: { ...TALK, ...ANSWERS, Bye: "SERVER_LEFT" },
  CLIENT_LEFT: { ...TALK, ...ANSWERS, Bye: "BOTH_LEFT" },
  SERVER_LEFT: ANSWERS,
  BOTH_LEFT: ANSWERS,
};

/** What a session may do when its link is over: come back, or nothing more. */
const COMES_BACK = [1012, 1013];

export class Client {
  /**
   * @param {object} options What stands in Hello: `nick`, `room`, `history`, `lane`; `device`, a
   *   key; `maxSize`, the longest body that is taken.
   */
  constructor({ nick = "", room = "", history = 0, lane, device, maxSize = 1048576 } = {}) {
    Object.assign(this, { nick, room, history, device, maxSize });
    this.lane = lane ?? randomBytes(16);
    this.session = NONE;
    /** Number and time of the last post that is held. */
    this.place = [0, 0];
    this.received = 0;
    /** What is numbered and neither acknowledged nor rejected, in order. */
    this.unacknowledged = [];
    this.numbered = 0;
    /** The highest number that was ever written. */
    this.sent = 0;
    this.shownGap = 0;
    /** Whether the session is over for good. */
    this.over = false;
    this.bye = null;
    this.begin("");
  }

  /** Begin a new link to a server of this pin; nothing of an older one is read any more. */
  begin(pin) {
    this.pin = pin;
    this.state = "START";
    this.frames = new Frames();
    this.written = [];
    this.news = [];
    this.saidBye = false;
    /** Whether the server has let us in, on this link. */
    this.wasIn = false;
    /** The code of our complaint about this link, or null. */
    this.complaint = null;
    this.ping = 0;
    this.received = this.place[0];
  }

  get held() {
    return this.place[0];
  }

  get isOpen() {
    return this.state === "OPEN";
  }

  /** Whether nothing is left to be said or heard, and the connection may be closed. */
  get finished() {
    return this.state === "FAILED" || (this.state === "BOTH_LEFT" && !this.unacknowledged.length);
  }

  /** Take what there is to be written. */
  take() {
    const bytes = Buffer.concat(this.written);
    this.written = [];
    return bytes;
  }

  takeNews() {
    return this.news.splice(0);
  }

  #say(type, fields) {
    this.written.push(encode(type, fields));
  }

  // ---- what the user wants ----

  /** Accept a post: text if the body is a string, else bytes. Returns its number. */
  post(body, { at = 0, to = "" } = {}) {
    if (this.bye) throw new Error("goodbye was said");
    const number = ++this.numbered;
    const type = typeof body === "string" ? "TextPost" : "DataPost";
    const entry = { number, type, fields: { number, body, at, to } };
    this.unacknowledged.push(entry);
    if (this.isOpen || this.state === "SERVER_LEFT") this.#send(entry);
    return number;
  }

  event(kind, fields = {}) {
    if (this.isOpen) this.#say("Event", { kind, ...fields });
  }

  command(id, name, argument = "") {
    if (this.isOpen) this.#say("Command", { id, name, argument });
  }

  askWhetherThere() {
    this.#say("Ping", { number: ++this.ping });
  }

  /** Say goodbye behind all that was accepted; over the next link again, if this one is lost. */
  close(code = 1000, reason = "") {
    this.bye ??= { code, reason };
    if (this.isOpen || this.state === "SERVER_LEFT") this.#sayBye();
  }

  #send({ number, type, fields }) {
    this.#say(type, fields);
    if (number > this.sent) this.sent = number;
  }

  #sayBye() {
    if (this.saidBye) return;
    this.saidBye = true;
    this.#say("Bye", this.bye);
    this.state = this.state === "SERVER_LEFT" ? "BOTH_LEFT" : "CLIENT_LEFT";
  }

  // ---- what the server says ----

  /** Hear bytes. */
  hear(bytes) {
    this.frames.feed(bytes);
    let owesAck = false;
    try {
      while (this.state !== "FAILED") {
        const body = this.frames.next();
        if (body === null) break;
        const message = decode(body);
        if (message !== null) owesAck = this.#hear(message) || owesAck;
      }
    } catch (error) {
      if (!(error instanceof Malformed || error instanceof TooLong)) throw error;
      this.#fail(error.code, error.message, owesAck);
      return;
    }
    if (owesAck && this.state !== "FAILED") this.#say("Ack", { number: this.held });
  }

  #fail(code, why, owesAck = false) {
    if (owesAck) this.#say("Ack", { number: this.held });
    if (!this.saidBye) this.#say("Bye", { code, reason: why });
    this.saidBye = true;
    this.complaint = code;
    this.state = "FAILED";
    this.over = true;
    this.news.push({ type: "closed", code, reason: why });
  }

  /** Returns whether an Ack is owed. */
  #hear({ type, fields }) {
    const next = SERVER_MAY[this.state][type];
    if (next === undefined) throw new Malformed(1002, `${type} in ${this.state}`);
    this.state = next || this.state;
    switch (type) {
      case "Greeting": this.#greeted(fields); return false;
      case "Welcome": this.#welcomed(fields); return false;
      case "Refused": this.#ended(fields); return false;
      case "TextPost": case "DataPost": this.#posted(fields); return true;
      case "Ack": this.#acknowledged(fields.number); return false;
      case "Reject": this.#rejected(fields); return false;
      case "Ping": this.#say("Pong", { number: fields.number }); return false;
      case "Pong": return false;
      case "Bye": this.#byeHeard(fields); return false;
      default: this.news.push({ type: "message", message: { type, fields } }); return false;
    }
  }

  #greeted({ nonce }) {
    const proof = this.device
      ? { key: this.device.public, signature: this.device.prove(this.pin, this.lane, nonce) }
      : {};
    this.#say("Hello", {
      version: VERSION, lane: this.lane, nick: this.nick, room: this.room, session: this.session,
      after: this.place, history: this.history, limits: { max_size: this.maxSize }, ...proof,
    });
    this.state = "ASKED";
  }

  #welcomed(welcome) {
    if (welcome.mark > this.sent) throw new Malformed(1002, "a mark above all that was sent");
    const goesOn = welcome.session.equals(this.session);
    const isFirst = !this.session.length;
    let gap = null;
    if (!goesOn) {
      this.session = welcome.session;
      this.place = welcome.after;
      this.shownGap = 0;
    } else if (welcome.floor > Math.max(this.held, this.shownGap) + 1) {
      gap = [Math.max(this.held, this.shownGap) + 1, welcome.floor - 1];
      this.shownGap = gap[1];
    }
    this.wasIn = true;
    this.received = this.held;
    this.frames.limit = this.maxSize;
    this.news.push({ type: "welcome", goesOn, isFirst, gap, ...welcome });
    this.#acknowledged(welcome.mark);
    for (const entry of this.unacknowledged) this.#send(entry);
    if (this.bye) this.#sayBye();
  }

  #posted(post) {
    if (post.number <= this.received) return; // a repeat: acknowledged again, and dropped
    // Kept in memory: to have received it is to hold it.
    this.received = post.number;
    this.place = [post.number, post.at];
    this.news.push({ type: "post", ...post });
  }

  #acknowledged(number) {
    if (number > this.sent) throw new Malformed(1002, `Ack ${number}, of ${this.sent}`);
    while (this.unacknowledged.length && this.unacknowledged[0].number <= number) {
      this.news.push({ type: "acknowledged", number: this.unacknowledged.shift().number });
    }
  }

  #rejected({ number, code, reason }) {
    if (number > this.sent) throw new Malformed(1002, `Reject ${number}, of ${this.sent}`);
    const rejected = this.unacknowledged.find((entry) => entry.number === number);
    if (!rejected) return;
    this.unacknowledged = this.unacknowledged.filter((entry) => entry !== rejected);
    this.news.push({ type: "rejected", number, code, reason });
  }

  #ended({ code, reason }) {
    this.over = !COMES_BACK.includes(code);
    this.news.push({ type: "closed", code, reason });
  }

  #byeHeard({ code, reason }) {
    this.#ended({ code, reason });
    if (this.state === "SERVER_LEFT") {
      // Behind what was accepted, all of which is written already.
      if (this.over) this.bye ??= { code, reason: "" };
      this.saidBye = true;
      this.#say("Bye", { code, reason: "" });
      this.state = "BOTH_LEFT";
    }
  }
}
