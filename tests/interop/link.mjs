// One connection to a server, in the clear or over TLS 1.3 to a server of a known key.

import net from "node:net";
import tls from "node:tls";
import { fingerprint, spkiOf } from "./keys.mjs";

/** The server shows another key than the one that is expected. */
export class WrongKey extends Error {}

/**
 * Call a server; the promise is of a socket to which nothing was written yet.
 *
 * @param {{host: string, port: number, pin: string}} server An empty pin: without TLS.
 */
export function call({ host, port, pin }) {
  return new Promise((resolve, reject) => {
    const ready = () => {
      if (pin) {
        const shown = fingerprint(spkiOf(socket.getPeerX509Certificate()));
        if (shown !== pin) {
          socket.destroy();
          reject(new WrongKey(`expected ${pin}, was shown ${shown}`));
          return;
        }
      }
      socket.off("error", reject);
      socket.setNoDelay(true);
      resolve(socket);
    };
    // Names, chain and dates mean nothing: the key is compared.
    const options = { host, port, rejectUnauthorized: false, minVersion: "TLSv1.3" };
    const socket = pin ? tls.connect(options, ready) : net.connect({ host, port }, ready);
    socket.once("error", reject);
  });
}
