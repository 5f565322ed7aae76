"""TLS contexts for both ends: TLS 1.3 and nothing older.

The client's usual context checks no name and no chain: who the server is, is decided by the pin of
its key, which `known_hosts.py` looks up before the first byte is written. The other one is for
servers with a public certificate.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from socketchat.trust.identity import Identity

__all__ = ["client_context", "public_context", "server_context"]


def server_context(identity: Identity) -> ssl.SSLContext:
    """Return the context of a server with this identity."""
    import tempfile  # noqa: PLC0415 - it loads five modules to compress files

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    # A session is resumed by its lane; tickets would only be sent to be thrown away.
    context.num_tickets = 0
    # ssl takes keys from files alone; mkdtemp makes the directory 0700.
    with tempfile.TemporaryDirectory(prefix="socketchat-") as directory:
        path = Path(directory, "server.pem")
        path.touch(mode=0o600)
        path.write_bytes(identity.key + identity.certificate)
        context.load_cert_chain(path)
    return context


def client_context() -> ssl.SSLContext:
    """Return a client's context under which the certificate's key is looked at afterwards."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def public_context() -> ssl.SSLContext:
    """Return a client's context under which this system's authorities vouch for the certificate.

    It must also bear the name by which the server was called.
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context
