"""What was sent and is not yet acknowledged.

An outbox keeps the frames of one lane, in order, until the other side holds them. It knows nothing
of links or of time: `lanes.py` numbers what goes in, `session.py` waits when it is full.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from msgspec import Struct

__all__ = ["MemoryOutbox", "Outgoing"]


class Outgoing(Struct, eq=False):
    """One post on its way.

    Attributes:
        number: Its number in the lane.
        frame: The whole frame, ready to be sent again; empty once the post was refused.
        at: When it was said, in microseconds since the epoch.
        entry: Its number in the log of a room, once that is known; then `at` is the log's.
    """

    number: int
    frame: bytes
    at: int = 0
    entry: int = 0


class MemoryOutbox:
    """An outbox that lives as long as its process.

    Attributes:
        numbered: The highest number that may have been given in its lane before.
        size: Bytes of all frames in it.
        full: Whether the next post must wait. The one that crosses a bound is still taken.
    """

    __slots__ = ("_max_messages", "_max_size", "_posts", "full", "numbered", "size")

    def __init__(self, max_messages: int, max_size: int) -> None:
        self._posts: deque[Outgoing] = deque()
        self._max_messages = max_messages
        self._max_size = max_size
        self.numbered: int = 0
        self.size: int = 0
        self.full: bool = False

    def __len__(self) -> int:
        return len(self._posts)

    def __iter__(self) -> Iterator[Outgoing]:
        return iter(self._posts)

    def append(self, post: Outgoing) -> None:
        """Keep `post` until it is acknowledged."""
        posts = self._posts
        posts.append(post)
        self.size += len(post.frame)
        self.full = self.size >= self._max_size or len(posts) >= self._max_messages

    def acknowledge(self, number: int) -> list[Outgoing]:
        """Let go of every post up to `number` and return them, in order, but for refused ones."""
        posts = self._posts
        done = []
        while posts and posts[0].number <= number:
            post = posts.popleft()
            if post.frame:
                done.append(post)
            self.size -= len(post.frame)
        self._drop_blanks()
        return done

    def find(self, number: int) -> Outgoing | None:
        """Return the post `number`, if it is here."""
        posts = self._posts
        # Numbers have no gaps as a rule, but for the jump from one process's lane to another's.
        index = number - posts[0].number if posts else -1
        if 0 <= index < len(posts) and posts[index].number == number:
            return posts[index]
        return next((post for post in posts if post.number == number), None)

    def reject(self, number: int) -> Outgoing | None:
        """Blank the post `number`, so that it is never sent again, and return it if it is here.

        It keeps its place until the posts before it are acknowledged.
        """
        post = self.find(number)
        if post is None or not post.frame:
            return None
        self.size -= len(post.frame)
        post.frame = b""
        self._drop_blanks()
        return post

    def _drop_blanks(self) -> None:
        posts = self._posts
        while posts and not posts[0].frame:
            posts.popleft()
        self.full = self.size >= self._max_size or len(posts) >= self._max_messages

    def clear(self) -> list[Outgoing]:
        """Let go of everything and return it, in order."""
        posts = list(self._posts)
        self._posts.clear()
        self.size = 0
        self.full = False
        return posts
