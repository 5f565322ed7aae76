"""A server answers as `docs/conformance` says, by two programs that know nothing of its code."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec
import pytest

import socketchat
from socketchat import messages
from tests.interop.conformance import CASES, DOCS, TABLES, operator, run
from tests.interop.peer import HERE, needs_node, node, reports
from tests.interop.plain import echo
from tests.interop.servers import KINDS, Address, all_servers
from tests.processes import ROOT, start

ALL = {(case.file, case.name) for case in CASES}


def test_each_case_is_about_a_section_of_the_protocol() -> None:
    text = (DOCS / "protocol.md").read_text("utf-8")
    titles = re.findall(r"^#+ (.*)$|^\*\*(.*?)\.\*\*", text, re.MULTILINE)
    anchors = {"-".join((one or other).lower().split()) for one, other in titles}
    assert {case.section for case in CASES} <= anchors


def test_each_case_has_a_name_of_its_own() -> None:
    assert len(ALL) == len(CASES)


def test_every_kind_of_message_is_said_or_heard_in_the_cases() -> None:
    text = json.dumps([case.steps for case in CASES])
    assert {name for name in TABLES if f'"type": "{name}"' in text} | {"Refused"} == set(TABLES)


def test_there_is_a_server_for_each_case() -> None:
    assert {case.server for case in CASES} == set(KINDS)


async def test_the_server_answers_the_cases_as_python_says_them(tmp_path: Path) -> None:
    async with all_servers(tmp_path, operator()) as servers:
        command = ("-m", "tests.interop", *named(servers))
        async with start(*command, cwd=ROOT) as program:
            assert await program.ends() == 0, str(program)
        seen, wrong = reports(program.stdout)
    assert wrong == []
    assert seen == ALL


@needs_node
async def test_the_server_answers_the_cases_as_a_second_peer_says_them(tmp_path: Path) -> None:
    async with all_servers(tmp_path, operator()) as servers:
        seen, wrong = reports(await node(HERE / "cases.mjs", DOCS, *named(servers)))
    assert wrong == []
    assert seen == ALL


@pytest.mark.may_block("log lines are written")
async def test_a_server_that_breaks_the_protocol_does_not_pass(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encode = messages.encode

    def forgetful(message: messages.WireMessage) -> bytes:
        if isinstance(message, messages.Welcome):
            message = msgspec.structs.replace(message, mark=0)
        return encode(message)

    (case,) = (it for it in CASES if it.name == "a session goes on behind what is held")
    # Sessions whose clients are gone are not waited for.
    serving = socketchat.serve(echo, "127.0.0.1", 0, tls=False, close_timeout=0.1)
    async with serving as server:
        address = Address(server.port, "")
        assert await run(case, address) == ""
        monkeypatch.setattr(messages, "encode", forgetful)
        assert "Welcome.mark is 0, not 2" in await run(case, address)


def named(servers: dict[str, Address]) -> list[str]:
    return [f"{name}={server}" for name, server in servers.items()]
