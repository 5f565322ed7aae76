"""The machine on which Redis runs, and the network that joins it to the servers.

The real package `redis` calls it: where it would open a connection of TCP it gets the near end of a
link in memory, which can be cut, stalled and made slow as any other. The server processes are told
apart by the name of the host under which they look for Redis: so nothing that is left of one that
was killed gets through.

One command is carried out after the other, whoever has sent it, and what it has written is durable
before the reply goes out: `appendfsync always`. A server that is killed has done what it has done,
and nobody knows what became of what was asked last.
"""

from __future__ import annotations

import asyncio
import errno
import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from socketchat.testing import End, MemoryLink, Streams, stream_pair
from tests.simulation.network import Notice, bury, set_latency
from tests.simulation.redis_model import Failure, RedisData, Status, streams_of

__all__ = ["DOMAIN", "RedisMachine"]

#: What the names of hosts end with under which processes look for Redis.
DOMAIN = ".redis.test"
#: The most commands that are carried out before replies go out.
_GROUP = 8

Command = list[bytes]


class RedisMachine:
    """Runs one server after the other, all on the same data.

    Attributes:
        data: What it holds.
        slowness: Seconds until what was asked is done, at the most.
        slow: Seconds that anything takes to arrive over new links, at the most.
        frozen: Whether it does nothing, as a process that is stopped.
        is_up: Whether there is a server.
        cut_off: The machines of servers from and to which nothing gets through.
    """

    def __init__(
        self, data: RedisData, rng: random.Random, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.data = data
        self.is_up = True
        self.cut_off: set[str] = set()
        self._rng = rng
        self._loop = asyncio.get_running_loop()
        self._links: list[tuple[str, MemoryLink]] = []
        self._gone: set[str] = set()
        self._connections: dict[int, _Connection] = {}
        self._queue: deque[tuple[_Connection, Command]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._runs = 1
        self._numbers = 0
        self.frozen = False
        self.heal()
        monkeypatch.setattr(asyncio, "open_connection", self._open)

    def heal(self) -> None:
        """Work well, and let everything pass."""
        self.slowness = 0.003
        self.slow = 0.002
        self.data.full = False
        self.cut_off.clear()
        for _, link in self._links:
            link.resume()
        self.thaw()

    def close(self) -> None:
        """End all connections, for good."""
        self.is_up = False
        for _, link in self._links:
            link.__exit__()

    # ---- the network ----

    async def _open(self, host: str, port: int, **_: object) -> Streams:
        name = host.removesuffix(DOMAIN)
        await asyncio.sleep(self._rng.random() * self.slow)
        if name in self._gone or not self.is_up:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
        link = stream_pair(latency=self._rng.random() * self.slow)
        if _machine_of(name) in self.cut_off:
            link.stall()
        self._links.append((name, link))
        self._numbers += 1
        number = self._numbers
        self._connections[number] = _Connection(self, number, link)
        return link.near

    def links(self, machine: str = "") -> list[MemoryLink]:
        """Return the links that neither end has lost, of all machines or of one."""
        self._links = [each for each in self._links if not all(_closing(each[1]))]
        live = [(name, link) for name, link in self._links if not any(_closing(link))]
        return [link for name, link in live if machine in ("", _machine_of(name))]

    def cut_off_from(self, machine: str) -> None:
        """Let nothing pass any more between a machine and this one."""
        self.cut_off.add(machine)
        for link in self.links(machine):
            link.stall()

    def join(self, machine: str) -> None:
        """Let pass again what is still on its way."""
        self.cut_off.discard(machine)
        for link in self.links(machine):
            link.resume()

    def set_latency(self, seconds: float) -> None:
        """Have everything take so long to arrive, at the most."""
        self.slow = seconds
        for link in self.links():
            set_latency(link, self._rng.random() * seconds)

    def bury_caller(self, name: str) -> None:
        """Have a process that is dead get nothing more through but what it has sent."""
        self._gone.add(name)
        for whose, link in self._links:
            if whose == name and not link.near[1].transport.is_closing():
                bury(link, End.NEAR, self._rng.choice(list(Notice)))

    # ---- the server's life ----

    def kill(self) -> None:
        """Kill the server: all that is left is what its data hold."""
        self.is_up = False
        self._queue.clear()
        for link in self.links():
            bury(link, End.FAR, self._rng.choice(list(Notice)))
        self._connections.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def start(self) -> None:
        """Start a server on what there is."""
        self.is_up = True
        self._runs += 1
        self._numbers = 0
        self.data.forget_scripts()

    def freeze(self) -> None:
        """Do nothing, while connections are taken."""
        self.frozen = True

    def thaw(self) -> None:
        """Go on."""
        self.frozen = False
        self._plan()

    # ---- commands ----

    def asked(self, connection: _Connection, commands: Sequence[Command]) -> None:
        """Take what was asked over a connection."""
        self._queue.extend((connection, command) for command in commands)
        self._plan()

    def _plan(self) -> None:
        if self._timer is None and self._queue and not self.frozen:
            # Most are quick, even on a slow disk.
            delay = self.slowness * self._rng.random() ** 3
            self._timer = self._loop.call_later(delay, self._work)

    def _work(self) -> None:
        self._timer = None
        if self.frozen:
            return
        answered: dict[int, _Connection] = {}
        for _ in range(min(len(self._queue), self._rng.randint(1, _GROUP))):
            if not self._queue:
                break
            connection, command = self._queue.popleft()
            if connection.is_dropped:
                continue
            if connection.blocked is not None:
                connection.behind.append(command)
                continue
            answered[id(connection)] = connection
            self._carry_out(connection, command)
        self._wake_blocked()
        for connection in answered.values():
            connection.flush()
        self._plan()

    def _carry_out(self, connection: _Connection, command: Command) -> None:
        name = command[0].upper()
        own: dict[bytes, Callable[..., Any]] = {
            b"CLIENT": self._client,
            b"INFO": self._info,
            b"PUBLISH": self._publish,
        }
        if name == b"SUBSCRIBE":
            connection.channel = command[1]
            connection.reply([b"subscribe", command[1], 1])
        elif name == b"XREAD" and b"BLOCK" in command:
            seconds = int(command[command.index(b"BLOCK") + 1]) / 1000
            connection.block(command, seconds)
            self._look_at_blocked(connection)
        elif name in own:
            connection.reply(own[name](connection, *command[1:]))
        else:
            connection.reply(self.data.do(command))

    def _client(self, connection: _Connection, sub: bytes, *args: bytes) -> Any:
        if sub == b"ID":
            return connection.number
        if sub == b"SETINFO":
            return Status("OK")
        if sub == b"KILL" and args[0] == b"ID":
            found = self._connections.get(int(args[1]))
            if found is not None:
                found.drop()
            return int(found is not None)
        return Failure("ERR unknown subcommand")

    def _info(self, connection: _Connection, *_: bytes) -> Any:
        facts = {"redis_version": "7.0.15", "role": "master", "run_id": f"run{self._runs}"}
        facts["maxmemory_policy"] = "noeviction"
        return "".join(f"{name}:{value}\r\n" for name, value in facts.items()).encode()

    def _publish(self, connection: _Connection, channel: bytes, text: bytes) -> int:
        hearers = [each for each in self._connections.values() if each.channel == channel]
        for each in hearers:
            each.reply([b"message", channel, text])
            if each is not connection:
                each.flush()
        return len(hearers)

    # ---- those who block ----

    def _wake_blocked(self) -> None:
        """Answer those who wait for what was added."""
        if not self.data.more:
            return
        for connection in list(self._connections.values()):
            if connection.blocked is not None:
                keys, _ = streams_of(connection.blocked)
                if not self.data.more.isdisjoint(keys):
                    self._look_at_blocked(connection)
        self.data.more.clear()

    def _look_at_blocked(self, connection: _Connection) -> None:
        assert connection.blocked is not None
        reply = self.data.do(connection.blocked)
        if reply is not None:
            self._unblock(connection, reply)

    def timed_out(self, connection: _Connection) -> None:
        """Answer one for whom nothing has come."""
        if (
            connection.blocked is not None
            and self._connections.get(connection.number) is connection
        ):
            self._unblock(connection, None)

    def _unblock(self, connection: _Connection, reply: Any) -> None:
        behind = connection.unblock()
        connection.reply(reply)
        connection.flush()
        self._queue.extendleft((connection, command) for command in reversed(behind))
        self._plan()

    def lost(self, connection: _Connection) -> None:
        """Take notice that the other end of a connection is gone."""
        # What has arrived is perhaps carried out before that is noticed.
        if self._rng.random() < 0.5:
            connection.is_dropped = True
        self.forget(connection)

    def forget(self, connection: _Connection) -> None:
        """Have a connection be no more."""
        if self._connections.get(connection.number) is connection:
            del self._connections[connection.number]


class _Connection(asyncio.Protocol):
    """The server's end of a connection: bytes to commands, and replies to bytes.

    Attributes:
        number: By which the server knows it.
        is_dropped: Whether what it still asks does not count.
        channel: What it hears.
        blocked: The command that waits for something to come.
        behind: What was asked after that.
    """

    def __init__(self, machine: RedisMachine, number: int, link: MemoryLink) -> None:
        self.number = number
        self.is_dropped = False
        self.channel = b""
        self.blocked: Command | None = None
        self.behind: list[Command] = []
        self._machine = machine
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._received = bytearray()
        self._replies: list[bytes] = []
        self._transport: asyncio.Transport = link.far[1].transport  # type: ignore[assignment]
        self._transport.set_protocol(self)

    def data_received(self, data: bytes) -> None:
        self._received += data
        commands = list(_commands(self._received))
        if commands and not self.is_dropped:
            self._machine.asked(self, commands)

    def connection_lost(self, exc: Exception | None) -> None:
        self.unblock()
        self._machine.lost(self)

    def drop(self) -> None:
        """Hang up; what was asked and is not done yet is not done."""
        self.is_dropped = True
        self.unblock()
        self._transport.abort()
        self._machine.forget(self)

    def reply(self, reply: Any) -> None:
        """Have something be replied."""
        self._replies.append(_packed(reply))

    def flush(self) -> None:
        """Send the replies."""
        replies, self._replies = self._replies, []
        if not self._transport.is_closing():
            self._transport.write(b"".join(replies))

    def block(self, command: Command, seconds: float) -> None:
        """Wait for something to come."""
        self.blocked = command
        self._timer = self._loop.call_later(seconds, self._machine.timed_out, self)

    def unblock(self) -> list[Command]:
        """Wait no more; return what was asked meanwhile."""
        self.blocked = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        behind, self.behind = self.behind, []
        return behind


def _closing(link: MemoryLink) -> list[bool]:
    """Tell of each end whether it is closed, or about to be."""
    return [writer.transport.is_closing() for _, writer in link]


def _machine_of(name: str) -> str:
    return name.partition("-")[0]


def _commands(received: bytearray) -> Iterator[Command]:
    """Take whole commands off what was received."""
    while (command := _command(received)) is not None:
        yield command


def _command(received: bytearray) -> Command | None:
    place = received.find(b"\r\n")
    if place < 0:
        return None
    assert received[:1] == b"*"
    command: Command = []
    count, place = int(received[1:place]), place + 2
    for _ in range(count):
        end = received.find(b"\r\n", place)
        if end < 0:
            return None
        start = end + 2
        size = int(received[place + 1 : end])
        place = start + size + 2
        if len(received) < place:
            return None
        command.append(bytes(received[start : start + size]))
    del received[:place]
    return command


def _packed(reply: Any) -> bytes:
    match reply:
        case None:
            return b"$-1\r\n"
        case Status():
            return b"+%b\r\n" % reply.encode()
        case Failure():
            return b"-%b\r\n" % str(reply).encode()
        case int():
            return b":%d\r\n" % reply
        case bytes():
            return b"$%d\r\n%b\r\n" % (len(reply), reply)
        case list():
            return b"*%d\r\n%b" % (len(reply), b"".join(map(_packed, reply)))
        case _:
            raise TypeError(f"Redis has no such reply: {reply!r}")
