"""The pages of a server: from a request to what a template needs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import urlencode

from leaderboard import figures
from leaderboard.collect import Table
from leaderboard.downloads import as_csv, standings
from leaderboard.links import LiveLinks
from leaderboard.model import DRAWN, Model, shown
from leaderboard.pages import (
    agent_plot,
    badge_of,
    card_context,
    profile_of,
    task_plots,
)
from leaderboard.queries import Filters
from leaderboard.render import renderer
from leaderboard.store import BoardRecord, Cursor
from leaderboard.store.errors import InvalidEntry
from leaderboard.summary import by_topic, suite
from leaderboard.web.feeds import atom
from leaderboard.web.pagination import cursor_pager, number_pager, sort_links, sorted_rows
from neurotasks.card import NAMESPACE, TaskCard
from neurotasks.registry import load

__all__ = ["Views", "compact"]

T = TypeVar("T")
Asked = Mapping[str, str]
_FIRST = 400  # pages of the suite that can be named


class Views:
    """Renders pages; each method returns the content of one.

    Args:
        model: What is shown.
        title: Of the server.
        files: Addresses of the style sheet and of the script.
    """

    def __init__(self, model: Model, title: str, files: tuple[str, str]) -> None:
        self.model, self.title, self._files = model, title, files
        self._render = renderer(title)

    def show(self, template: str, board: BoardRecord | None = None, **context: Any) -> bytes:
        """Render a template with the links of a board, or of none."""
        links = LiveLinks(board.name if board else "")
        site = board.title if board else self.title
        style, script = self._files
        return self._render(template, links, site=site, style_file=style, script_file=script,
                            **context)  # fmt: skip

    def boards(self) -> bytes:
        """Return the list of boards."""
        return self.show("boards.html.j2", boards=self.model.store.boards.all(), title=self.title)

    def index(self, name: str, asked: Asked) -> bytes:
        """Return the suite of a board."""
        board = self.model.store.boards.get(name)
        cards = self.model.cards(board)
        topics = sorted({card.topic for card in cards})
        topic = asked.get("topic", "")
        if topic and topic not in topics:
            raise InvalidEntry(f"{topic[:40]!r} is no topic of board {name!r}; it has "
                               f"{', '.join(topics)}")  # fmt: skip
        page = _number(asked.get("page", "1"))
        lines, more = self.model.suite(name, page, asked.get("agent", ""))
        wanted = [card for card in cards if topic in ("", card.topic)]
        stamps = self.model.stamps(name)
        leading = self.model.leaders(board, wanted, stamps)
        overview = self.model.large.get(
            ("overview", name, topic), shown(row for table in leading for row in table.rows),
            lambda: figures.overview(leading),
        )  # fmt: skip
        tables, profiles, tasks = leading, None, 0
        if topic:
            tables = self.model.topic(board, wanted, lines, stamps)
        drawn = (tuple(lines), shown((row for table in tables for row in table.rows), 1))
        kept = self._keeper(("index", name, tuple(sorted(asked.items()))), drawn)
        if topic:
            profiles, tasks = kept("profiles", lambda: profile_of(tables, tuple(lines)))
        path = LiveLinks(name).home()
        filled = sum(bool(table.rows) for table in leading)
        said = f"{filled} of {len(wanted)} tasks have a ranked agent."
        return self.show(
            "index.html.j2", board, heading=board.title, said=said, topics_of=topics, topic=topic,
            agent_filter=asked.get("agent", ""), topics=by_topic(tables), suite=suite,
            overall=tuple(lines), authors=True, overview=overview,
            profiles=profiles, profile_tasks=tasks, leaders=not topic,
            pages=number_pager(path, asked, page, more), unknown=(), kept=kept,
            topic_links={name: f"{path}?{urlencode({'topic': name})}" for name in topics},
        )  # fmt: skip

    def task(self, name: str, label: str, asked: Asked) -> bytes:
        """Return a task's page."""
        board = self.model.store.boards.get(name)
        version = asked.get("card", "")
        card = self.model.card(board, label, version)
        hash_, stamps = version or self.model.hash_of(card), self.model.stamps(name)
        filters = Filters(*(asked.get(key, "") for key in ("agent", "format", "verified")))
        after = Cursor.parse(asked["after"]) if asked.get("after") else None
        table, following = self.model.table(name, card, hash_, filters, after, stamps)
        plots = self.model.large.get(
            ("plots", name, card.id, hash_, filters, after),
            (table.stages, shown(table.rows[:DRAWN])),
            lambda: task_plots(self.model.drawn(table)),
        )
        facts = self.model.kept.get(("card", card.id), hash_, lambda: card_context(card))
        sort = asked.get("sort", "")
        path = LiveLinks(name).task(label)
        total = len(self.model.order(name, card.id, hash_, stamps))
        rows = sorted_rows(table.rows, sort)
        unranked, reported = (sorted_rows(r, sort) for r in (table.unranked, table.reported))
        table = Table(card, rows, unranked, reported)
        drawn = (table.stages, [(row.submission, row.rank, row.places, row.group) for row in rows])
        kept = self._keeper(("task", name, label, tuple(sorted(asked.items()))), drawn)
        return self.show(
            "task.html.j2", board, table=table, stages=_rank_first(table.stages, rows),
            authors=True, sorted=sort or "rank", sort_links=sort_links(path, asked),
            version="" if version in ("", self.model.hash_of(load(card.id).card)) else version,
            versions=self.model.versions(card), filters=filters,
            rank_stage=rows[0].stage if rows else "test", minimum_seeds=board.minimum_seeds,
            pages=cursor_pager(path, asked, following, total), kept=kept, **facts, **plots,
        )  # fmt: skip

    def _keeper(self, page: tuple[Any, ...], drawn: Any) -> Callable[[str, Callable[[], T]], T]:
        """Return what keeps the parts of a page until what is drawn of its rows changes."""
        return lambda part, caller: self.model.large.get((*page, part), drawn, caller)

    def task_data(self, name: str, label: str, kind: str, asked: Asked) -> bytes:
        """Return a page of a task's lists as CSV or JSON."""
        board = self.model.store.boards.get(name)
        version = asked.get("card", "")
        card = self.model.card(board, label, version)
        after = Cursor.parse(asked["after"]) if asked.get("after") else None
        hash_, stamps = version or self.model.hash_of(card), self.model.stamps(name)
        table, following = self.model.table(name, card, hash_, Filters(), after, stamps)
        told = standings(table)
        if kind == "json":
            return compact({"rows": told, "after": following or None})
        columns = tuple(told[0]) if told else ("task",)
        return as_csv(columns, (line.values() for line in told)).encode()

    def agent(self, name: str, agent: str) -> bytes:
        """Return an agent's page."""
        board = self.model.store.boards.get(name)
        rows, earlier = self.model.agent(board, agent)
        line = self.model.line(name, agent)
        ranked = [(card, row) for card, row in rows if row.rank is not None]
        return self.show(
            "agent.html.j2", board, agent=agent, line=line, rows=rows, authors=True,
            plot=agent_plot(agent, ranked) if ranked else "", earlier=earlier, unknown=(),
            badge=badge_of(agent, _best(ranked)), others=self.model.others(name, agent),
            compare_action=f"{LiveLinks(name).home()}/compare",
        )  # fmt: skip

    def compare(self, name: str, one: str, two: str) -> bytes:
        """Return the comparison of two agents."""
        board = self.model.store.boards.get(name)
        if not one or not two or one == two:
            raise InvalidEntry(f"{one[:40]!r} and {two[:40]!r} are not two agents; "
                               "add ?one=NAME&two=NAME to the address")  # fmt: skip
        return self.show("compare.html.j2", board, duel=self.model.duel(board, one, two))

    def run(self, submission: int) -> bytes:
        """Return a submission's page."""
        record, run, row = self.model.run(submission)
        board = self.model.store.boards.get(record.board)
        return self.show("run.html.j2", board, run=run, row=row)

    def feed(self, name: str, base: str) -> bytes:
        """Return the feed of new records."""
        board = self.model.store.boards.get(name)
        return atom(board, self.model.store.standings.records(name), base)

    def badge(self, name: str, agent: str, label: str) -> bytes:
        """Return an agent's badge: on a task, or on the suite."""
        board = self.model.store.boards.get(name)
        if label:
            rows, _ = self.model.agent(board, agent)
            found = [row for card, row in rows if card.id == f"{NAMESPACE}/{label}"
                     and row.rank is not None]  # fmt: skip
            return badge_of(f"{agent} on {label}", next(iter(found), None)).encode()
        return badge_of(agent, self.model.line(name, agent)).encode()


def compact(value: Any) -> bytes:
    """Return a value as JSON without spaces, which is written several times as fast."""
    return (json.dumps(value, separators=(",", ":"), sort_keys=True, allow_nan=False)).encode()


def _best(rows: list[tuple[TaskCard, Any]]) -> Any:
    """Return the row of the task on which an agent ranks best."""
    return min((row for _, row in rows), key=lambda row: row.rank, default=None)


def _rank_first(stages: tuple[str, ...], rows: tuple[Any, ...]) -> tuple[str, ...]:
    """Return the stages in order, the one that ranks first."""
    first = rows[0].stage if rows else "test"
    return tuple(sorted(stages, key=lambda stage: stage != first))


def _number(text: str) -> int:
    """Return the number of a page.

    Raises:
        InvalidEntry: It is none.
    """
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text[:9]) <= _FIRST:
        raise InvalidEntry(f"{text[:40]!r} is no page; count from 1 to {_FIRST}")
    return int(text)
