"""What is tried with each of the servers that are compared.

Two are in the room, ada and bob, and each trial ends with a line that is heard: whatever was said
before it and has not come by then is lost. A trial returns what it found, in words for the table.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.comparison.members import Gone, Member
from tests.comparison.rooms import Process, Room, tapped
from tests.comparison.terminals import on_a_terminal

__all__ = ["TRIALS"]

#: Seconds without a line after which a room stands still.
PATIENCE = 10.0
#: What is said while one does not read: 20 MB, more than the system's own buffers hold. Those who
#: read have no more than a window of it on their way.
SLOW_LINES, SLOW_LENGTH, SLOW_WINDOW = 50_000, 400, 64


@dataclass(frozen=True, slots=True)
class Trial:
    """A server that runs, and the means to be in its room."""

    room: Room
    server: Process
    folder: Path

    @asynccontextmanager
    async def enter(self, nick: str, port: int = 0) -> AsyncIterator[Member]:
        """Be in the room."""
        member = await self.room.member.enter(port or self.server.port, nick, self.folder)
        try:
            yield member
        finally:
            await member.leave()

    async def back(self, member: Member, nick: str, port: int = 0) -> Member:
        """Come back after the link is lost, as the client itself does, or anew."""
        if member.comes_back:
            return member
        await member.leave()
        return await self.room.member.enter(port or self.server.port, nick, self.folder)


async def hear_until(member: Member, last: str) -> list[str]:
    """Return what is heard before a line."""
    heard: list[str] = []
    async with asyncio.timeout(60):
        while (text := await member.hear()) != last:
            heard.append(text)
    return heard


async def meet(one: Member, other: Member, word: str) -> list[str]:
    """Wait until both hear each other; return what the other heard before."""
    await other.say(f"{word} from the other")
    await hear_until(one, f"{word} from the other")
    await one.say(word)
    return await hear_until(other, word)


async def is_encrypted(trial: Trial) -> str:
    """Say something, and look for it in what passes on the way."""
    async with tapped(trial.server.port) as tap:
        async with trial.enter("ada", tap.port) as ada, trial.enter("bob") as bob:
            await meet(ada, bob, "a kettle")
        return "no: it is read on the way" if b"a kettle" in tap.seen else "yes"


async def is_heard_by_its_sender(trial: Trial) -> str:
    """Look whether who says something hears it where it stands among what others say."""
    async with trial.enter("ada") as ada, trial.enter("bob") as bob:
        await meet(ada, bob, "hello")
        await ada.say("mine")
        await hear_until(bob, "mine")
        await bob.say("yours")
        own = await hear_until(ada, "yours")
        return "yes" if "mine" in own else "no: its screen has an order of its own"


async def survives_a_cut(trial: Trial) -> str:
    """Cut the link of one who says something, and to whom something is said."""
    async with tapped(trial.server.port) as tap, trial.enter("ada") as ada:
        bob = await trial.room.member.enter(tap.port, "bob", trial.folder)
        try:
            await meet(ada, bob, "hello")
            tap.deaf = True
            for number in range(10):
                await bob.say(f"bob's {number}")
            tap.cut()
            for number in range(10):
                await ada.say(f"ada's {number}")
            bob = await trial.back(bob, "bob", tap.port)
            # What bob has said comes before his next line, if it comes.
            await bob.say("bob is back")
            of_bob = [text for text in await hear_until(ada, "bob is back") if "bob's" in text]
            await ada.say("end")
            of_ada = [text for text in await hear_until(bob, "end") if "ada's" in text]
        finally:
            await bob.leave()
    return f"{len(of_bob)} of 10 said while it was cut came, and {len(of_ada)} of 10 said to it"


async def survives_a_kill(trial: Trial) -> str:
    """Kill the server while much is said, and start it again."""
    ada = await trial.room.member.enter(trial.server.port, "ada", trial.folder)
    bob = await trial.room.member.enter(trial.server.port, "bob", trial.folder)
    heard: list[str] = []
    try:
        await meet(ada, bob, "hello")
        ears = [asyncio.create_task(collect(ada, [])), asyncio.create_task(collect(bob, heard))]
        said = await say_and_kill(ada, trial.server)
        await trial.server.start()
        if not ada.comes_back:
            await asyncio.gather(*ears)
            ada, bob = await trial.back(ada, "ada"), await trial.back(bob, "bob")
            heard += await meet(ada, bob, "again")
            ears = [asyncio.create_task(collect(ada, [])), asyncio.create_task(collect(bob, heard))]
        await ada.say("that was all")
        await ears[1]
    finally:
        await ada.leave()
        await bob.leave()
    await ears[0]
    numbers = [text for text in heard if text.startswith("number")]
    lost, doubled = said - len(set(numbers)), len(numbers) - len(set(numbers))
    return f"{lost} of {said} that were said without an error are lost, {doubled} doubled"


async def say_and_kill(ada: Member, server: Process) -> int:
    """Say 2,000 lines, kill the server in the middle, and return how many had no error."""
    for number in range(2_000):
        if number == 1_000:
            await server.kill()
        try:
            await ada.say(f"number {number}")
        except Gone:
            return number
        await asyncio.sleep(0)
    return 2_000


async def collect(member: Member, heard: list[str]) -> None:
    """Hear everything, until all was said or the link is lost."""
    with suppress(Gone):
        while (text := await member.hear()) != "that was all":
            heard.append(text)


async def has_history(trial: Trial) -> str:
    """Come in after something was said."""
    async with trial.enter("ada") as ada:
        async with trial.enter("bob") as bob:
            await meet(ada, bob, "hello")
            for number in range(10):
                await ada.say(f"number {number}")
            await ada.say("that was all")
            await hear_until(bob, "that was all")
        async with trial.enter("carol") as carol:
            heard = await meet(ada, carol, "hello carol")
    return f"{len([text for text in heard if text.startswith('number')])} of 10"


async def bears_a_slow_member(trial: Trial) -> str:
    """Have one not read while 20 MB are said, no faster than another reads; then it reads on."""
    async with trial.enter("ada") as ada, trial.enter("bob") as bob, trial.enter("carol") as carol:
        await meet(ada, bob, "hello bob")
        await meet(ada, carol, "hello carol")

        before = trial.server.peak_memory()
        window = asyncio.Semaphore(SLOW_WINDOW)

        async def say_all() -> None:
            for number in range(SLOW_LINES):
                await window.acquire()
                await ada.say(f"{number} ".ljust(SLOW_LENGTH, "x"))
            await ada.say("that was all")

        # A sender must read too: socketchat's hears itself.
        tasks = [asyncio.create_task(say_all()), asyncio.create_task(collect(ada, []))]
        try:
            carols, how = await count_lines(carol, window)
        finally:
            memory = trial.server.peak_memory()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        bobs, bobs_how = await count_lines(bob)
    return (
        f"the others: {carols} of {SLOW_LINES} lines{how}; the slow one, reading on: {bobs}"
        f"{bobs_how}; the server's memory: {before} MB, then {memory}"
    )


async def count_lines(member: Member, window: asyncio.Semaphore | None = None) -> tuple[int, str]:
    """Count what is heard, until all of it is, nothing more comes, or the link is lost."""
    count = 0
    while True:
        try:
            async with asyncio.timeout(PATIENCE):
                text = await member.hear()
        except TimeoutError:
            return count, ", then nothing for ten seconds"
        except Gone:
            return count, ", then its link was cut"
        if text == "that was all":
            return count, ""
        if text.endswith("x"):
            count += 1
            if window is not None:
                window.release()


async def keeps_typed_lines_apart(trial: Trial) -> str:
    """Type half a line in the usual client, and hear something meanwhile."""
    if not (command := trial.room.client(trial.server.port)):
        return "its clients are not part of it"
    async with trial.enter("bob") as bob, on_a_terminal(command, trial.folder) as screen:
        while True:  # until it is in the room
            await bob.say("are you there?")
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await screen.shows("are you there?")
                    break
        screen.type("half a line")
        await screen.shows("half a line")
        await bob.say("hello from bob")
        await screen.shows("hello from bob")
        mixed = [row for row in screen.rows if "half a line" in row and "hello" in row]
        return f"no: {mixed[0]!r} is one row" if mixed else "yes"


TRIALS: dict[str, Callable[[Trial], Coroutine[Any, Any, str]]] = {
    "encrypted": is_encrypted,
    "typed lines": keeps_typed_lines_apart,
    "one order": is_heard_by_its_sender,
    "history": has_history,
    "a cut link": survives_a_cut,
    "a killed server": survives_a_kill,
    "a slow member": bears_a_slow_member,
}
