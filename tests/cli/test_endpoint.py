"""Claims about `socketchat.cli.endpoint`."""

from __future__ import annotations

import click
import pytest

from socketchat.cli.endpoint import endpoint_of

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
