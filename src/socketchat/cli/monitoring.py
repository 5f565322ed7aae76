"""`serve --metrics`: `/metrics` and `/healthz`, for programs that watch over a server.

`chat/metrics.py` and `chat/health.py` say what is on these pages, `responder.py` answers,
`serve.py` starts and stops it. It goes on answering while the server closes, so that it is seen to
stop.
"""

from __future__ import annotations

from http import HTTPStatus

from socketchat.chat import ChatServer
from socketchat.chat.health import Health
from socketchat.chat.metrics import CONTENT_TYPE, Metrics
from socketchat.cli.endpoint import Endpoint
from socketchat.cli.outcome import ExitCode, Failure
from socketchat.cli.responder import Page, Responder
from socketchat.cli.target import is_loopback
from socketchat.cli.terminal import notice, say
from socketchat.server import Server

__all__ = ["Monitoring"]


class Monitoring:
    """The pages of a server: none until they are started."""

    def __init__(self, server: Server, chat: ChatServer) -> None:
        self._metrics = Metrics(server, chat)
        self._health = Health(server, chat)
        self._responder = Responder({"/metrics": self._figures, "/healthz": self._verdict})

    async def start(self, endpoint: Endpoint | None) -> None:
        """Listen, and say where; None does nothing.

        Raises:
            Failure: The address cannot be bound.
        """
        if endpoint is None:
            return
        try:
            await self._responder.start(*endpoint)
        except OSError as exc:
            why = exc.strerror or str(exc)
            raise Failure(ExitCode.CANNOT_REACH, f"{why}; try another --metrics") from exc
        for address, port, *_ in (one.getsockname() for one in self._responder.sockets):
            host = f"[{address}]" if ":" in address else address
            say(f"metrics at http://{host}:{port}/metrics")
            if not is_loopback(address):
                notice("whoever can call that port can read them: there is neither TLS nor a key")

    async def stop(self) -> None:
        """Answer nobody any more."""
        await self._responder.stop()

    async def _figures(self) -> Page:
        page = self._metrics.page(healthy=not await self._health.trouble())
        return Page(page, content_type=CONTENT_TYPE)

    async def _verdict(self) -> Page:
        trouble = await self._health.trouble()
        if trouble:
            return Page(f"{trouble}\n", HTTPStatus.SERVICE_UNAVAILABLE)
        return Page("ok\n")
