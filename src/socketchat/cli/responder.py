"""Answers GET and HEAD over HTTP/1.1, for programs that watch over this one.

Little of RFC 9112 is enough for that: a request is read up to its blank line, answered, and the
connection closed. Everything is bounded: connections, bytes and seconds; and nothing that comes
over the wire raises. A framework would be a dependency for two pages; the standard library's own
server bounds neither seconds nor connections, and would need a thread for each. What the pages say
is not known here (`monitoring.py`).
"""

from __future__ import annotations

import asyncio
import logging
import re
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from typing import Final

from socketchat.listening import Acceptor, listen
from socketchat.streams import accept_streams

__all__ = ["Page", "Responder"]

#: Connections at once; others are closed as they come.
MAX_CONNECTIONS: Final = 32
#: Bytes of a request, up to its blank line.
MAX_REQUEST: Final = 8192
#: Seconds for a connection, from its first moment to its last.
DEADLINE: Final = 5.0
#: Bytes behind a request that are read and forgotten, so that a reset does not overtake the answer.
MAX_REST: Final = 65_536

_REQUEST = re.compile(
    rb"(?P<method>[!#$%&'*+.^_`|~0-9A-Za-z-]+) (?P<target>[!-~]+) HTTP/(?P<version>[0-9]\.[0-9])"
)
_HEADER = re.compile(rb"(?P<name>[!#$%&'*+.^_`|~0-9A-Za-z-]+):[^\x00\r\n]*")
_END = re.compile(rb"\r?\n\r?\n")
_ORIGIN = re.compile("https?://[^/]*", re.IGNORECASE)
_METHODS: Final = ("GET", "HEAD")

_log = logging.getLogger("socketchat.responder")


@dataclass(frozen=True, slots=True)
class Page:
    """An answer.

    Attributes:
        text: What it says.
        status: Its status.
        content_type: What kind of text it is.
    """

    text: str
    status: HTTPStatus = HTTPStatus.OK
    content_type: str = "text/plain; charset=utf-8"


class Responder:
    """Listening sockets, and the connections that they brought.

    Args:
        pages: What makes each page, by its path.
    """

    def __init__(self, pages: Mapping[str, Callable[[], Awaitable[Page]]]) -> None:
        self._pages = pages
        self._acceptors: list[Acceptor] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.sockets: tuple[socket.socket, ...] = ()

    async def start(self, host: str, port: int) -> None:
        """Listen.

        Raises:
            OSError: The address cannot be bound; `strerror` names it.
        """
        self.sockets = tuple(await listen(host, port))
        self._acceptors = [Acceptor(each, self._take) for each in self.sockets]

    async def stop(self) -> None:
        """Stop listening, and end what is under way."""
        acceptors, self._acceptors = self._acceptors, []
        for acceptor in acceptors:
            await acceptor.stop()
        # What has only just come must have begun, or its connection would stay open.
        await asyncio.sleep(0)
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _take(self, connection: socket.socket, address: str) -> None:
        del address
        if len(self._tasks) >= MAX_CONNECTIONS:
            connection.close()
            return
        task = asyncio.create_task(self._serve(connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, connection: socket.socket) -> None:
        writer: asyncio.StreamWriter | None = None
        try:
            async with asyncio.timeout(DEADLINE):
                reader, writer = await accept_streams(connection, None, DEADLINE)
                writer.write(await self._answer(reader))
                await writer.drain()
                if not writer.transport.is_closing():
                    writer.write_eof()
                await _read_rest(reader)
        except TimeoutError:
            _log.debug("a reader of metrics took too long")
        except OSError as exc:
            _log.debug("a reader of metrics is gone: %s", exc)
        finally:
            if writer is not None:
                writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader) -> bytes:
        """Read a request, and return the answer."""
        head = b""
        while not (found := _END.search(head)):
            if len(head) == MAX_REQUEST:
                return _encode(_page_of(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE))
            piece = await reader.read(MAX_REQUEST - len(head))
            head += piece
            if not piece:
                return _encode(_page_of(HTTPStatus.BAD_REQUEST))
        method, page = await self._page(head[: found.start()])
        return _encode(page, with_body=method != "HEAD")

    async def _page(self, head: bytes) -> tuple[str, Page]:
        """Return the method that was asked for, and the page."""
        first, *fields = re.split(rb"\r?\n", head)
        request = _REQUEST.fullmatch(first)
        if request is None:
            return "", _page_of(HTTPStatus.BAD_REQUEST)
        method = request["method"].decode()
        if not request["version"].startswith(b"1."):
            return method, _page_of(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
        names = [found["name"].lower() for each in fields if (found := _HEADER.fullmatch(each))]
        hosts = names.count(b"host")
        if len(names) < len(fields) or hosts > 1 or (not hosts and request["version"] == b"1.1"):
            return method, _page_of(HTTPStatus.BAD_REQUEST)
        path = _ORIGIN.sub("", request["target"].decode(), count=1).partition("?")[0]
        make = self._pages.get(path)
        if make is None:
            return method, _page_of(HTTPStatus.NOT_FOUND)
        if method not in _METHODS:
            return method, _page_of(HTTPStatus.METHOD_NOT_ALLOWED)
        try:
            return method, await make()
        except Exception:  # noqa: BLE001 - a page's bug is not the server's end; it is logged
            _log.exception("the page %s cannot be made", path)
            return method, _page_of(HTTPStatus.INTERNAL_SERVER_ERROR)


async def _read_rest(reader: asyncio.StreamReader) -> None:
    """Wait until the other side has hung up, and forget what it still says."""
    rest = 0
    while rest < MAX_REST and (piece := await reader.read(4096)):
        rest += len(piece)


def _page_of(status: HTTPStatus) -> Page:
    return Page(f"{status.phrase.lower()}\n", status)


def _encode(page: Page, *, with_body: bool = True) -> bytes:
    body = page.text.encode()
    fields = [
        f"HTTP/1.1 {page.status.value} {page.status.phrase}",
        f"Date: {formatdate(usegmt=True)}",
        f"Content-Type: {page.content_type}",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        "Connection: close",
    ]
    if page.status is HTTPStatus.METHOD_NOT_ALLOWED:
        fields.append(f"Allow: {', '.join(_METHODS)}")
    return "\r\n".join([*fields, "", ""]).encode() + (body if with_body else b"")
