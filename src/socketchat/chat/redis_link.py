"""Connections to a Redis server: making them, asking over them, and what its errors mean.

A `RedisLink` is one connection over which many ask at once: what is asked goes out in that order,
and is answered in that order. When it is lost, whoever needs another one asks `RedisStore` for it;
for what may be asked twice `redis_caller.py` does so by itself. This is the only file that imports
redis, of which it uses addresses, connections and the parser. It knows neither rooms nor logs.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from redis.asyncio.connection import AbstractConnection, Connection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    ClusterDownError,
    MasterDownError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import TimeoutError as RedisTimeoutError

from socketchat.chat.redis_scripts import SCRIPTS
from socketchat.chat.redis_sentinel import watch_of
from socketchat.errors import LogError, LogFailed, LogUnavailable

__all__ = [
    "TIMEOUT",
    "Command",
    "RedisLink",
    "RedisLost",
    "RedisStore",
    "Subscription",
    "delays",
    "dry_write",
    "shown",
]

#: A command and its arguments; texts go as UTF-8.
Command = Sequence[str | bytes | int]

_log = logging.getLogger("socketchat.chat")

#: Seconds between two attempts to connect: the first and the longest.
_DELAYS: Final = 0.05, 1.0
#: Seconds without an answer after which a connection is lost, unless it is given.
TIMEOUT: Final = 5.0
#: Seconds for which a connection may take to close.
_CLOSING: Final = 1.0

#: The oldest Redis with `XTRIM MINID`.
_OLDEST: Final = 6, 2

#: Errors that are the server's and not the command's: it is starting, is a replica by now, or has
#: lost the scripts. They go away with another connection, later or to another server. (redis takes
#: the code off the text of those that it has a class for.)
_AWAY_CLASSES: Final = (
    ClusterDownError,
    MasterDownError,
    NoScriptError,
    ReadOnlyError,
    TryAgainError,
)
_AWAY: Final = frozenset({"BUSY", "MASTERDOWN", "NOSCRIPT", "READONLY", "UNBLOCKED"})
#: Errors of a server that has done nothing and may do it later.
_REFUSED_CLASSES: Final = (NoPermissionError, OutOfMemoryError)
_REFUSED: Final = frozenset({"MISCONF", "NOPERM", "NOREPLICAS", "OOM"})
#: What writing raises when a connection is gone. uvloop has a RuntimeError for one that was reset
#: while nobody used it.
_BROKEN: Final = (RedisError, OSError, RuntimeError)
#: An error's code; that of a script's command stands within the script's own up to Redis 6.2.
_CODE: Final = re.compile(r"(?:^|: ?-)([A-Z]{3,})\b")


class RedisLost(Exception):
    """The connection is gone, or no use any more; what was asked last may have been done."""


def shown(url: str) -> str:
    """Return a URL as it may be shown and logged: without names, passwords and options."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def delays() -> Iterator[float]:
    """Return the seconds to wait between attempts, for ever."""
    delay, longest = _DELAYS
    while True:
        yield delay
        delay = min(delay * 2, longest)


