"""Claims about `socketchat.cli.discover`: the servers on the network around are listed."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import socketchat.cli
from socketchat.cli import mdns
from socketchat.cli.failures import ExitCode
from socketchat.cli.lan import Found, LanError
from tests.cli.loopback import ENVIRONMENT, found, needs_multicast
from tests.cli.processes import Server, stage, status

Show = Callable[[Found], object]
HINT = "-- anybody can announce anything: compare the key with the one that the server shows\n"


def finding(
    monkeypatch: pytest.MonkeyPatch, *servers: Found, error: Exception | None = None
) -> list[tuple[float, Sequence[str]]]:
    """Have these servers found, and return what was asked."""
    asked: list[tuple[float, Sequence[str]]] = []

    async def find(seconds: float, interfaces: Sequence[str], *, show: Show) -> list[Found]:
        asked.append((seconds, interfaces))
        for one in servers:
            show(one)
        if error is not None:
            raise error
        return list(servers)

    monkeypatch.setattr(mdns, "find", find)
    return asked


def test_each_server_is_a_line_with_its_target_its_key_and_its_name(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    asked = finding(monkeypatch, found(), found("x\x1b[2J", "2001:db8::7", private=True))
    assert status(monkeypatch, "discover") == ExitCode.DONE
    assert asked == [(3, ())]
    key = found().pin
    out = f"192.0.2.7 {key} The Pub\n[2001:db8::7] {key} x␛[2J (private)\n"
    assert capfd.readouterr() == (out, HINT)


def test_for_programs_each_is_an_object(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    asked = finding(monkeypatch, found("x\x1b\u202e\n"), found("y", private=True))
    assert status(monkeypatch, "discover", "--json", "--timeout", "1m") == ExitCode.DONE
    assert asked == [(60, ())]
    out, err = capfd.readouterr()
    values = [json.loads(line) for line in out.split("\n")[:-1]]
    assert [value["name"] for value in values] == ["x\x1b\u202e\n", "y"]
    assert [value["private"] for value in values] == [False, True]
    assert {value["type"] for value in values} == {"server"}
    assert err == HINT


@pytest.mark.parametrize("option", [[], ["--json"]])
def test_that_there_is_none_is_no_error(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], option: list[str]
) -> None:
    finding(monkeypatch)
    assert status(monkeypatch, "discover", *option) == ExitCode.DONE
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("-- no server is announced on this network")


def test_a_network_that_cannot_be_asked_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    finding(monkeypatch, error=LanError("No such device"))
    assert status(monkeypatch, "discover") == ExitCode.CANNOT_REACH
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("socketchat: cannot look for servers: No such device; ")
    assert err.count("\n") == 1


def test_without_zeroconf_it_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delattr(socketchat.cli, "mdns")
    monkeypatch.delitem(sys.modules, "socketchat.cli.mdns")
    monkeypatch.setitem(sys.modules, "zeroconf", None)
    assert status(monkeypatch, "discover") == ExitCode.USAGE
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("socketchat: discover needs zeroconf")
    assert err.endswith("pip install 'socketchat[lan]'\n")
    assert err.count("\n") == 1


def test_it_can_be_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    async def find(seconds: float, interfaces: Sequence[str], *, show: Show) -> list[Found]:
        signal.raise_signal(signal.SIGINT)
        await asyncio.Event().wait()
        return []

    monkeypatch.setattr(mdns, "find", find)
    assert status(monkeypatch, "discover") == ExitCode.INTERRUPTED


# Over the loopback interface


@needs_multicast
def test_a_server_is_found_while_it_runs_and_withdraws_itself(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve("--name", "The Pub", "--private", "-v", env=ENVIRONMENT)
        looking = it.start("discover", "--timeout", "60s", env=ENVIRONMENT)
        line = f"{server.address} {server.key} The Pub (private)"
        it.until(lambda: line in looking.lines)
        watching = it.start("discover", "--timeout", "60s", "--json", "-v", env=ENVIRONMENT)
        it.until(lambda: any(value["key"] == server.key for value in watching.objects))
        (value,) = (value for value in watching.objects if value["key"] == server.key)
        assert value["target"] == server.address
        for one in (looking, watching):
            one.signal(signal.SIGINT)
            assert one.wait() == ExitCode.INTERRUPTED
            assert "Traceback" not in one.err
        it.until(lambda: "announced on the network as The Pub" in server.err)
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        assert "Traceback" not in server.err


@needs_multicast
def test_servers_that_do_not_want_it_are_not_announced(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        options = {"one": "--no-lan", "two": "--no-tls"}
        silent = [
            it.serve(option, "-v", env=ENVIRONMENT, data=data) for data, option in options.items()
        ]
        here = it.serve(env=ENVIRONMENT)
        looking = it.start("discover", "--timeout", "60s", env=ENVIRONMENT)
        it.until(lambda: any(here.key in line for line in looking.lines))
        for server in silent:
            assert "on the network" not in server.err
            assert not any(f":{server.port} " in line for line in looking.lines)


def test_a_server_runs_without_zeroconf_and_says_so_in_its_log(tmp_path: Path) -> None:
    block_zeroconf(tmp_path)
    with stage(tmp_path) as it:
        it.environment["PYTHONPATH"] += f":{tmp_path / 'blocked'}"
        server = it.serve("-v", env=ENVIRONMENT)
        server.until(lambda: "zeroconf is not installed; pip install" in server.err)
        silent = it.serve(env=ENVIRONMENT, data="other")
        for one in (server, silent):
            stop(one)
        assert "zeroconf" not in silent.err
        assert it.start("discover", env=ENVIRONMENT).wait() == ExitCode.USAGE


def test_a_server_that_cannot_be_announced_runs_all_the_same(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve("-v", env=ENVIRONMENT | {"SOCKETCHAT_LAN_INTERFACES": "nonsense"})
        server.until(lambda: "not announced on the network: 'nonsense' does not" in server.err)
        ada = it.join(server.address, "ada")
        ada.end_input()
        assert ada.wait() == 0
        stop(server)
        assert "Traceback" not in server.err


def block_zeroconf(folder: Path) -> None:
    """Put a package in the way of which nothing can be imported."""
    package = folder / "blocked" / "zeroconf"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('blocked')\n")


def stop(server: Server) -> None:
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
