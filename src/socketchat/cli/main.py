"""The command line: what can be asked, and with which options.

Each command's work lies in the module of its name and is imported only when it is asked for, so
that `--help` is quick; `running.py` runs it. `parsing.py` says what holds for every option.
"""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from socketchat.cli.duration import seconds_of, time_of
from socketchat.cli.endpoint import address_of, endpoint_of
from socketchat.cli.outcome import ExitCode
from socketchat.cli.parsing import Program, option, options
from socketchat.cli.redis_url import redis_url

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

__all__ = ["main"]

# As socketchat.options and cli.calling have them; --help imports nothing for it.
_DEFAULT_PORT = 7625
_DEFAULT_HISTORY = 50
_COUNT = click.IntRange(0, 2**31 - 1)  # what every number on the wire and in the log can hold


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return ""


def _known_servers(
    context: click.Context,
    parameter: click.Parameter,  # noqa: ARG001 - click's signature
    incomplete: str,
) -> list[CompletionItem[Any]]:
    from socketchat.cli.completion import known_servers

    return known_servers(context, incomplete)


_DATA = option(
    "--data",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where keys, known hosts, logs and unsent lines are kept.",
)
_JSON = option("--json", "as_json", is_flag=True, help="One JSON object a line on stdout.")
_NICK = option(
    "--nick", metavar="NAME", default=_login, may_be_empty=True, help="The name to go by."
)
_NO_TLS = option("--no-tls", is_flag=True, help="Speak in the clear; on this machine only.")
_HISTORY = option(
    "--history",
    metavar="N",
    type=_COUNT,
    default=_DEFAULT_HISTORY,
    show_default=True,
    help="Earlier messages of the room to begin with.",
)
_SINCE = option(
    "--since",
    metavar="TIME",
    callback=time_of,
    default=None,
    help="Begin with what was said so long ago, as 2h or 3d, or at a time, as 2026-01-31T18:30.",
)
_NO_LAN = option(
    "--no-lan", is_flag=True, help="Neither announce nor look for servers on the network around."
)
_VERBOSE = option("-v", "--verbose", count=True, help="Say more on stderr; -vv still more.")
_certificate = options(
    option(
        "--cert",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="A certificate of your own, with its chain, in PEM; --key must go with it.",
    ),
    option("--key", metavar="FILE", type=click.Path(path_type=Path), help="Its key, in PEM."),
)
_terminal = options(
    option("--plain", is_flag=True, help="Plain lines, as for screen readers."),
    option("--no-color", is_flag=True, help="No colours."),
)
_caller = options(
    option(
        "--trust",
        type=click.Choice(["ask", "accept-new", "strict"]),
        default="ask",
        show_default=True,
        help="What is done about a server that is not known yet: you are asked at a terminal, "
        "it is taken on trust, or it is refused.",
    ),
    option(
        "--fingerprint",
        metavar="SHA256:...",
        default="",
        help="The key that the server must have; if the server is new, it is remembered. Of "
        "several servers one that all have, or one for each, separated by commas.",
    ),
    option("--ca", is_flag=True, help="The server has a public certificate: check that."),
    option("--no-reconnect", is_flag=True, help="End when the link is lost."),
    _JSON,
    _NICK,
    _NO_TLS,
    _DATA,
    _VERBOSE,
)


@click.group(
    cls=Program,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    invoke_without_command=True,
)
@click.version_option(package_name="socketchat", prog_name="socketchat")
@option(
    "--config",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Take options from this file, in TOML.",
)
@click.pass_context
def cli(context: click.Context) -> None:
    """Full-duplex chat between machines: one waits for callers, another calls."""
    _help_unless_asked(context)


