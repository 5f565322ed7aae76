"""The pages of `serve --metrics`, as a program that watches over a server reads them."""

from __future__ import annotations

import re
import socket

from tests.cli.processes import Server

__all__ = ["ask", "figure", "port_of"]


def ask(port: int, path: str) -> tuple[int, str]:
    """Return status and text of a page."""
    with socket.create_connection(("127.0.0.1", port), 60) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(65_536), b"")).decode()
    head, _, body = answer.partition("\r\n\r\n")
    return int(head.split(" ")[1]), body


def port_of(server: Server) -> int:
    """Return the port that a server shows its pages at."""
    (found,) = re.findall(r"metrics at http://127\.0\.0\.1:(\d+)/metrics", server.err)
    return int(found)


def figure(server: Server, name: str) -> float:
    """Return a figure of a server."""
    _, page = ask(port_of(server), "/metrics")
    (value,) = re.findall(rf"^socketchat_{name} (\S+)$", page, re.MULTILINE)
    return float(value)
