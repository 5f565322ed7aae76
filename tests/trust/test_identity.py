"""Claims about `socketchat.trust.identity`: a server's key, its pin, and the file it lies in."""

from __future__ import annotations

import base64
import hashlib
import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from socketchat.fingerprint import is_pin
from socketchat.trust.identity import Identity, pin_of
from socketchat.trust.secret_files import create_secret

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


def test_a_broken_certificate_is_an_error(tmp_path: Path) -> None:
    identity = Identity.generate()
    broken = identity.certificate.replace(b"MII", b"XXX", 1)
    (tmp_path / "server.pem").write_bytes(identity.key + broken)
    with pytest.raises(ValueError):  # noqa: PT011 - the words are those of cryptography
        Identity.load_or_generate(tmp_path)


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
