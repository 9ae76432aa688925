"""Linux system call filter (seccomp-bpf) that restricts a process to computing and answering.

The allowed calls cannot start or signal processes or threads, open sockets, or write or remove files.
"""

import ctypes
import platform
import struct
import sys
from collections.abc import Callable

# Name: number on x86_64, number on aarch64 (None where there is no such call).
_COMPUTING = {
    "read": (0, 63), "write": (1, 64), "close": (3, 57), "fstat": (5, 80), "lseek": (8, 62), "mmap": (9, 222),
    "mprotect": (10, 226), "munmap": (11, 215), "brk": (12, 214), "mremap": (25, 216), "madvise": (28, 233),
    "rt_sigreturn": (15, 139), "exit": (60, 93), "exit_group": (231, 94), "futex": (202, 98), "getrandom": (318, 278),
    "clock_gettime": (228, 113), "clock_getres": (229, 114), "gettimeofday": (96, 169), "time": (201, None),
    "getpid": (39, 172), "gettid": (186, 178), "sched_yield": (24, 124), "restart_syscall": (219, 128),
    "sigaltstack": (131, 132), "getrusage": (98, 165), "times": (100, 153),
    "setitimer": (38, 103),
}  # fmt: skip
_READING = {
    "stat": (4, None), "lstat": (6, None), "access": (21, None), "readlink": (89, None), "getcwd": (79, 17),
    "newfstatat": (262, 79), "statx": (332, 291), "getdents64": (217, 61), "readlinkat": (267, 78),
    "faccessat": (269, 48), "pread64": (17, 67), "fcntl": (72, 25), "ioctl": (16, 29),
}  # fmt: skip
_OPENAT = (257, 56)
_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_WRITING_FLAGS = 0o3 | 0o100 | 0o1000 | 0o2000  # write only, read and write; create; truncate; append

_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06
_NUMBER_AT, _MACHINE_AT, _OPEN_FLAGS_AT = 0, 4, 32
_KILL, _REFUSE, _ALLOW = 0x80000000, 0x00050001, 0x7FFF0000  # refuse: the call fails with EPERM
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _MODE_FILTER = 38, 22, 2


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def build_filter(may_read_files: bool) -> Callable[[], None] | None:
    """Build a function that installs the filter permanently; None if the platform does not support it.

    Args:
        may_read_files: allow opening files for reading.
    """
    if sys.platform != "linux" or platform.machine() not in _MACHINES or sys.maxsize < 2**32:
        return None
    try:
        prctl = ctypes.CDLL(None, use_errno=True).prctl
    except (OSError, AttributeError):
        return None
    code = _instructions(*_MACHINES[platform.machine()], may_read_files)
    buffer = ctypes.create_string_buffer(code, len(code))
    program = _Program(len(code) // 8, ctypes.cast(buffer, ctypes.c_void_p))

    def apply() -> None:
        if prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(program)):
            raise OSError(ctypes.get_errno(), "the system call filter cannot be installed")
        assert buffer  # must live as long as the program that points to it

    return apply


def _instructions(column: int, machine: int, may_read_files: bool) -> bytes:
    """Encode the filter: check the architecture, then compare the call number with each allowed one."""
    allowed = {**_COMPUTING, **(_READING if may_read_files else {})}
    steps = [(_LOAD, 0, 0, _MACHINE_AT), (_EQUAL, 1, 0, machine), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, _NUMBER_AT)]
    for numbers in allowed.values():
        if (number := numbers[column]) is not None:
            steps += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ALLOW)]
    if may_read_files:
        steps += [(_EQUAL, 0, 3, _OPENAT[column]), (_LOAD, 0, 0, _OPEN_FLAGS_AT)]
        steps += [(_ANY_BIT, 1, 0, _WRITING_FLAGS), (_RETURN, 0, 0, _ALLOW)]
    steps.append((_RETURN, 0, 0, _REFUSE))
    return b"".join(struct.pack("HBBI", *step) for step in steps)
