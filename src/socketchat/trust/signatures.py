"""Signatures with a server's key, of whichever kind that is: EC, RSA or Ed25519.

All of the same key are equally long, so that one can stand behind what it signs. What is signed,
`invites.py` knows, which loads this module only when it signs or checks: it loads cryptography.
"""

from __future__ import annotations

import functools
from typing import Final, TypeAlias

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

__all__ = ["PublicKey", "is_signed", "public_key_of", "sign", "signature_size"]

PublicKey: TypeAlias = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey

_PSS: Final = padding.PSS(mgf=padding.MGF1(SHA256()), salt_length=32)


@functools.lru_cache(maxsize=8)
def public_key_of(certificate: bytes) -> PublicKey | None:
    """Return the key in a certificate, or None if it is of no kind that signs invites."""
    try:
        key = x509.load_pem_x509_certificate(certificate).public_key()
    except UnsupportedAlgorithm:
        return None
    if isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey):
        return key
    return None


def sign(key_pem: bytes, data: bytes) -> bytes:
    """Return the signature of `data` with a private key in PEM.

    Raises:
        ValueError: It cannot be read, or is of no kind that signs invites.
    """
    try:
        key = load_pem_private_key(key_pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise ValueError("the server's key cannot be read") from exc
    match key:
        case ec.EllipticCurvePrivateKey():
            size = _number_size(key.curve)
            numbers = decode_dss_signature(key.sign(data, ec.ECDSA(SHA256())))
            return b"".join(number.to_bytes(size, "big") for number in numbers)
        case rsa.RSAPrivateKey():
            return key.sign(data, _PSS, SHA256())
        case ed25519.Ed25519PrivateKey():
            return key.sign(data)
        case _:
            raise ValueError(
                "the server's key cannot sign invites: it is no EC, RSA or Ed25519 key"
            )


def is_signed(key: PublicKey, signature: bytes, data: bytes) -> bool:
    """Tell whether `signature` is that of `data` with the private key that belongs to `key`."""
    try:
        match key:
            case ec.EllipticCurvePublicKey():
                size = _number_size(key.curve)
                r, s = (
                    int.from_bytes(signature[:size], "big"),
                    int.from_bytes(signature[size:], "big"),
                )
                key.verify(encode_dss_signature(r, s), data, ec.ECDSA(SHA256()))
            case rsa.RSAPublicKey():
                key.verify(signature, data, _PSS, SHA256())
            case ed25519.Ed25519PublicKey():
                key.verify(signature, data)
    except (InvalidSignature, ValueError):
        return False
    return True


def signature_size(key: PublicKey) -> int:
    """Return how many bytes each signature with a key has."""
    match key:
        case ec.EllipticCurvePublicKey():
            return 2 * _number_size(key.curve)
        case rsa.RSAPublicKey():
            return (key.key_size + 7) // 8
        case ed25519.Ed25519PublicKey():
            return 64


def _number_size(curve: ec.EllipticCurve) -> int:
    """Return the bytes of each of the two numbers that a signature by ECDSA is."""
    return (curve.key_size + 7) // 8
