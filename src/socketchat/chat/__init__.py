"""Rooms: a room is an ordered log, a member is a place in it.

An application of the library: `serve(ChatServer(log))` makes a chat server. It knows nothing of the
command.
"""

from socketchat.chat.log import Draft, Entry, Log, Span
from socketchat.chat.memory_log import MemoryLog
from socketchat.chat.rate import Rate
from socketchat.chat.rules import Rules
from socketchat.chat.server import ChatServer

__all__ = ["ChatServer", "Draft", "Entry", "Log", "MemoryLog", "Rate", "Rules", "Span"]
