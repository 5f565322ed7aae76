"""Claims about `socketchat.trust.invites`: what an invite says, who made it, and that it is kept.

What other implementations have to agree with is in `docs/vectors/invites.json`; `test_vectors.py`
loads it.
"""

from __future__ import annotations

import base64
import hashlib
import re
import string
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st

from socketchat.chat.rules import room_name_of
from socketchat.errors import InvalidInvite
from socketchat.messages import MAX_INVITE
from socketchat.text import clean
from socketchat.trust.identity import Identity
from socketchat.trust.invites import (
    MAX_URL,
    TOKEN_ID_SIZE,
    Further,
    Grant,
    Invite,
    check_token,
    make_token,
)
from socketchat.trust.masking import mask

NOW = 1_800_000_000
LATER = NOW + 86_400
TOKEN_ID = bytes(range(TOKEN_ID_SIZE))
ALPHABET = string.ascii_letters + string.digits + "-_"


def identity_with(key: CertificateIssuerPrivateKeyTypes) -> Identity:
    """Make a server's identity with a key of any kind."""
    name = x509.Name([])
    unhashed = isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.now(UTC))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .sign(key, None if unhashed else SHA256())
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Identity(certificate.public_bytes(Encoding.PEM), pem, "")


IDENTITY, OTHER = Identity.generate(), Identity.generate()
KINDS = {
    "P-256": IDENTITY,
    "P-384": identity_with(ec.generate_private_key(ec.SECP384R1())),
    "P-521": identity_with(ec.generate_private_key(ec.SECP521R1())),
    "RSA-2048": identity_with(rsa.generate_private_key(65537, 2048)),
    "Ed25519": identity_with(ed25519.Ed25519PrivateKey.generate()),
}
SIGNATURE_SIZES = {"P-256": 64, "P-384": 96, "P-521": 132, "RSA-2048": 256, "Ed25519": 64}
each_kind = pytest.mark.parametrize("kind", list(KINDS))

PIN = OTHER.fingerprint
TOKEN = make_token(IDENTITY.key, room="tea", expires=LATER, token_id=TOKEN_ID)
INVITE = Invite("maple.example", 7625, "tea", IDENTITY.fingerprint, TOKEN)

labels = st.from_regex(r"[a-z0-9_]([a-z0-9_-]{0,20}[a-z0-9_])?", fullmatch=True)
hosts = (
    st.lists(labels, min_size=1, max_size=5).map(".".join)
    | st.ip_addresses(v=4).map(str)
    | st.ip_addresses(v=6).map(str)
)
rooms = st.text(max_size=64).map(room_name_of).filter(lambda room: len(room) <= 64)
ports = st.integers(1, 65535)
pins = st.binary(min_size=32, max_size=32).map(
    lambda digest: "SHA256:" + base64.b64encode(digest).decode().rstrip("=")
)
tokens = st.binary(min_size=60, max_size=700).map(
    lambda raw: base64.urlsafe_b64encode(raw).decode().rstrip("=")
)


def raw_of(token: str) -> bytes:
    return base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))


