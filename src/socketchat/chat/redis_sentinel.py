"""Redis behind Sentinel: which master is meant, and which Sentinels know where it is.

Sentinel watches over a master and its replicas, and makes one of those the master when that is
gone (https://redis.io/docs/latest/operate/oss_and_stack/management/sentinel/). Here is how it is
named; `redis_link.py` asks the Sentinels each time that it connects. It knows no connection.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit, urlunsplit

__all__ = ["Watch", "watch_of"]

#: Behind the scheme of a URL that names Sentinels: `redis+sentinel`, `rediss+sentinel`.
_SUFFIX: Final = "+sentinel"
#: The port of a Sentinel for which none is given.
_PORT: Final = 26379


@dataclass(frozen=True, slots=True)
class Watch:
    """A master, and who knows where it is.

    Attributes:
        master: Its name among those that the Sentinels watch.
        sentinels: Where they are.
        url: The rest, as the URL of a server that is nowhere yet.
    """

    master: str
    sentinels: tuple[tuple[str, int], ...]
    url: str


def watch_of(url: str) -> Watch | None:
    """Return what `redis+sentinel://HOST[:PORT][,HOST[:PORT]...]/MASTER[/DB]` names.

    Returns:
        None if it is a URL of another kind.

    Raises:
        ValueError: A part is missing, or none.
    """
    parts = urlsplit(url)
    if not parts.scheme.endswith(_SUFFIX):
        return None
    login, at, hosts = parts.netloc.rpartition("@")
    sentinels = tuple(map(_sentinel, hosts.split(",")))
    master, _, database = parts.path.removeprefix("/").partition("/")
    if not master:
        raise ValueError("no master is named")
    scheme = parts.scheme.removesuffix(_SUFFIX)
    host = f"{login}{at}localhost"
    return Watch(master, sentinels, urlunsplit((scheme, host, f"/{database}", parts.query, "")))


def _sentinel(text: str) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError("a host is empty")
    return parts.hostname, parts.port or _PORT
