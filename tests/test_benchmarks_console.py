"""The benchmark of the console still runs, and sees what it is there to see. Not how fast it is."""

from __future__ import annotations

import pytest

from tests.benchmarks.console.__main__ import main, percentile
from tests.benchmarks.console.recording import Key, Recording
from tests.benchmarks.console.replay import replay, wrong_rows
from tests.benchmarks.console.workload import line, mark


def frame(text: str) -> bytes:
    return f"\x1b[?2026h{text}\x1b[?2026l".encode()


def row(number: int) -> str:
    return f"12:01 bob: {line(number)}"


def recorded(*frames: bytes, keys: list[Key]) -> Recording:
    """A recording in which a frame came each second, from 1 on."""
    recording = Recording(keys=keys)
    for second, one in enumerate(frames, 1):
        recording.add(second, one)
    return recording


def test_a_flood_and_a_backlog_are_measured(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["--rounds", "1", "--lines", "300"])

    printed = capsys.readouterr().out
    assert "| flood " in printed
    assert "| backlog " in printed
    # On a busy machine the bounds need not hold; but nothing else may be wrong.
    complaints = [text for text in printed.splitlines() if text.startswith(("flood", "backlog"))]
    assert all(text.endswith((" ms", " s", "typed")) for text in complaints), printed
    assert status == bool(complaints)


def test_the_echo_is_there_with_the_frame_that_has_all_that_was_typed() -> None:
    recording = recorded(
        frame(">> "),
        frame("a"),
        frame(f"\r\x1b[J{row(1)}\r\n>> a"),  # drawn anew, and without what was typed since
        frame("bc"),
        keys=[Key(1.5, "a"), Key(2.25, "ab"), Key(2.5, "abc")],
    )

    found = replay(recording, start=0.5, lines=1)

    assert found.echoes == [0.5, 1.75, 1.5]
    assert found.seconds == 2.5
    assert found.faults == []


def test_a_frame_is_shown_at_its_end_only() -> None:
    first, second = frame(">> a"), frame(f"\r\x1b[J{row(1)}\r\n>> a")
    recording = recorded(first[:-3], first[-3:] + second[:-1], second[-1:], keys=[Key(0.5, "a")])

    found = replay(recording, start=0.5, lines=1)

    assert found.echoes == [1.5]
    assert found.seconds == 2.5


def test_an_echo_in_another_row_is_none() -> None:
    recording = recorded(frame(f">> a\r\n{row(1)}\r\n>> "), keys=[Key(0.5, "a")])

    assert replay(recording, start=0.5, lines=1).faults == ["1 keys have no echo"]


@pytest.mark.parametrize(
    "rows",
    [
        [row(1), row(3)],
        [row(1), row(3), row(2)],
        [row(1), row(2), row(2), row(3)],
        [row(1), row(2).replace("brown", "browxn"), row(3)],
        [row(1), row(2), row(3), "x"],
        [row(1), row(2), "x" + row(3)],
    ],
    ids=["lost", "order", "twice", "key", "stray", "shifted"],
)
def test_what_is_wrong_on_the_screen_is_found(rows: list[str]) -> None:
    assert wrong_rows(rows, 3)


def test_what_the_console_says_itself_is_not_wrong() -> None:
    rows = [
        "connected",
        row(1),
        "-- bob left",
        row(2),
        "── new ──",
        row(3),
        ">> abc",
        "",
        "lobby · x",
    ]
    assert wrong_rows(rows, 3) == []


def test_no_line_has_another_ones_mark() -> None:
    assert all(line(number).count(mark(1)) == (number == 1) for number in range(1, 200))


@pytest.mark.parametrize(("percent", "value"), [(50, 50), (99, 99), (100, 100), (0.5, 1)])
def test_a_percentile_is_one_of_the_values(percent: float, value: int) -> None:
    assert percentile([float(one) for one in range(100, 0, -1)], percent) == value
