"""Examples of sessions over other streams, and of what is built on a session: as real processes."""

from __future__ import annotations

import asyncio
import re
import signal
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import asyncssh
import pytest
from examples import rpc

import socketchat
from socketchat.testing import session_pair
from tests.processes import DEADLINE, ROOT, Program, run, start

EXAMPLES = ROOT / "examples"
LISTENING = r"port (\d+), key (SHA256:\S+)"
#: As many texts as go over more than one write, and more callers than one.
TEXTS = [f"line {number}" for number in range(500)]


async def both_of(*calls: tuple[str | Path, ...], cwd: Path) -> list[Program]:
    """Run several callers at once; each must end well and complain of nothing."""
    ended = await asyncio.gather(*(run(*call, cwd=cwd) for call in calls))
    assert [(status, program.stderr) for status, program in ended] == [(0, [])] * len(calls)
    return [program for _, program in ended]


# unix_socket.py


@pytest.mark.may_block("it looks at the socket's file")
async def test_callers_at_a_unix_socket_are_answered_side_by_side_and_it_goes_at_sigterm(
    tmp_path: Path,
) -> None:
    script, path = EXAMPLES / "unix_socket.py", tmp_path / "shout"
    async with start(script, "serve", path, cwd=tmp_path) as server:
        await server.prints("^listening on")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        call: tuple[str | Path, ...] = (script, "call", path, *TEXTS)
        for caller in await both_of(call, call, cwd=tmp_path):
            assert caller.stdout == [text.upper() for text in TEXTS]

        reader, writer = await asyncio.open_unix_connection(path)
        async with await socketchat.Session.from_streams(
            reader, writer, side=socketchat.Side.CLIENT
        ) as session:
            assert await server.ends_by(signal.SIGTERM) == 0
            with pytest.raises(socketchat.SessionClosedOK):  # it was said goodbye to
                await session.recv()
        assert not path.exists()
        assert not server.stderr
    status, caller = await run(script, "call", path, "hello", cwd=tmp_path)
    assert (status, len(caller.stderr)) == (1, 1)


# ssh_channel.py


@pytest.mark.may_block("it writes keys")
async def test_a_session_runs_over_an_ssh_channel_for_those_whom_ssh_lets_in(
    tmp_path: Path,
) -> None:
    for name in ("host_key", "ada_key", "eve_key"):
        key = asyncssh.generate_private_key("ssh-ed25519")
        key.write_private_key(tmp_path / name)
        key.write_public_key(tmp_path / f"{name}.pub")
    serve = ("serve", "--host-key", "host_key", "--authorized", "ada_key.pub")
    script, known_hosts = EXAMPLES / "ssh_channel.py", tmp_path / "known_hosts"
    async with start(script, "--port", "0", *serve, cwd=tmp_path) as server:
        port = (await server.prints(r"^listening on port (\d+)$"))[1]
        public = (tmp_path / "host_key.pub").read_text()
        known_hosts.write_text(f"[127.0.0.1]:{port} {public}")
        call = (script, "--port", port, "call", "127.0.0.1", "--known-hosts", known_hosts, "--key")
        (caller,) = await both_of((*call, "ada_key", *TEXTS), cwd=tmp_path)
        assert [line.partition(" says ")[2] for line in caller.stdout] == TEXTS

        status, stranger = await run(*call, "eve_key", "hello", cwd=tmp_path)
        assert (status, stranger.stdout) == (1, [])
        assert stranger.stderr[-1].startswith("ssh_channel: Permission denied")

        async with asyncssh.connect(
            "127.0.0.1",
            int(port),
            known_hosts=str(known_hosts),
            client_keys=[str(tmp_path / "ada_key")],
            config=None,
        ) as connection:
            assert (await connection.run("ls")).exit_status == 1  # it gives nobody a shell
        assert await server.ends_by(signal.SIGTERM) == 0
        assert not server.stderr


# rpc.py


@asynccontextmanager
async def rpc_pair(**functions: rpc.Function) -> AsyncIterator[tuple[rpc.Rpc, rpc.Rpc]]:
    """Two ends, of which the second has functions."""
    async with session_pair() as (near, far):
        caller, answerer = rpc.Rpc(near), rpc.Rpc(far, **functions)
        running = [asyncio.create_task(end.run()) for end in (caller, answerer)]
        yield caller, answerer
        await near.close()
        await asyncio.gather(*running)


async def test_calls_between_programs_run_side_by_side_and_can_be_cancelled(
    tmp_path: Path,
) -> None:
    script = EXAMPLES / "rpc.py"
    async with start(script, "serve", "--port", "0", cwd=tmp_path) as server:
        found = await server.prints(LISTENING)
        call = (script, "call", "--port", found[1], "--fingerprint", found[2])
        async with start(*call, "wait", "3600", cwd=tmp_path) as waiting:
            await server.prints("^asked to wait")
            added, failed = await asyncio.gather(
                run(*call, "add", "3", "4", cwd=tmp_path),
                run(*call, "add", '"three"', "4", cwd=tmp_path),
            )
            assert (added[0], added[1].stdout) == (0, ["7"])
            assert failed[0] == 1
            assert failed[1].stderr[0].startswith("rpc: TypeError: ")
            assert await waiting.ends_by(signal.SIGTERM) == 0
            await server.prints("^no longer wanted$")
        assert await server.ends_by(signal.SIGINT) == 0
        assert not server.stderr


