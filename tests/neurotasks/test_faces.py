"""What a newcomer does wrong first, and what the faces say to it."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium.wrappers.vector import RecordEpisodeStatistics

import neurotasks
from neurotasks.errors import InvalidAction, InvalidSeed, UnknownStage
from neurotasks.rng import Draw
from neurotasks.task import rows

CONTINUOUS, DISCRETE = "neurotasks/OrientationDecoding-v0", "neurotasks/CartPole-v0"


@pytest.mark.parametrize(
    ("task", "action", "message"),
    [
        (CONTINUOUS, np.zeros(3, np.float32), r"shape \(3,\).*needs \(2,\)"),
        (CONTINUOUS, np.float32(1), r"shape \(\).*needs \(2,\)"),
        (CONTINUOUS, np.array([np.nan, 1]), "holds nan; every number of an answer must be finite"),
        (CONTINUOUS, np.array([np.inf, 1]), "holds inf"),
        (CONTINUOUS, np.array(["a", "b"]), "takes numbers"),
        (DISCRETE, 2, "the action 2 does not exist; .* has 0 to 1"),
        (DISCRETE, -1, "the action -1 does not exist"),
        (DISCRETE, 0.5, "takes integers"),
        (DISCRETE, np.array([1]), r"shape \(1,\)"),
    ],
)
def test_a_wrong_answer_says_what_is_wrong(task, action, message):
    env = gymnasium.make(task).unwrapped
    env.reset(seed=0)
    with pytest.raises(InvalidAction, match=message):
        env.step(action)
    worlds = gymnasium.make_vec(task, num_envs=2)
    worlds.reset(seed=0)
    with pytest.raises(InvalidAction):
        worlds.step(np.stack([action, action]))


def test_a_batch_of_the_wrong_size_says_so():
    worlds = gymnasium.make_vec(DISCRETE, num_envs=3)
    worlds.reset(seed=0)
    with pytest.raises(InvalidAction, match=r"shape \(2,\).*needs \(3,\)"):
        worlds.step(np.array([0, 1]))


def test_unknown_stages_and_splits_are_named():
    with pytest.raises(UnknownStage, match="there is no stage 'exam'"):
        gymnasium.make(CONTINUOUS, stage="exam")
    with pytest.raises(UnknownStage, match="has no split 'exam'; it has train"):
        neurotasks.load(CONTINUOUS).dataset("exam")


def test_seeds_are_checked():
    with pytest.raises(InvalidSeed, match="must be an integer"):
        neurotasks.load(CONTINUOUS).sample(1, -3)
    with pytest.raises(InvalidSeed):
        gymnasium.make(CONTINUOUS).unwrapped.reset(seed=2**63)


def test_trials_are_consecutive_numbers():
    task = neurotasks.load(CONTINUOUS)
    for wrong in (range(0, 10, 2), range(-1, 3)):
        with pytest.raises(ValueError, match="consecutive numbers"):
            task.sample(wrong)


def test_reset_without_a_seed_goes_on_and_differs_between_worlds():
    env = gymnasium.make(CONTINUOUS)
    first, info = env.reset(seed=4)
    second, later = env.reset()
    assert (info["trial"], later["trial"]) == (0, 1)
    assert not np.array_equal(first, second)
    one, other = gymnasium.make(CONTINUOUS), gymnasium.make(CONTINUOUS)
    assert not np.array_equal(one.reset()[0], other.reset()[0])


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        ([True, False], "bool array"),
        (np.array([1, 0]), "bool array"),
        (np.array([True]), r"shape \(2,\)"),
        (np.array([False, False]), "selects no world"),
    ],
)
def test_a_wrong_reset_mask_says_what_is_wrong(mask, message):
    worlds = gymnasium.make_vec(CONTINUOUS, num_envs=2)
    worlds.reset(seed=0)
    with pytest.raises(ValueError, match=message):
        worlds.reset(options={"reset_mask": mask})


def test_the_first_reset_takes_all_worlds():
    worlds = gymnasium.make_vec(CONTINUOUS, num_envs=2)
    with pytest.raises(ValueError, match="the first reset must take all worlds"):
        worlds.reset(options={"reset_mask": np.array([True, False])})


def test_with_autoreset_disabled_an_ended_world_must_be_reset_by_hand():
    worlds = gymnasium.make_vec(CONTINUOUS, num_envs=2, autoreset_mode="Disabled")
    worlds.reset(seed=0)
    action = np.zeros((2, 2), np.float32)
    worlds.step(action)
    with pytest.raises(InvalidAction, match="world 0 has ended"):
        worlds.step(action)


def test_gymnasiums_own_vector_wrapper_counts_returns():
    worlds = RecordEpisodeStatistics(gymnasium.make_vec(DISCRETE, num_envs=3))
    worlds.reset(seed=0)
    lengths = []
    for _ in range(60):
        *_, info = worlds.step(np.ones(3, dtype=np.int64))
        if "episode" in info:
            lengths += info["episode"]["l"][info["_episode"]].tolist()
            returns = info["episode"]["r"][info["_episode"]]
            np.testing.assert_array_equal(returns, info["episode"]["l"][info["_episode"]])
    assert lengths
    assert min(lengths) >= 8


def test_rows_of_recorded_data_are_one_pass_in_an_order_of_the_seed():
    def order(seed, stage, count=20, first=0):
        return rows(Draw("Test-v0", stage, seed, first, count), 20).tolist()

    assert sorted(order(1, "train")) == list(range(20))
    assert order(1, "train") != order(2, "train")
    assert order(1, "train", 5, 7) == order(1, "train")[7:12]
    assert order(1, "train", 20, 20) == order(1, "train")
    assert order(1, "test") == order(2, "test") == list(range(20))
    assert order(3, "train", 20, 5)[15:] == order(3, "train")[:5]


def test_rows_of_one_recorded_trial():
    assert rows(Draw("Test-v0", "train", 1, 0, 3), 1).tolist() == [0, 0, 0]
