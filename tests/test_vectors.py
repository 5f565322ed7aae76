"""`docs/protocol.md` and its test vectors say what the code does, in both directions."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from socketchat import messages
from socketchat.core_events import (
    Acknowledged,
    CoreEvent,
    Failed,
    HelloReceived,
    Received,
    Rejection,
    Resumed,
    Welcomed,
)
from socketchat.errors import CloseCode, InvalidInvite
from socketchat.fingerprint import fingerprint_of
from socketchat.framing import HEADER_SIZE, FrameDecoder
from socketchat.lanes import Lanes
from socketchat.messages import (
    Bye,
    DataPost,
    Event,
    Greeting,
    Hello,
    Limits,
    MalformedMessage,
    Ping,
    Present,
    Reject,
    TextPost,
    Welcome,
    WireMessage,
    decode,
    encode,
)
from socketchat.outbox import MemoryOutbox
from socketchat.protocol import Protocol, Side
from socketchat.states import TRANSITIONS
from socketchat.trust.device import is_proof
from socketchat.trust.identity import pin_of
from socketchat.trust.invites import Further, Grant, Invite, check_token, make_token
from tests.core import OPTIONS, SAMPLES, Pair, make_hello, make_lanes

DOCS = Path(__file__).parent.parent / "docs"
TEXT = (DOCS / "protocol.md").read_text("utf-8")
C, S = Side.CLIENT, Side.SERVER

Vector = dict[str, Any]


def load(name: str) -> list[Any]:
    document = json.loads((DOCS / "vectors" / name).read_text("utf-8"))
    assert document["about"]
    vectors = document.get("vectors") or document["links"]
    assert isinstance(vectors, list)
    return vectors


def each(name: str) -> pytest.MarkDecorator:
    """Run a test with each vector of a file."""
    vectors = load(name)
    names = [vector["name"] for vector in vectors]
    assert len(set(names)) == len(names)
    return pytest.mark.parametrize("vector", vectors, ids=names)


def message_of(vector: Vector) -> WireMessage | None:
    """Make the message that a vector describes, or None for one to skip."""
    if vector["type"] is None:
        return None
    values = {name: value_of(name, value) for name, value in vector["fields"].items()}
    message: WireMessage = getattr(messages, vector["type"])(**values)
    return message


def value_of(name: str, value: Any) -> object:
    if name == "limits":
        return Limits(**value)
    if isinstance(value, list):
        return tuple(value_of(name, item) for item in value)
    return bytes.fromhex(value["hex"]) if isinstance(value, dict) else value


def body_of(vector: Vector) -> bytes:
    frame = bytes.fromhex(vector["frame"])
    (body,) = FrameDecoder().frames(frame)
    return body


# ---- messages ----


@each("messages.json")
def test_a_frame_gives_its_message(vector: Vector) -> None:
    assert decode(body_of(vector)) == message_of(vector)


@each("messages.json")
def test_a_message_gives_its_frame(vector: Vector) -> None:
    message = message_of(vector)
    assert message is not None
    assert encode(message).hex() == vector["frame"]


def test_there_is_a_vector_for_every_kind() -> None:
    assert {type(message_of(vector)) for vector in load("messages.json")} == set(SAMPLES)


@each("accepted.json")
def test_a_frame_that_nobody_needs_to_send_so_is_accepted(vector: Vector) -> None:
    message = message_of(vector)
    assert decode(body_of(vector)) == message
    assert message is None or encode(message).hex() != vector["frame"]


@each("malformed.json")
def test_a_malformed_frame_has_its_code(vector: Vector) -> None:
    with pytest.raises(MalformedMessage) as caught:
        decode(body_of(vector))
    assert caught.value.code == vector["code"]


@pytest.mark.parametrize("side", Side)
@each("malformed.json")
def test_a_malformed_frame_is_answered_with_its_code(vector: Vector, side: Side) -> None:
    pair = Pair().run()
    (failed,) = pair.feed(side, bytes.fromhex(vector["frame"]))
    assert isinstance(failed, Failed)
    assert failed.close.code == vector["code"]


# ---- streams ----


@pytest.mark.parametrize("size", [1, 7, 10**6])
@each("streams.json")
def test_a_stream_has_its_code_and_its_posts(vector: Vector, size: int) -> None:
    side = Side(vector["listener"])
    pair = Pair()
    pair.welcomes = False
    stream = bytes.fromhex(vector["stream"])
    for start in range(0, len(stream), size):
        pair.feed(side, stream[start : start + size])
        pair.write(side)
    codes = [event.close.code for event in pair.events[side] if isinstance(event, Failed)]
    assert codes == ([vector["code"]] if vector["code"] else [])
    assert [post.number for post in pair.held[side]] == vector["posts"]


# ---- proofs ----


@each("proofs.json")
def test_a_device_proves_its_key_so(vector: Vector) -> None:
    private = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(vector["private"]))
    public, nonce, lane, signed, signature = (
        bytes.fromhex(vector[name]) for name in ("public", "nonce", "lane", "signed", "signature")
    )
    assert private.public_key().public_bytes_raw() == public
    assert fingerprint_of(public) == vector["fingerprint"]
    assert private.sign(signed) == signature
    assert is_proof(public, signature, vector["pin"], nonce, lane)


# ---- conversations ----


class Replay:
    """Two cores that are led through a conversation, and must say what is written there."""

    def __init__(self) -> None:
        self.lanes = {C: make_lanes(), S: make_lanes()}
        self.welcome = Welcome(bytes(16))
        self.ends: dict[Side, Protocol] = {}
        self.queued: dict[Side, bytes] = {}

    def link(self, steps: list[Vector]) -> None:
        """Play one link, from its greeting on."""
        greeting, hello = message_of(steps[0]), message_of(steps[1])
        assert isinstance(greeting, Greeting)
        assert isinstance(hello, Hello)
        mine = self.lanes[C]
        mine.lane = hello.lane
        expected = make_hello(mine)
        assert (hello.session, hello.after) == (expected.session, expected.after)
        self.ends = {
            C: Protocol(C, OPTIONS, 0, hello=hello, lanes=mine),
            S: Protocol(S, OPTIONS, 0, greeting=greeting),
        }
        welcome = message_of(steps[2])
        assert isinstance(welcome, Welcome)
        self.welcome = welcome
        if welcome.floor:
            self.lanes[S] = logged_lanes(hello.lane, welcome)
        elif self.lanes[S].session != welcome.session:
            self.lanes[S] = Lanes(hello.lane, MemoryOutbox(100, 10**6), session=welcome.session)
        self.queued = {C: b"", S: b""}
        for step in steps:
            self.step(step)

    def step(self, step: Vector) -> None:
        """Let one side say the next thing, and the other hear it unless it is lost."""
        side, frame = Side(step["from"]), bytes.fromhex(step["frame"])
        message = message_of(step)
        assert decode(frame[HEADER_SIZE:]) == message
        if not self.queued[side]:
            self.act(side, message)
            self.queued[side] = self.ends[side].data_to_send()
        assert self.queued[side][: len(frame)].hex() == frame.hex(), step["note"]
        self.queued[side] = self.queued[side][len(frame) :]
        if not step.get("lost"):
            self.hear(side.other, frame)

    def act(self, side: Side, message: WireMessage | None) -> None:
        """Say `message`, if a core does not say it by itself."""
        end, lanes = self.ends[side], self.lanes[side]
        match message:
            case TextPost(number) if side is S and self.welcome.floor:
                lanes.sent = number
                end.send_post(encode(message))
            case TextPost(number) | DataPost(number) if number > lanes.sent:
                post = lanes.post(message.body, message.at, message.sender, message.to)
                end.send_post(post.frame)
            case Event() | Present():
                end.send_event(message)
            case Reject(number, code, reason):
                end.reject(number, code, reason)
            case Ping():
                end.ping(0)
            case Bye(code, reason) if end.sent_bye is None:
                end.close(code, reason, 0)

    def notice(self, side: Side, event: CoreEvent) -> None:
        """Be told what a core reports."""

    def hear(self, side: Side, frame: bytes) -> None:
        end, lanes = self.ends[side], self.lanes[side]
        for event in end.receive_data(frame, 0):
            self.notice(side, event)
            match event:
                case HelloReceived(hello):
                    told = self.welcome
                    end.welcome(
                        lanes,
                        hello,
                        hello.nick,
                        hello.room,
                        floor=told.floor,
                        head=told.head,
                        after=told.after,
                    )
                case Received(posts):
                    lanes.commit(posts[-1].number, posts[-1].at)
                    end.acknowledge()
                case Failed(close):
                    pytest.fail(f"the {side.value} complains: {close}")


def logged_lanes(lane: bytes, welcome: Welcome) -> Lanes:
    """Return the lanes of a server whose log remembers all that its welcome tells."""
    lanes = Lanes(lane, MemoryOutbox(100, 10**6), session=welcome.session)
    lanes.received = lanes.committed = welcome.mark
    lanes.sent = lanes.written = welcome.after[0]
    return lanes


CONVERSATIONS = ["conversation.json", "resume.json", "restart.json", "room.json"]


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_both_cores_say_what_is_written_in_a_conversation(name: str) -> None:
    replay = Replay()
    for steps in load(name):
        replay.link(steps)
    assert all(end.finished for end in replay.ends.values())
    assert not any(replay.queued.values())
    assert not any(len(lanes.outbox) for lanes in replay.lanes.values())


class Listener(Replay):
    """A replay that notes what the client is told of each link."""

    def __init__(self) -> None:
        super().__init__()
        self.resumed: list[Resumed] = []
        self.told: list[tuple[int, int]] = []
        self.refused: list[int] = []

    def notice(self, side: Side, event: CoreEvent) -> None:
        match event:
            case Welcomed(_, resumed):
                self.resumed.append(resumed)
            case Acknowledged(posts):
                # Its place in the log is known by then.
                self.told += [(post.number, post.entry) for post in posts if side is C]
            case Rejection(post):
                self.refused.append(post.number)


def test_a_client_learns_of_the_gap_of_the_other_log_and_of_its_own_posts() -> None:
    listener = Listener()
    for steps in load("room.json"):
        listener.link(steps)
    joined, resumed, gap, other = listener.resumed
    assert (joined.restarted, joined.missed) == (False, None)
    assert (resumed.restarted, resumed.missed) == (False, None)
    assert [post.number for post in resumed.acknowledged] == [2]
    assert (gap.restarted, gap.missed) == (False, (46, 59))
    assert (other.restarted, other.missed) == (True, None)
    assert listener.told == [(1, 42), (4, 2)]
    assert listener.refused == [3]
    assert listener.lanes[C].committed == 2


# ---- invites ----

REFUSALS = {"expired": "has expired", "altered": "or was altered", "no invite": "is no invite"}


def grant_of(vector: Vector) -> Grant:
    grant = vector["grant"]
    return Grant(bytes.fromhex(grant["token_id"]["hex"]), grant["room"], grant["expires"])


@each("invites.json")
def test_an_invite_says_what_its_url_says(vector: Vector) -> None:
    if vector["refused"] == "url":
        assert vector["invite"] is None
        with pytest.raises(ValueError, match=r"invite|room"):
            Invite.parse(vector["url"])
    else:
        values = vector["invite"]
        others = tuple(Further(*server) for server in values.get("others", ()))
        invite = Invite(**values | {"others": others})
        assert Invite.parse(vector["url"]) == Invite.parse(invite.url) == invite
        otherwise = vector["name"].startswith("written otherwise")
        assert (invite.url == vector["url"]) is not otherwise


@pytest.mark.parametrize(
    "vector", [pytest.param(it, id=it["name"]) for it in load("invites.json") if it["invite"]]
)
def test_a_token_grants_what_its_server_has_signed(vector: Vector) -> None:
    der, token = bytes.fromhex(vector["certificate"]), vector["invite"]["token"]
    certificate = x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM)
    if vector["refused"]:
        assert vector["grant"] is None
        with pytest.raises(InvalidInvite, match=REFUSALS[vector["refused"]]):
            check_token(certificate, token, vector["now"])
        return
    assert check_token(certificate, token, vector["now"]) == grant_of(vector)
    assert pin_of(der) == vector["invite"]["pin"]
    assert vector["grant"]["room"] == vector["invite"]["room"]


def test_a_token_is_made_as_in_the_vectors() -> None:
    (vector,) = (it for it in load("invites.json") if "key" in it)
    key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(vector["key"]))
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    grant = grant_of(vector)
    token = make_token(pem, room=grant.room, expires=grant.expires, token_id=grant.token_id)
    assert token == vector["invite"]["token"]
    raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    assert b"socketchat invite 1\0" + raw[:-64] == bytes.fromhex(vector["signed"])
    key.public_key().verify(raw[-64:], bytes.fromhex(vector["signed"]))


# ---- pins ----


@each("pins.json")
def test_a_certificate_has_its_pin(vector: Vector) -> None:
    certificate, key = bytes.fromhex(vector["certificate"]), bytes.fromhex(vector["spki"])
    assert pin_of(certificate) == vector["pin"]
    assert key in certificate
    digest = base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")
    assert vector["pin"] == f"SHA256:{digest}"
    assert len(digest) == 43


# ---- the document ----


def rows_behind(heading: str, text: str = TEXT) -> list[list[str]]:
    """Return the rows of the first table behind a heading, without their head."""
    lines = text.split(f"\n{heading}\n", 1)[1].splitlines()
    first = next(index for index, line in enumerate(lines) if line.startswith("| ---"))
    rows = []
    for line in lines[first + 1 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def test_every_kind_is_described_with_its_number_and_its_fields() -> None:
    headings = re.findall(r"^### (\d+) (\w+)$", TEXT, re.MULTILINE)
    kinds = {message.__struct_config__.tag: kind for kind, message in SAMPLES.items()}
    assert {int(number): name for number, name in headings} == {
        tag: kind.__name__ for tag, kind in kinds.items()
    }
    for number, name in headings:
        fields = msgspec.structs.fields(SAMPLES[kinds[int(number)]])
        rows = rows_behind(f"### {number} {name}")
        assert [row[0].strip("`") for row in rows] == [field.name for field in fields]
        for row, field in zip(rows, fields, strict=True):
            assert row[2].strip("`") == written(field.default), (name, field.name)


def written(default: object) -> str:
    """Write a default as the document does."""
    match default:
        case msgspec.UNSET | msgspec.NODEFAULT:
            return ""
        case Limits(max_size):
            return f"[{max_size}]"
        case str():
            return f'"{default}"'
        case tuple():
            return str(list(default))
        case _:
            return repr(default).replace("'", '"')


def test_the_table_of_the_document_is_that_of_the_code() -> None:
    groups = {"talk": "TextPost DataPost Event Present", "answers": "Ack Reject Ping Pong"}
    found = {}
    for state, *sides in rows_behind("## Who may say what when"):
        for side, cell in zip((S, C), sides, strict=True):
            moves = {}
            for part in filter(None, map(str.strip, cell.split(","))):
                what, _, target = part.partition(" → ")
                for kind in groups.get(what, what).split():
                    moves[kind] = target or state
            found[state, side] = moves
    assert found == {
        (state.name, side): {kind.__name__: target.name for kind, target in rules.items()}
        for state, sides in TRANSITIONS.items()
        for side, rules in sides.items()
    }


def test_the_codes_of_the_document_are_those_of_the_code() -> None:
    rows = rows_behind("## Errors and close codes")
    assert {int(row[0]): row[1] for row in rows} == {code.value: code.name for code in CloseCode}
    for row in rows:
        assert (row[3] == "yes") is CloseCode.is_temporary(int(row[0]))


def test_the_worked_example_is_the_conversation_of_the_vectors() -> None:
    example = TEXT.split("\n## A worked example\n")[1].split("\n## ")[0]
    blocks = re.findall(r"```\n(.*?)```", example, re.DOTALL)
    # What stands in the first columns is hex; words are set apart by two spaces or more.
    columns = (re.match(r"[0-9a-f ]*?(?=  |$)", line) for line in "".join(blocks).splitlines())
    written_there = "".join(column[0] for column in columns if column).replace(" ", "")
    (steps,) = load("conversation.json")
    assert written_there == "".join(step["frame"] for step in steps)


def test_every_vector_file_is_listed_in_the_document() -> None:
    listed = {re.findall(r"`(\w+\.json)`", row[0])[0] for row in rows_behind("## Test vectors")}
    assert listed == {path.name for path in (DOCS / "vectors").iterdir()}


def test_links_within_the_document_lead_somewhere() -> None:
    headings = re.findall(r"^#+ (.+)$", TEXT, re.MULTILINE)
    anchors = {heading.lower().replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([^)]+)\)", TEXT)) <= anchors
