"""Claims about `socketchat.cli.labels`: what outboxes in files are called by."""

from __future__ import annotations

import pytest

from socketchat.cli.labels import call_words, label_of
from socketchat.cli.target import parse_target


@pytest.mark.parametrize("target", ["MAPLE:7700", "maple:7700", "Maple:7700/"])
def test_a_host_is_the_same_in_any_case(target: str) -> None:
    assert label_of(parse_target(target), "ada") == "ada@maple:7700/"


def test_several_servers_have_one_label_in_whichever_order() -> None:
    labels = {label_of(parse_target(it), "ada") for it in ("a,b:80/tea", "B:80,a:7625/tea")}
    assert labels == {"ada@a:7625,b:80/tea"}


@pytest.mark.parametrize(
    ("target", "nick", "words"),
    [
        ("oak,maple:80/tea", "ada", "maple:80,oak/tea is called as ada"),
        ("maple", "ada", "maple is called as ada"),
        ("maple:7700/Tea@5:00", "ada", "maple:7700/Tea@5:00 is called as ada"),
        ("[::1]:80/tea", "a@b/c", "[::1]:80/tea is called as a@b/c"),
        ("maple/tea", "", "maple/tea is called without a name"),
    ],
)
def test_it_says_which_call_it_is_for(target: str, nick: str, words: str) -> None:
    assert call_words(label_of(parse_target(target), nick)) == words


def test_a_label_that_is_none_of_ours_is_said_as_it_is() -> None:
    assert call_words("x") == "/x is called without a name"