def token_of(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def refusal_of(certificate: bytes, token: str, now: int = NOW) -> str:
    """Return why a token is not good; nothing of it may be told."""
    with pytest.raises(InvalidInvite) as caught:
        check_token(certificate, token, now)
    assert str(caught.value) == caught.value.reason
    assert caught.value.reason.isprintable()
    assert token not in caught.value.reason or len(token) < 12
    return caught.value.reason


# The URL


def test_an_invite_is_one_url() -> None:
    pin = IDENTITY.fingerprint.removeprefix("SHA256:").replace("+", "-").replace("/", "_")
    assert INVITE.url == f"socketchat://maple.example:7625/tea#{pin}.{TOKEN}"
    assert Invite.parse(INVITE.url) == INVITE


@given(
    host=hosts,
    port=ports,
    room=rooms,
    pin=pins,
    token=tokens,
    others=st.lists(st.builds(Further, hosts, ports, pins), max_size=3).map(tuple),
)
def test_every_invite_is_read_as_it_was_written(
    host: str, port: int, room: str, pin: str, token: str, others: tuple[Further, ...]
) -> None:
    try:
        invite = Invite(host, port, room, pin, token, others)
    except ValueError as exc:
        assert str(exc) in (  # noqa: PT017
            f"an invite has at most {MAX_URL} characters",
            "an invite names each server once",
        )
        return
    assert invite.url.isascii()
    assert invite.url.isprintable()
    assert " " not in invite.url
    assert len(invite.url) <= MAX_URL
    assert Invite.parse(invite.url) == invite


TAIL = "#" + INVITE.url.partition("#")[2]

READ = {
    "socketchat://maple": ("maple", 7625, ""),
    "socketchat://maple/": ("maple", 7625, ""),
    "SocketChat://Maple.Example:80/Tea": ("maple.example", 80, "Tea"),
    "socketchat://maple.:00080": ("maple.", 80, ""),
    "socketchat://192.0.2.7/tea": ("192.0.2.7", 7625, "tea"),
    "socketchat://[2001:DB8::7]:80/tea": ("2001:db8::7", 80, "tea"),
    "socketchat://[::ffff:192.0.2.7]": ("::ffff:192.0.2.7", 7625, ""),
    "socketchat://xn--bcher-kva.example": ("xn--bcher-kva.example", 7625, ""),
    "socketchat://my_host-1/a:b@c+d": ("my_host-1", 7625, "a:b@c+d"),
    "socketchat://maple/%E8%8C%B6": ("maple", 7625, "茶"),
    "socketchat://maple/%e8%8c%b6": ("maple", 7625, "茶"),
    "socketchat://maple/tea%20room": ("maple", 7625, "tea room"),
    "socketchat://maple/%23a%2Fb%3F%25": ("maple", 7625, "#a/b?%"),
    "socketchat://maple/" + "%F0%9F%8D%B5" * 64: ("maple", 7625, "🍵" * 64),
}


@pytest.mark.parametrize("place", list(READ))
def test_what_an_invite_may_say_of_the_place(place: str) -> None:
    invite = Invite.parse(place + TAIL)
    assert (invite.host, invite.port, invite.room) == READ[place]
    assert (invite.pin, invite.token) == (IDENTITY.fingerprint, TOKEN)


@pytest.mark.parametrize(
    "place",
    [
        "",
        "socketchat:",
        "socketchat:/maple",
        "http://maple",
        " socketchat://maple",
        "socketchat://",
        "socketchat:///tea",
        "socketchat://:80",
        "socketchat://maple:",
        "socketchat://maple:0",
        "socketchat://maple:65536",
        "socketchat://maple:" + "9" * 1000,
        "socketchat://maple:http",
        "socketchat://maple:%38",
        "socketchat://maple:80:80",
        "socketchat://ada@maple",
        "socketchat://ada:secret@maple",
        "socketchat://maple%2eexample",
        "socketchat://m%61ple",
        "socketchat://maple\\.example",
        "socketchat://bücher.example",
        "socketchat://maple\uff0eexample",
        "socketchat://maple example",
        "socketchat://maple..example",
        "socketchat://-maple",
        "socketchat://maple-",
        "socketchat://.",
        "socketchat://" + "a" * 64,
        "socketchat://" + "a." * 127 + "a",
        "socketchat://[::1",
        "socketchat://::1",
        "socketchat://[]",
        "socketchat://[maple]",
        "socketchat://[192.0.2.7]",
        "socketchat://[::1]80",
        "socketchat://[::1%25eth0]",
        "socketchat://[fe80::1%eth0]",
        "socketchat://[:::1]",
        "socketchat://maple?tea",
        "socketchat://maple/?tea",
        "socketchat://maple/tea/cups",
        "socketchat://maple/tea#",
        "socketchat://maple#tea",
        "socketchat://maple/tea room",
        "socketchat://maple/茶",
        "socketchat://maple/tea\n",
        "socketchat://maple/%",
        "socketchat://maple/%4",
        "socketchat://maple/%zz",
        "socketchat://maple/%ff",
        "socketchat://maple/%C0%AF",
        "socketchat://maple/%ED%A0%80",
        "socketchat://maple/%00",
        "socketchat://maple/tea%0A",
        "socketchat://maple/%1B[2J",
        "socketchat://maple/%20tea",
        "socketchat://maple/tea%20%20room",
        "socketchat://maple/%E2%80%AEtea",
        "socketchat://maple/" + "x" * 65,
    ],
)
def test_no_invite_says_this_of_the_place(place: str) -> None:
    with pytest.raises(ValueError, match=r"invite|room") as caught:
        Invite.parse(place + TAIL)
    assert str(caught.value).isprintable()
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize(
    "tail",
    [
        "",
        "#",
        "#.",
        TAIL[:44],
        TAIL[:45],
        f"#.{TOKEN}",
        f"#{TOKEN}",
        TAIL[:43] + TAIL[44:],
        "#A" + TAIL[1:],
        TAIL + "#",
        TAIL + TAIL,
        TAIL + ".",
        TAIL + "=",
        TAIL + "%3D",
        TAIL + " ",
        TAIL + "?",
        TAIL.replace(".", "%2E"),
        "%23" + TAIL[1:],
        TAIL[:45] + "A" * 1025,
        TAIL[:45] + "AAAAA",
        "#" + "+" * 43 + "." + TOKEN,
        "#" + "/" * 43 + "." + TOKEN,
    ],
)
def test_no_invite_is_without_one_pin_and_one_token(tail: str) -> None:
    with pytest.raises(ValueError, match="invite"):
        Invite.parse("socketchat://maple/tea" + tail)


def test_an_invite_has_a_bound() -> None:
    with pytest.raises(ValueError, match="at most 2048"):
        Invite.parse(INVITE.url + "A" * (MAX_URL - len(INVITE.url) + 1))


@pytest.mark.parametrize(
    ("host", "port", "room", "pin"),
    [
        ("Maple", 1, "", IDENTITY.fingerprint),
        ("2001:DB8::1", 1, "", IDENTITY.fingerprint),
        ("fe80::1%eth0", 1, "", IDENTITY.fingerprint),
        ("bücher", 1, "", IDENTITY.fingerprint),
        ("", 1, "", IDENTITY.fingerprint),
        ("maple", 0, "", IDENTITY.fingerprint),
        ("maple", 65536, "", IDENTITY.fingerprint),
        ("maple", 1, " tea", IDENTITY.fingerprint),
        ("maple", 1, "\x1b", IDENTITY.fingerprint),
        ("maple", 1, "x" * 65, IDENTITY.fingerprint),
        ("maple", 1, "", ""),
        ("maple", 1, "", "SHA256:" + "A" * 42 + "B"),
    ],
)
def test_what_cannot_be_written_cannot_be_made(host: str, port: int, room: str, pin: str) -> None:
    with pytest.raises(ValueError, match=r"invite|room"):
        Invite(host, port, room, pin, TOKEN)


@pytest.mark.parametrize(
    "other",
    [
        Further("maple", 80, IDENTITY.fingerprint),
        Further("Oak", 80, IDENTITY.fingerprint),
        Further("oak", 0, IDENTITY.fingerprint),
        Further("oak", 80, ""),
        Further("a,b", 80, IDENTITY.fingerprint),
    ],
)
def test_no_further_server_is_named_like_this(other: Further) -> None:
    with pytest.raises(ValueError, match="invite"):
        Invite("maple", 80, "", IDENTITY.fingerprint, TOKEN, (other,))


def test_a_key_that_all_servers_have_is_named_once() -> None:
    oak, elm = (Further(name, 80, IDENTITY.fingerprint) for name in ("oak", "elm"))
    invite = Invite("maple", 80, "", IDENTITY.fingerprint, TOKEN, (oak, elm))
    assert invite.url == "socketchat://maple:80,oak:80,elm:80/" + TAIL
    invite = Invite("maple", 80, "", IDENTITY.fingerprint, TOKEN, (oak._replace(pin=PIN),))
    assert invite.url.count(",") == 2
    assert TOKEN not in mask(invite.url)


@given(place=st.integers(0, 42), char=st.sampled_from(ALPHABET))
def test_another_character_in_the_pin_is_another_pin_or_none(place: int, char: str) -> None:
    before, pin, token = re.split(r"(?<=#)|\.(?=A)", INVITE.url)
    altered = pin[:place] + char + pin[place + 1 :]
    if altered == pin:
        return
    try:
        invite = Invite.parse(f"{before}{altered}.{token}")
    except ValueError:
        return
    assert invite.pin != INVITE.pin


@given(
    st.text()
    | st.text("socketchat:/[]@?%#.-_ aA0\n\udcff").map("socketchat://".__add__)
    | st.text().map(lambda text: INVITE.url[:30] + text)
    | st.text().map(lambda text: INVITE.url + text)
)
def test_any_text_is_an_invite_or_a_value_error(text: str) -> None:
    try:
        invite = Invite.parse(text)
    except ValueError as exc:
        assert str(exc).isprintable()  # noqa: PT017
        assert TOKEN not in str(exc)  # noqa: PT017
        return
    assert Invite.parse(invite.url) == invite


# The token


@each_kind
@settings(max_examples=30)
@given(
    room=rooms,
    expires=st.integers(0, 253_402_300_799),
    token_id=st.binary(min_size=16, max_size=16),
)
def test_what_a_server_grants_is_what_it_finds_again(
    kind: str, room: str, expires: int, token_id: bytes
) -> None:
    identity = KINDS[kind]
    token = make_token(identity.key, room=room, expires=expires, token_id=token_id)
    assert len(token) <= MAX_INVITE
    assert set(token) <= set(ALPHABET)
    grant = check_token(identity.certificate, token, expires - 1)
    assert grant == Grant(token_id, room, expires)
    assert "expired" in refusal_of(identity.certificate, token, expires)


@each_kind
def test_a_token_is_laid_out_as_the_protocol_says(kind: str) -> None:
    identity = KINDS[kind]
    raw = raw_of(make_token(identity.key, room="茶", expires=LATER, token_id=TOKEN_ID))
    payload = b"\1" + TOKEN_ID + LATER.to_bytes(8, "big") + "茶".encode()
    assert raw.startswith(payload)
    assert len(raw) - len(payload) == SIGNATURE_SIZES[kind]


@each_kind
def test_no_bit_of_a_token_may_be_another(kind: str) -> None:
    identity = KINDS[kind]
    raw = raw_of(make_token(identity.key, room="tea", expires=LATER, token_id=TOKEN_ID))
    for place in range(8 * len(raw)):
        altered = bytearray(raw)
        altered[place // 8] ^= 1 << place % 8
        reason = refusal_of(identity.certificate, token_of(bytes(altered)))
        assert reason == "this invite was not made by this server, or was altered"


def test_no_character_of_a_token_may_be_another() -> None:
    for place in range(len(TOKEN)):
        for char in ALPHABET + "=+/.%# \n\0é\udcff":
            if char != TOKEN[place]:
                refusal_of(IDENTITY.certificate, TOKEN[:place] + char + TOKEN[place + 1 :])


@given(start=st.integers(0, len(TOKEN)), length=st.integers(1, len(TOKEN)), more=st.text(ALPHABET))
def test_nothing_may_be_taken_out_of_a_token_or_put_in(start: int, length: int, more: str) -> None:
    altered = TOKEN[:start] + more + TOKEN[start + length :]
    if altered != TOKEN:
        refusal_of(IDENTITY.certificate, altered)
    if more:
        refusal_of(IDENTITY.certificate, TOKEN[:start] + more + TOKEN[start:])


def test_a_token_cannot_be_moved_to_another_room() -> None:
    """The room's end cannot be taken for the signature's beginning."""
    raw = raw_of(TOKEN)
    payload, signature = raw[:-64], raw[-64:]
    for moved in (payload[:-1] + signature, payload + b"x" + signature, raw + signature):
        refusal_of(IDENTITY.certificate, token_of(moved))


@each_kind
def test_a_token_is_good_at_its_own_server_alone(kind: str) -> None:
    token = make_token(KINDS[kind].key, room="", expires=LATER, token_id=TOKEN_ID)
    for name, identity in (KINDS | {"other": OTHER}).items():
        if name == kind:
            check_token(identity.certificate, token, NOW)
        else:
            refusal_of(identity.certificate, token)


def test_a_signature_for_something_else_is_none_for_an_invite() -> None:
    key = load_pem_private_key(KINDS["Ed25519"].key, None)
    assert isinstance(key, ed25519.Ed25519PrivateKey)
    payload = raw_of(TOKEN)[:-64]
    for signed in (payload, b"socketchat device proof 1\0" + payload):
        refusal_of(KINDS["Ed25519"].certificate, token_of(payload + key.sign(signed)))


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (b"\2" + TOKEN_ID + LATER.to_bytes(8, "big"), "later version"),
        (b"\1" + TOKEN_ID + (2**64 - 1).to_bytes(8, "big"), "later version"),
        (b"\1" + TOKEN_ID + LATER.to_bytes(8, "big") + b"\xff", "no invite"),
    ],
)
def test_what_the_server_would_never_have_signed_is_refused_all_the_same(
    payload: bytes, words: str
) -> None:
    key = load_pem_private_key(KINDS["Ed25519"].key, None)
    assert isinstance(key, ed25519.Ed25519PrivateKey)
    token = token_of(payload + key.sign(b"socketchat invite 1\0" + payload))
    assert words in refusal_of(KINDS["Ed25519"].certificate, token)


