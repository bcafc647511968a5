"""Many hand in at once while workers die: nothing is lost, nothing counts twice."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from leaderboard.store import Store, open_store
from leaderboard.worker import Worker
from tests.leaderboard.stores import GENERATED, Place, cheap, make_manifest

pytest_plugins = ("tests.leaderboard.postgres",)

_WORKER = """
import os, runpy, signal, sys, time
from pathlib import Path
from leaderboard.store import open_store
from leaderboard.store.queue import Queue
from leaderboard.worker import Worker

cheap = runpy.run_path(sys.argv[4])["cheap"]

def slow(folder, manifest, secret):
    time.sleep(float(sys.argv[3]))  # long enough to be killed
    return cheap(folder, manifest, secret)

with open_store(sys.argv[1], Path(sys.argv[2])) as store:
    store.queue = Queue(store.database, store.artefacts, attempts=100)  # killed on purpose
    worker = Worker(store, f"worker-{os.getpid()}", slow, lease=3.0)
    signal.signal(signal.SIGTERM, worker.stop)
    worker.run()
"""
_SHARED = Path(__file__).with_name("stores.py")
_CLIENTS = 20
_PATIENCE = 500.0  # seconds


def hand_in(store: Store, folder: Path, client: int, count: int) -> None:
    """Hand in what one client has, one after the other."""
    account = store.accounts.create(f"client {client}", "spring")
    for number in range(count):
        place = client * count + number
        content = f"{(place * 37 % 1009) / 1009!r}".encode()  # no two alike
        path = folder / f"{client}-{number}"
        path.write_bytes(content)
        manifest = make_manifest(content, agent=f"agent {number % 4}")
        files = dict.fromkeys(manifest.files, path)
        store.submissions.receive("spring", account, manifest, files)


@contextmanager
def opened(place: Place) -> Iterator[Store]:
    with open_store(place.url, place.artefacts) as store:
        store.boards.open("spring", "Spring", tasks=GENERATED)
        yield store


def ranks(store: Store) -> list[tuple[int, str, str, float]]:
    rows = store.standings.page("spring", GENERATED, limit=1000)
    return [(row.rank, row.author, row.agent, row.score.mean) for row in rows]


def quiet(folder: Path, count: int) -> list[tuple[int, str, str, float]]:
    """Return the final ranks when nothing goes wrong."""
    with opened(Place(f"sqlite:///{folder}/quiet.db", folder / "quiet")) as store:
        for client in range(_CLIENTS):
            hand_in(store, folder, client, count)
        worker = Worker(store, "quiet", cheap)
        while worker.step():
            pass
        return ranks(store)


def start(place: Place, seconds: float) -> subprocess.Popen[bytes]:
    words = [place.url, str(place.artefacts), str(seconds), str(_SHARED)]
    return subprocess.Popen([sys.executable, "-c", _WORKER, *words])  # noqa: S603 - our own text


def disturb(store: Store, workers: list, place: Place, kills: int, seconds: float) -> None:
    """Kill workers at random while all of them score; return when all submissions have ended."""
    chance, end = random.Random(0), time.monotonic() + _PATIENCE  # noqa: S311 - no secret
    while store.queue.waiting() or store.queue.running():
        assert time.monotonic() < end, "submissions are left over"
        assert all(worker.poll() is None for worker in workers), "a worker ended by itself"
        if kills and store.queue.running() >= len(workers):
            number = chance.randrange(len(workers))
            workers[number].kill()
            workers[number].wait()
            workers[number] = start(place, seconds)
            kills -= 1
        time.sleep(chance.random() * 0.3)
    assert kills == 0, "too few were killed to show anything"


def run(place: Place, folder: Path, *, count: int, processes: int, kills: int, seconds: float):
    wanted = quiet(folder, count)
    with opened(place) as store:
        workers = [start(place, seconds) for _ in range(processes)]
        try:
            with ThreadPoolExecutor(_CLIENTS) as pool:
                clients = [
                    pool.submit(hand_in, store, folder, client, count) for client in range(_CLIENTS)
                ]
                for client in clients:
                    client.result()
            disturb(store, workers, place, kills, seconds)
        finally:
            for worker in workers:
                worker.terminate()
            codes = [worker.wait(60) for worker in workers]
        made = store.submissions.page("spring", limit=10_000)
        told = store.events.read(limit=1_000_000)
        assert Counter(one.state for one in made) == {"verified": _CLIENTS * count}
        ends = Counter(event.subject for event in told if event.action == "verify")
        assert ends == {f"submission {one.id}": 1 for one in made}
        assert not [event for event in told if event.action == "fail"]
        assert sum(one.attempts for one in made) > len(made), "no kill met a submission"
        assert ranks(store) == wanted
        assert store.verify() == []
        assert codes == [0] * processes


def test_a_few_at_once(place, tmp_path):
    run(place, tmp_path, count=2, processes=2, kills=3, seconds=0.2)


@pytest.mark.slow
def test_two_hundred_from_twenty_clients_while_four_workers_die(place, tmp_path):
    run(place, tmp_path, count=10, processes=4, kills=25, seconds=0.5)
