// Invites as docs/protocol.md has them: what a URL says, and what a token grants.

import net from "node:net";
import { X509Certificate, constants, verify } from "node:crypto";

/** A URL that is no invite. */
export class NoInvite extends Error {}

/** A token that does not let anybody in: "no invite", "altered" or "expired". */
export class Refused extends Error {}

const BASE64URL = /^[A-Za-z0-9_-]+$/;
const HOST = /^[A-Za-z0-9_.-]{1,253}$/;
// Control characters, and those that change the direction of a line.
const UNFIT = /[\p{Cc}\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]/u;

function demand(holds, why) {
  if (!holds) throw new NoInvite(why);
}

/** The bytes of base64url, or null if it is none, or has bits left over that are not 0. */
function bytesOf(text) {
  if (!BASE64URL.test(text)) return null;
  const bytes = Buffer.from(text, "base64url");
  return bytes.toString("base64url") === text ? bytes : null;
}

function serverOf(text) {
  const match = /^(?:\[([^\]]*)\]|([^:[\]]*))(?::(\d{1,5}))?$/.exec(text);
  demand(match, "a server");
  const [, six, other, port = "7625"] = match;
  const isSix = six !== undefined;
  demand(isSix ? net.isIPv6(six) && !six.includes("%") : HOST.test(other), "a host");
  demand(port >= 1 && port <= 65535, "a port");
  return { host: (isSix ? six : other).toLowerCase(), port: Number(port) };
}

function roomOf(text) {
  // One segment of a path, as in RFC 3986.
  demand(/^(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})*$/.test(text), "a room");
  let room;
  try {
    room = decodeURIComponent(text);
  } catch {
    throw new NoInvite("a room that is not UTF-8");
  }
  demand([...room].length <= 64 && !UNFIT.test(room), "the name of a room");
  demand(!/^ | $| {2}/.test(room), "spaces");
  return room;
}

/** What the URL of an invite says: the first server, further ones, room and token. */
export function parseInvite(url) {
  demand(url.length <= 2048, "too long");
  const match = /^socketchat:\/\/([^/#?@]+)(?:\/([^/#?]*))?#([^#.]+)\.([^#]*)$/i.exec(url);
  demand(match, "no such URL");
  const [, hosts, room = "", spelled, token] = match;
  const servers = hosts.split(",").map(serverOf);
  const pins = spelled.split(",").map((text) => {
    const bytes = bytesOf(text);
    demand(bytes !== null && bytes.length === 32, "a pin");
    return `SHA256:${bytes.toString("base64").replace("=", "")}`;
  });
  demand(pins.length === 1 || pins.length === servers.length, "as many pins as servers");
  const places = new Set(servers.map(({ host, port }) => `${host} ${port}`));
  demand(places.size === servers.length, "a server twice");
  demand(token.length <= 1024 && bytesOf(token) !== null, "a token");
  servers.forEach((server, i) => { server.pin = pins[i] ?? pins[0]; });
  return { servers, room: roomOf(room), token };
}

/** How a key signs, and how long its signatures are. */
function schemeOf(key) {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
  if (type === "ed25519") return { size: 64, hash: null, options: {} };
  if (type === "ec") {
    const size = { prime256v1: 64, secp384r1: 96, secp521r1: 132 }[details.namedCurve];
    return { size, hash: "sha256", options: { dsaEncoding: "ieee-p1363" } };
  }
  const options = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 };
  return { size: Math.ceil(details.modulusLength / 8), hash: "sha256", options };
}

/** What a token grants at a time (seconds), at the server of a certificate. Throws `Refused`. */
export function checkToken(certificate, token, now) {
  const key = new X509Certificate(certificate).publicKey;
  const { size, hash, options } = schemeOf(key);
  const bytes = bytesOf(token);
  if (bytes === null || bytes.length < 25 + size) throw new Refused("no invite");
  const told = bytes.subarray(0, -size);
  const signed = Buffer.concat([Buffer.from("socketchat invite 1\0", "ascii"), told]);
  if (!verify(hash, signed, { key, ...options }, bytes.subarray(-size)) || told[0] !== 1) {
    throw new Refused("altered");
  }
  const expires = Number(told.readBigUInt64BE(17));
  if (now >= expires) throw new Refused("expired");
  return { token_id: told.subarray(1, 17), room: told.subarray(25).toString("utf8"), expires };
}
