"""The two numbered directions of one session: the part that outlives every link.

Delivery is decided here: which number comes next, what is a repeat, what must be sent again after a
new link (`docs/protocol.md`, "Delivery"). It does no I/O; `protocol.py` talks for it over one link
at a time, and `outbox.py` keeps what is on its way.
"""

from __future__ import annotations

from typing import TypeAlias

from socketchat.errors import MessageTooBig
from socketchat.framing import HEADER_SIZE
from socketchat.messages import DataPost, Post, TextPost, encode
from socketchat.outbox import MemoryOutbox, Outgoing

__all__ = ["Body", "Lanes"]

#: What a post may bear.
Body: TypeAlias = str | bytes | bytearray | memoryview


class Lanes:
    """Our lane, with its outbox, and the other side's lane, with its mark.

    Attributes:
        lane: The client's name for its lane, 16 random bytes.
        session: The server's name for the session, 16 random bytes; empty on a client that has not
            been welcomed yet.
        outbox: Our posts that are not acknowledged yet.
        sent: The highest number given to one of our posts.
        written: The highest number that went into a link: no more can be acknowledged.
        received: The highest number taken from the other side.
        committed: The highest number that is held for good: what Ack and Welcome say. It is never
            above `received`.
        at: The time of the post of that number; 0 if none is held.
        missed: The highest number of which it was told that it cannot come any more.
        owed: The highest number given to somebody who will hold it, and for whom the goodbye waits.
        links: How many links the lanes have gone on over: only the latest may bring anything.
    """

    __slots__ = (
        "_new_post",
        "at",
        "committed",
        "lane",
        "links",
        "missed",
        "outbox",
        "owed",
        "received",
        "sent",
        "session",
        "written",
    )

    def __init__(
        self,
        lane: bytes,
        outbox: MemoryOutbox,
        *,
        session: bytes = b"",
        new_post: type[Outgoing] = Outgoing,
    ) -> None:
        """Start both lanes at 0; `new_post` is what the posts in the outbox are made of."""
        self._new_post = new_post
        self.lane: bytes = lane
        self.session: bytes = session
        self.outbox: MemoryOutbox = outbox
        self.sent: int
        self.written: int
        self.sent = self.written = outbox.numbered
        self.received: int = 0
        self.committed: int = 0
        self.at: int = 0
        self.missed: int = 0
        self.owed: int = 0
        self.links: int = 0

    def post(
        self, body: Body, at: int, sender: str = "", to: str = "", max_size: int = 2**32
    ) -> Outgoing:
        """Number a post, put it into the outbox and return it.

        Raises:
            MessageTooBig: Its frame's body is longer than `max_size` bytes.
            UnicodeEncodeError: A text has lone surrogates.
            TypeError: It is neither text nor bytes.
            OSError: The outbox is a file, and cannot be written.
        """
        number = self.sent + 1
        if isinstance(body, str):
            frame = encode(TextPost(number, body, at, sender, to))
        else:
            if not isinstance(body, bytes):
                body = bytes(memoryview(body))
            frame = encode(DataPost(number, body, at, sender, to))
        size = len(frame) - HEADER_SIZE
        if size > max_size:
            raise MessageTooBig(size, max_size)
        post = self._new_post(number, frame, at)
        self.outbox.append(post)
        self.sent = number
        return post

    def commit(self, number: int | None = None, at: int = 0) -> bool:
        """Hold what was received up to `number`, or all of it, for good; tell whether that is news.

        `at` is the time of that post, if it is a place in a log.

        A commit may end after a new link has come, and still counts: what it holds and the other
        side sends again is then a repeat.
        """
        if number is None:
            number = self.received
        news = self.committed < number
        if news:
            self.committed = number
            self.at = at
            self.received = max(self.received, number)
        return news

    @property
    def settled(self) -> bool:
        """Whether nothing is on its way, in either direction, that somebody waits for."""
        return not len(self.outbox) and self.committed >= self.owed

    def recognise(self, post: Post) -> None:
        """Note where a post of ours, which has come back, stands in the room's log."""
        ours = self.outbox.find(post.own)
        if ours is not None:
            ours.entry, ours.at = post.number, post.at

    def resume(self, session: bytes, mark: int, after: tuple[int, int] = (0, 0)) -> list[Outgoing]:
        """Go on over a new link with `session`, whose other side holds our posts up to `mark`.

        What was received and not committed is forgotten: the other side sends it again.

        A session that is not ours is a new one, or means that the other side lost its memory: its
        lane starts behind `after`. Ours keeps its numbers, which need not be without gaps.

        Returns:
            The posts that `mark` acknowledges.
        """
        self.links += 1
        if session != self.session:
            self.session = session
            self.committed, self.at = after
            self.missed = 0
        self.received = self.committed
        return self.outbox.acknowledge(mark)

    def miss(self, floor: int) -> tuple[int, int] | None:
        """Take notice that posts below `floor` cannot come; return those of which that is news."""
        first, last = max(self.committed, self.missed) + 1, floor - 1
        if first > last:
            return None
        # The place stays where it is: only what is held can be compared with a log.
        self.missed = last
        return first, last

    def reject_above(self, max_size: int) -> list[tuple[Outgoing, MessageTooBig]]:
        """Take out the posts whose frame's body is longer than `max_size` bytes; say why."""
        too_big = []
        for post in list(self.outbox):
            size = len(post.frame) - HEADER_SIZE
            if size > max_size:
                self.outbox.reject(post.number)
                too_big.append((post, MessageTooBig(size, max_size)))
        return too_big

    def unacknowledged(self) -> list[bytes]:
        """Return the frames to send, or to send again, over a new link, in order."""
        return [post.frame for post in self.outbox if post.frame]
