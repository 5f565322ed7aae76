"""The server's identity: a P-256 key and a self-signed certificate, and the pin of that key.

The pin is that of the public key (`fingerprint.py`): it outlives a renewed certificate.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import NameOID

from socketchat.fingerprint import pin_of_spki
from socketchat.trust.secret_files import create_secret

__all__ = ["Identity", "pin_of"]

#: A certificate that nobody vouches for gains nothing from running out; the pin is what counts.
_VALID_FOR = timedelta(days=365 * 50)


@dataclass(frozen=True, slots=True)
class Identity:
    """A server's key and certificate.

    Attributes:
        certificate: The certificate, or chain, in PEM.
        key: The private key, in PEM; never shown.
        fingerprint: The pin of the public key, `SHA256:...`.
    """

    certificate: bytes
    key: bytes = field(repr=False)
    fingerprint: str

    @classmethod
    def generate(cls) -> Self:
        """Make a new P-256 key with a self-signed certificate."""
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
        return cls._of(certificate.public_bytes(Encoding.PEM), pem)

    @classmethod
    def load_or_generate(cls, directory: Path) -> Self:
        """Return the identity kept in `directory`, made there at the first call.

        Raises:
            OSError: The directory cannot be read or written.
            ValueError: What lies there is no certificate.
        """
        path = directory / "server.pem"
        try:
            pem = path.read_bytes()
        except FileNotFoundError:
            made = cls.generate()
            if create_secret(path, made.key + made.certificate):
                return made
            pem = path.read_bytes()  # another program was first
        marker = pem.find(b"-----BEGIN CERTIFICATE-----")
        if marker <= 0:
            raise ValueError(f"{path} holds no key and certificate: move it away to have them made")
        return cls._of(pem[marker:], pem[:marker])

    @classmethod
    def _of(cls, certificate: bytes, key: bytes) -> Self:
        parsed = x509.load_pem_x509_certificate(certificate)
        return cls(certificate, key, pin_of(parsed.public_bytes(Encoding.DER)))


def pin_of(certificate: bytes) -> str:
    """Return the pin of the key in a DER certificate, `SHA256:...`."""
    public = x509.load_der_x509_certificate(certificate).public_key()
    return pin_of_spki(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
