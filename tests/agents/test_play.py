from __future__ import annotations

import numpy as np
import pytest

from agents.play import Chance, Curves, Play
from neurotasks import load
from neurotasks.vector import TaskVectorEnv


def test_the_worlds_of_a_seed_are_those_of_the_vector_environment():
    task, seed, worlds = load("CartPole-v0"), 7, 3
    play = Play(task, [2, seed], worlds)
    env = TaskVectorEnv(worlds, task.card.id, "train", "SameStep", task.card.steps)
    seen, _ = env.reset(seed=seed * worlds)
    for step in range(60):
        np.testing.assert_array_equal(play.seen[1], seen)
        action = np.arange(6).reshape(2, 3) // (1 + step % 3) % 2
        found = play.step(action)
        seen, reward, terminated, truncated, info = env.step(action[1])
        np.testing.assert_array_equal(found.reward[1], reward)
        np.testing.assert_array_equal(found.terminated[1], terminated)
        np.testing.assert_array_equal(found.done[1], terminated | truncated)
        for world in np.flatnonzero(found.done[1]):
            np.testing.assert_array_equal(found.last[1, world], info["final_obs"][world])


def test_the_time_limit_ends_an_episode_but_not_the_task():
    task = load("CartPole-v0")
    play, ideal = Play(task, [0], 2), task.ideal()
    for _ in range(task.card.steps):
        action, _ = ideal.act(play.seen, None)
        found = play.step(action)
    assert found.done.all()
    assert not found.terminated.any()
    np.testing.assert_array_equal(play.recent(), [500.0])
    assert np.isnan(play.recent()).all()
    assert not np.array_equal(found.last, play.seen)


def test_worlds_that_do_not_restart_go_on_until_the_next_beginning():
    play = Play(load("CartPole-v0"), [0, 1], 2)
    done = np.zeros((2, 2), dtype=bool)
    for _ in range(40):
        last = play.step(np.ones((2, 2), dtype=np.int64), restart=False)
        done |= last.done
        np.testing.assert_array_equal(play.seen, last.last)
    assert done.all()
    assert np.isnan(play.recent()).all()
    play.begin()
    assert (np.abs(play.seen) < 0.05).all()


def test_streams_are_no_games():
    with pytest.raises(TypeError, match="is a stream of data"):
        Play(load("ContinualDigits-v0"), [0], 1)


@pytest.mark.parametrize("normal", [False, True])
def test_chance_is_each_seeds_own_wherever_it_begins(normal):
    many = Chance("someone", [3, 5], (2, 3), normal=normal)
    alone = Chance("someone", [5], (2, 3), normal=normal)
    drawn = [many.draw() for _ in range(12)]
    for numbers in drawn:
        np.testing.assert_array_equal(numbers[1], alone.draw()[0])
        assert not np.array_equal(numbers[0], numbers[1])
    alone.seek(4)
    np.testing.assert_array_equal(alone.draw()[0], drawn[4][1])
    assert not np.array_equal(Chance("another", [5], (2, 3)).draw(), alone.draw())


def test_chance_goes_on_from_block_to_block(monkeypatch):
    whole = [Chance("someone", [1], (4,)).draw() for _ in range(1)]
    long = Chance("someone", [1], (4,))
    drawn = [long.draw() for _ in range(7)]
    monkeypatch.setattr("agents.play._AHEAD_BYTES", 2 * 4 * 8)  # two draws
    short = Chance("someone", [1], (4,))
    np.testing.assert_array_equal([short.draw() for _ in range(7)], drawn)
    np.testing.assert_array_equal(whole[0], drawn[0])


class Onlooker:
    """A log that looks on."""

    def __init__(self):
        self.heard, self.watched = [], []

    def __call__(self, samples, **scalars):
        self.heard.append((samples, scalars.get("return")))

    def watch(self, samples, validation):
        self.watched.append((samples, validation))


def test_curves_come_seed_after_seed():
    log = Onlooker()
    curves = Curves(2, log)
    curves.note([10, 12], np.array([1.0, np.nan]))
    curves.note([20, 30], np.array([2.0, 4.0]), np.array([True, False]))
    assert log.heard == []
    assert log.watched == [(12, 1.0), (30, 3.0)]
    curves.close()
    assert log.heard == [(0, None), (10, 1.0), (20, 2.0), (0, None), (12, None)]
