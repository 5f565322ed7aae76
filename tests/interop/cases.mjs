// Runs the cases of docs/conformance against servers:
//
//     node cases.mjs DOCS echo=HOST:PORT,PIN room=HOST:PORT, ...
//
// DOCS is the directory of the documents; PIN is empty for a server without TLS. A file is left out
// whose server is not named. Prints a line of JSON for each case, {file, name, error}; error is
// null if all is well. docs/conformance.md defines what a case is.

import { readFileSync, readdirSync } from "node:fs";
import path from "node:path";
import { parse } from "./data.mjs";
import { VERSION } from "./messages.mjs";
import { Values } from "./values.mjs";
import { Wire } from "./wire.mjs";

const [docs, ...named] = process.argv.slice(2);
const servers = Object.fromEntries(named.map((text) => {
  const [, name, host, port, pin] = /^(\w+)=(.*):(\d+),(.*)$/.exec(text);
  return [name, { host, port: Number(port), pin }];
}));

class Run {
  constructor(server, devices) {
    this.server = server;
    this.values = new Values(server.pin, devices);
    this.links = {};
  }

  async step(step) {
    if ("let" in step) this.values.let(step.let);
    else if ("call" in step) await this.call(step.call);
    else if ("cut" in step) this.links[step.cut].cut();
    else if ("say" in step) await this.links[step.say].say(step.what, step.pieces);
    else if ("hear" in step && step.end) await this.links[step.hear].hearEnd(step);
    else if ("hear" in step) await this.links[step.hear].hear(step);
    else if ("quiet" in step) await this.links[step.quiet].quiet();
    else if ("enter" in step) await this.enter(step);
    else if ("leave" in step) await this.leave(this.links[step.leave]);
    else throw new TypeError(`what is ${Object.keys(step)}?`);
  }

  async call(name) {
    this.links[name] = await Wire.call(this.server, this.values);
    return this.links[name];
  }

  async enter({ enter, device, hello = {}, welcome = {}, refused }) {
    const link = await this.call(enter);
    await link.hear({ type: "Greeting", fields: { version: VERSION, nonce: { save: "nonce" } } });
    const [lane, nonce] = [{ var: "lane" }, { var: "nonce" }];
    const signature = { proof: device, lane, nonce };
    const proof = device ? { key: { public: device }, signature } : {};
    const fields = { version: VERSION, lane, room: { var: "room" }, ...proof, ...hello };
    await link.say([{ type: "Hello", fields }]);
    if (refused) {
      await link.hear({ type: "Refused", fields: refused });
      await link.hearEnd({});
    } else {
      await link.hear({ type: "Welcome", fields: welcome });
    }
  }

  async leave(link) {
    const held = link.lastPost ? [{ type: "Ack", fields: { number: link.lastPost } }] : [];
    await link.say([...held, { type: "Bye", fields: { code: 1000 } }]);
    await link.hear({ type: "Bye", fields: { code: 1000 } });
    await link.hearEnd({});
  }

  end() {
    for (const link of Object.values(this.links)) link.cut();
  }
}

/** Run a case; what is wrong with it, or null. */
async function run(server, devices, steps) {
  const running = new Run(server, devices);
  let at = 0;
  try {
    for (const step of steps) {
      at += 1;
      await running.step(step);
    }
    return null;
  } catch (error) {
    return `step ${at}: ${error.name === "Error" ? error.message : error.stack}`;
  } finally {
    running.end();
  }
}

const load = (...names) => parse(readFileSync(path.join(docs, ...names), "utf8"));

/** The cases that docs/vectors holds for a server. */
function casesOfVectors() {
  const bye = (code) => [{ hear: "a", type: "Bye", fields: { code } }, { hear: "a", end: true }];
  const malformed = load("vectors", "malformed.json").vectors.map(({ name, frame, code }) => ({
    name, steps: [{ enter: "a" }, { say: "a", what: [{ bytes: [{ hex: frame }] }] }, ...bye(code)],
  }));
  const streams = load("vectors", "streams.json").vectors
    .filter(({ listener, code }) => listener === "server" && code)
    .map(({ name, stream, code }) => ({
      name,
      steps: [
        { call: "a" }, { hear: "a", type: "Greeting", fields: {} },
        { say: "a", what: [{ bytes: [{ hex: stream }] }] }, ...bye(code),
      ],
    }));
  return [
    { file: "malformed.json", server: "echo", cases: malformed },
    { file: "streams.json", server: "echo", cases: streams },
  ];
}

const files = readdirSync(path.join(docs, "conformance")).filter((name) => name.endsWith(".json"));
const all = [
  ...files.sort().map((file) => ({ file, ...load("conformance", file) })),
  ...casesOfVectors(),
];

/** Run what is for one server, one case after another. */
async function runFor(name) {
  for (const { file, devices, cases } of all.filter(({ server }) => server === name)) {
    for (const { name: title, steps } of cases) {
      const error = await run(servers[name], devices, steps);
      console.log(JSON.stringify({ file, name: title, error }));
    }
  }
}

await Promise.all(Object.keys(servers).map(runFor));
