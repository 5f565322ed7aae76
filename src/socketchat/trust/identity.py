"""The server's identity: a P-256 key and a self-signed certificate, and the pin of that key.

It lies in `server.pem`. Beside it may lie the key that comes after it, `server-next.pem`, which the
server announces before it uses it, and the one that came before, `server-old.pem`. Or the identity
is given, as a certificate and a key in files of their own.

The pin is that of the public key (`fingerprint.py`): it outlives a renewed certificate. What keys
and certificates are made of, `pem.py` knows, which is loaded when the first of them is met.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Self

from socketchat.trust.secret_files import create_secret, replace_secret, warn_if_exposed

__all__ = ["NEXT", "OLD", "SERVER", "Identity", "pin_of"]

#: The names of the files: of the identity in use, of the one after it, and of the one before.
SERVER, NEXT, OLD = "server.pem", "server-next.pem", "server-old.pem"

_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"
_KEY = re.compile(
    rb"-----BEGIN (?P<kind>[A-Z ]*)PRIVATE KEY-----.*?-----END (?P=kind)PRIVATE KEY-----", re.DOTALL
)


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

    @property
    def valid_until(self) -> datetime:
        """When the certificate runs out, which matters to callers that check it, not the pin."""
        from socketchat.trust import pem

        return pem.valid_until(self.certificate)

    @classmethod
    def generate(cls) -> Self:
        """Make a new P-256 key with a self-signed certificate."""
        from socketchat.trust import pem

        return cls._of(*pem.make_certificate(), "memory")

    @classmethod
    def load_or_generate(cls, directory: Path) -> Self:
        """Return the identity kept in `directory`, made there at the first call.

        Raises:
            OSError: The directory cannot be read or written.
            ValueError: What lies there is no key and certificate.
        """
        return cls._load_or_generate(directory / SERVER)

    @classmethod
    def next(cls, directory: Path) -> Self:
        """Return the identity that comes after the one in `directory`, made at the first call.

        Raises:
            OSError: The directory cannot be read or written.
            ValueError: What lies there is no key and certificate.
        """
        return cls._load_or_generate(directory / NEXT)

    @classmethod
    def next_pin(cls, directory: Path) -> str:
        """Return the pin of the key that comes after the one in `directory`; empty if none is made.

        Raises:
            OSError: The directory cannot be read.
            ValueError: What lies there is no key and certificate.
        """
        return cls.pin_in(directory / NEXT)

    @classmethod
    def pin_in(cls, path: Path) -> str:
        """Return the pin of the identity in a file; empty if there is no such file.

        Raises:
            OSError: It cannot be read.
            ValueError: It holds no key and certificate.
        """
        try:
            return cls._read(path).fingerprint
        except FileNotFoundError:
            return ""

    @classmethod
    def rotate(cls, directory: Path) -> Self:
        """Make the next identity the one in use, and keep that one as the old one.

        Raises:
            FileNotFoundError: No next one was made.
            OSError: The directory cannot be read or written.
            ValueError: What lies there is no key and certificate.
        """
        now = cls._read(directory / NEXT)
        # At each moment there is a whole server.pem: the old one is copied, not moved.
        with suppress(FileNotFoundError):  # there may be none in use yet
            replace_secret(directory / OLD, (directory / SERVER).read_bytes())
        (directory / NEXT).replace(directory / SERVER)
        return now

    @classmethod
    def kept_in(cls, directory: Path) -> Self:
        """Return the identity kept in `directory`.

        Raises:
            OSError: It cannot be read; `FileNotFoundError`, if none was made there yet.
            ValueError: What lies there is no key and certificate.
        """
        return cls._read(directory / SERVER)

    @classmethod
    def load(cls, certificate: Path, key: Path) -> Self:
        """Return the identity of a certificate, or a chain that begins with it, and its key.

        Args:
            certificate: The file of the chain, in PEM.
            key: The file of the key, in PEM and not encrypted; it may be the same one.

        Raises:
            OSError: One of them cannot be read.
            ValueError: They are no certificate and key, or not of each other; the message names the
                file.
        """
        from socketchat.trust import pem

        chain, private = certificate.read_bytes(), key.read_bytes()
        if _CERTIFICATE not in chain and _CERTIFICATE in private and _key_in(chain):
            raise ValueError(f"{certificate} holds a key, and {key} a certificate: swap them")
        certificates = pem.certificates_in(chain, certificate)
        identity = cls._of(certificates, _key_in(private), str(key))
        warn_if_exposed(key)
        return identity

    @classmethod
    def _load_or_generate(cls, path: Path) -> Self:
        try:
            return cls._read(path)
        except FileNotFoundError:
            made = cls.generate()
            if create_secret(path, made.key + made.certificate):
                return made
            return cls._read(path)  # another program was first

    @classmethod
    def _read(cls, path: Path) -> Self:
        """Read an identity from a file of ours, a key and its certificates in one."""
        pem = path.read_bytes()
        marker = pem.find(_CERTIFICATE)
        try:
            identity = cls._of(pem[max(marker, 0) :], pem[: max(marker, 0)], str(path))
        except ValueError as exc:
            what = f"{path} holds no key and certificate: move it away to have them made"
            raise ValueError(what) from exc
        warn_if_exposed(path)
        return identity

    @classmethod
    def _of(cls, certificate: bytes, key: bytes, name: str) -> Self:
        """Put an identity together.

        Raises:
            ValueError: That is none; the message calls the key's file `name`.
        """
        from socketchat.trust import pem

        return cls(certificate, key, pem.pin_of_pair(certificate, key, name))


def _key_in(pem: bytes) -> bytes:
    """Return the key of a file alone; empty if there is none."""
    found = _KEY.search(pem)
    return found[0] + b"\n" if found is not None else b""


def pin_of(certificate: bytes) -> str:
    """Return the pin of the key in a DER certificate, `SHA256:...`."""
    from socketchat.trust import pem

    return pem.pin_of(certificate)
