"""Has a server announced on the network around while it runs, in a thread of its own.

So the server neither waits for it, nor has to read what others multicast, nor ends because of what
goes wrong there. `mdns.py` announces, `lan.py` says what; `serve.py` starts and ends it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Coroutine, Sequence
from contextlib import suppress

from socketchat.cli.lan import Service, chosen_interfaces
from socketchat.cli.target import is_loopback

__all__ = ["Announcing"]

#: Seconds that the end of a server waits for the announcement to be withdrawn.
GOODBYE = 2.0

_log = logging.getLogger("socketchat.lan")


class Announcing:
    """The announcement of a server: none until it is started."""

    def __init__(self) -> None:
        self._over = asyncio.Event()  # of the thread's loop
        self._loop: asyncio.AbstractEventLoop | None = None
        self._gone = asyncio.Event()

    def start(self, service: Service) -> None:
        """Begin to announce, unless only this machine can call the server."""
        interfaces = chosen_interfaces()
        if not interfaces and all(map(is_loopback, service.bound)):
            return
        self._loop = asyncio.new_event_loop()
        arguments = (self._loop, asyncio.get_running_loop(), service, interfaces)
        # A daemon: what hangs there must not keep the process.
        threading.Thread(target=self._run, args=arguments, name="announcing", daemon=True).start()

    def withdraw(self) -> None:
        """Have the announcement withdrawn; `gone` waits for that."""
        if self._loop is not None:
            with suppress(RuntimeError):  # it has ended, and closed its loop
                self._loop.call_soon_threadsafe(self._over.set)

    async def gone(self) -> None:
        """Wait until it is withdrawn, but not for long."""
        if self._loop is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(GOODBYE):
                    await self._gone.wait()

    def _run(
        self,
        loop: asyncio.AbstractEventLoop,
        servers_loop: asyncio.AbstractEventLoop,
        service: Service,
        interfaces: Sequence[str],
    ) -> None:
        """Be the thread."""
        try:
            from socketchat.cli.mdns import announce

            with asyncio.Runner(loop_factory=lambda: loop) as runner:
                runner.run(self._until_over(announce(service, interfaces)))
        except ImportError:
            what = "zeroconf is not installed; pip install 'socketchat[lan]'"
            _log.info("not announced on the network: %s", what)
        except Exception as exc:  # noqa: BLE001 - whatever it is, the server goes on
            _log.info("not announced on the network any more: %r", exc)
            _log.debug("this is why", exc_info=exc)
        finally:
            loop.close()
            with suppress(RuntimeError):  # the server has not waited so long
                servers_loop.call_soon_threadsafe(self._gone.set)

    async def _until_over(self, announcement: Coroutine[object, object, None]) -> None:
        announcing = asyncio.create_task(announcement)
        over = asyncio.create_task(self._over.wait())
        await asyncio.wait((announcing, over), return_when=asyncio.FIRST_COMPLETED)
        over.cancel()
        announcing.cancel()
        await asyncio.wait((announcing,))
        if not announcing.cancelled():
            announcing.result()
