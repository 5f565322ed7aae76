"""Claims about programs that are killed and started again."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.chaos.programs import Ended, Program

pytestmark = pytest.mark.may_block("it opens logs")

#: Says which life it is in, and waits for the end of its input.
WAITS = "import sys; print(sys.argv[1], flush=True); sys.stdin.read()"


def program(tmp_path: Path, code: str) -> Program:
    def arguments(life: int) -> Sequence[str]:
        return ["-c", code, str(life)]

    return Program("it", arguments, tmp_path / "log")


async def test_a_program_that_is_killed_is_started_again(tmp_path: Path) -> None:
    it = program(tmp_path, WAITS)
    running = asyncio.create_task(it.run())
    for life in (1, 2, 3):
        await it.there.wait()
        assert it.lives == life
        if life < 3:
            await it.kill()
            it.there.clear()
    it.end()
    await running
    assert (it.kills, it.young) == (2, 0)


async def test_one_that_is_killed_before_it_says_a_word_is_started_again(tmp_path: Path) -> None:
    it = program(tmp_path, WAITS)
    running = asyncio.create_task(it.run())
    await it.kill()
    await it.there.wait()
    it.end()
    await running
    assert (it.lives, it.young) == (2, 1)


@pytest.mark.parametrize("code", ["pass", "raise SystemExit('for a reason')"])
async def test_one_that_ends_by_itself_has_failed(tmp_path: Path, code: str) -> None:
    it = program(tmp_path, code)
    with pytest.raises(Ended, match="it has ended") as caught:
        await it.run()
    assert ("for a reason" in str(caught.value)) == (code != "pass")


async def test_one_that_may_end_by_itself_is_started_again(tmp_path: Path) -> None:
    code = "import sys; sys.exit(3) if sys.argv[1] == '1' else print(flush=True); sys.stdin.read()"
    it = Program("it", lambda life: ["-c", code, str(life)], tmp_path / "log", again=(3,))
    running = asyncio.create_task(it.run())
    await it.there.wait()
    it.end()
    await running
    assert (it.lives, it.kills) == (2, 0)


async def test_one_that_fails_in_the_moment_of_its_kill_has_failed(tmp_path: Path) -> None:
    it = program(tmp_path, "import sys; print(flush=True); sys.stdin.read(); sys.exit(3)")
    running = asyncio.create_task(it.run())
    await it.there.wait()
    process = it._process
    assert process is not None
    assert process.stdin is not None
    process.stdin.close()
    while process.returncode is None:  # noqa: ASYNC110 - a process has no event to wait for
        await asyncio.sleep(0)
    await it.kill()
    with pytest.raises(Ended, match="status 3"):
        await running


async def test_one_that_has_ended_for_good_is_not_waited_for(tmp_path: Path) -> None:
    it = program(tmp_path, "pass")
    with pytest.raises(Ended):
        await it.run()
    await it.kill()


async def test_whoever_gives_up_leaves_no_process(tmp_path: Path) -> None:
    it = program(tmp_path, WAITS)
    running = asyncio.create_task(it.run())
    await it.there.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert it._process is not None
    assert it._process.returncode == -signal.SIGKILL
