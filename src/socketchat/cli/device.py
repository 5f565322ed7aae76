"""This device's key, as the commands that call a server or sit at one use it."""

from __future__ import annotations

from pathlib import Path

from socketchat.cli.failures import ExitCode, Failure, file_failure
from socketchat.trust.device import Device

__all__ = ["device_in"]


def device_in(directory: Path) -> Device:
    """Return the key of this device, which is made at the first call.

    Raises:
        Failure: It cannot be used.
    """
    try:
        return Device.load_or_generate(directory)
    except OSError as exc:
        raise file_failure(exc) from exc
    except ValueError as exc:
        raise Failure(ExitCode.USAGE, f"this device's key: {exc}; see --data") from exc
