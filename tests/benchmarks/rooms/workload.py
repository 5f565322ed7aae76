"""What is said in the rooms, and the words that the other files share.

It knows no server and no protocol, starts no process and prints nothing.
"""

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

HOST = "127.0.0.1"
ROOM = "lobby"
SIZE = 64

#: With this every text begins, and nothing else on the wire holds it: to count deliveries is to
#: count marks. No beginning of it is also an end of it, so that two never overlap.
MARK = b"<marked>"

#: Messages that may be on their way at once, from all senders together.
WINDOW = 256


def text(number: int, size: int = SIZE) -> bytes:
    """Return message `number`: `size` characters of ASCII, as IRC can carry them too."""
    return (MARK + b"%012d" % number).ljust(size, b".")


@dataclass(frozen=True, slots=True)
class Job:
    """What a generator is to do, with which server.

    Attributes:
        task: The module beside this one whose `generate` does it.
        wire: The protocol that the server speaks, see `wires`.
        port: Where it listens.
        pid: Its process.
        core: The core to stay on; None leaves it to the system.
        options: Whatever the task needs to know, as JSON can say it.
    """

    task: str
    wire: str
    port: int
    pid: int
    core: int | None = None
    options: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return it as it goes onto a command line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Job":
        """Return what `to_json` was made from."""
        return cls(**json.loads(text))


Figures = dict[str, Any]
"""What a generator has found out, as JSON can say it."""


class Generate(Protocol):
    """What a task's module does in the generator's process."""

    def __call__(self, job: Job) -> Figures:
        """Measure."""
