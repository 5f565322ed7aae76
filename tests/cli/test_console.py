"""The real console, typed at through a pipe and shown on a terminal in memory.

Every test waits for what it wants to see (`console_harness.py`).
"""

from __future__ import annotations

import asyncio
import errno
from contextlib import suppress

import pytest

from socketchat.cli import console as console_module
from socketchat.cli.console import ChatSession
from socketchat.cli.console_sending import MAX_PENDING
from socketchat.errors import Close, MessageRejected, SessionClosedError, SessionClosedOK
from socketchat.events import Gap, Joined, LinkLost, LinkRestored, Message, Rejected
from socketchat.session import Session
from tests.cli.console_harness import NOON, FakeSession, lines_of, terminal

pytestmark = pytest.mark.may_block("a pipe stands for the keyboard")

# Both are what the console takes; mypy checks it.
_SESSIONS: list[type[ChatSession]] = [FakeSession, Session]


# What arrives


async def test_the_banner_stands_above_the_input_from_the_start() -> None:
    async with terminal() as it:
        await it.until("lobby · online")
        assert it.screen.rows[:3] == [
            "-- ada in lobby: Enter sends, /help tells more, Ctrl-D leaves",
            ">>",
            "lobby · online",
        ]
        assert it.screen.raw.index("Ctrl-D leaves") < it.screen.raw.index(">>")


async def test_messages_appear_above_the_input() -> None:
    async with terminal() as it:
        it.session.say("hello\nthere")
        it.session.say("hi", sender="carol")
        await it.until("12:01 carol: hi\n>>")
        assert it.screen.rows[1:4] == ["12:01 bob: hello", "           there", "12:01 carol: hi"]


async def test_what_happens_is_told() -> None:
    async with terminal() as it:
        it.session.happen(Joined("bob", "192.0.2.1:5000"), Gap(1, 3))
        await it.until("-- bob (192.0.2.1:5000) is online")
        await it.until("── 3 messages are missing here: the room keeps them no longer ──")


async def test_typing_while_ten_thousand_lines_arrive_leaves_the_input_intact() -> None:
    async with terminal() as it:
        typed = "the quick brown fox jumps over the lazy dog"
        for number in range(10_000):
            it.session.say(f"line {number}")
        for count, key in enumerate(typed, 1):
            it.type(key)
            await it.until(f">> {typed[:count]}".rstrip())
        await it.until("line 9999")
        await it.until(f">> {typed}\nlobby · online")
        arrived = lines_of(it.screen, "line ")
        assert arrived == [f"12:01 bob: line {number}" for number in range(10_000)]


async def test_hostile_text_is_shown_and_does_nothing() -> None:
    async with terminal() as it:
        before = len(it.screen.raw)
        it.session.say("\x1b[2J\x1b]0;title\x07\x9b31m\u202eabc\r>> forged", sender="e\x1b[1mve\nx")
        it.session.happen(Joined("m\x1b[2J", "\x1b]0;t\x07"), LinkLost("\x1b[2Jgone"))
        await it.until("gone")
        shown = it.screen.raw[before:]
        assert "12:01 e␛[1mve x: ␛[2J␛]0;title␇\ufffd31mabc" in it.screen.text
        assert not [bad for bad in ("\x1b[2J", "\x1b]0", "\x9b", "\u202e") if bad in shown]
        assert not [row for row in it.screen.rows if row.startswith(">> forged")]


async def test_a_lost_link_is_told_and_shown() -> None:
    async with terminal() as it:
        it.session.confirm = False
        it.session.happen(LinkLost("connection reset"))
        await it.until("-- the link is lost: connection reset")
        it.type("one\rtwo\r")
        await it.until("… one\n… two\n>>\nlobby · offline, 2 waiting")
        it.session.happen(LinkRestored())
        await it.until("lobby · online, 2 waiting")
        for receipt in it.session.receipts:
            receipt.settle()
        await it.until("-- the link is back\n12:01 ada: one ✓ sent\n12:01 ada: two ✓ sent\n>>")


async def test_the_toolbar_shows_the_latency(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console_module, "BAR_INTERVAL", 0.01)
    async with terminal() as it:
        it.session.latency = 0.0123
        await it.until("lobby · online · 12 ms")
        it.session.latency = 0.0001
        await it.until("lobby · online · <1 ms")


# What is typed


