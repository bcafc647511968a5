"""Predict the next character of Shakespeare's plays.

What the subject sees: 128 successive characters, one at a step, each one-hot among 65.

What it may do: answer at each step the logarithms (natural, unnormalised) of the probabilities of
the next character.

How it is scored: mean surprise of the next character in bits, over all 128 steps of a trial. The
first answer of a trial has seen one character only, as nothing is remembered between trials.

When it ends: after 128 characters.

Chance and ceiling: chance is the best answer that does not look, the frequencies of the characters
of the test split, so its score is their entropy. The ceiling is a published transformer. In stage
"shift" one in ten characters that are shown is a uniformly drawn one; what comes next is not
touched, so that chance stays, and the ceiling is that of the clean text, an upper bound.

Splits: by position, 90 % of the text for training, then 5 % for validation, then 5 % for the test,
each cut into windows that do not overlap; a remainder at the end is left out.

Source: the file tinyshakespeare/input.txt of Karpathy's char-rnn (2015).
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from neurotasks import sources
from neurotasks.agent import Agent, Policy
from neurotasks.card import Stage, TaskCard
from neurotasks.metrics import BITS_PER_CHARACTER
from neurotasks.registry import register
from neurotasks.rng import Draw
from neurotasks.task import Batch, TrialTask, rows, split_of

STEPS, CHARACTERS = 128, 65
PERCENT = {"train": (0, 90), "validation": (90, 95), "test": (95, 100)}
NEVER = -100.0  # logarithm for a character that the test split does not hold
CHANCE = 4.829758881789393
CEILING = 1.4697 / math.log(2.0)

CARD = TaskCard(
    name="SequencePredictionShakespeare",
    version=0,
    form="trial",
    topic="sequence prediction",
    courses=("Bonn deep-learning course", "Neuromatch Academy Deep Learning"),
    summary="Predict the next character of Shakespeare's plays.",
    metric=BITS_PER_CHARACTER,
    ceiling="published",
    ceiling_source="nanoGPT's character model (10.7 million parameters, context 256): best "
    "validation loss 1.4697 nats on the last 10 % of the text, of which our test split is the "
    "second half (README of karpathy/nanoGPT)",
    chance_source="entropy of the characters that follow in the test split, exact",
    steps=STEPS,
    stages={
        "test": Stage(
            trials=435,
            chance=CHANCE,
            ceiling=CEILING,
            parameters={"typos": 0.0},
        ),
        "shift": Stage(
            trials=435,
            chance=CHANCE,
            ceiling=CEILING,
            parameters={"typos": 0.1},
        ),
    },
    splits={"train": 7842, "validation": 435, "test": 435},
    data="recorded",
    source="tinyshakespeare",
    licence="MIT (repository); the text is in the public domain",
    citation="Karpathy (2015), The unreasonable effectiveness of recurrent neural networks",
    tags=("language", "prediction", "memory"),
)


@register(CARD)
class SequencePredictionShakespeare(TrialTask):
    """Windows of tinyshakespeare."""

    observation_space = spaces.Box(0, 1, (CHARACTERS,), np.uint8)
    action_space = spaces.Box(-100.0, 100.0, (CHARACTERS,), np.float32)

    def generate(self, draw: Draw, *, typos: float) -> Batch:
        """Show windows of the draw's split, and what follows each character."""
        xp, text = draw.xp, _windows(split_of(draw, self.card))
        row = rows(draw, len(text))
        window = draw.asarray(text[row].astype(np.int64))
        seen = window[:, :-1]
        if typos:
            wrong = draw.uniform("typo", (STEPS,)) < typos
            seen = xp.where(wrong, draw.integers("character", CHARACTERS, (STEPS,)), seen)
        alphabet = xp.arange(CHARACTERS, device=draw.device)
        return Batch(
            x=xp.astype(seen[..., None] == alphabet, xp.uint8),
            y=window[:, 1:],
            mask=xp.ones((draw.size, STEPS), dtype=xp.bool, device=draw.device),
            trials={"row": draw.asarray(row)},
        )

    def trivial(self, stage: str = "test") -> Agent:
        """Answer the frequencies of the characters that follow in the test split."""
        self.card.stage(stage)
        count = np.bincount(_windows("test")[:, 1:].reshape(-1), minlength=CHARACTERS)
        frequency = count / count.sum()
        answer = np.log(frequency, out=np.full(CHARACTERS, NEVER), where=count > 0)
        answer = answer.astype(np.float32)
        return Policy(lambda x: np.broadcast_to(answer, (*x.shape[:2], CHARACTERS)))


@lru_cache(maxsize=4)
def _windows(split: str) -> NDArray[np.uint8]:
    """Return the windows of a split, (N, 129): 128 characters, and one that follows."""
    symbols = sources.get("tinyshakespeare").load()["symbols"]
    start, stop = (len(symbols) * percent // 100 for percent in PERCENT[split])
    first = np.arange(start, stop - STEPS, STEPS)
    return np.asarray(symbols)[first[:, None] + np.arange(STEPS + 1)]
