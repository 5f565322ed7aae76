"""Rooms: a room is an ordered log, a member is a place in it.

An application of the library: `serve(ChatServer())` makes a chat server. It knows nothing of the
command.
"""

from socketchat.chat.server import ChatServer

__all__ = ["ChatServer"]