async def test_an_own_line_is_pending_until_it_is_acknowledged() -> None:
    async with terminal() as it:
        it.session.confirm = False
        it.type("hello\r")
        await it.until("… hello\n>>\nlobby · online, 1 waiting")
        it.session.say("meanwhile")
        await it.until("12:01 bob: meanwhile\n… hello\n>>")
        it.session.receipts[0].settle()
        await it.until("12:01 bob: meanwhile\n12:01 ada: hello ✓ sent\n>>\nlobby · online")
        assert it.session.sent == ["hello"]


async def test_the_row_goes_in_the_frame_that_prints_the_line() -> None:
    async with terminal() as it:
        it.session.confirm = False
        it.type("hello\r")
        await it.until("… hello")
        before = len(it.screen.writes)
        it.session.receipts[0].settle()
        await it.until("✓ sent")
        (frame,) = [write for write in it.screen.writes[before:] if "hello" in write]
        assert frame.startswith("\x1b[?2026h")
        assert frame.endswith("\x1b[?2026l")
        assert "…" not in frame


async def test_own_lines_are_confirmed_in_order() -> None:
    async with terminal() as it:
        it.session.confirm = False
        it.type("one\rtwo\rthree\r")
        await it.until("… one\n… two\n… three\n>>")
        for receipt in reversed(it.session.receipts):
            receipt.settle()
        await it.until("12:01 ada: one ✓ sent\n12:01 ada: two ✓ sent\n12:01 ada: three ✓ sent\n>>")


async def test_a_failed_line_stays_with_its_reason() -> None:
    async with terminal() as it:
        it.session.confirm = False
        it.type("one\rtwo\r")
        await it.until("… two\n>>")
        it.session.receipts[0].settle(MessageRejected(1, 1008, "muted"))
        it.session.happen(Rejected(1, 1008, "muted"))  # the same again, as an event
        it.session.receipts[1].settle()
        await it.until("12:01 ada: one ✗ not sent: muted\n12:01 ada: two ✓ sent\n>>")
        assert it.screen.text.count("muted") == 1


async def test_a_line_that_cannot_be_sent_says_why() -> None:
    async with terminal() as it:
        it.session.refusal = ValueError("too strange")
        it.type("one\r")
        await it.until("12:01 ada: one ✗ not sent: too strange\n>>")
        it.session.refusal = OSError(errno.ENOSPC, "the outbox is full", "/outbox")
        it.type("two\r")
        await it.until("12:01 ada: two ✗ not sent: the outbox is full\n>>")


async def test_typing_goes_on_while_the_session_takes_nothing() -> None:
    async with terminal() as it:
        it.session.accepting.clear()
        it.type("one\rtwo\rthree")
        # Nothing is shown as pending that the session has not taken: it would not survive a kill.
        await it.until(">> three\nlobby · online, 2 waiting")
        assert "… one" not in it.screen.text
        it.session.accepting.set()
        await it.until("12:01 ada: one ✓ sent\n12:01 ada: two ✓ sent\n>> three")


async def test_many_pending_lines_take_five_rows() -> None:
    async with terminal() as it:
        it.session.confirm = False
        it.type("".join(f"line {number}\r" for number in range(8)))
        await it.until("… 4 more\n… line 4\n… line 5\n… line 6\n… line 7\n>>")


async def test_a_full_queue_leaves_the_line_in_the_input() -> None:
    async with terminal() as it:
        it.session.accepting.clear()
        it.type("x\r" * MAX_PENDING + "one more\r")
        await it.until("200 lines wait to be sent: this one stays in the input")
        await it.until(">> one more")
        it.session.accepting.set()
        await it.until(lambda text: "waiting" not in text)
        it.type("\r")
        await it.until("12:01 ada: one more ✓ sent\n>>")


async def test_an_own_line_is_shown_when_it_comes_back_and_only_then() -> None:
    async with terminal() as it:
        it.session.has_log = True
        it.type("hello\r")
        await it.until("✓ hello\n>>")
        it.session.happen(Message("hello", "ada", 7, NOON, own=True, own_number=1))
        it.session.say("next")
        await it.until("12:01 ada: hello ✓ sent\n12:01 bob: next")
        assert it.screen.text.count("hello") == 1


async def test_empty_lines_are_not_sent() -> None:
    async with terminal() as it:
        it.type("\r  \r\x1b\r\rhello\r")
        await it.until("✓ sent")
        assert it.session.sent == ["hello"]


async def test_a_pasted_block_is_one_message() -> None:
    async with terminal() as it:
        it.type("\x1b[200~one\r\ntwo\r\n\r\nfour\n\x1b[201~")
        await it.until(">> one\n   two\n\n   four")
        assert it.session.sent == []
        it.type("\r")
        await it.until("12:01 ada: one\n           two\n\n           four ✓ sent\n>>")
        assert it.session.sent == ["one\ntwo\n\nfour"]


