from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

import neurotasks
from neurotasks.agent import Observer
from neurotasks.evaluate import trial_metric
from neurotasks.metrics import correct, per_trial
from neurotasks.tasks import multisensory as ms

TASK = neurotasks.load("MultiSensoryIntegration-v0")
STAGES = ("test", "shift")


def sensitivity(vision, modality):
    """Return the root of the summed squared reliabilities of the senses that are on."""
    squares = {ms.VISUAL: vision**2, ms.VESTIBULAR: 1.0, ms.BOTH: vision**2 + 1.0}
    return np.sqrt(squares[modality])


@pytest.mark.parametrize("stage", STAGES)
def test_the_ceiling_is_the_normal_integral(stage):
    told = TASK.card.stage(stage)
    root = np.sqrt(told.parameters["stimulus"])
    parts = [
        norm.cdf(ms.HEADINGS * root * sensitivity(vision, modality)).mean()
        for vision in told.parameters["vision"]
        for modality in (ms.VISUAL, ms.VESTIBULAR, ms.BOTH)
    ]
    assert told.ceiling == pytest.approx(np.mean(parts), abs=1e-6)


@pytest.mark.parametrize("stage", STAGES)
def test_weights_pay(stage):
    def lean(weights):
        def answer(seen):
            evidence = np.cumsum((weights * seen[..., 3:]).sum(axis=-1), axis=1)
            return np.where(evidence >= 0, ms.RIGHT, ms.LEFT)

        return Observer(answer)

    ideal = trial_metric(TASK, TASK.ideal(stage), seed=3, stage=stage, trials=20_000).mean()
    error = 0.5 / np.sqrt(20_000)
    assert ideal == pytest.approx(TASK.card.stage(stage).ceiling, abs=4 * error)
    for weights in ((1.0, 1.0), (1.0, 0.0), (0.0, 1.0)):
        fixed = trial_metric(TASK, lean(np.array(weights)), seed=3, stage=stage, trials=20_000)
        assert fixed.mean() < ideal - 4 * error


def test_squared_sensitivities_of_two_senses_add_up():
    """From the accuracy at one heading in each condition, as in the paper's experiment."""
    batch = TASK.sample(200_000, 4, "test")
    answers, _ = TASK.ideal().act(batch.x, None)
    right = per_trial(correct(answers, batch.y), batch.mask)
    chosen = np.abs(batch.trials["heading"]) == ms.HEADINGS[0]
    for vision in TASK.card.stage("test").parameters["vision"]:
        d = {}
        for modality in (ms.VISUAL, ms.VESTIBULAR, ms.BOTH):
            which = chosen & (batch.trials["modality"] == modality)
            if modality != ms.VESTIBULAR:
                which &= batch.trials["reliability"][:, 0] == vision
            d[modality] = norm.ppf(right[which].mean())
        total = np.hypot(d[ms.VISUAL], d[ms.VESTIBULAR])
        assert d[ms.BOTH] == pytest.approx(total, abs=0.1)


def test_a_sense_that_is_off_is_noise():
    batch = TASK.sample(5_000, 0, "test")
    off = batch.trials["modality"] == ms.VISUAL
    shown = batch.x[off, ms.FIXATION : ms.FIXATION + ms.STIMULUS]
    assert not shown[..., 2].any()
    assert shown[..., 4].mean() == pytest.approx(0.0, abs=0.04)
    assert shown[..., 4].std() == pytest.approx(1.0, rel=0.02)
    assert (batch.mask.sum(axis=1) == ms.DECISION).all()
