// A small chat client on this peer's own parts:
//
//     node chat.mjs HOST:PORT,PIN ROOM NICK [CUTS]
//
// It says each line of stdin, and at its end, once all is acknowledged, goodbye. What happens it
// prints as a line of JSON each. It cuts the link itself so many times, wherever it happens to be,
// and takes the session up again. The device's key is made anew.

import { createInterface } from "node:readline";
import { Client } from "./client.mjs";
import { Device } from "./keys.mjs";
import { call } from "./link.mjs";

const [where, room, nick, cuts = "0"] = process.argv.slice(2);
const [, host, port, pin] = /^(.*):(\d+),(.*)$/.exec(where);
const client = new Client({ nick, room, device: new Device() });

let socket = null;
let cutsLeft = Number(cuts);

function tell(news) {
  console.log(JSON.stringify(news, (_, value) =>
    value?.type === "Buffer" ? Buffer.from(value.data).toString("hex") : value));
}

function write() {
  const bytes = client.take();
  if (bytes.length && socket) socket.write(bytes);
}

/** Be connected once; resolves when the connection is over, to whether it was let in. */
async function link() {
  const own = await call({ host, port: Number(port), pin });
  socket = own;
  client.begin(pin);
  // Now in the greeting, now in the middle of a talk, with something half written.
  let chunks = cutsLeft > 0 ? 1 + Math.floor(Math.random() * 6) : Infinity;
  await new Promise((resolve) => {
    own.on("data", (bytes) => {
      if (socket !== own) return;
      client.hear(bytes);
      for (const news of client.takeNews()) tell(news);
      write();
      chunks -= 1;
      if (chunks <= 0) {
        cutsLeft -= 1;
        socket = null;
        tell({ type: "cut" });
        own.destroy();
      } else if (client.finished) {
        own.end();
      }
    });
    own.on("error", () => {});
    own.on("close", resolve);
  });
  socket = null;
  return client.wasIn;
}

async function main() {
  for (let delay = 200; !client.over; delay = Math.min(delay * 2, 20000)) {
    const before = cutsLeft;
    const wasIn = await link();
    if (wasIn) delay = 100;
    if (client.over || cutsLeft < before) continue;
    await new Promise((resolve) => { setTimeout(resolve, delay * Math.random()); });
  }
  if (client.unacknowledged.length) process.exitCode = 1;
}

const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => { client.post(line); write(); });
lines.on("close", () => { client.close(); write(); });
await main();
process.stdin.destroy();
