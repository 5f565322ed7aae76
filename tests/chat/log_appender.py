"""A program that appends to a log until something fails, for `test_sqlite_log_faults.py`.

    python log_appender.py DIRECTORY AUTHORS COUNT [FAULT AFTER]

Each author appends messages up to number COUNT, one at a time, from behind what the log has of it.
Lines on stdout say `acked AUTHOR NUMBER`, and `refused AUTHOR NUMBER` for what was told to have
been left undone, after which that author ends. At the end it says `failed` if the log has failed
for good, and its exit status is 7.

When AFTER messages are acknowledged, FAULT happens:

- `fsync:EIO` and the like: the system refuses that call from then on,
- `fiu:POINT`: the point of libfiu fails with EIO from then on, under `fiu-run -x`.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import os
import platform
import sys
from pathlib import Path

from socketchat import LogFailed, LogUnavailable
from socketchat.chat.log import Draft
from socketchat.chat.sqlite_log import SQLiteLog

FAILED = 7
#: Long, so that a small disk is soon full.
TEXT = "x" * 1000

# The kernel can be told to refuse system calls: seccomp(2). Its numbers of them, and its constants:
_CALLS = {
    "x86_64": {"seccomp": 317, "write": (18,), "fsync": (74, 75)},
    "aarch64": {"seccomp": 277, "write": (68,), "fsync": (82, 83)},
}
_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_SET_MODE_FILTER = 1
_FLAG_TSYNC = 1  # all threads of the process
_RET_ERRNO = 0x00050000
_RET_ALLOW = 0x7FFF0000
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06


class _Instruction(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_uint16),
        ("if_true", ctypes.c_uint8),
        ("if_false", ctypes.c_uint8),
        ("value", ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.POINTER(_Instruction)))


def refuse(call: str, error: int) -> None:
    """Have the kernel answer a call of this process with an error, for good."""
    calls = _CALLS[platform.machine()]
    numbers = calls[call]
    assert isinstance(numbers, tuple)
    code = [_Instruction(_LOAD, 0, 0, 0)]  # the call's number
    for number in numbers:
        code.append(_Instruction(_JUMP_IF_EQUAL, 0, 1, number))
        code.append(_Instruction(_RETURN, 0, 0, _RET_ERRNO | error))
    code.append(_Instruction(_RETURN, 0, 0, _RET_ALLOW))
    program = _Program(len(code), (_Instruction * len(code))(*code))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.syscall(
        calls["seccomp"], _SECCOMP_SET_MODE_FILTER, _FLAG_TSYNC, ctypes.byref(program)
    ):
        raise OSError(ctypes.get_errno(), "seccomp(2) is refused")


def bring_about(fault: str) -> None:
    kind, _, what = fault.partition(":")
    if kind == "fiu":
        fiu = ctypes.CDLL("libfiu.so.0")
        if fiu.fiu_enable(what.encode(), 1, ctypes.c_void_p(errno.EIO), 0) != 0:
            raise OSError(f"libfiu does not know {what}")
    else:
        refuse(kind, getattr(errno, what))


class Appender:
    def __init__(self, log: SQLiteLog, count: int, fault: str, after: int) -> None:
        self.log = log
        self.count = count
        self.fault = fault
        self.after = after
        self.acked = 0

    async def author(self, author: int) -> None:
        lane = bytes([author]) * 16
        number = await self.log.mark("lobby", lane)
        while number < self.count:
            said = Draft(number + 1, f"{number + 1} {TEXT}")
            try:
                number = await self.log.append("lobby", lane, [said], after=number)
            except LogUnavailable:
                print("refused", author, said.number, flush=True)
                return
            print("acked", author, number, flush=True)
            self.acked += 1
            if self.acked == self.after:
                bring_about(self.fault)


async def main(directory: str, authors: str, count: str, fault: str = "", after: str = "0") -> int:
    log = SQLiteLog(Path(directory))
    await log.open()
    try:
        appender = Appender(log, int(count), fault, int(after))
        await asyncio.gather(*map(appender.author, range(int(authors))))
    except LogFailed:
        assert log.error is not None
        print("failed", flush=True)
        return FAILED
    finally:
        await log.close()
    return 0


if __name__ == "__main__":
    # Not sys.exit: what libfiu breaks may be needed for that.
    os._exit(asyncio.run(main(*sys.argv[1:])))
