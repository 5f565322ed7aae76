"""Claims about `socketchat.chat.metrics` and `tally`: what is counted, and how it is written."""

from __future__ import annotations

import re

import pytest

from socketchat import MessageRejected
from socketchat.chat.metrics import Census, Metrics, census_of
from socketchat.chat.registry import Registry
from socketchat.chat.tally import BOUNDS, Tally
from socketchat.errors import HandshakeRefused, LogUnavailable
from socketchat.refusals import Refusal
from tests.chat.chatting import Chat, chat, new_log, say
from tests.sessions import turns, until

pytestmark = pytest.mark.virtual_time

#: A line of the format: a name, perhaps labels, a number.
SAMPLE = re.compile(r'([a-z_]+)(\{[a-z]+="[^"\\\n]*"(?:,[a-z]+="[^"\\\n]*")*\})? ([0-9.e+-]+)')


def page_of(it: Chat, *, healthy: bool = True) -> dict[str, float]:
    """Return what the page says; every line of it must be one of the format."""
    page = Metrics(it.listener, it.server).page(healthy=healthy)
    assert page.endswith("\n")
    samples: dict[str, float] = {}
    kinds: dict[str, str] = {}
    name = kind = ""
    for line in page.splitlines():
        if line.startswith("# HELP "):
            _, _, name, words = line.split(" ", 3)
            assert words.endswith(".")
        elif line.startswith("# TYPE "):
            assert line.split(" ")[2] == name
            assert name not in kinds
            kind = kinds[name] = line.split(" ")[3]
        else:
            found = SAMPLE.fullmatch(line)
            assert found is not None, line
            family = found[1]
            if kind == "histogram":
                family = re.sub("_(bucket|sum|count)$", "", family)
            assert family == name
            assert (kind == "counter") == family.endswith("_total")
            samples[found[1] + (found[2] or "")] = float(found[3])
    return samples


def figures(it: Chat, *names: str) -> list[float]:
    """Return some of what the page says."""
    samples = page_of(it)
    return [samples[f"socketchat_{name}"] for name in names]