class RedisLink:
    """One connection to Redis.

    Args:
        connection: It is connected.
        timeout: Seconds without an answer after which it is lost.

    Attributes:
        client_id: The server's number of it.
        facts: What the server tells about itself; nothing if it does not.
    """

    def __init__(self, connection: AbstractConnection, timeout: float) -> None:
        self.client_id = 0
        self.facts: Mapping[str, str] = {}
        self._connection = connection
        self._timeout = timeout
        self._lost: RedisLost | None = None
        self._order = asyncio.Lock()
        self._asked: deque[tuple[int, float, asyncio.Future[list[Any]]]] = deque()
        self._some = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    @property
    def is_lost(self) -> bool:
        """Whether it can be used no more."""
        return self._lost is not None

    async def ask(self, commands: Sequence[Command], *, longer: float = 0.0) -> list[Any]:
        """Have commands carried out, in order, and return the replies.

        A reply that is an error is there as a `LogError`, by what it means: a list has as many
        items as there are commands.

        Args:
            commands: What is to be done.
            longer: Seconds that it may take beyond the usual time.

        Raises:
            RedisLost: Some may have been carried out, or all, or none.

        Cancellation: what was asked is carried out or not.
        """
        done: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        async with self._order:
            if self._lost is None and not self._connection.is_connected:
                # Else it would connect anew by itself.
                self._lose("Redis is away: the connection was closed")
            if self._lost is not None:
                raise RedisLost(*self._lost.args)
            data = b"".join(map(_packed, commands))
            self._asked.append((len(commands), self._timeout + longer, done))
            self._some.set()
            try:
                async with asyncio.timeout(self._timeout):
                    await self._connection.send_packed_command(data, check_health=False)
            except _BROKEN as exc:
                self._lose(f"Redis is away: {_words(exc)}")
            except asyncio.CancelledError:
                self._lose("it was cancelled half-way")
                raise
        return await done

    async def close(self) -> None:
        """Close it, and wait until it is."""
        self._lose("it is closed")
        await asyncio.wait([self._reading])

    async def _read(self) -> None:
        """Read the replies, for those who asked, in their order."""
        try:
            while True:
                while not self._asked:
                    self._some.clear()
                    await self._some.wait()
                count, timeout, done = self._asked[0]
                async with asyncio.timeout(timeout):
                    replies = [await self._reply() for _ in range(count)]
                self._asked.popleft()
                if not done.done():
                    done.set_result(replies)
        except RedisLost as exc:
            self._lose(str(exc))
        except Exception as exc:  # noqa: BLE001 - also what the parser does not expect
            self._lose(f"Redis is away: {_words(exc)}")
        finally:
            with contextlib.suppress(RedisError, OSError):
                async with asyncio.timeout(_CLOSING):
                    await self._connection.disconnect()

    async def _reply(self) -> Any:
        try:
            return await self._connection.read_response(disable_decoding=True)
        except ResponseError as exc:
            return _meaning(exc)

    def _lose(self, why: str) -> None:
        """Tell all who asked, and those who will."""
        if self._lost is None:
            self._lost = RedisLost(why)
            if asyncio.current_task() is not self._reading:
                self._reading.cancel()
        asked, self._asked = self._asked, deque()
        for _, _, done in asked:
            if not done.done():
                done.set_exception(RedisLost(*self._lost.args))
                done.exception()  # it may be that nobody waits for it any more


class Subscription:
    """One connection that hears what is published on a channel.

    Args:
        connection: It is connected.
    """

    def __init__(self, connection: AbstractConnection) -> None:
        self._connection = connection

    async def begin(self, channel: str, timeout: float) -> None:
        """Subscribe, within so many seconds.

        Raises:
            RedisLost: It cannot be.
        """
        try:
            async with asyncio.timeout(timeout):
                await self._connection.send_packed_command(_packed(("SUBSCRIBE", channel)))
        except _BROKEN as exc:
            raise RedisLost(f"Redis is away: {_words(exc)}") from exc
        await self._receive(timeout)

    async def next(self, timeout: float) -> bytes:
        """Return what is published next, if something is within so many seconds.

        Raises:
            RedisLost: Nothing is, or the connection is gone.

        Cancellation: it is to be closed then.
        """
        while True:
            reply = await self._receive(timeout)
            if isinstance(reply, list) and reply[0] == b"message" and isinstance(reply[-1], bytes):
                return reply[-1]

    async def _receive(self, timeout: float) -> Any:
        try:
            async with asyncio.timeout(timeout):
                return await self._connection.read_response(disable_decoding=True)
        except ResponseError as exc:
            raise RedisLost(str(_meaning(exc).args[0])) from exc
        except Exception as exc:
            raise RedisLost(f"Redis is away: {_words(exc)}") from exc

    async def close(self) -> None:
        """Close it."""
        with contextlib.suppress(RedisError, OSError):
            async with asyncio.timeout(_CLOSING):
                await self._connection.disconnect()


