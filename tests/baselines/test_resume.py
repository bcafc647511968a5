"""Killed in the middle: nothing is lost, nothing is done twice, and every bit is the same."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from baselines.engines import Ended, Local
from baselines.plan import Run, plan
from baselines.queue import Queue
from baselines.runner import do, execute, run_all, sort_out
from baselines.store import add, merged, missing, stored
from baselines.work import Done, work
from baselines.workers import Preloaded, WorkerKilled
from neurotasks.results import read_result, read_results

LABEL = "OrientationDecoding-v0"
WORDS = "-m baselines run --task {} --agent [tmr][rli]* --seeds 4 --budget smoke --device cpu"


def numbers(folder):
    """Return all that a result says, except what it cost and on what."""
    unequal = {
        "seconds": 0.0,
        "cpu_seconds": 0.0,
        "energy_kwh": 0.0,
        "energy_method": "",
        "hardware": "",
    }
    return {(r.task, r.agent): replace(r, **unequal) for r in read_results(folder)}


def command(out, *words):
    line = [*WORDS.format(LABEL).split(), "--jobs", "2", *words, "--out", str(out)]
    return [sys.executable, *line]


def finish(out, *words):
    done = subprocess.run(  # noqa: S603 - our own code
        command(out, *words), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def kill_when(out, files, wait):
    """Start the plan, and kill it and all its workers some time after it has written a file."""
    process = subprocess.Popen(  # noqa: S603 - our own code
        command(out), start_new_session=True, stdout=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while len(list(out.rglob("*.json"))) < files and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(wait)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.slow
def test_killed_at_any_moment_it_ends_with_the_bits_of_a_run_left_alone(tmp_path):
    finish(tmp_path / "whole")
    moments = random.Random(0)  # noqa: S311 - no secret
    for attempt in range(3):
        out = tmp_path / str(attempt)
        kill_when(out, 1, moments.uniform(0.0, 3.0))
        before = {r.agent: r for r in read_results(out)}
        finish(out)
        assert numbers(out) == numbers(tmp_path / "whole")
        for result in read_results(out):
            seconds = before[result.agent].seconds if result.agent in before else 0.0
            assert result.seconds >= seconds, "what was finished was not done again"
        assert not list(out.rglob(".*.json*")) or before, "no half file is left by a whole run"


@pytest.mark.slow
def test_a_killed_plan_keeps_what_is_finished_and_does_the_rest(tmp_path):
    kill_when(tmp_path, 1, 0.0)
    runs = plan(
        task=LABEL, agent="[tmr][rli]*", seeds=4, budget="smoke", device="cpu", out=tmp_path
    )
    seeds = {run.agent: 4 - len(missing(run)) for run in runs}
    assert 0 < sum(seeds.values()) < 12
    said = finish(tmp_path)
    assert all(missing(run) == () for run in runs)
    fresh = [line for line in said.splitlines() if "scored" in line and "(kept)" not in line]
    done = sum(line.split("scored")[1].count(".") for line in fresh)
    assert done == 12 - sum(seeds.values()), "each missing seed once"


def test_the_workers_of_a_killed_plan_end_too(tmp_path):
    process = subprocess.Popen(  # noqa: S603 - our own code
        command(tmp_path), start_new_session=True, stdout=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while not list(tmp_path.rglob("*.json")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()  # the parent alone
    process.wait()
    for _ in range(3000):  # the process that is loading torch ends when it has
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    pytest.fail("workers live on without their parent")


class Instead:
    """Does jobs in this process, and ends some as told."""

    workers, gpus = 2, 0

    def __init__(self, **failures):
        self.jobs, self.failures = [], failures

    def run(self, jobs):
        for job in jobs:
            self.jobs.append(job)
            failure = self.failures.get(job.agent)
            yield Ended(job, None, failure) if failure else Ended(job, work(job))


def run(tmp_path, agent="ridge", seeds=(0, 1), **changes):
    return replace(Run(LABEL, agent, seeds, "smoke", "cpu", tmp_path), **changes)


def test_more_seeds_compute_the_new_ones_alone(tmp_path):
    execute(run(tmp_path))
    engine = Instead()
    outcomes = list(run_all([run(tmp_path, seeds=(0, 1, 2, 3))], engine))
    assert sorted(job.seeds for job in engine.jobs) == [(2,), (3,)]
    assert outcomes[-1].result.seeds == (0, 1, 2, 3)
    execute(run(tmp_path / "whole", seeds=(0, 1, 2, 3)))
    assert numbers(tmp_path).keys() == numbers(tmp_path / "whole").keys()
    whole = read_result(run(tmp_path / "whole").path)
    assert read_result(run(tmp_path).path).stages == whole.stages


def test_fewer_seeds_than_are_there_are_kept_with_the_others(tmp_path):
    execute(run(tmp_path, seeds=(0, 1, 2)))
    (outcome,) = run_all([run(tmp_path, seeds=(1,))], Instead())
    assert not outcome.fresh
    assert outcome.result.seeds == (0, 1, 2)


def test_seeds_come_in_order_whichever_ended_first(tmp_path):
    whole = execute(run(tmp_path / "whole", "mlp", (0, 1, 2)))
    parts = [work(run(tmp_path, "ridge", (seed,))).result for seed in (0, 1, 2)]
    one = merged(merged(parts[2], parts[0]), parts[1])
    other = merged(merged(parts[0], parts[1]), parts[2])
    assert one.seeds == (0, 1, 2)
    assert one.stages == other.stages
    assert one.curves == other.curves
    assert one.seconds == pytest.approx(sum(part.seconds for part in parts))
    assert len(whole.curves["loss"]) == 3


def test_where_machines_differ_both_are_named(tmp_path):
    here = work(run(tmp_path, "trivial", (0,))).result
    there = replace(here, seeds=(1,), hardware="another", versions={"torch": "0"}, commit="")
    both = merged(here, there)
    assert both.hardware == f"{here.hardware}; another"
    assert both.versions["torch"] == f"{here.versions['torch']}; 0"
    assert both.commit == here.commit


def test_seeds_that_failed_are_named_and_tried_again(tmp_path):
    class Half(Instead):
        def run(self, jobs):
            for job in jobs:
                done = work(job.of(job.seeds[:1]))
                self.jobs.append(job)
                yield Ended(job, Done(done.result, {job.seeds[1]: "the loss became nan"}))

    agent = run(tmp_path, "mlp")
    (outcome,) = run_all([agent], Half())
    assert outcome.error == "seed 1: the loss became nan"
    assert stored(agent).seeds == (0,)
    assert missing(agent) == (1,)


def test_a_seed_that_fails_within_a_stream_leaves_the_others_alone(tmp_path, monkeypatch):
    base = pytest.importorskip("agents.stream_base", reason="without torch")
    streams = run(tmp_path, "naive", task="ContinualDigits-v0", seeds=(0, 1, 2))
    alone = work(replace(streams, seeds=(0, 2))).result
    check = base.StackedLearner._check_finite

    def fail(self, run, loss, task, agents):
        if task.index == 1 and 1 in run.seeds:
            loss = loss.index_fill(0, loss.new_tensor(run.seeds.index(1)).long(), float("nan"))
        check(self, run, loss, task, agents)

    monkeypatch.setattr(base.StackedLearner, "_check_finite", fail)
    done = work(streams)
    assert list(done.failures) == [1]
    assert "after experience 1" in done.failures[1]
    assert done.result.seeds == (0, 2)
    assert done.result.stages["test"].raw == alone.stages["test"].raw
    with pytest.raises(ArithmeticError, match="with seed 1"):
        work(replace(streams, seeds=(1,)))


def test_results_of_a_worker_with_other_code_are_refused(tmp_path):
    class Elsewhere(Instead):
        def run(self, jobs):
            for ended in super().run(jobs):
                result = replace(ended.done.result, config={"key": "other"})
                yield replace(ended, done=Done(result))

    (outcome,) = run_all([run(tmp_path, "trivial", (0,))], Elsewhere())
    assert "other code" in outcome.error
    assert missing(run(tmp_path, "trivial", (0,))) == (0,)


def test_a_failure_is_one_line(tmp_path):
    engine = Instead(trivial=ValueError("of\ntwo lines"))
    (outcome,) = run_all([run(tmp_path, "trivial", (0,))], engine)
    assert outcome.error == "ValueError: of two lines"


def test_events_that_are_missing_are_made_good(tmp_path):
    execute(run(tmp_path, "trivial"))
    (place,) = run(tmp_path, "trivial").logs.glob("seed1")
    (event,) = place.iterdir()
    event.unlink()
    place.rmdir()
    list(do(sort_out([run(tmp_path, "trivial")], Instead()), Instead()))
    assert len(list(place.iterdir())) == 1


def test_results_of_other_settings_replace_the_old_ones(tmp_path):
    result = work(run(tmp_path, "trivial")).result
    add(run(tmp_path, "trivial"), replace(result, config={"key": "other"}))
    assert missing(run(tmp_path, "trivial")) == (0, 1)
    assert add(
        run(tmp_path, "trivial", (1,)), work(run(tmp_path, "trivial", (1,))).result
    ).seeds == (1,)


def test_a_worker_that_dies_twice_takes_its_job_alone(tmp_path, monkeypatch):
    """The recipe of one agent kills its process; the others go on."""
    paths = [str(tmp_path), str(Path(__file__).parents[2])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    (tmp_path / "sitecustomize.py").write_text(
        "import agents.linear, os\n"
        "agents.linear.ScikitLearner.learn = lambda *_, **__: os._exit(9)\n"
    )
    runs = [run(tmp_path / "out", agent, (0,)) for agent in ("ridge", "trivial")]
    ended = {e.job.agent: e for e in Local(1).run(runs)}
    assert isinstance(ended["ridge"].error, WorkerKilled)
    assert ended["trivial"].done.result.seeds == (0,)


def test_a_process_keeps_to_its_kind_and_loads_a_library_only_if_that_saves_time(tmp_path):
    def module(job):
        return job.recipe.learner.module

    agents = ("ridge", "trivial", "mlp")
    queue = Queue([run(tmp_path, agent, (seed,)) for agent in agents for seed in (0, 1)])
    first = module(queue.take([], [], has_gpu=False))
    assert first == "agents.training", "what takes longest to load begins first"
    assert queue.take([], [first], has_gpu=False).agent != "mlp", "another would load torch again"
    assert module(queue.take([first], [], has_gpu=False)) == first
    left = [queue.take([first], [], has_gpu=False).agent for _ in range(3)]
    assert sorted({*left}) == ["ridge", "trivial"]
    assert not queue


def test_jobs_that_want_a_gpu_wait_for_it(tmp_path):
    queue = Queue([run(tmp_path, "mlp", (0,), device="auto")], gpus=1)
    assert queue.take([], [], has_gpu=False) is None
    assert queue.take([], [], has_gpu=True).agent == "mlp"
    assert not queue


def test_jobs_of_a_library_that_is_being_loaded_wait_and_others_go_first(tmp_path):
    """Once it is ready for everybody, the longest job comes first, whatever its kind."""
    queue = Queue([run(tmp_path, agent, (0,)) for agent in ("mlp", "trivial")])
    assert queue.take([], [], has_gpu=False, soon=["torch"]).agent == "trivial"
    assert queue.take([], [], has_gpu=False, soon=["torch"]) is None
    assert queue.take([], [], has_gpu=False, ready=["torch"]).agent == "mlp"
    assert not queue


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="workers are forked on Linux")
def test_what_is_loaded_once_is_there_for_every_fork(tmp_path):
    assert Preloaded(["scikit-learn"]).pending == ()
    jobs = [run(tmp_path, "mlp", (seed,)) for seed in (0, 1)]
    ended = list(Local(2).run(jobs))
    assert all(e.error is None for e in ended)
    shared = Preloaded(["torch"])
    for future in shared.pending:
        future.result(timeout=60)
    assert shared.ready == ["torch"]
