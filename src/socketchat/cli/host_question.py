"""Which host to call, asked of who has named none: its name, or the number of one found around.

The servers that are announced on the network are looked for first, where zeroconf is installed.
Nobody must wait for that: a line that is typed meanwhile ends the search, and is the answer.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Coroutine, Sequence
from contextlib import suppress

from socketchat.cli.failures import ExitCode, Failure
from socketchat.cli.lan import Found, LanError, chosen_interfaces
from socketchat.cli.terminal import say

__all__ = ["ask_for_host"]

#: Seconds in which servers have time to answer.
PATIENCE = 2.0

_log = logging.getLogger("socketchat.lan")


def ask_for_host(*, look_around: bool) -> str:
    """Ask whom to call, and return that as it can be typed behind `connect`.

    Args:
        look_around: Whether to look for servers that are announced, and to list them.

    Raises:
        Failure: Nobody can be asked, or there was no answer.
    """
    if not sys.stdin.isatty():
        raise Failure(ExitCode.USAGE, "which host? socketchat connect HOST")
    found = _look_around() if look_around else []
    if found:
        _list(found)
    question = "number or host name: " if found else "host name: "
    # To who has answered already the question is not put.
    prompt = "" if found is None else question
    try:
        while True:
            print(prompt, end="", file=sys.stderr, flush=True)
            if answer := _chosen(input().strip(), found or ()):
                return answer
            prompt = question
    except EOFError:
        print(file=sys.stderr)  # the error gets a line of its own
        raise Failure(ExitCode.USAGE, "no host name was given") from None


def _chosen(answer: str, found: Sequence[Found]) -> str:
    """Return what was chosen, which may be `2/room` too; empty if that is nothing."""
    number, slash, room = answer.partition("/")
    if not (number.isascii() and number.isdecimal()):
        return answer
    if not found:
        say("there is no list to choose from: say a host name")
        return ""
    if len(number) <= len(str(len(found))) and 1 <= int(number) <= len(found):
        return f"{found[int(number) - 1].target}{slash}{room}"
    say(f"there is no server {number[:9]} here: say 1 to {len(found)}, or a host name")
    return ""


def _list(found: Sequence[Found]) -> None:
    for number, one in enumerate(found, 1):
        say(f"{number:>3}  {one.label} at {one.target}\n     {one.pin}")
    say("Anybody can announce anything: the key is checked, or asked about, when you call.")


def _look_around() -> list[Found] | None:
    """Return the servers that are announced, or None if something was typed before.

    There are none if that cannot be found out, which is told in the log alone.
    """
    try:
        from socketchat.cli.mdns import find
    except ImportError as exc:
        _log.info("servers on this network are not looked for: %s", exc)
        return []
    say("looking for servers on this network ...")
    try:
        with asyncio.Runner() as runner:
            return runner.run(_unless_typed(find(PATIENCE, chosen_interfaces())))
    except LanError as exc:
        _log.info("servers on this network cannot be looked for: %s", exc)
        return []


async def _unless_typed(search: Coroutine[object, object, list[Found]]) -> list[Found] | None:
    """Return what a search finds, or None as soon as there is a line to read from the terminal."""
    loop = asyncio.get_running_loop()
    typed: asyncio.Future[None] = loop.create_future()
    stdin = sys.stdin.fileno()

    def note() -> None:
        loop.remove_reader(stdin)
        typed.set_result(None)

    with suppress(NotImplementedError, OSError):  # Windows cannot tell
        loop.add_reader(stdin, note)
    searching = asyncio.create_task(search)
    await asyncio.wait((searching, typed), return_when=asyncio.FIRST_COMPLETED)
    if typed.done():
        searching.cancel()
        await asyncio.gather(searching, return_exceptions=True)  # whatever came of it
        return None
    return searching.result()
