"""Claims about `socketchat.fingerprint`: how keys are called."""

from __future__ import annotations

import hashlib

import pytest

from socketchat.fingerprint import digest_of_pin, fingerprint_of, is_pin, pin_of_spki, tag_of

ONE, OTHER = bytes(range(32)), bytes(32)


def test_a_pin_spells_the_digest_of_its_key() -> None:
    pin = pin_of_spki(b"a key")
    assert is_pin(pin)
    assert digest_of_pin(pin) == hashlib.sha256(b"a key").digest()
    assert digest_of_pin("") == bytes(32)


def test_every_key_has_a_fingerprint_of_its_own() -> None:
    assert is_pin(fingerprint_of(ONE))
    assert fingerprint_of(ONE) != fingerprint_of(OTHER)
    assert fingerprint_of(b"") == ""


def test_a_tag_is_short_and_the_same_each_time() -> None:
    assert tag_of(ONE) == tag_of(ONE) != tag_of(OTHER)
    assert len(tag_of(ONE)) == 5
    assert tag_of(ONE).isalnum()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (fingerprint_of(ONE), True),
        ("SHA256:" + "A" * 43, True),
        ("SHA256:" + "A" * 42, False),
        ("SHA256:" + "A" * 43 + "=", False),
        ("sha256:" + "A" * 43, False),
        ("MD5:" + "A" * 43, False),
        ("SHA256:" + "é" * 43, False),
        (fingerprint_of(ONE) + "\n", False),
        ("strict", False),
        ("", False),
    ],
)
def test_a_pin_is_known_by_its_form(text: str, expected: bool) -> None:
    assert is_pin(text) is expected
