"""A server answers as `docs/conformance` says, by two programs that know nothing of its code."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from tests.interop.conformance import CASES, DOCS, TABLES, operator, run
from tests.interop.servers import Address, all_servers
from tests.processes import DEADLINE

HERE = Path(__file__).parent
NODE = shutil.which("node")

pytestmark = pytest.mark.may_block("log lines are written, and certificates made")

#: CI must have it: see `.ci/run`.
needs_node = pytest.mark.skipif(
    NODE is None and not os.environ.get("SOCKETCHAT_TEST_FAULTS"), reason="there is no node"
)


async def node(*args: str | Path) -> list[str]:
    """Run one of the peer's programs, and return the lines that it prints."""
    assert NODE is not None, "node is not here: apt-get install -y nodejs"
    process = await asyncio.create_subprocess_exec(NODE, *map(str, args), stdout=PIPE, stderr=PIPE)
    try:
        async with asyncio.timeout(DEADLINE):
            out, complaints = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, complaints.decode()
    return out.decode().splitlines()


def reports(lines: list[str]) -> tuple[set[tuple[str, str]], list[str]]:
    """Return which vectors or cases were looked at, and what is wrong with them."""
    read = [json.loads(line) for line in lines]
    wrong = [f"{one['file']}: {one['name']}: {one['error']}" for one in read if one["error"]]
    return {(one["file"], one["name"]) for one in read}, wrong


# ---- the cases ----


def test_each_case_is_about_a_section_of_the_protocol() -> None:
    text = (DOCS / "protocol.md").read_text("utf-8")
    titles = re.findall(r"^#+ (.*)$|^\*\*(.*?)\.\*\*", text, re.MULTILINE)
    anchors = {"-".join((one or other).lower().split()) for one, other in titles}
    assert {case.section for case in CASES} <= anchors


def test_each_case_has_a_name_of_its_own() -> None:
    assert len({(case.file, case.name) for case in CASES}) == len(CASES)


def test_every_kind_of_message_is_said_or_heard_in_the_cases() -> None:
    text = json.dumps([case.steps for case in CASES])
    assert {name for name in TABLES if f'"type": "{name}"' in text} | {"Refused"} == set(TABLES)


async def test_the_server_answers_the_cases_as_python_says_them(tmp_path: Path) -> None:
    async def for_one(name: str, server: Address) -> list[str]:
        return [await run(case, server) for case in CASES if case.server == name]

    async with all_servers(tmp_path, operator()) as servers:
        assert {case.server for case in CASES} == set(servers)
        found = await asyncio.gather(*(for_one(*server) for server in servers.items()))
    assert [wrong for each in found for wrong in each if wrong] == []


@needs_node
async def test_the_server_answers_the_cases_as_a_second_peer_says_them(tmp_path: Path) -> None:
    async with all_servers(tmp_path, operator()) as servers:
        named = [f"{name}={server}" for name, server in servers.items()]
        seen, wrong = reports(await node(HERE / "cases.mjs", DOCS, *named))
    assert wrong == []
    assert seen == {(case.file, case.name) for case in CASES}
