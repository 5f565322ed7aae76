"""Certificates that an authority vouches for, as public servers have them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from socketchat import Identity
from socketchat.trust.identity import pin_of

__all__ = ["issue"]


def issue(names: list[x509.GeneralName], *, days: int = 10) -> tuple[bytes, Identity]:
    """Make an authority, and a server's identity that it vouches for.

    Args:
        names: The server's names.
        days: How long the certificates are still valid; below 0, since when they are not.

    Returns:
        The authority's certificate, in PEM, and the identity.
    """
    authority = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an authority")])
    now = datetime.now(UTC)
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )

    def certificate(
        name: x509.Name, key: ec.EllipticCurvePrivateKey, extensions: list[x509.ExtensionType]
    ) -> bytes:
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=10))
            .not_valid_after(now + timedelta(days=days))
        )
        public = authority.public_key()
        for extension in (
            x509.SubjectKeyIdentifier.from_public_key(key.public_key()),
            x509.AuthorityKeyIdentifier.from_issuer_public_key(public),
            *extensions,
        ):
            critical = isinstance(extension, x509.BasicConstraints | x509.KeyUsage)
            builder = builder.add_extension(extension, critical)
        return builder.sign(authority, hashes.SHA256()).public_bytes(Encoding.PEM)

    ca = certificate(subject, authority, [x509.BasicConstraints(ca=True, path_length=0), usage])
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a server")])
    leaf = certificate(name, key, [x509.SubjectAlternativeName(names)])
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    der = x509.load_pem_x509_certificate(leaf).public_bytes(Encoding.DER)
    return ca, Identity(leaf, pem, pin_of(der))
