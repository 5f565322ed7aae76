"""What a room is: an ordered log of entries. The protocol that every engine keeps, and its words.

An engine numbers what is appended, keeps it, and tells those who watch a room what is new there:
never before it is committed. `memory_log.py`, `sqlite_log.py` and `redis_log.py` are engines; one
suite of tests holds all of them to what is said here (`tests/chat/log_conformance.py`). It knows
neither sessions nor members.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from msgspec import Struct

from socketchat.errors import LogFailed, LogUnavailable

__all__ = [
    "LANE_LIFETIME",
    "READ_SIZE",
    "Diverged",
    "Draft",
    "Entry",
    "LaneTaken",
    "Log",
    "Span",
    "Watcher",
    "lane_name",
]

#: Bytes of bodies that one `read` brings, about: what a member that lags may have in memory.
READ_SIZE = 2**16
#: Seconds after its last entry for which an engine that outlives its process remembers a lane at
#: least, so that what is sent again then is known to be a repeat, though nothing is held of it.
LANE_LIFETIME: Final = 30 * 86_400.0


def lane_name(lane: bytes) -> bytes:
    """Return by which name a lane is known in rooms and in logs, 16 bytes.

    Who has no key is known by the lane alone, which is a secret therefore. Whoever can read a log,
    or hears what servers tell each other, must not be able to go on in it.
    """
    return hashlib.sha256(lane).digest()[:16]


class Draft(Struct, frozen=True, gc=False):
    """A message that has no place in the log yet.

    Attributes:
        number: Its number in its author's lane.
        body: What is said.
        sender: The author's name.
        to: The name of the one whom it is for; empty is everyone.
        to_id: Who that is: the key, or the lane of one without a key; empty is everyone.
        key: The author's key, or empty.
    """

    number: int
    body: str | bytes
    sender: str = ""
    to: str = ""
    to_id: bytes = b""
    key: bytes = b""

    def entry(self, number: int, at: int, lane: bytes) -> Entry:
        """Return the entry that it becomes at a place in the log, in its author's lane."""
        return Entry(
            number,
            at,
            lane,
            self.number,
            self.body,
            self.sender,
            self.to,
            self.to_id,
            self.key,
        )


class Entry(Struct, frozen=True, gc=False):
    """A message in a room's log.

    Attributes:
        number: Its place: 1, 2, 3 and so on, without gaps, in the order of the commits.
        at: When it was appended, in microseconds since the epoch; never less than that of the
            entry before it. Number and time together tell a place from one in another log.
        lane: Its author's lane, as `lane_name` has it.
        lane_number: Its number in that lane.
        body: What is said.
        sender: The author's name.
        to: The name of the one whom it is for; empty is everyone.
        to_id: Who that is: the key, or the lane of one without a key; empty is everyone.
        key: The author's key, or empty.
    """

    number: int
    at: int
    lane: bytes
    lane_number: int
    body: str | bytes
    sender: str = ""
    to: str = ""
    to_id: bytes = b""
    key: bytes = b""


class Span(Struct, frozen=True, gc=False):
    """From where to where a room's log reaches.

    Attributes:
        floor: The number of the first entry that it still holds; `head + 1` if it holds none.
        head: The number of the last entry that was ever appended; 0 if none was.
        at: The time of that last entry, even if it is no longer held; 0 if there was none.
    """

    floor: int = 1
    head: int = 0
    at: int = 0


#: Called from the event loop with new entries of a room, in order and without gaps.
Watcher = Callable[[Sequence[Entry]], object]
#: Called from the event loop when a room's log no longer goes on from what its watchers were told:
#: it was restored, has lost its end, or let go of what was still to be told. What is told next is
#: behind the number that it is called with; places of before may mean something else now.
Diverged = Callable[[int], object]


class LaneTaken(LogUnavailable):
    """The lane's author has gone on at another server: what it says is appended there."""


