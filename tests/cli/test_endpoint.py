"""Claims about `socketchat.cli.endpoint`."""

from __future__ import annotations

import click
import pytest

from socketchat.cli.endpoint import address_of, endpoint_of

CONTEXT = click.Context(click.Command("serve"))
OPTION = click.Option(["--metrics"])


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        (":9100", ("127.0.0.1", 9100)),
        (":0", ("127.0.0.1", 0)),
        ("0.0.0.0:9100", ("0.0.0.0", 9100)),
        ("metrics.example.org:80", ("metrics.example.org", 80)),
        ("[::1]:9100", ("::1", 9100)),
        ("[fe80::1%eth0]:9100", ("fe80::1%eth0", 9100)),
        ("[::ffff:192.0.2.1]:65535", ("::ffff:192.0.2.1", 65535)),
        (None, None),
    ],
)
def test_an_address_and_a_port_are_found(text: str | None, endpoint: tuple[str, int]) -> None:
    assert endpoint_of(CONTEXT, OPTION, text) == endpoint


@pytest.mark.parametrize(
    "text",
    [
        *("9100", "", "localhost", "::1:9100", "localhost:", ":65536", ":-1", "a b:1"),
        *("http://a:1", "[::1]", "[]:1", "[::1]9100", "[x]:1", "a:1/metrics", ":\u0661", ":1\n"),
    ],
)
def test_what_is_none_is_a_wrong_use(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is no HOST:PORT or :PORT"):
        endpoint_of(CONTEXT, OPTION, text)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("maple.example", ("maple.example", 0)),
        (" maple:7625 ", ("maple", 7625)),
        ("[::1]", ("::1", 0)),
        ("[::1]:80", ("::1", 80)),
    ],
)
def test_where_callers_find_a_server_is_found(text: str, place: tuple[str, int]) -> None:
    found = address_of(CONTEXT, OPTION, text)
    assert found is not None
    assert (found.host, found.port) == place


@pytest.mark.parametrize("text", ["0.0.0.0", "[::]", "::1", "maple/tea", "maple,oak", "a:0", "a b"])
def test_what_nobody_could_call_is_a_wrong_use(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is no HOST or HOST:PORT"):
        address_of(CONTEXT, OPTION, text)
