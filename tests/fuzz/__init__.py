"""Functions that take any bytes, and whoever can think of bytes.

- `targets.py`: one function for each thing that reads what strangers wrote. It may raise nothing.
- `corpus/TARGET/`: inputs worth beginning with, and those that once found something.
- `test_targets.py`: replays the corpus and lets Hypothesis think, for a bounded time.
- `__main__.py`: lets atheris think, which watches the code that is run, for as long as is wanted.
"""
