from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import neurotasks
from leaderboard.scoring import Scored
from leaderboard.store import open_store
from leaderboard.worker import Worker, run_workers
from neurotasks.errors import MissingData
from neurotasks.evaluate import evaluate
from neurotasks.submission.pack import Words, pack_agents
from tests.leaderboard.stores import GENERATED, Clock, House, scored

pytest_plugins = ("tests.leaderboard.postgres",)

_PATIENCE = 90.0  # seconds


@pytest.fixture
def real(tmp_path) -> House:
    """Return a store with the system's clock, in SQLite."""
    with open_store(f"sqlite:///{tmp_path}/board.db") as store:
        store.boards.open("spring", "Spring course", tasks="OrientationDecoding-v0")
        yield House(store, Clock(), tmp_path)


def wait(condition) -> None:
    end = time.monotonic() + _PATIENCE
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def graph() -> bytes:
    """Return an ONNX graph that decodes orientations linearly."""
    onnx = pytest.importorskip("onnx")
    batch = neurotasks.load(GENERATED).sample(2000, seed=9, stage="train")
    weights = np.linalg.lstsq(batch.x[:, 0], batch.y[:, 0], rcond=None)[0].astype(np.float32)
    floats = onnx.TensorProto.FLOAT
    return onnx.helper.make_model(
        onnx.helper.make_graph(
            [onnx.helper.make_node("MatMul", ["observation", "weights"], ["action"])],
            "linear",
            [onnx.helper.make_tensor_value_info("observation", floats, ["B", "T", 64])],
            [onnx.helper.make_tensor_value_info("action", floats, ["B", "T", 2])],
            [onnx.numpy_helper.from_array(weights, "weights")],
        ),
        ir_version=10,
        opset_imports=[onnx.helper.make_opsetid("", 20)],
    ).SerializeToString()


def test_a_good_submission_is_verified_in_the_sandbox(real, graph):
    made = real.hand_in(content=graph)
    assert Worker(real.store, "worker").step()
    told = real.store.submissions.get(made.id)
    assert (told.state, told.reason) == ("verified", "")
    stages = real.store.submissions.stages([made.id])[made.id]
    assert set(stages) == {"test", "shift", "private"}
    assert told.score == pytest.approx(np.mean(stages["private"].score))
    assert 0.3 < told.score < 1.05
    assert stages["private"].raw != stages["test"].raw
    trials = neurotasks.load(GENERATED).card.stage("private").trials
    assert real.store.submissions.items(made.id, "private").shape == (5, trials)
    assert real.store.verify() == []


@pytest.mark.parametrize("label", ["PerceptualDecisionMaking-v0", "ContinualYang2019-v0"])
def test_what_the_task_tells_besides_is_kept_with_the_stage_test(tmp_path, label):
    task = neurotasks.load(f"neurotasks/{label}")
    agents = [task.ideal(), task.trivial()]
    with open_store(f"sqlite:///{tmp_path}/board.db") as store:
        store.boards.open("spring", "Spring course", tasks=label)
        manifest = pack_agents(task.card.id, agents, tmp_path / "in", seeds=(3, 8),
                               words=Words(agent="wise"))  # fmt: skip
        files = {name: tmp_path / "in" / name for name in manifest.files}
        made = store.submissions.receive(
            "spring", store.accounts.create("Ada", "spring"), manifest, files
        )
        assert Worker(store, "worker").step()
        stages = store.submissions.stages([made.id])[made.id]
        assert store.verify() == []
    assert not any(stage.extra for name, stage in stages.items() if name != "test")
    told = stages["test"].extra
    if task.card.form == "trial":
        assert told == evaluate(task, agents, seeds=(3, 8), stages=["test"])["test"].extra
    else:
        (means,) = told.values()
        assert [list(parts) for parts in means] == [[str(n + 1) for n in range(len(means[0]))]] * 2
        raw = [np.mean(list(parts.values())) for parts in means]
        assert raw == pytest.approx(stages["test"].raw)


def test_what_the_inspection_finds_is_the_reason(real):
    made = real.hand_in(content=b"this is no graph", seeds=1)
    assert Worker(real.store, "worker").step()
    told = real.store.submissions.get(made.id)
    assert told.state == "failed"
    assert told.reason.startswith("model.onnx: ")


def test_an_empty_queue(real):
    assert not Worker(real.store, "worker").step()