async def test_alt_enter_starts_a_new_line() -> None:
    async with terminal() as it:
        it.type("one\x1b\rtwo\r")
        await it.until("✓ sent")
        assert it.session.sent == ["one\ntwo"]


async def test_lines_are_edited_as_everywhere() -> None:
    async with terminal() as it:
        it.type("world\x01hello \x05!\x1b[D\x0b\r")  # ^A, ^E, left, ^K
        await it.until("✓ sent")
        it.type("\x1b[A?\r")  # up: the last line again
        await it.until("12:01 ada: hello world? ✓ sent")
        it.type("\x12wor\r\r")  # ^R
        await it.until(lambda text: text.count("hello world? ✓ sent") == 2)
        assert it.session.sent == ["hello world", "hello world?", "hello world?"]


async def test_the_line_discipline_keys_do_no_harm() -> None:
    async with terminal() as it:
        it.type("a\x1ab\x13c\x11\x1bd\r")  # ^Z is not typed, ^S and ^Q do not stop the terminal
        await it.until("ada: ab")


# Commands


async def test_help_lists_the_commands() -> None:
    async with terminal() as it:
        it.type("/help\r")
        await it.until("make an invite")
        assert "send a line that starts with a slash" in it.screen.text
        assert "   /quit " in it.screen.text
        assert it.session.sent == []


@pytest.mark.parametrize("line", ["/nope secret", "/", "/ x", "/usr/bin", "/\x1b[2J"])
async def test_an_unknown_command_is_never_sent(line: str) -> None:
    async with terminal() as it:
        it.type(line + "\x1b\r\r")
        await it.until("-- there is no command /")
        await it.until(lambda text: text.endswith(">>\nlobby · online"))
        assert it.session.sent == []


async def test_two_slashes_send_one() -> None:
    async with terminal() as it:
        it.type("//help me\r")
        await it.until("12:01 ada: /help me ✓ sent")
        assert it.session.sent == ["/help me"]


@pytest.mark.parametrize("keys", ["/quit\r", "/QUIT now\r", "\x04", "\x03"])
async def test_leaving(keys: str) -> None:
    async with terminal() as it:
        it.type(keys)
        await it.ended()
        assert ">>" not in it.screen.text
        assert it.screen.raw.rindex("\x1b[?2004l") > it.screen.raw.rindex("\x1b[?2004h")


async def test_ctrl_c_clears_a_line_first() -> None:
    async with terminal() as it:
        it.type("half a line")
        await it.until("half a line")
        it.type("\x03")
        await it.until(lambda text: text.endswith(">>\nlobby · online"))
        it.type("\x03")
        await it.ended()
        assert it.session.sent == []


async def test_ctrl_d_in_a_line_deletes() -> None:
    async with terminal() as it:
        it.type("abc\x01\x04\r")
        await it.until("12:01 ada: bc ✓ sent")


# The end


async def test_leaving_waits_for_what_was_just_typed() -> None:
    async with terminal() as it:
        it.session.confirm = False
        it.type("bye\r\x04")
        await it.until("… bye")
        await it.session.accepted(1)
        it.session.receipts[0].settle()
        await it.ended()
        assert it.screen.text.endswith("12:01 ada: bye ✓ sent")


async def test_whoever_leaves_twice_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console_module, "LEAVE_TIMEOUT", 1_000)
    async with terminal() as it:
        it.session.confirm = False
        it.type("bye\r\x04\x04")
        await it.ended()
        assert "12:01 ada: bye ✗ not " in it.screen.text


async def test_leaving_waits_only_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console_module, "LEAVE_TIMEOUT", 0.01)
    async with terminal() as it:
        it.session.confirm = False
        it.type("bye\r\x04")
        await it.ended()
        assert "12:01 ada: bye ✗ not confirmed" in it.screen.text


