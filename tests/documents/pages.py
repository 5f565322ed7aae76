"""Reads the blocks of README.md and docs/**/*.md, and what is to be done with each.

A ```python block is a whole program, run in a process of its own that must end with status 0 and an
empty stderr, unless the HTML comment in the line above it says otherwise:

    <!-- python: NAME.py, in a room, stays -->
    <!-- python: continues -->

All parts are optional.

- `NAME.py`: the program is kept under this name. All blocks of a page are run in one directory, in
  their order, and programs can import each other; those called `test_*.py` are run by pytest.
- `in a room`: a chat server, `socketchat serve --headless`, runs at the default port meanwhile.
- `stays`: the program does not end by itself. The page goes on when it has printed a line, and at
  the page's end it is interrupted as by Ctrl-C. If the line says `port N`, that is the default
  port of the programs behind it.
- `continues`: the block stands at the end of the program before it, and both are run as one.

The default port of `connect` is thus another one than in the documents, and that of `serve` is 0:
tests use no fixed ports.

A ```sh block is a script for bash, which must end with status 0. In a ```console block each command
stands behind `$ `, and below it what it prints to stdout; so it must be, but for fingerprints,
ports, times and numbers with a decimal point. `$ python NAME.py` shows what that program of the
page prints. What `socketchat` is there, `stand_in.py` tells. Above such a block may stand

    <!-- sh: a server runs -->
    <!-- sh: the server is stopped -->
    <!-- not run: REASON -->

The first starts a server, the second stops the one that an earlier block has started. The third is
for what a test cannot do, and says why; `<!-- sh is not run: REASON -->`, anywhere on a page, holds
for all such blocks of it. What is not run is parsed by bash, and each command in it that is ours
must exist, with its options.

Other blocks show something that is no program; their kinds are in `SHOWN`.
"""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field

__all__ = ["SHOWN", "Block", "Page", "Script", "Shell", "blocks_of", "commands_in", "read_page"]

#: Kinds of blocks that are no programs; those in braces are Sphinx's.
SHOWN = {"", "json", "text", "toml", "yaml", "{eval-rst}", "{toctree}"}

_BLOCK = re.compile(
    r"^(?: *<!-- *(?P<comment>[^\n]*?) *-->\n)?"
    r"^(?P<indent> *)```(?P<kind>[^\n]*)\n(?P<body>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
_NO_SHELL = re.compile(r"^<!-- sh is not run: (.+) -->$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block.

    Attributes:
        line: Where it stands, from 1.
        kind: The word behind the fence.
        body: What is in it.
        comment: The HTML comment in the line above it, or empty.
    """

    line: int
    kind: str
    body: str
    comment: str = ""


@dataclass(slots=True)
class Script:
    """One program of a page; see the module's own text for its attributes."""

    name: str
    text: str
    in_room: bool = False
    stays: bool = False


@dataclass(frozen=True, slots=True)
class Shell:
    """What a page has a shell do.

    Attributes:
        line: Where it stands.
        text: A script; for a console block one command.
        output: What it prints; None if the page does not say.
        not_run: Why it is not run; empty if it is.
        before: What is done about the server before: `a server runs`, `the server is stopped`, or
            nothing.
    """

    line: int
    text: str
    output: str | None = None
    not_run: str = ""
    before: str = ""


@dataclass(slots=True)
class Page:
    """What a page has to be run, in its order, and what its programs are said to print."""

    steps: list[Script | Shell] = field(default_factory=list)
    outputs: dict[str, str] = field(default_factory=dict)

    @property
    def scripts(self) -> list[Script]:
        """Its programs."""
        return [step for step in self.steps if isinstance(step, Script)]

    @property
    def shells(self) -> list[Shell]:
        """What it has a shell do."""
        return [step for step in self.steps if isinstance(step, Shell)]


def blocks_of(text: str) -> list[Block]:
    """Return the fenced blocks of a page."""
    return [
        Block(
            text.count("\n", 0, found.start("body")),
            found["kind"].split(" ")[0],
            textwrap.dedent(found["body"]) if found["indent"] else found["body"],
            found["comment"] or "",
        )
        for found in _BLOCK.finditer(text)
    ]


def read_page(text: str) -> Page:
    """Return what is to be done with a page.

    Raises:
        ValueError: A kind of block or a comment is not known, or an output belongs to no program.
    """
    page = Page()
    found = _NO_SHELL.search(text)
    no_shell = found[1] if found else ""
    for block in blocks_of(text):
        match block.kind:
            case "python":
                _add_python(page, block)
            case "sh" | "console":
                _add_shell(page, block, no_shell)
            case kind if kind not in SHOWN:
                raise ValueError(f"line {block.line}: what is a block of {kind!r}?")
    strangers = page.outputs.keys() - {script.name for script in page.scripts}
    if strangers:
        raise ValueError(f"output of programs that are not on the page: {strangers}")
    return page


def _add_python(page: Page, block: Block) -> None:
    directives = _directives(block, "python")
    if directives == ["continues"]:
        # At the lines where the page has it, so that a traceback leads there.
        script = page.scripts[-1]
        script.text += "\n" * (block.line - script.text.count("\n")) + block.body
        return
    script = Script(f"line{block.line}.py", "\n" * block.line + block.body)
    for directive in directives:
        match directive:
            case "in a room":
                script.in_room = True
            case "stays":
                script.stays = True
            case name if re.fullmatch(r"\w+\.py", name):
                script.name = name
            case _:
                raise ValueError(f"line {block.line}: what is {directive!r}?")
    page.steps.append(script)


def _add_shell(page: Page, block: Block, not_run: str) -> None:
    before = ""
    if block.comment.startswith("not run:"):
        not_run = block.comment.removeprefix("not run:").strip()
        if len(not_run.split()) < 3:
            raise ValueError(f"line {block.line}: why is it not run? {not_run!r}")
    else:
        for directive in _directives(block, "sh"):
            if directive not in ("a server runs", "the server is stopped"):
                raise ValueError(f"line {block.line}: what is {directive!r}?")
            before = directive
    if block.kind == "sh":
        page.steps.append(Shell(block.line, block.body, None, not_run, before))
        return
    commands = list(_commands_of_console(block.body))
    if not commands:
        raise ValueError(f"line {block.line}: there is no command; is it text?")
    for command, output in commands:
        if found := re.fullmatch(r"python (\w+\.py)\n", command):
            page.outputs[found[1]] = output
        else:
            page.steps.append(Shell(block.line, command, output, not_run, before))


def _directives(block: Block, kind: str) -> list[str]:
    """Return what the comment above a block says of it, as far as it is for us."""
    name, colon, rest = block.comment.partition(":")
    if not colon:
        return []
    if name != kind:
        raise ValueError(f"line {block.line}: what is {block.comment!r}?")
    return re.split(r", *", rest.strip())


def _commands_of_console(body: str) -> Iterator[tuple[str, str]]:
    """Return each command and what stands below it."""
    for part in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
        command = re.match(r"(?:[^\n]*\\\n)*[^\n]*\n", part)
        assert command is not None
        yield command[0], part[command.end() :]


def commands_in(text: str) -> Iterator[list[str]]:
    """Return the words of each command of a shell's script, without the variables before it."""
    for line in text.replace("\\\n", " ").splitlines():
        words: list[str] = []
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        for word in [*lexer, ";"]:
            if set(word) <= set("|&;<>()"):
                while words and ("=" in words[0] or words[0] in ("if", "!", "then", "else")):
                    del words[0]
                if words:
                    yield words
                words = []
            else:
                words.append(word)
