"""Claims about `socketchat.chat.inviter`: what stands in an invite beside its own server."""

from __future__ import annotations

from socketchat import Identity
from socketchat.chat.inviter import Inviter
from socketchat.chat.neighbours import Place

INVITER = Inviter(Identity.generate(), "Maple", 7625)
OTHER = Identity.generate().fingerprint


def test_an_invite_leaves_out_what_it_cannot_name() -> None:
    places = [
        Place("Oak", 7625, OTHER),
        Place("maple", 7625, OTHER),  # this one's own, or another's that says so
        Place("oak", 7625, OTHER),
        Place("an elm", 7625, OTHER),
        Place("elm", 7625, "SHA256:nonsense"),
        Place("::1", 80, INVITER.pin),
    ]
    invite = INVITER.make("tea", 60, places)
    assert [server[:2] for server in invite.servers] == [
        ("maple", 7625),
        ("oak", 7625),
        ("::1", 80),
    ]


def test_an_invite_names_as_many_servers_as_it_has_room_for() -> None:
    places = [Place(f"server{number}.example", 7625, OTHER) for number in range(256)]
    invite = INVITER.make("", 60, places)
    assert len(invite.url) <= 2048
    assert 20 < len(invite.others) < 256
    assert [server.host for server in invite.others] == [
        f"server{number}.example" for number in range(len(invite.others))
    ]
