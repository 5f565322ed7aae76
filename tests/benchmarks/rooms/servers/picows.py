"""picows: its core interface, a listener whose method is called for each frame."""

import sys

import uvloop
from picows import (
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    ws_create_server,
)

from tests.benchmarks.rooms.workload import HOST

# Looked up once: an attribute of an Enum class is slow, and it is needed for every frame.
TEXT_FRAME = WSMsgType.TEXT

_members: set[WSTransport] = set()


class Member(WSListener):
    """Passes each text on to all members."""

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Take a seat."""
        _members.add(transport)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Leave it."""
        _members.discard(transport)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Pass on a text."""
        if frame.msg_type is TEXT_FRAME:
            text = frame.get_payload_as_bytes()
            for member in _members:
                member.send(TEXT_FRAME, text)

    def pause_writing(self) -> None:
        """Go on: what is on its way is bounded by the senders' window."""

    def resume_writing(self) -> None:
        """Go on."""


def listener(_: WSUpgradeRequest) -> WSListener:
    """Seat a caller."""
    return Member()


async def main(port: int) -> None:
    """Serve until ended."""
    server = await ws_create_server(listener, HOST, port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
