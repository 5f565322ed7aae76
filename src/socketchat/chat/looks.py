"""Which letters look alike: the confusable characters of Unicode TR39, in classes.

TR39 compares two names as they are. People also take a capital and its small letter for the same,
and the two do not go together: the capital Nu of Greek is an N, its small letter a v. If all that
looks alike *or* differs in case were one, then n were v, and r t u y z one letter. So:

- characters that look alike are one class;
- a capital and its small letter are one class too, unless that would join two Latin letters or
  digits: then they stay apart, and
- in a name with a letter that is in no class of those, those that Greek and Cyrillic leave apart
  are taken as one (`_FOLDED`), whichever script each is really from.

So a Greek name with a capital Nu, Ypsilon, Gamma or Beta, of which all letters are doubles of Latin
ones, differs from itself in small letters. That is the price of keeping Ana and Ava apart.

Pure: the data are those of the package `confusable_homoglyphs`, of which no code is used, since
that loads an HTTP client. `names.py` asks.
"""

from __future__ import annotations

import json
import pkgutil
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Self

__all__ = ["Looks"]

#: What stands for the sharp s and for a beta, its double.
_SHARP_S: Final = "\ua7b5"
#: What stands for the sigmas that are no o.
_SIGMA: Final = "\u0283"
#: Classes that case never joins. Neither of the last two has a case that would change it.
_APART: Final = "abcdefghijklmnopqrstuvwxyz0123456789" + _SHARP_S + _SIGMA
#: In a name that is not Latin: a capital and its small letter which look like two Latin letters.
_FOLDED: Final = str.maketrans({"n": "v", "u": "y", "r": "y", _SHARP_S: "b", _SIGMA: "o"})
#: In one that is: as its capitals are written.
_LATIN: Final = str.maketrans({_SHARP_S: "ss"})
#: Whose capitals are joined first; where scripts compete for a letter, the first one has it.
_SCRIPTS: Final = ("LATIN", "CYRILLIC", "GREEK")


class _Classes:
    """Characters joined into classes (union-find), each with at most one of `_APART`."""

    def __init__(self) -> None:
        self._parents: dict[str, str] = {}

    def of(self, char: str) -> str:
        """Return the one that stands for a character's class."""
        while (parent := self._parents.get(char, char)) != char:
            char = parent
        return char

    def join(self, one: str, other: str, kept: frozenset[str] = frozenset()) -> None:
        """Make two classes one, unless both are among the `kept`."""
        one, other = self.of(one), self.of(other)
        if one == other or (one in kept and other in kept):
            return
        if _rank(other) < _rank(one) or other in kept:
            one, other = other, one
        self._parents[other] = one


def _rank(char: str) -> tuple[int, bool, bool, int]:
    """Order characters by how fit they are to stand for a class."""
    place = _APART.find(char)
    settled = unicodedata.normalize("NFKD", char.casefold()) == char
    return (place if place >= 0 else len(_APART), not char.isascii(), not settled, ord(char))


@dataclass(frozen=True, slots=True)
class Looks:
    """What each character looks like.

    Attributes:
        table: For `str.translate`: the character or characters that stand for a character's class.
    """

    table: dict[int, str]

    @classmethod
    def load(cls) -> Self:
        """Read the data, which takes some 50 ms."""
        classes = _Classes()
        longer: dict[str, str] = {}
        chars: set[str] = set()
        for char, look in _pairs():
            chars.add(char)
            if len(look) == 1:
                chars.add(look)
                classes.join(char, look)
            else:
                longer[char] = min(look, longer.get(char, look))
        chars.update("ẞ", *map(_cases, tuple(chars)))
        _join_cases(classes, chars)
        return cls(_table(classes, chars, longer))

    def like(self, char: str) -> set[str]:
        """Return all characters that look like this one, itself included."""
        look = self.table.get(ord(char), char)
        return {char, look} | {chr(point) for point, seen in self.table.items() if seen == look}

    def skeleton(self, text: str) -> str:
        """Replace each character of a decomposed text by what stands for its class."""
        return text.translate(self.table)

    @staticmethod
    def folded(skeleton: str) -> str:
        """Take as one what case leaves apart in the skeleton of a name in small letters."""
        foreign = any(
            not char.isascii() and char != _SHARP_S and char.isalpha() for char in skeleton
        )
        return skeleton.translate(_FOLDED if foreign else _LATIN)


def _pairs() -> Iterator[tuple[str, str]]:
    """Yield each character that looks like another, or like several, with it or them."""
    raw = pkgutil.get_data("confusable_homoglyphs", "confusables.json")
    assert raw is not None, "the package has its data"
    for one, others in json.loads(raw).items():
        for other in others:
            # In the source, marks set those apart that are written from right to left.
            pair = [
                unicodedata.normalize("NFD", text.replace("\u200e", ""))
                for text in (one, other["c"])
            ]
            # Each pair is there both ways. What is several characters once decomposed is judged
            # by each of them.
            if len(pair[0]) == 1 and pair[1]:
                yield pair[0], pair[1]


def _cases(char: str) -> set[str]:
    """Return the other forms of a letter, in whichever case, that are one letter too."""
    if unicodedata.combining(char):
        return set()  # the iota below a letter: as a capital it is a letter of its own
    forms = {char.lower(), char.casefold(), char.upper()} - {char}
    return {form for form in forms if len(unicodedata.normalize("NFD", form)) == 1}


def _join_cases(classes: _Classes, chars: Iterable[str]) -> None:
    """Join capitals and small letters, where that joins no two of those that stay apart."""
    for letter in "abcdefghijklmnopqrstuvwxyz":
        classes.join(letter, letter.upper())
    for one, other in ("ßẞ", "Σς", ("Σ", _SIGMA)):
        classes.join(one, other)
    kept = frozenset(map(classes.of, _APART))
    by_script: dict[str, list[str]] = defaultdict(list)
    for char in sorted(chars):
        script = unicodedata.name(char, "?").split()[0]
        by_script[script if script in _SCRIPTS else ""].append(char)
    for script in (*_SCRIPTS, ""):
        for char in by_script[script]:
            for other in sorted(_cases(char)):
                classes.join(char, other, kept)


def _table(classes: _Classes, chars: Iterable[str], longer: dict[str, str]) -> dict[int, str]:
    """Make the table of what stands for each character: one, or several if its class has such."""
    several: dict[str, str] = {}
    for char, look in sorted(longer.items()):
        one = classes.of(char)
        # An eta looks like more than one letter, but is in the class of H, which does not.
        if not one.isascii() or one in longer:
            several.setdefault(one, look)
    table: dict[int, str] = {}
    for char in chars:
        one = classes.of(char)
        stands = several.get(one, one)
        if stands != char:
            table[ord(char)] = stands
    # Several are characters with classes of their own.
    return {point: stands.translate(table) for point, stands in table.items()}
