"""Claims about `socketchat.cli.responder`: what it answers, and that nothing upsets it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from socketchat.cli import responder
from socketchat.cli.responder import MAX_CONNECTIONS, MAX_REQUEST, Page, Responder
from tests.sessions import until

pytestmark = pytest.mark.both_loops

GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
BROKEN = "what is wrong"


async def ok() -> Page:
    return Page("ok\n")


async def sick() -> Page:
    return Page(f"{BROKEN}\n", HTTPStatus.SERVICE_UNAVAILABLE)


async def bug() -> Page:
    raise ZeroDivisionError("a secret")


async def never() -> Page:
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


@asynccontextmanager
async def answering() -> AsyncIterator[tuple[Responder, int]]:
    """Start one on a free port."""
    it = Responder({"/healthz": ok, "/sick": sick, "/bug": bug, "/never": never})
    await it.start("127.0.0.1", 0)
    try:
        yield it, it.sockets[0].getsockname()[1]
    finally:
        await it.stop()


async def ask(port: int, request: bytes, *, ends: bool = False) -> bytes:
    """Say something, and return all of the answer; perhaps hang up before."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        if ends:
            writer.write_eof()
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


def status(answer: bytes) -> int:
    """Return the status of an answer, which must be a whole one."""
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *fields = head.decode("ascii").split("\r\n")
    version, code, _ = first.split(" ", 2)
    assert version == "HTTP/1.1"
    values = dict(field.split(": ", 1) for field in fields)
    assert values["Connection"] == "close"
    assert int(values["Content-Length"]) == len(body)
    assert values["Date"].endswith(" GMT")
    return int(code)


async def test_a_page_is_answered() -> None:
    async with answering() as (_, port):
        answer = await ask(port, GET)
        assert status(answer) == 200
        assert b"\r\nContent-Type: text/plain; charset=utf-8\r\n" in answer
        assert answer.endswith(b"\r\n\r\nok\n")
        answer = await ask(port, GET.replace(b"/healthz", b"/sick"))
        assert (status(answer), answer.split(b"\r\n")[-1]) == (503, b"what is wrong\n")


async def test_head_is_answered_without_the_page() -> None:
    async with answering() as (_, port):
        whole, head = await ask(port, GET), await ask(port, GET.replace(b"GET", b"HEAD"))
        assert head.partition(b"Content-Type")[2] == whole.partition(b"Content-Type")[2][:-3]


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /healthz HTTP/1.0\r\n\r\n",
        b"GET /healthz HTTP/1.1\nhost: x\n\n",
        b"GET /healthz?a=b HTTP/1.1\r\nHOST:\r\nAccept: */*\r\n\r\n",
        b"GET http://localhost:9100/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
        GET + GET,
        GET + b"x" * 200_000,
        GET[:-2] + b"X: " + b"x" * 8000 + b"\r\n\r\n",
        GET[:-2] + b"X: \xff\x1b[2J\r\n\r\n",
    ],
)
async def test_a_request_may_be_written_in_many_ways(request_: bytes) -> None:
    async with answering() as (_, port):
        assert status(await ask(port, request_)) == 200


async def test_a_request_may_come_in_pieces() -> None:
    async with answering() as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for byte in GET:
            writer.write(bytes([byte]))
            await writer.drain()
        assert status(await reader.read()) == 200
        writer.close()


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"GET /healthz/../secret HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"GET /%68ealthz HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"GET http://x HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"POST / HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (GET.replace(b"GET", b"POST"), 405),
        (GET.replace(b"GET", b"get"), 405),
        (GET.replace(b"GET", b"DELETE"), 405),
        (GET.replace(b"/healthz", b"/bug"), 500),
        (GET.replace(b"1.1", b"2.0"), 505),
        (GET.replace(b"1.1", b"0.9"), 505),
        (GET.replace(b"1.1", b"11"), 400),
        (GET.replace(b" HTTP/1.1", b""), 400),
        (GET.replace(b"/healthz", b"/\xff"), 400),
        (GET.replace(b"/healthz", b"/a b"), 400),
        (b"\r\n" + GET, 400),
        (b"GET /healthz HTTP/1.1\r\n\r\n", 400),
        (GET[:-2] + b"Host: again\r\n\r\n", 400),
        (GET[:-2] + b"no colon\r\n\r\n", 400),
        (GET[:-2] + b" folded: x\r\n\r\n", 400),
        (GET[:-2] + b"X : x\r\n\r\n", 400),
        (GET[:-2] + b"X: \0\r\n\r\n", 400),
        (GET[:-2] + b"X: a\rY: b\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"\n\n", 400),
        (b"x" * (MAX_REQUEST + 1), 431),
        (b"x" * 10 * MAX_REQUEST, 431),
        (GET[:-2] + b"X: " + b"x" * MAX_REQUEST + b"\r\n\r\n", 431),
    ],
)
@pytest.mark.may_block("a page's bug is logged")
async def test_what_is_wrong_is_answered_with_why(request_: bytes, code: int) -> None:
    async with answering() as (_, port):
        answer = await ask(port, request_)
        assert status(answer) == code
        assert (b"\r\nAllow: GET, HEAD\r\n" in answer) == (code == 405)
        assert b"secret" not in answer
        assert status(await ask(port, GET)) == 200


@pytest.mark.parametrize("part", [b"", b"G", GET[:-1], b"GET /healthz HTTP/1.1\r\n"])
async def test_half_a_request_is_a_bad_one(part: bytes) -> None:
    async with answering() as (_, port):
        assert status(await ask(port, part, ends=True)) == 400


async def test_who_hangs_up_at_once_does_no_harm() -> None:
    async with answering() as (_, port):
        for request in (b"", b"GET", GET, GET + b"x" * 100_000):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request)
            writer.transport.abort()
        assert status(await ask(port, GET)) == 200


@pytest.mark.parametrize(
    "request_", [b"", b"GET ", GET.replace(b"/healthz", b"/never")], ids=["silent", "half", "slow"]
)
async def test_nobody_stays_for_long(monkeypatch: pytest.MonkeyPatch, request_: bytes) -> None:
    monkeypatch.setattr(responder, "DEADLINE", 0.05)
    async with answering() as (_, port):
        assert await ask(port, request_) == b""


async def test_who_does_not_hang_up_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(responder, "DEADLINE", 0.05)
    async with answering() as (it, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET)
        assert status(await reader.read()) == 200
        while it._tasks:
            await asyncio.wait(set(it._tasks))
        writer.close()


async def test_there_are_only_so_many_at_once() -> None:
    async with answering() as (it, port):
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(MAX_CONNECTIONS)]
        assert await ask(port, GET) == b""
        assert len(it._tasks) == MAX_CONNECTIONS
        for _, writer in silent:
            writer.close()
        while not (answer := await ask(port, GET)):
            pass
        assert status(answer) == 200


async def test_the_end_of_it_ends_what_is_under_way() -> None:
    async with answering() as (it, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET.replace(b"/healthz", b"/never"))
        await until(lambda: it._tasks)
        await it.stop()
        with suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()
        with pytest.raises(OSError, match="onnect"):
            await asyncio.open_connection("127.0.0.1", port)


@settings(max_examples=25)
@given(noise=st.lists(st.binary(max_size=300), min_size=1, max_size=20))
async def test_whatever_is_said_is_answered_or_hung_up_on(noise: list[bytes]) -> None:
    async with answering() as (_, port):
        for each in noise:
            answer = await ask(port, each, ends=True)
            assert not answer or status(answer) in (200, 400, 404, 405, 431, 505)
        assert status(await ask(port, GET)) == 200
