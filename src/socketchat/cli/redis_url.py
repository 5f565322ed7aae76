"""The URL of Redis on the command line, where no password may stand: `ps` shows it to everybody."""

from __future__ import annotations

import click
from click.core import ParameterSource

__all__ = ["redis_url"]


def redis_url(context: click.Context, parameter: click.Parameter, value: str) -> str:
    """Return the value of an option; a password may be in a variable or a file only.

    Raises:
        click.BadParameter: One is on the command line.
    """
    assert parameter.name is not None
    source = context.get_parameter_source(parameter.name)
    if source is ParameterSource.COMMANDLINE and _has_password(value):
        what = (
            "a password on the command line is seen by everybody on this machine: put the URL "
            f"into {parameter.envvar}, or into the configuration file"
        )
        raise click.BadParameter(what, context, parameter)
    return value


def _has_password(url: str) -> bool:
    from urllib.parse import parse_qs, urlsplit

    try:
        parts = urlsplit(url)
    except ValueError:
        return "@" in url
    return ":" in parts.netloc.rpartition("@")[0] or any(
        name.endswith("password") for name in parse_qs(parts.query)
    )
