"""Results: one agent on one task over several seeds, as a JSON record on disk."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from neurotasks.card import TaskCard
from neurotasks.errors import CorruptResult, UnwritableFolder
from neurotasks.scores import Interval, interval, score_scale

__all__ = [
    "SCHEMA",
    "Result",
    "StageResult",
    "cores",
    "hardware",
    "read_result",
    "read_results",
    "versions",
    "write_atomically",
    "write_result",
]

SCHEMA = 2


@dataclass(frozen=True)
class StageResult:
    """What was measured in one stage.

    Attributes:
        raw: The raw metric, one number a seed.
        score: The score, one number a seed.
        extra: Other numbers, a list over seeds each: for streams "matrix" (E x G), "forgetting",
            "backward transfer" and "forward transfer"; else the task's details, by part.
        error: Standard error of each raw metric over its test trials; empty if not known.
    """

    raw: tuple[float, ...]
    score: tuple[float, ...]
    extra: Mapping[str, Any] = field(default_factory=dict)
    error: tuple[float, ...] = ()

    def raw_interval(self, card: TaskCard) -> Interval:
        """Return the mean raw metric with its 95 % interval."""
        return interval(self.raw, shared=self.shared_error(card))

    def score_interval(self, card: TaskCard, stage: str) -> Interval:
        """Return the mean score with its 95 % interval; `stage` says which anchors it stands on."""
        return interval(self.score, shared=self.shared_error(card) * score_scale(card.stage(stage)))

    def shared_error(self, card: TaskCard) -> float:
        """Return the standard error of the raw metric that all seeds share.

        It is that of a fixed test set; where the data are generated each seed has its own trials.
        """
        fixed = card.data != "generated"
        return sum(self.error) / len(self.error) if fixed and self.error else 0.0


@dataclass(frozen=True)
class Result:
    """One agent on one task over several seeds.

    Attributes:
        task: Id of the task.
        card: Hash of its card.
        agent: Name of the agent.
        config: What the agent was told: budget, hyperparameters.
        seeds: One for each run.
        stages: What was measured, by stage.
        parameters: Number of trainable parameters of one agent.
        samples: Training trials (for control: environment steps) that one run was shown.
        flops: Floating-point operations of training one run, forward and backward; 0 where they
            were not counted.
        seconds: Wall clock of learning and evaluation, all seeds together.
        cpu_seconds: Process time, likewise.
        energy_kwh: Energy, likewise.
        energy_method: How the energy was found, as in `meter`: "rapl" or "estimate ..." for the
            processor, and " + nvml" or " + estimate ..." where GPUs were used.
        hardware: What it ran on.
        versions: Versions of the libraries that matter.
        commit: Git commit of the code, empty outside a checkout.
        curves: Learning curves: per seed a list of [samples, value], by name.
        schema: Version of this record.
    """

    task: str
    card: str
    agent: str
    config: Mapping[str, Any]
    seeds: tuple[int, ...]
    stages: Mapping[str, StageResult]
    parameters: int
    samples: int
    flops: int
    seconds: float
    cpu_seconds: float
    energy_kwh: float
    energy_method: str
    hardware: str
    versions: Mapping[str, str]
    commit: str
    curves: Mapping[str, Any] = field(default_factory=dict)
    schema: int = SCHEMA

    def to_json(self) -> str:
        """Return the record as JSON text."""
        return (
            json.dumps(dataclasses.asdict(self), indent=1, sort_keys=True, allow_nan=False) + "\n"
        )

    @classmethod
    def from_json(cls, text: str) -> Result:
        """Read a record.

        Raises:
            CorruptResult: It is not JSON, lacks or adds fields, or is of another schema.
        """
        try:
            record = json.loads(text)
        except json.JSONDecodeError as error:
            raise CorruptResult(f"it is not JSON: {error}") from error
        if not isinstance(record, dict) or record.get("schema") != SCHEMA:
            raise CorruptResult(f"its schema is not {SCHEMA}, the one that this version reads")
        names = {f.name for f in dataclasses.fields(cls)}
        if set(record) != names:
            raise CorruptResult(f"its fields differ by {sorted(set(record) ^ names)}")
        try:
            stages = {
                name: StageResult(tuple(s["raw"]), tuple(s["score"]), s["extra"], tuple(s["error"]))
                for name, s in record["stages"].items()
            }
        except (AttributeError, KeyError, TypeError) as error:
            raise CorruptResult("its stages do not hold raw, score, extra and error") from error
        record.update(stages=stages, seeds=tuple(record["seeds"]))
        return cls(**record)


def hardware() -> str:
    """Return the processor's name and how many cores this process may use."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = (line for line in cpuinfo.read_text().splitlines() if line.startswith("model name"))
        name = next(lines, f": {name}").split(":", 1)[1].strip()
    return f"{name}, {cores()} cores"


def cores() -> int:
    """Return how many processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that move scores."""
    found = {"python": platform.python_version()}
    for name in (
        "numpy",
        "gymnasium",
        "torch",
        "stable-baselines3",
        "avalanche-lib",
        "scikit-learn",
    ):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file whole or not at all: to a temporary file beside it, to disk, then renamed.

    Raises:
        UnwritableFolder: The folder cannot be made or written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise UnwritableFolder(
            f"cannot write into {path.parent}: {error.strerror}; choose another folder"
        ) from error
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)  # a temporary file is private, what others read is not
        Path(temporary).replace(path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_result(result: Result, path: Path) -> None:
    """Write a result whole or not at all."""
    write_atomically(path, result.to_json().encode())


def read_result(path: Path) -> Result:
    """Read a result.

    Raises:
        CorruptResult: The file is not a whole result; the message names it and the cure.
    """
    try:
        return Result.from_json(path.read_text(encoding="utf-8"))
    except (CorruptResult, UnicodeDecodeError) as error:
        raise CorruptResult(
            f"{path} is no result: {error}. Delete it and run the baseline again"
        ) from error


def read_results(folder: Path) -> Iterator[Result]:
    """Read all results of a folder and of the folders below it, in the order of their paths."""
    for path in sorted(folder.rglob("*.json")):
        yield read_result(path)
