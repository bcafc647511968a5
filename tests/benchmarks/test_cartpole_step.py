"""Batched stepping of CartPole against Gymnasium's own vector entry point."""

from __future__ import annotations

import gymnasium as gym
import numpy as np

import neurotasks

ENVS, STEPS = 1024, 500


def test_cartpole_step_1024(compare):
    """Both play the same actions, drawn before, and begin new episodes in the next step."""
    actions = np.random.default_rng(0).integers(0, 2, (STEPS, ENVS))
    ours = gym.make_vec(neurotasks.load("CartPole-v0").card.id, num_envs=ENVS)
    theirs = gym.make_vec("CartPole-v1", num_envs=ENVS, vectorization_mode="vector_entry_point")

    def player(worlds):
        worlds.reset(seed=0)

        def play():
            for action in actions:
                worlds.step(action)

        return play

    ratio = compare("cartpole_step_1024", player(ours), player(theirs), target=1.5)
    assert ratio > 1.0
