// A stream of bytes, in any pieces, to the bodies of frames.

/** A frame that is longer than it may be. */
export class TooLong extends Error {
  code = 1009;
}

export class Frames {
  /** The longest body that is taken now; it may change between two frames. */
  limit = 4096;
  #pieces = [];
  #size = 0;

  feed(bytes) {
    if (bytes.length) this.#pieces.push(bytes);
    this.#size += bytes.length;
  }

  #joined() {
    if (this.#pieces.length > 1) this.#pieces = [Buffer.concat(this.#pieces)];
    return this.#pieces[0];
  }

  /** The next body, or null if it is not whole. Throws `TooLong` as soon as the length says so. */
  next() {
    if (this.#size < 4) return null;
    const length = this.#joined().readUInt32BE();
    if (length > this.limit) throw new TooLong(`a frame of ${length} bytes`);
    if (this.#size < 4 + length) return null;
    const all = this.#joined();
    this.#pieces = all.length > 4 + length ? [all.subarray(4 + length)] : [];
    this.#size -= 4 + length;
    return all.subarray(4, 4 + length);
  }
}
