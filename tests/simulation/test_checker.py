"""Claims about the checker: on histories written by hand, one for each kind of violation."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from socketchat.chat.log import Entry
from tests.simulation.checker import Kind, check
from tests.simulation.history import (
    Accepted,
    Afresh,
    Committed,
    Died,
    Ended,
    Fate,
    Followed,
    Heard,
    Joined,
    Record,
    Rewound,
    Settled,
    Shown,
    ToldGap,
    ToldRestart,
    Trimmed,
    Unfollowed,
)

ADA, BOB, CY = b"a" * 16, b"b" * 16, b"c" * 16
ROOM = "lobby"
TIMES: Iterator[float] = itertools.count(1.0)


def found(*records: Record) -> list[Kind]:
    return [violation.kind for violation in check(records)]


def said(number: int, lane: bytes = ADA, *, kept: bool = False, refusable: bool = False) -> Record:
    return Accepted(next(TIMES), "ada", lane, number, f"line {number}", kept, refusable)


def entry(place: int, number: int, lane: bytes = ADA, **fields: bytes | str) -> Entry:
    return Entry(place, 1000 + place, lane, number, f"line {number}", **fields)  # type: ignore[arg-type]


def committed(place: int, number: int, lane: bytes = ADA, **fields: bytes | str) -> Record:
    return Committed(next(TIMES), ROOM, entry(place, number, lane, **fields))


def told(number: int, fate: Fate = Fate.ACKNOWLEDGED, place: int = 0, lane: bytes = ADA) -> Record:
    return Settled(next(TIMES), lane, number, fate, place)


def joined(member: str = "bob.1", lane: bytes = BOB, history: int = 0) -> Record:
    return Joined(next(TIMES), member, ROOM, lane, history)


def shown(place: int, number: int, member: str = "bob.1", *, own: bool = False) -> Record:
    return Shown(next(TIMES), member, place, 1000 + place, f"line {number}", own)


def gap(first: int, last: int) -> Record:
    return ToldGap(next(TIMES), "bob.1", first, last)


def trimmed(floor: int) -> Record:
    return Trimmed(next(TIMES), ROOM, floor)


def three_lines() -> list[Record]:
    """Ada says three lines, which are committed and acknowledged."""
    records = []
    for number in (1, 2, 3):
        records += [said(number), committed(number, number), told(number, place=number)]
    return records


# What is right


def test_a_history_in_which_all_is_shown_is_right() -> None:
    assert found(joined(), *three_lines(), shown(1, 1), shown(2, 2), shown(3, 3)) == []


def test_a_member_is_not_owed_what_was_said_before_it_came() -> None:
    assert found(*three_lines(), joined()) == []
    assert found(*three_lines(), joined(history=1), shown(3, 3)) == []


def test_a_member_may_begin_before_what_it_is_owed() -> None:
    # It was let in before it knew that it was.
    assert found(*three_lines(), joined(), shown(2, 2), shown(3, 3)) == []


def test_one_that_has_left_is_owed_nothing() -> None:
    assert found(joined(), Ended(next(TIMES), "bob.1"), *three_lines()) == []


def test_the_messages_of_a_killed_process_may_be_lost() -> None:
    assert found(said(1), Died(next(TIMES), ADA)) == []


def test_what_its_sender_was_told_not_to_know_may_be_lost() -> None:
    assert found(said(1), told(1, Fate.UNKNOWN)) == []


def test_what_was_refused_is_owed_to_nobody() -> None:
    assert found(said(1), told(1, Fate.REJECTED), said(2), committed(1, 2), told(2)) == []


def test_what_was_refused_without_a_word_to_be_heard_may_be_missing() -> None:
    died = Died(next(TIMES), ADA)
    assert found(said(1, refusable=True), said(2), committed(1, 2), died) == []


def test_a_gap_excuses_what_is_gone() -> None:
    assert found(joined(), *three_lines(), trimmed(3), gap(1, 2), shown(3, 3)) == []


def test_a_direct_message_is_shown_to_its_two_ends_alone() -> None:
    direct = committed(1, 1, to="bob", to_id=BOB)
    told_all = [shown(1, 1), shown(1, 1, "ada.1", own=True)]
    members = [joined(), joined("ada.1", ADA), joined("cy.1", CY)]
    assert found(*members, said(1), direct, told(1), *told_all) == []


def test_a_message_that_a_later_process_delivers_is_settled_by_what_that_is_told() -> None:
    first = [said(1, kept=True), told(1, Fate.UNKNOWN), Died(next(TIMES), ADA)]
    assert found(*first, committed(1, 1), told(1, place=1)) == []


# What is wrong


def test_an_acknowledged_message_that_is_not_in_the_log_is_lost() -> None:
    assert found(said(1), told(1)) == [Kind.LOST]


def test_a_message_that_is_never_settled_is_lost() -> None:
    assert found(said(1)) == [Kind.LOST]
    assert found(said(1), committed(1, 1)) == [Kind.LOST]


@pytest.mark.parametrize("end", [Died(50.0, ADA), Settled(50.0, ADA, 1, Fate.UNKNOWN)])
def test_a_message_in_an_outbox_that_survives_is_owed_whatever_became_of_its_process(
    end: Record,
) -> None:
    assert found(said(1, kept=True), end) == [Kind.LOST]


def test_a_message_that_a_later_one_overtook_for_good_is_lost() -> None:
    assert found(said(1), said(2), committed(1, 2), Died(next(TIMES), ADA)) == [Kind.LOST]


def test_a_message_that_is_twice_in_the_log_is_doubled() -> None:
    assert found(said(1), committed(1, 1), committed(2, 1), told(1)) == [Kind.DOUBLED]


def test_an_entry_that_is_shown_twice_is_doubled() -> None:
    records = [joined(), *three_lines(), *(shown(number, number) for number in (1, 2, 3, 2))]
    assert found(*records) == [Kind.DOUBLED]


def test_messages_in_another_order_than_their_senders_are_reordered() -> None:
    records = [said(1), said(2), committed(1, 2), committed(2, 1), told(1), told(2)]
    assert Kind.REORDERED in found(*records)


def test_what_is_shown_before_it_is_committed_is_early() -> None:
    assert found(joined(), said(1), shown(1, 1), committed(1, 1), told(1)) == [Kind.SHOWN_EARLY]


def test_what_is_acknowledged_before_it_is_committed_is_early() -> None:
    assert found(said(1), told(1), committed(1, 1)) == [Kind.ACKNOWLEDGED_EARLY]


def test_an_entry_that_is_not_shown_is_skipped() -> None:
    assert found(joined(), *three_lines(), shown(1, 1), shown(3, 3)) == [Kind.SKIPPED]
    assert found(joined(), *three_lines(), shown(1, 1), shown(2, 2)) == [Kind.SKIPPED]
    assert found(joined(), *three_lines(), shown(2, 2), shown(3, 3)) == [Kind.SKIPPED]


def test_of_history_too_little_is_skipped() -> None:
    assert found(*three_lines(), joined(history=2), shown(3, 3)) == [Kind.SKIPPED]


def test_a_gap_that_is_not_told_is_skipped() -> None:
    assert found(joined(), *three_lines(), trimmed(2), shown(2, 2), shown(3, 3)) == [Kind.SKIPPED]


def test_an_entry_that_nobody_sent_was_never_sent() -> None:
    assert found(committed(1, 1)) == [Kind.NEVER_SENT]


def test_an_entry_with_another_text_was_never_sent() -> None:
    other = Committed(next(TIMES), ROOM, Entry(1, 1001, ADA, 1, "something else"))
    assert found(said(1), other, told(1)) == [Kind.NEVER_SENT]


def test_a_message_that_is_shown_and_in_no_log_was_never_sent() -> None:
    assert found(joined(), shown(1, 1)) == [Kind.NEVER_SENT]


def test_members_that_are_shown_different_things_at_one_place_differ() -> None:
    lines = [said(1), said(2), committed(1, 1), committed(2, 2), told(1), told(2)]
    one = [shown(1, 1), shown(2, 2)]
    other = [shown(1, 2, "cy.1"), shown(2, 1, "cy.1")]
    kinds = found(joined(), joined("cy.1", CY), *lines, *one, *other)
    assert kinds == [Kind.DIFFERENT, Kind.DIFFERENT]


def test_a_stranger_s_message_that_is_shown_as_ones_own_differs() -> None:
    records = [joined(), said(1), committed(1, 1), told(1), shown(1, 1, own=True)]
    assert found(*records) == [Kind.DIFFERENT]


def test_a_receipt_that_tells_another_place_differs() -> None:
    assert found(said(1), committed(1, 1), told(1, place=2)) == [Kind.DIFFERENT]


def test_what_was_refused_must_not_be_said() -> None:
    records = [said(1), told(1, Fate.REJECTED), committed(1, 1)]
    assert found(*records) == [Kind.REFUSED_YET_SAID]


def test_what_is_for_others_must_not_be_shown() -> None:
    direct = committed(1, 1, to="cy", to_id=CY)
    assert found(joined(), said(1), direct, told(1), shown(1, 1)) == [Kind.OVERHEARD]


def test_a_gap_that_is_none_is_a_false_alarm() -> None:
    assert found(joined(), *three_lines(), gap(1, 2), shown(3, 3)) == [Kind.FALSE_ALARM]


def test_a_gap_that_is_told_again_is_a_false_alarm() -> None:
    records = [joined(), *three_lines(), trimmed(3), gap(1, 2)]
    assert found(*records, gap(1, 2), shown(3, 3)) == [Kind.FALSE_ALARM]
    more = [trimmed(4), gap(3, 3)]
    assert found(*records, *more) == []


def test_a_restart_that_is_none_is_a_false_alarm() -> None:
    records = [joined(), *three_lines(), *(shown(number, number) for number in (1, 2, 3))]
    again = [ToldRestart(next(TIMES), "bob.1"), *(shown(number, number) for number in (1, 2, 3))]
    assert found(*records, *again) == [Kind.FALSE_ALARM]


# A log that loses its end


def rewound(head: int) -> Record:
    return Rewound(next(TIMES), ROOM, head)


def another(place: int, number: int) -> Record:
    """Commit another entry where one is gone."""
    body = f"line {number}"
    return Committed(next(TIMES), ROOM, Entry(place, 2000 + place, ADA, number, body))


def shown_another(place: int, number: int) -> Record:
    return Shown(next(TIMES), "bob.1", place, 2000 + place, f"line {number}")


def restarted() -> Record:
    return ToldRestart(next(TIMES), "bob.1")


def three_shown() -> list[Record]:
    return [joined(), *three_lines(), shown(1, 1), shown(2, 2), shown(3, 3)]


def three_shown_then_lost() -> list[Record]:
    return [*three_shown(), rewound(1)]


def test_what_a_log_has_lost_may_be_gone_if_everybody_is_told() -> None:
    assert (
        found(
            *three_shown_then_lost(),
            *[said(4), another(2, 4), told(4, place=2)],
            *[restarted(), shown(1, 1), shown_another(2, 4)],
        )
        == []
    )


def test_who_is_shown_another_log_without_being_told_is_found() -> None:
    assert found(
        *three_shown_then_lost(),
        *[said(4), another(2, 4), told(4), said(5), another(3, 5), told(5)],
        *[said(6), another(4, 6), told(6), shown_another(4, 6)],
    ) == [Kind.NOT_TOLD]


def test_who_is_behind_the_end_of_a_log_that_has_lost_it_is_found() -> None:
    assert found(*three_shown_then_lost()) == [Kind.NOT_TOLD]


def test_who_was_shown_only_what_is_still_there_need_not_be_told() -> None:
    records = [joined(), *three_lines(), shown(1, 1), rewound(1)]
    assert found(*records) == []
    assert found(*records, restarted(), shown(1, 1)) == [Kind.FALSE_ALARM]


def test_what_was_not_acknowledged_must_be_in_what_the_log_is_now() -> None:
    assert found(said(1), committed(1, 1), rewound(0)) == [Kind.LOST]


# What servers are told


def followed(*places: int) -> list[Record]:
    """Have a server follow a room, and be told of three lines, or of some of them."""
    begun = Followed(next(TIMES), "a.1", ROOM)
    lines = three_lines()
    return [begun, *lines, *(heard(place, ADA) for place in places)]


def heard(place: int, lane: bytes) -> Record:
    return Heard(next(TIMES), "a.1", ROOM, place, 1000 + place, lane)


def test_a_server_that_is_told_all_in_order_is_right() -> None:
    assert found(*followed(1, 2, 3)) == []
    assert found(*followed(2, 3)) == []  # it began there


def test_a_server_that_is_not_told_of_all_or_in_another_order_is_found() -> None:
    assert found(*followed(1, 3)) == [Kind.DISAGREES]
    assert found(*followed(1, 2)) == [Kind.DISAGREES]
    assert found(*followed(1, 2, 3, 3)) == [Kind.DISAGREES]


def test_a_server_that_is_told_of_what_is_not_in_the_log_is_found() -> None:
    assert found(*followed(1, 2, 3), heard(3, BOB)) == [Kind.DISAGREES]


def test_a_server_that_is_gone_is_owed_nothing() -> None:
    assert found(*followed(1), Unfollowed(next(TIMES), "a.1")) == []


def test_a_server_whose_log_is_another_one_must_be_told_so() -> None:
    assert found(*followed(1, 2, 3), rewound(1)) == [Kind.NOT_TOLD]
    assert found(*followed(1, 2, 3), rewound(1), Afresh(next(TIMES), "a.1", ROOM)) == []
