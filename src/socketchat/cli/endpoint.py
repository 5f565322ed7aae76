"""Where to listen for programs that watch over this one: `HOST:PORT`, `:PORT` on this machine."""

from __future__ import annotations

import re

import click

__all__ = ["Endpoint", "endpoint_of"]

Endpoint = tuple[str, int]

_ENDPOINT = re.compile(
    r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+(?:%\w+)?)\]|(?P<host>[^\s:/\[\]]*)):(?P<port>[0-9]{1,5})"
)
_LOOPBACK = "127.0.0.1"


def endpoint_of(
    context: click.Context,  # noqa: ARG001 - click's signature of an option's callback
    parameter: click.Parameter,  # noqa: ARG001
    value: str | None,
) -> Endpoint | None:
    """Return address and port of an option's value.

    Raises:
        click.BadParameter: It is none.
    """
    if value is None:
        return None
    found = _ENDPOINT.fullmatch(value)
    if found is None or int(found["port"]) > 65535:
        what = f"{value!r} is no HOST:PORT or :PORT; put an IPv6 address in brackets"
        raise click.BadParameter(what)
    return found["ipv6"] or found["host"] or _LOOPBACK, int(found["port"])
