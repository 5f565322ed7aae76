"""Rooms on libraries that have none: programs that pass on each text to all connections.

``python -m tests.benchmarks.rooms.servers.LIBRARY PORT``. Each is written as its library's own
documentation shows it, without compression and pings, and runs on uvloop.
"""
