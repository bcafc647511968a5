"""What a child of the sandbox does to itself before it reads anything: it gives up all it can.

It is done by the child, and not between fork and exec: a board's worker has threads, and what runs
there may find the locks of the others held.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
import tempfile

__all__ = ["enter"]

_NEW_USERS, _NEW_NETWORK = 0x1000_0000, 0x4000_0000  # CLONE_NEWUSER, CLONE_NEWNET
_DIE_WITH_PARENT, _NO_NEW_PRIVILEGES = 1, 38  # PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS
_GRACE = 2  # seconds between the signal that says why, and the end
_PROCESSES = 256  # and threads, of all children together


def enter(*, parent: int, user: int, memory: int, cpu_seconds: int, descriptors: int) -> None:
    """Give up the network, resources, rights and, where possible, the user; there is no way back.

    Args:
        parent: Number of the parent's process: the child ends with it.
        user: Number of the user and group to become; 0 to stay.
        memory: Address space in bytes.
        cpu_seconds: Processor time.
        descriptors: Open files.
    """
    tempfile.tempdir = os.curdir  # not searched for by writing: nothing can be written
    linux = ctypes.CDLL(None) if sys.platform == "linux" else None
    if linux is not None:  # both fail where the system forbids it: then there is a network
        linux.unshare(_NEW_NETWORK if os.geteuid() == 0 else _NEW_USERS | _NEW_NETWORK)
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
    if os.getppid() != parent:  # it died before this child asked to die with it
        os._exit(1)
