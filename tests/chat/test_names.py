"""Claims about `socketchat.chat.names`."""

# ruff: noqa: RUF001 - letters that look like others are what this is about

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from socketchat.chat.names import name_key, nick_of, tagged, with_suffix
from socketchat.fingerprint import tag_of
from socketchat.messages import MAX_NAME
from socketchat.text import NAME_COLUMNS, clean_name, width

#: Characters that the rules treat differently from most, so that they meet.
AWKWARD = st.sampled_from(
    "aAmrnlI1|0Oß~:?`´¨ \u00a0\u3000ſıİΣσςΝνβΓγгЯяæﬁ№…\u0301\u0307\u0316\u0338\u0345\u200b\u200d"
    "\ufe0f\u2800\u3164한각\u1160או١ﷺ日ー👩🏽\ud800\ue000\ufdd0\U000e0041\U0001fae9ꭰᎠ𑢵𑣕ⅷ㏇ŉǰ"
)
ANYTHING = st.text(st.one_of(AWKWARD, st.characters()), max_size=40)

# What a name may be

HOSTILE = {
    "\x1b[2Jroot": "␛[2Jroot",
    "a\nb": "a b",
    "a\u202eb": "ab",
    "ad\u200ba": "ada",
    " \t ": "?",
    "\u200b": "?",
    "x" * 64: "x" * 23 + "…",
    "日" * 64: "日" * 11 + "…",
    "z" + "\u0301" * 63: "ź\u0301\u0301",
    "bob: I quit": "bob_ I quit",  # or it could put words into bob's mouth
    "bob： I quit": "bob_ I quit",
    "ada~k3x7q": "ada-k3x7q",  # or it could bear the tag of ada's key
    "ada～k3x7q": "ada-k3x7q",
    "ada∼k3x7q": "ada-k3x7q",
    "दुःख": "दुःख",  # a vowel sign that looks like a colon is no colon
}


@pytest.mark.parametrize("nick", list(HOSTILE))
def test_a_hostile_name_becomes_a_harmless_one(nick: str) -> None:
    assert nick_of(nick) == HOSTILE[nick]


@given(st.text(max_size=MAX_NAME), st.integers(2, 10**6))
def test_whatever_is_asked_for_a_name_is_one_that_can_be_sent_and_shown(
    asked: str, number: int
) -> None:
    for name in (nick_of(asked), with_suffix(nick_of(asked), f"-{number}")):
        assert 0 < len(name) <= MAX_NAME
        assert width(name) <= NAME_COLUMNS
        assert clean_name(name) == name
        assert not set(":~") & set(name)


@given(st.text(max_size=MAX_NAME))
def test_a_suffix_is_seen_to_the_end(asked: str) -> None:
    assert with_suffix(nick_of(asked), "-12").endswith("-12")


LONG = (
    "n" * NAME_COLUMNS,
    "n" * MAX_NAME,
    "n\u0316\u0317" * 21,
    "日" * MAX_NAME,
    "नि" * 32,
    "a\u0301" * 32,
)


@pytest.mark.parametrize("nick", LONG)
def test_long_names_can_be_told_apart_on_the_screen(nick: str) -> None:
    name = nick_of(nick)
    assert len({clean_name(with_suffix(name, f"-{number}")) for number in range(12)}) == 12


@pytest.mark.parametrize("sign", ["：", "∶", "꞉", "︰", "～", "˜", "∼", "⁓", "〜"])
def test_nothing_that_looks_like_a_reserved_sign_gets_into_a_name(sign: str) -> None:
    assert nick_of(f"ada{sign}bob") in ("ada_bob", "ada-bob")


# Tags

KEY = bytes(range(32))


def test_a_tag_stands_behind_a_tilde() -> None:
    assert tagged("ada", KEY) == f"ada~{tag_of(KEY)}"


def test_names_are_told_apart_by_the_tags_of_their_keys() -> None:
    assert tagged("ada", KEY) != tagged("ada", bytes(32))
    assert name_key(tagged("ada", KEY)) != name_key("ada")


@given(ANYTHING, st.binary(min_size=32, max_size=32))
def test_a_tag_is_seen_to_the_end_and_only_a_key_gives_one(asked: str, key: bytes) -> None:
    name = tagged(nick_of(asked), key)
    assert name.endswith("~" + tag_of(key))
    assert name.count("~") == 1
    assert len(name) <= MAX_NAME
    assert width(name) <= NAME_COLUMNS
    assert clean_name(name) == name


