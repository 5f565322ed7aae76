"""Runs the cases of `docs/conformance.md` against servers, without the library.

The fields of messages are read from the tables of `docs/protocol.md`: so these say what is said.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec.msgpack
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.hostile.caller import Caller, HungUp
from tests.hostile.packing import frame
from tests.interop.servers import Address
from tests.interop.values import Mismatch, Values, fingerprint
from tests.processes import ROOT

__all__ = ["CASES", "Case", "operator", "run"]

DOCS = ROOT / "docs"
VERSION: Final = 1
#: What may come between what is waited for.
PASSING: Final = frozenset({"Ack", "Ping", "Pong", "Event", "Present"})

Step = Mapping[str, Any]


# What a message has, by the document


@dataclass(frozen=True, slots=True)
class Table:
    """One kind of messages: its fields in their order, and the defaults of those that have one."""

    kind: int
    fields: tuple[str, ...]
    defaults: Mapping[str, Any]


def _tables() -> dict[str, Table]:
    text = (DOCS / "protocol.md").read_text("utf-8")
    tables = {}
    kinds = re.compile(r"^### (\d+) (\w+)\n(.*?)(?=^##)", re.MULTILINE | re.DOTALL)
    for kind, name, rest in kinds.findall(text):
        rows = re.findall(r"^\| `(\w+)` \|[^|]*\|([^|]*)\|", rest, re.MULTILINE)
        defaults = {row: _default(value) for row, value in rows if value.strip()}
        tables[name] = Table(int(kind), tuple(row for row, _ in rows), defaults)
    return tables


def _default(text: str) -> Any:
    value = text.strip().strip("`")
    return b"" if value == 'b""' else json.loads(value)


TABLES: Final = _tables()
NAMES: Final = {table.kind: name for name, table in TABLES.items()}


def encode(name: str, given: Mapping[str, Any], more: Sequence[Any] = ()) -> bytes:
    """Return a message as a frame."""
    table = TABLES[name]
    assert given.keys() <= set(table.fields), given
    values = {**table.defaults, **given}
    items = [values[field] for field in table.fields]
    items = [list(item.values()) if isinstance(item, dict) else item for item in items]
    return frame(msgspec.msgpack.encode([table.kind, *items, *more]))


@dataclass(frozen=True, slots=True)
class Heard:
    """A message that was heard."""

    name: str
    fields: dict[str, Any]


def decode(body: bytes) -> Heard | None:
    """Return the message in a body; None for a kind that is not known."""
    kind, *items = msgspec.msgpack.decode(body)
    if kind not in NAMES:
        return None
    table = TABLES[NAMES[kind]]
    fields = {**table.defaults, **dict(zip(table.fields, items, strict=False))}
    if "limits" in fields:
        fields["limits"] = {"max_size": fields["limits"][0]}
    return Heard(NAMES[kind], fields)


# Links


class Link:
    """One connection, as a case uses it."""

    def __init__(self, caller: Caller, values: Values) -> None:
        self._caller = caller
        self._values = values
        self._coming: list[Heard] = []
        self._passed: list[Heard] = []
        self._pings = 1000
        self.last_post = 0

    @classmethod
    async def call(cls, server: Address, values: Values) -> Link:
        """Call a server, whose key must be the one that is expected."""
        caller = await Caller.call((server.host, server.port), tls=bool(server.pin))
        if server.pin:
            shown = caller.writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
            key = x509.load_der_x509_certificate(shown).public_key()
            spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            assert fingerprint(spki) == server.pin
        return cls(caller, values)

    async def cut(self) -> None:
        """Hang up."""
        await self._caller.close()

    async def say(self, what: Sequence[Mapping[str, Any]], pieces: int | None = None) -> None:
        """Say messages, or what is none."""
        self._passed.clear()
        said = b"".join(map(self._bytes_of, what))
        size = pieces or len(said)
        for start in range(0, len(said), size):
            await self._caller.say(said[start : start + size])

    def _bytes_of(self, message: Mapping[str, Any]) -> bytes:
        make = self._values.make
        match message:
            case {"bytes": parts}:
                return b"".join(make(parts))
            case {"items": items}:
                return frame(msgspec.msgpack.encode(make(items)))
            case {"type": name, "fields": fields}:
                return encode(name, make(fields), make(message.get("more", [])))
            case _:
                raise TypeError(f"what is {message}?")

    async def _next(self) -> Heard | None:
        """Return the next message; None at the end of the connection."""
        while not self._coming:
            try:
                bodies = await self._caller.read()
            except HungUp:
                return None
            except TimeoutError:
                raise Mismatch("nothing came") from None
            self._coming = [heard for heard in map(decode, bodies) if heard is not None]
        heard = self._coming.pop(0)
        if "own" in heard.fields:
            self.last_post = heard.fields["number"]
        return heard

    def _mismatch(self, heard: Heard, name: str, fields: Mapping[str, Any]) -> Mismatch | None:
        if heard.name != name:
            return Mismatch(f"heard {heard} in place of {name}")
        try:
            self._values.check(heard.fields, fields, name)
        except Mismatch as exc:
            return Mismatch(f"{exc}: {heard}")
        return None

    async def _pass_over(self, heard: Heard, passing: Sequence[str], *, answer: bool) -> None:
        if heard.name not in PASSING and heard.name not in passing:
            raise Mismatch(f"heard {heard}")
        self._passed.append(heard)
        if heard.name == "Ping" and answer:
            await self._caller.say(encode("Pong", {"number": heard.fields["number"]}))

    async def hear(
        self,
        name: str,
        fields: Mapping[str, Any],
        *,
        before_ack: int | None = None,
        passing: Sequence[str] = (),
        unanswered: bool = False,
    ) -> None:
        """Wait for a message.

        Raises:
            Mismatch: Another one came.
        """
        for heard in self._passed:
            if self._mismatch(heard, name, fields) is None:
                self._passed.remove(heard)
                return
        while True:
            found = await self._next()
            if found is None:
                raise Mismatch(f"the connection has ended, in place of {name}")
            mismatch = self._mismatch(found, name, fields)
            if mismatch is None:
                break
            if found.name == name and name not in PASSING:
                raise mismatch
            await self._pass_over(found, passing, answer=not unanswered)
        acks = [heard.fields["number"] for heard in self._passed if heard.name == "Ack"]
        if before_ack is not None and any(number >= before_ack for number in acks):
            raise Mismatch("Ack came first")

    async def hear_end(self, *, unanswered: bool = False) -> None:
        """Wait for the end of the connection."""
        while (heard := await self._next()) is not None:
            await self._pass_over(heard, (), answer=not unanswered)

    async def quiet(self) -> None:
        """Find out that nothing else is on its way."""
        self._pings += 1
        await self.say([{"type": "Ping", "fields": {"number": self._pings}}])
        await self.hear("Pong", {"number": self._pings})


# Cases


class _Run:
    """One case that is run."""

    def __init__(self, server: Address, devices: Mapping[str, str]) -> None:
        self._server = server
        self._values = Values(server.pin, devices)
        self.links: dict[str, Link] = {}

    async def step(self, step: Step) -> None:
        match step:
            case {"let": values}:
                self._values.let(values)
            case {"call": name}:
                await self._call(name)
            case {"say": name, "what": what}:
                await self.links[name].say(what, step.get("pieces"))
            case {"hear": name, "end": True, **options}:
                await self.links[name].hear_end(**options)
            case {"hear": name, "type": kind, "fields": fields, **options}:
                await self.links[name].hear(kind, fields, **options)
            case {"quiet": name}:
                await self.links[name].quiet()
            case {"cut": name}:
                await self.links[name].cut()
            case {"enter": name, **options}:
                await self._enter(await self._call(name), **options)
            case {"leave": name}:
                await self._leave(self.links[name])
            case _:
                raise TypeError(f"what is {step}?")

    async def _call(self, name: str) -> Link:
        self.links[name] = await Link.call(self._server, self._values)
        return self.links[name]

    async def _enter(
        self,
        link: Link,
        *,
        device: str = "",
        hello: Mapping[str, Any] | None = None,
        welcome: Mapping[str, Any] | None = None,
        refused: Mapping[str, Any] | None = None,
    ) -> None:
        await link.hear("Greeting", {"version": VERSION, "nonce": {"save": "nonce"}})
        said: dict[str, Any] = {
            "version": VERSION,
            "lane": {"var": "lane"},
            "room": {"var": "room"},
        }
        if device:
            proof = {"proof": device, "lane": {"var": "lane"}, "nonce": {"var": "nonce"}}
            said |= {"key": {"public": device}, "signature": proof}
        await link.say([{"type": "Hello", "fields": {**said, **(hello or {})}}])
        if refused is None:
            await link.hear("Welcome", welcome or {})
        else:
            await link.hear("Refused", refused)
            await link.hear_end()

    async def _leave(self, link: Link) -> None:
        held = {"type": "Ack", "fields": {"number": link.last_post}}
        bye = {"type": "Bye", "fields": {"code": 1000}}
        await link.say([held, bye] if link.last_post else [bye])
        await link.hear("Bye", {"code": 1000})
        await link.hear_end()


@dataclass(frozen=True, slots=True)
class Case:
    """One case of a file."""

    file: str
    name: str
    server: str
    section: str
    steps: tuple[Step, ...]
    devices: Mapping[str, str]


async def run(case: Case, server: Address) -> str:
    """Run a case, and return what is wrong, or nothing."""
    running = _Run(server, case.devices)
    try:
        for step in case.steps:
            await running.step(step)
    except (Mismatch, HungUp) as exc:
        return f"{step}: {exc!r}"
    finally:
        for link in running.links.values():
            await link.cut()
    return ""


def _cases() -> Iterator[Case]:
    for path in sorted((DOCS / "conformance").glob("*.json")):
        document = json.loads(path.read_text("utf-8"))
        assert document["about"]
        for case in document["cases"]:
            yield Case(
                path.name,
                case["name"],
                document["server"],
                case["section"],
                tuple(case["steps"]),
                document.get("devices", {}),
            )
    yield from _of_vectors()


def _of_vectors() -> Iterator[Case]:
    """Yield what `docs/vectors` holds for a server."""

    def of(file: str, name: str, start: list[Step], said: str, code: int) -> Case:
        say = {"say": "a", "what": [{"bytes": [{"hex": said}]}]}
        bye = {"hear": "a", "type": "Bye", "fields": {"code": code}}
        end = {"hear": "a", "end": True}
        return Case(file, name, "echo", "messages", (*start, say, bye, end), {})

    for vector in _vectors("malformed.json"):
        yield of(
            "malformed.json", vector["name"], [{"enter": "a"}], vector["frame"], vector["code"]
        )
    greeted: list[Step] = [{"call": "a"}, {"hear": "a", "type": "Greeting", "fields": {}}]
    for vector in _vectors("streams.json"):
        if vector["listener"] == "server" and vector["code"]:
            yield of("streams.json", vector["name"], greeted, vector["stream"], vector["code"])


def _vectors(name: str) -> list[dict[str, Any]]:
    vectors: list[dict[str, Any]] = json.loads((DOCS / "vectors" / name).read_text("utf-8"))[
        "vectors"
    ]
    return vectors


CASES: Final = tuple(_cases())


def operator() -> str:
    """Return the fingerprint of the device `operator`, which is the same in all files."""
    (key,) = {case.devices["operator"] for case in CASES if case.devices}
    made: str = Values("", {"operator": key}).make({"fingerprint": "operator"})
    return made
