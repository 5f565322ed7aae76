"""Claims about `socketchat.chat.words`: which texts have the words that are looked for."""

from __future__ import annotations

import pytest

from socketchat.chat.words import matcher


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("", "anything"),
        ("tea", "Tea time"),
        ("time tea", "it is tea time"),
        ("TEA", "tea"),
        ("cafe", "Café au lait"),
        ("strasse", "STRAẞE"),
        ("well-known", "a Well-Known fact"),
        ("well-known", "it is well known"),  # as the index of SQLite has it
        ("2026", "in 2026."),
        ('"tea', "tea"),
        ("...", "anything"),
    ],
)
def test_words_are_found(words: str, text: str) -> None:
    assert matcher(words)(text)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("tea", "teapot"),
        ("tea cake", "tea time"),
        ("well-known", "known well"),
        ("tea", ""),
        ("e te", "tea time"),
    ],
)
def test_other_texts_are_not(words: str, text: str) -> None:
    assert not matcher(words)(text)
