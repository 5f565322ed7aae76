"""What is said and what is typed, as the sender, the typist and the checks all have to know it."""

import random
from collections.abc import Iterator

HOST = "127.0.0.1"
COLUMNS, ROWS = 80, 24
#: Who sits at the console, and who says the lines.
READER, SENDER = "ada", "bob"
PROMPT = ">> "

#: Characters of a line: with the time and the name before it, it fits into a row.
SIZE = 64
#: Seconds between two keys.
LEAST_PAUSE, MOST_PAUSE = 0.020, 0.060
#: Keys until all that is typed is deleted at once: it has to fit into a row.
MOST_TYPED = 60
DELETE_ALL = b"\x15"  # Ctrl-U
#: The last key. It stands in no line, so its echo, and with it that of all keys, is soon found.
LAST_KEY = b"#"

_FILLER = " the quick brown fox jumps over the lazy dog and then comes back."


def line(number: int) -> str:
    """Return the text of a line, from 1."""
    return (mark(number) + _FILLER)[:SIZE]


def mark(number: int) -> str:
    """Return what tells a line from all others."""
    return f"line {number:06}"


def keys(seed: int) -> Iterator[tuple[float, bytes, str]]:
    """Yield for each key the seconds since the one before, the key, and all that is then typed."""
    chance = random.Random(seed)
    typed = ""
    while True:
        pause = chance.uniform(LEAST_PAUSE, MOST_PAUSE)
        if len(typed) == MOST_TYPED:
            typed, key = "", DELETE_ALL
        else:
            letter = chance.choice("abcdefghijklmnopqrstuvwxyz")
            typed, key = typed + letter, letter.encode()
        yield pause, key, typed