def _help_unless_asked(context: click.Context) -> None:
    """Show the help of a group of commands to those who have named none of them."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        context.exit(ExitCode.USAGE)


@cli.command()
@option(
    "--host",
    "hosts",
    metavar="ADDR",
    multiple=True,
    help="Address to listen on; may be repeated. By default every address.",
)
@option(
    "--port",
    type=click.IntRange(0, 65535),
    default=_DEFAULT_PORT,
    show_default=True,
    help="TCP port; 0 takes a free one.",
)
@option(
    "--room",
    metavar="NAME",
    default="lobby",
    show_default=True,
    help="The room of callers who ask for none.",
)
@option("--name", metavar="TEXT", default="", help="The server's name, shown to callers.")
@option("--headless", is_flag=True, help="Only serve; do not sit in the room.")
@option(
    "--retain",
    metavar="TIME",
    callback=seconds_of,
    default=None,
    help="How long messages are kept, as 90d or 12h; by default for ever.",
)
@option(
    "--redis",
    metavar="URL",
    callback=redis_url,
    default="",
    help="Keep rooms, names and bans in Redis, where several servers share them.",
)
@option(
    "--redis-wait",
    metavar="N",
    type=click.IntRange(0, 100),
    default=0,
    show_default=True,
    help="Replicas of Redis that must have a message before it is acknowledged.",
)
@option(
    "--rate",
    metavar="N",
    type=click.FloatRange(min=0),
    default=10.0,
    show_default=True,
    help="Messages a second that a member may send, after a burst of 30; 0 is no limit.",
)
@option("--private", is_flag=True, help="Let in nobody but those who were invited, and operators.")
@option(
    "--operator",
    "operators",
    metavar="SHA256:...",
    multiple=True,
    help="The key of an operator, as socketchat identity shows it there; may be repeated.",
)
@_certificate
@option(
    "--address",
    metavar="HOST[:PORT]",
    callback=address_of,
    default=None,
    help="Where callers find this server, for invites, if not by its machine's name or --host.",
)
@option(
    "--max-callers",
    metavar="N",
    type=click.IntRange(min=1),
    default=10_000,
    show_default=True,
    help="Members at once, in all rooms.",
)
@option(
    "--max-per-address",
    metavar="N",
    type=click.IntRange(min=1),
    default=256,
    show_default=True,
    help="Members at once from one address.",
)
@option(
    "--metrics",
    metavar="ADDR",
    callback=endpoint_of,
    default=None,
    help="Answer /metrics, for Prometheus, and /healthz over HTTP: at HOST:PORT, or at :PORT for "
    "this machine only.",
)
@option("--log-json", is_flag=True, help="One JSON object a line on stderr.")
@_NICK
@_NO_TLS
@_NO_LAN
@_DATA
@_terminal
@_VERBOSE
def serve(**settings: Any) -> None:
    """Wait for callers, and chat with them."""
    from socketchat.cli.serve import run_serve

    _start(run_serve, settings)


@cli.command(short_help="Call a server, and chat.")
@click.argument("target", required=False, default="", shell_complete=_known_servers)
@_HISTORY
@_caller
@_NO_LAN
@_terminal
def connect(**settings: Any) -> None:
    """Call TARGET: HOST, HOST:PORT, HOST/ROOM, HOST:PORT/ROOM (IPv6 in brackets) or an invite.

    Several hosts, separated by commas as in HOST,HOST:PORT/ROOM, are servers of the same rooms:
    they are tried in turn, at first and whenever the link is lost.

    Without TARGET the host name is asked for, and the servers found on the network around are
    listed with their keys. If stdin is no terminal, each line of it is sent, and
    at its end the command waits until all is acknowledged. What cannot be delivered is kept, and
    goes out the next time that the same TARGET is called by the same name. A line that cannot be
    sent is named and skipped.
    """
    from socketchat.cli.connect import run_connect

    _start(run_connect, settings)


@cli.command(short_help="Say something in a room, and leave once it is there.")
@click.argument("target", shell_complete=_known_servers)
@click.argument("text", nargs=-1)
@option("--to", metavar="NAME", default=None, help="Send it to one member of the room alone.")
@_caller
def send(**settings: Any) -> None:
    """Send TEXT, or each line of stdin, to TARGET: HOST/ROOM and the like, as for connect.

    It ends once all of it is acknowledged. What is not is kept, and goes out the next time that the
    same TARGET is called by the same name. A line that cannot be sent is named and skipped.
    """
    from socketchat.cli.send import run_send

    _start(run_send, settings)


@cli.command(short_help="Read what is said in a room.")
@click.argument("target", shell_complete=_known_servers)
@_HISTORY
@_SINCE
@option("--no-follow", is_flag=True, help="End with the last message that there is.")
@_caller
def tail(**settings: Any) -> None:
    """Read what is said at TARGET: HOST/ROOM and the like, as for connect.

    It begins with earlier messages and goes on with what is said. stdin is not read.
    """
    from socketchat.cli.tail import run_tail

    _start(run_tail, settings)


@cli.command()
@option("--room", metavar="NAME", default=None, help="This room; by default all of them.")
@option("--search", metavar="WORDS", default="", help="What has all of these words in it.")
@_SINCE
@option(
    "--limit",
    metavar="N",
    type=_COUNT,
    default=1000,
    show_default=True,
    help="The last N messages; 0 is all.",
)
@option(
    "--redis",
    metavar="URL",
    callback=redis_url,
    default="",
    help="Read the rooms that servers share in Redis.",
)
@_JSON
@_DATA
@_VERBOSE
def history(**settings: Any) -> None:
    """Read the log of this host's own server, whether or not it runs.

    With --redis, as serve has it, read the rooms of all servers that keep them there.
    """
    from socketchat.cli.history import run_history

    _start(run_history, settings)


@cli.command(short_help="List the servers on the network around.")
@option(
    "--timeout",
    metavar="TIME",
    callback=seconds_of,
    default="3s",
    show_default=True,
    help="How long to look for them.",
)
@_JSON
@_VERBOSE
def discover(**settings: Any) -> None:
    """List the servers that are announced on the network around: where to call, key and name.

    Anybody there can announce anything. Nobody is trusted for it: at the first call to a server
    you are asked about its key as always.
    """
    from socketchat.cli.discover import run_discover

    _start(run_discover, settings)


@cli.group(invoke_without_command=True)
@click.pass_context
def trust(context: click.Context) -> None:
    """Look at the servers that this device knows, or forget one."""
    _help_unless_asked(context)


@trust.command("list")
@_JSON
@_DATA
@_VERBOSE
def trust_list(**settings: Any) -> None:
    """List the servers that this device knows, with their keys."""
    from socketchat.cli.trust import run_trust_list

    _start(run_trust_list, settings)


@trust.command("forget")
@click.argument("host", shell_complete=_known_servers)
@_DATA
@_VERBOSE
def trust_forget(**settings: Any) -> None:
    """Forget the key of HOST or HOST:PORT.

    This is for a server that has a new key, and has not announced it. IPv6 stands in brackets.
    """
    from socketchat.cli.trust import run_trust_forget

    _start(run_trust_forget, settings)


@cli.command(short_help="Show the keys of this device and of its server.")
# No variables for these two: what is to be done once must not be done at every call.
@click.option("--next", "make_next", is_flag=True, help="Make the key that the server has next.")
@click.option("--rotate", is_flag=True, help="Have the server use its next key.")
@_certificate
@_JSON
@_DATA
@_VERBOSE
def identity(**settings: Any) -> None:
    """Show the keys of this device and of its server, and where they lie.

    A server's key can be changed without its callers being stopped: make the next one, let the
    server announce it to them, and only then put it into use.
    """
    from socketchat.cli.identity import run_identity

    _start(run_identity, settings)


@cli.command(short_help="Make an invite to this host's own server.")
@option(
    "--room",
    metavar="NAME",
    default="",
    help="The room that it is for; by default all of them.",
)
@option(
    "--expires",
    metavar="TIME",
    callback=seconds_of,
    default="24h",
    show_default=True,
    help="How long it is good, from 1m to 365d.",
)
@option(
    "--host",
    metavar="ADDR",
    default="",
    help="The server as callers find it; by default as it was last started.",
)
@option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    help="Its TCP port; by default the one that it last had.",
)
@option(
    "--also",
    metavar="HOST[:PORT][=SHA256:...]",
    multiple=True,
    help="Another server of the same rooms, with its key if that is another one; may be repeated.",
)
@_certificate
@_JSON
@_DATA
@_VERBOSE
def invite(**settings: Any) -> None:
    """Make an invite to this host's own server, whether or not it runs.

    It is a line that one person can connect with, once: give it to nobody else.
    """
    from socketchat.cli.invite import run_invite

    _start(run_invite, settings)


@cli.command(short_help="Print what has a shell complete commands, options and servers.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(**settings: Any) -> None:
    """Print the script that has SHELL complete commands, options and known servers.

    To have it in every shell, add a line to its start-up file. In ~/.bashrc or ~/.zshrc, there
    behind compinit, write eval "$(socketchat completion bash)" or zsh; for fish, put what is
    printed into ~/.config/fish/completions/socketchat.fish.
    """
    from socketchat.cli.completion import run_completion

    _start(run_completion, settings)


def _start(run: Callable[..., int], settings: dict[str, Any]) -> None:
    """Run a command, and exit as it ends."""
    from socketchat.cli.running import run_command

    sys.exit(run_command(run, settings))


def _open_what_is_missing() -> None:
    """Put something where a standard stream was closed, before another file gets its number."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, open(descriptor, mode, closefd=False))  # noqa: SIM115


def main() -> None:
    """Run the command."""
    _open_what_is_missing()
    if asked := os.environ.get("_SOCKETCHAT_COMPLETE"):  # by the script of a shell
        from socketchat.cli.completion import complete

        sys.exit(complete(cli, asked))
    try:
        code = cli(prog_name="socketchat", standalone_mode=False)
    except click.ClickException as exc:
        from socketchat.cli.running import complain

        context = getattr(exc, "ctx", None)
        asked = context.command_path if context is not None else "socketchat"
        what = exc.format_message().rstrip(".")
        complain(f"{what}; see {asked} --help")
        code = exc.exit_code
    except click.Abort:
        code = ExitCode.INTERRUPTED
    sys.exit(code)
