"""Several rooms at the real console, and what a room tells of itself.

As in `test_console.py`, everything is typed and looked at, and waited for.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from socketchat.cli import console_printer, console_room, presence
from socketchat.cli.failures import ExitCode, Failure
from socketchat.cli.places import Place, Places
from socketchat.errors import Close, SessionClosedOK
from socketchat.events import (
    Gap,
    Joined,
    Left,
    LinkLost,
    LinkRestored,
    Message,
    Present,
    Renamed,
    Restarted,
    Topic,
    Typing,
)
from tests.cli.console_harness import NOON, FakeRooms, FakeSession, Terminal, lines_of, terminal

pytestmark = pytest.mark.may_block("a pipe stands for the keyboard")

DAY = 24 * 3_600_000_000
ALT_1, ALT_2, ALT_9 = "\x1b1", "\x1b2", "\x1b9"


async def join(it: Terminal, rooms: FakeRooms, room: str) -> FakeSession:
    """Join a room, and wait until one looks at it."""
    it.type(f"/join {room}\r")
    await it.until(f"── {room} ──")
    return rooms.sessions[room]


# Several rooms


async def test_another_room_is_joined_beside_the_first() -> None:
    rooms = FakeRooms()
    async with terminal(rooms=rooms) as it:
        tea = await join(it, rooms, "tea")
        await it.until("1:lobby [2:tea] · online")
        tea.say("the kettle is on")
        await it.until("12:01 bob: the kettle is on")
        it.type("coming\r")
        await it.until("12:01 ada: coming ✓ sent")
        assert (tea.sent, it.session.sent) == (["coming"], [])


async def test_what_is_said_where_nobody_looks_is_counted_and_shown_to_who_looks() -> None:
    rooms = FakeRooms()
    async with terminal(rooms=rooms) as it:
        await join(it, rooms, "tea")
        it.session.say("one")
        it.session.say("two")
        await it.until("1:lobby 2 [2:tea]")
        assert "bob: one" not in it.screen.text
        it.type(ALT_1)
        await it.until("── lobby ──\n── new ──\n12:01 bob: one\n12:01 bob: two\n>>")
        await it.until("[1:lobby] 2:tea · online")


async def test_a_call_from_another_room_is_told_in_the_bar() -> None:
    rooms = FakeRooms()
    async with terminal(rooms=rooms) as it:
        await join(it, rooms, "tea")
        it.session.say("where is ada?")
        await it.until("1:lobby 1! [2:tea]")
        assert it.screen.bells == 1


async def test_a_half_typed_line_stays_with_its_room() -> None:
    rooms = FakeRooms()
    async with terminal(rooms=rooms) as it:
        await join(it, rooms, "tea")
        it.type("for tea")
        await it.until(">> for tea")
        it.type(ALT_1)
        await it.until(lambda text: "\n>>\n[1:lobby]" in text)
        it.type("for the lobby")
        await it.until(">> for the lobby")
        it.type(ALT_2 + "\r")
        await it.until("12:01 ada: for tea ✓ sent")
        it.type(ALT_1 + "\r")
        await it.until("12:01 ada: for the lobby ✓ sent")
        assert (rooms.sessions["tea"].sent, it.session.sent) == (["for tea"], ["for the lobby"])


async def test_a_room_that_one_is_in_is_looked_at_and_not_joined_again() -> None:
    rooms = FakeRooms()
    async with terminal(rooms=rooms) as it:
        first = await join(it, rooms, "tea")
        it.type("/join lobby\r")
        await it.until("[1:lobby] 2:tea")
        it.type("/join tea\r")
        await it.until("1:lobby [2:tea]")
        it.type(ALT_9)  # there is none
        it.type("here\r")
        await it.until("here ✓ sent")
        assert rooms.sessions == {"tea": first}
        assert first.sent == ["here"]


async def test_a_room_is_left_and_the_others_stay() -> None:
    rooms = FakeRooms()
    async with terminal(rooms=rooms) as it:
        await join(it, rooms, "tea")
        it.type("half a line")
        await it.until(">> half a line")
        it.type("\x15/part\r")
        await it.until(lambda text: text.endswith(">>\nlobby · online"))
        assert rooms.closed == ["tea"]
        it.type("/part\r")  # the last one
        await it.ended()


async def test_a_room_whose_session_ends_is_left_and_the_others_stay() -> None:
    rooms = FakeRooms()
    async with terminal(rooms=rooms) as it:
        tea = await join(it, rooms, "tea")
        tea.end(SessionClosedOK(Close(1001, "tea is over")))
        await it.until("-- the session is over: tea is over (1001)\n── lobby ──\n>>\nlobby")
        assert rooms.closed == ["tea"]


async def test_the_first_room_is_left_for_good_while_others_go_on() -> None:
    rooms = FakeRooms()
    async with terminal(rooms=rooms) as it:
        await join(it, rooms, "tea")
        it.type(ALT_1 + "/part\r")
        await it.until(lambda text: text.endswith(">>\ntea · online"))
        async with asyncio.timeout(20):
            await it.session.ending.wait()
        assert it.session.ended == "closed"
        it.type("/part lobby\r")
        await it.until("-- you are not in lobby")
        it.type("/part tea\r")
        await it.ended()


async def test_who_parts_waits_for_what_was_just_typed() -> None:
    rooms = FakeRooms()
    async with terminal(rooms=rooms) as it:
        tea = await join(it, rooms, "tea")
        tea.confirm = False
        it.type("bye\r/part\r")
        await it.until("… bye")
        tea.receipts[0].settle()
        await it.until("12:01 ada: bye ✓ sent\n── lobby ──\n>>\nlobby · online")


async def test_a_room_that_opens_while_one_types_does_not_take_what_is_typed() -> None:
    rooms = FakeRooms()
    rooms.open.clear()
    async with terminal(rooms=rooms) as it:
        it.type("/join tea\rfor the lobby")
        await it.until(">> for the lobby")
        rooms.open.set()
        await it.until("-- tea is open: Alt-2 looks at it")
        await it.until(">> for the lobby\n[1:lobby] 2:tea")
        it.type("\r")
        await it.until("for the lobby ✓ sent")
        assert it.session.sent == ["for the lobby"]


async def test_of_several_rooms_the_one_that_was_asked_for_last_is_looked_at() -> None:
    rooms = FakeRooms()
    rooms.open.clear()
    async with terminal(rooms=rooms) as it:
        it.type("/join tea\r/join cake\r")
        await it.until(">>")
        it.type("/join tea\r")
        await it.until("-- tea is being opened already")
        rooms.open.set()
        await it.until("[3:cake]")
        it.type(ALT_2)
        await it.until("1:lobby [2:tea] 3:cake")


async def test_in_another_room_one_goes_by_the_same_name_or_is_told() -> None:
    rooms = FakeRooms()
    rooms.given["cake"] = "lovelace~k3x7q"
    async with terminal(rooms=rooms) as it:
        it.session.told["nick"] = "lovelace"
        it.type("/nick lovelace\r")
        await it.until("you are lovelace now")
        tea = await join(it, rooms, "tea")
        assert tea.nick == "lovelace"
        await join(it, rooms, "cake")
        await it.until("-- the name lovelace is taken: you are lovelace~k3x7q")


async def test_an_answer_stands_in_the_room_in_which_it_was_asked_for() -> None:
    rooms = FakeRooms()
    rooms.earlier = [Message("old", "bob", 1, NOON, replayed=True)]
    async with terminal(rooms=rooms) as it:
        await join(it, rooms, "tea")
        it.type(ALT_1)
        await it.until("[1:lobby]")
        rooms.open.clear()
        it.type("/history\r" + ALT_2)
        await it.until("[2:tea]")
        rooms.open.set()
        it.type("/status\r")
        await it.until("ada in tea")
        assert "bob: old" not in it.screen.text
        it.type(ALT_1)
        await it.until(
            "── lobby ──\n-- this was said before:\n12:01 bob: old\n-- that was the last"
        )


async def test_what_is_asked_for_while_the_link_is_lost_is_said_to_wait() -> None:
    async with terminal() as it:
        it.session.happen(LinkLost("cut"))
        await it.until("offline")
        it.type("/names\r")
        await it.until("-- /names waits until the link is back")


async def test_a_room_that_ends_where_nobody_looks_does_not_take_one_elsewhere() -> None:
    rooms = FakeRooms()
    async with terminal(rooms=rooms) as it:
        await join(it, rooms, "tea")
        cake = await join(it, rooms, "cake")
        it.type(ALT_2 + "half a line")
        await it.until(">> half a line\n1:lobby [2:tea] 3:cake")
        cake.end(SessionClosedOK(Close(1001, "")))
        await it.until("── cake ──\n-- the session is over (1001)\n── tea ──\n>> half a line")
        await it.until("1:lobby [2:tea]")


async def test_the_first_room_may_be_left_before_others() -> None:
    rooms = FakeRooms()
    async with terminal(rooms=rooms) as it:
        await join(it, rooms, "tea")
        it.session.end(SessionClosedOK(Close(1001, "")))
        await it.until(lambda text: text.endswith("tea · online"))
        it.type("still here\r")
        await it.until("still here ✓ sent")
        rooms.sessions["tea"].end(SessionClosedOK(Close(1001, "")))
        await it.ended()


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("/join tea\r", "-- tea: the server is full"),
        ("/join tea room\r", "-- /join: a room's name has neither blanks nor slashes"),
        ("/join a/b\r", "-- /join: a room's name has neither blanks nor slashes"),
    ],
)
async def test_a_room_that_cannot_be_joined_says_why(keys: str, said: str) -> None:
    rooms = FakeRooms()
    rooms.refusal = Failure(ExitCode.REFUSED, "the server is full")
    async with terminal(rooms=rooms) as it:
        it.type(keys)
        await it.until(said)
        await it.until(">>\nlobby · online")


async def test_between_plain_peers_there_are_no_rooms() -> None:
    async with terminal() as it:
        it.type("/join tea\r")
        await it.until("-- there are no other rooms here")


async def test_at_the_end_all_rooms_have_their_say() -> None:
    rooms = FakeRooms()
    async with terminal(rooms=rooms) as it:
        tea = await join(it, rooms, "tea")
        tea.confirm = False
        it.type("lost\r")
        await it.until("… lost")
        it.type("a draft" + ALT_1)
        await it.until("[1:lobby]")
        tea.say("nobody looks")
        await it.until("2:tea 1")
        it.type("\x04\x04")
        await it.ended()
        assert it.screen.text.endswith(
            "── tea ──\n── new ──\n12:01 bob: nobody looks\n"
            "12:01 ada: lost ✗ not confirmed\n12:01 ada: a draft ✗ not sent"
        )
        assert rooms.closed == ["tea"]


async def test_a_long_backlog_of_a_room_is_folded_and_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(console_printer, "MAX_BACKLOG", 10)
    rooms = FakeRooms()
    async with terminal(rooms=rooms) as it:
        await join(it, rooms, "tea")
        for number in range(50):
            it.session.say(f"line {number}")
        await it.until("1:lobby 50 [2:tea]")
        it.type(ALT_1)
        await it.until("12:01 bob: line 49\n>>")
        (folded,) = lines_of(it.screen, "more, /history")
        assert int(folded.split()[1]) + len(lines_of(it.screen, "bob: line ")) == 50


# What was said before


async def test_what_was_said_before_is_shown_when_it_is_asked_for() -> None:
    rooms = FakeRooms()
    rooms.earlier = [Message(f"old {n}", "bob", n, NOON - DAY, replayed=True) for n in (1, 2)]
    async with terminal(rooms=rooms) as it:
        it.type("/history 2\r")
        await it.until(
            "-- this was said before:\n── Wednesday, 31 December 1969 ──\n"
            "12:01 bob: old 1\n12:01 bob: old 2\n-- those were the last 2 messages\n>>"
        )
        assert rooms.looked == [("lobby", "ada", 2)]
        it.session.say("now")
        await it.until("── Thursday, 1 January 1970 ──\n12:01 bob: now")


# What is new


def read_until(directory: Path, at: int) -> None:
    """Note up to where was read in the lobby."""
    places = Places(directory / "places.json")
    places.note("maple/lobby", Place(at, at - NOON))
    places.save()


async def test_what_came_while_one_was_away_is_marked(tmp_path: Path) -> None:
    await asyncio.to_thread(read_until, tmp_path, NOON + 2)
    async with terminal(rooms=FakeRooms(), directory=tmp_path) as it:
        for number in range(1, 5):
            it.session.happen(Message(f"m{number}", "bob", number, NOON + number, replayed=True))
        await it.until("12:01 bob: m2\n── new ──\n12:01 bob: m3\n12:01 bob: m4\n>>")
        it.type("\x04")
        await it.ended()
    places = Places(tmp_path / "places.json")
    await asyncio.to_thread(places.load)
    assert places.find("maple/lobby") == Place(NOON + 4, 4)


async def test_where_nothing_was_missed_nothing_is_marked(tmp_path: Path) -> None:
    await asyncio.to_thread(read_until, tmp_path, NOON + 9)
    async with terminal(rooms=FakeRooms(), directory=tmp_path) as it:
        it.session.happen(Message("old", "bob", 1, NOON, replayed=True))
        it.session.happen(Message("live", "bob", 2, NOON + 10))
        await it.until("12:01 bob: old\n12:01 bob: live")


async def test_what_was_missed_while_the_link_was_lost_is_marked() -> None:
    async with terminal() as it:
        it.session.happen(Message("before", "bob", 1, NOON), LinkLost("cut"))
        it.session.head = 2
        it.session.happen(LinkRestored(), Message("missed", "bob", 2, NOON))
        it.session.happen(Message("live", "bob", 3, NOON))
        await it.until("-- the link is back\n── new ──\n12:01 bob: missed\n12:01 bob: live\n>>")
        it.session.happen(LinkLost("cut"), LinkRestored(), Message("next", "bob", 4, NOON))
        await it.until("-- the link is back\n12:01 bob: next\n>>")


async def test_a_new_day_is_drawn() -> None:
    async with terminal() as it:
        it.session.happen(Message("old", "bob", 1, NOON - 2 * DAY, replayed=True))
        it.session.happen(Message("new", "bob", 2, NOON))
        await it.until(
            "── Tuesday, 30 December 1969 ──\n12:01 bob: old\n"
            "── Thursday, 1 January 1970 ──\n12:01 bob: new"
        )
        it.session.happen(Message("when?", "bob", 3, 2**63 - 1))
        await it.until("--:-- bob: when?")


async def test_what_is_new_and_not_shown_is_counted(tmp_path: Path) -> None:
    await asyncio.to_thread(read_until, tmp_path, NOON + 2)
    async with terminal(rooms=FakeRooms(), directory=tmp_path) as it:
        it.session.head = 12
        it.session.happen(Message("m10", "bob", 10, NOON + 10, replayed=True))
        await it.until("-- 7 more are new before these: /history 10\n── new ──\n12:01 bob: m10")


async def test_a_topic_is_told_once_and_not_over_each_link() -> None:
    async with terminal() as it:
        it.session.happen(Topic("tea", "bob"), LinkLost("cut"), LinkRestored(), Topic("tea", "bob"))
        it.session.happen(Topic("cake", "bob"))
        await it.until("-- topic: cake (by bob)")
        assert it.screen.text.count("topic: tea") == 1


async def test_a_gap_is_a_rule() -> None:
    async with terminal() as it:
        it.session.happen(Gap(2, 4), Restarted(), Topic("tea", "bob"))
        await it.until("── 3 messages are missing here: the room keeps them no longer ──")
        await it.until("-- topic: tea (by bob)")


# Our own lines in the room's order


async def test_what_is_held_waits_for_its_place_in_the_room() -> None:
    async with terminal() as it:
        it.session.has_log = True
        it.type("one\rtwo\r")
        await it.until("✓ one\n✓ two\n>>\nlobby · online")
        it.session.say("between")
        it.session.happen(Message("one", "ada", 1, NOON, own=True, own_number=1))
        it.session.say("and")
        it.session.happen(Message("two", "ada", 2, NOON + 60_000_000, own=True, own_number=2))
        await it.until(
            "12:01 bob: between\n12:01 ada: one ✓ sent\n12:01 bob: and\n12:02 ada: two ✓ sent\n>>"
        )


async def test_what_came_back_before_its_word_is_shown_once() -> None:
    async with terminal() as it:
        it.session.has_log = True
        it.session.confirm = False
        it.type("one\r")
        await it.until("… one")
        it.session.happen(Message("one", "ada", 1, NOON, own=True, own_number=1))
        await it.until("12:01 ada: one ✓ sent\n>>")
        it.session.receipts[0].settle()
        it.session.say("next")
        await it.until("next")
        assert it.screen.text.count("one") == 1


@pytest.mark.parametrize("event", [Gap(1, 5), Restarted()])
async def test_what_may_be_among_what_is_missing_is_shown_at_once_and_once(
    event: Gap | Restarted,
) -> None:
    async with terminal() as it:
        it.session.has_log = True
        it.type("one\r")
        await it.until("✓ one")
        it.session.happen(event)
        await it.until("12:01 ada: one ✓ sent")
        it.session.happen(Message("one", "ada", 6, NOON, own=True, own_number=1))
        it.session.say("next")
        await it.until("bob: next")
        assert it.screen.text.count("one ✓ sent") == 1


async def test_a_line_before_one_that_came_back_does_not_wait_any_more() -> None:
    async with terminal() as it:
        it.session.has_log = True
        it.type("one\rtwo\r")
        await it.until("✓ one\n✓ two\n>>")
        it.session.happen(Message("two", "ada", 2, NOON, own=True, own_number=2))
        await it.until("12:01 ada: one ✓ sent\n12:01 ada: two ✓ sent\n>>")


async def test_what_we_said_long_ago_is_shown_when_it_is_read_again() -> None:
    async with terminal() as it:
        it.session.has_log = True
        it.session.happen(Message("long ago", "ada", 1, NOON, own=True, own_number=77))
        await it.until("12:01 ada: long ago\n>>")


async def test_what_is_held_counts_as_sent_at_the_end() -> None:
    async with terminal() as it:
        it.session.has_log = True
        it.type("one\r")
        await it.until("✓ one")
        it.type("\x04")
        await it.ended()
        assert it.screen.text.endswith("12:01 ada: one ✓ sent")


# Who is there


async def test_the_bar_counts_who_is_there() -> None:
    async with terminal() as it:
        it.session.happen(Present(("bob", "cyd")), Joined("dan"))
        await it.until("lobby · 4 here · online")
        it.session.happen(Left("cyd"), Renamed("bob", "rob"))
        await it.until("lobby · 3 here · online")
        it.session.happen(LinkLost(""), LinkRestored(), Present(("rob",)))
        await it.until("lobby · 2 here · online")
        assert it.screen.text.count("here: ") == 1  # who is there is told once


async def test_coming_and_going_is_folded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "QUIET", 0.01)
    async with terminal() as it:
        it.session.happen(*(Joined(f"guest-{number}") for number in range(40)))
        it.session.happen(Left("guest-0"))
        await it.until("-- guest-0 is online\n-- +39 -1 (guest-1, ")
        assert "and 35 more)" in it.screen.text
        it.session.say("hello")
        await it.until("bob: hello")


async def test_who_speaks_was_seen_to_come() -> None:
    async with terminal() as it:
        it.session.happen(Joined("bob"), Joined("cyd"), Joined("dan"))
        it.session.say("hello", sender="dan")
        await it.until("-- bob is online\n-- online: cyd, dan\n12:01 dan: hello")


async def test_who_types_is_shown_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socketchat.cli.console.BAR_INTERVAL", 0.01)
    async with terminal() as it:
        it.session.happen(Typing("bob"))
        await it.until("lobby · online · bob is typing")
        it.session.happen(Typing("cyd"))
        await it.until("bob and cyd are typing")
        it.session.happen(Typing("dan"))
        await it.until("3 are typing")
        it.session.say("done")
        it.session.say("me too", sender="cyd")
        await it.until("lobby · online · dan is typing")
        monkeypatch.setattr(console_room, "TYPING_SHOWN", 0.05)
        it.session.happen(Typing("dan"))
        await it.until(">>\nlobby · online")


async def test_what_is_put_into_the_input_is_not_typed() -> None:
    rooms = FakeRooms()
    async with terminal(rooms=rooms) as it:
        it.type("draft")
        await it.until(">> draft")
        it.type("\x03")
        await it.until(">>\nlobby")
        tea = await join(it, rooms, "tea")
        it.type("for tea" + ALT_1)
        await it.until("[1:lobby]")
        typed = tea.typed, it.session.typed
        it.type(ALT_2)
        await it.until(">> for tea")
        it.type(ALT_1)
        await it.until("[1:lobby]")
        assert (tea.typed, it.session.typed) == typed


async def test_others_are_told_that_one_types_a_message() -> None:
    async with terminal() as it:
        it.type("/he")
        await it.until(">> /he")
        assert it.session.typed == 0
        it.type("\x03hello")
        await it.until(">> hello")
        assert it.session.typed == 1


async def test_names_are_aligned_where_there_is_room() -> None:
    async with terminal() as it:
        it.session.happen(Joined("grace"))
        it.session.say("hi")
        it.session.say("hello", sender="grace")
        it.session.say("and a very long name", sender="somebody-with-a-name")
        await it.until(
            "12:01   bob: hi\n12:01 grace: hello\n12:01 somebody-with-a-name: and a very long name"
        )
        it.type("me\r")
        await it.until("12:01          ada: me ✓ sent")
        it.screen.resize(40, 24)
        it.session.say("narrow")
        await it.until("12:01 bob: narrow")


async def test_who_is_ignored_without_a_key_is_so_under_another_name() -> None:
    async with terminal() as it:
        it.type("/ignore EVE\r")
        await it.until("what EVE says is not shown")
        it.session.happen(Joined("eve"), Renamed("eve", "mallory"))
        it.session.say("psst", sender="mallory")
        it.session.say("hello")
        await it.until("bob: hello")
        assert "psst" not in it.screen.text
        it.type("/ignore\r")
        await it.until("you ignore EVE, mallory")
        it.type("/unignore mal\t\r")
        await it.until("what mallory says is shown")


async def test_whom_one_ignores_is_not_heard() -> None:
    async with terminal() as it:
        it.session.happen(Joined("eve", key="SHA256:eve"))
        await it.until("eve is online")
        it.type("/ignore EVE\r")
        await it.until("-- what eve says is not shown")
        it.session.happen(Renamed("eve", "mallory", "SHA256:eve"), Typing("mallory"))
        it.session.happen(Message("ada!", "mallory", 1, NOON, public=b""))
        it.session.say("hello")
        await it.until("bob: hello")
        await it.until("lobby · 2 here · online")
        assert "is now mallory" not in it.screen.text


# Being called


async def test_one_who_is_called_is_called() -> None:
    async with terminal() as it:
        it.session.happen(Message("ada?", "bob", 1, NOON, replayed=True))
        it.session.say("and lovelace? canada? adam?")
        await it.until("adam?")
        assert it.screen.bells == 0
        it.session.say("hello @Ada, are you there?")
        await it.until("are you there?")
        it.session.happen(Message("psst", "bob", 2, NOON, to="ada"))
        await it.until("bob → ada: psst")
        assert it.screen.bells == 1  # a second one would come too soon
        assert it.screen.title == "(2) lobby - socketchat"
        it.type("x")
        await it.until(">> x")
        assert it.screen.title == "lobby - socketchat"


async def test_lag_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console_room, "LAG_SHOWN", 0.01)
    monkeypatch.setattr("socketchat.cli.console.BAR_INTERVAL", 0.01)
    monkeypatch.setattr(console_room, "PING_INTERVAL", 0.01)
    async with terminal() as it:
        it.session.answers.clear()
        await it.until("lobby · online · lag 0 s")
        it.session.answers.set()
        await it.until(">>\nlobby · online")
