"""Claims about `socketchat.trust.device`: a device's key, its file, and what it proves."""

from __future__ import annotations

import base64
import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from socketchat.fingerprint import fingerprint_of
from socketchat.trust.device import Device, is_proof
from socketchat.trust.identity import Identity

SERVER, OTHER = Identity.generate().fingerprint, Identity.generate().fingerprint
NONCE = bytes(range(32))
LANE = bytes(range(16))


def test_a_proof_holds_for_its_key_server_nonce_and_lane() -> None:
    device = Device.generate()
    proof = device.prove(SERVER, NONCE, LANE)
    assert len(proof) == 64
    assert is_proof(device.public, proof, SERVER, NONCE, LANE)


@pytest.mark.parametrize("place", range(4))
def test_a_proof_is_worth_nothing_for_anything_else(place: int) -> None:
    device = Device.generate()
    proof = device.prove(SERVER, NONCE, LANE)
    public = Device.generate().public if place == 0 else device.public
    server = OTHER if place == 1 else SERVER
    nonce = bytes(32) if place == 2 else NONCE
    lane = bytes(16) if place == 3 else LANE
    assert not is_proof(public, proof, server, nonce, lane)


def test_a_proof_without_a_server_key_is_none_for_a_server_that_has_one() -> None:
    device = Device.generate()
    proof = device.prove("", NONCE, LANE)
    assert is_proof(device.public, proof, "", NONCE, LANE)
    assert not is_proof(device.public, proof, SERVER, NONCE, LANE)


P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P


def add(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
    """Add two points of edwards25519 (RFC 8032, section 5.1)."""
    (x1, y1), (x2, y2) = a, b
    product = D * x1 * x2 * y1 * y2
    x = (x1 * y2 + x2 * y1) * pow(1 + product, -1, P)
    y = (y1 * y2 + x1 * x2) * pow(1 - product, -1, P)
    return x % P, y % P


def root(square: int) -> int | None:
    """Return a square root modulo P, if there is one."""
    candidate = pow(square, (P + 3) // 8, P)
    for factor in (1, pow(2, (P - 1) // 4, P)):
        if pow(candidate * factor, 2, P) == square % P:
            return candidate * factor % P
    return None


def torsion() -> set[tuple[int, int]]:
    """Return the points whose order divides 8: multiples of random points by the group's order."""
    order = 2**252 + 27742317777372353535851937790883648493
    found = {(0, 1)}
    y = 2
    while len(found) < 8:
        y += 1
        x = root((y * y - 1) * pow(D * y * y + 1, -1, P))
        if x is not None:
            total, point, rest = (0, 1), (x, y), order
            while rest:
                total = add(total, point) if rest & 1 else total
                point, rest = add(point, point), rest >> 1
            multiple = total
            for _ in range(8):
                found.add(multiple)
                multiple = add(multiple, total)
    return found


def encodings(x: int, y: int) -> Iterator[bytes]:
    """Yield all 32 bytes that may be read as a point, be they as RFC 8032 wants them or not."""
    for written in (y, y + P):
        for sign in (0, 1):
            if written < 2**255:
                yield (written | sign << 255).to_bytes(32, "little")


def test_a_key_for_which_anybody_could_sign_is_none() -> None:
    points = torsion()
    assert len(points) == 8
    weak = {encoding for x, y in points for encoding in encodings(x, y)}
    for public in weak:
        for proof in (bytes(64), public + bytes(32)):
            # Whether one of these holds depends on what is signed, so that some do.
            nonces = [bytes([number]) * 32 for number in range(32)]
            assert not any(is_proof(public, proof, SERVER, nonce, LANE) for nonce in nonces)


@given(public=st.binary(max_size=40), proof=st.binary(max_size=70))
def test_nothing_made_up_is_a_proof(public: bytes, proof: bytes) -> None:
    assert not is_proof(public, proof, SERVER, NONCE, LANE)


def test_a_nonce_cannot_be_read_as_part_of_a_lane() -> None:
    device = Device.generate()
    proof = device.prove(SERVER, NONCE, LANE)
    shifted = LANE[1:] + NONCE[:1]
    assert not is_proof(device.public, proof, SERVER, NONCE[1:], shifted)


def test_a_key_is_made_once_and_kept(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    made = Device.load_or_generate(directory)
    assert Device.load_or_generate(directory).public == made.public
    assert Device.generate().public != made.public


@pytest.mark.skipif(os.name != "posix", reason="modes are a matter of POSIX")
def test_nobody_else_can_read_a_key(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    Device.load_or_generate(directory)
    assert stat.S_IMODE((directory / "device.key").stat().st_mode) == 0o600
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


@pytest.mark.parametrize("what", [b"", b"rubbish", Identity.generate().key])
def test_a_file_that_is_no_device_key_is_named(tmp_path: Path, what: bytes) -> None:
    path = tmp_path / "device.key"
    path.write_bytes(what)
    with pytest.raises(ValueError, match=r"device\.key holds no Ed25519 key: move it away"):
        Device.load_or_generate(tmp_path)
    assert path.read_bytes() == what


def test_a_key_is_not_shown() -> None:
    device = Device.generate()
    assert "rivate" not in repr(device)


def test_a_fingerprint_is_that_of_the_subject_public_key_info() -> None:
    device = Device.generate()
    spki = Ed25519PublicKey.from_public_bytes(device.public).public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )
    digest = hashlib.sha256(spki).digest()
    expected = "SHA256:" + base64.b64encode(digest).decode().rstrip("=")
    assert device.fingerprint == fingerprint_of(device.public) == expected
