from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from leaderboard.scoring import Scored
from leaderboard.store.errors import StaleLease, WrongTask
from neurotasks.card import TaskCard
from tests.leaderboard.stores import GENERATED, make_manifest, scored

pytest_plugins = ("tests.leaderboard.postgres",)


def test_first_come_first_served(house, claim):
    for agent in "abc":
        house.clock.now += 1
        house.hand_in(agent)
    assert [claim().manifest.agent for _ in range(3)] == ["a", "b", "c"]
    assert house.store.queue.claim("worker") is None


def test_what_a_worker_gets(house, claim):
    made = house.hand_in(content=b"abc")
    job = claim("one")
    assert (job.submission, job.board, job.lease, job.worker) == (made.id, "spring", 1, "one")
    assert job.files == made.manifest.files
    assert job.manifest == made.manifest
    assert house.store.submissions.get(made.id).state == "running"
    assert (house.store.queue.waiting(), house.store.queue.running()) == (0, 1)


def test_a_lease_runs_out_unless_it_is_prolonged(house, claim):
    house.hand_in()
    job = claim("one")
    house.clock.now += 50
    assert house.store.queue.heartbeat(job)
    house.clock.now += 50
    assert house.store.queue.claim("two") is None
    house.clock.now += 10
    again = claim("two")
    assert (again.submission, again.lease) == (job.submission, 2)
    assert not house.store.queue.heartbeat(job)


def test_what_a_dead_worker_had_waits_again_and_the_attempt_counts(house, claim):
    for agent in "abc":
        house.hand_in(agent)
    dead, other = claim("dead"), claim("other")
    house.store.queue.finish(other, scored(other.manifest, 0.5))
    house.clock.now += 1
    house.store.queue.expire("dead")
    house.store.queue.expire("other")
    assert (house.store.queue.waiting(), house.store.queue.running()) == (2, 0)
    assert claim().manifest.agent == "c", "it came first"
    again = claim()
    assert (again.submission, again.lease) == (dead.submission, 2)
    assert house.store.submissions.get(dead.submission).attempts == 2


def test_a_stale_worker_ends_nothing(house, claim):
    house.hand_in()
    stale = claim("one")
    house.clock.now += 61
    fresh = claim("two")
    for attempt in (
        lambda: house.store.queue.finish(stale, scored(stale.manifest, 0.9)),
        lambda: house.store.queue.fail(stale, "no"),
        lambda: house.store.queue.release(stale),
    ):
        with pytest.raises(StaleLease, match="drop this result"):
            attempt()
    house.store.queue.finish(fresh, scored(fresh.manifest, 0.5))
    for job in (stale, fresh):
        with pytest.raises(StaleLease):
            house.store.queue.finish(job, scored(job.manifest, 0.9))
    assert house.store.submissions.get(1).score == pytest.approx(0.5)
    ends = [e for e in house.store.events.read("submission 1") if e.action == "verify"]
    assert len(ends) == 1
    assert house.store.verify() == []


def test_attempts_are_bounded(house, claim):
    house.hand_in()
    for attempt in range(3):
        assert claim().lease == attempt + 1
        house.clock.now += 61
    assert house.store.queue.claim("worker") is None
    told = house.store.submissions.get(1)
    assert (told.state, told.attempts) == ("failed", 3)
    assert told.reason.startswith("3 workers ended while they scored it")
    assert house.store.verify() == []


def test_one_that_kills_its_workers_does_not_stop_the_queue(house, claim):
    house.hand_in("bad")
    for _ in range(3):
        claim()
        house.clock.now += 61
    house.hand_in("good")
    assert claim().manifest.agent == "good"


def test_what_is_given_back_counts_no_attempt(house, claim):
    house.hand_in()
    for lease in range(1, 6):
        job = claim()
        assert job.lease == lease
        house.store.queue.release(job)
        assert house.store.submissions.get(1).state == "queued"
    assert house.store.submissions.get(1).attempts == 0
    assert house.store.verify() == []


def test_a_reason_is_one_bounded_line(house, claim):
    house.hand_in()
    house.store.queue.finish(claim(), Scored(reason="a\n\tb\0\ud800 " + "x" * 5000))
    reason = house.store.submissions.get(1).reason
    assert reason.startswith("a b xxx")
    assert len(reason) == 1000


def test_a_failure_without_a_reason_gets_one(house, claim):
    house.hand_in()
    house.store.queue.fail(claim(), " \n")
    assert house.store.submissions.get(1).reason == "no reason was given"


def test_a_worker_of_another_version_is_refused(house, claim, monkeypatch):
    house.hand_in()
    job = claim()
    told = scored(job.manifest, 0.5)
    with monkeypatch.context() as patch:
        patch.setattr(TaskCard, "hash", property(lambda card: "f" * 16))
        with pytest.raises(WrongTask, match="start it with the suite of the board"):
            house.store.queue.finish(job, told)
    house.store.queue.finish(job, told)


def test_many_workers_never_get_the_same_one(house):
    for _ in range(20):
        house.hand_in()
    gate = threading.Barrier(8)

    def take(worker: int) -> list[int]:
        gate.wait()
        taken = []
        while (job := house.store.queue.claim(f"worker {worker}")) is not None:
            taken.append(job.submission)
        return taken

    with ThreadPoolExecutor(8) as pool:
        taken = [one for got in pool.map(take, range(8)) for one in got]
    assert sorted(taken) == list(range(1, 21))
    assert house.store.verify() == []


def test_quotas_and_duplicates_hold_against_all_at_once(house):
    house.store.boards.open("small", "Small", valid_quota=3, total_quota=3)
    account = house.store.accounts.create("Bo")
    gate = threading.Barrier(8)

    def attempt(number: int) -> str:
        content = f"model {number % 4}".encode()  # each is handed in twice
        path = house.folder / f"at-once-{number}"
        path.write_bytes(content)
        manifest = make_manifest(content, seeds=1)
        gate.wait()
        try:
            house.store.submissions.receive("small", account, manifest, {"model.onnx": path})
        except (ValueError, LookupError) as error:
            return type(error).__name__
        return "taken"

    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(attempt, range(8)))
    assert told.count("taken") == 3
    assert house.store.submissions.usage("small", account.id, GENERATED).total == 3
    contents = {one.content for one in house.store.submissions.page("small")}
    assert len(contents) == 3
