"""Claims about `socketchat.trust.known_hosts`: whom this device has met, and whom it trusts."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from socketchat import UntrustedBecause, UntrustedPeer
from socketchat.file_lock import FileLock
from socketchat.trust.identity import Identity
from socketchat.trust.known_hosts import (
    KnownHost,
    KnownHosts,
    as_typed,
    check_server,
    default_directory,
    host_and_port,
)

ONE, OTHER, THIRD = (Identity.generate().fingerprint for _ in range(3))
UNKNOWN, CHANGED = UntrustedBecause.UNKNOWN, UntrustedBecause.CHANGED
NOT_THE_PIN = UntrustedBecause.NOT_THE_PIN


@pytest.fixture
def known(tmp_path: Path) -> KnownHosts:
    """Return a file of known hosts that is not there yet."""
    return KnownHosts(tmp_path / "folder" / "known_hosts")


def pin(known: KnownHosts) -> str | None:
    """Return the pin that is known of one host."""
    found = known.find("host:7625")
    return found.pin if found is not None else None


def write(known: KnownHosts, text: str | bytes) -> None:
    """Write the file as people may."""
    known.path.parent.mkdir(exist_ok=True)
    known.path.write_bytes(text.encode() if isinstance(text, str) else text)


def test_the_users_own_directory_bears_the_programs_name() -> None:
    assert default_directory().name == "socketchat"
    assert default_directory().is_absolute()


# The file


def test_without_a_file_nobody_is_known(known: KnownHosts) -> None:
    assert known.find("host:7625") is None
    assert not known.path.exists()


def test_a_host_that_was_added_is_known_with_its_line(known: KnownHosts) -> None:
    known.add("host:7625", ONE)
    known.add("[2001:db8::1]:7625", OTHER)
    assert known.find("host:7625") == KnownHost("host:7625", ONE, "", 1)
    assert known.find("[2001:db8::1]:7625") == KnownHost("[2001:db8::1]:7625", OTHER, "", 2)
    assert known.find("host:7626") is None
    assert known.find("host") is None
    assert known.path.read_text() == f"host:7625 {ONE}\n[2001:db8::1]:7625 {OTHER}\n"


def test_of_two_lines_about_one_host_the_first_counts(known: KnownHosts) -> None:
    write(known, f"host:7625 {ONE}\nhost:7625 {OTHER}\n")
    assert known.find("host:7625") == KnownHost("host:7625", ONE, "", 1)


def test_a_last_line_that_was_left_without_its_end_is_kept(known: KnownHosts) -> None:
    write(known, f"host:7625 {ONE}")
    known.add("other:7625", OTHER)
    assert known.find("host:7625") == KnownHost("host:7625", ONE, "", 1)
    assert known.find("other:7625") == KnownHost("other:7625", OTHER, "", 2)


@pytest.mark.skipif(os.name != "posix", reason="modes are a matter of POSIX")
def test_the_file_is_for_its_owner_alone(known: KnownHosts) -> None:
    known.add("host:7625", ONE)
    assert stat.S_IMODE(known.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(known.path.parent.stat().st_mode) == 0o700


def test_what_people_wrote_into_the_file_stays_and_is_passed_over(known: KnownHosts) -> None:
    lines = b"# my servers\n\nhost:7625   " + ONE.encode() + b"  \n\xff\xfe not UTF-8\n"
    write(known, lines)
    assert known.find("host:7625") == KnownHost("host:7625", ONE, "", 3)
    known.add("other:7625", OTHER)
    assert known.path.read_bytes() == lines + f"other:7625 {OTHER}\n".encode()


def test_what_is_known_of_a_host_is_not_written_over(known: KnownHosts) -> None:
    assert known.add("host:7625", ONE)
    assert not known.add("host:7625", OTHER)
    assert pin(known) == ONE


def test_all_hosts_are_listed_but_what_is_no_host(known: KnownHosts) -> None:
    assert known.all() == []
    write(known, f"# x {ONE}\n\nB:1 {ONE} {OTHER}\n\nbad SHA256:x\nbad {ONE} x y\na:1 {OTHER}\r\n")
    assert known.all() == [KnownHost("b:1", ONE, OTHER, 3), KnownHost("a:1", OTHER, "", 7)]


@pytest.mark.parametrize(
    "line",
    ["host:7625", "host:7625 ", "host:7625 x", f"host:7625 {ONE} x", f"host:7625 {ONE} {ONE} x"],
)
def test_a_malformed_line_is_an_error_for_its_host_alone(known: KnownHosts, line: str) -> None:
    write(known, f"{line}\nother:7625 {ONE}\n")
    assert known.find("other:7625") == KnownHost("other:7625", ONE, "", 2)
    with pytest.raises(OSError, match=r"line 1 has no SHA256:.*trust forget host --data") as caught:
        check_server("accept-new", known, "host:7625", ONE)
    assert caught.value.filename == str(known.path)
    assert known.forget("host:7625")
    assert check_server("accept-new", known, "host:7625", ONE)


def test_a_host_is_known_however_its_name_is_written(known: KnownHosts) -> None:
    known.add(host_and_port("Host", 7625), ONE)
    assert known.find(host_and_port("hOST", 7625)) == KnownHost("host:7625", ONE, "", 1)
    assert host_and_port("2001:DB8::1", 1) == "[2001:db8::1]:1"


def test_a_host_is_shown_as_it_is_typed() -> None:
    assert as_typed(host_and_port("host", 7625)) == "host"
    assert as_typed(host_and_port("host", 17625)) == "host:17625"
    assert as_typed(host_and_port("::1", 7625)) == "[::1]"


def test_who_is_forgotten_is_unknown_and_the_rest_stays_as_it_is(known: KnownHosts) -> None:
    assert not known.forget("host:7625")
    assert not known.path.parent.exists()
    write(known, b"# mine\r\n\nhost:7625 " + ONE.encode() + b"\n\xff\nHOST:7625 x\n\nother:1 x")
    assert known.forget("host:7625")
    assert known.path.read_bytes() == b"# mine\r\n\n\xff\n\nother:1 x\n"
    assert not known.forget("host:7625")


# Several programs


def test_two_programs_may_use_one_file(known: KnownHosts) -> None:
    other = KnownHosts(known.path)
    known.add("host:7625", ONE)
    other.add("other:7625", OTHER)
    assert [host.pin for host in known.all()] == [ONE, OTHER]
    assert other.all() == known.all()


def test_programs_that_change_it_at_once_keep_each_others_changes(known: KnownHosts) -> None:
    known.add("gone:1", ONE)
    hosts = [f"host-{number}:1" for number in range(50)]
    with ThreadPoolExecutor(8) as pool:
        added = list(pool.map(lambda host: KnownHosts(known.path).add(host, ONE), hosts))
        gone = list(pool.map(lambda _: KnownHosts(known.path).forget("gone:1"), range(8)))
    assert all(added)
    assert gone.count(True) == 1
    assert sorted(host.host for host in known.all()) == sorted(hosts)
    assert {path.name for path in known.path.parent.iterdir()} == {
        "known_hosts",
        "known_hosts.lock",
    }


def test_one_that_never_ends_its_change_is_told_of(
    known: KnownHosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    known.add("host:7625", ONE)
    monkeypatch.setattr("socketchat.trust.known_hosts.PATIENCE", 0.0)
    lock = FileLock(known.path.with_name("known_hosts.lock"))
    assert lock.acquire()
    with pytest.raises(OSError, match="another program is changing it"):
        known.add("other:7625", ONE)
    assert pin(known) == ONE  # reading needs no lock
    lock.release()
    assert known.add("other:7625", ONE)


def test_a_change_that_fails_leaves_the_file_as_it_was(
    known: KnownHosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    known.add("host:7625", ONE)

    def fsync(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="No space left"):
        known.forget("host:7625")
    assert pin(known) == ONE


@pytest.mark.skipif(os.name != "posix", reason="links need a privilege elsewhere")
def test_a_link_to_a_file_elsewhere_stays_one(known: KnownHosts, tmp_path: Path) -> None:
    known.path.parent.mkdir()
    known.path.symlink_to(tmp_path / "elsewhere")
    known.add("host:7625", ONE)
    assert known.path.is_symlink()
    assert (tmp_path / "elsewhere").read_text() == f"host:7625 {ONE}\n"


@pytest.mark.skipif(os.name != "posix", reason="modes are a matter of POSIX")
def test_a_changed_file_is_for_its_owner_alone_again(known: KnownHosts) -> None:
    write(known, f"host:7625 {ONE}\n")
    known.path.chmod(0o644)
    known.add("other:7625", ONE)
    assert stat.S_IMODE(known.path.stat().st_mode) == 0o600


# The next key


def test_the_next_key_of_a_known_host_is_remembered_behind_its_own(known: KnownHosts) -> None:
    write(known, f"# mine\nhost:7625 {ONE}\nother:7625 {ONE}\n")
    assert known.announce("host:7625", OTHER)
    assert not known.announce("host:7625", OTHER)
    assert known.path.read_text() == f"# mine\nhost:7625 {ONE} {OTHER}\nother:7625 {ONE}\n"
    assert known.announce("host:7625", THIRD)
    assert known.find("host:7625") == KnownHost("host:7625", ONE, THIRD, 2)
    assert known.announce("host:7625", "")
    assert known.find("host:7625") == KnownHost("host:7625", ONE, "", 2)


def test_a_key_that_is_announced_already_in_use_is_no_next_one(known: KnownHosts) -> None:
    write(known, f"host:7625 {ONE} {OTHER}\n")
    assert known.announce("host:7625", ONE)
    assert known.find("host:7625") == KnownHost("host:7625", ONE, "", 1)


@pytest.mark.parametrize("next_pin", ["x", "SHA256:x", f"{OTHER}\nevil:1 {OTHER}", f"{OTHER} "])
def test_what_is_no_pin_is_not_remembered(known: KnownHosts, next_pin: str) -> None:
    known.add("host:7625", ONE)
    assert not known.announce("host:7625", next_pin)
    assert known.path.read_text() == f"host:7625 {ONE}\n"


def test_nothing_is_remembered_of_a_host_that_is_not_known(known: KnownHosts) -> None:
    assert not known.announce("host:7625", OTHER)
    assert not known.path.exists()


def test_a_server_with_another_key_cannot_announce_one(known: KnownHosts) -> None:
    known.add("host:7625", ONE)
    assert not known.announce("host:7625", THIRD, by=OTHER)
    assert known.find("host:7625") == KnownHost("host:7625", ONE, "", 1)
    assert known.announce("host:7625", THIRD, by=ONE)


@pytest.mark.parametrize("trust", ["strict", "accept-new"])
def test_a_server_that_shows_its_next_key_is_still_itself(known: KnownHosts, trust: str) -> None:
    known.add("host:7625", ONE)
    known.announce("host:7625", OTHER)
    assert not check_server(trust, known, "host:7625", ONE)
    assert known.find("host:7625") == KnownHost("host:7625", ONE, OTHER, 1)
    assert not check_server(trust, known, "host:7625", OTHER)
    assert known.find("host:7625") == KnownHost("host:7625", OTHER, "", 1)
    with pytest.raises(UntrustedPeer, match="has changed"):
        check_server(trust, known, "host:7625", ONE)


def test_a_key_that_was_not_announced_is_a_change_though_another_was(known: KnownHosts) -> None:
    write(known, f"host:7625 {ONE} {OTHER}\n")
    with pytest.raises(UntrustedPeer, match="has changed"):
        check_server("accept-new", known, "host:7625", THIRD)
    assert not known.promote("host:7625", THIRD)


def test_a_file_that_cannot_be_read_is_an_error(known: KnownHosts) -> None:
    known.path.mkdir(parents=True)
    with pytest.raises(OSError, match="known_hosts"):
        known.find("host:7625")


# Who is trusted


@pytest.mark.parametrize(
    ("trust", "before", "is_new"),
    [
        ("strict", ONE, False),
        ("accept-new", ONE, False),
        ("accept-new", None, True),
        (ONE, None, False),
        (ONE, OTHER, False),
    ],
)
def test_a_server_that_is_trusted(
    known: KnownHosts, trust: str, before: str | None, is_new: bool
) -> None:
    if before is not None:
        known.add("host:7625", before)
    assert check_server(trust, known, "host:7625", ONE) is is_new
    expected = ONE if is_new else before
    assert pin(known) == expected


@pytest.mark.parametrize(
    ("trust", "before", "reason", "words"),
    [
        ("strict", None, UNKNOWN, f"host:7625 is not known here; if its key is {ONE}, "),
        ("strict", OTHER, CHANGED, f"the key of host:7625 has changed to {ONE}: "),
        ("accept-new", OTHER, CHANGED, f"the key of host:7625 has changed to {ONE}: "),
        (OTHER, None, NOT_THE_PIN, f"host:7625 has the key {ONE}, not {OTHER}: "),
        (OTHER, ONE, NOT_THE_PIN, f"host:7625 has the key {ONE}, not {OTHER}: "),
    ],
)
def test_a_server_that_is_not_trusted_and_what_is_said_of_it(
    known: KnownHosts,
    trust: str,
    before: str | None,
    reason: UntrustedBecause,
    words: str,
) -> None:
    if before is not None:
        known.add("host:7625", before)
    with pytest.raises(UntrustedPeer) as caught:
        check_server(trust, known, "host:7625", ONE)
    assert str(caught.value).startswith(words)
    assert caught.value.fingerprint == ONE
    assert caught.value.reason is reason
    assert pin(known) == before


@pytest.mark.parametrize(
    ("host", "typed"), [("host:7625", "host"), ("host:80", "host:80"), ("[::1]:7625", "[::1]")]
)
def test_a_changed_key_is_reported_with_the_file_the_line_and_the_command_that_forgets_it(
    known: KnownHosts, host: str, typed: str
) -> None:
    known.add("other:7625", ONE)
    known.add(host, OTHER)
    with pytest.raises(UntrustedPeer) as caught:
        check_server("strict", known, host, ONE)
    assert f"Line 2 of {known.path}" in str(caught.value)
    forget = f"socketchat trust forget {typed} --data {known.path.parent}"
    assert str(caught.value).endswith(forget)


def test_the_command_names_no_directory_that_is_the_users_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socketchat.trust.known_hosts.default_directory", lambda: tmp_path)
    known = KnownHosts(tmp_path / "known_hosts")
    assert known.how_to_forget("host:7625") == "socketchat trust forget host"


def test_of_two_programs_that_meet_a_server_at_once_the_first_ones_word_counts(
    known: KnownHosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Late(KnownHosts):
        def add(self, host: str, pin: str) -> bool:
            known.add(host, OTHER)
            return super().add(host, pin)

    with pytest.raises(UntrustedPeer, match="has changed"):
        check_server("accept-new", Late(known.path), "host:7625", ONE)
    assert not check_server("accept-new", Late(known.path), "host:7625", OTHER)
