"""The queue of what members ask for: one after the other, not too many at once, each answered.

`attendant.py` and `moderation.py` carry it out; `server.py` hands it over, and has what happens run
as a task.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from socketchat.chat.attendant import Attendant
from socketchat.chat.moderation import Moderator
from socketchat.errors import CloseCode, CommandFailed, LogError
from socketchat.messages import MAX_ANSWER, Answer, Command
from socketchat.session import SessionState

if TYPE_CHECKING:
    from socketchat.chat.member import Member

__all__ = ["CommandQueue"]

#: Commands of one member that may wait to be carried out.
MAX_COMMANDS = 16

_log = logging.getLogger("socketchat.chat")


@dataclass(slots=True)
class _Queue:
    """One member's commands: how many are not answered yet; `order` is held while one is done."""

    length: int = 0
    order: asyncio.Lock = field(default_factory=asyncio.Lock)


class CommandQueue:
    """Carries out what members ask for, each member's in the order in which it does.

    Args:
        attendant: Carries out what everybody may ask for.
        moderator: Carries out what operators may.
        own: Runs something as a task.
        note: Called with an error of the log's, once the member has been answered.
        moderated: Called with the member, the name that it had, the command that the moderator has
            carried out for it, and the answer.
    """

    def __init__(
        self,
        attendant: Attendant,
        moderator: Moderator,
        *,
        own: Callable[[Coroutine[Any, Any, None]], object],
        note: Callable[[LogError], object],
        moderated: Callable[[Member, str, str, str], object],
    ) -> None:
        self._attendant = attendant
        self._moderator = moderator
        self._own = own
        self._note = note
        self._moderated = moderated
        #: Of members that have any.
        self._queues: dict[Member, _Queue] = {}

    def obey(self, member: Member, command: Command) -> None:
        """Carry out what a member asks for, and answer."""
        queue = self._queues.setdefault(member, _Queue())
        if queue.length >= MAX_COMMANDS:
            reason = f"{MAX_COMMANDS} commands are on their way already"
            member.session.answer(Answer(command.id, CloseCode.TRY_AGAIN_LATER, reason))
            return
        queue.length += 1
        self._own(self._obey(member, queue, command))

    async def _obey(self, member: Member, queue: _Queue, command: Command) -> None:
        try:
            async with queue.order:
                if member.session.state is not SessionState.OPEN:
                    return  # it was shown out, or is leaving
                answer, failure = await self._answer(member, command)
        finally:
            queue.length -= 1
            if not queue.length:
                del self._queues[member]
        member.session.answer(answer)
        if failure is not None:
            self._note(failure)  # after the answer: giving up ends the session it goes out on

    async def _answer(self, member: Member, command: Command) -> tuple[Answer, LogError | None]:
        """Do what a member asks for; return the answer, and what failed of the log's."""
        code, text = int(CloseCode.OK), ""
        failure: LogError | None = None
        try:
            text = await self._carry_out(member, command)
        except CommandFailed as exc:
            code, text = exc.code, exc.reason
        except LogError as exc:
            code, text, failure = CloseCode.TRY_AGAIN_LATER, str(exc), exc
        except Exception:  # noqa: BLE001 - one command's bug is not the server's end; it is logged
            _log.exception("the command %r of %s failed", command.name, member.nick)
            code, text = CloseCode.INTERNAL_ERROR, "internal error"
        return Answer(command.id, code, text[:MAX_ANSWER]), failure

    async def _carry_out(self, member: Member, command: Command) -> str:
        """Do what a member asks for, and say what was done.

        Raises:
            CommandFailed: It is not done; the reason says why.
            LogError: The log or the registry cannot do it.
        """
        nick = member.nick
        answer = await self._attendant.carry_out(member, command.name, command.argument)
        if answer is None:
            answer = await self._moderator.carry_out(member, command.name, command.argument)
            self._moderated(member, nick, command.name, answer)
        return answer