def test_an_expired_token_says_since_when() -> None:
    assert check_token(IDENTITY.certificate, TOKEN, LATER - 1).expires == LATER
    reason = "this invite has expired (on 2027-01-16 at 08:00 UTC)"
    assert refusal_of(IDENTITY.certificate, TOKEN, LATER) == reason


@each_kind
@given(token=st.text() | st.text(ALPHABET, max_size=1100) | tokens, now=st.integers())
@example("", 0)
@example("AQ", 0)
@example("A" * 1025, 0)
def test_any_text_is_refused_and_nothing_worse(kind: str, token: str, now: int) -> None:
    refusal_of(KINDS[kind].certificate, token, now)


@pytest.mark.parametrize(
    ("room", "expires", "token_id"),
    [
        ("tea", LATER, b""),
        ("tea", LATER, bytes(15)),
        ("tea", LATER, bytes(17)),
        ("tea", -1, TOKEN_ID),
        ("tea", 253_402_300_800, TOKEN_ID),
        ("x" * 65, LATER, TOKEN_ID),
        ("\x1b", LATER, TOKEN_ID),
        ("\udcff", LATER, TOKEN_ID),
    ],
)
def test_what_makes_no_token_is_told(room: str, expires: int, token_id: bytes) -> None:
    with pytest.raises(ValueError, match=r"id has|years|room"):
        make_token(IDENTITY.key, room=room, expires=expires, token_id=token_id)


