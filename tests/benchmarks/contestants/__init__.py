"""The contestants: one module each, named for its library, with a `contestant` in it.

A module is only imported in the processes that need it, so that no library pays for another one.
"""

import importlib

from tests.benchmarks.workload import Contestant

NAMES = ("socketchat", "picows", "websockets", "aiohttp", "streams", "pyzmq")


def load(name: str) -> Contestant:
    """Import one contestant.

    Raises:
        ImportError: Its library is not installed.
    """
    contestant: Contestant = importlib.import_module(f"{__name__}.{name}").contestant
    return contestant
