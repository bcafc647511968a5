"""Many post at once while the server's workers are killed: nothing is lost or counts twice."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

import neurotasks
from leaderboard import scoring
from leaderboard.__main__ import main
from leaderboard.sandbox import Outcome
from leaderboard.store import Store, open_store
from leaderboard.store.tables import boards, submissions
from leaderboard.worker import Worker
from neurotasks.submission.child import _graphs, answer
from neurotasks.submission.client import submit
from neurotasks.submission.manifest import Manifest
from tests.leaderboard.stores import GENERATED, Place

pytest_plugins = ("tests.leaderboard.postgres",)
onnx = pytest.importorskip("onnx")
pytest.importorskip("uvicorn")

_PATIENCE = 550.0  # seconds
_MOST = 2  # workers that may die over a submission: with a third it has failed


def pack(folder: Path, number: int) -> Path:
    """Write a submission of one linear decoder, no two alike; return its folder."""
    draw = np.random.default_rng(number)
    batch = neurotasks.load(GENERATED).sample(200 + number, seed=number, stage="train")
    weights = np.linalg.lstsq(batch.x[:, 0], batch.y[:, 0], rcond=None)[0]
    weights = (weights + 0.02 * draw.standard_normal(weights.shape)).astype(np.float32)
    floats, value = onnx.TensorProto.FLOAT, onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("MatMul", ["observation", "weights"], ["action"])],
        "linear",
        [value("observation", floats, ["B", "T", weights.shape[0]])],
        [value("action", floats, ["B", "T", weights.shape[1]])],
        [onnx.numpy_helper.from_array(weights, "weights")],
    )
    opsets = [onnx.helper.make_opsetid("", 20)]
    content = onnx.helper.make_model(graph, ir_version=10, opset_imports=opsets).SerializeToString()
    manifest = Manifest(
        task=GENERATED, card=neurotasks.load(GENERATED).card.hash, agent=f"agent {number % 4}",
        format="onnx", files={"model.onnx": hashlib.sha256(content).hexdigest()}, seeds=(number,),
    )  # fmt: skip
    place = folder / f"in-{number}"
    place.mkdir(parents=True)
    (place / "model.onnx").write_bytes(content)
    (place / "manifest.json").write_text(manifest.to_json())
    return place


@contextmanager
def opened(place: Place) -> Iterator[Store]:
    with open_store(place.url, place.artefacts) as store:
        store.boards.open("spring", "Spring", tasks=GENERATED, minimum_seeds=1)
        yield store


@contextmanager
def served(place: Place, workers: int) -> Iterator[tuple[str, int]]:
    """Serve a store with its workers; give the address and the number of the process."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    words = ("serve", "--db", place.url, "--artefacts", str(place.artefacts), "--port", str(port),
             "--workers", str(workers))  # fmt: skip
    with (place.artefacts.parent / "server.log").open("w") as log:
        server = subprocess.Popen([sys.executable, "-m", "leaderboard", *words], stderr=log)  # noqa: S603
    try:
        address, end = f"http://127.0.0.1:{port}", time.monotonic() + 60
        while True:
            with suppress(OSError), urllib.request.urlopen(f"{address}/healthz"):  # noqa: S310
                break
            assert time.monotonic() < end, "the server does not answer"
            time.sleep(0.1)
        yield address, server.pid
        server.send_signal(signal.SIGTERM)
        assert server.wait(60) == 0
    finally:
        server.kill()
        server.wait()


def victims(store: Store, keeper: int) -> list[int]:
    """Return the workers that have a submission which may cost another one."""
    query = sa.select(submissions.c.worker).where(
        submissions.c.state == "running", submissions.c.attempts < _MOST
    )
    with store.database.read() as connection:
        names = connection.execute(query).scalars().all()
    numbers = [int(name.rpartition("-")[2]) for name in names]
    return [number for number in numbers if parent(number) == keeper]


