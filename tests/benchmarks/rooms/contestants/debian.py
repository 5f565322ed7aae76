"""Servers from Debian packages: two for IRC, a broker for MQTT, one for NATS.

Whatever of their settings is not here is their default. Those that drop privileges keep ours: they
write to the folder of the run alone.
"""

import getpass
import grp
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.benchmarks.rooms.contestants import Contestant, Missing
from tests.benchmarks.rooms.workload import HOST

#: Debian has them where only root's PATH looks.
_PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"))

# No look-ups of names, which would time out; no penalty for those who say much; no bound on the
# members from one address; patience, though the members speak every ten seconds.
_NGIRCD = """
[Global]
Name = irc.example.net
Info = benchmark
Listen = {host}
Ports = {port}
PidFile = {folder}/ngircd.pid
ServerUID = {user}
ServerGID = {group}
[Limits]
MaxConnections = 0
MaxConnectionsIP = 0
MaxPenaltyTime = 0
PingTimeout = 600
[Options]
DNS = no
Ident = no
PAM = no
"""

# Likewise. A client's class has bounds for what is queued for it and what it may say in a second;
# netbuffersize is what is read at once, at its greatest.
_INSPIRCD = """
<server name="irc.example.net" description="benchmark" network="benchmark">
<admin name="benchmark" nick="benchmark" email="nobody@example.net">
<bind address="{host}" port="{port}" type="clients">
<connect name="main" allow="*" timeout="60" pingfreq="600" resolvehostnames="no"
    fakelag="no" threshold="1000000" commandrate="1000000000"
    recvq="16777216" softsendq="16777216" hardsendq="1073741824"
    localmax="100000" globalmax="100000" limit="100000" maxconnwarn="no" useident="no">
<performance softlimit="100000" somaxconn="1024" netbuffersize="65534" quietbursts="yes">
<limits maxnick="30">
<pid file="{folder}/inspircd.pid">
<log method="file" type="*" level="default" target="{folder}/inspircd.log">
<path configdir="{folder}" datadir="{folder}" logdir="{folder}" runtimedir="{folder}">
"""

# No bounds on what is queued for a member or on its way to it: 100 and 20 messages otherwise.
_MOSQUITTO = """
listener {port} {host}
allow_anonymous true
user {user}
persistence false
max_queued_messages 0
max_inflight_messages 0
set_tcp_nodelay true
log_type error
log_type warning
"""

# A member may be behind by 64 MiB, the default; 10 s instead of 2 until it must have read some.
_NATS = """
listen: "{host}:{port}"
ping_interval: "10m"
write_deadline: "10s"
max_pending: 67108864
"""


def _program(name: str) -> str:
    if (path := shutil.which(name, path=_PATH)) is None:
        raise Missing(f"{name} is not installed: apt-get install {name}")
    return path


def _describe(name: str, option: str) -> Callable[[], str]:
    def describe() -> str:
        ran = subprocess.run(
            (_program(name), option), capture_output=True, text=True, check=False, timeout=20
        )
        found = re.search(r"\d+(\.\d+)+", ran.stdout + ran.stderr)
        return found[0] if found else "of unknown version"

    return describe


def _settings(text: str, folder: Path, port: int) -> str:
    """Write a settings file, and return its path."""
    path = folder / "settings"
    user, group = getpass.getuser(), grp.getgrgid(os.getgid()).gr_name
    path.write_text(text.format(host=HOST, port=port, folder=folder, user=user, group=group))
    return str(path)


def _ngircd(folder: Path, port: int) -> Sequence[str]:
    return _program("ngircd"), "--nodaemon", "--config", _settings(_NGIRCD, folder, port)


def _inspircd(folder: Path, port: int) -> Sequence[str]:
    settings = _settings(_INSPIRCD, folder, port)
    as_root = ("--runasroot",) if os.getuid() == 0 else ()
    return _program("inspircd"), "--nofork", "--nopid", *as_root, "--config", settings


def _mosquitto(folder: Path, port: int) -> Sequence[str]:
    return _program("mosquitto"), "-c", _settings(_MOSQUITTO, folder, port)


def _nats(folder: Path, port: int) -> Sequence[str]:
    return _program("nats-server"), "-c", _settings(_NATS, folder, port)


CONTESTANTS = (
    Contestant(
        name="nats-server",
        wire="nats",
        describe=_describe("nats-server", "--version"),
        command=_nats,
    ),
    Contestant(
        name="ngircd", wire="irc", describe=_describe("ngircd", "--version"), command=_ngircd
    ),
    Contestant(
        name="inspircd",
        wire="irc",
        describe=_describe("inspircd", "--version"),
        command=_inspircd,
    ),
    Contestant(
        name="mosquitto QoS 0",
        wire="mqtt-qos0",
        describe=_describe("mosquitto", "-h"),
        command=_mosquitto,
    ),
    Contestant(
        name="mosquitto QoS 1",
        wire="mqtt-qos1",
        describe=_describe("mosquitto", "-h"),
        command=_mosquitto,
    ),
)
