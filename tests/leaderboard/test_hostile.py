from __future__ import annotations

import hashlib
import os
import re
import signal
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from leaderboard.scoring import inspect, score
from neurotasks.errors import CorruptSubmission
from neurotasks.submission.archive import unpack
from neurotasks.submission.check import problems, read_manifest
from tests.leaderboard.hostile import Case, cases

CASES = cases()
LONGEST = 20.0  # seconds that an inspection in this process may take
UPLOAD = 1 << 20


@pytest.fixture
def place() -> Iterator[Path]:
    """Return an empty folder that the sandbox's other user can read."""
    with tempfile.TemporaryDirectory(prefix="hostile-") as name:
        Path(name).chmod(0o755)
        folder = Path(name) / "submission"
        folder.mkdir()
        yield folder


def snapshot(folder: Path) -> dict[str, str]:
    """Return what is in a folder and the folders in it, links not followed."""
    found = {}
    for root, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(root) / name
            told = path.lstat()
            whole = path.is_file() and not path.is_symlink() and told.st_size < 1 << 28
            digest = hashlib.sha256(path.read_bytes()).hexdigest() if whole else ""
            found[str(path)] = f"{told.st_mode} {told.st_size} {told.st_mtime_ns} {digest}"
    return found


def children() -> set[int]:
    """Return the processes that this one has."""
    own = Path(f"/proc/{os.getpid()}/task")
    return {int(n) for task in own.iterdir() for n in (task / "children").read_text().split()}


@contextmanager
def in_time(seconds: float) -> Iterator[None]:
    """Break off what takes longer."""

    def late(*_words: object) -> None:
        raise TimeoutError(f"it took longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def refusal(case: Case, folder: Path) -> str:
    """Return why a case was refused."""
    if case.way == "inspect":
        with in_time(LONGEST):
            return "\n".join(map(str, problems(folder)))
    if case.way == "unpack":
        out = folder / "out"
        out.mkdir()
        with in_time(LONGEST), pytest.raises(CorruptSubmission) as caught:
            unpack(folder / "upload.zip", out, UPLOAD)
        return str(caught.value)
    if case.way == "inspect apart":
        return "\n".join(inspect(folder, case.limits))
    assert problems(folder) == [], "the inspection saw it: no scoring is needed"
    scored = score(folder, read_manifest(folder), "secret", case.limits)
    assert not scored.stages or not scored.reason
    assert scored.cpu_seconds < case.limits.cpu_seconds + 3
    return scored.reason


def test_the_corpus_is_large_and_has_each_case_once():
    assert len(CASES) >= 300
    names = Counter(case.name for case in CASES)
    assert [name for name, count in names.items() if count > 1] == []
    assert {case.way for case in CASES} == {"inspect", "inspect apart", "unpack", "score"}


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=ascii(case.name)[1:-1], marks=[pytest.mark.slow] if case.slow else [])
        for case in CASES
    ],
)
def test_an_attack_is_refused_or_bounded_with_a_reason(case, place, monkeypatch):
    surroundings = place.parent / "temporary"
    surroundings.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(surroundings))
    surroundings.chmod(0o755)
    alive = children()
    case.build(place)
    before, beside = snapshot(place), snapshot(place.parent)
    reason = refusal(case, place)
    assert re.search(case.reason, reason), reason
    assert reason.isprintable() or "\n" in reason
    assert len(reason) < 20_000
    assert "\x1b" not in reason
    assert snapshot(place) == before or case.way == "unpack"
    after = snapshot(place.parent)
    changed = {name for name in after.keys() | beside.keys() if after.get(name) != beside.get(name)}
    outside = {n for n in changed if not n.startswith(str(place)) and n != str(surroundings)}
    assert outside == set()
    assert children() == alive