class RedisStore:
    """A Redis server, and how to connect to it.

    Args:
        url: `redis://`, `rediss://` (TLS) or `unix://`, as the package redis takes it; or
            `redis+sentinel://`, see `watch_of`, with `sentinel_username` and `sentinel_password`
            as further options.
        timeout: Seconds without an answer after which a connection is lost.

    Raises:
        ValueError: It is no such URL.

    Attributes:
        shown: The URL as it may be shown.
    """

    def __init__(self, url: str, *, timeout: float = TIMEOUT) -> None:
        self._timeout = timeout
        try:
            self.shown: str = shown(url)
            self._watch = watch_of(url)
            options: dict[str, Any] = dict(parse_url(self._watch.url if self._watch else url))
        except ValueError:
            # Not its text: there may be a password in it.
            text = "a URL of Redis looks like redis://HOST:6379/0, rediss://..., unix:///PATH "
            text += "or redis+sentinel://HOST:26379,HOST:26379/MASTER"
            raise ValueError(text) from None
        self._class: type[AbstractConnection] = options.pop("connection_class", Connection)
        login = {"username": None, "password": None}
        for name in login if self._watch else ():
            login[name] = options.pop(f"sentinel_{name}", None)
        self._options = options | {
            "decode_responses": False,
            "health_check_interval": 0,
            "protocol": 2,
            "retry": Retry(NoBackoff(), 0),
            "socket_connect_timeout": timeout,
            "socket_timeout": None,
        }
        self._sentinel_options = self._options | {"db": 0} | login
        self._sentinels = list(self._watch.sentinels) if self._watch else []

    async def connect(self) -> RedisLink:
        """Return a new connection to a server that can be written to and knows the scripts.

        Raises:
            RedisLost: There is none; it says why.
        """
        link = await self._connect()
        if link.facts.get("role", "master") != "master":
            await link.close()
            raise RedisLost("it is a replica")
        return link

    async def check(self) -> RedisLink:
        """Return a connection, if the server is there, and one on which a log can be kept.

        Raises:
            OSError: It is not; `strerror` says why.
        """
        try:
            link = await self._connect()
        except RedisLost as exc:
            raise OSError(errno.ECONNREFUSED, str(exc), self.shown) from exc
        objection = _objection(link.facts)
        if objection:
            await link.close()
            raise OSError(errno.ENOTSUP, objection, self.shown)
        return link

    async def subscribe(self, channel: str) -> Subscription:
        """Return a new connection that hears what is published on a channel from now on.

        Raises:
            RedisLost: There is none; it says why.
        """
        subscription = Subscription(await self._open())
        try:
            await subscription.begin(channel, self._timeout)
        except BaseException:
            await subscription.close()
            raise
        return subscription

    async def _open(self) -> AbstractConnection:
        if self._watch is None:
            return await self._dial(self._options)
        return await self._dial(self._options | await self._master(self._watch.master))

    async def _master(self, name: str) -> dict[str, Any]:
        """Return where the master is, as the first Sentinel says that knows it.

        Raises:
            RedisLost: None does; it says why.
        """
        why = ""
        for place in self._sentinels[:]:
            host, port = place
            try:
                options = self._sentinel_options | {"host": host, "port": port}
                link = RedisLink(await self._dial(options), self._timeout)
                try:
                    (reply,) = await link.ask([("SENTINEL", "GET-MASTER-ADDR-BY-NAME", name)])
                finally:
                    await link.close()
            except RedisLost as exc:
                why = f"no Sentinel can be asked: {exc}"
                continue
            if isinstance(reply, list) and len(reply) == 2:
                # One that answers is asked first the next time.
                self._sentinels.remove(place)
                self._sentinels.insert(0, place)
                return {"host": reply[0].decode(), "port": int(reply[1])}
            why = str(reply) if isinstance(reply, LogError) else f"no Sentinel knows {name!r}"
        raise RedisLost(why)

    async def _dial(self, options: Mapping[str, Any]) -> AbstractConnection:
        # In a thread, since it looks on the disk which version of redis is installed.
        try:
            connection: Any = await asyncio.to_thread(self._class, **options)
        except (TypeError, ValueError) as exc:
            raise RedisLost("its URL has an option that redis does not know") from exc
        try:
            async with asyncio.timeout(self._timeout):
                await connection.connect()
        except BaseException as exc:
            with contextlib.suppress(RedisError, OSError):
                await connection.disconnect(nowait=True)
            if isinstance(exc, Exception):
                raise RedisLost(f"Redis cannot be reached: {_words(exc)}") from exc
            raise
        opened: AbstractConnection = connection
        return opened

    async def _connect(self) -> RedisLink:
        link = RedisLink(await self._open(), self._timeout)
        try:
            loading = [("SCRIPT", "LOAD", script.source) for script in SCRIPTS]
            client_id, info, *loaded = await link.ask([("CLIENT", "ID"), ("INFO",), *loading])
        except BaseException:
            await link.close()
            raise
        for reply in loaded:
            if isinstance(reply, LogError):
                await link.close()
                raise RedisLost(f"it takes no scripts: {reply.args[0]}")
        link.client_id = client_id if isinstance(client_id, int) else 0
        link.facts = _facts(info) if isinstance(info, bytes) else {}
        return link


