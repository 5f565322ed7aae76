"""A self-signed certificate for 127.0.0.1, and the two TLS 1.3 contexts that use it.

Neighbours: the runner makes the certificate, the contestants take the contexts. socketchat makes
its server key itself (a P-256 key as well), and pyzmq has CURVE instead of TLS.
"""

import datetime as dt
import ipaddress
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.benchmarks.workload import HOST


def make(folder: Path) -> None:
    """Write ``key.pem`` (P-256) and ``cert.pem``, good for one day, into `folder`."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "benchmark")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file = folder / "key.pem"
    key_file.touch(mode=0o600)
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


def server_context(folder: Path | None) -> ssl.SSLContext | None:
    """Return the context to serve with, `None` (no TLS) if there is no folder."""
    if folder is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


def client_context(folder: Path | None) -> ssl.SSLContext | None:
    """Return the context to call with (it verifies the server), `None` if there is no folder."""
    if folder is None:
        return None
    context = ssl.create_default_context(cafile=str(folder / "cert.pem"))
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context
