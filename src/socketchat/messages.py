"""The vocabulary on the wire: each message as a msgspec struct, encoded and decoded.

A message is one msgpack array whose first item says which kind it is (`docs/protocol.md`,
"Messages"). This file knows what is said, not when it may be said (`protocol.py`) nor how it is
delimited (`framing.py`). It does no I/O.

Every struct is validated while it is decoded. Items that a kind does not have are skipped, and so
are kinds that are not known, so that version 1 can grow.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta, Struct

from socketchat.errors import CloseCode
from socketchat.framing import HEADER_SIZE

__all__ = [
    "MAX_ANSWER",
    "MAX_ARGUMENT",
    "MAX_COMMAND",
    "MAX_INVITE",
    "MAX_NAME",
    "MAX_NUMBER",
    "MAX_PRESENT",
    "MAX_REASON",
    "MAX_TOPIC",
    "VERSION",
    "Ack",
    "Answer",
    "Bye",
    "Command",
    "DataPost",
    "Event",
    "Greeting",
    "Hello",
    "Limits",
    "MalformedMessage",
    "Ping",
    "Pong",
    "Post",
    "Present",
    "Refused",
    "Reject",
    "TextPost",
    "Welcome",
    "WireMessage",
    "check_names",
    "decode",
    "decode_known",
    "encode",
    "peek_version",
]

#: The version of the protocol that this package speaks.
VERSION: Final = 1

#: The longest name of a person, room or server, in code points.
MAX_NAME: Final = 64
#: The longest reason of a goodbye, refusal or rejection, in code points.
MAX_REASON: Final = 500
#: The longest token of an invite, in characters.
MAX_INVITE: Final = 1024
#: The most names in one Present.
MAX_PRESENT: Final = 256
#: The longest name of a command, its longest argument, and the longest answer, in code points.
MAX_COMMAND: Final = 32
MAX_ARGUMENT: Final = 1000
MAX_ANSWER: Final = 4000
#: The longest topic of a room, in code points.
MAX_TOPIC: Final = 300

#: The highest number of a post.
MAX_NUMBER: Final = 2**63 - 1

Count = Annotated[int, Meta(ge=0, le=MAX_NUMBER)]
Number = Annotated[int, Meta(ge=1, le=MAX_NUMBER)]
Id = Annotated[bytes, Meta(min_length=16, max_length=16)]
Name = Annotated[str, Meta(max_length=MAX_NAME)]
Code = Annotated[int, Meta(ge=1000, le=4999)]
Reason = Annotated[str, Meta(max_length=MAX_REASON)]
Key = Annotated[bytes, Meta(max_length=32)]


class MalformedMessage(ValueError):
    """A frame's body is not a message of the protocol; `code` says how to close."""

    def __init__(self, code: CloseCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class Limits(Struct, array_like=True, frozen=True):
    """What one side takes.

    Attributes:
        max_size: The longest frame body, in bytes, once the greeting is over.
    """

    max_size: Annotated[int, Meta(ge=4096, le=2**32 - 1)] = 2**20


class Greeting(Struct, array_like=True, frozen=True, tag=1):
    """The server's first word.

    Attributes:
        version: The version of the protocol that the server speaks.
        nonce: Random bytes that the client's signature covers.
        server: The server's name, for people to read.
        limits: What the server takes.
    """

    version: Count
    nonce: Annotated[bytes, Meta(min_length=16, max_length=64)]
    server: Name = ""
    limits: Limits = Limits()


class Hello(Struct, array_like=True, frozen=True, tag=2):
    """The client's answer: who it is, and where it wants to go on.

    Attributes:
        version: The version of the protocol that the client speaks.
        lane: The name of the client's lane, 16 random bytes.
        nick: The name that it asks for; empty leaves the choice to the server.
        room: The room that it asks for; empty is the server's first.
        session: The session that it had, as an earlier Welcome named it; empty if it had none.
        after: Number and time (microseconds) of the last post that it holds in that session. A
            time without a number, if it is new in a room: to begin with what was said then.
        history: How many earlier entries of the room it wants, if it is new there.
        limits: What the client takes.
        key: The device's Ed25519 public key, or empty.
        signature: Proof that it holds that key, or empty.
        invite: An invite's token, or empty.
    """

    version: Count
    lane: Id
    nick: Name = ""
    room: Name = ""
    session: Annotated[bytes, Meta(max_length=16)] = b""
    after: tuple[Count, Count] = (0, 0)
    history: Count = 0
    limits: Limits = Limits()
    key: Key = b""
    signature: Annotated[bytes, Meta(max_length=64)] = b""
    invite: Annotated[str, Meta(max_length=MAX_INVITE)] = ""


class Welcome(Struct, array_like=True, frozen=True, tag=3):
    """The server lets the client in.

    Attributes:
        session: The session's name, 16 random bytes: the one that the client named if the server
            still has it, else a new one, and both lanes start afresh.
        mark: The highest number of the client's lane that the server holds for good.
        nick: The name that the client goes by here.
        room: The room that it is in.
        floor: The number of the first entry that the room's log still holds; 0 without a log.
        head: The number of its last entry; 0 without a log.
        after: Number and time of the entry behind which the server's posts begin; (0, 0) without
            a log.
        next_key: SHA-256 of the key that the server will have next, so that its callers know it
            then; empty if it will keep the one that it has.
    """

    session: Id
    mark: Count = 0
    nick: Name = ""
    room: Name = ""
    floor: Count = 0
    head: Count = 0
    after: tuple[Count, Count] = (0, 0)
    next_key: Key = b""


class Refused(Struct, array_like=True, frozen=True, tag=4):
    """The server does not let the client in. 1012 and 1013 mean: come back later."""

    code: Code
    reason: Reason = ""


class Post(Struct, array_like=True, frozen=True, gc=False):
    """What the two kinds of posts share; never on the wire itself.

    Attributes:
        number: Its place in the lane: strictly increasing, from 1.
        body: What is said.
        at: When it was said, in microseconds since the epoch.
        sender: Who said it, if not the side that sends it. Servers ignore it.
        to: Whom it is for, if it is not for everyone.
        own: The number that it had in the lane of the one who receives it, if it is that one's own
            post, come back in the room's order; else 0.
        key: The public key of the one who said it, if it is not the side that sends it and has one.
            Servers ignore it.
    """

    number: Number
    body: str | bytes
    at: Count = 0
    sender: Name = ""
    to: Name = ""
    own: Count = 0
    key: Key = b""


class TextPost(Post, array_like=True, frozen=True, gc=False, tag=5):
    """A text, in UTF-8."""

    body: str


class DataPost(Post, array_like=True, frozen=True, gc=False, tag=6):
    """Bytes."""

    body: bytes


class Ack(Struct, array_like=True, frozen=True, gc=False, tag=7):
    """Every post of your lane up to `number` is held here."""

    number: Count


class Reject(Struct, array_like=True, frozen=True, tag=8):
    """Post `number` of your lane is refused for good; it counts as acknowledged."""

    number: Number
    code: Code
    reason: Reason = ""


class Ping(Struct, array_like=True, frozen=True, gc=False, tag=9):
    """Are you there? Numbers increase within a link."""

    number: Count


class Pong(Struct, array_like=True, frozen=True, gc=False, tag=10):
    """I am: answers every Ping up to `number`."""

    number: Count


class Event(Struct, array_like=True, frozen=True, tag=11):
    """Something that passes: never logged, lost without harm.

    Attributes:
        kind: `joined`, `left`, `renamed`, `topic` or `typing`; others are ignored.
        nick: Whom it is about.
        address: Where they call from; told to the host alone.
        key: Their public key, or empty.
        text: Of `renamed`, the name that they have now; of `topic`, what the room is about now.
    """

    kind: Annotated[str, Meta(max_length=32)]
    nick: Name = ""
    address: Annotated[str, Meta(max_length=64)] = ""
    key: Key = b""
    text: Annotated[str, Meta(max_length=MAX_TOPIC)] = ""


class Bye(Struct, array_like=True, frozen=True, tag=12):
    """I shall post nothing more. What I have posted, please acknowledge."""

    code: Code
    reason: Reason = ""


class Present(Struct, array_like=True, frozen=True, tag=13):
    """Who is in the room already. As passing as an Event; of many, more than one is sent.

    Attributes:
        nicks: Their names.
        keys: Their public keys, in the same order, empty for those who have none.
    """

    nicks: Annotated[tuple[Name, ...], Meta(max_length=MAX_PRESENT)] = ()
    keys: Annotated[tuple[Key, ...], Meta(max_length=MAX_PRESENT)] = ()


class Command(Struct, array_like=True, frozen=True, tag=14):
    """A client asks the server to do something: what operators do, say.

    Attributes:
        id: By which the answer names it; not used twice on a link.
        name: What to do.
        argument: With what, or to whom.
    """

    id: Count
    name: Annotated[str, Meta(max_length=MAX_COMMAND)]
    argument: Annotated[str, Meta(max_length=MAX_ARGUMENT)] = ""


class Answer(Struct, array_like=True, frozen=True, tag=15):
    """What became of command `id`.

    Attributes:
        id: The command's.
        code: 1000 if it was done, else why not.
        text: What there is to say, for people to read.
    """

    id: Count
    code: Code
    text: Annotated[str, Meta(max_length=MAX_ANSWER)] = ""


WireMessage: TypeAlias = (
    Greeting
    | Hello
    | Welcome
    | Refused
    | TextPost
    | DataPost
    | Ack
    | Reject
    | Ping
    | Pong
    | Event
    | Bye
    | Present
    | Command
    | Answer
)

_encode = msgspec.msgpack.Encoder().encode
#: Decodes a message of a known kind, and raises whatever msgspec raises for all else: for the hot
#: path, which then asks `decode` what was wrong.
decode_known: Callable[[bytes], WireMessage] = msgspec.msgpack.Decoder(WireMessage).decode
_LAST_KIND = 15


class _Head(Struct, array_like=True):
    """The first items of any message; what follows is skipped and costs no memory."""

    kind: msgspec.Raw
    version: msgspec.Raw = msgspec.Raw(b"\xc0")


_head_decoder = msgspec.msgpack.Decoder(_Head)
_int_decoder = msgspec.msgpack.Decoder(int)


def encode(message: WireMessage) -> bytes:
    """Return `message` as a whole frame.

    Raises:
        UnicodeEncodeError: A text has lone surrogates.
    """
    # As encode_frame does; one call less for every post.
    body = _encode(message)
    return len(body).to_bytes(HEADER_SIZE, "big") + body


def decode(body: bytes) -> WireMessage | None:
    """Return the message in a frame's body, or None if its kind is not known.

    Raises:
        MalformedMessage: It is no message; `code` is 1007 for bad UTF-8, else 1002.
    """
    try:
        return decode_known(body)
    except UnicodeDecodeError as exc:
        raise MalformedMessage(CloseCode.INVALID_DATA, "text that is not UTF-8") from exc
    except (msgspec.DecodeError, RecursionError) as exc:
        kind, _ = _peek(body)
        if kind is not None and not 1 <= kind <= _LAST_KIND:
            return None
        raise MalformedMessage(CloseCode.PROTOCOL_ERROR, f"malformed message: {exc}") from exc


def check_names(*names: str) -> None:
    """Check the names of people, rooms or servers that are to be sent.

    Raises:
        ValueError: One is too long.
    """
    if any(len(name) > MAX_NAME for name in names):
        raise ValueError(f"a name has at most {MAX_NAME} characters")


def peek_version(body: bytes) -> int | None:
    """Return the version in a Greeting or Hello of any version, or None if it is neither.

    A later version may lay out everything behind its version in another way.
    """
    kind, version = _peek(body)
    return version if kind in (1, 2) else None


def _peek(body: bytes) -> tuple[int | None, int | None]:
    """Return the first two items of an array, each if it is there and an int, else None."""
    try:
        head = _head_decoder.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return None, None
    return _as_int(head.kind), _as_int(head.version)


def _as_int(raw: msgspec.Raw) -> int | None:
    try:
        return _int_decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
