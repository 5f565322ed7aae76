"""What is in a server's certificate and key: made, read, and held against each other.

It loads `cryptography`, which takes as long as half of the library. So `identity.py`, which knows
where they lie, imports it only in the functions that need it, which are called in threads.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import (
    CertificatePublicKeyTypes,
    PublicKeyTypes,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from socketchat.fingerprint import pin_of_spki

__all__ = ["certificates_in", "make_certificate", "pin_of", "pin_of_pair", "valid_until"]

#: A certificate that nobody vouches for gains nothing from running out; the pin is what counts.
_VALID_FOR = timedelta(days=365 * 50)


def make_certificate() -> tuple[bytes, bytes]:
    """Make a self-signed certificate with a new P-256 key; return both in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "socketchat")])
    # A day of grace for clocks that are behind.
    start = datetime.now(UTC) - timedelta(days=1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + _VALID_FOR)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return certificate.public_bytes(Encoding.PEM), pem


def valid_until(certificate: bytes) -> datetime:
    """Return when a certificate in PEM runs out."""
    return x509.load_pem_x509_certificate(certificate).not_valid_after_utc


def pin_of_pair(certificate: bytes, key: bytes, name: str) -> str:
    """Return the pin of a certificate, or a chain that begins with it, if it is that of a key.

    Args:
        certificate: In PEM.
        key: The private key, in PEM.
        name: What messages call the key's file.

    Raises:
        ValueError: It is not, or they are no certificate and key.
    """
    parsed = x509.load_pem_x509_certificate(certificate)
    try:
        private = load_pem_private_key(key, None)
    except TypeError as exc:
        what = f"the key in {name} is encrypted: decrypt it, as with openssl pkey -in {name}"
        raise ValueError(what) from exc
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise ValueError(f"{name} holds no key in PEM that can be used") from exc
    if _spki(private.public_key()) != _spki(parsed.public_key()):
        raise ValueError(f"the key in {name} is not the one of the certificate")
    return pin_of(parsed.public_bytes(Encoding.DER))


def certificates_in(chain: bytes, path: Path) -> bytes:
    """Return the certificates of a file alone, without what may stand around them.

    Raises:
        ValueError: There is none; the message calls the file by its path.
    """
    try:
        certificates = x509.load_pem_x509_certificates(chain)
    except ValueError as exc:
        raise ValueError(f"{path} holds no certificate in PEM") from exc
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates)


def pin_of(certificate: bytes) -> str:
    """Return the pin of the key in a DER certificate, `SHA256:...`."""
    return pin_of_spki(_spki(x509.load_der_x509_certificate(certificate).public_key()))


def _spki(public: PublicKeyTypes | CertificatePublicKeyTypes) -> bytes:
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