def test_the_largest_key_in_use_signs_invites_to_all_but_the_longest_names() -> None:
    identity = identity_with(rsa.generate_private_key(65537, 4096))
    asked = {"expires": LATER, "token_id": TOKEN_ID}
    token = make_token(identity.key, room="x" * 64, **asked)  # type: ignore[arg-type]
    assert check_token(identity.certificate, token, NOW).room == "x" * 64
    assert len(token) <= MAX_INVITE
    with pytest.raises(ValueError, match="too long for an invite"):
        make_token(identity.key, room="🍵" * 64, **asked)  # type: ignore[arg-type]


STRANGE: dict[str, CertificateIssuerPrivateKeyTypes] = {
    "Ed448": ed448.Ed448PrivateKey.generate(),
    "DSA": dsa.generate_private_key(2048),
}


@pytest.mark.parametrize("kind", list(STRANGE))
def test_a_key_that_cannot_sign_invites_is_told_and_lets_nobody_in(kind: str) -> None:
    identity = identity_with(STRANGE[kind])
    with pytest.raises(ValueError, match="cannot sign invites"):
        make_token(identity.key, room="", expires=LATER, token_id=TOKEN_ID)
    assert refusal_of(identity.certificate, TOKEN) == "this is no invite"


def test_a_key_that_cannot_be_read_is_told() -> None:
    locked = load_pem_private_key(IDENTITY.key, None).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
    )
    for pem in (b"", b"rubbish", IDENTITY.certificate, locked):
        with pytest.raises(ValueError, match="cannot be read"):
            make_token(pem, room="", expires=LATER, token_id=TOKEN_ID)


