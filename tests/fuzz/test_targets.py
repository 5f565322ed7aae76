"""Claims about whatever reads what strangers wrote: no bytes make it raise.

The corpus is replayed, and Hypothesis goes on from it, for a bounded time. `python -m tests.fuzz`
goes on for longer.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.fuzz.__main__ import main
from tests.fuzz.targets import CORPUS, TARGETS, corpus_of
from tests.test_protocol_fuzz import EDITS, edited


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*/*")), ids=lambda path: path.name)
def test_what_was_found_once_is_not_found_again(path: Path) -> None:
    TARGETS[path.parent.name](path.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
def test_there_is_a_corpus_for_each_target(name: str) -> None:
    assert len(corpus_of(name)) >= 5


@pytest.mark.parametrize("name", TARGETS)
def test_no_bytes_do_harm(name: str) -> None:
    seeds = st.sampled_from(corpus_of(name))

    @given(st.binary(max_size=300) | st.builds(edited, seeds, EDITS) | st.text().map(encoded))
    @example(b"")
    def fuzz(data: bytes) -> None:
        TARGETS[name](data)

    fuzz()


def encoded(text: str) -> bytes:
    """Return a text as bytes, as `text_of` reads them."""
    return text.encode("utf-8", "surrogatepass")


def test_a_target_that_is_not_there_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["nothing"])
    assert "codec" in capsys.readouterr().err
