"""Takes the secrets of invites out of text that is to be shown: errors, log lines, notices.

A leaf, which every error on the command line passes; what an invite is, `invites.py` knows.
"""

from __future__ import annotations

import re

__all__ = ["mask"]

#: An invite in a text: as far as it may be shown, and the rest of it up to the next space. It goes
#: on to no other invite's beginning, so that no text takes quadratic time.
_SHOWN_URL = re.compile(
    r"((?i:socketchat):/(?:(?!(?i:socketchat):/)[^\s#])*?(?:#|%23)"
    r"(?:[A-Za-z0-9_-]{43}(?:\.|%2[Ee]))?)(\S+)"
)
#: A token by itself: its first byte is the version, and the shortest has 119 characters.
_SHOWN_TOKEN = re.compile(r"A[Q-Za-f][A-Za-z0-9_-]{98,}")


def mask(text: str) -> str:
    """Take tokens out of a text that is to be shown: those in invites, and those by themselves."""
    return _SHOWN_TOKEN.sub("...", _SHOWN_URL.sub(_masked, text))


def _masked(found: re.Match[str]) -> str:
    # What stands behind an invite in a sentence is none of it.
    secret = found[2].rstrip("'\"`.,:;!?)]}>")
    return f"{found[1]}...{found[2][len(secret) :]}" if secret else found[0]
