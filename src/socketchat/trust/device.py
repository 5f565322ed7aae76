"""The device's key: an Ed25519 key with which a caller proves who it is.

The key signs the server's public key *as the caller saw it*, the server's nonce and the caller's
lane (`docs/protocol.md`, "Keys of devices"). So what was proved to one server, or to a
relay in the middle, is worth nothing at another, nor in another greeting, nor for another lane.

It knows nothing of sessions: `client.py` proves, `server.py` checks. `cryptography` takes long to
load, and is loaded where the first key is made, read or checked.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from socketchat.fingerprint import digest_of_pin, fingerprint_of
from socketchat.trust.secret_files import create_secret, warn_if_exposed

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

__all__ = ["DEVICE", "Device", "is_proof"]

#: The name of the file.
DEVICE: Final = "device.key"

#: What is signed begins with it, so that it can be taken for nothing else.
_CONTEXT: Final = b"socketchat device proof 1\0"
#: The points of small order, whatever their sign: keys for which anybody can make signatures (RFC
#: 8032 lets verifiers take them). The last two are 0 and 1 written beyond the field's prime.
_NO_KEYS: Final = frozenset(
    bytes.fromhex(point)
    for point in (
        "00" * 32,
        "01" + "00" * 31,
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ec" + "ff" * 30 + "7f",
        "ed" + "ff" * 30 + "7f",
        "ee" + "ff" * 30 + "7f",
    )
)


@dataclass(frozen=True, slots=True)
class Device:
    """A device's key.

    Attributes:
        public: The public key, 32 bytes.
    """

    public: bytes
    _private: Ed25519PrivateKey = field(repr=False)

    @classmethod
    def generate(cls) -> Self:
        """Make a new key."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return cls._of(Ed25519PrivateKey.generate())

    @classmethod
    def load_or_generate(cls, directory: Path) -> Self:
        """Return the key kept in `directory`, made there at the first call.

        Raises:
            OSError: The directory cannot be read or written.
            ValueError: What lies there is no Ed25519 key.
        """
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        path = directory / DEVICE
        try:
            pem = path.read_bytes()
        except FileNotFoundError:
            made = Ed25519PrivateKey.generate()
            pem = made.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            if create_secret(path, pem):
                return cls._of(made)
            pem = path.read_bytes()  # another program was first
        try:
            key = serialization.load_pem_private_key(pem, None)
        except (ValueError, TypeError) as exc:
            raise ValueError(_no_key(path)) from exc
        if not isinstance(key, Ed25519PrivateKey):
            raise ValueError(_no_key(path))  # noqa: TRY004 - a file is of the wrong kind
        warn_if_exposed(path)
        return cls._of(key)

    @classmethod
    def _of(cls, private: Ed25519PrivateKey) -> Self:
        return cls(private.public_key().public_bytes_raw(), private)

    @property
    def fingerprint(self) -> str:
        """The key's fingerprint, by which people know it."""
        return fingerprint_of(self.public)

    def prove(self, pin: str, nonce: bytes, lane: bytes) -> bytes:
        """Return the proof that this device holds its key, 64 bytes.

        Args:
            pin: The fingerprint of the key that the server showed; empty without TLS.
            nonce: The nonce of the server's greeting.
            lane: The lane that the caller asks for, 16 bytes.
        """
        return self._private.sign(_signed(pin, nonce, lane))


def is_proof(public: bytes, proof: bytes, pin: str, nonce: bytes, lane: bytes) -> bool:
    """Tell whether `proof` shows that its maker holds the key `public`; see `Device.prove`."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    if public[:31] + bytes((public[31] & 0x7F,) if len(public) == 32 else ()) in _NO_KEYS:
        return False
    try:
        key = Ed25519PublicKey.from_public_bytes(public)
        key.verify(proof, _signed(pin, nonce, lane))
    except (InvalidSignature, ValueError):
        return False
    return True


def _signed(pin: str, nonce: bytes, lane: bytes) -> bytes:
    # Only the last part varies in length, so that nothing can be read in two ways.
    assert len(lane) == 16
    return _CONTEXT + digest_of_pin(pin) + lane + nonce


def _no_key(path: Path) -> str:
    return f"{path} holds no Ed25519 key: move it away to have one made"
