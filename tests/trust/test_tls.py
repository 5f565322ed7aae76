"""Claims about `socketchat.trust.tls`: TLS 1.3 at both ends, and whose key is shown."""

from __future__ import annotations

import ssl
import tempfile
from pathlib import Path

import pytest

from socketchat.trust.identity import Identity, pin_of
from socketchat.trust.tls import client_context, public_context, server_context

IDENTITY = Identity.generate()


class Ends:
    """A client and a server that shake hands in memory."""

    def __init__(self, client: ssl.SSLContext, server: ssl.SSLContext) -> None:
        there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.client = client.wrap_bio(back, there, server_hostname=None)
        self.server = server.wrap_bio(there, back, server_side=True)

    def shake_hands(self) -> None:
        """Go through the handshake."""
        waiting = [self.client, self.server]
        while waiting:
            for end in list(waiting):
                try:
                    end.do_handshake()
                    waiting.remove(end)
                except ssl.SSLWantReadError:
                    pass


def test_both_ends_speak_tls_1_3_and_the_client_sees_the_servers_key() -> None:
    ends = Ends(client_context(), server_context(IDENTITY))
    ends.shake_hands()
    assert ends.client.version() == ends.server.version() == "TLSv1.3"
    certificate = ends.client.getpeercert(binary_form=True)
    assert certificate is not None
    assert pin_of(certificate) == IDENTITY.fingerprint


@pytest.mark.parametrize("old", ["client", "server"])
def test_neither_end_speaks_anything_older(old: str) -> None:
    contexts = {"client": client_context(), "server": server_context(IDENTITY)}
    contexts[old].minimum_version = ssl.TLSVersion.TLSv1_2
    contexts[old].maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError):
        Ends(contexts["client"], contexts["server"]).shake_hands()


def test_a_server_sends_no_tickets() -> None:
    assert server_context(IDENTITY).num_tickets == 0


def test_the_key_does_not_stay_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    server_context(IDENTITY)
    assert list(tmp_path.iterdir()) == []


def test_a_key_and_a_certificate_that_do_not_belong_together_are_an_error() -> None:
    other = Identity.generate()
    with pytest.raises(ssl.SSLError):
        server_context(Identity(IDENTITY.certificate, other.key, IDENTITY.fingerprint))


def test_a_public_certificate_is_checked_with_its_name_under_tls_1_3_alone() -> None:
    context = public_context()
    assert context.minimum_version is ssl.TLSVersion.TLSv1_3
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