def dry_write(key: str) -> Command:
    """Return what a server that has become a replica refuses, and changes nothing at any other.

    After a failover that cuts no connections only a write tells: a replica takes what is published,
    and answers questions. This one takes no memory and leaves the disk alone.

    Args:
        key: One that has no end.
    """
    return ("PERSIST", key)


def _packed(command: Command) -> bytes:
    """Return a command as it goes over the connection.

    What redis has for it takes three times as long, and is most of what an append costs here.
    """
    parts = [b"*%d\r\n" % len(command)]
    for each in command:
        if isinstance(each, str):
            value = each.encode()
        else:
            value = each if isinstance(each, bytes) else b"%d" % each
        parts += (b"$%d\r\n" % len(value), value, b"\r\n")
    return b"".join(parts)


def _meaning(exc: ResponseError) -> LogError:
    """Return what an error means to those who use the log.

    Raises:
        RedisLost: The server is no use for now.
    """
    text = f"Redis says: {exc}"
    codes = set(_CODE.findall(str(exc)))
    if isinstance(exc, _AWAY_CLASSES) or codes & _AWAY:
        raise RedisLost(text) from exc
    if isinstance(exc, _REFUSED_CLASSES) or codes & _REFUSED:
        return LogUnavailable(text)
    return LogFailed(text)


def _words(exc: BaseException) -> str:
    """Return in one line why a connection did not come about, or was lost."""
    cause = exc.__cause__ or exc.__context__
    if isinstance(exc, TimeoutError | RedisTimeoutError):
        return "there is no answer"
    if isinstance(exc, RedisError) and isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return " ".join(str(exc).split()) or type(exc).__name__


def _facts(info: bytes) -> dict[str, str]:
    """Return what INFO tells."""
    lines = info.decode(errors="replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


def _objection(facts: Mapping[str, str]) -> str:
    """Return why no log can be kept on a server, or nothing."""
    if not facts:
        _log.warning("Redis does not tell about itself (INFO): what it is set to is not checked")
        return ""
    version = facts.get("redis_version", "")
    if tuple(map(int, re.findall(r"\d+", version)[:2])) < _OLDEST:
        return f"Redis {version} is too old: it takes 6.2, or Valkey"
    if facts.get("cluster_enabled", "0") != "0":
        return "a Redis Cluster is not supported: name a server without it"
    if facts.get("role", "master") != "master":
        return "it is a replica: name the master"
    policy = facts.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        return f"it may drop what is said: its maxmemory-policy is {policy}, and must be noeviction"
    return ""
