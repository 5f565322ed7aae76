"""`socketchat completion SHELL`, and what is completed.

The shell's script calls the command again with `_SOCKETCHAT_COMPLETE` set; `main.py` then asks
`complete` instead of running anything. Commands, options and choices are click's affair. Here are
the servers that this device knows, and a script for bash that knows where bash cuts words.

Whatever goes wrong, nothing is completed and nothing is said: somebody is typing.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    add_completion_class,
    get_completion_class,
    shell_complete,
    split_arg_string,
)

from socketchat.cli.outcome import ExitCode

__all__ = ["complete", "known_servers", "run_completion"]

_PROGRAM = "socketchat"
_VARIABLE = "_SOCKETCHAT_COMPLETE"

#: A server that needs no quotes in any shell but brackets; another one is not offered.
_PLAIN = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[\w.-]+)(?::[0-9]+)?")

_BASH = """\
%(complete_func)s() {
    local type value
    COMPREPLY=()
    while IFS=, read -r type value; do
        case $type in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            plain) COMPREPLY+=("$value") ;;
        esac
    done < <(COMP_LINE=${COMP_LINE:0:COMP_POINT} COMP_WORDBREAKS=$COMP_WORDBREAKS \
%(complete_var)s=bash_complete "$1" 2>/dev/null)
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""


class Bash(BashComplete):
    """bash, with servers that have a port.

    bash cuts words at colons, and puts what is completed in the place of the last piece alone. So
    click's own script takes `maple:40` for three words. This one sends the line as it was typed.
    """

    source_template = _BASH

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the whole words before the cursor, and the one at it."""
        # One character more: what it is added to is the word at the cursor, empty or quoted.
        *words, last = split_arg_string(os.environ["COMP_LINE"] + "x")
        return words[1:], last[:-1]

    def complete(self) -> str:
        """Return what the script reads, without what stands before bash's last piece."""
        args, incomplete = self.get_completion_args()
        breaks = os.environ.get("COMP_WORDBREAKS", "")
        end = max((incomplete.rfind(one) + 1 for one in breaks if one in ":="), default=0)
        lines = []
        for item in self.get_completions(args, incomplete):
            value = item.value
            if item.type == "plain":
                value = value.removeprefix(incomplete[:end])
            lines.append(f"{item.type},{value}")
        return "\n".join(lines)


def run_completion(*, shell: str) -> int:
    """Print the script for a shell; return the exit code."""
    from socketchat.cli.main import cli

    add_completion_class(Bash)
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(cli, {}, _PROGRAM, _VARIABLE).source(), nl=False)
    return ExitCode.DONE


def complete(program: click.Command, instruction: str) -> int:
    """Answer a shell; return the exit code."""
    add_completion_class(Bash)
    try:
        return shell_complete(program, {}, _PROGRAM, _VARIABLE, instruction)
    except Exception:  # noqa: BLE001 - whatever it is, nobody asked for it
        return ExitCode.INTERNAL_ERROR


def known_servers(context: click.Context, incomplete: str) -> list[CompletionItem[Any]]:
    """Return the servers that are known here and begin like this."""
    from socketchat.trust.known_hosts import KnownHosts, as_typed, default_directory

    # Several servers are separated by commas.
    before, comma, last = incomplete.rpartition(",")
    directory = context.params.get("data") or default_directory()
    known = KnownHosts(Path(directory, "known_hosts"))
    names = [as_typed(host.host) for host in known.all()]
    if "/" in before:
        return []  # a comma in the name of a room
    wanted, given = last.lower(), before.lower().split(",")
    return [
        CompletionItem(before + comma + name)
        for name in sorted(set(names).difference(given))
        if name.startswith(wanted) and _PLAIN.fullmatch(name)
    ]
