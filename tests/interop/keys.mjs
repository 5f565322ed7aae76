// Keys as docs/protocol.md tells of them: pins of servers, keys of devices and what they sign.

import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, sign }
  from "node:crypto";

const SPKI = Buffer.from("302a300506032b6570032100", "hex");
const PKCS8 = Buffer.from("302e020100300506032b657004220420", "hex");

/** How a SubjectPublicKeyInfo in DER is spelled for people. */
export function fingerprint(spki) {
  const digest = createHash("sha256").update(spki).digest("base64");
  return `SHA256:${digest.replace(/=+$/, "")}`;
}

/** The SubjectPublicKeyInfo of an X509Certificate, in DER. */
export function spkiOf(certificate) {
  return certificate.publicKey.export({ type: "spki", format: "der" });
}

/** What a device signs; `pin` is the pin of the server's key as seen, empty without TLS. */
export function whatIsSigned(pin, lane, nonce) {
  const seen = pin ? Buffer.from(pin.replace(/^SHA256:/, ""), "base64") : Buffer.alloc(32);
  return Buffer.concat([Buffer.from("socketchat device proof 1\0", "ascii"), seen, lane, nonce]);
}

/** The key of a device: given by its 32 private bytes, or made. */
export class Device {
  constructor(seed) {
    this.private = seed
      ? createPrivateKey({ key: Buffer.concat([PKCS8, seed]), format: "der", type: "pkcs8" })
      : generateKeyPairSync("ed25519").privateKey;
    this.spki = createPublicKey(this.private).export({ type: "spki", format: "der" });
    /** The 32 bytes of the public key. */
    this.public = this.spki.subarray(SPKI.length);
    this.fingerprint = fingerprint(Buffer.concat([SPKI, this.public]));
  }

  prove(pin, lane, nonce) {
    return sign(null, whatIsSigned(pin, lane, nonce), this.private);
  }
}
