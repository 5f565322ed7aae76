"""Attacks on a server over real sockets, while a good member talks to it and takes the time.

By default the server is a process of its own, `socketchat serve --headless`, on this machine and
with a data directory of its own; `SOCKETCHAT_HOSTILE_TARGET=HOST:PORT` names any other that runs.
`test_attacks.py` has a little of each attack; `python -m tests.hostile --long` all of it.

- `packing.py`: frames and msgpack by hand, so that they can be wrong in any way.
- `caller.py`: a connection without manners; it knows nothing of the library.
- `target.py`: the server, what it has said, and the memory that it holds.
- `good.py`: the program of the good member.
- `harness.py`: runs an attack, and looks at what became of the server and the good member.
- `waiting.py`, `coming.py`, `frames.py`, `posing.py`, `fields.py`: the attacks, in `attacks.py`;
  `identity.py`: by those who pretend to be somebody, in `test_identity_attacks.py`.
"""
