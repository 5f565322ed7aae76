"""A chat under fire: real processes, TLS, SQLite or Redis, and faults at random times from a seed.

`python -m tests.chaos` says what can be asked for; `test_chaos.py` asks for a little of it.

- `plan.py`: what is to happen, and what has happened.
- `journal.py`: what each client writes down about itself, and what the texts look like.
- `client.py`: a program in which some clients live; it is killed and started again.
- `programs.py`: programs that are killed and started again, the servers and the clients.
- `stores.py`: where servers keep what is said; `held_log.py` makes commits to SQLite slow.
- `redis_store.py`: the Redis of several servers, and its replica; it is killed, and replaced.
- `harness.py`: runs them, with a faulty proxy (`tests/proxy.py`) between; does the harm; waits for
  rest.
- `views.py`: reads in the end what each server shows.
- `checker.py`: compares the journals, and what servers show, with the log. It is shown in
  `test_checker.py` that it finds each kind of violation.
"""
