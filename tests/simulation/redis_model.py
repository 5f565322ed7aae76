"""What a Redis server does with commands, as far as the log, the facts and the servers need it.

Scripts are the real ones and run in real Lua (5.1, as in Redis), each as one step. It knows neither
connections nor time: `redis_machine.py` has both. What is not here is an error, as an unknown
command is for Redis; so are replicas (`WAIT`), and keys never expire.
"""

from __future__ import annotations

import copy
import hashlib
import itertools
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from lupa.lua51 import LuaRuntime, lua_type

__all__ = ["Failure", "RedisData", "Status"]

#: What a command returns: an integer, bytes, None, or a list of them; or one of the two below.
Reply = Any
Id = tuple[int, int]

_LAST: Final = (2**64 - 1, 2**64 - 1)
_OOM: Final = "OOM command not allowed when used memory > 'maxmemory'."
#: Commands that take memory, and are refused when there is none left.
_HUNGRY: Final = frozenset({"SET", "SETNX", "HSET", "HSETNX", "SADD", "XADD"})


class Status(str):
    """A reply that is no more than a word."""

    __slots__ = ()


class Failure(Exception):
    """A reply that is an error; its text begins with the code."""


class Stream:
    """Entries in the order of their ids, and the greatest id that there ever was."""

    def __init__(self) -> None:
        self.ids: list[Id] = []
        self.fields: list[list[bytes]] = []
        self.last: Id = (0, 0)

    def between(self, first: Id, last: Id) -> range:
        return range(bisect_left(self.ids, first), bisect_right(self.ids, last))

    def item(self, index: int) -> list[Reply]:
        return [b"%d-%d" % self.ids[index], self.fields[index]]

    def drop(self, count: int) -> int:
        del self.ids[:count], self.fields[:count]
        return count


