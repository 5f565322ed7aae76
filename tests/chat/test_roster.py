"""Claims about `socketchat.chat.roster`: who holds which name, and for how long."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from socketchat.chat.roster import LINGER, Holder, Roster

pytestmark = pytest.mark.virtual_time

ADA, BOB = b"a" * 32, b"b" * 32


class Watched:
    """A roster, and the names of those who were told to have left."""

    def __init__(self) -> None:
        self.left: list[str] = []
        self.roster = Roster(self._note)

    def _note(self, holder: Holder) -> None:
        self.left.append(holder.nick)

    def come(self, nick: str, identity: bytes) -> bool:
        """Reserve a name and take a seat; tell whether it is news."""
        assert self.roster.reserve(nick, identity) == nick
        return self.roster.seat(nick)

    @property
    def present(self) -> list[str]:
        return [holder.nick for holder in self.roster]


@pytest.fixture
def watched() -> Iterator[Watched]:
    """Make a roster, and close it."""
    watched = Watched()
    yield watched
    watched.roster.close()


async def test_a_name_is_one_identitys(watched: Watched) -> None:
    assert watched.come("ada", ADA)
    assert watched.roster.reserve("ada", BOB) is None
    assert watched.roster.reserve("ADA", BOB) is None
    assert watched.roster.reserve("аda", BOB) is None  # noqa: RUF001 - Cyrillic
    assert watched.present == ["ada"]


async def test_sessions_of_one_identity_share_a_name_and_are_news_once(watched: Watched) -> None:
    assert watched.come("ada", ADA)
    assert not watched.come("ada", ADA)
    assert not watched.roster.leave("ada", lost=False)
    assert watched.present == ["ada"]
    assert watched.roster.leave("ada", lost=False)
    assert not watched.roster


async def test_one_spells_a_name_as_its_other_sessions_do(watched: Watched) -> None:
    watched.come("ada", ADA)
    assert watched.roster.reserve("ADA", ADA) == "ada"


async def test_a_name_that_is_reserved_is_taken_and_nobody_is_present(watched: Watched) -> None:
    assert watched.roster.reserve("ada", ADA) == "ada"
    assert watched.roster.reserve("ada", BOB) is None
    assert watched.present == []
    assert watched.roster.find("ada") is None
    watched.roster.vacate("ada")
    assert not watched.roster


async def test_who_was_lost_is_present_for_a_while(watched: Watched) -> None:
    watched.come("ada", ADA)
    assert not watched.roster.leave("ada", lost=True)
    assert watched.present == ["ada"]
    await asyncio.sleep(LINGER - 1)
    assert watched.left == []
    await asyncio.sleep(2)
    assert watched.left == ["ada"]
    assert not watched.roster


async def test_who_is_back_in_time_is_no_news(watched: Watched) -> None:
    watched.come("ada", ADA)
    watched.roster.leave("ada", lost=True)
    assert not watched.come("ada", ADA)
    await asyncio.sleep(2 * LINGER)
    assert watched.left == []


async def test_who_was_lost_gives_its_name_up_to_whoever_asks(watched: Watched) -> None:
    watched.come("ada", ADA)
    watched.roster.leave("ada", lost=True)
    assert watched.come("ada", BOB)
    assert watched.left == ["ada"]
    assert watched.roster.reserve("ada", ADA) is None


async def test_who_was_lost_keeps_its_name_while_it_is_about_to_be_back(watched: Watched) -> None:
    watched.come("ada", ADA)
    watched.roster.leave("ada", lost=True)
    assert watched.roster.reserve("ada", ADA) == "ada"
    assert watched.roster.reserve("ada", BOB) is None
    await asyncio.sleep(5 * LINGER)
    assert watched.left == []
    watched.roster.vacate("ada")
    await asyncio.sleep(2 * LINGER)
    assert watched.left == ["ada"]


async def test_who_is_back_under_another_name_does_not_linger_on(watched: Watched) -> None:
    watched.come("ada", ADA)
    watched.roster.leave("ada", lost=True)
    watched.come("lady", ADA)
    assert watched.left == ["ada"]
    assert watched.present == ["lady"]


async def test_one_who_was_lost_under_two_names_lingers_under_the_last(watched: Watched) -> None:
    watched.come("ada", ADA)
    watched.come("lady", ADA)
    watched.roster.leave("ada", lost=True)
    watched.roster.leave("lady", lost=True)
    assert watched.left == ["ada"]
    assert watched.present == ["lady"]


async def test_somebody_is_found_by_a_name_that_looks_like_theirs(watched: Watched) -> None:
    watched.come("Ada", ADA)
    found = watched.roster.find("ADA")
    assert found is not None
    assert (found.nick, found.identity) == ("Ada", ADA)
    assert watched.roster.find("eve") is None


async def test_one_that_is_closed_waits_for_nobody(watched: Watched) -> None:
    watched.come("ada", ADA)
    watched.roster.leave("ada", lost=True)
    watched.roster.close()
    await asyncio.sleep(2 * LINGER)
    assert watched.left == []
