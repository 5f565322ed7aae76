"""Claims about `socketchat.cli.host_question`: whom to call, asked of who has named nobody."""

from __future__ import annotations

import asyncio
import os
import pty
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

import socketchat.cli
from socketchat.cli import host_question, mdns
from socketchat.cli.failures import ExitCode, Failure
from socketchat.cli.host_question import ask_for_host
from socketchat.cli.lan import Found, LanError, Service
from tests.cli.loopback import ENVIRONMENT, LOOPBACK, found, needs_multicast, service
from tests.cli.processes import Stage, Terminal, stage

SERVERS = [found(), found("x\x1b[2J", "2001:db8::7", private=True)]
KEY = found().pin
LOOKING = "looking for servers on this network ...\n"
LIST = (
    f"  1  The Pub at 192.0.2.7\n     {KEY}\n"
    f"  2  x␛[2J (private) at [2001:db8::7]\n     {KEY}\n"
    "Anybody can announce anything: the key is checked, or asked about, when you call.\n"
)


class Typist:
    """Sits at the terminal that is stdin, and reads what is said."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], master: int
    ) -> None:
        self._monkeypatch = monkeypatch
        self._capfd = capfd
        self._master = master

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def search(self, find: Callable[[], Awaitable[list[Found]]]) -> None:
        """Have this looked up when servers are looked for."""

        async def search(seconds: float, interfaces: Sequence[str]) -> list[Found]:
            return await find()

        self._monkeypatch.setattr(mdns, "find", search)

    def finds(self, *servers: Found, then: str = "") -> None:
        """Have these servers found; what is typed then comes when they are listed, or are none."""

        async def find() -> list[Found]:
            return list(servers)

        self.search(find)
        look = host_question._look_around

        def look_and_type() -> list[Found] | None:
            seen = look()
            self.type(then)
            return seen

        self._monkeypatch.setattr(host_question, "_look_around", look_and_type)

    @property
    def said(self) -> str:
        out, err = self._capfd.readouterr()
        assert out == ""
        return err


@pytest.fixture
def typist(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Typist]:
    master, slave = pty.openpty()
    with os.fdopen(slave) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield Typist(monkeypatch, capfd, master)
    os.close(master)


@pytest.mark.parametrize(
    ("answer", "target"),
    [("1", "192.0.2.7"), ("2", "[2001:db8::7]"), (" 2/tea", "[2001:db8::7]/tea")],
)
def test_what_was_found_is_listed_with_keys_and_a_number_chooses(
    typist: Typist, answer: str, target: str
) -> None:
    typist.finds(*SERVERS, then=f"{answer}\n")
    assert ask_for_host(look_around=True) == target
    assert typist.said == f"{LOOKING}{LIST}number or host name: "


def test_a_host_name_may_be_typed_as_well(typist: Typist) -> None:
    typist.finds(*SERVERS, then="maple:4000/tea\n")
    assert ask_for_host(look_around=True) == "maple:4000/tea"


@pytest.mark.parametrize("number", ["0", "3", "00000000001", "9" * 2000])
def test_a_number_that_is_not_there_is_asked_for_again(typist: Typist, number: str) -> None:
    typist.finds(*SERVERS, then=f"{number}\n\n2\n")
    assert ask_for_host(look_around=True) == "[2001:db8::7]"
    question = "number or host name: "
    hint = f"there is no server {number[:9]} here: say 1 to 2, or a host name\n"
    assert typist.said == f"{LOOKING}{LIST}{question}{hint}{question}{question}"


def test_if_none_was_found_it_asks_as_without_a_search(typist: Typist) -> None:
    typist.finds(then="7\nmaple\n")
    assert ask_for_host(look_around=True) == "maple"
    hint = "there is no list to choose from: say a host name\n"
    assert typist.said == f"{LOOKING}host name: {hint}host name: "


def test_a_search_that_is_not_possible_is_none(typist: Typist) -> None:
    async def find() -> list[Found]:
        typist.type("maple\n")
        raise LanError("No such device")

    typist.search(find)
    assert ask_for_host(look_around=True) == "maple"
    assert typist.said.startswith(LOOKING)


def test_without_zeroconf_or_the_wish_nothing_is_looked_for(
    monkeypatch: pytest.MonkeyPatch, typist: Typist
) -> None:
    typist.type("maple\noak\n")
    assert ask_for_host(look_around=False) == "maple"
    monkeypatch.delattr(socketchat.cli, "mdns")
    monkeypatch.delitem(sys.modules, "socketchat.cli.mdns")
    monkeypatch.setitem(sys.modules, "zeroconf", None)
    assert ask_for_host(look_around=True) == "oak"
    assert typist.said == "host name: host name: "


def test_a_line_that_is_typed_meanwhile_ends_the_search_and_is_the_answer(typist: Typist) -> None:
    ended: list[bool] = []

    async def find() -> list[Found]:
        try:
            typist.type("maple\n")
            await asyncio.Event().wait()
        finally:
            ended.append(True)
        return []

    typist.search(find)
    assert ask_for_host(look_around=True) == "maple"
    assert ended == [True]
    assert typist.said == LOOKING


def test_a_line_that_was_typed_before_it_began_is_the_answer(typist: Typist) -> None:
    typist.type(" \nmaple\n")
    typist.search(asyncio.Event().wait)  # type: ignore[arg-type]
    assert ask_for_host(look_around=True) == "maple"
    assert typist.said == f"{LOOKING}host name: "


def test_half_a_line_that_is_typed_meanwhile_is_kept(typist: Typist) -> None:
    typist.type("map")
    typist.finds(*SERVERS, then="le\n")
    assert ask_for_host(look_around=True) == "maple"
    assert typist.said == f"{LOOKING}{LIST}number or host name: "


def test_an_end_of_the_input_meanwhile_is_no_answer(typist: Typist) -> None:
    typist.type("\x04")
    typist.search(asyncio.Event().wait)  # type: ignore[arg-type]
    with pytest.raises(Failure, match="no host name was given"):
        ask_for_host(look_around=True)


def test_where_nobody_can_type_nothing_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with Path(os.devnull).open() as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        with pytest.raises(Failure, match="which host"):
            ask_for_host(look_around=True)


# At a terminal, over the loopback interface


@contextmanager
def announced(it: Service) -> Iterator[None]:
    """Announce a server, in a thread of its own."""
    loop = asyncio.new_event_loop()
    task = loop.create_task(mdns.announce(it, LOOPBACK))

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(asyncio.wait((task,)))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join(60)


def caller(it: Stage, name: str, *options: str) -> tuple[Terminal, str]:
    """Start a client that names no host, until it lists a server of this name, and its number.

    A machine under load may need longer than a caller looks.
    """
    env = ENVIRONMENT | {"SOCKETCHAT_TRUST": "ask"}
    data = ("--data", str(it.folder / "client"))
    while True:
        client = it.open_terminal("connect", *data, *options, columns=100, rows=60, env=env)
        client.shows("host name:")
        for row in client.rows:
            number, _, rest = row.strip().partition("  ")
            if rest.startswith(name):
                return client, number
        client.write("\x04")
        assert client.wait() == ExitCode.USAGE


@needs_multicast
def test_a_server_on_the_network_is_called_by_its_number(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        name = service().name
        server = it.serve("--name", name, "-v", env=ENVIRONMENT)
        server.until(lambda: "announced on the network" in server.err)
        client, number = caller(it, f"{name} at {server.address}", "--nick", "ada")
        client.shows("looking for servers on this network ...", server.key)
        client.write(f"{number}\n")
        # That it was announced with this key makes nobody trust it.
        client.shows(f"{server.address} is not known here", "Is that the right one?")
        client.write("yes\n")
        client.shows(f"connected to {name}", ">>")
        client.write("\x04")
        assert client.wait() == 0
        known = (tmp_path / "client" / "known_hosts").read_text()
        assert known == f"{server.address} {server.key}\n"


@needs_multicast
def test_a_key_that_was_only_announced_is_never_trusted(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        lie = replace(service(), port=server.port)
        with announced(lie):
            client, number = caller(it, f"{lie.name} at {server.address}")
            client.shows(lie.pin)
            client.write(f"{number}\n")
            client.shows("It shows the key", server.key, "Is that the right one?")
            client.write("no\n")
            assert client.wait() == ExitCode.NOT_TRUSTED
            assert not (tmp_path / "client" / "known_hosts").exists()
            strict, number = caller(it, f"{lie.name} at {server.address}", "--trust", "strict")
            strict.write(f"{number}\n")
            assert strict.wait() == ExitCode.NOT_TRUSTED


@needs_multicast
def test_a_known_server_that_is_posed_as_is_not_called(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        it.join(server.address, "ada").end_input()
        known = tmp_path / "client" / "known_hosts"
        it.until(known.exists)
        other_key = service().pin
        known.write_text(known.read_text().replace(server.key, other_key))
        lie = replace(service(), port=server.port, pin=other_key)
        with announced(lie):
            client, number = caller(it, f"{lie.name} at {server.address}")
            client.write(f"{number}\n")
            assert client.wait() == ExitCode.NOT_TRUSTED
            assert "has changed" in " ".join(client.text.split())


@needs_multicast
def test_who_knows_the_name_need_not_wait(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        data = ("--data", str(tmp_path / "client"))
        client = it.open_terminal("connect", *data, "--nick", "ada", env=ENVIRONMENT)
        client.write(f"{server.address}\r")
        client.shows(f"calling {server.address}", ">>")
        client.write("\x04")
        assert client.wait() == 0


def test_the_wish_not_to_look_is_heard(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        for options, env in ((["--no-lan"], ENVIRONMENT), (["--no-tls"], ENVIRONMENT), ([], {})):
            client = it.open_terminal("connect", *options, env=env)
            client.shows("host name:")
            client.write("\x04")
            assert client.wait() == ExitCode.USAGE
            assert "looking" not in client.text
