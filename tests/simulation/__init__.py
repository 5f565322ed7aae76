"""A simulation of clients, a server and rooms on virtual time, driven by one seed.

What runs is the real code: sessions of `connect`, the server, `ChatServer`, its rooms, outboxes in
files. What is simulated is the world around it: links (`network.py`), a disk with a log that
outlives its server (`engine.py`), the machine that the server runs on (`machine.py`), people who
start and kill clients (`person.py`), and everything that goes wrong (`faults.py`). A run
(`world.py`, `runner.py`) leaves a history (`history.py`) of what every client was told and of what
the log holds; `checker.py` finds what must not be in it. That it does is shown with faults planted
in the code (`planted.py`).

    python -m tests.simulation --seed 1234 --verbose
    python -m tests.simulation --seeds 0:3000
"""
