"""What is asked of the user about a server that is not known here.

The question is asked on stderr, and only where a person is at the terminal to answer it: the
library refuses such a server, and `calling.py` comes here before it calls again.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, suppress

from socketchat.cli.failures import ExitCode, Failure
from socketchat.cli.stdio import InputError, LineInput, Unfit
from socketchat.cli.terminal import can_be_asked, forget_what_was_typed, notice, say
from socketchat.client import connect
from socketchat.errors import HandshakeError, UntrustedPeer
from socketchat.fingerprint import is_pin
from socketchat.text import clean
from socketchat.trust.known_hosts import KnownHosts, as_typed

__all__ = ["introduce", "introduce_all"]

#: Seconds that a server has to show its key, if others can be called in its place.
PATIENCE = 3.0

#: Characters from which on an answer is taken for a key, or what was pasted of one.
_LIKE_A_KEY = 20


async def introduce(stranger: UntrustedPeer, known: KnownHosts, host: str, *, ask: bool) -> None:
    """Ask whether the key that a server has shown is the right one, and remember it if it is.

    Cancellation: nothing is remembered.

    Args:
        stranger: With what the server was refused.
        known: The hosts that are known.
        host: The server's name there, as `host:port`.
        ask: Whether the user wants to be asked.

    Raises:
        Failure: It is not, or nobody can be asked.
        OSError: The file of known hosts cannot be read or written.
    """
    name, key = clean(as_typed(host), multiline=False), stranger.fingerprint
    if not ask or not can_be_asked():
        raise Failure(ExitCode.NOT_TRUSTED, _what_to_do(name, key))
    others = [it.host for it in await asyncio.to_thread(known.all) if it.pin == key]
    say(f"{name} is not known here. It shows the key\n    {key}")
    if others:
        names = clean(", ".join(map(as_typed, others)), multiline=False)
        say(f"That key is known here already, as that of {names}.")
    say("Compare it with the one that the server shows when it starts.")
    forget_what_was_typed()
    async with aclosing(LineInput(sys.stdin.fileno()).lines()) as answers:
        why_not = await _why_not(answers, name, key)
    if why_not:
        raise Failure(ExitCode.NOT_TRUSTED, f"{why_not}; nothing was sent to it")
    await asyncio.to_thread(known.add, host, key)


async def introduce_all(names: Sequence[str], known: KnownHosts) -> None:
    """Ask about the keys of several servers, as `introduce` does, as far as they can be reached.

    Nothing is said to any of them.

    Raises:
        Failure: One of them is not the right one.
        OSError: The file of known hosts cannot be read or written.
    """
    strangers = await asyncio.gather(*(_stranger_at(name, known) for name in names))
    for name, stranger in zip(names, strangers, strict=True):
        if stranger is not None:
            await introduce(stranger, known, name, ask=True)
        else:
            shown = clean(as_typed(name), multiline=False)
            notice(f"{shown} is not known here, and shows no key now: it is passed over")


async def _stranger_at(name: str, known: KnownHosts) -> UntrustedPeer | None:
    """Return as whom a server shows itself that is not known; None if it does not."""
    try:
        session = await connect([name], known_hosts=known.path, open_timeout=PATIENCE)
    except UntrustedPeer as exc:
        return exc
    except (OSError, HandshakeError):
        return None
    session.abort()  # another program has met it in this moment
    return None


async def _why_not(answers: AsyncIterator[str | Unfit], name: str, key: str) -> str:
    """Ask until there is an answer; return why the key is not the right one, if it is not."""
    _prompt("Is that the right one? Say yes or no, or paste the one that it must be: ")
    with suppress(InputError):
        async for answer in answers:
            # As the server's line begins. One that is not even UTF-8 is no answer.
            said = "" if isinstance(answer, Unfit) else answer.strip().removeprefix("key ")
            if said.lower() == "yes":
                return ""
            if said.lower() == "no":
                break
            pasted = "SHA256:" + said.removeprefix("SHA256:")
            if pasted == key:
                return ""
            if is_pin(pasted) or pasted == said or len(said) >= _LIKE_A_KEY:
                return f"{name} has the key {key}, which differs from {pasted}"
            _prompt("yes, no, or the whole key: ")
        else:
            say("")  # the input has ended in the line of the question
    return f"{name} is not trusted"


def _what_to_do(name: str, key: str) -> str:
    return (
        f"{name} is not known here, and nobody can be asked. Its key is {key}: if that is right, "
        f"say --fingerprint {key}, or call it once from a terminal; "
        "--trust accept-new takes the key of any new server"
    )


def _prompt(text: str) -> None:
    print(text, end="", file=sys.stderr, flush=True)
