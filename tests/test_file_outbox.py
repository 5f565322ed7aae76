"""What `socketchat.file_outbox` adds to an outbox: it outlives its process, and harms no other.

What holds for every outbox is in `test_outbox.py`. Processes are real here, and are killed.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketchat import file_outbox
from socketchat.errors import LocalProtocolError
from socketchat.file_outbox import FileOutbox
from socketchat.lanes import Lanes
from socketchat.messages import TextPost, decode
from socketchat.outbox import Outgoing
from socketchat.receipt import Receipt
from tests.core import outgoing

LABEL = "example.org:7625/lobby"

Post: TypeAlias = tuple[int, bytes, int]


def create(directory: Path, *numbers: int, label: str = LABEL) -> FileOutbox:
    """Make an outbox with posts of ten bytes each."""
    outbox = FileOutbox.create(directory, label, 10_000, 2**30)
    for number in numbers:
        outbox.append(outgoing(number))
    return outbox


def leave(directory: Path, *numbers: int, label: str = LABEL) -> Path:
    """Leave posts undelivered in a file, as a session does at its end, and return its path."""
    outbox = create(directory, *numbers, label=label)
    outbox.clear()
    outbox.close()
    return outbox.path


def posts_in(outbox: FileOutbox) -> list[Post]:
    return [(post.number, post.frame, post.at) for post in outbox]


def found_in(directory: Path, label: str | None = None) -> dict[bytes, list[Post]]:
    """Return what a process that starts now finds there: posts by their lanes, oldest first."""
    with ExitStack() as stack:
        found = FileOutbox.leftovers(directory, label)
        for outbox in found:
            stack.callback(outbox.close)
        return {outbox.lane: posts_in(outbox) for outbox in found}


def numbers_in(directory: Path, label: str | None = None) -> list[int]:
    """Return the numbers of all posts that are found there."""
    return [number for posts in found_in(directory, label).values() for number, _, _ in posts]


@contextmanager
def process(directory: Path, script: str) -> Iterator[subprocess.Popen[str]]:
    """Run a script in a process of its own, which is killed at the end."""
    prelude = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from socketchat.file_outbox import FileOutbox\n"
        "from tests.test_file_outbox import create, outgoing, posts_in\n"
        "directory = Path(sys.argv[1])\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", prelude + script, str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent,
    ) as running:
        try:
            yield running
        finally:
            running.kill()


def line_of(running: subprocess.Popen[str]) -> str:
    """Return the next line that a process prints; it fails if there is none."""
    assert running.stdout is not None
    line = running.stdout.readline()
    assert line, "the process ended"
    return line.strip()


def kill(running: subprocess.Popen[str]) -> list[str]:
    """Kill a process and return the whole lines that it had printed and nobody has read."""
    running.kill()
    assert running.stdout is not None
    lines = running.stdout.read().split("\n")
    running.wait()
    return lines[:-1]


# ---- a process is killed ----

APPEND = """
outbox = create(directory)
for number in range(1, 1_000_000):
    outbox.append(outgoing(number, {size}))
    os.write(1, b"%d\\n" % number)
"""

DELIVER = """
outbox = create(directory)
for number in range(1, 1_000_000):
    outbox.append(outgoing(number, {size}))
    if number > 5:
        outbox.acknowledge(number - 5)
        os.write(1, b"%d\\n" % (number - 5))
