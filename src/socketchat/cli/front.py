"""Which front end a session gets: the console at a terminal, plain lines anywhere else."""

from __future__ import annotations

import gc
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from socketchat.cli.failures import ExitCode, session_exit_code
from socketchat.cli.rooms import Rooms
from socketchat.cli.terminal import is_interactive, logs_shown_by, said_by, wants_color
from socketchat.session import Session

if TYPE_CHECKING:
    from socketchat.cli.console import Console
    from socketchat.cli.lines import Lines

__all__ = ["Front"]


class Front:
    """The front end of one session.

    Args:
        session: An open session; it is not closed here.
        plain: Use plain lines at a terminal too.
        no_color: Use no colours.
        as_json: Write one JSON object a line to stdout.
        leaving: What one does who leaves, as it is said at the beginning.
        rooms: The other rooms of the server; None if there are none.
        directory: Where it is kept what was typed and read; None keeps nothing.
    """

    def __init__(
        self,
        session: Session,
        *,
        plain: bool = False,
        no_color: bool = False,
        as_json: bool = False,
        leaving: str = "leaves",
        rooms: Rooms | None = None,
        directory: Path | None = None,
    ) -> None:
        self._session = session
        self._lines: Lines | None = None
        self._console: Console | None = None
        # Only the one that is needed is loaded: plain lines do without prompt_toolkit.
        if as_json or not is_interactive(plain=plain):
            from socketchat.cli.lines import Lines

            self._lines = Lines(session, as_json=as_json, leaving=leaving, rooms=rooms)
        else:
            from socketchat.cli.console import Console

            self._console = Console(
                session,
                color=wants_color(no_color=no_color),
                leaving=leaving,
                rooms=rooms,
                directory=directory,
            )

    @property
    def at_console(self) -> bool:
        """Whether it is the console."""
        return self._console is not None

    @property
    def close_code(self) -> int | None:
        """Why the session ended in which one sat last; None if it was left."""
        if self._console is not None:
            return self._console.session.close_code
        return self._session.close_code

    def sits_in(self, room: str) -> bool:
        """Tell whether one sits in a room, and sees what happens there."""
        if self._console is not None:
            return self._console.sits_in(room)
        return room == self._session.room

    def leave(self) -> None:
        """Let `run` return soon; from the event loop's own thread."""
        front = self._lines or self._console
        assert front is not None
        front.leave()

    def notice(self, text: str) -> None:
        """Say something that is no message."""
        front = self._lines or self._console
        assert front is not None
        front.notice(text)

    async def run(self) -> ExitCode:
        """Chat until the user leaves or the session ends; return the exit code.

        Raises:
            SessionClosedError: The session did not end in good order, and that was not said yet.
            Failure: The input cannot be sent, or was not acknowledged in time.
        """
        if self._lines is not None:
            return await self._lines.run()
        assert self._console is not None
        # What is loaded by now stays. Collecting garbage among all of it would take some 25 ms, in
        # the middle of a flood, while somebody waits for the echo of a key.
        gc.freeze()
        # Log lines that go elsewhere, as with 2>FILE, tear nothing.
        with ExitStack() as shown:
            if sys.stderr.isatty():
                shown.enter_context(logs_shown_by(self._console.notice))
                shown.enter_context(said_by(self._console.notice))
            await self._console.run()
        return session_exit_code(self._session)
