"""Addresses in options: where to listen for programs that watch over this one, and where we are.

The first is `HOST:PORT`, or `:PORT` on this machine; the second is `HOST` or `HOST:PORT`.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from socketchat.cli.target import Target

__all__ = ["Endpoint", "address_of", "endpoint_of"]

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


def address_of(
    context: click.Context,  # noqa: ARG001 - click's signature of an option's callback
    parameter: click.Parameter,  # noqa: ARG001
    value: str | None,
) -> Target | None:
    """Return the place of a server that an option's value is; port 0 is the one it listens on.

    Raises:
        click.BadParameter: It is none.
    """
    if value is None:
        return None
    from socketchat.cli.target import is_everywhere, parse_target  # --help needs none of it

    try:
        target = parse_target(value)
    except ValueError:
        target = None
    if target is None or target.room or target.others or target.token or is_everywhere(target.host):
        raise click.BadParameter("it is no HOST or HOST:PORT; put an IPv6 address in brackets")
    return target if re.search(r":[0-9]+$", value.strip()) else replace(target, port=0)
