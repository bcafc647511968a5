"""Small tasks that show what a learner must master, one thing each."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces

from neurotasks.agent import Policy
from neurotasks.card import Stage, TaskCard
from neurotasks.metrics import ACCURACY, BITS_PER_SYMBOL
from neurotasks.task import Batch, TrialTask

SYMBOLS, STEPS = 4, 10


def card(name, metric, chance, ceiling):
    return TaskCard(
        name=name,
        version=0,
        form="trial",
        topic="test",
        courses=("none",),
        summary="Say what was shown one step ago.",
        metric=metric,
        ceiling="exact",
        ceiling_source="the answer is known",
        chance_source="symbols are independent and equally frequent",
        steps=STEPS,
        stages={"test": Stage(trials=200, chance=chance, ceiling=ceiling)},
        splits={"train": 1000, "validation": 100},
        licence="generated; MIT",
        citation="none",
    )


class Echo(TrialTask):
    """Log-probabilities of the symbol shown one step ago; symbols are one-hot bytes."""

    card = card("Echo", BITS_PER_SYMBOL, 2.0, 0.0)
    observation_space = spaces.Box(0, 1, (SYMBOLS,), np.uint8)
    action_space = spaces.Box(-np.inf, np.inf, (SYMBOLS,), np.float32)

    def generate(self, draw):
        xp = draw.xp
        shown = draw.integers("symbol", SYMBOLS, (STEPS,))
        y = xp.concat((shown[:, :1] * 0, shown[:, :-1]), axis=1)  # the first is not scored
        mask = xp.broadcast_to(xp.arange(STEPS, device=draw.device) > 0, y.shape)
        seen = xp.astype(shown[..., None] == xp.arange(SYMBOLS, device=draw.device), xp.uint8)
        return Batch(seen, y, mask, {"shown": shown})

    def trivial(self, stage="test"):
        self.card.stage(stage)
        return Policy(lambda x: np.zeros((*x.shape[:2], SYMBOLS), dtype=np.float32))


class EchoClass(Echo):
    """The same with classes: symbols from 5 up are shown, classes from 1 up are answered."""

    card = card("EchoClass", ACCURACY, 0.25, 1.0)
    observation_space = spaces.Discrete(SYMBOLS, start=5)
    action_space = spaces.Discrete(SYMBOLS, start=1)

    def generate(self, draw):
        batch = super().generate(draw)
        return Batch(batch.trials["shown"] + 5, batch.y + 1, batch.mask)

    def trivial(self, stage="test"):
        self.card.stage(stage)
        return Policy(lambda x: np.ones(x.shape[:2], dtype=np.int64))


@pytest.fixture
def echo():
    return Echo()


@pytest.fixture
def echo_class():
    return EchoClass()
