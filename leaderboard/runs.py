"""What a page says of one run: what it earned, and where that comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from leaderboard import numbers
from leaderboard.collect import Row
from neurotasks.card import TaskCard
from neurotasks.results import Result, StageResult
from neurotasks.scores import Interval

__all__ = ["Run", "run_of_row", "told"]


@dataclass(frozen=True, kw_only=True)
class Run:
    """One agent on one task.

    Attributes:
        agent: Its name.
        label: The task's label.
        card: Hash of the card that it was earned under.
        current: Whether that is the present one.
        metric: What is measured, in words.
        seeds: One for each run.
        facts: Pairs of term and text.
        config: What the agent was told.
        versions: Versions of libraries.
        commit: Git commit of the code.
        scores: By stage; empty where there is none to show.
        raws: Likewise.
        stages: What each seed earned, by stage.
        verified: Whether the board measured it.
        claimed: Mean raw metric by stage, as it was before submission.
        submission: Its number; None for result files.
        state: State of the submission; empty for result files.
        reason: Why it failed, or why it has no rank.
        author: Who handed it in.
        created: When, in UNIX seconds.
        description: What is new, in words.
        link: Address of a paper or of code.
        files: Name, address and SHA-256 of what was handed in.
        events: Its events in the log.
    """

    agent: str
    label: str
    card: str
    current: bool
    metric: str
    seeds: tuple[int, ...]
    facts: tuple[tuple[str, str], ...]
    config: Mapping[str, Any]
    versions: Mapping[str, str]
    commit: str
    scores: Mapping[str, Interval]
    raws: Mapping[str, Interval]
    stages: Mapping[str, StageResult]
    verified: bool = False
    claimed: Mapping[str, float] = field(default_factory=dict)
    submission: int | None = None
    state: str = ""
    reason: str = ""
    author: str = ""
    created: float | None = None
    description: str = ""
    link: str = ""
    files: Sequence[tuple[str, str, str]] = ()
    events: Sequence[Any] = ()


def run_of_row(row: Row, card: TaskCard) -> Run:
    """Return what a result file tells of a run."""
    r = row.result
    return Run(
        agent=row.agent, label=card.label, card=r.card, current=r.card == card.hash,
        metric=f"{card.metric.name} in {card.metric.unit}", seeds=r.seeds, facts=told(r),
        config=r.config, versions=r.versions, commit=r.commit, scores=row.scores, raws=row.raws,
        stages={name: r.stages[name] for name in row.scores},
    )  # fmt: skip


def told(r: Result) -> tuple[tuple[str, str], ...]:
    """Return what a result says of its making as pairs of term and text."""
    counted = f"{numbers.count(r.flops)}FLOP a run" if r.flops else "operations not counted"
    took = f"{numbers.duration(r.seconds)}, of processor {numbers.duration(r.cpu_seconds)}"
    return (
        ("Seeds", ", ".join(map(str, r.seeds))),
        ("Parameters", f"{r.parameters:,}"),
        ("Samples", f"{r.samples:,}"),
        ("Training", counted),
        ("Time", took),
        ("Energy", f"{numbers.energy(r.energy_kwh)} ({r.energy_method or 'method not told'})"),
        ("Hardware", r.hardware or "not told"),
    )
