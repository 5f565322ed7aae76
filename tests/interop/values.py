"""The values of `docs/conformance.md`: what a step says is made, and what it expects is compared.

It knows nothing of the library.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

__all__ = ["Mismatch", "Values", "fingerprint"]

_EXPECTATIONS = {"save", "not", "at_least", "length", "contains", "find"}


class Mismatch(Exception):
    """Something else was heard than what a case expects."""


def fingerprint(spki: bytes) -> str:
    """Return how a SubjectPublicKeyInfo is spelled for people."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(spki).digest()).decode().rstrip("=")


class Values:
    """The variables and devices of one case.

    Args:
        pin: The pin of the server's key; empty without TLS.
        devices: Private keys, in hex, by name.
    """

    def __init__(self, pin: str, devices: Mapping[str, str]) -> None:
        self._pin = pin
        self._devices = {
            name: Ed25519PrivateKey.from_private_bytes(bytes.fromhex(key))
            for name, key in devices.items()
        }
        self.variables: dict[str, Any] = {}
        self.let({"lane": {"random": 16}, "room": {"unique": "room"}})

    def let(self, values: Mapping[str, Any]) -> None:
        """Set variables."""
        for name, form in values.items():
            self.variables[name] = self.make(form)

    def _device(self, name: str) -> Ed25519PrivateKey:
        return self._devices.setdefault(name, Ed25519PrivateKey.generate())

    def make(self, form: Any) -> Any:  # noqa: C901 - a table of forms
        """Make the value that stands in a case."""
        match form:
            case list():
                return [self.make(item) for item in form]
            case {"hex": text}:
                return bytes.fromhex(text)
            case {"var": name, "plus": number}:
                return self.variables[name] + number
            case {"var": name}:
                return self.variables[name]
            case {"random": size}:
                return os.urandom(size)
            case {"unique": text}:
                return f"{text}-{os.urandom(4).hex()}"
            case {"repeat": what, "times": times}:
                return self.make(what) * self.make(times)
            case {"length": length}:
                return self.make(length).to_bytes(4, "big")
            case {"map": pairs}:
                return {self.make(key): self.make(value) for key, value in pairs}
            case {"nested": depth}:
                return [self.make({"nested": depth - 1})] if depth > 1 else []
            case {"public": name}:
                return self._device(name).public_key().public_bytes_raw()
            case {"fingerprint": name}:
                spki = bytes.fromhex("302a300506032b6570032100")
                return fingerprint(spki + self._device(name).public_key().public_bytes_raw())
            case {"proof": name}:
                return self._proof(name, form)
            case dict():
                return {name: self.make(item) for name, item in form.items()}
            case _:
                return form

    def _proof(self, name: str, form: Mapping[str, Any]) -> bytes:
        pin = form.get("pin", self._pin).removeprefix("SHA256:")
        seen = base64.b64decode(pin + "=") if pin else bytes(32)
        lane, nonce = self.make(form["lane"]), self.make(form["nonce"])
        return self._device(name).sign(b"socketchat device proof 1\0" + seen + lane + nonce)

    def check(self, found: Any, expected: Any, where: str) -> None:
        """Compare what was heard with what a case expects, and keep what it saves.

        Raises:
            Mismatch: It is something else.
        """
        match expected:
            case list() if isinstance(found, list) and len(found) == len(expected):
                for item, wanted in zip(found, expected, strict=True):
                    self.check(item, wanted, where)
            case dict() if _EXPECTATIONS & expected.keys():
                if not self._holds(found, expected):
                    raise Mismatch(f"{where} is {found!r}, not {expected}")
            case dict() if isinstance(found, dict):
                for name, wanted in expected.items():
                    self.check(found[name], wanted, f"{where}.{name}")
            case _:
                wanted = self.make(expected)
                if (found, type(found)) != (wanted, type(wanted)):
                    raise Mismatch(f"{where} is {found!r}, not {wanted!r}")

    def _holds(self, found: Any, expected: Mapping[str, Any]) -> bool:
        if "not" in expected and found == self.make(expected["not"]):
            return False
        if "at_least" in expected and found < self.make(expected["at_least"]):
            return False
        least, most = expected.get("length", (0, float("inf")))
        if "length" in expected and not least <= len(found) <= most:
            return False
        if not all(self.make(part) in found for part in expected.get("contains", ())):
            return False
        kept = found
        if "find" in expected:
            if (match := re.search(expected["find"], found)) is None:
                return False
            kept = match[1]
        if "save" in expected:
            self.variables[expected["save"]] = kept
        return True
