"""How much of the machine other programs used meanwhile.

It matters more than one would think: a core that something else keeps busy never sleeps, so a
message finds its receiver awake, or waiting for the core, to be read together with many others.
Some contestants then double their rate. Only an idle machine gives figures that can be compared.
"""

import os
import time
from pathlib import Path


class Bystanders:
    """Watches from its creation on. Linux only: elsewhere nothing is known."""

    def __init__(self) -> None:
        """Start watching."""
        self._start = time.monotonic()
        self._others = _others()

    def share(self) -> float | None:
        """Return the part of all cores, 0.0 to 1.0, that went to others; `None` if not known."""
        others = _others()
        if others is None or self._others is None:
            return None
        available = (time.monotonic() - self._start) * (os.cpu_count() or 1)
        return max(0.0, others - self._others) / available


def _others() -> float | None:
    """Return the seconds of all cores that neither this process nor its ended children used."""
    try:
        first, *_ = Path("/proc/stat").read_text().splitlines()
    except OSError:
        return None
    user, nice, system, _, _, irq, softirq, steal = map(int, first.split()[1:9])
    busy = (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
    return busy - sum(os.times()[:4])
