"""The documents are true: what they show is run, and what they list is what the code has.

How a page says what is to be done with a block is told in `documents/pages.py`.
"""

from __future__ import annotations

import importlib.util
import io
import itertools
import re
import runpy
import shlex
import subprocess
import sys
import tomllib
from contextlib import AsyncExitStack, redirect_stdout
from functools import cache
from pathlib import Path

import click
import pytest

from socketchat.cli.main import cli
from tests.documents.pages import (
    Script,
    Shell,
    blocks_of,
    commands_in,
    read_page,
)
from tests.documents.running import Running, comparable
from tests.processes import ROOT

DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
#: Pages whose shell blocks no test can run, and how many more blocks are not: what is not run is
#: a promise that nobody keeps.
NOT_RUN = {"benchmarks.md", "operating.md", "scaling.md", "testing.md"}
MOST_NOT_RUN = 25


def ids(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def text_of(path: Path) -> str:
    return path.read_text("utf-8")


#: Those that have nothing to run are left out.
RUN = [path for path in PAGES if read_page(text_of(path)).steps]


@pytest.mark.skipif(sys.platform == "win32", reason="the shell is bash")
@pytest.mark.parametrize("path", RUN, ids=ids)
async def test_what_a_page_shows_runs_and_prints_what_it_says(path: Path, tmp_path: Path) -> None:
    page = read_page(text_of(path))
    async with AsyncExitStack() as stack:
        running = Running(tmp_path, stack)
        for step in page.steps:
            if isinstance(step, Script):
                await running.run(step)
            elif not step.not_run:
                await running.run_shell(step)
        await running.end()
    for name, shown in page.outputs.items():
        assert comparable("\n".join(running.outputs[name])) == comparable(shown), name


def test_little_is_not_run() -> None:
    assert {path.name for path in PAGES if "<!-- sh is not run:" in text_of(path)} == NOT_RUN
    marks = [block.comment for path in PAGES for block in blocks_of(text_of(path))]
    assert sum(mark.startswith("not run:") for mark in marks) <= MOST_NOT_RUN


@pytest.mark.parametrize("path", RUN, ids=ids)
def test_what_is_not_run_could_be(path: Path) -> None:
    for shell in read_page(text_of(path)).shells:
        done = subprocess.run(["bash", "-n"], input=shell.text, text=True, check=False)
        assert done.returncode == 0, f"line {shell.line}"
        for words in commands_in(shell.text):
            check(words)


def test_the_links_of_the_readme_lead_somewhere() -> None:
    """Those of the other pages are looked at when the site is built."""
    links = re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", text_of(ROOT / "README.md"))
    assert len(links) > 10
    for path, anchor in links:
        page = ROOT / (path or "README.md")
        assert page.exists(), path
        if anchor:
            titles = re.findall(r"^#+ (.+)$", text_of(page), re.MULTILINE)
            slugs = [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles]
            assert anchor in slugs, f"{path}#{anchor}"


# What a command on a page may be


def check(words: list[str]) -> None:
    """Look whether a command that is ours exists, and what it is given.

    Raises:
        click.UsageError: socketchat has no such command or option, or a value does not fit.
        AssertionError: It is another one of ours, and there is no such thing.
    """
    program = Path(words[0]).name
    if program == "socketchat":
        parse(words[1:])
    elif program.startswith("python") and words[1:3] == ["-m", "pytest"]:
        for word in words[3:]:
            assert not word.startswith("tests") or (ROOT / word).exists(), word
    elif program.startswith("python") and words[1:2] == ["-m"] and words[2].startswith("tests."):
        plain = itertools.takewhile(lambda word: not word.startswith("-"), words[3:])
        options = [word for word in words[3:] if word.startswith("-")]
        names = [word for word in plain if re.fullmatch(r"[a-z-]+", word)]
        text = help_of(words[2], *names) if names or options else ""
        assert importlib.util.find_spec(words[2]), words
        for word in options:
            assert re.search(rf"{word}\b", text), f"{words[2]} has no {word}"
    elif program == "pip":
        known = tomllib.loads(text_of(ROOT / "pyproject.toml"))["project"]["optional-dependencies"]
        for extras in re.findall(r"\[(.+?)\]", " ".join(words)):
            assert set(extras.split(",")) <= known.keys(), words


@cache
def help_of(module: str, *words: str) -> str:
    """Return what a module of the tests says of its options."""
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(said):
        patch.setattr(sys, "argv", [module, *words, "--help"])
        # Another test may have imported it, which runpy warns of.
        patch.delitem(sys.modules, module, raising=False)
        patch.delitem(sys.modules, f"{module}.__main__", raising=False)
        with pytest.raises(SystemExit) as ended:
            runpy.run_module(module, run_name="__main__", alter_sys=True)
    assert not ended.value.code
    return said.getvalue()


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
    script = (
        "cat a | X=1 .venv/bin/socketchat connect 'a b' \\\n  --nick x > out && echo socketchat\n"
        "socketchat serve; socketchat connect\nif ! socketchat identity; then\n"
    )
    ours = [words for words in commands_in(script) if Path(words[0]).name == "socketchat"]
    assert [words[1:] for words in ours] == [
        ["connect", "a b", "--nick", "x"],
        ["serve"],
        ["connect"],
        ["identity"],
    ]


@pytest.mark.parametrize(
    "command",
    [
        "socketchat --hepl",
        "socketchat serv",
        "socketchat serve --prot 1",
        "socketchat serve --port x",
        "socketchat connect a b",
    ],
)
def test_a_command_that_does_not_exist_is_found_out(command: str) -> None:
    with pytest.raises(click.UsageError):
        check(shlex.split(command))


@pytest.mark.parametrize(
    "command",
    [
        "python -m pytest tests/no_such_test.py",
        "python -m tests.simulation --sede 7",
        "pip install -e '.[tset]'",
    ],
)
def test_a_module_an_option_or_an_extra_that_does_not_exist_is_found_out(command: str) -> None:
    with pytest.raises(AssertionError):
        check(shlex.split(command))


def test_a_page_is_read_as_the_text_above_says() -> None:
    page = read_page(
        "```python\na\n```\n\n<!-- python: b.py, in a room, stays -->\n```python\nb\n```\n"
        "<!-- python: continues -->\n```python\nc\n```\n```console\n$ python b.py\nout\n```\n"
        "<!-- not run: because of that -->\n```sh\nd\n```\n"
        "<!-- sh: the server is stopped -->\n```console\n$ e \\\n  f\n1\n2\n$ g\n```\n"
    )
    assert page.steps == [
        Script("line1.py", "\na\n"),
        Script("b.py", "\n" * 6 + "b\n" + "\n" * 3 + "c\n", in_room=True, stays=True),
        Shell(18, "d\n", None, "because of that"),
        Shell(22, "e \\\n  f\n", "1\n2\n", "", "the server is stopped"),
        Shell(22, "g\n", "", "", "the server is stopped"),
    ]
    assert page.outputs == {"b.py": "out\n"}


def test_what_differs_from_run_to_run_is_not_compared() -> None:
    once = "1 of 2: port 7625, key SHA256:a/b+c from 127.0.0.1:1234 in 1.5 ms"
    again = "1 of 2: port 1, key SHA256:xyz from 127.0.0.1:45678 in 20.25 ms"
    assert comparable(once) == comparable(again + "\n")
    assert comparable("the total is 4") != comparable("the total is 7")


@pytest.mark.parametrize(
    "text",
    [
        "<!-- python: syats -->\n```python\n```\n",
        "<!-- sh: in a rom -->\n```sh\n```\n",
        "<!-- notrun: it needs another host -->\n```sh\n```\n",
        "<!-- not run: because -->\n```sh\n```\n",
        "```console\n$ python no.py\n```\n",
        "```console\nno command\n```\n",
        "```bash\n```\n",
    ],
)
def test_a_page_with_a_slip_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"what is|why is|not on the page|no command"):
        read_page(text)


@pytest.mark.skipif(sys.platform == "win32", reason="the shell is bash")
@pytest.mark.parametrize(
    "text",
    [
        "```sh\nfalse | cat\n```\n",
        "```console\n$ echo a\nb\n```\n",
        "```python\nraise SystemExit(1)\n```\n",
    ],
)
async def test_what_does_not_do_as_the_page_says_is_found_out(text: str, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        running = Running(tmp_path, stack)
        (step,) = read_page(text).steps
        with pytest.raises(AssertionError):
            await (running.run(step) if isinstance(step, Script) else running.run_shell(step))
