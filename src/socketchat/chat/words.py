"""Which texts have the words in them that somebody looks for, in logs without an index of words.

Words are taken as SQLite's full-text search takes them (https://sqlite.org/fts5.html#unicode61_tokenizer):
letters and digits, without case and accents.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

__all__ = ["matcher"]

_WORD = re.compile(r"[^\W_]+")


def matcher(words: str) -> Callable[[str], bool]:
    """Return what tells whether a text has all of these words in it, in any order.

    What is one word to the eye but several to the index, as `well-known`, must stand there as it
    is. No words at all are in every text.
    """
    wanted = [phrase for word in words.split() if (phrase := _words_of(word))]
    return lambda text: all(map(_words_of(text).__contains__, wanted))


def _words_of(text: str) -> str:
    """Return the words of a text, each between two blanks."""
    plain = "".join(
        char
        for char in unicodedata.normalize("NFKD", text.casefold())
        if not unicodedata.combining(char)
    )
    found = _WORD.findall(plain)
    return f" {' '.join(found)} " if found else ""
