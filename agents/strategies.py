"""Strategies of Avalanche by name, each with what it can learn and what suits it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from agents import strategy_makers as makers
from agents.networks import Network
from agents.strategy_parts import Parts

__all__ = ["STRATEGIES", "Strategy"]


@dataclass(frozen=True)
class Strategy:
    """A strategy.

    Attributes:
        make: Makes the library's object.
        strength: The weight that suits what it adds to the loss, the lambda of a regulariser or the
            alpha of a distillation, and GEM's margin; 0 where there is none.
        minimum: What its memory must hold one trial of, at least: "class" or "experience".
        steps: Whether it learns trials of more than one step.
        whole: Whether it builds the last layer itself: all classes of the stream compete in one
            head, in streams that tell the task too, where what was told chooses among the answers.
        fresh: Whether it knows no class twice: an experience must have new classes alone.
        single: Whether it goes through an experience once at most, whatever the budget.
        joint: Whether it learns the whole stream in the first experience.
        images: Whether it takes images of bytes alone.
        answer: Returns the network that answers after an experience.
        beside: Returns how many trials of its memory it was shown in a step beside the batch.
    """

    make: Callable[[Parts], Any]
    strength: float = 0.0
    minimum: str = ""
    steps: bool = True
    whole: bool = False
    fresh: bool = False
    single: bool = False
    joint: bool = False
    images: bool = False
    answer: Callable[[Parts, Any], Network] = makers.as_taught
    beside: Callable[[Any], int] = makers.nothing


STRATEGIES: Mapping[str, Strategy] = MappingProxyType(
    {
        "naive": Strategy(makers.stock("Naive")),
        "cumulative": Strategy(makers.stock("Cumulative")),
        "joint": Strategy(makers.stock("Naive"), joint=True),
        "replay": Strategy(makers.stock("Replay", makers.remembering), minimum="experience"),
        "ewc": Strategy(makers.stock("EWC", makers.ewc), strength=1e3),
        "ewc-online": Strategy(makers.stock("EWC", makers.ewc_online), strength=1e3),
        "si": Strategy(makers.si, strength=1e4),
        "mas": Strategy(makers.stock("MAS", makers.mas), strength=0.1),
        "lwf": Strategy(makers.lwf, strength=1.0),
        "gem": Strategy(
            makers.stock("GEM", makers.gem),
            strength=0.5,
            minimum="experience",
            beside=makers.remembered,
        ),
        "agem": Strategy(
            makers.stock("AGEM", makers.agem), minimum="experience", beside=makers.sampled
        ),
        "gdumb": Strategy(makers.stock("GDumb", makers.remembering), minimum="class"),
        "icarl": Strategy(
            makers.icarl,
            minimum="class",
            steps=False,
            whole=True,
            fresh=True,
            answer=makers.nearest,
        ),
        "derpp": Strategy(makers.stock("DER", makers.derpp), strength=0.5, minimum="class"),
        "er-ace": Strategy(
            makers.stock("ER_ACE", makers.rehearsing),
            minimum="class",
            steps=False,
            beside=makers.rehearsed,
        ),
        "cwr": Strategy(makers.cwr, steps=False, whole=True),
        "ar1": Strategy(makers.ar1, strength=1e3, steps=False, whole=True),
        "slda": Strategy(
            makers.slda, steps=False, whole=True, single=True, answer=makers.discriminant
        ),
        "generative": Strategy(makers.generative, steps=False, images=True),
    }
)
"""All strategies by name."""
