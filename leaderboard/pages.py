"""From a board to its pages: a mapping of file names to contents, and nothing is written here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any, TypeAlias

from leaderboard import figures, streams
from leaderboard.badge import badge
from leaderboard.collect import Board, Row, Table
from leaderboard.compare import duel
from leaderboard.describe import bibtex, description, facts
from leaderboard.downloads import as_csv, as_json, results_csv, results_json, standings
from leaderboard.links import StaticLinks
from leaderboard.numbers import mean_and_spread
from leaderboard.render import renderer
from leaderboard.runs import Run, run_of_row
from leaderboard.summary import Overall, by_agent, by_topic, overall, suite
from leaderboard.svg import Lane, Mark, score_plot
from neurotasks.card import TaskCard

__all__ = [
    "NO_PAGES",
    "Pager",
    "agent_plot",
    "badge_of",
    "build",
    "card_context",
    "profile_of",
    "task_plots",
]

Pages: TypeAlias = dict[str, bytes]
RunOf: TypeAlias = Callable[[Row, TaskCard], Run]

_COMPARED = 12  # agents of which each pair has a page
_FEWEST = 2  # tasks that a performance profile stands on


@dataclass(frozen=True)
class Pager:
    """Where the pages before and after are; empty where there is none."""

    label: str = ""
    words: str = ""
    before: str = ""
    before_words: str = "Previous"
    after: str = ""
    after_words: str = "Next"


NO_PAGES = Pager()


def build(board: Board, title: str, minimum_seeds: int = 1, run_of: RunOf = run_of_row) -> Pages:
    """Return every file of the site by its path below the site's folder.

    Args:
        board: What is shown.
        title: Of all pages.
        minimum_seeds: How many a rank needs.
        run_of: What is known of a row's run.

    Raises:
        MissingExtra: jinja2 is not installed.
    """
    return _Site(board, title, minimum_seeds, run_of).pages()


def card_context(card: TaskCard) -> dict[str, Any]:
    """Return what a task's page says of the task, whoever answered it."""
    return {
        "card": card, "description": description(card), "facts": facts(card),
        "bibtex": bibtex(card),
    }  # fmt: skip


def task_plots(table: Table) -> dict[str, Any]:
    """Return every plot of a task's page."""
    runs = {row.agent: [row.result.stages[row.stage].score] for row in table.ranked
            if row.score.runs > 1 and row.stage in row.result.stages}  # fmt: skip
    return {
        "plot": figures.scores(table) if table.rows else "",
        "costs": figures.costs(table.rows),
        "profiles": figures.profiles(runs),
        "matrices": streams.matrices(table),
        "courses": streams.courses(table),
        "curves": figures.curves(table.rows),
        "details": figures.details(table.rows),
        "energy_methods": sorted({row.result.energy_method for row in table.rows} - {""}),
    }


def profile_of(
    tables: list[Table], lines: tuple[Overall, ...]
) -> tuple[figures.Profiles | None, int]:
    """Return the profiles of the best agents that share their tasks, and how many these are."""
    rows = by_agent(tables)
    learned = [line.agent for line in lines if not line.anchor and line.agent in rows]
    if not learned or len(rows[learned[0]]) < _FEWEST:
        return None, 0
    tasks = sorted(rows[learned[0]])
    same = [agent for agent in learned if set(tasks) <= set(rows[agent])]
    scores = {
        agent: [rows[agent][task].result.stages[rows[agent][task].stage].score for task in tasks]
        for agent in same
    }
    return figures.profiles(scores), len(tasks)


def agent_plot(agent: str, rows: list[tuple[TaskCard, Row]]) -> str:
    """Draw an agent on all tasks that it has."""
    lanes = []
    for card, row in rows:
        value = row.score
        mark = Mark(value.mean, "mean", "test", f"{card.label}: {figures.text(value)}",
                    value.low, value.high)  # fmt: skip
        rank = "" if row.rank is None else f"rank {row.rank}"
        lanes.append(Lane(card.label, figures.text(value), ((mark,),), rank))
    said = "; ".join(f"{lane.label} {lane.note}" for lane in lanes)
    return score_plot("agent", f"Scores of {agent} on all tasks", said, lanes,
                      lowest=figures.FLOOR)  # fmt: skip


def badge_of(name: str, row: Row | Overall | None) -> str:
    """Draw the badge of an agent on a task, or on the suite."""
    if row is None:
        return badge(name, "no result")
    mean, _ = mean_and_spread(row.score)
    return badge(name, mean if row.rank is None else f"{mean} \u00b7 rank {row.rank}")


