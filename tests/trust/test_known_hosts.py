"""Claims about `socketchat.trust.known_hosts`: whom this device has met, and whom it trusts."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from socketchat import UntrustedPeer
from socketchat.trust.identity import Identity
from socketchat.trust.known_hosts import KnownHosts, check_server, default_directory

ONE, OTHER = (Identity.generate().fingerprint for _ in range(2))


@pytest.fixture
def known(tmp_path: Path) -> KnownHosts:
    """Return a file of known hosts that is not there yet."""
    return KnownHosts(tmp_path / "folder" / "known_hosts")


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
    assert known.find("host:7625") == (ONE, 1)
    assert known.find("[2001:db8::1]:7625") == (OTHER, 2)
    assert known.find("host:7626") is None
    assert known.find("host") is None
    assert known.path.read_text() == f"host:7625 {ONE}\n[2001:db8::1]:7625 {OTHER}\n"


def test_of_two_lines_about_one_host_the_first_counts(known: KnownHosts) -> None:
    known.add("host:7625", ONE)
    known.add("host:7625", OTHER)
    assert known.find("host:7625") == (ONE, 1)


def test_a_last_line_that_was_left_without_its_end_is_kept(known: KnownHosts) -> None:
    known.path.parent.mkdir()
    known.path.write_text(f"host:7625 {ONE}")
    known.add("other:7625", OTHER)
    assert known.find("host:7625") == (ONE, 1)
    assert known.find("other:7625") == (OTHER, 2)


@pytest.mark.skipif(os.name != "posix", reason="modes are a matter of POSIX")
def test_the_file_is_for_its_owner_alone(known: KnownHosts) -> None:
    known.add("host:7625", ONE)
    assert stat.S_IMODE(known.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(known.path.parent.stat().st_mode) == 0o700


def test_what_people_wrote_into_the_file_stays_and_is_passed_over(known: KnownHosts) -> None:
    known.path.parent.mkdir()
    lines = b"# my servers\n\nhost:7625   " + ONE.encode() + b"  \n\xff\xfe not UTF-8\n"
    known.path.write_bytes(lines)
    assert known.find("host:7625") == (ONE, 3)
    known.add("other:7625", OTHER)
    assert known.path.read_bytes() == lines + f"other:7625 {OTHER}\n".encode()


def test_two_programs_may_use_one_file(known: KnownHosts) -> None:
    other = KnownHosts(known.path)
    known.add("host:7625", ONE)
    other.add("other:7625", OTHER)
    assert known.find("other:7625") == (OTHER, 2)
    assert other.find("host:7625") == (ONE, 1)


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
    assert (known.find("host:7625") or (None, 0))[0] == expected


@pytest.mark.parametrize(
    ("trust", "before", "words"),
    [
        ("strict", None, f"host:7625 is not known here; if its key is {ONE}, "),
        ("strict", OTHER, f"the key of host:7625 has changed to {ONE}: "),
        ("accept-new", OTHER, f"the key of host:7625 has changed to {ONE}: "),
        (OTHER, None, f"host:7625 has the key {ONE}, not {OTHER}: "),
        (OTHER, ONE, f"host:7625 has the key {ONE}, not {OTHER}: "),
    ],
)
def test_a_server_that_is_not_trusted_and_what_is_said_of_it(
    known: KnownHosts, trust: str, before: str | None, words: str
) -> None:
    if before is not None:
        known.add("host:7625", before)
    with pytest.raises(UntrustedPeer) as caught:
        check_server(trust, known, "host:7625", ONE)
    assert str(caught.value).startswith(words)
    assert caught.value.fingerprint == ONE
    assert (known.find("host:7625") or (None, 0))[0] == before


def test_a_changed_key_is_reported_with_the_file_and_the_line_to_delete(known: KnownHosts) -> None:
    known.add("other:7625", ONE)
    known.add("host:7625", OTHER)
    with pytest.raises(UntrustedPeer, match=f"delete line 2 of {known.path}"):
        check_server("strict", known, "host:7625", ONE)
