"""The configuration file: options that are not said at every call, in TOML.

What may be set by a variable may be set here, under the option's long name: at the top for every
command that has the option, in a table of the command's name for that one alone, as `[serve]` or
`[trust.list]`. What stands where it is nearest to the command counts. The file is read when a
command first wants a value that was given neither on the command line nor by a variable.

It knows the commands as click describes them, and nothing of what they do. `parsing.py` asks it.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
from click.types import FloatParamType, IntParamType

__all__ = ["ConfigFile", "Setting", "default_path"]


def default_path() -> Path:
    """Return where the file is looked for, if nothing else is said."""
    import platformdirs

    return platformdirs.user_config_path("socketchat") / "config.toml"


class Setting(NamedTuple):
    """What the file says of an option.

    Attributes:
        value: The value, of a type that fits the option.
        place: Where it stands, for people.
    """

    value: Any
    place: str


class ConfigFile:
    """One file, which is read at most once."""

    def __init__(self, path: Path | None, program: click.Context) -> None:
        """Read nothing yet.

        Args:
            path: The file, which must be there; None is the default one, which may be missing.
            program: The context of all commands: those of which the file may speak.
        """
        self._given = path
        self._program = program

    @functools.cached_property
    def path(self) -> Path:
        """Where it lies."""
        return self._given or default_path()

    def find(self, context: click.Context, option: click.Option) -> Setting | None:
        """Return what is set for an option of the command that a context is of.

        An empty text or array counts as what is not set, as an empty variable does.

        Raises:
            click.UsageError: The file cannot be read, or says what it must not.
        """
        tables = list(_tables_for(context, self._content))
        for names, table in reversed(tables):
            for key, value in table.items():
                if _is_for(key, value, option) and value not in ("", []):
                    return self._checked(context, option, value, _place(names, key))
        return None

    @functools.cached_property
    def _content(self) -> dict[str, Any]:
        """What the file says, every key of which some command has."""
        content = self._read()
        self._check_table(content, self._program.command, ())
        return content

    def _read(self) -> dict[str, Any]:
        import tomllib

        try:
            with self.path.open("rb") as file:
                return tomllib.load(file)
        except (FileNotFoundError, NotADirectoryError) as exc:
            if self._given is None:
                return {}
            raise self._error(f"{exc.strerror}") from exc
        except OSError as exc:
            raise self._error(f"{exc.strerror or exc}") from exc
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
            raise self._error(str(exc)) from exc
        except RecursionError as exc:
            raise self._error("too many brackets in each other") from exc

    def _check_table(
        self, table: dict[str, Any], command: click.Command, names: tuple[str, ...]
    ) -> None:
        """Check that there are the commands and options of which a table speaks."""
        commands = command.commands if isinstance(command, click.Group) else {}
        options = [option for option in _options_of(command) if _may_be_set(option)]
        seen = set()
        for key, value in table.items():
            if isinstance(value, dict):
                if key not in commands:
                    raise self._error(f"[{'.'.join((*names, key))}] is no command")
                self._check_table(value, commands[key], (*names, key))
                continue
            place = _place(names, key)
            fitting = [option for option in options if _is_for(key, value, option)]
            if not fitting:
                raise self._error(f"{place} is no option that can be set{_hint(options, key)}")
            if _as_option(key) in seen:
                raise self._error(f"{place} is set twice")
            seen.add(_as_option(key))
            if value not in ("", []) and not any(_fits(value, option) for option in fitting):
                raise self._error(f"{place} must be {_wanted(fitting[0])}")

    def _checked(
        self, context: click.Context, option: click.Option, value: Any, place: str
    ) -> Setting:
        if not _fits(value, option):
            what = f"{place} must be {_wanted(option)} for {context.command_path}"
            raise self._error(what, context)
        if isinstance(option.type, click.Path) and value.strip():
            try:
                # As seen from the file, wherever the command is called.
                value = str(self.path.absolute().parent / Path(value).expanduser())
            except RuntimeError as exc:
                raise self._error(f"{place}: whose home is {value}?", context) from exc
        return Setting(value, f"{self.path}: {place}")

    def _error(self, what: str, context: click.Context | None = None) -> click.UsageError:
        return click.UsageError(f"{self.path}: {what}", context or self._program)


def _tables_for(
    context: click.Context, content: dict[str, Any]
) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Find the tables that count for a command, the nearest one last."""
    names: list[str] = []
    while context.parent is not None:
        names.insert(0, context.info_name or "")
        context = context.parent
    yield (), content
    for count, name in enumerate(names, 1):
        content = content.get(name, {})
        if not isinstance(content, dict):
            return  # an option that is called as a command is: `trust`, `history`
        yield tuple(names[:count]), content


def _options_of(command: click.Command) -> Iterator[click.Option]:
    """Find the options of a command, or of all commands of a group."""
    if isinstance(command, click.Group):
        for one in command.commands.values():
            yield from _options_of(one)
    else:
        yield from (it for it in command.params if isinstance(it, click.Option))


def _may_be_set(option: click.Option) -> bool:
    """Tell whether an option may be set other than at a call: it then has a variable."""
    return option.envvar is not None


def _is_for(key: str, value: object, option: click.Option) -> bool:
    """Tell whether a key is about an option, and not about a command of the same name."""
    return not isinstance(value, dict) and f"--{_as_option(key)}" in option.opts


def _as_option(key: str) -> str:
    return key.replace("_", "-")


def _place(names: tuple[str, ...], key: str) -> str:
    return f"{key} in [{'.'.join(names)}]" if names else key


def _hint(options: list[click.Option], key: str) -> str:
    """Say what may have been meant."""
    import difflib

    known = sorted({name.removeprefix("--") for it in options for name in it.opts if name[2:3]})
    near = difflib.get_close_matches(_as_option(key), known, n=1)
    return f"; {near[0]} is one" if near else ""


def _fits(value: object, option: click.Option) -> bool:
    """Tell whether a value is of the type that an option wants."""
    if option.multiple:
        return isinstance(value, list) and all(_fits_once(one, option) for one in value)
    return _fits_once(value, option)


def _fits_once(value: object, option: click.Option) -> bool:
    if option.is_flag:
        return isinstance(value, bool)
    if isinstance(value, bool):
        return False
    if isinstance(option.type, IntParamType):
        return isinstance(value, int)
    if isinstance(option.type, FloatParamType):
        return isinstance(value, int | float)
    return isinstance(value, str)


def _wanted(option: click.Option) -> str:
    """Say what an option wants, for people."""
    if option.is_flag:
        one, several = "true or false", "booleans"
    elif isinstance(option.type, IntParamType):
        one, several = "a whole number", "whole numbers"
    elif isinstance(option.type, FloatParamType):
        one, several = "a number", "numbers"
    else:
        one, several = "text in quotes", "texts in quotes"
    return f"an array of {several}" if option.multiple else one
