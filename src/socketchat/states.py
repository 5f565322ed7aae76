"""Who may say what when: the states of a link, and all its transitions in one table.

Used by `protocol.py`, at both ends alike. It does no I/O.

**How a link goes.** Both ends follow the one table below. Its keys are the state, the side that
speaks, and the kind of message; what it does not hold may not be said. So the same row tells the
side that speaks what is a bug of its own, and the side that listens what is the other's error.

The server greets, the client says hello, the server welcomes or refuses it, and then the link is
OPEN and both talk at any time. Goodbye is said by each side for itself: Bye means "I shall post
nothing more", and whoever hears it answers with its own, behind the posts it had already accepted.
Acknowledgements still pass after that, in both directions, so that a goodbye loses nothing; the
link is finished once both have said it and nothing is unacknowledged. An end of the stream before
that is a lost link, never a goodbye.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, TypeAlias

from socketchat.messages import (
    Ack,
    Answer,
    Bye,
    Command,
    DataPost,
    Event,
    Greeting,
    Hello,
    Ping,
    Pong,
    Present,
    Refused,
    Reject,
    TextPost,
    Welcome,
)

__all__ = ["TRANSITIONS", "Side", "State"]


class Side(Enum):
    """Which end of a link this is."""

    CLIENT = "client"
    SERVER = "server"

    @property
    def other(self) -> Side:
        """The other end."""
        return Side.SERVER if self is Side.CLIENT else Side.CLIENT


class State(Enum):
    """How far a link has come; the same at both ends, but for what is still on its way."""

    START = "start"  # nothing was said
    GREETED = "greeted"  # the server has greeted
    ASKED = "asked"  # the client has said hello
    OPEN = "open"  # both talk
    CLIENT_LEFT = "client left"  # the client has said goodbye, the server not yet
    SERVER_LEFT = "server left"  # the server has said goodbye, the client not yet
    BOTH_LEFT = "both left"  # only answers still pass
    FAILED = "failed"  # refused, or an error: nothing passes any more


_Rules: TypeAlias = dict[type, State]

_C, _S = Side.CLIENT, Side.SERVER
_TALK: Final = (TextPost, DataPost, Event, Present)
#: Commands are for servers, who answer them.
_CLIENT_TALK: Final = (*_TALK, Command)
_SERVER_TALK: Final = (*_TALK, Answer)
#: What still passes after a goodbye. Ping too: it asks whether the other side has heard an answer.
_ANSWERS: Final = (Ack, Reject, Ping, Pong)


def _stay(state: State, *kinds: type) -> _Rules:
    return dict.fromkeys(kinds, state)


#: Who may say what when, and what the state is then. Whatever is not here is a protocol error.
TRANSITIONS: Final[dict[State, dict[Side, _Rules]]] = {
    State.START: {
        _S: {Greeting: State.GREETED, Bye: State.FAILED},
        _C: {Bye: State.FAILED},
    },
    State.GREETED: {
        _S: {Bye: State.FAILED},
        _C: {Hello: State.ASKED, Bye: State.FAILED},
    },
    State.ASKED: {
        _S: {Welcome: State.OPEN, Refused: State.FAILED, Bye: State.FAILED},
        _C: {Bye: State.FAILED},
    },
    State.OPEN: {
        _S: _stay(State.OPEN, *_SERVER_TALK, *_ANSWERS) | {Bye: State.SERVER_LEFT},
        _C: _stay(State.OPEN, *_CLIENT_TALK, *_ANSWERS) | {Bye: State.CLIENT_LEFT},
    },
    State.CLIENT_LEFT: {
        _S: _stay(State.CLIENT_LEFT, *_SERVER_TALK, *_ANSWERS) | {Bye: State.BOTH_LEFT},
        _C: _stay(State.CLIENT_LEFT, *_ANSWERS),
    },
    State.SERVER_LEFT: {
        _S: _stay(State.SERVER_LEFT, *_ANSWERS),
        _C: _stay(State.SERVER_LEFT, *_CLIENT_TALK, *_ANSWERS) | {Bye: State.BOTH_LEFT},
    },
    State.BOTH_LEFT: {
        _S: _stay(State.BOTH_LEFT, *_ANSWERS),
        _C: _stay(State.BOTH_LEFT, *_ANSWERS),
    },
    State.FAILED: {_S: {}, _C: {}},
}
