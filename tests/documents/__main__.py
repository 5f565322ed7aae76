"""Write all programs of the pages into a directory: `python -m tests.documents DIRECTORY`.

They are run where the pages are tested; written down like this, a type checker can look at them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tests.documents.pages import read_page
from tests.processes import ROOT


def main() -> None:
    """Do what was asked."""
    parser = argparse.ArgumentParser(description="Write all programs of the documents.")
    parser.add_argument("directory", type=Path)
    directory = parser.parse_args().directory
    directory.mkdir(parents=True)
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for script in read_page(page.read_text("utf-8")).scripts:
            with (directory / script.name).open("x", encoding="utf-8") as file:
                file.write(script.text)


if __name__ == "__main__":
    main()