"""


@pytest.mark.parametrize(("size", "lines"), [(10, 1), (10, 777), (3000, 100), (200_000, 20)])
def test_a_killed_process_leaves_exactly_what_was_appended(
    tmp_path: Path, size: int, lines: int
) -> None:
    with process(tmp_path, APPEND.format(size=size)) as running:
        for _ in range(lines - 1):
            line_of(running)
        last = int([line_of(running), *kill(running)][-1])
    posts = next(iter(found_in(tmp_path).values()))
    numbers = [number for number, _, _ in posts]
    # The kill may have come between the last append and the report of it.
    assert numbers == list(range(1, last + 1)) or numbers == list(range(1, last + 2))
    assert all(frame == outgoing(number, size).frame for number, frame, _ in posts)


@pytest.mark.parametrize(("size", "lines"), [(10, 1), (10, 777), (3000, 100), (200_000, 20)])
def test_a_killed_process_leaves_nothing_of_what_was_acknowledged(
    tmp_path: Path, size: int, lines: int
) -> None:
    with process(tmp_path, DELIVER.format(size=size)) as running:
        for _ in range(lines - 1):
            line_of(running)
        last = int([line_of(running), *kill(running)][-1])
    numbers = numbers_in(tmp_path)
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    assert numbers[0] in (last + 1, last + 2)
    assert 5 <= len(numbers) <= 6


def test_what_a_killed_process_left_is_delivered_once_under_its_lane(tmp_path: Path) -> None:
    script = "box = create(directory, 1, 2)\nprint(box.lane.hex(), flush=True)\nsys.stdin.read()"
    with process(tmp_path, script) as running:
        lane = bytes.fromhex(line_of(running))
        kill(running)
    (outbox,) = FileOutbox.leftovers(tmp_path)
    assert (outbox.lane, outbox.label) == (lane, LABEL)
    assert [post.number for post in outbox.acknowledge(2)] == [1, 2]
    outbox.close()
    assert found_in(tmp_path) == {}
    assert list(tmp_path.iterdir()) == []


def test_a_process_killed_while_it_sends_leftovers_leaves_the_rest_of_them(tmp_path: Path) -> None:
    leave(tmp_path, 1, 2, 3, 4)
    script = (
        "outbox, = FileOutbox.leftovers(directory)\n"
        "outbox.acknowledge(1)\noutbox.reject(3)\n"
        "print('done', flush=True)\nsys.stdin.read()"
    )
    with process(tmp_path, script) as running:
        line_of(running)
        kill(running)
    assert numbers_in(tmp_path) == [2, 4]


def test_a_process_killed_with_nothing_undelivered_leaves_nothing_behind(tmp_path: Path) -> None:
    script = (
        "box = create(directory, 1)\nbox.acknowledge(1)\nprint(1, flush=True)\nsys.stdin.read()"
    )
    with process(tmp_path, script) as running:
        line_of(running)
        kill(running)
    assert list(tmp_path.iterdir()) != []
    assert FileOutbox.leftovers(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


# ---- processes side by side ----

HOLD_NEW = "outbox = create(directory, 1, 2)\nprint('ready', flush=True)\nsys.stdin.read()"
HOLD_OLD = (
    "found = FileOutbox.leftovers(directory)\n"
    "print(*(post[0] for outbox in found for post in posts_in(outbox)), flush=True)\n"
    "sys.stdin.read()"
)


@pytest.mark.parametrize("script", [HOLD_NEW, HOLD_OLD], ids=["its own", "another's"])
def test_the_outbox_of_a_living_process_is_left_alone(tmp_path: Path, script: str) -> None:
    if script is HOLD_OLD:
        leave(tmp_path, 1, 2)
    with process(tmp_path, script) as running:
        line_of(running)
        assert found_in(tmp_path) == {}
        with closing(create(tmp_path, 7)):
            assert found_in(tmp_path) == {}
        kill(running)
    assert numbers_in(tmp_path) == [1, 2, 7] or numbers_in(tmp_path) == [7, 1, 2]


def test_an_outbox_is_left_alone_by_its_own_process_too(tmp_path: Path) -> None:
    with closing(create(tmp_path, 1)) as outbox:
        assert FileOutbox.leftovers(tmp_path) == []
        outbox.append(outgoing(2))
    (found,) = FileOutbox.leftovers(tmp_path)
    assert FileOutbox.leftovers(tmp_path) == []
    found.close()
    assert numbers_in(tmp_path) == [1, 2]


def test_two_processes_that_start_at_once_share_the_leftovers_between_them(tmp_path: Path) -> None:
    for number in range(1, 31):
        leave(tmp_path, number)
    script = "print('ready', flush=True)\nsys.stdin.readline()\n" + HOLD_OLD
    with process(tmp_path, script) as one, process(tmp_path, script) as other:
        for running in (one, other):
            line_of(running)
        for running in (one, other):
            assert running.stdin is not None
            print(file=running.stdin, flush=True)
        taken = f"{line_of(one)} {line_of(other)}".split()
        assert sorted(map(int, taken)) == list(range(1, 31))


# ---- copies and roll-backs ----


def test_a_copy_of_the_directory_gives_the_same_posts_under_the_same_lane(tmp_path: Path) -> None:
    leave(tmp_path / "here", 1, 2, 5)
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    here, there = found_in(tmp_path / "here"), found_in(tmp_path / "there")
    assert here == there
    assert len(here) == 1


def test_a_directory_rolled_back_gives_what_it_gave_before(tmp_path: Path) -> None:
    leave(tmp_path / "here", 1, 2, 5)
    shutil.copytree(tmp_path / "here", tmp_path / "backup")
    (outbox,) = FileOutbox.leftovers(tmp_path / "here")
    before = {outbox.lane: posts_in(outbox)}
    outbox.acknowledge(5)
    outbox.close()
    shutil.copytree(tmp_path / "backup", tmp_path / "here", dirs_exist_ok=True)
    assert found_in(tmp_path / "here") == before


def test_a_leftover_takes_any_mark_for_it_may_have_been_rolled_back(tmp_path: Path) -> None:
    leave(tmp_path, 1)
    (outbox,) = FileOutbox.leftovers(tmp_path)
    with closing(outbox):
        assert Lanes(outbox.lane, outbox).written == 2**63 - 1
        assert [post.number for post in outbox.acknowledge(2**63 - 1)] == [1]


def test_each_process_makes_a_lane_of_its_own(tmp_path: Path) -> None:
    with closing(create(tmp_path)) as one, closing(create(tmp_path)) as other:
        assert len(one.lane) == len(other.lane) == 16
        assert one.lane != other.lane
        assert (one.numbered, one.sealed) == (0, False)


def test_a_leftover_cannot_be_extended(tmp_path: Path) -> None:
    leave(tmp_path, 1)
    (outbox,) = FileOutbox.leftovers(tmp_path)
    with closing(outbox):
        assert outbox.sealed
        with pytest.raises(LocalProtocolError):
            outbox.append(outgoing(2))
        with pytest.raises(LocalProtocolError):
            Lanes(outbox.lane, outbox).post("more", 0)
        assert len(outbox) == 1
    assert numbers_in(tmp_path) == [1]


def test_a_closed_outbox_cannot_be_extended(tmp_path: Path) -> None:
    outbox = create(tmp_path)
    outbox.close()
    with pytest.raises(LocalProtocolError):
        outbox.append(outgoing(1))


# ---- what stays in the file ----


def test_what_a_session_leaves_at_its_end_stays_in_the_file(tmp_path: Path) -> None:
    outbox = create(tmp_path, 1, 2, 3)
    outbox.acknowledge(1)
    assert [post.number for post in outbox.clear()] == [2, 3]
    assert (len(outbox), outbox.size, outbox.full) == (0, 0, False)
    assert outbox.clear() == []
    outbox.close()
    assert numbers_in(tmp_path) == [2, 3]
    assert numbers_in(tmp_path) == [2, 3]  # looking does not take them


def test_an_outbox_counts_what_stays_in_its_file(tmp_path: Path) -> None:
    outbox = create(tmp_path, 1, 2, 3, 4)
    outbox.acknowledge(1)
    outbox.reject(3)
    assert outbox.undelivered == 0
    outbox.clear()
    assert outbox.undelivered == 2
    outbox.close()


def test_posts_are_left_as_they_were(tmp_path: Path) -> None:
    with closing(create(tmp_path)) as outbox:
        lanes = Lanes(outbox.lane, outbox, new_post=Receipt)
        lanes.post("grüß dich", 1_700_000_000_000_000, "ada", "bob")
        lanes.post(b"\x00\xff", 7)
    (found,) = FileOutbox.leftovers(tmp_path, new_post=Receipt)
    with closing(found):
        text, data = found
        assert isinstance(text, Receipt)
        assert not text.done
        assert (text.number, text.at, data.number, data.at) == (1, 1_700_000_000_000_000, 2, 7)
        message = decode(text.frame[4:])
        assert message == TextPost(1, "grüß dich", 1_700_000_000_000_000, "ada", "bob")
        assert found.size == len(text.frame) + len(data.frame)


def test_refused_posts_do_not_come_back(tmp_path: Path) -> None:
    outbox = create(tmp_path, 1, 2, 3, 4)
    outbox.reject(2)
    outbox.reject(4)
    outbox.clear()
    outbox.close()
    assert numbers_in(tmp_path) == [1, 3]


def test_an_outbox_of_refused_posts_alone_leaves_no_file(tmp_path: Path) -> None:
    outbox = create(tmp_path, 1, 2)
    outbox.acknowledge(1)
    outbox.reject(2)
    outbox.clear()
    outbox.close()
    assert list(tmp_path.iterdir()) == []


def test_closing_twice_does_nothing_more(tmp_path: Path) -> None:
    outbox = create(tmp_path, 1)
    outbox.close()
    (found,) = FileOutbox.leftovers(tmp_path)
    outbox.close()
    assert FileOutbox.leftovers(tmp_path) == []
    found.close()


_STEPS = st.lists(
    st.tuples(st.sampled_from(["append", "acknowledge", "reject", "reopen"]), st.integers(0, 20))
)


@given(_STEPS, st.integers(0, 5000))
def test_what_is_found_is_what_was_appended_and_not_settled(
    steps: list[tuple[str, int]], size: int
) -> None:
    with TemporaryDirectory() as name:
        directory = Path(name)
        outboxes = [create(directory)]
        expected: list[Post] = []
        last = 0
        for step, argument in steps:
            outbox = outboxes[-1] if outboxes else None
            if step == "reopen":
                if outbox is not None:
                    outboxes.pop().close()
                outboxes = FileOutbox.leftovers(directory)
                assert [post for each in outboxes for post in posts_in(each)] == expected
            elif outbox is not None and step == "append" and not outbox.sealed:
                last += 1 + argument % 3
                frame = b"%d" % last * (1 + argument * size // 20)
                outbox.append(Outgoing(last, frame, argument))
                expected.append((last, frame, argument))
            elif outbox is not None and step == "acknowledge":
                outbox.acknowledge(argument)
                expected = [post for post in expected if post[0] > argument]
            elif outbox is not None and step == "reject":
                outbox.reject(argument)
                expected = [post for post in expected if post[0] != argument]
        for outbox in outboxes:
            outbox.close()
        assert [post for posts in found_in(directory).values() for post in posts] == expected


# ---- labels, order, modes ----


@pytest.mark.parametrize(
    "label",
    [
        "",
        "../../etc/passwd",
        "C:\\x",
        "nul\0byte",
        "räume/🙂",
        "\udcff lone",
        "%s*?[a]",
        "x" * 9999,
    ],
    ids=ascii,
)
def test_a_label_may_be_any_text(tmp_path: Path, label: str) -> None:
    leave(tmp_path / "outboxes", 1, label=label)
    leave(tmp_path / "outboxes", 2, label=label + "2")
    assert len(list(tmp_path.iterdir())) == 1
    (outbox,) = FileOutbox.leftovers(tmp_path / "outboxes", label)
    with closing(outbox):
        assert (outbox.label, posts_in(outbox)[0][0]) == (label, 1)
    assert numbers_in(tmp_path / "outboxes", "another") == []


def test_leftovers_come_oldest_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    times = {3: 300, 1: 100, 2: 200, 4: 400}
    for number, made in times.items():
        monkeypatch.setattr("time.time_ns", lambda made=made: made)
        leave(tmp_path, number, label=f"room {number % 2}")
    assert numbers_in(tmp_path) == [1, 2, 3, 4]
    assert numbers_in(tmp_path, "room 1") == [1, 3]


def test_there_are_no_leftovers_where_there_is_no_directory(tmp_path: Path) -> None:
    assert FileOutbox.leftovers(tmp_path / "none") == []
    assert list(tmp_path.iterdir()) == []


def test_a_relative_directory_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    leave(Path("out boxes?#%41"), 1)
    assert numbers_in(Path("out boxes?#%41")) == [1]
    assert [path.name for path in tmp_path.iterdir()] == ["out boxes?#%41"]


def test_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    directory = tmp_path / "outboxes"
    with closing(create(directory, 1, 2)) as outbox:
        outbox.acknowledge(1)
        paths = [directory, *directory.iterdir()]
        assert len(paths) == 3  # with its journal
        for path in paths:
            assert not path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)


def test_names_of_files_do_not_tell_the_lane(tmp_path: Path) -> None:
    with closing(create(tmp_path)) as outbox:
        assert outbox.lane.hex() not in outbox.path.name


# ---- files that are not what they were ----


def overwrite(path: Path) -> None:
    path.write_bytes(b"not a database, and never was" * 100)


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1  # rows fill a page from its end: the first post's
    path.write_bytes(content)


def blank_a_page(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(-4096, os.SEEK_END)
        file.write(bytes(4096))


def hide_a_post(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-4096 + 4] -= 1  # how many rows the last page has
    path.write_bytes(content)


def lose_a_table(path: Path) -> None:
    change(path, "DROP TABLE post")


def forget_the_lane(path: Path) -> None:
    change(path, "DELETE FROM lane")


def shorten_the_lane(path: Path) -> None:
    change(path, "UPDATE lane SET name = x'00'")


def swap_types(path: Path) -> None:
    change(path, "UPDATE post SET frame = 5")


def change(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(statement)


@pytest.mark.parametrize(
    "damage",
    [
        overwrite,
        truncate,
        flip_a_bit,
        blank_a_page,
        hide_a_post,
        lose_a_table,
        forget_the_lane,
        shorten_the_lane,
        swap_types,
    ],
    ids=lambda damage: damage.__name__,
)
def test_a_damaged_file_is_set_aside_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[Path], None]
) -> None:
    path = leave(tmp_path, 1, 2, 3)
    leave(tmp_path, 4)
    damage(path)
    content = path.read_bytes()
    assert numbers_in(tmp_path) == [4]
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert str(path) in record.getMessage()
    assert not path.exists()
    assert path.with_name(path.name + ".damaged").read_bytes() == content
    assert numbers_in(tmp_path) == [4]
    assert len(caplog.records) == 1


def test_a_file_of_a_newer_version_is_left_alone_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = leave(tmp_path, 1)
    change(path, "PRAGMA user_version = 2")
    assert FileOutbox.leftovers(tmp_path) == []
    assert "newer version" in caplog.text
    assert str(path) in caplog.text
    change(path, "PRAGMA user_version = 1")
    assert numbers_in(tmp_path) == [1]


def test_a_file_that_was_never_finished_is_deleted(tmp_path: Path) -> None:
    path = leave(tmp_path, 1)
    path.write_bytes(b"")
    assert FileOutbox.leftovers(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_opened_is_left_alone_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a directory.outbox"
    path.mkdir()
    leave(tmp_path, 1)
    assert numbers_in(tmp_path) == [1]
    assert str(path) in caplog.text
    assert path.exists()


def test_a_damaged_file_that_cannot_be_renamed_is_named_at_each_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = leave(tmp_path, 1)
    overwrite(path)
    path.with_name(path.name + ".damaged").mkdir()
    for starts in (1, 2):
        assert FileOutbox.leftovers(tmp_path) == []
        assert [str(path) in record.getMessage() for record in caplog.records] == [True] * starts


def test_a_file_that_is_not_deleted_while_it_is_open_is_deleted_after_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So it is on Windows."""
    outbox = create(tmp_path)
    unlink = file_outbox._unlink

    def denied(path: Path) -> None:
        monkeypatch.setattr(file_outbox, "_unlink", unlink)
        raise PermissionError(errno.EACCES, "in use", str(path))

    monkeypatch.setattr(file_outbox, "_unlink", denied)
    outbox.close()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_deleted_is_named_and_does_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    outbox = create(tmp_path)
    with monkeypatch.context() as patch:

        def fails(path: Path) -> None:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

        patch.setattr(file_outbox, "_unlink", fails)
        outbox.close()
    assert str(outbox.path) in caplog.text
    assert FileOutbox.leftovers(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_another_process_has_delivered_meanwhile_is_not_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    leave(tmp_path, 1)
    opened = file_outbox._open

    def late(path: Path) -> sqlite3.Connection:
        for each in tmp_path.iterdir():
            each.unlink()
        return opened(path)

    monkeypatch.setattr(file_outbox, "_open", late)
    assert FileOutbox.leftovers(tmp_path) == []
    assert list(tmp_path.iterdir()) == []
    assert caplog.records == []


def test_other_files_are_none_of_its_business(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    leave(tmp_path, 1)
    assert numbers_in(tmp_path) == [1]
    assert (tmp_path / "notes.txt").read_text() == "mine"


def delete_it(path: Path, opened: Callable[[Path], sqlite3.Connection]) -> sqlite3.Connection:
    assert FileOutbox.leftovers(path.parent) == []
    return opened(path)


def delete_it_once_open(
    path: Path, opened: Callable[[Path], sqlite3.Connection]
) -> sqlite3.Connection:
    db = opened(path)
    path.unlink()
    return db


def lock_it(path: Path, opened: Callable[[Path], sqlite3.Connection]) -> sqlite3.Connection:
    with closing(opened(path)):
        return opened(path)


@pytest.mark.parametrize("meddle", [delete_it, delete_it_once_open, lock_it])
def test_a_new_file_that_another_process_took_for_a_dead_ones_is_made_again(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    meddle: Callable[[Path, Callable[[Path], sqlite3.Connection]], sqlite3.Connection],
) -> None:
    opened = file_outbox._open

    def meddled(path: Path) -> sqlite3.Connection:
        monkeypatch.setattr(file_outbox, "_open", opened)
        return meddle(path, opened)

    monkeypatch.setattr(file_outbox, "_open", meddled)
    create(tmp_path, 1).close()
    assert numbers_in(tmp_path) == [1]
    assert len(list(tmp_path.glob("*.outbox"))) == 1


def test_a_file_that_can_never_be_locked_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = file_outbox._open
    monkeypatch.setattr(file_outbox, "_open", lambda path: lock_it(path, opened))
    with pytest.raises(OSError, match="cannot be locked"):
        create(tmp_path)


# ---- bad disks ----


def test_a_post_for_which_the_disk_has_no_room_is_not_taken(tmp_path: Path) -> None:
    with closing(create(tmp_path, 1, 2)) as outbox:
        pages = outbox._db.execute("PRAGMA page_count").fetchone()[0]
        outbox._db.execute(f"PRAGMA max_page_count = {pages}")
        for number in (3, 4):
            with pytest.raises(OSError, match="full") as caught:
                outbox.append(outgoing(number, size=10_000))
            assert caught.value.errno == errno.ENOSPC
            assert str(outbox.path) in str(caught.value.strerror)
        assert (len(outbox), outbox.size) == (2, 20)
        outbox.acknowledge(1)
        outbox._db.execute("PRAGMA max_page_count = 1000")
        outbox.append(outgoing(5, size=10_000))
    assert numbers_in(tmp_path) == [2, 5]


def test_a_disk_that_cannot_be_written_to_is_an_error_of_the_system(tmp_path: Path) -> None:
    with closing(create(tmp_path, 1)) as outbox:
        outbox._db.execute("PRAGMA query_only = ON")
        with pytest.raises(OSError, match="readonly") as caught:
            outbox.append(outgoing(2))
        assert caught.value.errno == errno.EROFS
    assert numbers_in(tmp_path) == [1]


def test_what_the_system_did_not_write_is_not_taken_and_does_no_harm(tmp_path: Path) -> None:
    """A limit on the size of files stands for a disk that fails in the middle of a page."""
    script = """
import resource
outbox = create(directory, 1)
resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, resource.RLIM_INFINITY))
taken = [1]
for number in range(2, 60):
    try:
        outbox.append(outgoing(number, 1000))
        taken.append(number)
    except OSError as exc:
        assert str(outbox.path) in exc.strerror, exc
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
outbox.append(outgoing(60))
print(*taken, 60, flush=True)
sys.stdin.read()
"""
    with process(tmp_path, script) as running:
        taken = [int(number) for number in line_of(running).split()]
        assert found_in(tmp_path) == {}  # it is still locked
        kill(running)
    assert 10 < len(taken) < 50
    assert numbers_in(tmp_path) == taken


def test_an_error_while_letting_go_is_logged_once_and_does_no_harm(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(create(tmp_path, 1, 2, 3, 4)) as outbox:
        outbox._db.execute("PRAGMA query_only = ON")
        assert [post.number for post in outbox.acknowledge(1)] == [1]
        assert outbox.reject(3) is not None
        assert [post.number for post in outbox.acknowledge(2)] == [2]
        (record,) = caplog.records
        assert str(outbox.path) in record.getMessage()
        assert len(outbox) == 1
    assert numbers_in(tmp_path) == [1, 2, 3, 4]


def test_what_could_not_be_let_go_is_let_go_with_the_next(tmp_path: Path) -> None:
    with closing(create(tmp_path, 1, 2, 3, 4)) as outbox:
        outbox._db.execute("PRAGMA query_only = ON")
        outbox.reject(1)
        outbox.acknowledge(2)
        outbox._db.execute("PRAGMA query_only = OFF")
        outbox.acknowledge(3)
    assert numbers_in(tmp_path) == [4]


@pytest.mark.parametrize("fault", ["a file", "a full disk"])
def test_a_directory_that_takes_no_file_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    if fault == "a file":
        (tmp_path / "outboxes").write_text("in the way")
    else:
        opened = file_outbox._open

        def full(path: Path) -> sqlite3.Connection:
            db = opened(path)
            db.execute("PRAGMA max_page_count = 1")
            return db

        monkeypatch.setattr(file_outbox, "_open", full)
    with pytest.raises(OSError) as caught:  # noqa: PT011 - which one is the system's affair
        create(tmp_path / "outboxes")
    assert str(tmp_path / "outboxes") in str(caught.value.filename)
    assert [path for path in tmp_path.rglob("*") if path.name.endswith(".outbox")] == []