class RedisData:
    """What a server holds, and what it does with it.

    Args:
        clock: Tells the time, in microseconds since the epoch.
        added: Called with each entry that is added to a stream: its key, id and fields.
        trimmed: Called with the key of each stream of which the beginning goes, and its first id.

    Attributes:
        full: Whether there is no memory left.
        more: Streams to which something was added since this was emptied.
    """

    def __init__(
        self,
        clock: Callable[[], int],
        *,
        added: Callable[[bytes, Id, list[bytes]], object] = lambda *_: None,
        trimmed: Callable[[bytes, Id], object] = lambda *_: None,
    ) -> None:
        self.full = False
        self.more: set[bytes] = set()
        self._clock = clock
        self._added = added
        self._trimmed = trimmed
        self._keys: dict[bytes, Any] = {}
        self._commands: dict[str, Callable[..., Reply]] = {
            "EVALSHA": self._evalsha,
            "EXPIRE": self._expire,
            "GET": self._get,
            "HDEL": self._hdel,
            "HGET": self._hget,
            "HGETALL": self._hgetall,
            "HLEN": self._hlen,
            "HMGET": self._hmget,
            "HSCAN": self._hscan,
            "HSET": self._hset,
            "HSETNX": self._hsetnx,
            "MGET": self._mget,
            "PERSIST": self._persist,
            "SADD": self._sadd,
            "SCRIPT": self._script,
            "SET": self._set,
            "SETNX": self._setnx,
            "SSCAN": self._sscan,
            "TIME": self._time,
            "XADD": self._xadd,
            "XRANGE": self._xrange,
            "XREAD": self._xread,
            "XTRIM": self._xtrim,
        }
        self._scripts: dict[bytes, Any] = {}
        self._lua = LuaRuntime(encoding=None, register_eval=False)
        make_redis = b"function(c, p) redis = {call = c, pcall = p} end"
        self._lua.eval(make_redis)(self._call_from_lua, self._try_from_lua)
        make_struct = b"function(p, u) struct = {pack = p, unpack = u} end"
        self._lua.eval(make_struct)(_struct_pack, _struct_unpack)

    def forget_scripts(self) -> None:
        """Be as after a start, which scripts do not survive."""
        self._scripts.clear()

    def snapshot(self) -> object:
        """Return all that there is, for `restore`."""
        return copy.deepcopy(self._keys)

    def restore(self, snapshot: Any) -> None:
        """Hold what there was at a snapshot."""
        self._keys = copy.deepcopy(snapshot)

    def do(self, command: Sequence[bytes]) -> Reply:
        """Carry out a command, and return the reply; that may be a `Failure`."""
        try:
            return self._call(command[0].decode().upper(), command[1:])
        except Failure as exc:
            return exc

    def _call(self, name: str, args: Sequence[bytes]) -> Reply:
        function = self._commands.get(name)
        if function is None:
            raise Failure(f"ERR unknown command '{name}'")
        if self.full and name in _HUNGRY:
            raise Failure(_OOM)
        return function(*args)

    # ---- scripts ----

    def _script(self, sub: bytes, source: bytes = b"") -> Reply:
        if sub != b"LOAD":
            raise Failure("ERR unknown subcommand")
        sha = hashlib.sha1(source, usedforsecurity=False).hexdigest().encode()
        if sha not in self._scripts:
            self._scripts[sha] = self._lua.eval(b"function(KEYS, ARGV)\n%b\nend" % source)
        return sha

    def _evalsha(self, sha: bytes, count: bytes, *args: bytes) -> Reply:
        function = self._scripts.get(sha)
        if function is None:
            raise Failure("NOSCRIPT No matching script. Please use EVAL.")
        keys, rest = args[: int(count)], args[int(count) :]
        return _from_lua(function(self._lua.table_from(keys), self._lua.table_from(rest)))

    def _call_from_lua(self, name: bytes, *args: bytes | float) -> Any:
        texts = [arg if isinstance(arg, bytes) else b"%.17g" % arg for arg in args]
        return self._to_lua(self._call(name.decode().upper(), texts))

    def _try_from_lua(self, name: bytes, *args: bytes | float) -> Any:
        try:
            return self._call_from_lua(name, *args)
        except Failure as exc:
            return self._lua.table_from({b"err": str(exc).encode()})

    def _to_lua(self, reply: Reply) -> Any:
        match reply:
            case None:
                return False
            case list():
                return self._lua.table_from(map(self._to_lua, reply))
            case Status():
                return self._lua.table_from({b"ok": reply.encode()})
            case _:
                return reply

    # ---- one value a key ----

    def _get_as(self, key: bytes, kind: type) -> Any:
        """Return what a key holds, or something empty, which is not kept."""
        value = self._keys.get(key)
        if value is not None and type(value) is not kind:
            raise Failure("WRONGTYPE Operation against a key holding the wrong kind of value")
        return kind() if value is None else value

    def _make(self, key: bytes, kind: type) -> Any:
        return self._keys.setdefault(key, self._get_as(key, kind))

    def _get(self, key: bytes) -> Reply:
        return self._get_as(key, bytes) if key in self._keys else None

    def _mget(self, *keys: bytes) -> Reply:
        return list(map(self._get, keys))

    def _set(self, key: bytes, value: bytes, *expiry: bytes) -> Reply:
        self._keys[key] = value
        return Status("OK")

    def _setnx(self, key: bytes, value: bytes) -> Reply:
        if key in self._keys:
            return 0
        self._keys[key] = value
        return 1

    def _expire(self, key: bytes, seconds: bytes) -> Reply:
        return int(key in self._keys)

    def _persist(self, _key: bytes) -> Reply:
        return 0

    def _time(self) -> Reply:
        return [b"%d" % part for part in divmod(self._clock(), 1_000_000)]

    # ---- hashes and sets ----

    def _hget(self, key: bytes, field: bytes) -> Reply:
        return self._get_as(key, dict).get(field)

    def _hmget(self, key: bytes, *fields: bytes) -> Reply:
        return list(map(self._get_as(key, dict).get, fields))

    def _hgetall(self, key: bytes) -> Reply:
        return list(itertools.chain.from_iterable(self._get_as(key, dict).items()))

    def _hlen(self, key: bytes) -> Reply:
        return len(self._get_as(key, dict))

    def _hset(self, key: bytes, *pairs: bytes) -> Reply:
        values = self._make(key, dict)
        before = len(values)
        values.update(zip(pairs[::2], pairs[1::2], strict=True))
        return len(values) - before

    def _hsetnx(self, key: bytes, field: bytes, value: bytes) -> Reply:
        return 0 if field in self._get_as(key, dict) else self._hset(key, field, value)

    def _hdel(self, key: bytes, *fields: bytes) -> Reply:
        values = self._get_as(key, dict)
        return sum(values.pop(field, None) is not None for field in fields)

    def _hscan(self, key: bytes, cursor: bytes, *_: bytes) -> Reply:
        return [b"0", self._hgetall(key)]

    def _sadd(self, key: bytes, *members: bytes) -> Reply:
        return self._hset(key, *itertools.chain.from_iterable((one, b"") for one in members))

    def _sscan(self, key: bytes, cursor: bytes, *_: bytes) -> Reply:
        return [b"0", list(self._get_as(key, dict))]

    # ---- streams ----

    def _xadd(self, key: bytes, *args: bytes) -> Reply:
        longest = None
        if args[0] == b"MAXLEN":
            longest, args = int(args[1]), args[2:]
        place = _id(args[0])
        stream = self._make(key, Stream)
        if place <= stream.last:
            text = "The ID specified in XADD is equal or smaller than the target stream top item"
            raise Failure(f"ERR {text}")
        stream.last = place
        stream.ids.append(place)
        stream.fields.append(list(args[1:]))
        if longest is not None:
            stream.drop(len(stream.ids) - longest)
        self.more.add(key)
        self._added(key, place, stream.fields[-1])
        return args[0]

    def _xrange(self, key: bytes, first: bytes, last: bytes, *count: bytes) -> Reply:
        stream = self._get_as(key, Stream)
        found = stream.between(
            (0, 0) if first == b"-" else _id(first), _LAST if last == b"+" else _id(last)
        )
        return [stream.item(index) for index in found[: int(count[1]) if count else None]]

    def _xtrim(self, key: bytes, how: bytes, first: bytes) -> Reply:
        if how != b"MINID":
            raise Failure("ERR syntax error")
        stream = self._get_as(key, Stream)
        gone = stream.drop(bisect_left(stream.ids, _id(first)))
        if gone:
            self._trimmed(key, _id(first))
        return gone

    def _xread(self, *args: bytes) -> Reply:
        """Return what there is now; who blocks, asks again."""
        keys, places = streams_of(args)
        found = []
        for key, place in zip(keys, places, strict=True):
            stream = self._get_as(key, Stream)
            number, step = _id(place)
            items = [stream.item(index) for index in stream.between((number, step + 1), _LAST)]
            if items:
                found.append([key, items])
        return found or None


def streams_of(args: Sequence[bytes]) -> tuple[Sequence[bytes], Sequence[bytes]]:
    """Return which streams an `XREAD` is about, and behind which ids."""
    start = args.index(b"STREAMS") + 1
    middle = start + (len(args) - start) // 2
    return args[start:middle], args[middle:]


def _id(text: bytes) -> Id:
    number, _, step = text.partition(b"-")
    return int(number), int(step or 0)


def _from_lua(value: Any) -> Reply:
    if lua_type(value) == "table":
        return list(_items(value))
    if isinstance(value, bool):
        return 1 if value else None
    return int(value) if isinstance(value, float) else value


def _items(table: Any) -> Iterator[Reply]:
    for index in itertools.count(1):
        item = table[index]
        if item is None:
            return
        yield _from_lua(item)


def _struct_pack(form: bytes, number: float) -> bytes:
    assert form == b">I8"
    return int(number).to_bytes(8)


def _struct_unpack(form: bytes, data: bytes, start: float) -> int:
    assert form == b">I8"
    return int.from_bytes(data[int(start) - 1 : int(start) + 7])
