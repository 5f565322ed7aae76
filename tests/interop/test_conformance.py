"""A server answers as `docs/conformance` says, by two programs that know nothing of its code."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest

from tests.interop.conformance import CASES, DOCS, TABLES, operator, run
from tests.interop.peer import HERE, needs_node, node, reports
from tests.interop.servers import Address, all_servers

pytestmark = pytest.mark.may_block("log lines are written, and certificates made")


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