# Names that could be taken for one another

ALIKE = {
    "capitals": ("ada", "Ada", "ADA"),
    "Cyrillic among Latin": ("ada", "аda", "adа", "АDА"),
    "Greek among Latin": ("Nick", "Νick", "nick"),
    "a small Greek letter": ("van", "νan", "vαn"),
    "Cyrillic alone": ("cope", "соре", "СОРЕ"),
    "a small Cyrillic letter that only its capital gives away": ("Bob", "Воb", "вob"),
    "fullwidth": ("ada", "ａｄａ", "ＡＤＡ"),
    "mathematical": ("ada", "𝐚𝐝𝐚", "𝒜𝒹𝒶", "𝔸𝕕𝕒", "𝚊𝚍𝚊"),
    "Roman numerals": ("ivi", "ⅳⅰ", "iⅵ"),
    "raised": ("nan", "nᵃn", "ⁿan"),
    "circled": ("ada", "ⓐⓓⓐ"),
    "small capitals": ("anna", "ᴀnna"),
    "zero and O": ("bob", "b0b", "BOB", "bοb", "b๐b"),
    "one, l, I and a bar": ("ian", "Ian", "lan", "1an", "|an", "ıan", "İan", "Ӏan"),
    "r and n together": ("mia", "rnia", "MIA", "rnla"),
    "ligatures": ("fiona", "ﬁona"),
    "one letter for two": ("aesop", "æsop", "Æsop"),
    "long s": ("fred", "ſred"),
    "quotes": ("o'neil", "o’neil", "o`neil", "oʼneil", "o´neil"),
    "dashes": ("a-b", "a‐b", "a–b", "a−b"),
    "spaces": ("ada l", "ada  l", " ada l ", "ada\u00a0l", "ada\u2003l", "ada\u3000l"),
    "nothing to be seen": ("ada", "a\u200bda", "a\u00adda", "ad\u2060a", "ada\ufe0f", "ad\u034fa"),
    "the order of what is read": ("ada", "\u202eada", "a\u2066da", "ada\u200f"),
    "accents, in one piece or not": ("zoé", "zoe\u0301", "ZOÉ", "zo\u0435\u0301"),
    "marks in another order": ("a\u0316\u0301", "a\u0301\u0316"),
    "a dot on an i": ("ian", "i\u0307an"),
    "a stroke through": ("søren", "SØREN", "so\u0338ren"),
    "sharp s": ("straße", "STRASSE", "STRAẞE", "straβe", "strasse"),
    "Greek, its capitals, and a Latin letter in it": ("Νίκος", "νίκος", "ΝΊΚΟΣ", "Nίκος", "vίκος"),
    "Greek with a Gamma": ("Γιώργος", "γιώργος", "ΓΙΏΡΓΟΣ"),
    "Greek with a Beta": ("Βασίλης", "βασίλης", "ßασίλης", "Bασίλης"),
    "Greek with a Ypsilon": ("Υπατία", "υπατία", "Yπατία", "uπατία"),
    "Cyrillic and its capitals": ("Ярослав", "ЯРОСЛАВ", "ярослав", "Яpocлaв"),
    "Cyrillic that looks Latin": ("Мара", "МАРА", "мара", "Mapa"),
    "Cyrillic with a Ge": ("Егор", "ЕГОР", "егор"),
    "Hangul in parts": ("각", "\u1100\u1161\u11a8"),
    "Katakana of half width": ("アダ", "ｱﾀﾞ"),
    "a long vowel and a one": ("ルー", "ル一"),
    "emoji with and without joiners": ("👩\u200d💻", "👩💻", "👩\ufe0f💻"),
}


@pytest.mark.parametrize("why", list(ALIKE))
def test_names_that_look_alike_have_one_key(why: str) -> None:
    assert len({name_key(name) for name in ALIKE[why]}) == 1
    assert len({name_key(nick_of(name)) for name in ALIKE[why]}) == 1


