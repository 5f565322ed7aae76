"""What `socketchat.cli.console_printer` promises of its backlog; the rest is in `test_console`."""

from __future__ import annotations

from socketchat.cli.console_printer import MAX_BACKLOG, Backlog


def rows_of(number: int) -> list[list[tuple[str, str]]]:
    return [[("", f"row {number}")]]


def test_a_batch_takes_the_oldest_rows_and_breaks_long_messages() -> None:
    backlog = Backlog(fold=False)
    shown: list[str] = []
    backlog.put(rows_of(1) * 3, then=lambda: shown.append("a"), may_fold=True)
    backlog.put(rows_of(2), then=lambda: shown.append("b"), may_fold=True)
    rows, then = backlog.take(2)
    assert (rows, then) == (rows_of(1) * 2, [])
    rows, then = backlog.take(10)
    assert rows == rows_of(1) + rows_of(2)
    for call in then:
        call()
    assert shown == ["a", "b"]
    assert backlog.take(10) == ([], [])
    assert backlog.rows == 0


def test_a_long_backlog_is_folded_where_it_can_be_read_again() -> None:
    backlog = Backlog(fold=True)
    for number in range(10_000):
        backlog.put(rows_of(number), may_fold=number != 10)
        assert backlog.rows <= MAX_BACKLOG
    rows, _then = backlog.take(MAX_BACKLOG)
    (folded,) = rows.pop(0)
    assert folded == ("class:notice", f"… {10_000 - len(rows):,} more, /history")
    assert rows[0] == rows_of(10)[0]  # what may not be folded is kept
    assert rows[-1] == rows_of(9_999)[0]
    assert backlog.take(10) == ([], [])


def test_what_may_not_be_folded_is_never_lost() -> None:
    backlog = Backlog(fold=True)
    for number in range(2 * MAX_BACKLOG):
        backlog.put(rows_of(number), may_fold=False)
    assert len(backlog.take(10_000)[0]) == 2 * MAX_BACKLOG