async def test_the_unsent_are_named_at_the_end() -> None:
    async with terminal() as it:
        it.session.happen(LinkLost(""))
        await it.until("offline")
        it.session.confirm = False
        it.type("one\r")
        await it.until("… one\n>>")
        it.session.accepting.clear()
        it.type("two\r")
        await it.until("… one\n>>\nlobby · offline, 2 waiting")
        it.type("\x04")
        await it.ended()
        assert it.screen.text.endswith("12:01 ada: one ✗ not confirmed\n12:01 ada: two ✗ not sent")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (SessionClosedOK(Close(1000, "")), "-- the session is over"),
        (SessionClosedOK(Close(1001, "so\x1b long")), "-- the session is over: so␛ long (1001)"),
        (SessionClosedError(Close(1008, "spam")), "-- the session is over: spam (1008)"),
    ],
)
async def test_the_session_s_end_is_said_and_ends_the_console(
    error: SessionClosedOK | SessionClosedError, said: str
) -> None:
    async with terminal() as it:
        it.session.confirm = False
        it.type("one\r")
        await it.until("… one\n>>\nlobby · online, 1 waiting")
        it.session.say("last words")
        it.session.end(error)
        await it.ended()
        assert it.screen.text.endswith(
            f"12:01 bob: last words\n{said}\n12:01 ada: one ✗ not confirmed"
        )


async def test_nothing_that_arrived_is_lost_at_the_end() -> None:
    async with terminal() as it:
        for number in range(5_000):
            it.session.say(f"line {number}")
        it.session.end(SessionClosedOK(Close(1000, "")))
        await it.ended()
        assert len(lines_of(it.screen, "line ")) == 5_000
        assert it.screen.text.endswith("line 4999\n-- the session is over")


async def test_exit_may_be_called_at_any_time_and_again() -> None:
    async with terminal() as it:
        asyncio.get_running_loop().call_soon_threadsafe(it.console.exit)
        await it.ended()
        it.console.exit()
    async with terminal(start=False) as it:
        it.console.exit()
        await it.console.run()
        it.console.exit()
        assert ">>" not in it.screen.text


async def test_a_cancelled_console_restores_the_terminal() -> None:
    async with terminal() as it:
        it.session.confirm = False
        it.type("one\r")
        await it.until("… one")
        it.task.cancel()
        await asyncio.wait([it.task])
        assert it.task.cancelled()
        assert ">>" not in it.screen.text
        assert "12:01 ada: one ✗ not " in it.screen.text
        assert it.screen.raw.rindex("\x1b[?2004l") > it.screen.raw.rindex("\x1b[?2004h")


async def test_a_console_cancelled_twice_restores_the_terminal_too() -> None:
    async with terminal() as it:
        for number in range(5_000):
            it.session.say(f"line {number}")
        await it.until("bob: line ")
        it.task.cancel()
        await asyncio.sleep(0)
        it.task.cancel()
        await asyncio.wait([it.task])
        assert it.task.cancelled()
        assert ">>" not in it.screen.text
        assert it.screen.raw.rindex("\x1b[?2004l") > it.screen.raw.rindex("\x1b[?2004h")


async def test_a_notice_at_the_last_moment_is_not_lost() -> None:
    async with terminal() as it:
        it.console.exit()
        while not it.task.done():
            it.console.notice("still here")
            await asyncio.sleep(0)
        it.console.notice("the last")
        assert it.screen.text.endswith("-- still here\n-- the last")
        assert ">>" not in it.screen.text


async def test_a_keyboard_that_goes_away_ends_the_console() -> None:
    async with terminal() as it:
        it.keyboard.close()
        await it.ended()
        assert ">>" not in it.screen.text


async def test_a_terminal_that_goes_away_ends_the_console() -> None:
    async with terminal() as it:
        it.screen.gone = True
        it.session.say("hello")
        await it.ended()


async def test_a_bug_is_raised_and_the_terminal_restored() -> None:
    async with terminal() as it:
        it.session.break_with(RuntimeError("a bug"))
        with pytest.raises(RuntimeError, match="a bug"):
            await it.ended()
        assert ">>" not in it.screen.text
        with suppress(RuntimeError):
            await it.task
        it.task = asyncio.create_task(asyncio.sleep(0))


async def test_notices_may_come_before_and_after() -> None:
    async with terminal(start=False) as it:
        it.console.notice("listening\x1b on port 7625")
        assert it.screen.text == "-- listening␛ on port 7625"
        task = asyncio.create_task(it.console.run())
        await it.until(">>")
        it.console.notice("during")
        await it.until("-- during\n>>")
        it.console.exit()
        await task
        it.console.notice("after")
        assert it.screen.text.endswith("-- during\n-- after")


async def test_what_is_still_in_the_input_is_named_too() -> None:
    async with terminal() as it:
        it.type("half a line")
        await it.until("half a line")
        it.session.end(SessionClosedOK(Close(1001, "")))
        await it.ended()
        assert it.screen.text.endswith("12:01 ada: half a line ✗ not sent")
