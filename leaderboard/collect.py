"""The read model of all pages: what is shown of each task, from result files or from a store."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from leaderboard.check import STAGES, problem
from leaderboard.statistics import RankInterval, rank_intervals, tie_groups
from neurotasks.card import TaskCard
from neurotasks.errors import CorruptResult, NoResults, UnknownStage
from neurotasks.results import Result, read_result
from neurotasks.scores import Interval, score

__all__ = [
    "ANCHORS",
    "Board",
    "Record",
    "Row",
    "Table",
    "collect",
    "order",
    "placed",
    "read",
]

ANCHORS = ("ideal", "trivial")
"""The agents that mark the two ends of the scale: shown first and last, and never ranked."""

_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Record:
    """A result and where it was read from: a file, or the address of a submission."""

    path: Path
    result: Result


@dataclass(frozen=True, kw_only=True)
class Row:
    """What the board shows of one agent on one task.

    Attributes:
        record: The result shown.
        scores: The score by stage, over the seeds.
        raws: The raw metric by stage, likewise.
        stage: The stage whose score ranks.
        rank: Place by score; None for the anchors and for what is not ranked.
        places: The ranks that the intervals leave open; None without a rank, and for one run.
        group: Tie group, counted from 1; likewise None.
        others: Results of the same agent and card that have fewer seeds and are not shown.
        author: Who handed it in; empty for result files.
        submission: Number of the submission; None for result files.
        format: Format of the submission; empty for result files.
    """

    record: Record
    scores: Mapping[str, Interval]
    raws: Mapping[str, Interval]
    stage: str = "test"
    rank: int | None = None
    places: RankInterval | None = None
    group: int | None = None
    others: int = 0
    author: str = ""
    submission: int | None = None
    format: str = ""

    @property
    def result(self) -> Result:
        """The result shown."""
        return self.record.result

    @property
    def agent(self) -> str:
        """The agent's name."""
        return self.record.result.agent

    @property
    def score(self) -> Interval:
        """The score that ranks."""
        return self.scores[self.stage]

    @property
    def is_anchor(self) -> bool:
        """Whether this is the ideal or the trivial agent."""
        return self.agent in ANCHORS


