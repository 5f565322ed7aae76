"""How the command line is parsed, beyond what click does by itself; `main.py` says what is asked.

Every option can also be given as `SOCKETCHAT_` and its name, and no option is given by an empty
value: that is most often a variable of a script that was never set, and taking it for the option
left out would leave out what it was to protect.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click
from click.core import ParameterSource

__all__ = ["Command", "Group", "option", "options"]

F = TypeVar("F", bound=Callable[..., Any])

_GIVEN = (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT)


class _Filled(click.Option):
    """An option whose value is not empty; an empty variable counts as one that is not set."""

    def consume_value(
        self, ctx: click.Context, opts: Mapping[str, click.Parameter]
    ) -> tuple[Any, ParameterSource]:
        value, source = super().consume_value(ctx, opts)
        values = value if isinstance(value, tuple | list) else [value]
        if source in _GIVEN and any(isinstance(one, str) and not one.strip() for one in values):
            raise click.BadParameter("it must not be empty: leave it out", ctx=ctx, param=self)
        return value, source


def option(*names: str, may_be_empty: bool = False, **settings: Any) -> Callable[[F], F]:
    """Return click's option, which `SOCKETCHAT_NAME` sets as well.

    Args:
        *names: As click has them.
        may_be_empty: Whether an empty value is one like any other.
        **settings: As click has them.
    """
    long = max((name for name in names if name.startswith("--")), key=len)
    name = long.removeprefix("--").replace("-", "_").upper()
    kind = click.Option if may_be_empty else _Filled
    return click.option(*names, cls=kind, envvar=f"SOCKETCHAT_{name}", **settings)


def options(*several: Callable[[F], F]) -> Callable[[F], F]:
    """Put options together, in the order in which `--help` shows them."""

    def add(command: F) -> F:
        for one in reversed(several):
            command = one(command)
        return command

    return add


class Command(click.Command):
    """A command whose every wrong use names it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, and let an error know whose it is: click's parser does not always say."""
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as exc:
            exc.ctx = exc.ctx or ctx
            raise


class Group(click.Group):
    """A group of such commands, and of groups like itself."""

    command_class = Command
    group_class = type