async def test_a_server_that_nobody_has_called_says_nothing_but_zeros(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        samples = page_of(it)
        assert samples.pop("socketchat_healthy") == 1
        (build,) = (name for name in samples if name.startswith("socketchat_build_info"))
        assert re.search(r'version="\d[^"]*",python="3\.\d', build)
        assert samples.pop(build) == 1
        assert samples.pop("process_start_time_seconds") > 1.6e9
        assert samples.pop("process_cpu_seconds_total") > 0
        assert set(samples.values()) == {0}
        assert page_of(it, healthy=False)["socketchat_healthy"] == 0


async def test_what_is_said_is_counted_once_and_each_delivery_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        ada, *_ = [await it.call(nick) for nick in ("ada", "bob", "eve")]
        await say(ada, "one", "two")
        await say(await it.call("dan", "tea"), "three")
        await turns()
        assert figures(it, "sessions", "members", "rooms") == [4, 4, 2]
        assert figures(it, "messages_total", "deliveries_total") == [3, 2 * 3 + 1]
        late = await it.call("fay", history=10)
        assert figures(it, "messages_total", "deliveries_total") == [3, 2 * 3 + 1 + 2]
        assert figures(it, "members") == [5]
        await late.close()
        await until(lambda: figures(it, "sessions", "members") == [4, 4])


async def test_a_direct_message_is_delivered_to_its_two_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        ada, *_ = [await it.call(nick) for nick in ("ada", "bob", "eve")]
        await (await ada.send("psst", to="bob"))
        assert figures(it, "messages_total", "deliveries_total") == [1, 2]
        await it.call("fay", history=10)
        assert figures(it, "deliveries_total") == [2]
        await say(ada, "all of you")
        assert figures(it, "deliveries_total") == [2 + 4]


async def test_direct_and_other_messages_in_one_piece_are_told_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = new_log(slow=True)
    async with chat(monkeypatch, log) as it:
        ada, *_ = [await it.call(nick) for nick in ("ada", "bob", "eve")]
        for to in ("", "bob", ""):
            await ada.send("psst", to=to)
        await until(lambda: len(log.under_way) == 3)
        log.commit()
        await turns()
        assert figures(it, "messages_total", "deliveries_total") == [3, 3 + 3 + 2]


async def test_what_is_refused_is_counted_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(monkeypatch) as it:
        ada = await it.call("ada")
        with pytest.raises(MessageRejected):
            await (await ada.send("psst", to="nobody"))
        assert figures(it, "messages_total", "rejections_total") == [0, 1]


async def test_a_member_that_does_not_read_is_behind_until_it_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        ada, bob = await it.call("ada"), await it.call("bob")
        it.stall(bob)
        said = 0
        while not figures(it, "members_behind")[0]:
            await say(ada, "x" * 10_000)
            said += 1
        await say(ada, "one more", "and another")
        behind, lag = figures(it, "members_behind", "lag_entries")
        assert behind == 1
        assert 3 <= lag <= said + 2
        assert figures(it, "deliveries_total") == [2 * (said + 2) - lag]
        it.resume(bob)
        await until(lambda: figures(it, "members_behind", "lag_entries") == [0, 0])
        assert figures(it, "deliveries_total") == [2 * (said + 2)]


async def test_a_member_whose_place_counts_no_more_is_not_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        ada = await it.call("ada")
        await say(ada, "one", "two")
        (room,) = it.server.rooms
        for member in room.members.values():
            member.stop_giving()
        assert census_of(it.server) == Census(rooms=1, members=1)


async def test_commits_are_counted_and_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    log = new_log(slow=True)
    async with chat(monkeypatch, log) as it:
        ada = await it.call("ada")
        receipt = await ada.send("one")
        await until(lambda: log.under_way)
        assert figures(it, "appends_under_way", "commits_total") == [1, 0]
        log.commit()
        await receipt
        names = ("appends_under_way", "commits_total", "commit_seconds_count")
        assert figures(it, *names) == [0, 1, 1]
        assert 0 <= figures(it, "commit_seconds_sum")[0] < 1
        assert figures(it, 'commit_seconds_bucket{le="+Inf"}') == [1]


async def test_an_append_that_fails_is_no_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    log = new_log(slow=True)
    async with chat(monkeypatch, log) as it:
        ada = await it.call("ada")
        receipt = await ada.send("one")
        await until(lambda: log.under_way)
        log.fail(LogUnavailable("the disk is full"))
        log.speed_up()
        await receipt  # it is sent again
        names = ("append_failures_total", "commits_total", "messages_total", "appends_under_way")
        assert figures(it, *names) == [1, 1, 1, 0]


async def test_callers_that_are_turned_away_are_counted_by_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch, registry=Registry(private=True)) as it:
        with pytest.raises(HandshakeRefused):
            await it.call("ada")
        names = [f'refusals_total{{reason="{kind.name.lower()}"}}' for kind in Refusal]
        assert sum(figures(it, *names)) == 1
        assert figures(it, 'refusals_total{reason="not_admitted"}') == [1]


async def test_nothing_that_strangers_choose_is_on_the_page(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with chat(monkeypatch) as it:
        before = set(page_of(it))
        ada = await it.call("adalovelace", "secretroom")
        await say(ada, "what is said")
        assert set(page_of(it)) == before
        page = Metrics(it.listener, it.server).page(healthy=True)
        assert not re.search("adalovelace|secretroom|what is said|127[.]", page)


# The tally alone


@pytest.mark.parametrize("seconds", [0.0, *BOUNDS, 0.0011, 11.0])
def test_a_commit_counts_in_the_class_of_the_first_bound_that_it_keeps(seconds: float) -> None:
    tally = Tally()
    tally.appended(1000.0)
    tally.answered(0.0, seconds, made=True)
    below = [bound for bound in (*BOUNDS, float("inf")) if seconds <= bound]
    place = len(BOUNDS) + 1 - len(below)
    assert tally.committed == [int(index == place) for index in range(len(BOUNDS) + 1)]
    assert tally.commit_seconds == seconds


def test_the_log_has_moved_when_it_answered_or_was_given_something_to_do() -> None:
    tally = Tally()
    tally.appended(1.0)
    tally.appended(2.0)
    assert tally.moved_at == 1
    tally.answered(1.0, 3.0, made=False)
    assert (tally.moved_at, tally.failed_at, tally.under_way) == (3, 3, 1)
    tally.answered(2.0, 4.0, made=True)
    assert (tally.moved_at, tally.failed_at, tally.under_way) == (4, None, 0)
    tally.appended(9.0)
    assert tally.moved_at == 9
