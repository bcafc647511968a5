"""Read results, tell which belong to the present cards, and rank them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from leaderboard.check import STAGES, problem
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
    "read",
]

ANCHORS = ("ideal", "trivial")
"""The agents that mark the two ends of the scale: shown first and last, and never ranked."""

_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Record:
    """A result and the file that it was read from."""

    path: Path
    result: Result


@dataclass(frozen=True)
class Row:
    """What the board shows of one agent on one task.

    Attributes:
        record: The result shown.
        scores: The score by stage, over the seeds.
        raws: The raw metric by stage, likewise.
        rank: Place by score in stage "test"; None for the anchors and for earlier versions.
        overlaps: Ranks of the agents whose interval overlaps with this one's.
        others: Results of the same agent and card that have fewer seeds and are not shown.
    """

    record: Record
    scores: Mapping[str, Interval]
    raws: Mapping[str, Interval]
    rank: int | None = None
    overlaps: tuple[int, ...] = ()
    others: int = 0

    @property
    def result(self) -> Result:
        """The result shown."""
        return self.record.result

    @property
    def agent(self) -> str:
        """The agent's name."""
        return self.record.result.agent

    @property
    def is_anchor(self) -> bool:
        """Whether this is the ideal or the trivial agent."""
        return self.agent in ANCHORS


@dataclass(frozen=True)
class Table:
    """One task and who answered it.

    Attributes:
        card: The task's present card.
        rows: The ideal agent, then the ranked ones, then the trivial one.
        earlier: Results earned under another card of the same id; not ranked.
    """

    card: TaskCard
    rows: tuple[Row, ...] = ()
    earlier: tuple[Row, ...] = ()

    @property
    def ranked(self) -> tuple[Row, ...]:
        """The rows that have a rank, best first."""
        return tuple(row for row in self.rows if row.rank is not None)


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


def collect(records: Sequence[Record], cards: Iterable[TaskCard]) -> Board:
    """Sort results into one table for each task.

    Raises:
        CorruptResult: Scores do not follow from the raw metrics and the card that they name.
    """
    by_task: defaultdict[str, list[Record]] = defaultdict(list)
    for record in records:
        by_task[record.result.task].append(record)
    tables = tuple(_table(card, by_task.pop(card.id, [])) for card in cards)
    unknown = tuple(record for rest in by_task.values() for record in rest)
    return Board(tables, unknown, tuple(records))


def order(agent: str) -> int:
    """Return 0 for the ideal agent, 1 for the learned ones, 2 for the trivial one."""
    return {"ideal": 0, "trivial": 2}.get(agent, 1)


def _table(card: TaskCard, records: Sequence[Record]) -> Table:
    groups: defaultdict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in records:
        groups[record.result.card, record.result.agent].append(record)
    rows: list[Row] = []
    earlier: list[Row] = []
    for (card_hash, _), group in groups.items():
        best = max(group, key=lambda r: (len(r.result.seeds), r.result.samples, str(r.path)))
        if card_hash == card.hash:
            _check_scores(best, card)
        (rows if card_hash == card.hash else earlier).append(_row(best, card, len(group) - 1))
    return Table(card, _ranked(rows), tuple(sorted(earlier, key=lambda row: row.agent)))


def _row(record: Record, card: TaskCard, others: int) -> Row:
    found = record.result.stages
    known = (*card.stages, "private") if card.data == "generated" else tuple(card.stages)
    stages = {name: found[name] for name in STAGES if name in found and name in known}
    scores = {name: stage.score_interval(card, name) for name, stage in stages.items()}
    raws = {name: stage.raw_interval(card) for name, stage in stages.items()}
    return Row(record, scores, raws, others=others)


def _ranked(rows: Sequence[Row]) -> tuple[Row, ...]:
    """Return the rows in order, each with its rank and whom it cannot be told from."""
    ordered = sorted(rows, key=lambda r: (order(r.agent), -r.scores["test"].mean, r.agent))
    ranks = {row.agent: rank for rank, row in enumerate(_learned(ordered), start=1)}
    return tuple(
        Row(row.record, row.scores, row.raws, ranks.get(row.agent), _overlaps(row, ordered, ranks),
            row.others)
        for row in ordered
    )  # fmt: skip


def _learned(rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if not row.is_anchor]


def _overlaps(row: Row, rows: Sequence[Row], ranks: Mapping[str, int]) -> tuple[int, ...]:
    """Return the ranks whose intervals overlap with a row's; one run has no interval to compare."""
    one = row.scores["test"]
    if row.is_anchor or one.runs == 1:
        return ()
    others = [(other.agent, other.scores["test"]) for other in _learned(rows)]
    return tuple(
        ranks[agent]
        for agent, two in others
        if agent != row.agent and two.runs > 1 and one.low <= two.high and two.low <= one.high
    )


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
