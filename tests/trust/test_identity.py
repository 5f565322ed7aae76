"""Claims about `socketchat.trust.identity`: a server's key, its pin, and the file it lies in."""

from __future__ import annotations

import base64
import hashlib
import os
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from socketchat.fingerprint import is_pin
from socketchat.trust.identity import Identity, pin_of
from socketchat.trust.secret_files import create_secret
from socketchat.trust.tls import server_context

needs_modes = pytest.mark.skipif(os.name != "posix", reason="modes are a matter of POSIX")


def mode_of(path: Path) -> int:
    """Return who may do what with a file."""
    return stat.S_IMODE(path.stat().st_mode)


def certificate_for(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Make another certificate for a key, in DER."""
    name = x509.Name([])
    start = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=1))
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.DER)
    )


def test_an_identity_is_a_p256_key_with_a_certificate_that_is_its_own() -> None:
    identity = Identity.generate()
    key = load_pem_private_key(identity.key, None)
    certificate = x509.load_pem_x509_certificate(identity.certificate)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert key.curve.name == "secp256r1"
    assert certificate.public_key() == key.public_key()
    certificate.verify_directly_issued_by(certificate)
    now = datetime.now(UTC)
    assert certificate.not_valid_before_utc < now - timedelta(hours=1)
    assert certificate.not_valid_after_utc > now + timedelta(days=10_000)


def test_each_identity_is_another() -> None:
    assert Identity.generate().fingerprint != Identity.generate().fingerprint


def test_a_pin_is_the_hash_of_the_public_key_as_rfc_7469_has_it() -> None:
    identity = Identity.generate()
    certificate = x509.load_pem_x509_certificate(identity.certificate)
    spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    encoded = base64.b64encode(hashlib.sha256(spki).digest()).decode()
    assert encoded.endswith("=")
    assert identity.fingerprint == f"SHA256:{encoded[:-1]}"
    assert is_pin(identity.fingerprint)


def test_a_pin_outlives_a_renewed_certificate() -> None:
    identity = Identity.generate()
    key = load_pem_private_key(identity.key, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert pin_of(certificate_for(key)) == identity.fingerprint


def test_a_key_is_not_shown() -> None:
    identity = Identity.generate()
    assert "PRIVATE" not in repr(identity)
    assert identity.fingerprint in repr(identity)


# The file


def test_an_identity_is_made_once_and_kept(tmp_path: Path) -> None:
    made = Identity.load_or_generate(tmp_path / "new" / "folder")
    assert Identity.load_or_generate(tmp_path / "new" / "folder") == made


@needs_modes
def test_a_key_is_for_its_owner_alone(tmp_path: Path) -> None:
    Identity.load_or_generate(tmp_path / "folder")
    assert mode_of(tmp_path / "folder") == 0o700
    assert mode_of(tmp_path / "folder" / "server.pem") == 0o600
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["server.pem"]


def test_a_chain_of_certificates_is_kept_whole_and_the_first_one_is_the_servers(
    tmp_path: Path,
) -> None:
    leaf, issuer = Identity.generate(), Identity.generate()
    chain = leaf.certificate + issuer.certificate
    (tmp_path / "server.pem").write_bytes(leaf.key + chain)
    loaded = Identity.load_or_generate(tmp_path)
    assert loaded.certificate == chain
    assert loaded.key == leaf.key
    assert loaded.fingerprint == leaf.fingerprint


@pytest.mark.parametrize(
    "content",
    [b"", b"garbage", Identity.generate().certificate, Identity.generate().key],
    ids=["empty", "garbage", "no key", "no certificate"],
)
def test_a_file_that_is_no_identity_is_an_error_that_names_it_and_stays(
    content: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "server.pem"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"server\.pem holds no key and certificate"):
        Identity.load_or_generate(tmp_path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("name", ["server.pem", "server-next.pem"])
@pytest.mark.parametrize("kind", ["broken certificate", "broken key", "another key"])
def test_a_file_that_is_damaged_is_an_error_of_one_line_that_names_it(
    tmp_path: Path, kind: str, name: str
) -> None:
    identity = Identity.generate()
    key, certificate = identity.key, identity.certificate
    match kind:
        case "broken certificate":
            certificate = certificate.replace(b"MII", b"XXX", 1)
        case "broken key":
            key = key.replace(b"MIG", b"XXX", 1)
        case _:
            key = Identity.generate().key
    (tmp_path / name).write_bytes(key + certificate)
    look = Identity.load_or_generate if name == "server.pem" else Identity.next
    with pytest.raises(ValueError, match=rf"{name} holds no key and certificate") as caught:
        look(tmp_path)
    assert "\n" not in str(caught.value)


@needs_modes
def test_a_key_that_others_can_read_is_used_and_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = Identity.load_or_generate(tmp_path)
    assert caplog.messages == []
    (tmp_path / "server.pem").chmod(0o644)
    assert Identity.load_or_generate(tmp_path) == made
    (message,) = caplog.messages
    assert "server.pem can be read by others" in message


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        Identity.load_or_generate(tmp_path / "file" / "folder")


def test_two_first_starts_at_once_agree_on_one_identity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Identity.generate()

    def generate() -> Identity:
        create_secret(tmp_path / "server.pem", other.key + other.certificate)
        return Identity.generate()

    class Racing(Identity):
        pass

    monkeypatch.setattr(Racing, "generate", generate)
    assert Racing.load_or_generate(tmp_path).fingerprint == other.fingerprint


# The next one


def test_without_a_next_key_there_is_no_pin_of_one(tmp_path: Path) -> None:
    assert Identity.next_pin(tmp_path / "nowhere") == ""
    Identity.load_or_generate(tmp_path)
    assert Identity.next_pin(tmp_path) == ""


@needs_modes
def test_a_next_key_is_made_once_and_kept_beside_the_one_in_use(tmp_path: Path) -> None:
    current = Identity.load_or_generate(tmp_path)
    following = Identity.next(tmp_path)
    assert following.fingerprint != current.fingerprint
    assert Identity.next(tmp_path) == following
    assert Identity.next_pin(tmp_path) == following.fingerprint
    assert Identity.load_or_generate(tmp_path) == current
    assert mode_of(tmp_path / "server-next.pem") == 0o600


def test_rotating_makes_the_next_key_the_one_in_use_and_keeps_the_old_one(tmp_path: Path) -> None:
    first = Identity.load_or_generate(tmp_path)
    second = Identity.next(tmp_path)
    assert Identity.rotate(tmp_path) == second
    assert Identity.load_or_generate(tmp_path) == second
    assert Identity.next_pin(tmp_path) == ""
    assert (tmp_path / "server-old.pem").read_bytes() == first.key + first.certificate
    third = Identity.next(tmp_path)
    Identity.rotate(tmp_path)
    assert Identity.pin_in(tmp_path / "server-old.pem") == second.fingerprint
    assert Identity.load_or_generate(tmp_path) == third
    assert {path.name for path in tmp_path.iterdir()} == {"server.pem", "server-old.pem"}


def test_without_a_next_key_there_is_nothing_to_rotate(tmp_path: Path) -> None:
    current = Identity.load_or_generate(tmp_path)
    with pytest.raises(FileNotFoundError):
        Identity.rotate(tmp_path)
    assert Identity.load_or_generate(tmp_path) == current
    assert [path.name for path in tmp_path.iterdir()] == ["server.pem"]


def test_a_next_key_that_is_damaged_is_not_put_into_use(tmp_path: Path) -> None:
    current = Identity.load_or_generate(tmp_path)
    (tmp_path / "server-next.pem").write_bytes(b"garbage")
    with pytest.raises(ValueError, match=r"server-next\.pem holds no key"):
        Identity.rotate(tmp_path)
    assert Identity.load_or_generate(tmp_path) == current


def test_a_next_key_may_be_the_first_one(tmp_path: Path) -> None:
    following = Identity.next(tmp_path)
    assert Identity.rotate(tmp_path) == following
    assert [path.name for path in tmp_path.iterdir()] == ["server.pem"]


# A certificate of one's own


def write(folder: Path, **files: bytes) -> tuple[Path, Path]:
    """Write a certificate and a key, and return their paths."""
    for name, data in files.items():
        (folder / name).write_bytes(data)
        (folder / name).chmod(0o600)
    return folder / "cert", folder / "key"


def self_signed(key: CertificateIssuerPrivateKeyTypes) -> bytes:
    """Make a certificate for a key of any kind, in PEM."""
    name, start = x509.Name([]), datetime.now(UTC)
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(start - timedelta(days=2))
        .not_valid_after(start - timedelta(days=1))
        .sign(key, algorithm)
        .public_bytes(Encoding.PEM)
    )


KINDS: dict[str, Callable[[], CertificateIssuerPrivateKeyTypes]] = {
    "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "RSA": lambda: rsa.generate_private_key(65537, 2048),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
}


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL], ids=str)
@pytest.mark.parametrize("kind", list(KINDS))
def test_a_certificate_and_its_key_may_be_given(
    tmp_path: Path, kind: str, form: PrivateFormat
) -> None:
    made = KINDS[kind]()
    if kind == "Ed25519":
        form = PrivateFormat.PKCS8  # there is no other
    key, certificate = made.private_bytes(Encoding.PEM, form, NoEncryption()), self_signed(made)
    loaded = Identity.load(*write(tmp_path, cert=certificate, key=key))
    assert loaded.certificate == certificate
    der = x509.load_pem_x509_certificate(certificate).public_bytes(Encoding.DER)
    assert loaded.fingerprint == pin_of(der)
    assert loaded.valid_until < datetime.now(UTC)
    server_context(loaded)


def test_a_chain_is_taken_whole_and_what_stands_between_is_left_out(tmp_path: Path) -> None:
    leaf, issuer = Identity.generate(), Identity.generate()
    chain = b"a leaf\n" + leaf.certificate + b"its issuer\n" + issuer.certificate
    loaded = Identity.load(*write(tmp_path, cert=chain, key=b"the key\n" + leaf.key))
    assert loaded == Identity(leaf.certificate + issuer.certificate, leaf.key, leaf.fingerprint)


def test_both_may_lie_in_one_file(tmp_path: Path) -> None:
    made = Identity.generate()
    for content in (made.key + made.certificate, made.certificate + made.key):
        path, _ = write(tmp_path, cert=content)
        assert Identity.load(path, path) == made


MADE, OTHER = Identity.generate(), Identity.generate()
ENCRYPTED = load_pem_private_key(MADE.key, None).private_bytes(
    Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
)
OLD_ENCRYPTED = load_pem_private_key(MADE.key, None).private_bytes(
    Encoding.PEM, PrivateFormat.TraditionalOpenSSL, BestAvailableEncryption(b"secret")
)


@pytest.mark.parametrize(
    ("certificate", "key", "words"),
    [
        (MADE.certificate, OTHER.key, "the key in {key} is not the one of the certificate"),
        (MADE.certificate, ENCRYPTED, "the key in {key} is encrypted"),
        (MADE.certificate, OLD_ENCRYPTED, "the key in {key} is encrypted"),
        (MADE.key, MADE.certificate, "{cert} holds a key, and {key} a certificate: swap them"),
        (MADE.certificate, MADE.certificate, "{key} holds no key in PEM"),
        (MADE.certificate, b"", "{key} holds no key in PEM"),
        (MADE.certificate, MADE.key.replace(b"MIG", b"XXX"), "{key} holds no key in PEM"),
        (b"", MADE.key, "{cert} holds no certificate in PEM"),
        (b"garbage", MADE.key, "{cert} holds no certificate in PEM"),
        (b"\x30\x82", b"\xff", "{cert} holds no certificate in PEM"),
        (MADE.certificate.replace(b"MII", b"XXX"), MADE.key, "{cert} holds no certificate"),
    ],
)
def test_what_is_no_certificate_and_key_is_told_in_one_line(
    tmp_path: Path, certificate: bytes, key: bytes, words: str
) -> None:
    paths = write(tmp_path, cert=certificate, key=key)
    with pytest.raises(ValueError, match=r".") as caught:
        Identity.load(*paths)
    assert words.format(cert=paths[0], key=paths[1]) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("missing", ["cert", "key"])
def test_a_file_that_is_missing_is_an_error_of_the_system(tmp_path: Path, missing: str) -> None:
    paths = write(tmp_path, cert=MADE.certificate, key=MADE.key)
    (tmp_path / missing).unlink()
    with pytest.raises(FileNotFoundError, match=missing):
        Identity.load(*paths)


@needs_modes
def test_a_given_key_that_others_can_read_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    paths = write(tmp_path, cert=MADE.certificate, key=MADE.key)
    paths[0].chmod(0o644)
    Identity.load(*paths)
    assert caplog.messages == []
    paths[1].chmod(0o644)
    Identity.load(*paths)
    assert "key can be read by others" in caplog.text
