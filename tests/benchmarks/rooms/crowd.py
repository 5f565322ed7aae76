"""The members of a room, all in one process: raw sockets, one epoll, and counters.

It has to be faster than any server, and the same for all of them. So it takes nothing apart: each
chunk is read into one buffer, and the marks in it are counted (`workload.MARK`). When it falls
behind all the same, the chunks grow, and it catches up; `busy` tells whether it was at its limit.
It knows a protocol only through its `Wire`.
"""

import itertools
import select
import socket
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tests.benchmarks.rooms.wires import Wire
from tests.benchmarks.rooms.workload import HOST, MARK

#: Seconds without any delivery after which those that are missing are lost.
PATIENCE = 5.0
#: Seconds between the signs of life of the members.
ALIVE_EVERY = 10.0
#: Seconds that getting into the room may take.
JOIN_TIMEOUT = 20.0

_BUFFER_SIZE = 2**18
_OVERLAP = len(MARK) - 1


class Member:
    """One connection.

    Attributes:
        answer: What it answers to what it hears.
        count: The deliveries that it has had.
        said: The messages that it has sent.
        closed: Whether the server has closed it.
    """

    __slots__ = ("_owed", "_tail", "answer", "closed", "connection", "count", "said")

    def __init__(self, wire: Wire, port: int, name: str) -> None:
        self.connection = socket.create_connection((HOST, port), timeout=JOIN_TIMEOUT)
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        wire.join(self.connection, name)
        self.connection.setblocking(False)
        self.count = 0
        self.said = 0
        self.closed = False
        self.answer = wire.answer()
        self._tail = b""
        self._owed = b""

    def take(self, buffer: bytearray) -> int:
        """Read a chunk, and return how many deliveries it completes."""
        try:
            size = self.connection.recv_into(buffer)
        except BlockingIOError:
            return 0
        except ConnectionError:
            size = 0
        if not size:
            self.closed = True
            return 0
        marks = buffer.count(MARK, 0, size)
        if self._tail:  # a mark may lie across two chunks
            marks += (self._tail + buffer[:_OVERLAP]).count(MARK, 0, len(self._tail) + size)
        if size >= _OVERLAP:
            self._tail = bytes(buffer[size - _OVERLAP : size])
        else:
            self._tail = (self._tail + buffer[:size])[-_OVERLAP:]
        if self.answer is not None and (answer := self.answer(buffer, size, marks)):
            self.send(answer)
        self.count += marks
        return marks

    def send(self, data: bytes) -> None:
        """Write, and keep what cannot be written now."""
        self._owed += data
        self.flush()

    def flush(self) -> bool:
        """Write what is kept, as far as possible, and return whether all is written."""
        if self._owed and not self.closed:
            try:
                self._owed = self._owed[self.connection.send(self._owed) :]
            except BlockingIOError:
                pass
            except ConnectionError:
                self.closed = True
        return not self._owed or self.closed


@dataclass(frozen=True, slots=True)
class Burst:
    """What came of messages that were said.

    Attributes:
        sent: How many.
        delivered: How often one of them reached one of the listeners.
        seconds: From the first send to the last delivery.
        lost: The deliveries that are missing.
        busy: The part of that time in which this process was at work.
    """

    sent: int
    delivered: int
    seconds: float
    lost: int
    busy: float


