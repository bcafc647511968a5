"""Pages of a full board against the bare SQL of each, and the largest static site that we promise.

The board has 40 tasks with 2,500 agents each. Between two new results every page is asked for 20
times, all pages shuffled: so a server sees it, and so one request in 20 finds its page changed.
Measured apart is what each page takes that is asked for once after each result, and then all of
them are changed. Times with SQLite are those of this process on its processor: whoever else works
there does not count. PostgreSQL works in another process, so its times are those of a clock.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

import neurotasks
from leaderboard.collect import collect, read
from leaderboard.pages import build
from leaderboard.store import open_store
from leaderboard.web.app import create_app
from leaderboard.web.security import Rates
from tests.leaderboard.many import fill_store, write_results
from tests.leaderboard.stores import GENERATED, Clock, House

pytest_plugins = ("tests.leaderboard.postgres",)
pytestmark = pytest.mark.slow  # a hundred thousand results

CARDS = sorted(neurotasks.cards(), key=lambda card: card.id != GENERATED)[:40]
BOARD, TASK = "/boards/spring", f"/boards/spring/tasks/{CARDS[0].label}"
TOPIC = max((card.topic for card in CARDS), key=[card.topic for card in CARDS].count)
PAGES = {
    "boards": "/",
    "suite": BOARD,
    "suite, third page": f"{BOARD}?page=3",
    "suite, some agents": f"{BOARD}?agent=agent-0000",
    "topic": f"{BOARD}?topic={TOPIC.replace(' ', '+')}",
    "task": TASK,
    "task, some agents": f"{TASK}?agent=agent-000",
    "task as CSV": f"{TASK}.csv",
    "task as JSON": f"{TASK}.json",
    "agent": f"{BOARD}/agent?name=agent-00012",
    "comparison": f"{BOARD}/compare?one=agent-00012&two=agent-00007",
    "run": "/submissions/17",
    "feed": f"{BOARD}/records.atom",
    "badge": f"{BOARD}/badge.svg?agent=agent-00012",
    "API: suite": "/api/boards/spring/suite",
    "API: standings": f"/api/boards/spring/standings?task={CARDS[0].label}",
    "API: results": "/api/results?board=spring",
    "API: submissions": "/api/submissions?board=spring",
    "API: records": "/api/boards/spring/records",
    "API: events": "/api/events",
}
MIXES = {"board_pages": (20, 15), "board_pages_after_a_result": (1, 60)}  # asked for, rounds
PARTS = 5  # of the rounds, for the spread


class Server:
    """A board with some agents on each of 40 tasks, and what asks it."""

    def __init__(self, store, folder, agents):
        assert fill_store(store, "spring", CARDS, agents) == len(CARDS) * agents
        self.house = House(store, Clock(), folder)
        self.app = create_app(store, rates=Rates(reads=1e9, burst=1 << 30))
        self.draw = np.random.default_rng(0)
        self.clock = time.process_time if store.database.is_sqlite else time.perf_counter
        self.said = []
        sa.event.listen(store.database._engine, "begin", lambda _: self.said.append([]))
        sa.event.listen(store.database._engine, "before_cursor_execute", self._listen)

    def _listen(self, _connection, _cursor, statement, parameters, _context, _many):
        if not statement.startswith("BEGIN"):  # SQLite is told, before the other event
            self.said[-1].append((statement, parameters))

    def get(self, path):
        """Return the seconds of an answer, and the statements of each transaction."""
        path, _, query = path.partition("?")
        scope = {
            "type": "http", "http_version": "1.1", "method": "GET", "scheme": "http",
            "path": path, "raw_path": path.encode(), "query_string": query.encode(),
            "root_path": "", "headers": [(b"host", b"board")], "client": ("127.0.0.1", 1),
            "server": ("board", 80),
        }  # fmt: skip
        told = []

        async def receive():
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message):
            told.append(message)

        self.said = []
        begin = self.clock()
        self.loop.run_until_complete(self.app(scope, receive, send))
        seconds = self.clock() - begin
        assert told[0]["status"] == 200, path
        said, self.said = self.said, []
        return seconds, said

    def replay(self, transactions):
        """Return the seconds of a page's statements, executed and fetched alone."""
        begin = self.clock()
        for statements in transactions:
            with self.house.store.database.read() as connection:
                for statement, parameters in statements:
                    connection.exec_driver_sql(statement, parameters).fetchall()
        return self.clock() - begin

    def round(self, asked):
        """Enter a result, ask for every page and repeat its SQL; return the seconds of each."""
        number = self.house.made
        self.house.verify(float(self.draw.beta(5, 2)), f"new-{number}", f"Author {number}")
        pages, bare = ({name: [] for name in PAGES} for _ in range(2))
        statements = {}
        for name in self.draw.permutation([*PAGES] * asked):
            seconds, said = self.get(PAGES[name])
            pages[name].append(seconds)
            statements.setdefault(name, said)  # of the first time since the result
        for name in self.draw.permutation([*PAGES] * asked):
            bare[name].append(self.replay(statements[name]))
        return pages, bare

    def __enter__(self):
        self.loop = asyncio.new_event_loop()
        return self

    def __exit__(self, *_):
        self.loop.close()