def parent(process: int) -> int:
    try:
        return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def disturb(store: Store, keeper: int, posts: list[Future], kills: int) -> int:
    """Kill workers at random while they score, until so many began anew and all has ended.

    Returns:
        How many were killed; one that was done in time costs no submission a new beginning.
    """
    chance, end, killed = random.Random(0), time.monotonic() + _PATIENCE, 0  # noqa: S311
    busy = sa.select(sa.func.count()).where(submissions.c.due.is_not(None))
    while True:
        assert time.monotonic() < end, "submissions are left over"
        found = victims(store, keeper)
        if found and begun_again(store) < kills:
            with suppress(ProcessLookupError):  # it was killed before, and is gone now
                os.kill(chance.choice(found), signal.SIGKILL)
                killed += 1
        with store.database.read() as connection:
            if all(post.done() for post in posts) and not connection.execute(busy).scalar():
                return killed
        time.sleep(chance.uniform(0.1, 1.5))


def begun_again(store: Store) -> int:
    """Return how often a submission was begun after the first time."""
    again = sa.select(sa.func.sum(submissions.c.attempts - 1)).where(submissions.c.attempts > 0)
    with store.database.read() as connection:
        return connection.execute(again).scalar() or 0


def ranks(store: Store) -> list[tuple[int, str, str, float]]:
    rows = store.standings.page("spring", GENERATED, limit=1000)
    return [(row.rank, row.author, row.agent, row.score.mean) for row in rows]


def quiet(folder: Path, sent: list[list[Path]], secret: str) -> list[tuple[int, str, str, float]]:
    """Return the final ranks when nothing goes wrong: one process scores one after the other."""
    with opened(Place(f"sqlite:///{folder}/quiet.db", folder / "quiet")) as store:
        with store.database.write() as connection:
            connection.execute(sa.update(boards).values(secret=secret))
        for client, places in enumerate(sent):
            account = store.accounts.create(f"client {client}", "spring")
            for place in places:
                manifest = Manifest.from_json((place / "manifest.json").read_text())
                files = {name: place / name for name in manifest.files}
                store.submissions.receive("spring", account, manifest, files)
        worker = Worker(store, "quiet", scoring.score)
        while worker.step():
            pass
        return ranks(store)


def in_process(module, request, limits) -> Outcome:
    return Outcome(json.loads(json.dumps(answer(request, _graphs))), "", 0.0, 0.0)


def run(place: Place, folder: Path, monkeypatch, *, clients, count, workers, kills) -> None:
    numbers = np.random.default_rng(0).permutation(clients * count).reshape(clients, count)
    sent = [[pack(folder, int(number)) for number in own] for own in numbers]
    with opened(place) as store:
        accounts = [store.accounts.create(f"client {n}", "spring") for n in range(clients)]
        tokens = [store.accounts.issue(account.id) for account in accounts]

        def post(client: int) -> list[int]:
            return [submit(one, address, tokens[client])["id"] for one in sent[client]]

        with served(place, workers) as (address, keeper), ThreadPoolExecutor(clients) as pool:
            posts = [pool.submit(post, client) for client in range(clients)]
            killed = disturb(store, keeper, posts, kills)
            answered = [number for post in posts for number in post.result()]
        made = store.submissions.page("spring", limit=10_000)
        assert sorted(answered) == sorted(one.id for one in made)
        assert len(made) == clients * count
        assert {one.state for one in made} == {"verified"}
        told = store.events.read(limit=1_000_000)
        ends = Counter(event.subject for event in told if event.action == "verify")
        assert ends == {f"submission {one.id}": 1 for one in made}
        assert not [event for event in told if event.action == "fail"]
        assert kills / 2 <= begun_again(store) <= killed
        with store.database.read() as connection:
            secret = connection.execute(sa.select(boards.c.secret)).scalar_one()
        monkeypatch.setattr(scoring, "run", in_process)
        assert ranks(store) == quiet(folder, sent, secret)
    assert main(["verify", "--db", place.url, "--artefacts", str(place.artefacts)]) == 0


@pytest.mark.slow
def test_a_few_post_while_workers_die(tmp_path, monkeypatch):
    place = Place(f"sqlite:///{tmp_path}/board.db", tmp_path / "artefacts")
    run(place, tmp_path, monkeypatch, clients=6, count=2, workers=2, kills=2)


@pytest.mark.slow
def test_two_hundred_posts_of_twenty_clients_while_four_workers_die(place, tmp_path, monkeypatch):
    run(place, tmp_path, monkeypatch, clients=20, count=10, workers=4, kills=25)
