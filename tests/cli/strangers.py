"""What may listen at a port besides a server: things that a test lets behave as it likes."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from socketchat.framing import FrameDecoder
from socketchat.messages import VERSION, Greeting, Hello, TextPost, Welcome, decode, encode

__all__ = ["Behaviour", "fake_server", "take_and_never_acknowledge"]

Behaviour = Callable[[socket.socket], object]


@contextmanager
def fake_server(behave: Behaviour, port: int = 0) -> Iterator[str]:
    """Let something else listen; `behave` is called with each caller, in a thread."""
    listener = socket.create_server(("127.0.0.1", port))

    def serve() -> None:
        while True:
            try:
                caller, _ = listener.accept()
            except OSError:
                return
            with caller, suppress(OSError):
                caller.settimeout(60)
                behave(caller)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def take_and_never_acknowledge(
    taken: threading.Event, last_words: bytes, caller: socket.socket
) -> None:
    """Let a client in and take its posts; say some last words after the first one."""
    frames = FrameDecoder(2**20)
    caller.sendall(encode(Greeting(VERSION, bytes(32))))
    while data := caller.recv(2**16):
        for message in map(decode, frames.frames(data)):
            if isinstance(message, Hello):
                caller.sendall(encode(Welcome(bytes(16), 0, message.nick)))
            if isinstance(message, TextPost):
                taken.set()
                if last_words:
                    caller.sendall(last_words)
                    caller.shutdown(socket.SHUT_WR)
