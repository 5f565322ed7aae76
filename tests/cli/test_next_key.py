"""Claims about `socketchat.cli.next_key`: what a server announces while it runs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from socketchat import Identity, Session, serve
from socketchat.cli import next_key
from socketchat.cli.next_key import announce_next_key, next_pin
from socketchat.trust.identity import NEXT
from tests.sessions import until


def test_the_next_key_is_the_one_made_for_it(tmp_path: Path) -> None:
    shown = Identity.load_or_generate(tmp_path).fingerprint
    assert next_pin(tmp_path, shown) == ""
    following = Identity.next(tmp_path).fingerprint
    assert next_pin(tmp_path, shown) == following


def test_a_key_that_was_put_into_use_is_the_next_one_of_the_server_that_runs(
    tmp_path: Path,
) -> None:
    shown = Identity.load_or_generate(tmp_path).fingerprint
    following = Identity.next(tmp_path).fingerprint
    Identity.rotate(tmp_path)
    assert next_pin(tmp_path, shown) == following
    Identity.next(tmp_path)
    assert next_pin(tmp_path, shown) == following
    assert next_pin(tmp_path, following) == Identity.next_pin(tmp_path)


@contextlib.asynccontextmanager
async def watched(directory: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[str]]:
    """Have a server announce what lies in a directory; gives what it has announced."""

    async def nobody(_session: Session) -> None:
        """Do nothing."""

    monkeypatch.setattr(next_key, "PERIOD", 0.001)
    announced: list[str] = []
    identity = await asyncio.to_thread(Identity.load_or_generate, directory)
    async with serve(nobody, "127.0.0.1", 0, identity=identity) as it:
        monkeypatch.setattr(it, "announce", announced.append)
        watching = asyncio.create_task(announce_next_key(it, directory))
        yield announced
        watching.cancel()
        await asyncio.wait([watching])


@pytest.mark.may_block(reason="server_context")
async def test_a_change_is_announced_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with watched(tmp_path, monkeypatch) as announced:
        await until(lambda: announced == [""])
        made = await asyncio.to_thread(Identity.next, tmp_path)
        await until(lambda: announced == ["", made.fingerprint])
        await asyncio.to_thread((tmp_path / NEXT).unlink)
        await until(lambda: announced == ["", made.fingerprint, ""])


@pytest.mark.may_block(reason="server_context")
async def test_a_file_that_is_damaged_changes_nothing_but_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with watched(tmp_path, monkeypatch) as announced:
        await until(lambda: announced == [""])
        await asyncio.to_thread((tmp_path / NEXT).write_bytes, b"rubbish")
        await until(lambda: "announced as before" in caplog.text)
        assert announced == [""]