def test_the_pin_of_an_invite_is_that_of_the_certificate() -> None:
    certificate = x509.load_pem_x509_certificate(IDENTITY.certificate)
    digest = hashlib.sha256(
        certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    ).digest()
    assert raw_of(INVITE.url.partition("#")[2].partition(".")[0]) == digest


# That it is kept


@pytest.mark.parametrize("show", [repr, str, "{}".format, "{!r}".format])
def test_an_invite_does_not_show_its_token(show: object) -> None:
    assert callable(show)
    assert TOKEN not in show(INVITE)
    assert "maple.example" in show(INVITE)


SHOWN_PIN = INVITE.url.partition("#")[2].partition(".")[0]
SHOWN_URL = f"socketchat://maple.example:7625/tea#{SHOWN_PIN}...."


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (INVITE.url, SHOWN_URL),
        (f"{INVITE.url!r} is no host", f"'{SHOWN_URL}' is no host"),
        (f"see <{INVITE.url}>, and come", f"see <{SHOWN_URL}>, and come"),
        (f"({INVITE.url}); two", f"({SHOWN_URL}); two"),
        (f"{INVITE.url} {INVITE.url}", f"{SHOWN_URL} {SHOWN_URL}"),
        (f"{INVITE.url}\nnext", f"{SHOWN_URL}\nnext"),
        (f"SOCKET{INVITE.url[6:]}", f"SOCKET{SHOWN_URL[6:]}"),
        (TOKEN, "..."),
        (f"invite={TOKEN}&x", "invite=...&x"),
        (f"x{TOKEN}", "x..."),
        (f"maple/tea#{SHOWN_PIN}.{TOKEN}", f"maple/tea#{SHOWN_PIN}...."),
        ("socketchat://maple/tea#half", "socketchat://maple/tea#..."),
        ("socketchat://maple/tea%23half", "socketchat://maple/tea%23..."),
        ("socketchat:/maple/#x#y", "socketchat:/maple/#..."),
        ("socketchat://maple/tea#ha'lf'", "socketchat://maple/tea#...'"),
    ],
)
def test_a_text_is_shown_without_its_tokens(text: str, shown: str) -> None:
    assert mask(text) == shown
    assert mask(mask(text)) == mask(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "maple/#tea",
        "cannot reach maple:7625/#tea: no such host",
        IDENTITY.fingerprint,
        "a" * 64 + ".invalid",
        "-" * 200,
        "socketchat://maple/tea",
        "socketchat:80/#tea",
        "socketchat connect maple # a comment",
        "SHA256:" + "AQ" * 21 + "A",
    ],
)
def test_what_is_no_token_is_shown_as_it_is(text: str) -> None:
    assert mask(text) == text


@given(
    kind=st.sampled_from(list(KINDS)),
    host=hosts,
    port=ports,
    room=rooms,
    before=st.text(),
    behind=st.sampled_from(["", " ", "'", '", ', "\n", ")."]),
)
def test_no_token_is_ever_shown(
    kind: str, host: str, port: int, room: str, before: str, behind: str
) -> None:
    token = make_token(KINDS[kind].key, room=room, expires=LATER, token_id=TOKEN_ID)
    url = f"socketchat://{host}:{port}/x#{SHOWN_PIN}.{token}"
    for secret in (url, token, url.partition("://")[2], url.replace("#", "%23")):
        for text in (before + secret + behind, clean(before + secret + behind, multiline=False)):
            assert token[8:] not in mask(text)
            assert mask(text).endswith(("..." + behind, "..." + behind.replace("\n", " ")))


@pytest.mark.parametrize(
    "piece", ["socketchat:/", "socketchat:/#", "#", "A", "AQ", "socketchat:/'", "%23", "'"]
)
def test_masking_takes_its_time_on_nothing(piece: str) -> None:
    """Quadratic, this would meet the suite's own limit."""
    mask(piece * (1_000_000 // len(piece)) + " ")