DIFFERENT = {
    "one letter": ("ada", "ade", "eda", "ad", "adaa"),
    "what Greek alone would make one": ("ana", "ava", "nick", "vick", "yuri", "uuri", "ruri"),
    "letters and digits that TR39 tells apart": ("sam", "5am", "zoe", "2oe", "bob1", "8ob1"),
    "numbers": ("bob-2", "bob-3", "bob-22"),
    "an umlaut is seen, and makes another name": ("müller", "muller", "mueller"),
    "a tail is seen too": ("ęa", "eia", "ea"),
    "accents": ("zoe", "zoé", "zoè", "zoë"),
    "a space is seen": ("ada l", "adal", "ada-l", "ada_l"),
    "Japanese": ("さくら", "サクラ", "桜", "櫻", "はな", "ばな", "ぱな"),
    "Chinese": ("王", "玉", "土", "李", "季", "未", "末"),
    "Arabic": ("محمد", "أحمد", "محمود", "علي", "فاطمة"),
    "Hebrew": ("דוד", "דן", "רון", "שרה", "שרון"),
    "Devanagari": ("राम", "रमा", "राधा"),
    "Thai": ("มานี", "มานะ"),
    "Korean": ("민수", "민서", "지수"),
    "Cyrillic": ("Вася", "Васи", "Митя", "Катя"),
    "Greek": ("Νίκος", "Νίκη", "Μίκης"),
    "emoji": ("😀", "😁", "🐱", "🐯", "👩", "👩🏽"),
    "signs": ("?", "!", "*", "+"),
}


@pytest.mark.parametrize("why", list(DIFFERENT))
def test_names_that_can_be_told_apart_have_different_keys(why: str) -> None:
    names = DIFFERENT[why]
    assert len({name_key(name) for name in names}) == len(names)


# Over all of Unicode

#: All but what is alike: of the unassigned, private and surrogate ones, every 997th; of Han, which
#: has no case and few doubles, and of Hangul, every 17th.
SAMPLE = [
    char
    for char in map(chr, range(0x110000))
    if ord(char) % 997 == 0
    or (unicodedata.category(char) == "Lo" and ord(char) > 0x3400 and ord(char) % 17 == 0)
    or unicodedata.category(char) not in ("Cn", "Co", "Cs", "Lo")
    or (unicodedata.category(char) == "Lo" and ord(char) < 0x3400)
]


def test_the_key_of_any_characters_key_is_that_key() -> None:
    keys = {char: name_key(char) for char in SAMPLE}
    assert [char for char, key in keys.items() if not key or name_key(key) != key] == []


def test_every_letter_has_the_key_of_its_other_case_beside_a_letter_that_is_not_latin() -> None:
    apart = [
        char
        for char in SAMPLE
        for other in {char.lower(), char.upper()}
        if len(other) == 1 and name_key(f"я{other}") != name_key(f"я{char}")
    ]
    # A long s is an f to the eye, the tones are figures. A mark under a letter has no case to it.
    named = [char for char in apart if "WARANG CITI" not in unicodedata.name(char)]
    assert named == list("ſƼƽ\u0345ẛ")


def test_every_latin_and_cyrillic_letter_has_the_key_of_its_other_case() -> None:
    letters = [chr(point) for point in (*range(0x41, 0x17F), *range(0x400, 0x530))]
    apart = [char for char in letters if name_key(char.lower()) != name_key(char.upper())]
    assert apart == []


@given(ANYTHING)
@example("")
@example("\u200b")
@example("´")
@example("\u0301 ")
@example("Σ Σ.Σ")
def test_the_key_of_a_key_is_that_key(name: str) -> None:
    key = name_key(name)
    assert key
    assert name_key(key) == key


@given(ANYTHING)
def test_whatever_is_asked_for_has_a_key_that_what_is_not_seen_does_not_change(asked: str) -> None:
    name = nick_of(asked)
    key = name_key(name)
    assert key
    assert name_key("\u200b".join(name)) == key
    assert name_key(f" {name} ") == key
    assert name_key(unicodedata.normalize("NFD", name)) == key


@given(ANYTHING, st.integers(2, 99))
def test_a_suffix_makes_another_key(asked: str, number: int) -> None:
    name = nick_of(asked)
    assert name_key(with_suffix(name, f"-{number}")) != name_key(with_suffix(name, "-100"))


@given(st.text("abcdefghijklmnopqrstuvwxyz ", max_size=20))
def test_plain_names_have_their_own_key_but_for_l_and_m(name: str) -> None:
    plain = " ".join(name.split()).replace("l", "i").replace("m", "rn")
    assert name_key(name) == (plain or "?")
