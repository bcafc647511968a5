"""Learn six cognitive tasks, one after the other, with one network, and forget none.

What the subject sees: the fixation signal, two rings of 16 noisy units and the one-hot rule of the
twenty tasks of Yang et al. (2019). The stream has six experiences, one rule each, in an order of
the seed's own: Go, Anti, DlyGo, DM1, CtxDM1 and MultiDM. A trial ends with its rule's decision; up
to the length of the longest one nothing is shown, and nothing is scored.

What it may do: fixate (0), or answer one of 16 directions (1 to 16).

How it is scored: the fraction of right answers in the decision window of each rule, averaged over
the six rules, after the last experience. The whole matrix stays in the result.

When it ends: after the longest trial; the stream ends after its sixth experience.

Chance and ceiling: chance is a constant direction, right once in 16 times. The ceiling is the ideal
observer of each rule, the mean over the six.

Source: Yang, Joglekar, Song, Newsome, Wang (2019), Nature Neuroscience 22:297; sequential training
of these tasks after Duncker, Driscoll, Shenoy, Sahani, Sussillo (2020), "Organizing recurrent
network dynamics by task-computation to enable continual learning".
"""

from __future__ import annotations

from functools import lru_cache
from typing import cast

import numpy as np
from gymnasium import spaces

from neurotasks.agent import Agent, Observer, Policy
from neurotasks.arrays import Array
from neurotasks.card import Stage, TaskCard
from neurotasks.metrics import AVERAGE_ACCURACY
from neurotasks.registry import load, register
from neurotasks.rng import Draw, check_seed
from neurotasks.task import Batch, StreamTask, TrialTask

RULES = ("Go", "Anti", "DlyGo", "DM1", "CtxDM1", "MultiDM")
PLACES = (0, 3, 2, 6, 8, 10)  # of the rules' units among the twenty
RULE = 33  # the first of these units
TRAINED, TESTED = 1_000, 200  # trials of each rule
STEPS = 14  # of the longest trial

CARD = TaskCard(
    name="ContinualYang2019",
    version=0,
    form="stream",
    topic="continual learning",
    courses=("Neuromatch Academy Deep Learning, W3D4 Tutorial 1",),
    summary="Learn six cognitive tasks one after the other, without forgetting the earlier ones.",
    metric=AVERAGE_ACCURACY,
    ceiling="monte-carlo",
    ceiling_source="the ideal observers of the six rules, 120,000 trials each, the mean",
    chance_source="the best constant answer, exact",
    steps=STEPS,
    stages={
        "test": Stage(
            trials=len(RULES) * TESTED, chance=1 / 16, ceiling=0.9578, ceiling_error=0.0003
        )
    },
    splits={"train": len(RULES) * TRAINED, "test": len(RULES) * TESTED},
    licence="generated; MIT",
    citation="Yang, Joglekar, Song, Newsome, Wang (2019), Nature Neuroscience 22:297",
    tags=("cognition", "multi-task", "task-incremental"),
)


@register(CARD)
class ContinualYang2019(StreamTask):
    """Six rules; the trials of each are those of its own task."""

    observation_space = spaces.Box(-10.0, 10.0, (RULE + 20,), np.float32)
    action_space = spaces.Discrete(17)
    experiences = len(RULES)

    def experience(self, index: int, seed: int) -> Batch:
        """Return the training trials of a rule."""
        return _padded(_rule(_order(check_seed(seed))[index]), TRAINED, seed, "train", index)

    def test(self, seed: int, stage: str = "test") -> Batch:
        """Return trials of all six rules; "group" is the experience that teaches the rule."""
        self.card.stage(stage)
        parts = [
            _padded(_rule(rule), TESTED, seed, stage, index)
            for index, rule in enumerate(_order(check_seed(seed)))
        ]
        x, y, mask, group = (
            np.concatenate(column)
            for column in zip(*((p.x, p.y, p.mask, p.trials["group"]) for p in parts), strict=True)
        )
        return Batch(x, y, mask, {"group": group})

    def trivial(self, stage: str = "test") -> Agent:
        """Always answer the first direction."""
        self.card.stage(stage)
        return Policy(lambda x: np.ones(x.shape[:2], dtype=np.int64))

    def ideal(self, stage: str = "test") -> Agent:
        """Answer with the ideal observer of the rule that is shown."""
        observers = {place: (_rule(n), _rule(n).ideal(stage)) for n, place in enumerate(PLACES)}

        def answer(seen: Array) -> Array:
            found = np.zeros(seen.shape[:2], dtype=np.int64)
            shown = seen[:, 0, RULE:].argmax(axis=1)
            for place, (task, observer) in observers.items():
                here, steps = np.flatnonzero(shown == place), min(seen.shape[1], task.card.steps)
                if len(here):
                    found[here, :steps], _ = observer.act(seen[here, :steps], None)
            return found

        return Observer(answer)


def _rule(number: int) -> TrialTask:
    return cast("TrialTask", load(f"Yang2019{RULES[number]}-v0"))


@lru_cache(maxsize=1024)
def _order(seed: int) -> tuple[int, ...]:
    """Return the rules of a seed in the order in which they are taught."""
    return tuple(Draw(CARD.label, "train", seed).permutation("rules", len(RULES))[0].tolist())


def _padded(task: TrialTask, trials: int, seed: int, stage: str, index: int) -> Batch:
    """Return trials of a rule, filled up to the longest with steps that show nothing."""
    batch = task.sample(trials, seed, stage)
    more = STEPS - batch.x.shape[1]
    return Batch(
        x=np.pad(batch.x, ((0, 0), (0, more), (0, 0))),
        y=np.pad(batch.y, ((0, 0), (0, more))),
        mask=np.pad(batch.mask, ((0, 0), (0, more))),
        trials={"group": np.full(trials, index)},
    )