class Crowd:
    """Listeners, whose deliveries are counted, and senders, whose own are not.

    All of them are members of the room. If it has several servers, each takes its turn.
    """

    def __init__(self, wire: Wire, ports: Sequence[int], listeners: int, senders: int) -> None:
        """Get all of them into the room."""
        self._wire = wire
        self._ports = ports
        self._epoll = select.epoll()
        self._buffer = bytearray(_BUFFER_SIZE)
        self._members: dict[int, Member] = {}
        self._listening: set[int] = set()
        self._alive_at = time.monotonic() + ALIVE_EVERY
        self.delivered = 0
        self.listeners = self._join([f"m{i}" for i in range(listeners)])
        self._listening.update(member.connection.fileno() for member in self.listeners)
        self.senders = self._join([f"s{i}" for i in range(senders)])

    def _join(self, names: Sequence[str]) -> list[Member]:
        with ThreadPoolExecutor(self._wire.AT_ONCE) as pool:
            ports = itertools.cycle(self._ports)
            members = list(pool.map(lambda *at: Member(self._wire, *at), ports, names))
        for member in members:
            self._members[member.connection.fileno()] = member
            self._epoll.register(member.connection, select.EPOLLIN)
        return members

    @property
    def closed(self) -> int:
        """How many members the server has closed."""
        return sum(member.closed for member in (*self.listeners, *self.senders))

    def add(self, names: Iterable[str]) -> list[Member]:
        """Get more members into the room, whose deliveries are not counted."""
        return self._join(list(names))

    def mute(self, members: Iterable[Member]) -> None:
        """Read nothing more from these members."""
        for member in members:
            self._epoll.unregister(member.connection)

    def unmute(self, members: Iterable[Member]) -> None:
        """Read from them again."""
        for member in members:
            self._epoll.register(member.connection, select.EPOLLIN)

    def hear(self, timeout: float) -> int:
        """Take what there is, or comes within `timeout` seconds, and return the marks."""
        members, listening, buffer = self._members, self._listening, self._buffer
        delivered = heard = 0
        for fd, _ in self._epoll.poll(timeout):
            member = members[fd]
            marks = member.take(buffer)
            if fd in listening:
                delivered += marks
            heard += marks
            if member.closed:
                self._epoll.unregister(fd)
        self.delivered += delivered
        if self._wire.ALIVE and time.monotonic() > self._alive_at:
            self._alive_at = time.monotonic() + ALIVE_EVERY
            for member in members.values():
                member.send(self._wire.ALIVE)
        return heard

    def say(self, sender: Member, text: bytes, count: int = 1) -> None:
        """Have a sender say the same `count` times."""
        first = sender.said + 1
        sender.said += count
        sender.send(b"".join(self._wire.say(n, text) for n in range(first, first + count)))

    def wait(self, delivered: int) -> float | None:
        """Wait until there are so many deliveries; return the time of the last.

        Returns:
            None if some of them do not come.
        """
        last = time.perf_counter()
        while self.delivered < delivered:
            if self.hear(0.1):
                last = time.perf_counter()
            elif time.perf_counter() > last + PATIENCE or self.closed:
                return None
            for sender in self.senders:
                sender.flush()
        return last

    def gather(self, text: bytes) -> None:
        """Have each sender say one message, and wait until all listeners have all of them.

        Raises:
            ConnectionError: Some do not get them.
        """
        goal = self.delivered + len(self.senders) * len(self._listening)
        for sender in self.senders:
            self.say(sender, text)
        if self.wait(goal) is None:
            raise ConnectionError(f"{goal - self.delivered} first deliveries are missing")

    def burst(self, senders: Sequence[Member], text: bytes, seconds: float, window: int) -> Burst:
        """Say as much as the server passes on, for so many seconds; then wait for the rest.

        At most `window` messages are on their way, on the average of the listeners. The senders go
        on when a quarter of that is free, so that a server may read many messages at once, as it
        could if somebody sent without a limit.
        """
        listening = len(self._listening)
        before, cpu = self.delivered, time.process_time()
        start = time.perf_counter()
        sent = turn = 0
        while (now := time.perf_counter()) < start + seconds and not self.closed:
            free = window - (sent - (self.delivered - before) // listening)
            if free >= window // 4:
                share, more = divmod(free, len(senders))
                for index in range(len(senders)):
                    if count := share + (index < more):
                        self.say(senders[(turn + index) % len(senders)], text, count)
                turn += more
                sent += free
            flushed = [sender.flush() for sender in senders]
            self.hear(min(0.1, start + seconds - now) if all(flushed) else 0.001)
        goal = before + sent * listening
        end = self.wait(goal) or time.perf_counter()
        took = end - start
        lost = goal - self.delivered
        busy = (time.process_time() - cpu) / took
        return Burst(sent, self.delivered - before, took, lost, busy)

    def one_by_one(self, text: bytes, count: int) -> list[float] | None:
        """Say one message at a time; return what each took to the last listener, in seconds.

        Returns:
            None if one does not reach all.
        """
        took = []
        for index in range(count):
            goal = self.delivered + len(self._listening)
            start = time.perf_counter()
            self.say(self.senders[index % len(self.senders)], text)
            if (end := self.wait(goal)) is None:
                return None
            took.append(end - start)
        return took

    def close(self) -> None:
        """Close all connections."""
        self._epoll.close()
        for member in self._members.values():
            member.connection.close()
