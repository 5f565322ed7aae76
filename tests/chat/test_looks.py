"""Claims about `socketchat.chat.looks`."""

from __future__ import annotations

import json
import pkgutil
import unicodedata

import pytest

from socketchat.chat.looks import Looks

LOOKS = Looks.load()

#: What TR39 has as a letter and a mark, but is one with its other case, which looks otherwise.
OTHERWISE = set("ðɓБɗɖɠηƙꭴƥƭƴҋҗ")


def skeleton(text: str) -> str:
    return LOOKS.skeleton(unicodedata.normalize("NFD", text))


def test_whatever_tr39_takes_for_alike_has_one_skeleton() -> None:
    data = pkgutil.get_data("confusable_homoglyphs", "confusables.json")
    assert data is not None
    pairs = {
        (one.replace("\u200e", ""), other["c"].replace("\u200e", ""))
        for one, others in json.loads(data).items()
        for other in others
        if len(unicodedata.normalize("NFD", one.replace("\u200e", ""))) == 1
    }
    assert len(pairs) > 6000
    assert {one for one, other in pairs if skeleton(one) != skeleton(other)} == OTHERWISE


def test_no_two_latin_letters_or_digits_are_alike_but_those_that_are() -> None:
    plain = "abcdefghijklmnopqrstuvwxyz0123456789"
    alike = {char: LOOKS.skeleton(char) for char in plain if LOOKS.skeleton(char) != char}
    assert alike == {"l": "i", "1": "i", "0": "o", "m": "rn"}


@pytest.mark.parametrize("char", "aiomZ7:~'日")
def test_what_is_like_a_character_has_its_skeleton(char: str) -> None:
    alike = LOOKS.like(char)
    assert char in alike
    assert {LOOKS.skeleton(other) for other in alike} == {LOOKS.skeleton(char)}


def test_a_skeleton_has_itself_for_a_skeleton() -> None:
    skeletons = {LOOKS.skeleton(char) for char in map(chr, LOOKS.table)}
    assert {text for text in skeletons if LOOKS.skeleton(text) != text} == set()


@pytest.mark.parametrize(
    ("text", "folded"),
    [("nur", "nur"), ("nurλ", "vyyλ"), ("n\ua7b5", "nss"), ("λ\ua7b5", "λb"), ("n\u0283", "vo")],
)
def test_only_what_is_not_latin_is_folded(text: str, folded: str) -> None:
    assert Looks.folded(text) == folded
