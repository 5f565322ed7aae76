"""Takes the README's picture of the console: ``python -m tests.picture``.

Run from the top of the repository, on Linux or macOS, with the extra ``test`` installed. It runs a
server and its callers on pseudo-terminals (`conversation`), takes the host's screen when the last
of what is to be seen is there, and draws it (`svg`) into ``docs/console.svg``, or the file that is
named.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.cli.processes import stage
from tests.picture.conversation import play
from tests.picture.svg import draw

TARGET = Path(__file__).parents[2] / "docs" / "console.svg"
TITLE = "A console of socketchat"
DESCRIPTION = (
    "Three people talk in a room. Each line has its time and the name of who said it, coloured and"
    " aligned; a line that speaks to the reader has its name reversed, and the reader's own line is"
    " marked as sent. At the bottom are the prompt with a line half typed, and a bar that names the"
    " rooms, with three unread messages in one of them, and says that bob is typing."
)


def main() -> None:
    """Take the picture."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET
    with tempfile.TemporaryDirectory() as folder, stage(Path(folder)) as it:
        picture = draw(play(it).screen, TITLE, DESCRIPTION)
    target.write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    main()