def test_the_scorer_gets_files_that_another_user_can_read(real):
    seen = {}

    def scorer(folder: Path, manifest, secret) -> Scored:
        seen.update({path.name: path.read_bytes() for path in folder.iterdir()})
        seen["modes"] = {path.stat().st_mode & 0o777 for path in folder.iterdir()}
        seen["folder"] = folder.stat().st_mode & 0o777
        seen["secret"] = secret
        return scored(manifest, 0.5)

    made = real.hand_in(content=b"abc", seeds=1)
    Worker(real.store, "worker", scorer).step()
    assert seen["model.onnx"] == b"abc"
    assert seen["manifest.json"].decode() == made.manifest.to_json()
    assert (seen["modes"], seen["folder"]) == ({0o644}, 0o755)
    events = real.store.events.read("board spring")
    commitment = hashlib.sha256(seen["secret"].encode()).hexdigest()
    assert any(commitment in event.detail for event in events)


def test_what_this_board_lacks_is_a_reason(real):
    def scorer(folder, manifest, secret) -> Scored:
        raise MissingData("no such recordings here")

    real.hand_in()
    Worker(real.store, "worker", scorer).step()
    told = real.store.submissions.get(1)
    assert told.reason == "this board cannot score it: no such recordings here"


def test_a_missing_file_is_a_reason(real):
    made = real.hand_in()
    for sha256 in made.manifest.files.values():
        real.store.artefacts.path(sha256).unlink(missing_ok=True)
    Worker(real.store, "worker").step()
    assert "restore it from a backup" in real.store.submissions.get(1).reason


def test_heartbeats_keep_a_lease_through_long_work(real):
    def scorer(folder, manifest, secret) -> Scored:
        time.sleep(1.5)  # three leases
        assert real.store.queue.claim("other") is None
        return scored(manifest, 0.5)

    real.hand_in()
    Worker(real.store, "worker", scorer, lease=0.5).step()
    assert real.store.submissions.get(1).state == "verified"


def test_a_result_that_comes_too_late_is_dropped(real):
    def scorer(folder, manifest, secret) -> Scored:
        real.store.submissions._database.clock = lambda: time.time() + 1000
        other = real.store.queue.claim("other")
        real.store.queue.finish(other, scored(manifest, 0.7))
        return scored(manifest, 0.5)

    real.hand_in()
    assert Worker(real.store, "worker", scorer).step()
    assert real.store.submissions.get(1).score == pytest.approx(0.7)


_SLEEPER = """
import signal, sys, time
from leaderboard.store import open_store
from leaderboard.worker import Worker
with open_store(sys.argv[1]) as store:
    worker = Worker(store, "sleeper", lambda *_: time.sleep(600))
    signal.signal(signal.SIGTERM, worker.stop)
    worker.run()
"""


def test_a_worker_that_is_told_to_end_gives_its_submission_back(real):
    made = real.hand_in()
    url = real.store.database.url.render_as_string()
    child = subprocess.Popen([sys.executable, "-c", _SLEEPER, url])  # noqa: S603 - our own text
    try:
        wait(lambda: real.store.submissions.get(made.id).state == "running")
        time.sleep(0.3)
        child.send_signal(signal.SIGTERM)
        assert child.wait(_PATIENCE) == 0
    finally:
        child.kill()
    told = real.store.submissions.get(made.id)
    assert (told.state, told.attempts) == ("queued", 0)
    assert [event.action for event in real.store.events.read("submission 1")] == [
        "release", "begin", "receive",
    ]  # fmt: skip


def test_processes_are_replaced_when_they_die_and_end_together(real, capfd):
    stop = threading.Event()
    url = real.store.database.url.render_as_string()
    keeper = threading.Thread(target=run_workers, args=(url, 1, stop))
    keeper.start()
    try:
        first = real.hand_in(content=b"no graph", seeds=1)
        wait(lambda: real.store.submissions.get(first.id).state == "failed")
        (begin, *_) = [e for e in real.store.events.read("submission 1") if e.action == "begin"]
        os.kill(int(begin.actor.rpartition("-")[2]), signal.SIGKILL)
        second = real.hand_in(content=b"no graph either", seeds=1)
        wait(lambda: real.store.submissions.get(second.id).state == "failed")
    finally:
        stop.set()
        keeper.join(_PATIENCE)
    assert not keeper.is_alive()
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert {"began submission 1, lease 1", "began submission 2, lease 1"} <= {
        line["message"] for line in lines
    }


def test_a_worker_whose_keeper_was_killed_ends(real):
    url = real.store.database.url.render_as_string()
    keeper = subprocess.Popen([sys.executable, "-m", "leaderboard", "work", "--db", url])  # noqa: S603
    try:
        made = real.hand_in(content=b"no graph", seeds=1)
        wait(lambda: real.store.submissions.get(made.id).state == "failed")
    finally:
        keeper.kill()
        keeper.wait()
    (begin,) = [e for e in real.store.events.read("submission 1") if e.action == "begin"]
    place = Path("/proc", begin.actor.rpartition("-")[2], "stat")
    wait(lambda: not place.exists() or place.read_text().rpartition(")")[2].split()[0] == "Z")
