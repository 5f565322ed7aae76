"""Runs the cases of `docs/conformance` against servers, without Node.js: `python -m tests.interop`.

    python -m tests.interop echo=HOST:PORT, room=HOST:PORT,PIN ...

PIN is empty for a server without TLS. What is for a kind of server that is not named is left out.
Prints a line of JSON for each case, as `cases.mjs` does.
"""

from __future__ import annotations

import asyncio
import json
import sys

from tests.interop.conformance import CASES, run
from tests.interop.servers import Address


async def main(servers: dict[str, Address]) -> None:
    async def run_for(name: str) -> None:
        for case in (case for case in CASES if case.server == name):
            error = await run(case, servers[name])
            print(json.dumps({"file": case.file, "name": case.name, "error": error or None}))

    await asyncio.gather(*map(run_for, servers))


asyncio.run(
    main({name: Address.parse(at) for name, _, at in (arg.partition("=") for arg in sys.argv[1:])})
)
