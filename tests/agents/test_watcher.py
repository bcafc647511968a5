from __future__ import annotations

import pytest

import neurotasks
from agents.training import TorchLearner
from neurotasks.agent import Budget, Log, Watcher, silent


class Watch:
    """Hears how two seeds validate, and stops them when it has heard enough."""

    def __init__(self, enough=100):
        self.heard, self.logged, self.enough = [], [], enough

    def __call__(self, samples, **scalars):
        self.logged.append((samples, scalars["validation"]))

    def watch(self, samples, validation):
        self.heard.append((samples, validation))
        if len(self.heard) == self.enough:
            raise KeyboardInterrupt


def learn(watch):
    task = neurotasks.load("OrientationDecoding-v0")
    learner = TorchLearner(width=8, checks=5, device="cpu")
    return learner.learn(task, seeds=[0, 1], budget=Budget("smoke", 1500), log=watch)


def test_a_watcher_hears_the_mean_over_seeds_at_every_check():
    watch = Watch()
    learn(watch)
    first, second = watch.logged[:5], watch.logged[5:]
    for (samples, mean), one, two in zip(watch.heard, first, second, strict=True):
        assert samples == one[0] == two[0]
        assert mean == pytest.approx((one[1] + two[1]) / 2)


def test_what_a_watcher_raises_ends_learning():
    watch = Watch(enough=2)
    with pytest.raises(KeyboardInterrupt):
        learn(watch)
    assert len(watch.heard) == 2


def test_a_plain_log_is_no_watcher():
    log: Log = silent
    assert not isinstance(log, Watcher)
    assert isinstance(Watch(), Watcher)