class _Site:
    """All pages of a static site."""

    def __init__(self, board: Board, title: str, minimum_seeds: int, run_of: RunOf) -> None:
        self.board, self.title, self.minimum_seeds = board, title, minimum_seeds
        self._run_of = run_of
        self.authors = any(row.author for table in board.tables for row in table.rows)
        self.overall = overall(board.tables)
        self.lines = {line.agent: line for line in self.overall}
        self.rows = by_agent(board.tables)
        self.cards = {table.card.id: table.card for table in board.tables}
        compared = [line.agent for line in self.overall if not line.anchor][:_COMPARED]
        self.pairs = frozenset(combinations(compared, 2))
        self.compared = compared
        self._render: Callable[..., bytes] = renderer(title)

    def pages(self) -> Pages:
        """Return all files."""
        site = {
            "index.html": self._index(),
            "results.json": results_json(self.board),
            "results.csv": results_csv(self.board).encode(),
        }
        for table in self.board.tables:
            site.update(self._task(table))
        for agent in self.board.agents:
            site.update(self._agent(agent))
        site.update(self._compared())
        return site

    def _index(self) -> bytes:
        tables = list(self.board.tables)
        filled = [table for table in tables if table.rows]
        profiles, tasks = profile_of(tables, self.overall)
        agents = len(self.board.agents)
        said = f"{_count(agents, 'agent')} on {len(filled)} of {_count(len(tables), 'task')}."
        return self._show(
            "index.html.j2", "", heading=self.title, said=said, topics_of=(), topic="",
            topics=by_topic(tables), suite=suite, overall=self.overall, authors=self.authors,
            overview=figures.overview(tables), profiles=profiles, profile_tasks=tasks,
            pages=NO_PAGES, leaders=False, unknown=self.board.unknown,
        )  # fmt: skip

    def _task(self, table: Table) -> Iterator[tuple[str, bytes]]:
        label = table.card.label
        page = self._show(
            "task.html.j2", "../", table=table, stages=table.stages,
            authors=self.authors, sorted="",
            version="", versions=(), pages=NO_PAGES,
            rank_stage=table.rows[0].stage if table.rows else "test",
            minimum_seeds=self.minimum_seeds, **card_context(table.card), **task_plots(table),
        )  # fmt: skip
        yield f"tasks/{label}.html", page
        told = standings(table)
        yield f"tasks/{label}.json", as_json(told)
        yield (
            f"tasks/{label}.csv",
            as_csv(_columns(told), (line.values() for line in told)).encode(),
        )
        for row in (*table.rows, *table.unranked, *table.reported, *table.earlier):
            run = self._run_of(row, table.card)
            yield (
                StaticLinks().run(row),
                self._show("run.html.j2", "../../", run=run, row=row),
            )
        for row in table.ranked:
            yield StaticLinks().badge(row.agent, label), badge_of(f"{row.agent} on {label}",
                                                                  row).encode()  # fmt: skip

    def _agent(self, agent: str) -> Iterator[tuple[str, bytes]]:
        rows = [(self.cards[task], row) for task, row in self.rows.get(agent, {}).items()]
        rows += [(table.card, row) for table in self.board.tables for row in table.unranked
                 if row.agent == agent]  # fmt: skip
        earlier = [(table.card, row) for table in self.board.tables for row in table.earlier
                   if row.agent == agent]  # fmt: skip
        drawn = badge_of(agent, self.lines.get(agent))
        yield StaticLinks().badge(agent), drawn.encode()
        page = self._show(
            "agent.html.j2", "../", agent=agent, line=self.lines.get(agent), rows=rows,
            authors=self.authors, plot=agent_plot(agent, rows) if rows else "", earlier=earlier,
            badge=drawn, others=[other for other in self.compared
                                 if other != agent and agent in self.compared],
            unknown=[record.result.task for record in self.board.unknown
                     if record.result.agent == agent],
        )  # fmt: skip
        yield StaticLinks().agent(agent), page

    def _compared(self) -> Iterator[tuple[str, bytes]]:
        for one, two in sorted(self.pairs):
            first, second = self.rows[one], self.rows[two]
            shared = {task: (row, second[task]) for task, row in first.items() if task in second}
            page = self._show("compare.html.j2", "../../", duel=duel(one, two, shared, self.cards))
            yield StaticLinks("", self.pairs).compare(one, two), page

    def _show(self, template: str, root: str, **context: Any) -> bytes:
        return self._render(template, StaticLinks(root, self.pairs), **context)


def _columns(told: list[dict[str, Any]]) -> tuple[str, ...]:
    return tuple(told[0]) if told else ("task",)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
