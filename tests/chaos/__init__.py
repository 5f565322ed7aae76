"""A chat under fire: real processes, TLS and SQLite, and faults at random times from a seed.

`python -m tests.chaos` says what can be asked for; `test_chaos.py` asks for a little of it.

- `journal.py`: what each client writes down about itself, and what the texts look like.
- `client.py`: a program in which some clients live; it is killed and started again.
- `programs.py`: programs that are killed and started again, the server and the clients.
- `held_log.py`: makes the server's commits slow.
- `harness.py`: runs them, with a faulty proxy (`tests/proxy.py`) between; does the harm; waits for
  rest.
- `checker.py`: compares the journals with the server's log. It is shown in `test_checker.py` that
  it finds each kind of violation.
"""
