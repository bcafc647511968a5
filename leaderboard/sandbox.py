"""The sandbox: a child process that gets little, may do little, and ends in time.

The child is an isolated Python with an empty environment in an empty folder of its own. Its address
space, processor time, file sizes and descriptors are limited by the system, its wall clock and the
size of its answer by its parent, with which it dies. It can open no socket, and has no network
where the system can take it away. Where the parent is root, the child is another user, to whom
folders that are root's alone show what the child must read and no more. It gets a request as JSON
on its standard input and answers in JSON on its output.

Limits bound what a mistake or an attack may use; they are no proof against a fault of the runtime
itself, so a public board runs its workers in a container of their own besides.
"""

from __future__ import annotations

import json
import logging
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from neurotasks.sources import cache_dir
from neurotasks.submission.strict import loads, shown

__all__ = ["Limits", "Outcome", "run"]

_log = logging.getLogger(__name__)

_ROOT = Path(__file__).resolve().parent.parent  # of the checkout, whose modules the child imports
_START = """
import sys
sys.path.insert(0, {root!r})
from leaderboard.jail import enter
enter(**{bounds!r})
"""
_MAIN = """
from {module} import main
main()
"""
_NOBODY = 65_534
_GIB = 1 << 30
_ERRORS = 4096  # bytes of the child's standard error that are kept
_BLOCK = 1 << 16
_REASON = 1000  # letters of it
_PATIENCE = 0.2  # seconds between two looks at the clock
_ENDED = os.WEXITED | os.WNOWAIT | os.WNOHANG


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a child may use.

    Attributes:
        memory: Address space in bytes.
        cpu_seconds: Processor time.
        wall_seconds: Wall clock.
        answer: Bytes of its answer.
        descriptors: Open files.
    """

    memory: int = 3 * _GIB
    cpu_seconds: int = 600
    wall_seconds: float = 1200.0
    answer: int = 64 << 20
    descriptors: int = 128


@dataclass(frozen=True)
class Outcome:
    """How a child ended.

    Attributes:
        answer: What it answered; None where it gave no good answer.
        reason: Why not, in one line; empty where it did.
        cpu_seconds: Processor time that it used.
        wall_seconds: How long it took.
    """

    answer: Mapping[str, Any] | None
    reason: str
    cpu_seconds: float
    wall_seconds: float


def run(module: str, request: Mapping[str, Any], limits: Limits) -> Outcome:
    """Run the function `main` of a module in a child process.

    Args:
        module: Full name of the module.
        request: What it gets, plain JSON types.
        limits: What it may use.
    """
    with tempfile.TemporaryDirectory(prefix="sandbox-") as folder:
        Path(folder).chmod(0o755)
        child = _start(module, folder, limits)
        begin = time.monotonic()
        try:
            talk = _Talk(child, json.dumps(request).encode(), limits)
            broken = talk.hold()
        finally:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            _, status, usage = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
            for pipe in (child.stdin, child.stdout, child.stderr):
                if pipe is not None:
                    pipe.close()
    cpu, wall = usage.ru_utime + usage.ru_stime, time.monotonic() - begin
    reason = broken or _fault(child.returncode, talk.said, limits)
    answer: Mapping[str, Any] | None = None
    if not reason:
        answer, reason = _answer(talk.told)
    return Outcome(answer, reason, cpu, wall)


def _start(module: str, folder: str, limits: Limits) -> subprocess.Popen[bytes]:
    data = str(cache_dir())  # recorded data, on which the child scores
    threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    words = {"HOME": folder, "LANG": "C.UTF-8", "NEUROTASKS_DATA": data}
    bounds = _bounds(_other_user(data), data, limits)
    code = _START.format(root=str(_ROOT), bounds=bounds) + _MAIN.format(module=module)
    return subprocess.Popen(  # noqa: S603 - fixed words, no shell
        [sys.executable, "-I", "-B", "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=folder,
        env=dict.fromkeys(threads, "1") | words,
        start_new_session=True,
    )


def _bounds(user: int, data: str, limits: Limits) -> dict[str, Any]:
    """Return what a child does to itself."""
    return {
        "parent": os.getpid(),
        "user": user,
        "folders": _folders(data),
        "memory": limits.memory,
        "cpu_seconds": limits.cpu_seconds,
        "descriptors": limits.descriptors,
    }


def _folders(data: str) -> list[str]:
    """Return what a child reads: Python, the checkout, data, and what was handed in."""
    wanted = (sys.prefix, sys.base_prefix, _ROOT, data, tempfile.gettempdir())
    return sorted({str(path) for path in (Path(one).resolve() for one in wanted) if path.is_dir()})


@cache
def _other_user(data: str) -> int:
    """Return the number of another user who can run Python here and read the data, or 0."""
    if os.geteuid() != 0:
        return 0
    code = _START.format(root=str(_ROOT), bounds=_bounds(_NOBODY, data, Limits()))
    code += "import os, neurotasks\n"
    if Path(data).is_dir():
        code += f"os.listdir({data!r})\n"
    try:
        subprocess.run(  # noqa: S603 - fixed words, no shell
            [sys.executable, "-I", "-B", "-c", code], cwd="/", env={}, capture_output=True,
            check=True, timeout=60,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        _log.warning(
            "submissions are scored by root: no other user can run %s and read %s and %s; make "
            "them readable, or set NEUROTASKS_DATA to a folder that is",
            sys.executable,
            _ROOT,
            data,
        )
        return 0
    return _NOBODY


class _Talk:
    """What passes between parent and child.

    Args:
        child: The child.
        request: What it is to get.
        limits: What it may use.

    Attributes:
        told: Its answer so far.
        said: The end of its standard error.
    """

    def __init__(self, child: subprocess.Popen[bytes], request: bytes, limits: Limits) -> None:
        self.child, self.limits = child, limits
        self.waiting, self.told, self.said = memoryview(request), bytearray(), bytearray()
        self.deadline = time.monotonic() + limits.wall_seconds

    def hold(self) -> str:
        """Talk until the child has ended; return why it was broken off, if it was."""
        assert self.child.stdin is not None  # noqa: S101 - all three are pipes
        os.set_blocking(self.child.stdin.fileno(), False)
        with selectors.DefaultSelector() as ready:
            ready.register(self.child.stdin, selectors.EVENT_WRITE, self._hand_over)
            ready.register(self.child.stdout or 1, selectors.EVENT_READ, self._listen)
            ready.register(self.child.stderr or 2, selectors.EVENT_READ, self._overhear)
            while ready.get_map():
                for key, _ in ready.select(_PATIENCE):
                    if not key.data(key.fd):
                        ready.unregister(key.fileobj)
                        key.fileobj.close()  # type: ignore[union-attr]
                if len(self.told) > self.limits.answer:
                    return f"answered more than {self.limits.answer:,} bytes"
                if time.monotonic() > self.deadline:
                    return self._late
        while os.waitid(os.P_PID, self.child.pid, _ENDED) is None:  # its pipes are closed already
            if time.monotonic() > self.deadline:
                return self._late
            time.sleep(_PATIENCE / 10)
        return ""

    @property
    def _late(self) -> str:
        return f"took longer than {self.limits.wall_seconds:g} s"

    def _hand_over(self, pipe: int) -> bool:
        """Write a part of the request; return whether there is more."""
        try:
            self.waiting = self.waiting[os.write(pipe, self.waiting[:_BLOCK]) :]
        except BrokenPipeError:  # the child has gone
            return False
        return len(self.waiting) > 0

    def _listen(self, pipe: int) -> bool:
        block = os.read(pipe, _BLOCK)
        self.told += block
        return bool(block)

    def _overhear(self, pipe: int) -> bool:
        block = os.read(pipe, _BLOCK)
        self.said = (self.said + block)[-_ERRORS:]
        return bool(block)


def _fault(code: int, said: bytearray, limits: Limits) -> str:
    """Return why a child failed by its exit code, or nothing."""
    if code == 0:
        return ""
    if code == -signal.SIGXCPU:
        return f"used more than {limits.cpu_seconds} s of processor time"
    words = said.decode("utf-8", "replace").strip().splitlines()
    last = shown(words[-1], _REASON) if words else "it said nothing"
    if code < 0:
        return f"was ended by signal {signal.Signals(-code).name}: {last}"
    return f"failed: {last}"


def _answer(told: bytearray) -> tuple[Mapping[str, Any] | None, str]:
    """Return the answer, or why it is none."""
    try:
        answer = loads(bytes(told))
    except ValueError as error:
        return None, f"gave an answer that is not JSON ({shown(error)})"
    if not isinstance(answer, dict):
        return None, "gave an answer that is not a JSON object"
    if "error" in answer:
        return None, f"failed: {shown(answer['error'], _REASON)}"
    return answer, ""
