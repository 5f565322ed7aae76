"""Bytes to length-prefixed frames, and back.

A frame is a 4-byte big-endian length and that many bytes (`docs/protocol.md`, "Frames"). This file
knows nothing of what the bytes mean: that is `messages.py`, its neighbour above. It does no I/O.
"""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["HEADER_SIZE", "MAX_GREETING_SIZE", "FrameDecoder", "FrameTooBig", "encode_frame"]

#: Bytes of the length that precedes every frame's body.
HEADER_SIZE = 4
#: The longest body, in bytes, that either side accepts before the greeting is over.
MAX_GREETING_SIZE = 4096


class FrameTooBig(ValueError):
    """A frame announced a body longer than `max_size`; the stream cannot be read on."""

    def __init__(self, size: int, max_size: int) -> None:
        super().__init__(f"frame of {size} bytes, at most {max_size} are taken")


def encode_frame(body: bytes) -> bytes:
    """Put the length before `body`.

    Raises:
        OverflowError: The body is 4 GiB or longer.
    """
    return len(body).to_bytes(HEADER_SIZE, "big") + body


class FrameDecoder:
    """Cuts a stream of bytes into frame bodies, whatever the chunks in which it comes.

    `max_size` is read anew for every frame, so that it may be raised in the middle of a chunk, when
    the greeting is over. No more is kept than one frame that is not complete yet.

    Attributes:
        max_size: The longest body taken, in bytes.
    """

    __slots__ = ("_missing", "_partial", "max_size")

    def __init__(self, max_size: int = MAX_GREETING_SIZE) -> None:
        self.max_size: int = max_size
        self._partial = bytearray()
        # Bytes to wait for before `_partial` can hold a whole header or frame: a long frame that
        # comes in many chunks is then copied once, not once a chunk.
        self._missing = 0

    @property
    def buffered(self) -> int:
        """Bytes of a frame that is not complete yet."""
        return len(self._partial)

    def clear(self) -> None:
        """Forget the frame that is not complete yet: the stream is given up."""
        self._partial.clear()
        self._missing = 0

    def frames(self, data: bytes) -> Iterator[bytes]:
        """Take the next bytes of the stream and yield the body of each frame they complete.

        The iterator must be read to its end before the next call, unless the stream is given up.

        Raises:
            FrameTooBig: A length above `max_size`, found before room is made for the body. All
                frames before it have been yielded.
        """
        if self._partial:
            self._partial += data
            self._missing -= len(data)
            if self._missing > 0:
                return
            data = bytes(self._partial)
            self._partial.clear()
        start, stop, end = 0, HEADER_SIZE, len(data)
        from_bytes = int.from_bytes
        while stop <= end:
            size = from_bytes(data[start:stop], "big")
            if size > self.max_size:
                raise FrameTooBig(size, self.max_size)
            start, stop = stop, stop + size
            if stop > end:
                start -= HEADER_SIZE
                break
            yield data[start:stop]
            start, stop = stop, stop + HEADER_SIZE
        if start < end:
            self._partial += data[start:]
            self._missing = stop - end
