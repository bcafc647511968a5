"""Land a craft between two flags, softly and upright, on little fuel.

What the subject sees: position from the landing place and velocity (2 numbers each, scaled), angle
(rad) and angular velocity (scaled), and whether the left and the right leg touch the ground, as
float32.

What it may do: nothing (0), or fire the left (1), the main (2) or the right engine (3), 50 times a
second. The engines scatter a little.

How it is scored: the growth of a measure of how near, slow and upright the craft is, with 10 for
each leg on the ground; less 0.3 for every step of the main engine and 0.03 for a side engine; -100
for a crash or for leaving the screen, 100 for coming to rest. The mean return of an episode.

When it ends: with a crash, off the screen, at rest, or after 1000 steps.

Chance and ceiling: chance is to fire no engine; random engines are worse. The best policy is
not known. The ceiling is a published return of a trained agent, of one training run, on the second
version of the environment. The craft is that of Gymnasium's LunarLander-v3, simulated by Box2D.
What Box2D knows cannot be read out whole, so that the state of the task is the seed of an episode
and the actions so far, from which a simulator is brought to any step; running simulators are kept.

Source: Klimov, the environment's author, in Brockman et al. (2016), "OpenAI Gym", arXiv:1606.01540.
Return: Raffin (2020), RL Baselines3 Zoo, its table of trained agents: PPO after a million steps,
369 episodes.
"""

from __future__ import annotations

import importlib
import warnings
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from neurotasks.agent import Agent, Policy
from neurotasks.arrays import Array, namespace
from neurotasks.card import Stage, TaskCard
from neurotasks.errors import MissingExtra
from neurotasks.metrics import RETURN
from neurotasks.registry import register
from neurotasks.rng import Draw
from neurotasks.task import ControlTask

STEPS = 1000
ENGINES = 4
KEPT = 4096  # running simulators
REACH = np.array([2.5, 2.5, 10.0, 10.0, 2 * np.pi, 10.0, 1.0, 1.0], np.float32)
FEWEST = np.array([1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0], np.float32)  # a leg touches or not

CARD = TaskCard(
    name="LunarLander",
    version=0,
    form="control",
    topic="body control",
    courses=("Neuromatch Academy Deep Learning, projects",),
    summary="Land a craft with three engines softly between two flags.",
    metric=RETURN,
    ceiling="published",
    ceiling_source="PPO, one run: 242.1 +- 31.8 over episodes, LunarLander-v2 (RL Baselines3 Zoo)",
    chance_source="no engine, 10,000 episodes; the others and random ones are worse",
    steps=STEPS,
    stages={"test": Stage(trials=100, chance=-131.5, chance_error=0.5, ceiling=242.119)},
    splits={},
    licence="generated; Gymnasium: MIT, Box2D: zlib",
    citation="Brockman et al. (2016), OpenAI Gym, arXiv:1606.01540",
    tags=("control", "motor", "reinforcement learning", "box2d"),
)


class Flight(NamedTuple):
    """The state of B craft.

    Attributes:
        seed: (B,) int64, from which landscape, first push and scatter of the engines come.
        done: (B,) int64, how many actions were taken.
        actions: (B, STEPS) int8, the actions, then zeros.
        landed: (B,) bool: the episode has ended; such a craft is no longer moved.
    """

    seed: Array
    done: Array
    actions: Array
    landed: Array


@register(CARD)
class LunarLander(ControlTask[Flight]):
    """Craft above a moon."""

    observation_space = spaces.Box(-REACH * FEWEST, REACH, dtype=np.float32)
    action_space = spaces.Discrete(ENGINES)

    def initial(self, draw: Draw) -> Flight:
        """Draw the seeds of the landscapes."""
        hangar()  # to say at once if Box2D is missing
        size = draw.size
        return Flight(
            draw.integers("landscape", 2**31),
            draw.asarray(np.zeros(size, dtype=np.int64)),
            draw.asarray(np.zeros((size, STEPS), dtype=np.int8)),
            draw.asarray(np.zeros(size, dtype=np.bool_)),
        )

    def observe(self, state: Flight) -> Array:
        """Return what each craft sees where it is."""
        xp = namespace(state.seed)
        seen = np.stack([hangar().find(*key).seen for key in _keys(state)])
        low, high = self.observation_space.low, self.observation_space.high
        return xp.asarray(np.clip(seen, low, high), device=state.seed.device)

    def step(self, state: Flight, action: Array, draw: Draw) -> tuple[Flight, Array, Array]:
        """Fire the engines of the craft, one after the other."""
        _, done, actions, ended = (np.asarray(part).copy() for part in state)
        ended |= done >= STEPS  # without a time limit it ends here
        reward, fired = np.zeros(len(done)), np.asarray(action)
        for k, key in enumerate(_keys(state)):
            if not ended[k]:
                reward[k], ended[k] = hangar().fire(*key, int(fired[k]))
                actions[k, done[k]] = fired[k]
                done[k] += 1
        after = Flight(state.seed, *map(draw.asarray, (done, actions, ended.copy())))
        return after, draw.asarray(reward), draw.asarray(ended)

    def trivial(self, stage: str = "test") -> Agent:
        """Fire no engine."""
        self.card.stage(stage)
        return Policy(lambda x: np.zeros(x.shape[:2], np.int64))


def _keys(state: Flight) -> Iterator[tuple[int, bytes]]:
    """Yield the seed and the actions so far of each craft."""
    parts = (np.asarray(part) for part in state[:3])
    for seed, done, actions in zip(*parts, strict=True):
        yield int(seed), actions[:done].tobytes()


@dataclass
class _Craft:
    """A simulator somewhere in an episode, and what is seen there."""

    env: Any
    seen: NDArray[np.float32]

    def fire(self, action: int) -> tuple[float, bool]:
        """Return the reward, and whether the episode ended."""
        self.seen, reward, ended, *_ = self.env.step(action)
        return float(reward), bool(ended)


class Hangar:
    """Running simulators by what brought them where they are; the ones used last are kept.

    Raises:
        MissingExtra: Box2D is not installed.
    """

    def __init__(self) -> None:
        # Its compiled part warns while it is loaded, and dies where warnings are errors.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                importlib.import_module("Box2D")
                importlib.import_module("gymnasium.envs.box2d.lunar_lander")
            except ImportError as error:
                raise MissingExtra("Box2D", "box2d") from error
        self._craft: OrderedDict[tuple[int, bytes], _Craft] = OrderedDict()

    def find(self, seed: int, actions: bytes) -> _Craft:
        """Return the craft of a seed after some actions, flown there if need be."""
        craft = self._craft.pop((seed, actions), None)
        if craft is None:
            env = gym.make("LunarLander-v3").unwrapped
            craft = _Craft(env, env.reset(seed=seed)[0])
            for action in actions:
                craft.fire(action)
        return self._keep(seed, actions, craft)

    def fire(self, seed: int, actions: bytes, action: int) -> tuple[float, bool]:
        """Take one more action; return the reward, and whether the episode ended."""
        craft = self.find(seed, actions)
        outcome = craft.fire(action)
        del self._craft[seed, actions]
        self._keep(seed, actions + bytes((action,)), craft)
        return outcome

    def _keep(self, seed: int, actions: bytes, craft: _Craft) -> _Craft:
        self._craft[seed, actions] = craft
        if len(self._craft) > KEPT:
            self._craft.popitem(last=False)
        return craft


@lru_cache(maxsize=1)
def hangar() -> Hangar:
    """Return the simulators of this process."""
    return Hangar()
