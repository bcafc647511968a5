"""From a store to the read model of the pages; what is dear is kept until something changes."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from leaderboard import queries
from leaderboard.collect import Row, Table
from leaderboard.compare import Duel, duel
from leaderboard.queries import Filters, Order
from leaderboard.runs import Run, told
from leaderboard.store import BoardRecord, Cursor, Store, SubmissionRecord
from leaderboard.store.errors import UnknownSubmission
from leaderboard.summary import Overall
from neurotasks.card import NAMESPACE, Stage, TaskCard
from neurotasks.errors import UnknownTask
from neurotasks.registry import cards, load
from neurotasks.scores import Interval
from neurotasks.submission.manifest import NAME

__all__ = ["PAGE", "Kept", "Model"]

T = TypeVar("T")

PAGE = 50
"""Rows of a page."""

_LARGEST = (1 << 31) - 1  # number of a submission that a database can hold
_KEPT = 500  # tables and plots
_EACH = 5  # agents of a task on the first page
_DRAWN = 25  # agents of a plot
_OTHERS = 30  # agents that an agent's page offers to compare with


class Kept:
    """Values that hold until the log grows: the last event is part of their key.

    Args:
        store: Whose log.
        size: How many are kept.
    """

    def __init__(self, store: Store, size: int = _KEPT) -> None:
        self._store, self._size = store, size
        self._values: OrderedDict[Any, tuple[int, Any]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Any, make: Callable[[], T], head: int | None = None) -> T:
        """Return a value, made anew if the log has grown since."""
        now = self._store.events.head().length if head is None else head
        with self._lock:
            at, value = self._values.get(key, (-1, None))
            if at == now:
                self._values.move_to_end(key)
                return value
        value = make()
        with self._lock:
            self._values[key] = (now, value)
            self._values.move_to_end(key)
            while len(self._values) > self._size:
                self._values.popitem(last=False)
        return value


class Model:
    """What pages show of a store.

    Args:
        store: What is shown.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.kept = Kept(store)

    def cards(self, board: BoardRecord) -> list[TaskCard]:
        """Return the cards of a board's tasks."""
        return [card for card in cards() if board.takes(card.id)]

    def card(self, board: BoardRecord, label: str, version: str = "") -> TaskCard:
        """Return the card of a task, or an earlier one, with the anchors that it had.

        Raises:
            UnknownTask: The board has no such task, or the task never had this card.
        """
        task = f"{NAMESPACE}/{label}"
        present = load(task).card
        if not board.takes(present.id):
            raise UnknownTask(f"{task} is not on board {board.name!r}; its page lists all tasks")
        if version in ("", present.hash):
            return present
        for one in self.store.boards.versions(task):
            if one.card == version:
                stages = json.loads(one.facts)["stages"]
                return replace(present, stages={n: Stage(**facts) for n, facts in stages.items()})
        raise UnknownTask(f"{task} never had card {version[:40]!r}; see its present page")

    def versions(self, card: TaskCard) -> list[str]:
        """Return the hashes of a task's earlier cards, newest first."""
        return [v.card for v in self.store.boards.versions(card.id) if v.card != card.hash]

    def order(self, board: str, task: str, card: str) -> Order:
        """Return the order of a task's ranked list."""
        make = lambda: queries.order_of(self.store, board, task, card)  # noqa: E731 - made later
        return self.kept.get(("order", board, task, card), make)

    def table(
        self, board: str, card: TaskCard, version: str, filters: Filters, after: Cursor | None
    ) -> tuple[Table, str]:
        """Return a page of a task's lists, and the cursor of the next page, empty on the last."""
        lists: dict[str, list[Row]] = {"ranked": [], "unranked": [], "self-reported": []}
        hidden = {"yes": {"self-reported"}, "no": {"ranked", "unranked"}}.get(filters.verified, ())
        for name in lists:
            if name not in hidden and (name == "ranked" or after is None):
                lists[name] = queries.rows_of(
                    self.store, board, card.id, version, name, filters=filters,
                    after=after if name == "ranked" else None,
                    limit=PAGE + (name == "ranked"),
                )  # fmt: skip
        rows = self.ranked(board, card.id, version, lists["ranked"])
        more = len(rows) > PAGE
        rows = rows[:PAGE]
        following = ""
        if more:
            last = rows[-1]
            following = str(Cursor(last.rank or 1, last.score.mean, last.submission or 0))
        table = Table(card, tuple(rows), tuple(lists["unranked"]), tuple(lists["self-reported"]))
        return table, following

    def ranked(self, board: str, task: str, card: str, rows: Sequence[Row]) -> list[Row]:
        """Return rows of a ranked list with their ranks and tie groups."""
        if not rows:
            return []
        order = self.order(board, task, card)
        return [
            replace(row, rank=order.ranks.get(row.submission or 0), places=order.places(row.score),
                    group=order.group(row.score))
            for row in rows
        ]  # fmt: skip

    def with_runs(self, rows: Sequence[Row]) -> list[Row]:
        """Return rows with what each seed earned."""
        runs = queries.measured(self.store, [row.submission or 0 for row in rows])
        found = []
        for row in rows:
            seeds, stages = runs.get(row.submission or 0, ((), {}))
            if row.stage in stages:
                result = replace(row.result, seeds=seeds, stages=stages)
                found.append(replace(row, record=replace(row.record, result=result)))
        return found

    def drawn(self, table: Table) -> Table:
        """Return the part of a table that its plots show."""
        return replace(table, rows=tuple(self.with_runs(table.rows[:_DRAWN])))

    def leaders(self, board: BoardRecord, wanted: Sequence[TaskCard]) -> list[Table]:
        """Return each task with its first agents."""
        found: defaultdict[str, list[Row]] = defaultdict(list)
        named = [(card.id, card.hash) for card in wanted]
        for row in queries.leaders(self.store, board.name, named, _EACH):
            found[row.result.task].append(replace(row, rank=len(found[row.result.task]) + 1))
        return [Table(card, tuple(found[card.id])) for card in wanted]

    def suite(self, board: str, page: int, agent: str) -> tuple[list[Overall], bool]:
        """Return a page of the suite table, and whether there is a next one."""
        wanted = queries.agents_like(self.store, board, agent) if agent else None
        lines = queries.suite_lines(self.store, board, PAGE + 1, PAGE * (page - 1), wanted)
        told = [self._placed(board, line) for line in lines[:PAGE]]
        first = PAGE * (page - 1) + 1
        ranks = (
            list(range(first, first + len(told)))
            if wanted is None
            else queries.suite_ranks(self.store, board, told)
        )
        told = [replace(line, rank=rank) for line, rank in zip(told, ranks, strict=True)]
        return told, len(lines) > PAGE

    def _placed(self, board: str, line: Overall) -> Overall:
        make = lambda: queries.suite_order(self.store, board, line.tasks)  # noqa: E731 - made later
        order = self.kept.get(("suite", board, line.tasks), make)
        if len(order.lows) < 2:  # noqa: PLR2004 - nobody to compare with
            return line
        return replace(line, places=order.places(line.score), group=order.group(line.score))

    def agent(
        self, board: BoardRecord, agent: str
    ) -> tuple[list[tuple[TaskCard, Row]], list[tuple[TaskCard, Row]]]:
        """Return an agent's rows under present cards, and those under earlier ones.

        Raises:
            UnknownSubmission: The board shows no agent of this name.
        """
        present, earlier = [], []
        wanted = {card.id: card for card in self.cards(board)}
        found = queries.rows_of_agents(self.store, board.name, [(None, agent)])
        with self.store.database.read() as connection:
            for list_, row in found:
                card = wanted.get(row.result.task)
                if card is None:
                    continue
                if row.result.card != card.hash:
                    earlier.append((card, row))
                elif list_ == "ranked":
                    present.append((card, queries.place_one(connection, board.name, row)))
                else:
                    present.append((card, row))
        if not present and not earlier:
            raise UnknownSubmission(
                f"board {board.name!r} shows no agent {agent[:80]!r}; its page lists all agents"
            )
        return present, earlier

    def topic(
        self, board: BoardRecord, wanted: Sequence[TaskCard], lines: Sequence[Overall]
    ) -> list[Table]:
        """Return some tasks with the rows of the agents that a page of the suite shows."""
        found: defaultdict[tuple[str, str], list[Row]] = defaultdict(list)
        names = [(None, line.agent) for line in lines]
        tasks = [card.id for card in wanted]
        for list_, row in queries.rows_of_agents(self.store, board.name, names, tasks):
            if list_ == "ranked":
                found[row.result.task, row.result.card].append(row)
        tables = []
        for card in wanted:
            rows = self.ranked(board.name, card.id, card.hash, found[card.id, card.hash])
            tables.append(Table(card, tuple(self.with_runs(rows))))
        return tables

    def others(self, board: str, agent: str) -> list[str]:
        """Return other agents of the suite, the best first."""
        lines = queries.suite_lines(self.store, board, _OTHERS, 0, None)
        return list(dict.fromkeys(line.agent for line in lines if line.agent != agent))

    def duel(self, board: BoardRecord, one: str, two: str) -> Duel:
        """Compare two agents on the tasks on which both are ranked, each by its best row."""
        wanted = {card.id: card for card in self.cards(board)}
        found: dict[str, dict[str, Row]] = {one: {}, two: {}}
        rows = queries.rows_of_agents(self.store, board.name, [(None, one), (None, two)])
        for list_, row in rows:
            card = wanted.get(row.result.task)
            if list_ == "ranked" and card is not None and card.hash == row.result.card:
                found[row.agent].setdefault(card.id, row)
        shared = [task for task in found[one] if task in found[two]]
        first = {r.result.task: r for r in self.with_runs([found[one][task] for task in shared])}
        second = {r.result.task: r for r in self.with_runs([found[two][task] for task in shared])}
        both = {
            task: (first[task], second[task])
            for task in shared
            if task in first and task in second and first[task].stage == second[task].stage
        }
        return duel(one, two, both, wanted)

    def submission(self, number: int) -> SubmissionRecord:
        """Return a submission.

        Raises:
            UnknownSubmission: There is none, nor could there be.
        """
        if number > _LARGEST:
            raise UnknownSubmission(f"there is no submission {number:.3g}; look at the list of all")
        return self.store.submissions.get(number)

    def run(self, submission: int) -> tuple[SubmissionRecord, Run, Row | None]:
        """Return a submission, what its page says, and its row if it stands in a ranked list.

        Raises:
            UnknownSubmission: There is none.
        """
        record = self.submission(submission)
        label = record.task.removeprefix(f"{NAMESPACE}/")
        card = load(record.task).card
        seeds, stages = queries.measured(self.store, [submission]).get(submission, ((), {}))
        row = self._standing(record)
        manifest = record.manifest
        run = Run(
            agent=record.agent, label=label, card=record.card, current=record.card == card.hash,
            metric=f"{card.metric.name} in {card.metric.unit}", seeds=seeds or manifest.seeds,
            facts=_facts(record), config=manifest.config, versions=manifest.versions,
            commit=manifest.commit, scores=_part(record, "score"), raws=_part(record, "raw"),
            stages=stages, verified=record.state == "verified", claimed=_claimed(record),
            submission=submission, state=record.state, reason=record.reason, author=record.author,
            created=record.created, description=manifest.description, link=manifest.link,
            files=self._files(record),
            events=self.store.events.read(f"submission {submission}", limit=20),
        )  # fmt: skip
        return record, run, row

    def _standing(self, record: SubmissionRecord) -> Row | None:
        """Return the row of a submission, if it stands in the ranked list."""
        found = queries.rows_of_agents(
            self.store, record.board, [(record.account, record.agent)], [record.task]
        )
        with self.store.database.read() as connection:
            for list_, row in found:
                if list_ == "ranked" and row.submission == record.id:
                    return queries.place_one(connection, record.board, row)
        return None

    def _files(self, record: SubmissionRecord) -> list[tuple[str, str, str]]:
        """Return name, address and hash of what was handed in, the manifest first."""
        address = f"/submissions/{record.id}/files"
        kept = self.store.submissions.files(record.id)
        return [
            (NAME, f"{address}/{NAME}", ""),
            *((name, f"{address}/{name}" if name in kept else "", sha)
              for name, sha in sorted(record.manifest.files.items())),
        ]  # fmt: skip


def _part(record: SubmissionRecord, name: str) -> dict[str, Interval]:
    return {stage: both[name] for stage, both in record.summary.items()}


def _claimed(record: SubmissionRecord) -> dict[str, float]:
    """Return the mean of what was claimed, where the board measured something to hold against."""
    if record.state != "verified":
        return {}
    return {stage: sum(raw) / len(raw) for stage, raw in record.manifest.claimed.items() if raw}


def _facts(record: SubmissionRecord) -> tuple[tuple[str, str], ...]:
    m = record.manifest
    architecture = " ".join(f"{key} {value}" for key, value in m.architecture.items())
    return (
        ("Format", f"{m.format} {architecture}".strip()),
        *told(record.result({})),
        ("Other data", "used" if m.external_data else "none but those of the task"),
        ("Tuning", f"{m.tuning_trials:,} other configurations were tried"),
        ("Attempts", f"a worker began {record.attempts} time{'' if record.attempts == 1 else 's'}"),
    )
