"""How people's names are made harmless, compared, and made unmistakable.

A name is shown as it was asked for, as far as `nick_of` lets it; whether it could be taken for
another's is told by `name_key`, which nobody sees. Where two keys are alike, `tagged` tells their
owners apart. How two letters look alike is in `looks.py`. Pure functions: `room.py` and `server.py`
ask them.
"""

from __future__ import annotations

import re
import secrets
import unicodedata
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from typing import Final

from precis_i18n import get_profile

from socketchat.chat.looks import Looks
from socketchat.fingerprint import TAG_MARK, tag_of
from socketchat.messages import MAX_NAME
from socketchat.text import NAME_COLUMNS, clean_name, clip

__all__ = ["candidates", "load_tables", "name_key", "nick_of", "tagged", "untagged", "with_suffix"]


_NICKNAME: Final = get_profile("NicknameCaseMapped:CaseFold")

#: The voicing marks of Katakana, which have a place of their own in half width.
_VOICED: Final = str.maketrans("\uff9e\uff9f\u309b\u309c", "\u3099\u309a" * 2)
#: Nothing is seen of these, beside format characters and unassigned ones that are to be ignored.
_UNSEEN: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
#: A letter that has a dot shows no second one. The first stands for i and whatever looks like it.
#: An IPv4 address; one of IPv6 has colons.
_ADDRESS: Final = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}")
_DOTTED: Final = re.compile("([ij])\u0307")
#: Three rounds settle any code point; the rest is room for what may stand beside it.
_ROUNDS: Final = 8


@cache
def _looks() -> Looks:
    return Looks.load()


@cache
def _reserved() -> Mapping[int, str]:
    """Return what stands in for signs that nobody may have in a name.

    With a colon a name could put words into the mouth of another, with a tilde it could bear
    another's tag; and so with what looks like one. Letters and vowel signs do no such harm.
    """
    return {
        ord(char): stand_in
        for stand_in, reserved in (("_", ":\uff1a\ufe55\ufe13"), ("-", TAG_MARK + "\uff5e\u301c"))
        for char in _looks().like(reserved[0]).union(reserved)
        if unicodedata.category(char)[0] in "PS"
    }


def load_tables() -> None:
    """Read the tables from the disk, which else the first name does: some 0.1 s, once."""
    _reserved()


def nick_of(wanted: str) -> str:
    """Make a name harmless, and short enough to be sent.

    It holds no `:` and no `~`, nor a sign that looks like one, and is no address.
    """
    nick = clean_name(wanted.translate(_reserved()))[:MAX_NAME]
    # It could be taken for what it says, by those who ban addresses.
    return nick.replace(".", "-") if _ADDRESS.fullmatch(nick) else nick


def with_suffix(name: str, suffix: str) -> str:
    """Shorten a name so that with its suffix it can be sent, and shown to the end."""
    return clip(name[: MAX_NAME - len(suffix)], NAME_COLUMNS - len(suffix)).rstrip() + suffix


def tagged(nick: str, public: bytes) -> str:
    """Put the tag of a device's key behind a name: `ada~k3x7q`.

    Args:
        nick: What `nick_of` returned: it brings no `~` of its own.
        public: The device's public key.
    """
    return with_suffix(nick, TAG_MARK + tag_of(public))


def untagged(nick: str, public: bytes) -> str:
    """Take the tag of a device's key off a name that was given to it: one asks for that again."""
    return nick.removesuffix(TAG_MARK + tag_of(public)) if public else nick


def candidates(nick: str, public: bytes) -> Iterator[str]:
    """Yield names for one who wants this one: itself, with the key's tag, and then with numbers.

    Args:
        nick: What `nick_of` returned.
        public: The device's public key; empty if it has none.
    """
    yield nick
    if public:
        nick = tagged(nick, public)
        yield nick
    for number in range(2, 10):
        yield with_suffix(nick, f"-{number}")
    # Of so many one need not be the next one: counting on would take ever longer.
    while True:
        yield with_suffix(nick, f"-{secrets.randbelow(10**6)}")


@lru_cache(maxsize=4096)
def name_key(nick: str) -> str:
    """Return what is the same for all names that could be taken for this one.

    It is made of the Nickname profile of PRECIS (RFC 8266: spaces, case, compatibility forms) and
    of a skeleton of how the letters look (Unicode TR39), in which a capital and its small letter
    count as alike too. Accents count: they are seen. The key of a key is that key.

    The profile maps here and does not refuse: who may be named is `nick_of`'s to say, and what it
    lets through must have a key.

    Args:
        nick: Any text.

    Returns:
        The key, never empty. It is for comparing, not for showing.
    """
    key = nick
    for _ in range(_ROUNDS):
        before, key = key, _settled(key)
        if key == before:
            break
    return _looks().folded(key) or name_key("?")


def _settled(name: str) -> str:
    # The look goes first: to the profile a long s is an s, to the eye it is an f.
    seen = _looks().skeleton(_decomposed(name))
    mapped = _NICKNAME.apply_five_rules(seen)
    return _DOTTED.sub(r"\1", _looks().skeleton(_decomposed(mapped)))


def _decomposed(name: str) -> str:
    """Decompose a name and take out what is not seen of it."""
    return unicodedata.normalize("NFD", "".join(filter(_is_seen, name)).translate(_VOICED))


def _is_seen(char: str) -> bool:
    return not (
        char in _UNSEEN
        or unicodedata.category(char) in ("Cc", "Cf")
        or "\ufe00" <= char <= "\ufe0f"
        or "\u180b" <= char <= "\u180f"
        or "\ufff0" <= char <= "\ufff8"
        or 0xE0000 <= ord(char) <= 0xE0FFF
        or char == "\u2065"
    )
