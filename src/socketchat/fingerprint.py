"""Fingerprints: how a public key is called, in full and in short.

A leaf of pure functions. A fingerprint is `SHA256:` and the unpadded base64 of the SHA-256 of the
key as SubjectPublicKeyInfo (RFC 7469, section 2.4), for servers and devices alike; a server's is
also called its pin.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from typing import Final

__all__ = [
    "DIGEST_SIZE",
    "TAG_MARK",
    "digest_of_pin",
    "fingerprint_of",
    "is_pin",
    "pin_of_digest",
    "pin_of_spki",
    "tag_of",
]

#: Bytes of a SHA-256.
DIGEST_SIZE: Final = 32
#: Sets a key's tag apart from the name before it; no name that somebody chooses holds it.
TAG_MARK: Final = "~"

_PIN: Final = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")
#: What stands before the 32 bytes of an Ed25519 key in its SubjectPublicKeyInfo (RFC 8410).
_ED25519_SPKI: Final = bytes.fromhex("302a300506032b6570032100")
_TAG_LENGTH: Final = 5


def is_pin(text: str) -> bool:
    """Tell whether `text` is a fingerprint, `SHA256:` and 43 characters of base64."""
    return _PIN.fullmatch(text) is not None


def pin_of_spki(spki: bytes) -> str:
    """Return the fingerprint of a public key in DER."""
    return pin_of_digest(hashlib.sha256(spki).digest())


def pin_of_digest(digest: bytes) -> str:
    """Return the fingerprint that spells a SHA-256."""
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def digest_of_pin(pin: str) -> bytes:
    """Return the SHA-256 that a fingerprint spells, 32 bytes; of an empty one, zeros."""
    return base64.b64decode(pin.removeprefix("SHA256:") + "=") if pin else bytes(DIGEST_SIZE)


@functools.lru_cache(maxsize=1024)
def fingerprint_of(public: bytes) -> str:
    """Return the fingerprint of a device's key, given its 32 bytes; empty if there is no key."""
    return pin_of_spki(_ED25519_SPKI + public) if public else ""


def tag_of(public: bytes) -> str:
    """Return a few letters and digits that tell one device's key from another beside a name."""
    digest = hashlib.sha256(_ED25519_SPKI + public).digest()
    return base64.b32encode(digest).decode()[:_TAG_LENGTH].lower()
