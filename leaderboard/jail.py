"""What a child of the sandbox does to itself before it reads anything: it gives up all it can.

It is done by the child, and not between fork and exec: a board's worker has threads, and what runs
there may find the locks of the others held.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import stat
import struct
import sys
import tempfile
from collections.abc import Sequence
from errno import EACCES
from pathlib import Path

__all__ = ["enter"]

_NEW_MOUNTS, _NEW_USERS, _NEW_NETWORK = 0x2_0000, 0x1000_0000, 0x4000_0000  # CLONE_NEW...
_BIND, _ALL_BELOW, _PRIVATE = 0x1000, 0x4000, 0x4_0000  # MS_BIND, MS_REC, MS_PRIVATE
_DIE_WITH_PARENT, _NO_NEW_PRIVILEGES = 1, 38  # PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS
_GRACE = 2  # seconds between the signal that says why, and the end
_PROCESSES = 256  # and threads, of all children together

_CALLS = {  # AUDIT_ARCH_..., and the numbers of seccomp, socket and io_uring_setup
    "x86_64": (0xC000_003E, 317, 41, 425),
    "aarch64": (0xC000_00B7, 277, 198, 425),
}
_LOAD, _EQUAL, _LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06  # instructions of the kernel's filters
_ALLOW, _DENY = 0x7FFF_0000, 0x5_0000 | EACCES  # SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO
_FILTER, _FULL_SPEED = 1, 4  # SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW
_OTHER_ABI = 0x4000_0000  # numbers of x32, by which the same calls could be made


def enter(
    *, parent: int, user: int, folders: Sequence[str], memory: int, cpu_seconds: int,
    descriptors: int,
) -> None:  # fmt: skip
    """Give up the network, resources, rights and, where possible, the user; there is no way back.

    Args:
        parent: Number of the parent's process: the child ends with it.
        user: Number of the user and group to become; 0 to stay.
        folders: What that user must be able to reach, wherever it lies.
        memory: Address space in bytes.
        cpu_seconds: Processor time.
        descriptors: Open files.
    """
    tempfile.tempdir = os.curdir  # not searched for by writing: nothing can be written
    linux = ctypes.CDLL(None) if sys.platform == "linux" else None
    if linux is not None:  # where the system forbids it, there is a network, without sockets
        linux.unshare(_NEW_NETWORK if os.geteuid() == 0 else _NEW_USERS | _NEW_NETWORK)
    if linux is not None and user:
        _open_ways(linux, folders)
    bounds = [
        (resource.RLIMIT_AS, memory, memory),
        (resource.RLIMIT_CPU, cpu_seconds, cpu_seconds + _GRACE),
        (resource.RLIMIT_FSIZE, 0, 0),
        (resource.RLIMIT_NOFILE, descriptors, descriptors),
        (resource.RLIMIT_CORE, 0, 0),
    ]
    if user:
        bounds.append((resource.RLIMIT_NPROC, _PROCESSES, _PROCESSES))
    for kind, soft, hard in bounds:
        resource.setrlimit(kind, (soft, hard))
    if user:
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
    if linux is not None:
        linux.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
        linux.prctl(_DIE_WITH_PARENT, signal.SIGKILL, 0, 0, 0)
        _forbid_sockets(linux)
    if os.getppid() != parent:  # it died before this child asked to die with it
        os._exit(1)


def _open_ways(linux: ctypes.CDLL, folders: Sequence[str]) -> None:
    """Let another user reach folders that lie in one that is root's alone, such as root's home.

    An empty folder takes the place of the closed one, for this process alone, and holds nothing
    but them. Where the system forbids it all stays as it was.
    """
    above = sorted({parent for folder in folders for parent in Path(folder).parents})
    if all(map(_is_open, above)) or linux.unshare(_NEW_MOUNTS):
        return
    if linux.mount(b"none", b"/", None, _ALL_BELOW | _PRIVATE, None):
        return  # else all others would see what follows
    os.umask(0o022)
    held = {Path(folder): os.open(folder, os.O_PATH) for folder in folders}
    for closed in above:  # from the outside in: what is put into one may hold the next
        if _is_open(closed):
            continue
        linux.mount(b"none", bytes(closed), b"tmpfs", 0, b"mode=755")
        for folder, descriptor in held.items():
            if closed in folder.parents:
                folder.mkdir(parents=True, exist_ok=True)
                source = b"/proc/self/fd/%d" % descriptor
                linux.mount(source, bytes(folder), None, _BIND | _ALL_BELOW, None)
    for descriptor in held.values():
        os.close(descriptor)


def _is_open(folder: Path) -> bool:
    return bool(folder.stat().st_mode & stat.S_IXOTH)


def _forbid_sockets(linux: ctypes.CDLL) -> None:
    """Let the kernel refuse every new socket: one of the file system leads out of any network."""
    if os.uname().machine not in _CALLS:
        return
    arch, seccomp, socket, ring = _CALLS[os.uname().machine]
    steps = [  # each with how many to skip when it holds and when not
        (_LOAD, 0, 0, 4),  # the architecture of the call
        (_EQUAL, 0, 5, arch),
        (_LOAD, 0, 0, 0),  # its number
        (_LEAST, 3, 0, _OTHER_ABI),
        (_EQUAL, 2, 0, socket),
        (_EQUAL, 1, 0, ring),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _DENY),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
    program = ctypes.create_string_buffer(struct.pack("@HP", len(steps), ctypes.addressof(code)))
    linux.syscall(seccomp, _FILTER, _FULL_SPEED, program)
