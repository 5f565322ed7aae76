"""A chat room inside an aiohttp service: people with a browser and people with a terminal in one.

It needs `pip install aiohttp`. Start it, open http://localhost:8080, and come in from a terminal:

    python examples/web_room.py
    socketchat connect localhost

The chat server runs in the same process. Each page has a WebSocket, and behind it a session of its
own. A page that reads slowly slows nobody down: what it has not got yet is in the room's log. Lines
are shown when they come back from the room: then they are kept.
"""

import argparse
import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

from aiohttp import web

import socketchat
from socketchat.chat import ChatServer
from socketchat.chat.sqlite_log import SQLiteLog

PAGE = """<!doctype html><meta charset="utf-8"><title>web room</title>
<ol id="log"></ol><form><input id="say" size="60" autofocus></form>
<script>
  const nick = prompt("Your name?") || "";
  const link = new WebSocket(`${location.origin.replace("http", "ws")}/room?nick=` +
                             encodeURIComponent(nick));
  link.onmessage = (event) => {
    const said = JSON.parse(event.data), line = document.createElement("li");
    line.textContent = `${said.from}: ${said.text}`;  // as text: nobody's markup is run
    document.getElementById("log").append(line);
  };
  link.onclose = () => { document.title = "the room is closed"; };
  document.forms[0].onsubmit = (event) => {
    const say = document.getElementById("say");
    link.send(say.value); say.value = ""; event.preventDefault();
  };
</script>"""

SERVER = web.AppKey("server", socketchat.Server)


async def page(_: web.Request) -> web.Response:
    """Give the page."""
    return web.Response(text=PAGE, content_type="text/html")


async def join(request: web.Request) -> web.WebSocketResponse:
    """Join a page's WebSocket to the room, until one of them ends."""
    # A browser lets any site open a WebSocket here, but says which one it was.
    if request.headers.get("Origin", "").partition("://")[2] != request.host:
        raise web.HTTPForbidden(text="this room is for its own page")
    browser = web.WebSocketResponse(heartbeat=20)
    await browser.prepare(request)
    server = request.app[SERVER]
    async with socketchat.connect(
        "127.0.0.1",
        server.port,
        nick=request.query.get("nick", "")[:32],
        trust=server.fingerprint,
        history=50,
    ) as session:
        ways = [asyncio.create_task(to_page(session, browser))]
        ways += [asyncio.create_task(from_page(browser, session))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
    await browser.close()
    return browser


async def to_page(session: socketchat.Session, browser: web.WebSocketResponse) -> None:
    """Give the page what is said, its own lines too, in the order of the room."""
    async for event in session.events():
        if isinstance(event, socketchat.Message) and isinstance(event.body, str):
            await browser.send_json({"from": event.sender, "text": event.body})


async def from_page(browser: web.WebSocketResponse, session: socketchat.Session) -> None:
    """Say in the room what was typed in the page."""
    async for message in browser:
        if isinstance(message.data, str) and message.data.strip():
            await session.send(message.data)


def main(args: argparse.Namespace) -> None:
    """Serve the page and the room, until Ctrl-C or SIGTERM."""

    async def room(app: web.Application) -> AsyncIterator[None]:
        identity = await asyncio.to_thread(socketchat.Identity.load_or_generate, args.data)
        chat = ChatServer(SQLiteLog(args.data))
        async with socketchat.serve(chat, args.host, args.chat_port, identity=identity) as server:
            app[SERVER] = server
            print(f"page at port {sock.getsockname()[1]}", flush=True)
            print(f"room at port {server.port}, key {server.fingerprint}", flush=True)
            yield

    async def leave(app: web.Application) -> None:
        await app[SERVER].close()  # the sessions end, and with them the pages' requests

    app = web.Application()
    app.add_routes([web.get("/", page), web.get("/room", join)])
    app.cleanup_ctx.append(room)
    app.on_shutdown.append(leave)
    with socket.create_server((args.host, args.port)) as sock:
        web.run_app(app, sock=sock, print=None)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A chat room in a web service.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080, help="of the page")
    parser.add_argument("--chat-port", type=int, default=socketchat.DEFAULT_PORT)
    parser.add_argument("--data", type=Path, default=Path.home() / ".socketchat-web")
    main(parser.parse_args())