@dataclass(frozen=True)
class Table:
    """One task and who answered it.

    Attributes:
        card: The task's card.
        rows: The ideal agent, then the ranked ones, then the trivial one.
        unranked: Results with too few seeds to be ranked.
        reported: What nobody could verify: numbers alone.
        earlier: Results earned under another card of the same id; not ranked.
    """

    card: TaskCard
    rows: tuple[Row, ...] = ()
    unranked: tuple[Row, ...] = ()
    reported: tuple[Row, ...] = ()
    earlier: tuple[Row, ...] = ()

    @property
    def ranked(self) -> tuple[Row, ...]:
        """The rows that have a rank, best first."""
        return tuple(row for row in self.rows if row.rank is not None)

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages that any row has, in order."""
        shown = {stage for row in (*self.rows, *self.unranked) for stage in row.scores}
        return tuple(stage for stage in STAGES if stage in shown | set(self.card.evaluated))

    @property
    def versions(self) -> dict[str, tuple[Row, ...]]:
        """The results of each earlier card."""
        found: defaultdict[str, list[Row]] = defaultdict(list)
        for row in self.earlier:
            found[row.result.card].append(row)
        return {card: tuple(rows) for card, rows in found.items()}


@dataclass(frozen=True)
class Board:
    """All that the pages show.

    Attributes:
        tables: One for each registered task, in the order of the cards.
        unknown: Results of tasks that are not registered.
        records: Every result that was read.
    """

    tables: tuple[Table, ...]
    unknown: tuple[Record, ...] = ()
    records: tuple[Record, ...] = field(default=(), repr=False)

    @property
    def agents(self) -> tuple[str, ...]:
        """The names of all agents, sorted."""
        return tuple(sorted({record.result.agent for record in self.records}))


def read(folder: Path) -> tuple[Record, ...]:
    """Read every result of a folder and of the folders below it.

    Raises:
        NoResults: There is no such folder, or no result in it.
        CorruptResult: A file is not a whole result; the message names it and the cure.
    """
    paths = sorted(path for path in folder.rglob("*.json") if path.is_file())
    if not paths:
        raise NoResults(
            f"there is no result in {folder}: name the folder that "
            "`python -m baselines run --out` wrote into"
        )
    records = []
    for path in paths:
        result = read_result(path)
        fault = problem(result)
        if fault:
            raise _corrupt(path, fault)
        records.append(Record(path, result))
    return tuple(records)


def collect(records: Sequence[Record], cards: Iterable[TaskCard], minimum_seeds: int = 1) -> Board:
    """Sort results into one table for each task.

    Args:
        records: What was read.
        cards: The tasks.
        minimum_seeds: With fewer a result is shown without a rank.

    Raises:
        CorruptResult: Scores do not follow from the raw metrics and the card that they name.
    """
    by_task: defaultdict[str, list[Record]] = defaultdict(list)
    for record in records:
        by_task[record.result.task].append(record)
    tables = tuple(_table(card, by_task.pop(card.id, []), minimum_seeds) for card in cards)
    unknown = tuple(record for rest in by_task.values() for record in rest)
    return Board(tables, unknown, tuple(records))


def order(agent: str) -> int:
    """Return 0 for the ideal agent, 1 for the learned ones, 2 for the trivial one."""
    return {"ideal": 0, "trivial": 2}.get(agent, 1)


def placed(intervals: Sequence[Interval]) -> list[tuple[RankInterval, int] | tuple[None, None]]:
    """Return the open ranks and the tie group of each interval; one run has no interval to tell."""
    wide = [i if i.runs > 1 else Interval(i.mean, -math.inf, math.inf, 1) for i in intervals]
    found = zip(intervals, rank_intervals(wide), tie_groups(wide), strict=True)
    return [(rank, group) if one.runs > 1 else (None, None) for one, rank, group in found]


def _table(card: TaskCard, records: Sequence[Record], minimum_seeds: int) -> Table:
    groups: defaultdict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in records:
        groups[record.result.card, record.result.agent].append(record)
    rows: list[Row] = []
    unranked: list[Row] = []
    earlier: list[Row] = []
    for (card_hash, agent), group in groups.items():
        best = max(group, key=lambda r: (len(r.result.seeds), r.result.samples, str(r.path)))
        row = _row(best, card, len(group) - 1)
        if card_hash != card.hash:
            earlier.append(row)
            continue
        _check_scores(best, card)
        enough = agent in ANCHORS or len(best.result.seeds) >= minimum_seeds
        (rows if enough else unranked).append(row)
    unranked.sort(key=lambda row: (-row.score.mean, row.agent))
    earlier.sort(key=lambda row: (row.result.card, -row.score.mean, row.agent))
    return Table(card, _ranked(rows), tuple(unranked), (), tuple(earlier))


def _row(record: Record, card: TaskCard, others: int) -> Row:
    found = record.result.stages
    known = (*card.stages, "private") if card.data == "generated" else tuple(card.stages)
    stages = {name: found[name] for name in STAGES if name in found and name in known}
    scores = {name: stage.score_interval(card, name) for name, stage in stages.items()}
    raws = {name: stage.raw_interval(card) for name, stage in stages.items()}
    return Row(record=record, scores=scores, raws=raws, others=others)


def _ranked(rows: Sequence[Row]) -> tuple[Row, ...]:
    """Return the rows in order, each with its rank and the ranks that it might have."""
    ordered = sorted(rows, key=lambda r: (order(r.agent), -r.score.mean, r.agent))
    learned = [row for row in ordered if not row.is_anchor]
    found = placed([row.score for row in learned]) if learned else []
    told = {
        row.agent: replace(row, rank=rank, places=places, group=group)
        for rank, (row, (places, group)) in enumerate(zip(learned, found, strict=True), start=1)
    }
    return tuple(told.get(row.agent, row) for row in ordered)


def _check_scores(record: Record, card: TaskCard) -> None:
    for name, stage in record.result.stages.items():
        try:
            anchors = card.stage(name)
        except UnknownStage as error:
            raise _corrupt(record.path, str(error)) from error
        for raw, stated in zip(stage.raw, stage.score, strict=True):
            if not math.isclose(score(raw, anchors), stated, rel_tol=_TOLERANCE, abs_tol=1e-6):
                raise _corrupt(
                    record.path, f"in stage {name!r} the score {stated} does not follow from {raw}"
                )


def _corrupt(path: Path, fault: str) -> CorruptResult:
    return CorruptResult(f"{path} is no result: {fault}. Delete it and run the baseline again")
