"""Who is at the other end: the server's certificate, its pin, and the hosts that are known.

Used by `client.py`, `server.py` and the command; it knows nothing of sessions.
"""
