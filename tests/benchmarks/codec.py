"""How fast frames become messages: `python -m tests.benchmarks.codec`.

Framing and decoding together, on one core, without any I/O: a stream of posts of 64 characters, cut
into chunks as they come from a socket.
"""

import argparse
import platform
import time

import msgspec

from socketchat.framing import FrameDecoder
from socketchat.messages import TextPost, decode_known, encode
from tests.benchmarks.workload import TEXT

CHUNK = 65_536


def frames_per_second(stream: bytes, count: int) -> float:
    """Decode all of `stream` once."""
    decoder = FrameDecoder(2**20)
    chunks = [stream[start : start + CHUNK] for start in range(0, len(stream), CHUNK)]
    decoded = 0
    start = time.perf_counter()
    for chunk in chunks:
        for body in decoder.frames(chunk):
            decode_known(body)
            decoded += 1
    took = time.perf_counter() - start
    if decoded != count:
        raise ValueError(f"{decoded} of {count} frames were decoded")
    return count / took


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--frames", type=int, default=500_000, help="frames in the stream")
    parser.add_argument("--rounds", type=int, default=5, help="times that it is decoded")
    options = parser.parse_args()
    frame = encode(TextPost(123_456, TEXT, 1_700_000_000_000_000))
    stream = frame * options.frames
    rates = sorted(frames_per_second(stream, options.frames) for _ in range(options.rounds))
    print(f"CPython {platform.python_version()}, msgspec {msgspec.__version__}")
    print(
        f"{len(frame)} bytes a frame: {rates[len(rates) // 2]:,.0f} frames/s "
        f"(lowest {rates[0]:,.0f}, highest {rates[-1]:,.0f} of {len(rates)} rounds)"
    )


if __name__ == "__main__":
    main()
