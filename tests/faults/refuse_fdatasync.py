"""Run a program under which `fdatasync` fails with EIO, as on a dying disk: `python refuse_fdatasync.py PROGRAM ARGUMENT…`.

A filter of the kernel (seccomp) does it, which any user may put on their own processes; neither strace nor a compiler is needed.
PostgreSQL syncs its log by `fsync` while `wal_sync_method` says so: a reload to `fdatasync` is the moment of the failure.
"""

import ctypes
import errno
import os
import platform
import struct
import sys

NUMBERS = {"x86_64": (0xC000003E, 75), "aarch64": (0xC00000B7, 83)}
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 22, 38
MODE_FILTER = 2
LOAD, IF_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, ERRNO = 0x7FFF0000, 0x00050000


class Filter(ctypes.Structure):
    """`struct sock_fprog`."""

    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]


def refuse() -> None:
    """Make fdatasync fail in this process and all that it will start; it can't be taken back."""
    architecture, number = NUMBERS[platform.machine()]
    program = b"".join(
        struct.pack("HBBI", *each)
        for each in (
            (LOAD, 0, 0, 4),
            (IF_EQUAL, 0, 3, architecture),
            (LOAD, 0, 0, 0),
            (IF_EQUAL, 0, 1, number),
            (RETURN, 0, 0, ERRNO | errno.EIO),
            (RETURN, 0, 0, ALLOW),
        )
    )
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in ((PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (PR_SET_SECCOMP, MODE_FILTER, ctypes.byref(Filter(6, program)), 0, 0)):
        if libc.prctl(*arguments):
            raise OSError(ctypes.get_errno(), "this kernel takes no filter")


if __name__ == "__main__":
    refuse()
    os.execvp(sys.argv[1], sys.argv[1:])