class Log(Protocol):
    """The ordered logs of all rooms of a server.

    It is used from the event loop that opened it. A room that nobody has written to is empty.
    Whatever is not said to raise raises `LogError`: `LogUnavailable` if nothing was done and it may
    go better later, `LogFailed` if what became of it is not known.

    Where another program keeps the log, an append that raises `LogUnavailable` may have been made
    all the same. Then the lane's mark says so, and what it does not cover will never be made.
    """

    @property
    def commits(self) -> int:
        """How many transactions it has committed so far, each of one append or of many."""

    async def open(self) -> None:
        """Make ready; before anything else.

        Raises:
            OSError: What it keeps cannot be opened; `strerror` says why.
        """

    async def close(self) -> None:
        """Finish the commits under way, and let everything go."""

    async def failed(self) -> LogFailed | None:
        """Wait until the log has failed for good, or is closed; return why it failed, if it did.

        It may fail though nobody asks anything of it. Whatever is asked from then on raises
        `LogFailed`, and the server should end: at its next start the log is what was kept, and
        authors send again what is not in it.

        Cancellation: safe.
        """

    def append(
        self, room: str, lane: bytes, drafts: Sequence[Draft], *, after: int = 0
    ) -> asyncio.Future[int]:
        """Append what an author says to a room, all of it or nothing.

        The entries and the lane's mark are committed in one transaction. A draft whose number is
        not above the lane's mark is a repeat, and left out. Appends to one room are committed in
        the order of the calls. If the lane's mark is below `after` in that transaction, an append
        before this one has failed, and this one fails with `LogUnavailable`: so no author's 6 is
        ever committed without the 5.

        Those who watch the room are called first, then the future is done.

        Args:
            room: The room's name.
            lane: The author's lane, as `lane_name` has it.
            drafts: In the order of their numbers.
            after: The number of the author's last draft before these; 0 if there is none.

        Returns:
            The lane's mark, once it is committed. It may be waited for, but not cancelled.
        """

    async def mark(self, room: str, lane: bytes) -> int:
        """Return the highest number of a lane that is committed in a room; 0 if there is none.

        Where several servers share the log, the lane is this one's from then on: what another was
        asked to append to it and has not is refused with `LaneTaken`. So nothing is committed any
        more that the author, who has gone on here, may be told is refused.

        It is kept at least as long as the log holds an entry of that lane, and for a while longer,
        which each engine states.
        """

    async def owner(self, room: str, lane: bytes) -> bytes:
        """Return the key of the first entry of a lane in a room, to whom the lane belongs.

        Empty if it had none, or if the lane has no mark.
        """

    async def span(self, room: str) -> Span:
        """Return from where to where a room's log reaches."""

    async def at(self, room: str, number: int) -> int | None:
        """Return the time of an entry; None if it is not held."""

    async def before(self, room: str, at: int) -> int:
        """Return the number of the last entry, held or not, that is older than the time `at`.

        It is the place behind which to read what was said from `at` on: below the floor it is
        `floor - 1`.
        """

    async def read(
        self, room: str, after: int, *, limit: int = 1024, size: int = READ_SIZE
    ) -> list[Entry]:
        """Return the entries that follow a place, as far as they are held.

        Args:
            room: The room's name.
            after: The number behind which to begin. If entries behind it are gone, it begins at
                the floor.
            limit: The most entries to return.
            size: It ends with the entry that brings the bodies to so many bytes (characters, of
                texts).
        """

    async def search(
        self, room: str, words: str, sees: Callable[[Entry], bool], *, limit: int
    ) -> list[Entry]:
        """Return the newest texts in a room that have all of these words in them, oldest first.

        Case and accents do not matter.

        Args:
            room: The room's name.
            words: The words, in any order; none at all matches every text.
            sees: Tells whether an entry may be found; called from any thread.
            limit: The most entries to return.
        """

    def watch(
        self, room: str, watcher: Watcher, diverged: Diverged | None = None
    ) -> Callable[[], None]:
        """Have `watcher` called with every entry that is committed in a room from now on.

        What it raises is told to the event loop, and is neither the log's nor the author's matter.

        Args:
            room: The room's name.
            watcher: What to call.
            diverged: What to call if the log does not go on; None is nothing. It happens only where
                the log is kept by another program, which may lose some of it.

        Returns:
            What to call in order to stop it.
        """
