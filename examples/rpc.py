"""Remote calls between two programs, over one session and in both directions.

    python examples/rpc.py serve
    python examples/rpc.py call add 3 4
    python examples/rpc.py call wait 60

A call is a message with an id, and so is its answer; any number of calls may be under way. Ctrl-C
cancels the last of these at the other side too. A call is made at most once: after a restart of the
other side nobody knows what became of those that it had taken, and they fail.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import socketchat

Function = Callable[..., Awaitable[object]]

MOST = 100  # calls of the other side that are carried out at once
UNKNOWN = "the other side has gone or restarted; whether it was done is not known"


class CallFailed(Exception):
    """The other side did not do what it was asked for."""


class Rpc:
    """One end of a session over which both sides call each other's functions."""

    def __init__(self, session: socketchat.Session, **functions: Function) -> None:
        self.session = session
        self._functions = functions
        self._ids = itertools.count()
        self._calls: dict[int, asyncio.Future[Any]] = {}  # ours, which wait for their answers
        self._tasks: dict[int, asyncio.Task[None]] = {}  # theirs

    async def call(self, function: str, *args: object) -> Any:
        """Call a function of the other side; if this is cancelled, so is that."""
        number = next(self._ids)
        answer = self._calls[number] = asyncio.get_running_loop().create_future()
        try:
            await self._send(call=number, do=function, args=args)
            return await answer
        except asyncio.CancelledError:
            with contextlib.suppress(socketchat.SessionClosed):
                await self._send(cancel=number)
            raise
        finally:
            del self._calls[number]

    async def run(self) -> None:
        """Answer their calls, and take answers to ours, until the session ends."""
        lost: socketchat.SessionClosedError | None = None
        async with asyncio.TaskGroup() as group:
            try:
                async for event in self.session.events():
                    if isinstance(event, socketchat.Message):
                        await self._take(json.loads(event.text), group)
                    elif isinstance(event, socketchat.Restarted):
                        self._give_up()
            except socketchat.SessionClosedError as error:
                lost = error  # raised in here it would come out in a group
            finally:
                self._give_up()
        if lost is not None:
            raise lost

    async def _take(self, message: object, group: asyncio.TaskGroup) -> None:
        match message:
            case {"call": int(number)} if len(self._tasks) >= MOST:
                await self._send(failed=number, why="too many calls at once")
            case {"call": int(number), "do": str(name), "args": list(args)}:
                tasks = self._tasks
                tasks[number] = group.create_task(self._answer(number, name, args))
                tasks[number].add_done_callback(lambda _: tasks.pop(number))
            case {"cancel": int(number)} if number in self._tasks:
                self._tasks[number].cancel()
            case {"done": int(number), "value": value} if self._waits(number):
                self._calls[number].set_result(value)
            case {"failed": int(number), "why": str(why)} if self._waits(number):
                self._calls[number].set_exception(CallFailed(why))

    def _waits(self, number: int) -> bool:
        """Tell whether a call of ours waits for its answer, and has not just been cancelled."""
        return number in self._calls and not self._calls[number].done()

    async def _answer(self, number: int, name: str, args: list[object]) -> None:
        try:
            if name not in self._functions:
                raise LookupError(f"there is no function {name!r}")  # noqa: TRY301
            answer = {"done": number, "value": await self._functions[name](*args)}
        except Exception as exc:  # noqa: BLE001 - whatever it is, the caller is told
            answer = {"failed": number, "why": f"{type(exc).__name__}: {exc}"}
        with contextlib.suppress(socketchat.SessionClosed):
            await self._send(**answer)

    async def _send(self, **message: object) -> None:
        await self.session.send(json.dumps(message))

    def _give_up(self) -> None:
        """Fail our calls, and cancel theirs: whoever was to be answered is gone."""
        for number in filter(self._waits, self._calls):
            self._calls[number].set_exception(CallFailed(UNKNOWN))
        for task in self._tasks.values():
            task.cancel()
        self._tasks = {}  # another one would count its calls anew


async def add(*numbers: float) -> float:
    """Return the sum."""
    return sum(numbers)


async def wait(seconds: float) -> str:
    """Return after a time."""
    print(f"asked to wait {seconds} seconds", flush=True)
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        print("no longer wanted", flush=True)
        raise
    return f"{seconds} seconds have passed"


async def main(args: argparse.Namespace) -> None:
    """Answer calls, or make one and print what it returns."""
    if args.command == "serve":
        directory = Path.home() / ".socketchat-rpc"  # the same key each time, as in echo.py
        identity = await asyncio.to_thread(socketchat.Identity.load_or_generate, directory)

        async def answer(session: socketchat.Session) -> None:
            await Rpc(session, add=add, wait=wait).run()

        async with socketchat.serve(answer, args.host, args.port, identity=identity) as server:
            print(f"port {server.port}, key {server.fingerprint}", flush=True)
            await server.serve_forever()
    trust = args.fingerprint or "accept-new"
    async with socketchat.connect(args.host, args.port, trust=trust) as session:
        rpc = Rpc(session)
        running = asyncio.create_task(rpc.run())
        values = [json.loads(value) for value in args.values]
        print(await rpc.call(args.function, *values))
    await running


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Call functions of another program.")
    parser.add_argument("command", choices=["serve", "call"])
    parser.add_argument("function", nargs="?", choices=["add", "wait"], default="add")
    parser.add_argument("values", nargs="*", metavar="JSON")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=7626)  # beside echo.py
    parser.add_argument("--fingerprint", metavar="SHA256:...")
    signal.signal(signal.SIGINT, signal.default_int_handler)  # scripts start programs without it
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))  # as Ctrl-C
    try:
        asyncio.run(main(parser.parse_intermixed_args()))
    except KeyboardInterrupt:
        pass  # `async with` has said goodbye
    except (OSError, CallFailed, socketchat.SocketChatError) as error:
        sys.exit(f"rpc: {error}")
