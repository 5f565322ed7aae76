"""Claims about certificates of one's own: `serve --cert --key`, and `--ca` for those who call."""

from __future__ import annotations

import ipaddress
import signal
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from socketchat import Identity
from tests.certificates import issue
from tests.cli.processes import Piped, Server, Stage, last_line, stage

HERE: list[x509.GeneralName] = [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
ELSEWHERE: list[x509.GeneralName] = [x509.DNSName("other.example.org")]


def write(folder: Path, identity: Identity) -> list[str]:
    """Write a certificate and its key, and return the options that name them."""
    (folder / "cert.pem").write_bytes(identity.certificate)
    key = folder / "key.pem"
    key.touch(mode=0o600)
    key.write_bytes(identity.key)
    return ["--cert", str(folder / "cert.pem"), "--key", str(key)]


def refused(it: Stage, *options: str) -> str:
    """Return the one line of a server that does not start."""
    server = it.start("serve", "--headless", "--host", "127.0.0.1", "--port", "0", *options)
    assert server.wait() == 2
    (line,) = (line for line in server.err.splitlines() if not line.startswith("starting"))
    assert line.startswith("socketchat: the server's key: ")
    assert server.out == ""
    return line


def call(it: Stage, server: Server, authority: bytes, *options: str) -> Piped:
    """Call where only one authority is known, and say nothing."""
    path = it.folder / "authority.pem"
    path.write_bytes(authority)
    return it.call(
        server.address,
        *options,
        stdin=subprocess.DEVNULL,
        env={"SSL_CERT_FILE": str(path), "SSL_CERT_DIR": str(it.folder / "none")},
    )


# Serving


def test_a_certificate_that_was_given_is_the_servers_and_none_is_made(tmp_path: Path) -> None:
    _, identity = issue(HERE)
    with stage(tmp_path) as it:
        server = it.serve(*write(tmp_path, identity))
        assert server.key == identity.fingerprint
        assert not (tmp_path / "server" / "server.pem").exists()
        client = it.call(server.address, "--fingerprint", server.key, stdin=subprocess.DEVNULL)
        assert client.wait() == 0


def test_what_cannot_be_used_is_told_in_one_line(tmp_path: Path) -> None:
    _, identity = issue(HERE)
    options = write(tmp_path, identity)
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    with stage(tmp_path) as it:
        swapped = refused(it, "--cert", str(key), "--key", str(cert))
        assert f"{key} holds a key, and {cert} a certificate: swap them" in swapped
        missing = refused(it, "--cert", str(cert), "--key", str(tmp_path / "none.pem"))
        assert f"{tmp_path / 'none.pem'}: No such file or directory" in missing
        key.write_bytes(Identity.generate().key)
        other = refused(it, *options)
        assert f"the key in {key} is not the one of the certificate" in other
        assert other.endswith("see --cert and --key")
        encrypted = BestAvailableEncryption(b"secret")
        key.write_bytes(
            load_pem_private_key(identity.key, None).private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, encrypted
            )
        )
        assert f"the key in {key} is encrypted" in refused(it, *options)
        cert.write_bytes(b"garbage")
        assert f"{cert} holds no certificate" in refused(it, *options)


def test_a_certificate_that_is_out_of_date_is_warned_of_and_used(tmp_path: Path) -> None:
    authority, identity = issue(HERE, days=-1)
    with stage(tmp_path) as it:
        server = it.serve(*write(tmp_path, identity))
        (line,) = (line for line in server.err.splitlines() if "out of date" in line)
        assert line.startswith(str(tmp_path / "cert.pem"))
        strict = call(it, server, authority, "--ca")
        assert strict.wait() == 4
        assert "expired" in last_line(strict)
        pinned = call(it, server, authority, "--fingerprint", server.key)
        assert pinned.wait() == 0


def test_a_key_that_others_can_read_is_warned_of(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        server = it.serve()
        assert "read by others" not in server.err
        server.signal(signal.SIGTERM)
        server.wait()
        (tmp_path / "server" / "server.pem").chmod(0o640)
        again = it.serve()
        assert "server.pem can be read by others: chmod 600" in again.err


# Calling


def test_a_public_certificate_needs_no_word_about_its_key(tmp_path: Path) -> None:
    authority, identity = issue(HERE)
    with stage(tmp_path) as it:
        server = it.serve(*write(tmp_path, identity))
        client = call(it, server, authority, "--ca", "--trust", "strict")
        assert client.wait() == 0
        assert "connected to" in client.err
        assert "remembered" not in client.err
        assert not (tmp_path / "client" / "known_hosts").exists()


@pytest.mark.parametrize("kind", ["another name", "another authority", "self-signed"])
def test_a_certificate_that_nobody_vouches_for_is_not_trusted(tmp_path: Path, kind: str) -> None:
    authority, identity = issue(ELSEWHERE if kind == "another name" else HERE)
    if kind == "another authority":
        authority, _ = issue(HERE)
    with stage(tmp_path) as it:
        server = it.serve(*([] if kind == "self-signed" else write(tmp_path, identity)))
        client = call(it, server, authority, "--ca", "--nick", "ada")
        assert client.wait() == 4
        line = last_line(client)
        assert f"{server.address}: its certificate cannot be trusted: " in line
        assert "ada" not in server.err
