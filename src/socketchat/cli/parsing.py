"""How the command line is parsed, beyond what click does by itself; `main.py` says what is asked.

Every option can also be given as `SOCKETCHAT_` and its name, or else in a file (`config.py`). No
option is given by an empty value: that is most often a variable of a script that was never set, and
taking it for the option left out would leave out what it was to protect.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from socketchat.cli.config import ConfigFile, Setting, default_path

__all__ = ["Command", "Group", "Program", "option", "options"]

F = TypeVar("F", bound=Callable[..., Any])

_GIVEN = (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT, ParameterSource.DEFAULT_MAP)


class _Option(click.Option):
    """An option that the configuration file may set, if nothing else does."""

    def consume_value(
        self, ctx: click.Context, opts: Mapping[str, click.Parameter]
    ) -> tuple[Any, ParameterSource]:
        value, source = super().consume_value(ctx, opts)
        if source not in _GIVEN and (setting := self._setting(ctx)) is not None:
            # To click it is a map of defaults, which it knows as well.
            return setting.value, ParameterSource.DEFAULT_MAP
        return value, source

    def process_value(self, ctx: click.Context, value: Any) -> Any:
        """Convert a value; an error in the file's says where it stands."""
        try:
            return super().process_value(ctx, value)
        except click.BadParameter as exc:
            if ctx.get_parameter_source(self.name) is not ParameterSource.DEFAULT_MAP:
                raise
            setting = self._setting(ctx)
            assert setting is not None
            raise click.UsageError(f"{setting.place}: {exc.message}", ctx) from exc

    def _setting(self, ctx: click.Context) -> Setting | None:
        file = ctx.find_object(ConfigFile)
        try:
            return file.find(ctx, self) if file is not None else None
        except click.UsageError:
            if ctx.resilient_parsing:  # a shell asks for completions: no place for errors
                return None
            raise


class _Filled(_Option):
    """An option whose value is not empty; an empty variable counts as one that is not set."""

    def consume_value(
        self, ctx: click.Context, opts: Mapping[str, click.Parameter]
    ) -> tuple[Any, ParameterSource]:
        value, source = super().consume_value(ctx, opts)
        values = value if isinstance(value, tuple | list) else [value]
        if source in _GIVEN and any(isinstance(one, str) and not one.strip() for one in values):
            what = "it must not be empty: leave it out"
            if source is ParameterSource.DEFAULT_MAP and (setting := self._setting(ctx)):
                raise click.UsageError(f"{setting.place}: {what}", ctx)
            raise click.BadParameter(what, ctx=ctx, param=self)
        return value, source


def option(*names: str, may_be_empty: bool = False, **settings: Any) -> Callable[[F], F]:
    """Return click's option, which `SOCKETCHAT_NAME` and the configuration file set as well.

    Args:
        *names: As click has them.
        may_be_empty: Whether an empty value is one like any other.
        **settings: As click has them.
    """
    long = max((name for name in names if name.startswith("--")), key=len)
    name = long.removeprefix("--").replace("-", "_").upper()
    kind = _Option if may_be_empty else _Filled
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

    command_class: type[click.Command] | None = Command
    group_class: type[click.Group | type] | None = type


class Program(Group):
    """All commands, and the file in which their options may be set."""

    group_class: type[click.Group | type] | None = Group

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse; what `--config` names is for the options of the commands to ask."""
        rest = super().parse_args(ctx, args)
        ctx.obj = ConfigFile(ctx.params.pop("config", None), ctx)
        return rest

    def format_epilog(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        formatter: click.HelpFormatter,
    ) -> None:
        """Say where options may be set as well."""
        formatter.write_paragraph()
        formatter.write_text(
            f"Options are also read from SOCKETCHAT_* and {_short(default_path())}"
        )


def _short(path: Path) -> str:
    """Return a path as people write it."""
    try:
        return f"~/{path.relative_to(Path.home()).as_posix()}"
    except (ValueError, RuntimeError):
        return str(path)
