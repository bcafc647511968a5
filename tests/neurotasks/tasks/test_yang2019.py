from __future__ import annotations

import numpy as np
import pytest

import neurotasks
from neurotasks.metrics import correct, per_trial
from neurotasks.tasks import yang2019
from neurotasks.tasks.yang2019 import COHERENCES, NEAREST, RULES, UNITS

TRIALS = 3000


def load(name):
    return neurotasks.load(f"Yang2019{name}-v0")


def accuracy(answers, batch):
    return float(per_trial(correct(answers, batch.y), batch.mask).mean())


@pytest.mark.parametrize("name", RULES)
def test_the_ideal_observer_lands_on_the_ceiling_in_both_stages(name):
    task = load(name)
    for stage in ("test", "shift"):
        batch = task.sample(TRIALS, 77, stage)
        answers, _ = task.ideal(stage).act(batch.x, None)
        ceiling = task.card.stage(stage).ceiling
        error = np.sqrt(ceiling * (1 - ceiling) / TRIALS) + 0.001
        assert accuracy(answers, batch) == pytest.approx(ceiling, abs=4.5 * error)


@pytest.mark.parametrize("name", RULES)
def test_simple_readers_stay_below_it(name):
    """The unit that is most active in the last stimulus, and the one over the whole trial."""
    task, rule = load(name), RULES[name]
    batch = task.sample(TRIALS, 5, "test")
    rings = batch.x[..., 1 : 1 + 2 * UNITS].reshape(*batch.x.shape[:2], 2, UNITS).sum(axis=2)
    turn = UNITS // 2 * (rule.inverted and rule.family == "go")
    for seen in (rings[:, -3], rings.sum(axis=1)):
        label = (seen.argmax(axis=1) + turn) % UNITS + 1
        simple = np.repeat(label[:, None], batch.x.shape[1], axis=1)
        assert accuracy(simple, batch) < task.card.stage("test").ceiling - 0.01


@pytest.mark.parametrize("name", ["RTGo", "CtxDM1", "DNMC"])
def test_noise_free_trials_leave_no_doubt(name):
    task = load(name)
    rule = RULES[name]
    draw = neurotasks.rng.Draw(task.card.label, "test", 3, 0, 500)
    batch = task.generate(draw, noise=0.01, delay=yang2019.DELAY)
    observer = yang2019._Posterior(rule, 0.01, yang2019.DELAY)
    assert accuracy(observer(batch.x), batch) == 1.0


def test_wrong_rules_earn_less():
    """The observer of one rule is no good for its opposite."""
    batch = load("DMS").sample(500, 0, "test")
    other = yang2019._Posterior(RULES["DNMS"], yang2019.NOISE, yang2019.DELAY)
    assert accuracy(other(batch.x), batch) < 0.1


@pytest.mark.parametrize("name", RULES)
def test_the_table_says_what_is_wanted(name):
    task, rule = load(name), RULES[name]
    batch = task.sample(2000, 1, "test")
    table = batch.trials
    if rule.family == "go":
        wanted = (table["direction"] + UNITS // 2 * rule.inverted) % UNITS + 1
    elif rule.family == "decide":
        wanted = np.where(table["coherence"] > 0, table["first"], table["second"]) + 1
        assert set(np.abs(table["coherence"])) == set(COHERENCES)
    else:
        half = UNITS // 2
        same = table["first"] == table["second"]
        if rule.category:
            same = table["first"] // half == table["second"] // half
        assert np.array_equal(same, table["match"])
        wanted = np.where(same != rule.inverted, table["second"] + 1, 0)
    assert np.array_equal(wanted, table["wanted"])
    assert (batch.y[batch.mask].reshape(2000, -1) == wanted[:, None]).all()
    assert not batch.y[~batch.mask].any()


def test_two_stimuli_lie_apart():
    for name in ("DM1", "DMS"):
        table = load(name).sample(2000, 1, "test").trials
        apart = (table["second"] - table["first"]) % UNITS
        apart = np.minimum(apart, UNITS - apart)
        assert (apart[apart > 0] >= NEAREST).all()


def test_the_rule_is_shown_at_every_step():
    for place, name in enumerate(RULES):
        x = load(name).sample(3, 0, "test").x[..., 1 + 2 * UNITS :]
        assert (x.argmax(axis=-1) == place).all()
        assert (x.sum(axis=-1) == 1.0).all()
