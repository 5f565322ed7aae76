"""What socketchat and others do when a link is cut, a server is killed, or a member stops reading.

`python -m tests.comparison` tries it and prints what came of it: docs/comparison.md has the table.
`members.py` is how one takes part in each of them, `rooms.py` what starts their servers,
`trials.py` what is tried, `terminals.py` what a line looks like that is typed meanwhile.
"""
