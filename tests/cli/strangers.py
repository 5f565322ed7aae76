"""What may listen at a port besides a server: things that a test lets behave as it likes."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

__all__ = ["Behaviour", "fake_server"]

Behaviour = Callable[[socket.socket], object]


@contextmanager
def fake_server(behave: Behaviour) -> Iterator[str]:
    """Let something else listen; `behave` is called with each caller, in a thread."""
    listener = socket.create_server(("127.0.0.1", 0))

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
