"""What the documents show is run: every ```python block of README.md and docs/*.md.

Such a block is a whole program, run in a process of its own that must end with status 0 and an
empty stderr, unless the HTML comment in the line above it says otherwise:

    <!-- python: NAME.py, in a room, stays -->
    <!-- python: continues -->

All parts are optional.

- `NAME.py`: the program is kept under this name. All programs of a page run in one directory, in
  their order, and can import each other; those called `test_*.py` are run by pytest.
- `in a room`: a chat server, `socketchat serve --headless`, runs at the default port meanwhile.
- `stays`: the program does not end by itself. The page goes on when it has printed a line, and at
  the page's end it is interrupted as by Ctrl-C. If the line says `port N`, that is the default
  port of the programs behind it.
- `continues`: the block stands at the end of the program before it, and both are run as one.

The default port of `connect` is thus another one than in the documents, and that of `serve` is 0:
tests use no fixed ports.

A ```console block that begins with `$ python NAME.py` shows what that program prints to stdout; so
it must be, but for fingerprints, ports and numbers with a decimal point. In ```console and ```sh
blocks every `socketchat ...` is parsed by the command line's own parser: the command and its
options must exist.
"""

from __future__ import annotations

import asyncio
import re
import shlex
import signal
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import click
import pytest

from socketchat.cli.main import cli
from tests.processes import ROOT, Program, run, start

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

