"""From a store to the read model of the pages; what is dear is kept until something changes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeAlias

from leaderboard import queries
from leaderboard.collect import Row, Table
from leaderboard.compare import Duel, duel
from leaderboard.kept import Kept
from leaderboard.order import Order
from leaderboard.queries import Filters
from leaderboard.runs import Run, told
from leaderboard.store import BoardRecord, Cursor, Store, SubmissionRecord
from leaderboard.store.errors import UnknownSubmission
from leaderboard.summary import Overall
from neurotasks.card import NAMESPACE, Stage, TaskCard
from neurotasks.errors import UnknownTask
from neurotasks.registry import cards, load
from neurotasks.results import StageResult
from neurotasks.scores import Interval
from neurotasks.submission.manifest import NAME

__all__ = ["DRAWN", "PAGE", "Model", "Stamps", "shown"]

Stamps: TypeAlias = Mapping[tuple[str, str, str], int]
Runs: TypeAlias = Mapping[int, tuple[tuple[int, ...], dict[str, StageResult]]]

PAGE = 50
"""Rows of a page."""

DRAWN = 25
"""Agents of a plot."""

_LARGEST = (1 << 31) - 1  # number of a submission that a database can hold
_KEPT = 1000  # orders and first rows of tables: some 100 KB at most
_LARGE = 400  # plots, and parts of pages: likewise, and anybody may ask for more of them
_RUNS = 2000  # submissions whose runs are kept: seldom more than some 10 KB
_EACH = 5  # agents of a task on the first page
_OTHERS = 30  # agents that an agent's page offers to compare with


class Model:
    """What pages show of a store.

    Args:
        store: What is shown.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.kept, self.large, self._runs = Kept(_KEPT), Kept(_LARGE), Kept(_RUNS)

    def head(self) -> int:
        """Return how long the log is: the stamp of what depends on more than one table."""
        return self.store.events.head().length

    def stamps(self, board: str) -> Stamps:
        """Return the stamps of a board's tables, by task, card and list."""
        return queries.stamps(self.store, board)

    def hash_of(self, card: TaskCard) -> str:
        """Return the hash of a card; a card finds it anew each time it is asked."""
        return self.kept.get(("hash", card.id), card, lambda: card.hash)

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
        if version in ("", self.hash_of(present)):
            return present
        for one in self.store.boards.versions(task):
            if one.card == version:
                stages = json.loads(one.facts)["stages"]
                return replace(present, stages={n: Stage(**facts) for n, facts in stages.items()})
        raise UnknownTask(f"{task} never had card {version[:40]!r}; see its present page")

    def versions(self, card: TaskCard) -> list[str]:
        """Return the hashes of a task's earlier cards, newest first."""
        now = self.hash_of(card)
        return [v.card for v in self.store.boards.versions(card.id) if v.card != now]

    def order(self, board: str, task: str, card: str, stamps: Stamps) -> Order:
        """Return the order of a task's ranked list, kept until somebody enters it."""
        return self.kept.get(
            ("order", board, task, card), stamps.get((task, card, "ranked")),
            lambda: queries.order_of(self.store, board, task, card),
        )  # fmt: skip

    def table(
        self, board: str, card: TaskCard, version: str, filters: Filters, after: Cursor | None,
        stamps: Stamps,
    ) -> tuple[Table, str]:  # fmt: skip
        """Return a page of a task's lists, and the cursor of the next page, empty on the last."""
        lists: dict[str, list[Row]] = {"ranked": [], "unranked": [], "self-reported": []}
        hidden = {"yes": {"self-reported"}, "no": {"ranked", "unranked"}}.get(filters.verified, ())
        for name in lists:
            shown = name == "ranked" or after is None
            if shown and name not in hidden and (card.id, version, name) in stamps:
                lists[name] = queries.rows_of(
                    self.store, board, card.id, version, name, filters=filters,
                    after=after if name == "ranked" else None,
                    limit=PAGE + (name == "ranked"),
                )  # fmt: skip
        rows = self.ranked(board, lists["ranked"], stamps)
        more = len(rows) > PAGE
        rows = rows[:PAGE]
        following = ""
        if more:
            last = rows[-1]
            following = str(Cursor(last.rank or 1, last.score.mean, last.submission or 0))
        table = Table(card, tuple(rows), tuple(lists["unranked"]), tuple(lists["self-reported"]))
        return table, following

    def ranked(self, board: str, rows: Sequence[Row], stamps: Stamps) -> list[Row]:
        """Return rows of ranked lists with their ranks and tie groups."""
        found = []
        for row in rows:
            order = self.order(board, row.result.task, row.result.card, stamps)
            places = order.places(row.score)
            group = order.group(places)
            found.append(replace(row, rank=order.rank(row), places=places, group=group))
        return found

    def runs_of(self, submissions: Iterable[int]) -> Runs:
        """Return seeds and results of submissions; none changes once it is released."""
        return self._runs.many(submissions, partial(queries.measured, self.store))

    def with_runs(self, rows: Sequence[Row]) -> list[Row]:
        """Return rows with what each seed earned."""
        runs = self.runs_of([row.submission or 0 for row in rows])
        found = []
        for row in rows:
            seeds, stages = runs.get(row.submission or 0, ((), {}))
            if row.stage in stages:
                result = replace(row.result, seeds=seeds, stages=stages)
                found.append(replace(row, record=replace(row.record, result=result)))
        return found

    def drawn(self, table: Table) -> Table:
        """Return the part of a table that its plots show."""
        return replace(table, rows=tuple(self.with_runs(table.rows[:DRAWN])))

    def leaders(
        self, board: BoardRecord, wanted: Sequence[TaskCard], stamps: Stamps
    ) -> list[Table]:
        """Return each task with its first agents; each is kept until somebody enters its list."""
        tables = []
        for card in wanted:
            key = (card.id, self.hash_of(card), "ranked")
            make = partial(self._leading, board.name, card, filled=key in stamps)
            tables.append(self.kept.get(("leaders", board.name, *key), stamps.get(key), make))
        return tables

    def _leading(self, board: str, card: TaskCard, *, filled: bool) -> Table:
        if not filled:
            return Table(card)
        version = self.hash_of(card)
        rows = queries.rows_of(self.store, board, card.id, version, "ranked", limit=_EACH)
        return Table(card, tuple(replace(row, rank=rank) for rank, row in enumerate(rows, start=1)))

    def suite(self, board: str, page: int, beginning: str) -> tuple[list[Overall], bool]:
        """Return a page of the suite table, and whether there is a next one.

        Args:
            board: Name of the board.
            page: Counted from 1.
            beginning: What the names of the agents begin with; empty for all.
        """
        wanted = queries.agents_like(self.store, board, beginning) if beginning else None
        lines = queries.suite_lines(self.store, board, PAGE + 1, PAGE * (page - 1), wanted)
        first = None if wanted is not None else PAGE * (page - 1) + 1
        return self._placed(board, lines[:PAGE], first), len(lines) > PAGE

    def line(self, board: str, agent: str) -> Overall | None:
        """Return the best line of the suite table of whoever's agent has this name."""
        wanted = queries.agents_named(self.store, board, agent)
        lines = queries.suite_lines(self.store, board, 1, 0, wanted)
        return next(iter(self._placed(board, lines)), None)

    def _placed(
        self, board: str, lines: Sequence[Overall], first: int | None = None
    ) -> list[Overall]:
        """Return lines of the suite with their ranks and tie groups.

        Args:
            board: Name of the board.
            lines: In the order of the suite.
            first: Rank of the first of them; None where others stand between them.
        """
        head, found = self.head(), []
        for number, line in enumerate(lines):
            make = partial(queries.suite_order, self.store, board, line.tasks)
            order = self.kept.get(("suite", board, line.tasks), head, make)
            rank = order.before(line.score.mean) + 1 if first is None else first + number
            told = replace(line, rank=rank)
            if len(order) > 1:  # else there is nobody to compare with
                places = order.places(line.score)
                told = replace(told, places=places, group=order.group(places))
            found.append(told)
        return found

    def agent(
        self, board: BoardRecord, agent: str
    ) -> tuple[list[tuple[TaskCard, Row]], list[tuple[TaskCard, Row]]]:
        """Return an agent's rows under present cards, and those under earlier ones.

        Raises:
            UnknownSubmission: The board shows no agent of this name.
        """
        present, earlier = [], []
        wanted = {card.id: card for card in self.cards(board)}
        stamps = self.stamps(board.name)
        for list_, row in queries.rows_of_agents(self.store, board.name, [(None, agent)]):
            card = wanted.get(row.result.task)
            if card is None:
                continue
            if row.result.card != self.hash_of(card):
                earlier.append((card, row))
            elif list_ == "ranked":
                present += [(card, one) for one in self.ranked(board.name, [row], stamps)]
            else:
                present.append((card, row))
        if not present and not earlier:
            raise UnknownSubmission(
                f"board {board.name!r} shows no agent {agent[:80]!r}; its page lists all agents"
            )
        return present, earlier

    def topic(
        self, board: BoardRecord, wanted: Sequence[TaskCard], lines: Sequence[Overall],
        stamps: Stamps,
    ) -> list[Table]:  # fmt: skip
        """Return some tasks with the rows of the agents that a page of the suite shows."""
        tables, names = [], tuple(line.agent for line in lines)
        for card in wanted:
            key = (card.id, self.hash_of(card), "ranked")
            make = partial(self._of_agents, board.name, card, names, stamps)
            kept = ("agents", board.name, *key, names)
            tables.append(self.large.get(kept, stamps.get(key), make))
        return tables

    def _of_agents(self, board: str, card: TaskCard, names: Sequence[str], stamps: Stamps) -> Table:
        version = self.hash_of(card)
        if (card.id, version, "ranked") not in stamps:
            return Table(card)
        wanted = [(None, name) for name in names]
        found = queries.rows_of_agents(self.store, board, wanted, [card.id])
        mine = [row for list_, row in found if list_ == "ranked" and row.result.card == version]
        return Table(card, tuple(self.with_runs(self.ranked(board, mine, stamps))))

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
            if list_ != "ranked" or card is None:
                continue
            if row.result.card == self.hash_of(card):
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
            agent=record.agent, label=label, card=record.card,
            current=record.card == self.hash_of(card),
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
        mine = [row for name, row in found if name == "ranked" and row.submission == record.id]
        if not mine:
            return None
        return self.ranked(record.board, mine, self.stamps(record.board))[0]

    def _files(self, record: SubmissionRecord) -> list[tuple[str, str, str]]:
        """Return name, address and hash of what was handed in, the manifest first."""
        address = f"/submissions/{record.id}/files"
        kept = self.store.submissions.files(record.id)
        return [
            (NAME, f"{address}/{NAME}", ""),
            *((name, f"{address}/{name}" if name in kept else "", sha)
              for name, sha in sorted(record.manifest.files.items())),
        ]  # fmt: skip


def shown(rows: Iterable[Row], last: int = _LARGEST) -> tuple[tuple[int | None, int | None], ...]:
    """Return the stamp of what is drawn of rows: their submissions, which never change, and ranks.

    Args:
        rows: In the order in which they are drawn.
        last: The last rank that makes a difference.
    """
    return tuple((row.submission, min(row.rank or 0, last + 1)) for row in rows)


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
