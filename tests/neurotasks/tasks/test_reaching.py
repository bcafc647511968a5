from __future__ import annotations

from itertools import product

import numpy as np
import pytest

import neurotasks
from neurotasks.agent import Policy, RandomPolicy
from neurotasks.evaluate import trial_metric
from neurotasks.rng import Draw
from neurotasks.tasks import reaching

TASK = neurotasks.load("Reaching1D-v0")
STAGES = ("test", "shift")
P = reaching.PLACES


def beliefs(count, contrast=0.6):
    state = TASK.initial(Draw("Reaching1D-v0", "test", 7, 0, count), contrast=contrast)
    return reaching.posterior(state.units, contrast)


def test_the_plan_is_the_best_of_all_paths():
    """Six steps, all 729 of them, from every place."""
    belief, steps = beliefs(20), 6
    pay = belief @ reaching.closeness() / reaching.STEPS
    found = np.full_like(pay, -np.inf)
    for moves in product((-1, 0, 1), repeat=steps):
        places = (np.arange(P)[:, None] + np.cumsum(moves)) % P
        found = np.maximum(found, pay[:, places].sum(axis=-1))
    plan = reaching.plan(belief, steps)
    np.testing.assert_allclose(plan.value, found, atol=1e-12)


def test_the_posterior_is_that_of_bayes():
    contrast = 0.6
    state = TASK.initial(Draw("Reaching1D-v0", "test", 7, 0, 50), contrast=contrast)
    squares = ((state.units[:, None] - contrast * reaching.tuning()) ** 2).sum(axis=-1)
    density = np.exp(-squares / (2 * reaching.NOISE**2))
    np.testing.assert_allclose(
        beliefs(50, contrast), density / density.sum(axis=1, keepdims=True), atol=1e-6
    )


@pytest.mark.parametrize("stage", STAGES)
def test_the_planner_lands_on_the_ceiling_and_beats_the_likeliest_target(stage):
    contrast = TASK.card.stage(stage).parameters["contrast"]

    def likeliest(x):
        target = reaching.posterior(x[:, 0, :P].astype(np.float64), contrast).argmax(axis=1)
        ahead = (target - x[:, 0, P:].argmax(axis=1)) % P
        towards = np.where(ahead <= P // 2, reaching.RIGHT, reaching.LEFT)
        return np.where(ahead == 0, reaching.STAY, towards)[:, None]

    agents = TASK.ideal(stage), Policy(likeliest)
    ideal, greedy = (trial_metric(TASK, a, seed=3, stage=stage, trials=20_000) for a in agents)
    error = ideal.std() / np.sqrt(20_000)
    assert ideal.mean() == pytest.approx(TASK.card.stage(stage).ceiling, abs=4 * error)
    gain = ideal - greedy
    assert gain.mean() > 2 * gain.std() / np.sqrt(20_000)


@pytest.mark.parametrize("move", [reaching.LEFT, reaching.STAY, reaching.RIGHT, None])
def test_moves_that_ignore_the_units_earn_one_half(move):
    agent = RandomPolicy(3) if move is None else Policy(lambda x: np.full(x.shape[:2], move))
    raw = trial_metric(TASK, agent, seed=4, trials=20_000)
    assert raw.mean() == pytest.approx(0.5, abs=4 * max(raw.std(), 1e-9) / np.sqrt(20_000) + 1e-9)


def test_the_ring_closes_and_the_target_stays():
    state = TASK.initial(Draw("Reaching1D-v0", "test", 1, 0, 100), contrast=1.0)
    now = state
    for time in range(P):
        draw = Draw("Reaching1D-v0", "test", 1, 0, 100, np.full(100, time))
        now, paid, ended = TASK.step(now, np.full(100, reaching.RIGHT), draw, contrast=1.0)
        assert not ended.any()
        assert ((paid >= 0.0) & (paid <= 1.0 / reaching.STEPS)).all()
    np.testing.assert_array_equal(now.hand, state.hand)
    np.testing.assert_array_equal(TASK.observe(now), TASK.observe(state))