@pytest.mark.virtual_time
async def test_three_hundred_calls_are_each_answered_whatever_order_they_end_in() -> None:
    async def later(number: int) -> int:
        await asyncio.sleep(1 / (1 + number % 7))
        return -number

    async with rpc_pair(later=later) as (caller, _):
        for first in range(0, 300, rpc.MOST):
            numbers = range(first, first + rpc.MOST)
            answers = await asyncio.gather(*(caller.call("later", number) for number in numbers))
            assert answers == [-number for number in numbers]


@pytest.mark.virtual_time
async def test_a_call_fails_if_there_is_no_such_function_too_many_run_or_the_other_goes() -> None:
    async with rpc_pair(wait=rpc.wait) as (caller, answerer):
        with pytest.raises(rpc.CallFailed, match="there is no function 'wit'"):
            await caller.call("wit")
        calls = [asyncio.create_task(caller.call("wait", 60)) for _ in range(rpc.MOST)]
        await asyncio.sleep(1)
        with pytest.raises(rpc.CallFailed, match="too many calls"):
            await caller.call("wait", 60)
        calls[0].cancel()
        await asyncio.sleep(1)  # one place is free again
        assert await caller.call("wait", 0) == "0 seconds have passed"
        await answerer.session.close()
        ended = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(each) for each in ended] == [
            asyncio.CancelledError,
            *[rpc.CallFailed] * (rpc.MOST - 1),
        ]


@pytest.mark.virtual_time
async def test_an_answer_that_meets_its_cancellation_harms_no_other_call() -> None:
    async def at_once() -> int:
        return 1

    async with rpc_pair(at_once=at_once, wait=rpc.wait) as (caller, _):
        other = asyncio.create_task(caller.call("wait", 1))
        for turns in range(20):  # of the event loop, after which the call is cancelled
            call = asyncio.create_task(caller.call("at_once"))
            for _ in range(turns):
                await asyncio.sleep(0)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
        assert await other == "1 seconds have passed"


@pytest.mark.virtual_time
async def test_calls_that_were_taken_by_one_who_has_restarted_fail_and_others_go_on() -> None:
    async with session_pair(reconnect=True) as pair:
        caller = rpc.Rpc(pair.client)
        calling = asyncio.create_task(caller.run())
        answering = asyncio.create_task(rpc.Rpc(pair.server, wait=rpc.wait).run())
        call = asyncio.create_task(caller.call("wait", 60))
        await asyncio.sleep(1)
        pair.server.abort()
        with pytest.raises(socketchat.SessionClosedError):
            await answering
        await pair.rejoin()
        answering = asyncio.create_task(rpc.Rpc(pair.server, wait=rpc.wait).run())
        with pytest.raises(rpc.CallFailed, match="gone or restarted"):
            await call
        assert await caller.call("wait", 1) == "1 seconds have passed"
        await pair.client.close()
        await asyncio.gather(calling, answering)


# web_room.py


async def test_pages_and_terminals_are_in_one_room_and_all_is_closed_at_sigterm(
    tmp_path: Path,
) -> None:
    args = (EXAMPLES / "web_room.py", "--port", "0", "--chat-port", "0", "--data", "web")
    async with (
        asyncio.timeout(DEADLINE),
        start(*args, cwd=tmp_path) as service,
        aiohttp.ClientSession() as browser,
    ):
        url = "http://127.0.0.1:" + (await service.prints(r"^page at port (\d+)$"))[1]
        port, key = (await service.prints(rf"^room at {LISTENING}$")).groups()
        async with browser.get(url) as answer:
            assert "new WebSocket" in await answer.text()
        for origin in ("http://elsewhere.example", None):
            with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
                await browser.ws_connect(f"{url}/room", origin=origin)
        async with (
            browser.ws_connect(f"{url}/room?nick=ada", origin=url) as page,
            socketchat.connect("127.0.0.1", int(port), nick="grace", trust=key) as terminal,
        ):
            said = [f"<b>{text}</b>" for text in TEXTS[:20]]
            for text in said:
                await page.send_str(text)
            assert [(await terminal.recv()).text for _ in said] == said
            await terminal.send("all of it is here")
            shown = [await page.receive_json() for _ in range(len(said) + 1)]
            assert shown == [
                *({"from": "ada", "text": text} for text in said),
                {"from": "grace", "text": "all of it is here"},
            ]
            service.process.send_signal(signal.SIGTERM)
            assert (await page.receive()).type is aiohttp.WSMsgType.CLOSE
            with pytest.raises(socketchat.SessionClosedOK):
                await terminal.recv()
        assert await service.ends() == 0
        assert not [line for line in service.stderr if not re.search(r'"GET /\S* HTTP', line)]