_BLOCK = re.compile(
    r"^(?:<!-- *python: *(?P<directives>.*?) *-->\n)?^```(?P<kind>[^\n]*)\n(?P<body>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)

#: Runs a program with other default ports.
_RUNNER = """
import runpy, sys
import socketchat
_, port, path = sys.argv
socketchat.connect.__defaults__ = (int(port),)
socketchat.serve.__defaults__ = (None, 0)
sys.argv[:] = [path]
runpy.run_path(path, run_name="__main__")
"""


# Reading the pages


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block.

    Attributes:
        line: Where it stands, from 1.
        kind: The word behind the fence.
        body: What is in it.
        directives: What the comment above it says.
    """

    line: int
    kind: str
    body: str
    directives: tuple[str, ...] = ()


@dataclass(slots=True)
class Script:
    """One program of a page; see the module's own text for its attributes."""

    name: str
    text: str
    in_room: bool = False
    stays: bool = False


@dataclass(slots=True)
class Page:
    """The programs of a page, in their order, and what they are said to print, by their names."""

    scripts: list[Script] = field(default_factory=list)
    outputs: dict[str, str] = field(default_factory=dict)


def blocks_of(text: str) -> list[Block]:
    """Return the fenced blocks of a page."""
    return [
        Block(
            text.count("\n", 0, found.start("body")),
            found["kind"],
            found["body"],
            tuple(re.split(r", *", found["directives"])) if found["directives"] else (),
        )
        for found in _BLOCK.finditer(text)
    ]


def read_page(text: str) -> Page:
    """Return what a page says about its programs.

    Raises:
        ValueError: A comment is not understood, or an output belongs to no program.
    """
    page = Page()
    for block in blocks_of(text):
        if block.kind == "python":
            _add_python(page, block)
        elif found := re.match(r"\$ python (\S+\.py)\n", block.body):
            page.outputs[found[1]] = block.body[found.end() :]
    strangers = page.outputs.keys() - {script.name for script in page.scripts}
    if strangers:
        raise ValueError(f"output of programs that are not on the page: {strangers}")
    return page


def _add_python(page: Page, block: Block) -> None:
    if block.directives == ("continues",):
        # At the lines where the page has it, so that a traceback leads there.
        script = page.scripts[-1]
        script.text += "\n" * (block.line - script.text.count("\n")) + block.body
        return
    script = Script(f"line{block.line}.py", "\n" * block.line + block.body)
    for directive in block.directives:
        match directive:
            case "in a room":
                script.in_room = True
            case "stays":
                script.stays = True
            case name if re.fullmatch(r"\w+\.py", name):
                script.name = name
            case _:
                raise ValueError(f"line {block.line}: what is {directive!r}?")
    page.scripts.append(script)


def commands_of(block: Block) -> Iterator[list[str]]:
    """Find each `socketchat ...` of a block, and return its arguments.

    In a console block commands stand behind `$ `, in a shell's each line is one.
    """
    for line in block.body.replace("\\\n", " ").splitlines():
        command = line.removeprefix("$ ")
        if block.kind == "console" and command == line:
            continue
        words: list[str] = []
        lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        for word in [*lexer, ";"]:
            if set(word) <= set("|&;<>()"):
                while words and "=" in words[0]:
                    del words[0]
                if words and Path(words[0]).name == "socketchat":
                    yield words[1:]
                words = []
            else:
                words.append(word)


# Running the programs


class Running:
    """The programs of a page, while they run in one directory."""

    def __init__(self, directory: Path, stack: AsyncExitStack) -> None:
        self._directory = directory
        self._stack = stack
        self._port = "1"  # where nobody listens
        self._staying: list[tuple[str, Program]] = []
        #: What each program has printed to stdout.
        self.outputs: dict[str, list[str]] = {}

    async def run(self, script: Script) -> None:
        """Run one program, or start one that stays."""
        if script.in_room:
            await self._open_room()
        if script.stays:
            program = await self._start(*self._command(script))
            await self._note_port(program, "")
            self._staying.append((script.name, program))
        else:
            status, program = await run(*self._command(script), cwd=self._directory)
            assert (status, program.stderr) == (0, []), f"{script.name}: {program}"
            self.outputs[script.name] = program.stdout

    def _command(self, script: Script) -> tuple[str, ...]:
        if script.name.startswith("test_"):
            return ("-m", "pytest", "-q", "-p", "no:cacheprovider", script.name)
        return ("-c", _RUNNER, self._port, script.name)

    async def _start(self, *args: str) -> Program:
        return await self._stack.enter_async_context(start(*args, cwd=self._directory))

    async def _open_room(self) -> None:
        serve = ("-m", "socketchat", "serve", "--headless", "--host", "127.0.0.1", "--port", "0")
        await self._note_port(await self._start(*serve), "^listening on ")

    async def _note_port(self, program: Program, pattern: str) -> None:
        line = (await program.prints(pattern)).string
        if found := re.search(r"port (\d+)", line):
            self._port = found[1]

    async def end(self) -> None:
        """Interrupt what stays."""
        for name, program in reversed(self._staying):
            status = await program.ends_by(signal.SIGINT)
            assert (status, program.stderr) == (0, []), f"{name}: {program}"
            self.outputs[name] = program.stdout


def comparable(lines: str) -> str:
    """Return lines without what differs from one run to the next."""
    differs = r"(?<=SHA256:)[\w+/]+|(?<=port )\d+|(?<=\d:)\d+|\d+\.\d+"
    return re.sub(differs, "~", lines.rstrip("\n"))


# The tests


def ids(path: Path) -> str:
    return path.name


@pytest.mark.parametrize("path", PAGES, ids=ids)
async def test_the_programs_on_a_page_run_and_print_what_it_shows(
    path: Path, tmp_path: Path
) -> None:
    page = read_page(await asyncio.to_thread(path.read_text, "utf-8"))
    async with AsyncExitStack() as stack:
        running = Running(tmp_path, stack)
        for script in page.scripts:
            file = tmp_path / script.name
            await asyncio.to_thread(file.write_text, script.text, "utf-8")
            await running.run(script)
        await running.end()
    for name, shown in page.outputs.items():
        assert comparable("\n".join(running.outputs[name])) == comparable(shown), name


@pytest.mark.parametrize("path", PAGES, ids=ids)
def test_the_commands_on_a_page_exist(path: Path) -> None:
    for block in blocks_of(path.read_text("utf-8")):
        if block.kind in ("console", "sh"):
            for words in commands_of(block):
                parse(words)


@pytest.mark.parametrize("path", PAGES, ids=ids)
def test_a_page_has_no_block_that_looks_as_if_it_were_tested(path: Path) -> None:
    kinds = {block.kind for block in blocks_of(path.read_text("utf-8"))}
    assert not kinds & {"Python", "bash", "doctest", "py", "pycon", "python3", "shell", "zsh"}
    assert not any(kind.startswith("python ") for kind in kinds)


def parse(words: list[str]) -> None:
    """Parse a command as the command line does, without running it.

    Raises:
        click.UsageError: There is no such command or option, or a value does not fit.
    """
    group = click.Context(cli, info_name="socketchat", **cli.context_settings)
    try:
        if words[0].startswith("-"):
            cli.make_context("socketchat", words)
        else:
            name, command, rest = cli.resolve_command(group, words)
            assert command is not None
            command.make_context(name, rest, parent=group)
    except click.exceptions.Exit:
        pass  # --help and --version are done when they are parsed


# The tests' own tests


def test_commands_are_found_among_others() -> None:
    block = Block(
        1,
        "console",
        "$ cat a | X=1 .venv/bin/socketchat connect 'a b' \\\n  --nick x > out && echo socketchat\n"
        "socketchat is not a command here\n"
        "$ socketchat serve; socketchat connect\n",
    )
    assert list(commands_of(block)) == [["connect", "a b", "--nick", "x"], ["serve"], ["connect"]]
    shell = Block(1, "sh", "a && b -q . && .venv/bin/socketchat serve\n")
    assert list(commands_of(shell)) == [["serve"]]


@pytest.mark.parametrize(
    "words",
    [
        ["--hepl"],
        ["serv"],
        ["serve", "--prot", "1"],
        ["serve", "--port", "x"],
        ["connect", "a", "b"],
    ],
)
def test_a_command_that_does_not_exist_is_found_out(words: list[str]) -> None:
    with pytest.raises(click.UsageError):
        parse(words)


def test_a_page_is_read_as_the_text_above_says() -> None:
    page = read_page(
        "```python\na\n```\n\n<!-- python: b.py, in a room, stays -->\n```python\nb\n```\n"
        "<!-- python: continues -->\n```python\nc\n```\n```console\n$ python b.py\nout\n```\n"
    )
    assert page.scripts == [
        Script("line1.py", "\na\n"),
        Script("b.py", "\n" * 6 + "b\n" + "\n" * 3 + "c\n", in_room=True, stays=True),
    ]
    assert page.outputs == {"b.py": "out\n"}


def test_what_differs_from_run_to_run_is_not_compared() -> None:
    once = "1 of 2: port 7625, key SHA256:a/b+c from 127.0.0.1:1234 in 1.5 ms"
    again = "1 of 2: port 1, key SHA256:xyz from 127.0.0.1:45678 in 20.25 ms"
    assert comparable(once) == comparable(again + "\n")
    assert comparable("the total is 4") != comparable("the total is 7")


@pytest.mark.parametrize(
    "text", ["<!-- python: syats -->\n```python\n```\n", "```console\n$ python no.py\n```\n"]
)
def test_a_page_with_a_slip_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"what is 'syats'|not on the page"):
        read_page(text)