@contextmanager
def served(url, agents):
    with (
        tempfile.TemporaryDirectory(prefix="board-") as name,
        open_store(url or f"sqlite:///{name}/board.db", Path(name, "artefacts")) as store,
        Server(store, Path(name), agents) as server,
    ):
        server.round(1)  # the pages of a server that runs since long
        yield server


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def servers(request):
    """Return the kind of database, and servers of 1,000 and of 100,000 results."""
    make = (lambda: "") if request.param == "sqlite" else request.getfixturevalue("new_database")
    with served(make(), 25) as small, served(make(), 2500) as large:
        yield request.param, small, large


def high(rounds, name):
    """Return the 95th percentile of the seconds of a page in all rounds."""
    return float(np.quantile([s for told in rounds for s in told[name]], 0.95))


def milliseconds(rounds):
    return {name: round(1e3 * high(rounds, name), 3) for name in PAGES}


@pytest.mark.parametrize("mix", MIXES)
def test_board_pages(benchmark, servers, mix):
    """The 95th percentile of the bare SQL of a page over that of the page, for the worst page."""
    kind, small, large = servers
    asked, rounds = MIXES[mix]
    few = [small.round(asked) for _ in range(rounds // 3)]
    told = []
    benchmark.pedantic(lambda: told.append(large.round(asked)), rounds=rounds, iterations=1)
    pages, bare = zip(*told, strict=True)
    ratios = {name: high(bare, name) / high(pages, name) for name in PAGES}
    worst = min(ratios, key=ratios.__getitem__)
    parts = (slice(first, None, PARTS) for first in range(PARTS))
    each = [high(bare[part], worst) / high(pages[part], worst) for part in parts]
    low, _, top = statistics.quantiles(each, n=4)
    benchmark.extra_info.update(
        name=mix if kind == "sqlite" else f"{mix}_{kind}",
        ratio=ratios[worst],
        target=0.2,
        spread=[low, top],
        worst=worst,
        mix=f"after each of {rounds} results every page {asked} times, shuffled",
        milliseconds=milliseconds(pages),
        milliseconds_of_sql=milliseconds(bare),
        milliseconds_with_1000_results=milliseconds([page for page, _ in few]),
    )


def test_board_build(benchmark, tmp_path):
    """A static site of 40 tasks with 40 agents each: one minute over what it takes."""
    assert write_results(tmp_path, CARDS, 40) == 1600
    sites = []

    def work():
        sites.append(build(collect(read(tmp_path), CARDS), "board"))

    benchmark.pedantic(work, rounds=3, iterations=1)
    assert len([name for name in sites[0] if name.startswith("runs/")]) == 1600
    assert sites[0] == sites[1]
    ratios = [60.0 / seconds for seconds in benchmark.stats.stats.data]
    benchmark.extra_info.update(
        name="board_build_40x40", ratio=max(ratios), target=1.0, spread=[min(ratios), max(ratios)]
    )
