"""A seat in a room: what one member says on its way to the log, and its place in reading it.

The keeper of a `LoggedSession`. What the member posts is judged, slowed down to the rate, and
handed to the room; what is acknowledged is what the log has committed. What the room has to say is
given at once to a member that keeps up. One whose link takes no more has nothing stored on its
account but its place; when the link has drained it reads on from there, out of what the room
remembers or out of the log. `room.py` seats members.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from socketchat.chat.log import READ_SIZE, Draft, Entry, lane_name
from socketchat.chat.rate import TokenBucket
from socketchat.chat.registry import Standing
from socketchat.errors import CloseCode, LogError
from socketchat.logged import LoggedSession
from socketchat.messages import Command, DataPost, Event, Post, TextPost, encode

if TYPE_CHECKING:
    from socketchat.chat.room import Room

__all__ = ["MAX_UNCOMMITTED", "Member", "frame_of"]

#: Messages, and bytes (characters, of texts), of one member on their way to the log, at which
#: reading from it stops.
MAX_UNCOMMITTED = (1024, 4 * 2**20)
#: Messages, and bytes (characters, of texts), of one member that may wait until it has heard that
#: one before them was refused: reading must go on meanwhile. As much as clients have on their way
#: by default, so that few but those that do not answer exceed it.
MAX_BEHIND = (4096, 4 * 2**20)
#: A place behind which nothing ever is.
NOWHERE = 2**63
#: Seconds until it is looked again whether one is here for whom something waits.
RETRY_INTERVAL = 0.2
#: Seconds between two signs of a member's typing that are passed on.
TYPING_INTERVAL = 1.0

_log = logging.getLogger("socketchat.chat")


def frame_of(entry: Entry, own: int = 0) -> bytes:
    """Return the frame of a post that tells of an entry."""
    number, body, at = entry.number, entry.body, entry.at
    if isinstance(body, str):
        return encode(TextPost(number, body, at, entry.sender, entry.to, own, entry.key))
    return encode(DataPost(number, body, at, entry.sender, entry.to, own, entry.key))


class Member:
    """A session in a room.

    Attributes:
        session: The session.
        lane: The name of its lane, by which the room knows it.
        identity: Who that is: the device's key, or the lane of one that has none.
        standing: What it may do.
        nick: Its name in the room.
        place: The number of the last entry that it was given.
        told: How much of what passes in this turn of the loop had passed when it came.
    """

    def __init__(self, room: Room, session: LoggedSession, standing: Standing) -> None:
        self.session = session
        self.lane: bytes = lane_name(session.lane)
        self.identity: bytes = session.key or self.lane
        self.standing: Standing = standing
        self.nick: str = session.nick
        self.place: int = session.place.after[0]
        self.told = 0
        self._room = room
        self._loop = asyncio.get_running_loop()
        self._bucket = TokenBucket(room.rules.rate, self._loop.time())
        self._waiting: deque[Post] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._appending = 0
        self._appending_size = 0
        self._appended_to = 0
        self._refused = 0
        # What may be said by the rate, of what waits; if it stays, it waits for `_heard`, or for
        # somebody to come.
        self._granted = 0
        self._behind = 0
        self._unheard = False
        self._asking = False
        # Whether the next of what may be said is for somebody who may still be on the way here.
        self._undecided = False
        self._typed = -TYPING_INTERVAL
        self._reader: asyncio.Task[None] | None = None

    @property
    def is_host(self) -> bool:
        """Whether it sits at the server itself, and is told where others call from."""
        return not self.session.peer.address

    # ---- what it says ----

    def take(self, posts: Sequence[Post]) -> None:
        """Take what it posted."""
        self._waiting.extend(posts)
        if self._asking:
            self._behind += sum(len(post.body) for post in posts)
            if len(self._waiting) > MAX_BEHIND[0] or self._behind > MAX_BEHIND[1]:
                self._drop_waiting()
                reason = "too much was said behind what was refused"
                self.session.turn_away(CloseCode.TRY_AGAIN_LATER, reason)
                return
        if self._timer is None:
            self._release()

    def _release(self) -> None:
        """Hand over what may be said now, and read no more from the member than that."""
        self._timer = None
        ungranted = len(self._waiting) - self._granted
        self._granted += self._bucket.take(ungranted, self._loop.time())
        drafts = self._judge()
        if drafts:
            self._append(drafts)
        elif not self._appending and self._refused:
            self.session.hold(self._refused)
        if self._undecided:
            self._timer = self._loop.call_later(RETRY_INTERVAL, self._release)
        elif self._waiting and not self._granted:
            self._timer = self._loop.call_later(self._bucket.delay(), self._release)
        self._set_reading()

    def _judge(self) -> list[Draft]:
        """Return what may go to the log, and refuse what may not.

        A mark in the log covers all before it, and so a greeting would acknowledge what was
        refused, had the link been lost with the refusal. So nothing behind that is handed over
        before the member has heard it.
        """
        drafts: list[Draft] = []
        self._undecided = False
        while self._granted:
            post = self._waiting[0]
            verdict = self._room.judge(self, post)
            if verdict is None:
                self._undecided = True
                break
            if isinstance(verdict, Draft) and self._has_unheard():
                break
            self._waiting.popleft()
            self._granted -= 1
            if isinstance(verdict, Draft):
                drafts.append(verdict)
            else:
                self._refused = post.number
                self._unheard = True
                self._room.tally.rejected += 1
                self.session.reject(post.number, verdict.code, verdict.reason)
        self._has_unheard()  # ask now rather than when something waits for the answer
        return drafts

    def _has_unheard(self) -> bool:
        """Tell whether it may not have heard of something refused yet, and ask it."""
        if self._unheard and not self._asking:
            self._unheard, self._asking = False, True
            self.session.ask_heard(self._heard)
        return self._asking

    def _heard(self) -> None:
        """Go on: the member has heard what was refused."""
        self._asking = False
        self._behind = 0
        if self._timer is None:
            self._release()

    def _append(self, drafts: list[Draft]) -> None:
        # What came before is in the log, unless it is on its way; its mark may be gone by then.
        after = self._appended_to if self._appending else 0
        self._appended_to = drafts[-1].number
        size = sum(len(draft.body) for draft in drafts)
        self._appending += len(drafts)
        self._appending_size += size
        appended = self._room.append(self.lane, drafts, after)
        appended.add_done_callback(lambda future: self._appended(future, len(drafts), size))

    def _appended(self, future: asyncio.Future[int], count: int, size: int) -> None:
        self._appending -= count
        self._appending_size -= size
        error = future.exception()
        if error is not None:
            self._drop_waiting()
            self._room.host.log_failed(self, error)
            return
        mark = future.result()
        self._room.tally.messages += count
        # The room has had it acknowledge what is new; this is for repeats, of which no room is
        # told, and for what was refused, which is settled once everything before it is.
        self.session.hold(max(mark, self._refused) if not self._appending else mark)
        self._set_reading()

    def _drop_waiting(self) -> None:
        self._waiting.clear()
        self._granted = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_reading(self) -> None:
        slow = self._waiting and not self._asking  # it could not answer
        most, most_size = MAX_UNCOMMITTED
        if slow or self._appending > most or self._appending_size > most_size:
            self.session.pause_reading()
        elif self._appending <= most // 2 and self._appending_size <= most_size // 2:
            self.session.resume_reading()

    def hear(self, event: Event) -> None:
        """Pass on that it is typing; nothing else is for it to say."""
        now = self._loop.time()
        if event.kind == "typing" and now >= self._typed + TYPING_INTERVAL:
            self._typed = now
            self._room.typing(self)

    def obey(self, command: Command) -> None:
        """Have carried out what it asks for."""
        self._room.host.obey(self, command)

    # ---- what it is given ----

    @property
    def keeps_up(self) -> bool:
        """Whether it can be given something now; otherwise it reads on by itself."""
        return self._reader is None and self.session.takes_more

    def sees(self, entry: Entry) -> bool:
        """Tell whether an entry is for this member."""
        return not entry.to or self.identity in (entry.to_id, entry.key or entry.lane)

    def frame(self, entry: Entry, common: bytes = b"") -> bytes:
        """Return an entry's frame for this member, empty if it is not for it.

        `common` is the frame that others are given, if it is known.
        """
        if entry.lane == self.lane:
            return frame_of(entry, entry.lane_number)
        if not self.sees(entry):
            return b""
        return common or frame_of(entry)

    def give(self, frames: bytes, place: int) -> None:
        """Give it what there is up to a place."""
        self.place = place
        if frames:
            self.session.give(frames, place)

    def _give_all(self, frames: Sequence[bytes], place: int) -> None:
        """Give it frames, of which those that are not for it are empty."""
        self._room.tally.deliveries += sum(map(bool, frames))
        self.give(b"".join(frames), place)

    def stop_giving(self) -> None:
        """Give it nothing more: its place does not count."""
        self.place = NOWHERE

    def drained(self) -> None:
        """Read on: the link takes more again."""
        self.read_on()

    def read_on(self) -> None:
        """Give it what it lacks, as far as its link takes it."""
        if self._reader is not None:
            return
        while self.place < self._room.head and self.session.takes_more:
            recent = self._room.recent_after(self.place)
            if not recent:
                self._reader = self._room.host.own(self._read_log())
                return
            frames, size = [], 0
            for entry, common in recent:
                frames.append(self.frame(entry, common))
                size += len(common)
                if size >= READ_SIZE:
                    break
            self._give_all(frames, entry.number)

    async def _read_log(self) -> None:
        """Read one piece of the log, give it, and go on."""
        try:
            entries = await self._room.log.read(self._room.name, self.place)
            self._reader = None
            self._give_piece(entries)
        except LogError as exc:
            self._reader = None
            self._room.host.log_failed(self, exc)
        except Exception:  # noqa: BLE001 - else it would be given nothing more, without a word
            _log.exception("%s cannot be given what it lacks", self.nick)
            self.session.turn_away(CloseCode.INTERNAL_ERROR, "internal error")

    def _give_piece(self, entries: Sequence[Entry]) -> None:
        """Give it a piece of the log, and read on."""
        if not entries or entries[0].number != self.place + 1:
            # It comes back, and is told what it has missed in the greeting.
            reason = "what you had still to read is no longer in the log"
            self.session.turn_away(CloseCode.TRY_AGAIN_LATER, reason)
            return
        self._give_all([self.frame(entry) for entry in entries], entries[-1].number)
        self.read_on()

    # ---- the end ----

    def show_out(self, text: str, code: int = CloseCode.POLICY_VIOLATION) -> None:
        """Have it leave; until it is gone it may do nothing more."""
        self.standing = Standing()
        self.session.turn_away(code, text)

    def ended(self, *, lost: bool) -> None:
        """Free the seat: the session has ended. What was not handed over comes again."""
        self._drop_waiting()
        if self._reader is not None:
            self._reader.cancel()  # the host waits for it
        self._room.leave(self, lost=lost)
