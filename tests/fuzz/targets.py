"""The targets: each takes bytes as a stranger may send or somebody may type them, and holds what
is done with them to what the documents allow. Whatever one raises is a bug.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from socketchat.chat.names import name_key, nick_of, tagged, with_suffix
from socketchat.chat.rules import room_name_of
from socketchat.cli.target import Target, parse_target
from socketchat.errors import CloseCode, InvalidInvite
from socketchat.framing import HEADER_SIZE, FrameDecoder, FrameTooBig, encode_frame
from socketchat.messages import MAX_NAME, MalformedMessage, decode, encode, peek_version
from socketchat.quota import network_of
from socketchat.text import NAME_COLUMNS, clean, clean_name, width
from socketchat.trust.invites import Invite, check_token
from socketchat.trust.masking import mask
from tests.core import RESTING
from tests.test_protocol_fuzz import feed, pair_at
from tests.test_text import harm

__all__ = ["CORPUS", "TARGETS", "corpus_of"]

CORPUS = Path(__file__).parent / "corpus"

#: A server's certificate, and what the one token in the corpus that it has signed grants.
_SIGNED = json.loads((Path(__file__).parents[2] / "docs/vectors/invites.json").read_text("utf-8"))[
    "vectors"
][0]
CERTIFICATE = x509.load_der_x509_certificate(bytes.fromhex(_SIGNED["certificate"])).public_bytes(
    Encoding.PEM
)
GRANT = check_token(CERTIFICATE, _SIGNED["invite"]["token"], 0)


def chunks_of(data: bytes, size: int) -> list[bytes]:
    """Cut data into chunks of this size; 0 leaves it whole."""
    step = size or max(1, len(data))
    return [data[start : start + step] for start in range(0, len(data), step)]


def text_of(data: bytes) -> str:
    """Return bytes as a text in which anything can be, lone surrogates too."""
    return data.decode("utf-8", "surrogateescape")


def codec(data: bytes) -> None:
    """Cut a stream into frames: the same ones whatever the chunks, and no more is kept than one."""
    size, data = (data[0], data[1:]) if data else (0, data)
    whole = list(cut_into_frames([data]))
    pieces = list(cut_into_frames(chunks_of(data, size)))
    assert pieces == whole
    bodies = [body for body in whole if body is not None]
    assert data.startswith(b"".join(map(encode_frame, bodies)))


def cut_into_frames(chunks: list[bytes]) -> Iterator[bytes | None]:
    """Return the bodies of the frames in a stream, and None for one that is too long."""
    decoder = FrameDecoder()
    for chunk in chunks:
        try:
            yield from decoder.frames(chunk)
        except FrameTooBig:
            yield None
            return
        assert decoder.buffered < HEADER_SIZE + decoder.max_size


def messages(data: bytes) -> None:
    """Decode a frame's body: it is a message, a kind that is not known, or malformed."""
    version = peek_version(data)
    assert version is None or isinstance(version, int)
    try:
        message = decode(data)
    except MalformedMessage as exc:
        assert exc.code in (CloseCode.PROTOCOL_ERROR, CloseCode.INVALID_DATA)  # noqa: PT017
        return
    if message is not None:
        again = encode(message)
        assert decode(again[HEADER_SIZE:]) == message


def core(data: bytes) -> None:
    """Give one end of a session what it may hear: events, or one goodbye.

    The first byte says in which state which end is, the second how the rest is cut.
    """
    place, size, data = (data[0], data[1], data[2:]) if len(data) > 1 else (0, 0, data)
    state, side = RESTING[place % len(RESTING)]
    feed(pair_at(state), side, chunks_of(data, size))


def target(data: bytes) -> None:
    """Read a TARGET: it names a server, or the error says that it does not."""
    text = text_of(data)
    try:
        found = parse_target(text)
    except ValueError as exc:
        assert str(exc)  # noqa: PT017
        return
    assert isinstance(found, Target)
    assert 1 <= found.port <= 65535
    assert len(found.room) <= MAX_NAME
    assert found.host
    again = parse_target(str(found))  # which tells everything but what an invite has besides
    assert (again.host, again.port, again.room) == (found.host, found.port, found.room)
    assert not found.token or found.token not in str(found)


def invites(data: bytes) -> None:
    """Read an invite and a token: each is what it says it is, or the error does not quote it."""
    text = text_of(data)
    try:
        invite = Invite.parse(text)
    except ValueError as exc:
        assert mask(str(exc)) == str(exc)  # noqa: PT017
    else:
        assert Invite.parse(invite.url) == invite
        assert invite.token not in repr(invite)
    for token in {text, text.rpartition(".")[2]}:
        try:
            grant = check_token(CERTIFICATE, token, 0)
        except InvalidInvite as exc:
            assert str(exc)  # noqa: PT017
        else:
            # Nobody but the owner of the key can make another one.
            assert grant == GRANT
    mask(text)


def names(data: bytes) -> None:
    """Make names harmless: of people, of rooms, and of those that were taken already."""
    text = text_of(data)
    nick = nick_of(text)
    assert 1 <= len(nick) <= MAX_NAME
    assert ":" not in nick
    assert nick_of(nick) == nick
    numbered = with_suffix(nick, "-27")
    assert numbered.endswith("-27")
    for name in (nick, numbered, clean_name(text)):
        assert width(name) <= NAME_COLUMNS
        assert not harm(name)
    key = name_key(nick)
    assert key
    assert name_key(key) == key
    assert name_key(tagged(nick, bytes(32))) != key
    room = room_name_of(text)
    assert room_name_of(room) == room
    assert not harm(room)
    room.encode()
    assert isinstance(network_of(text), str)


def text(data: bytes) -> None:
    """Make a text safe to show."""
    given = text_of(data)
    for multiline in (True, False):
        shown = clean(given, multiline=multiline)
        assert not harm(shown, "\n" if multiline else "")
        assert clean(shown, multiline=multiline) == shown
        shown.encode()
    assert len(clean(given, limit=10)) <= 10


TARGETS: dict[str, Callable[[bytes], None]] = {
    each.__name__: each for each in (codec, messages, core, target, invites, names, text)
}


def corpus_of(name: str) -> list[bytes]:
    """Return the inputs that are kept for a target."""
    return [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]
