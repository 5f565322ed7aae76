"""Claims about the checker and the journals: whatever goes wrong is found.

Each test takes a story in which all promises are kept, breaks one, and names what must be found.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.checker import Kind, check
from tests.chaos.journal import GARBLED, History, Incarnation, Journal, Shown, Tag, parse_text

ROOM = "room"


class Story:
    """Two clients in a room: client 0 was killed once, after it had tried to send its third."""

    def __init__(self) -> None:
        self.tags = [Tag(0, 1, 1), Tag(1, 1, 1), Tag(0, 1, 2), Tag(0, 2, 4), Tag(1, 1, 2)]
        self.log = [Shown(number, 100 + number, tag) for number, tag in enumerate(self.tags, 1)]
        self.killed = Incarnation(
            tried=[1, 2, 3], accepted=[1, 2], acked={1: 1}, shown=self.log[:2], ready=True
        )
        self.later = Incarnation(
            tried=[4], accepted=[4], acked={4: 4}, shown=self.log[1:], leftovers=1, ready=True
        )
        self.other = Incarnation(
            tried=[1, 2], accepted=[1, 2], acked={1: 2, 2: 0}, shown=self.log[:], ready=True
        )

    def found(self) -> set[Kind]:
        histories = [History(Path(), number, ROOM) for number in range(2)]
        histories[0].incarnations = [self.killed, self.later]
        histories[1].incarnations = [self.other]
        return {violation.kind for violation in check(histories, {ROOM: self.log})}

    def say(self, tag: Tag) -> None:
        """Append an entry, and show it to all."""
        self.log.append(Shown(len(self.log) + 1, 200, tag))
        self.later.shown.append(self.log[-1])
        self.other.shown.append(self.log[-1])


def test_a_story_in_which_all_promises_are_kept_has_no_violations() -> None:
    assert Story().found() == set()


def test_what_was_only_tried_may_be_there() -> None:
    story = Story()
    story.killed.tried.append(5)
    story.later.tried = [6]
    story.later.accepted, story.later.acked = [6], {6: 4}
    tag = Tag(0, 2, 6)
    entry = story.log[3]._replace(tag=tag)
    story.log[3] = story.later.shown[2] = story.other.shown[3] = entry
    assert story.found() == set()


@pytest.mark.parametrize("acked", [True, False], ids=["acknowledged", "only accepted"])
def test_a_lost_message_is_found(acked: bool) -> None:
    story = Story()
    story.other.tried.append(3)
    story.other.accepted.append(3)
    if acked:
        story.other.acked[3] = 6
    assert story.found() == {Kind.LOST}


def test_a_doubled_message_is_found() -> None:
    story = Story()
    story.say(Tag(1, 1, 2))
    assert story.found() == {Kind.DOUBLED}


def test_one_that_stands_behind_a_later_one_is_found() -> None:
    story = Story()
    story.say(Tag(0, 1, 3))
    assert story.found() == {Kind.REORDERED}


@pytest.mark.parametrize("tag", [Tag(1, 1, 9), GARBLED])
def test_a_message_that_nobody_sent_is_found(tag: Tag) -> None:
    story = Story()
    story.say(tag)
    assert Kind.INVENTED in story.found()


@pytest.mark.parametrize(
    "shown",
    [Shown(5, 105, Tag(1, 1, 1)), Shown(5, 106, Tag(1, 1, 2)), Shown(6, 105, Tag(1, 1, 2))],
    ids=["another text", "another time", "another place"],
)
def test_an_entry_that_was_shown_and_is_not_in_the_log_is_found(shown: Shown) -> None:
    story = Story()
    story.other.shown[-1] = shown
    assert Kind.UNWARRANTED in story.found()


def test_a_receipt_of_another_entry_is_found() -> None:
    story = Story()
    story.later.acked = {4: 3}
    assert story.found() == {Kind.UNWARRANTED}


@pytest.mark.parametrize("index", [1, 3])
def test_an_entry_that_was_skipped_is_found(index: int) -> None:
    story = Story()
    del story.other.shown[index]
    assert story.found() == {Kind.SKIPPED}


def test_an_entry_that_was_skipped_at_the_beginning_is_found() -> None:
    story = Story()
    del story.other.shown[0]
    assert story.found() == {Kind.SKIPPED}


def test_an_entry_that_was_skipped_between_two_lives_is_found() -> None:
    story = Story()
    del story.later.shown[:2]
    assert story.found() == {Kind.SKIPPED}


def test_an_entry_that_was_shown_twice_in_one_life_is_found() -> None:
    story = Story()
    story.other.shown.insert(2, story.other.shown[1])
    assert story.found() == {Kind.REPEATED}


def test_a_message_that_was_given_back_is_found() -> None:
    story = Story()
    story.other.refused.append(2)
    assert story.found() == {Kind.REFUSED}


@pytest.mark.parametrize("line", ["gap 2 3", "restarted"])
def test_a_gap_in_a_log_that_keeps_all_is_found(line: str) -> None:
    story = Story()
    story.other.read(line)
    assert story.found() == {Kind.REFUSED}


def test_one_who_was_not_shown_the_end_is_found() -> None:
    story = Story()
    del story.other.shown[-1]
    assert story.found() == {Kind.BEHIND}


def test_one_who_is_told_that_the_log_is_another_one_begins_it_anew() -> None:
    story = Story()
    gone = Shown(5, 99, Tag(1, 1, 3))
    story.other.shown = [*story.log[:4], gone, *story.log]
    story.other.told = [5]
    assert story.found() == {Kind.UNWARRANTED}
    del story.other.shown[5]
    story.other.told = [5]
    assert story.found() == {Kind.UNWARRANTED, Kind.SKIPPED}


def test_one_who_is_not_told_of_a_log_that_lacks_what_it_was_shown_is_found() -> None:
    story = Story()
    story.other.shown[-1] = Shown(5, 99, Tag(1, 1, 3))
    assert story.found() == {Kind.UNWARRANTED, Kind.UNTOLD}
    story.other.told = [4]  # before it was shown that
    assert Kind.UNTOLD in story.found()


@pytest.mark.parametrize("change", ["another order", "too little", "too much", "none of a room"])
def test_a_server_that_shows_another_log_is_found(change: str) -> None:
    story = Story()
    histories = [History(Path(), number, ROOM) for number in range(2)]
    histories[0].incarnations, histories[1].incarnations = (
        [story.killed, story.later],
        [story.other],
    )
    log = story.log
    view = {
        "another order": {ROOM: [log[1], log[0], *log[2:]]},
        "too little": {ROOM: log[:-1]},
        "too much": {ROOM: [*log, Shown(6, 106, Tag(1, 1, 3))]},
        "none of a room": {},
    }[change]
    assert check(histories, {ROOM: log}, [{ROOM: log[:]}]) == []
    (found,) = check(histories, {ROOM: log}, [{ROOM: log[:]}, view])
    assert found.kind is Kind.DIFFERENT
    assert found.what.startswith("server 1 ")


# ---- journals ----


def test_a_journal_is_read_as_it_was_written(tmp_path: Path) -> None:
    history = History(tmp_path, 7, ROOM)
    history.read()
    assert (history.accepted, history.tried, history.last) == (0, 0, None)
    first = Journal(tmp_path, 7, 1)
    first.write("trying", 1)
    first.write("accepted", 1)
    history.read()
    first.write("acked", 1, 12)
    first.write("shown", 12, 1000, Tag(7, 1, 1))
    first.write("trying", 2)
    first.close()
    third = Journal(tmp_path, 7, 3)
    third.write("leftovers", 2)
    third.write("lost")
    third.write("back")
    third.write("lost")
    third.write("ready")
    third.close()
    history.read()
    assert history.incarnations == [
        Incarnation([1, 2], [1], {1: 12}, shown=[Shown(12, 1000, Tag(7, 1, 1))]),
        Incarnation(),  # it was killed before it could write
        Incarnation(leftovers=2, links=2, is_away=True, ready=True),
    ]
    assert (history.accepted, history.tried, history.last) == (1, 2, Shown(12, 1000, Tag(7, 1, 1)))


def test_half_a_line_is_not_read_before_it_is_whole(tmp_path: Path) -> None:
    history = History(tmp_path, 0, ROOM)
    path = tmp_path / "0.1"
    path.write_text("trying 1\naccepted 1\ntrying 1")
    history.read()
    assert history.tried == 1
    path.write_text("trying 1\naccepted 1\ntrying 13\n")
    history.read()
    assert history.tried == 13


def test_a_text_is_known_by_its_tag_only_if_it_is_whole() -> None:
    texts = [Tag(3, 1, number).text for number in range(1, 200)]
    assert [parse_text(text) for text in texts] == [Tag(3, 1, number) for number in range(1, 200)]
    assert max(map(len, texts)) > 5000
    for text in (texts[0][:-1], texts[0] + "x", "hello", ""):
        assert parse_text(text) == GARBLED
