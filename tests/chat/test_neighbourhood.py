"""Claims about `socketchat.chat.neighbourhood`: who is remembered of other servers, and how many.

What comes of it in rooms is claimed in `test_redis_neighbours.py`.
"""

from __future__ import annotations

import pytest

from socketchat.chat.neighbourhood import Neighbourhood
from socketchat.chat.neighbours import Came, Renamed, Seat, Went


def seat(nick: str) -> Seat:
    return Seat(nick, nick.encode())


def known(around: Neighbourhood) -> list[str]:
    """Return the names that are remembered, in all rooms."""
    return sorted(one.nick for room in ("red", "tea") for _, one in around.seats(room))


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> Neighbourhood:
    """Return one that remembers as many names as it may."""
    monkeypatch.setattr("socketchat.chat.neighbourhood.MAX_SEATS", 3)
    around = Neighbourhood()
    around.present("one", [("tea", seat("ada")), ("tea", seat("bob"))])
    around.heard("two", Came("red", seat("cyd")))
    assert known(around) == ["ada", "bob", "cyd"]
    return around


def test_names_beyond_the_bound_are_not_remembered_until_there_is_room(
    full: Neighbourhood,
) -> None:
    full.heard("two", Came("red", seat("dan")))
    full.present("three", [("blue", seat("eve"))])
    assert known(full) == ["ada", "bob", "cyd"]
    assert full.find("blue", "eve") is None
    full.heard("two", Went("red", "dan"))  # nothing is taken off for it
    full.heard("one", Went("tea", "ada"))
    full.heard("two", Came("red", seat("dan")))
    full.heard("two", Came("red", seat("fay")))
    assert known(full) == ["bob", "cyd", "dan"]


def test_who_is_remembered_may_change_though_there_is_no_room(full: Neighbourhood) -> None:
    full.heard("one", Renamed("tea", "ada", seat("ann")))
    full.heard("one", Came("tea", Seat("bob", b"another")))
    assert known(full) == ["ann", "bob", "cyd"]
    assert full.find("tea", "bob") == Seat("bob", b"another")


def test_a_server_that_is_gone_leaves_room(full: Neighbourhood) -> None:
    full.present("one", ())
    full.present("three", [("tea", seat(nick)) for nick in ("fay", "gus", "hal")])
    assert known(full) == ["cyd", "fay", "gus"]
    for server in ("two", "three"):
        full.present(server, ())
    assert known(full) == []
    assert full._count == 0
    assert not full._seats
