"""Rollouts: the worlds of all seeds play together, and what they live through is kept.

World n of training seed s has seed s N + n, so that no two training seeds share a world. What a
seed chooses at random comes from the counter-based generator, by seed and number of the rollout:
it is the same whatever other seeds play beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.advantages import Running
from agents.policies import Answers
from agents.rows import ACTORS, ALL, CRITICS, Rows, twice
from neurotasks.rng import Draw
from neurotasks.task import ControlTask, Task
from neurotasks.worlds import open_worlds

__all__ = ["LABEL", "Past", "Players", "Rollout"]

LABEL = "PPO"
"""Under which the counter-based generator knows what learners choose at random."""

_NEVER = 2**62  # a time limit that no trial reaches


class Rollout(NamedTuple):
    """Sequences of T steps that S seeds learn from, U of each seed.

    Attributes:
        x: What was seen, (S, U, T, features).
        keep: 0 where a step begins an episode, else 1, (S, U, T); of no use without memory.
        choice: Classes (S, U, T), or points (S, U, T, A).
        chance: Their log-probabilities then, (S, U, T).
        advantage: How much better a step was than its critic expected, (S, U, T).
        target: What the critic should have said, (S, U, T).
        state: Memories of actors and critics before the first step, (2 S, U, memory).
    """

    x: Tensor
    keep: Tensor
    choice: Tensor
    chance: Tensor
    advantage: Tensor
    target: Tensor
    state: Tensor

    def taken(self, order: Tensor) -> Rollout:
        """Return the sequences in a new order, (S, U)."""
        seeds, units = order.shape
        place = torch.arange(0, 2 * seeds * units, units, device=order.device)[:, None]
        rows = {
            seeds: (order + place[:seeds]).flatten(),
            2 * seeds: (twice(order) + place).flatten(),
        }
        return Rollout(*(v.flatten(0, 1).index_select(0, rows[len(v)]).view_as(v) for v in self))


@dataclass(frozen=True)
class Past:
    """What was lived through and is not judged yet, time first.

    Attributes:
        seen: Before each step and after the last, (T + 1, S, N, features).
        keep: 0 where a step begins an episode, else 1, (T + 1, S, N).
        choice: Classes (T, S, N), or points (T, S, N, A).
        output: Of the actors, (T, S, N, O).
        value: Of the critics, before each step and after the last, (T + 1, S, N).
        reward: (T, S, N).
        later: What an episode that the time limit cut would still have brought, (T, S, N).
        ended: Whether a step was the last of its episode, (T, S, N).
        state: Memories of actors and critics before the first step, (2 S, N, memory).
    """

    seen: Tensor
    keep: Tensor
    choice: NDArray[Any]
    output: NDArray[np.float32]
    value: Tensor
    reward: NDArray[np.float64]
    later: NDArray[np.float64]
    ended: NDArray[np.bool_]
    state: Tensor


class Players:
    """The worlds of all seeds, and who acts in them.

    Args:
        task: A control task; or a trial task, each trial of which is a game.
        seeds: The seeds.
        worlds: How many worlds each seed has, N.
        rows: Actors and critics.
        answers: What the actions are to a policy.
        standardised: Whether observations of floats are standardised, by what a seed has seen.
    """

    def __init__(
        self,
        task: Task,
        seeds: Sequence[int],
        worlds: int,
        rows: Rows,
        answers: Answers,
        *,
        standardised: bool,
    ) -> None:
        self.rows, self.answers, self.N = rows, answers, worlds
        self.device, self.encoder = rows.weights.device, rows.networks[0].encoder
        self.seeds = np.array(seeds, dtype=np.int64)
        self.active = np.arange(len(seeds))
        number = len(seeds) * worlds
        self.limit = task.card.steps if isinstance(task, ControlTask) else _NEVER
        self.worlds = open_worlds(task, number, "train")
        everyone = np.arange(number)
        self.worlds.seed(everyone, [s * worlds + n for s in seeds for n in range(worlds)])
        self.worlds.start(everyone)
        shape = () if answers.readout.classes else (answers.readout.size,)
        kind = np.int64 if answers.readout.classes else np.float32
        self.chosen = np.zeros((len(seeds), worlds, *shape), dtype=kind)
        self.seen = self._everything()
        features = self.seen.shape[-1]
        floats = standardised and self.encoder.floats
        self.running = Running(len(seeds), features, self.device) if floats else None
        self.state = rows.weights.new_zeros(2 * len(seeds), worlds, rows.memory)
        self.total = np.zeros((len(seeds), worlds))  # return of the running episodes
        self.returned = np.zeros((len(seeds), 2))  # of the ended ones: sum and number

    def play(self, steps: int, number: int, discount: float) -> Past:
        """Play some steps in all worlds.

        Args:
            steps: How many, T.
            number: Of the rollout, from 0; it sets the random choices.
            discount: For what would have come after a time limit.
        """
        past, noise = self._room(steps), self._noise(steps, number)
        for t in range(steps):
            output, state = self._answer(past, t)
            past.output[t] = output
            choice = output + noise[t]
            past.choice[t] = choice.argmax(axis=-1) if self.answers.readout.classes else choice
            past.reward[t], past.ended[t], cut, over = self._act(past.choice[t])
            if cut.any():
                last = self._standardised(self._everything())
                values, _ = self.rows.step(last, state[CRITICS], CRITICS)
                past.later[t] = np.where(cut, discount * _host(values[..., 0]), 0.0)
            self.state = state
            if len(over):
                self._begin(over, past.ended[t], past.keep[t + 1])
            self.seen = self._everything()
        self._answer(past, steps)
        self._count(past.reward, past.ended)
        return self._completed(past)

    def _answer(self, past: Past, t: int) -> tuple[NDArray[np.float32], Tensor]:
        """Return the outputs of the actors now, (S, N, O), and the next state of all."""
        past.seen[t], x = self.seen, self._standardised(self.seen)
        if not self.rows.memory:
            output, state = self.rows.step(x, self.state, ACTORS)
            return _host(output), state
        output, state = self.rows.step(twice(x), self.state, ALL)
        past.value[t] = output[CRITICS, ..., 0]
        return _host(output[ACTORS]), state

    def _count(self, reward: NDArray[np.float64], ended: NDArray[np.bool_]) -> None:
        """Add up the returns of the episodes that ended."""
        running = ~np.logical_or.accumulate(ended[::-1])[::-1]  # steps of episodes that go on
        before = np.where(running[0], self.total[self.active], 0.0)
        total = self.total[self.active] + reward.sum(axis=0)
        self.total[self.active] = before + np.where(running, reward, 0.0).sum(axis=0)
        earned = (total - self.total[self.active]).sum(axis=1)
        self.returned[self.active] += np.stack([earned, ended.sum(axis=(0, 2))], axis=1)

    def _completed(self, past: Past) -> Past:
        """Ask critics without memory, and bring observations to scale."""
        raw = past.seen
        x = self._standardised(raw)
        if not self.rows.memory:
            steps = x.movedim(0, 1).flatten(1, 2)  # (S, (T + 1) N, features)
            values, _ = self.rows.step(steps, self.state, CRITICS)
            past.value.copy_(values[..., 0].view(x.shape[1], -1, self.N).movedim(1, 0))
        if self.running is not None:
            self.running.add(raw[:-1].movedim(0, 2).flatten(1, 2))
        return replace(past, seen=x)

    def returns(self) -> list[float]:
        """Return each seed's mean return of the episodes that ended since; NaN where none did."""
        total, count = self.returned[self.active].T
        found = np.where(count > 0, total / np.maximum(count, 1), np.nan)
        self.returned[:] = 0.0
        return [float(value) for value in found]

    def narrow(self, rows: Rows, places: Sequence[int]) -> None:
        """Go on with some seeds alone; the worlds of the others idle."""
        self.rows, self.active = rows, self.active[list(places)]
        self.state = self.state[[row for place in places for row in (2 * place, 2 * place + 1)]]
        if self.running is not None:
            self.running.narrow(places)
        self.seen = self._everything()

    @property
    def whole(self) -> bool:
        """Whether every seed still learns."""
        return len(self.active) == len(self.seeds)

    def _everything(self) -> Tensor:
        """Return what the active seeds see now, encoded, (S, N, features)."""
        observed = self.worlds.observe()
        observed = observed.reshape(len(self.seeds), self.N, *observed.shape[1:])
        if not self.whole:
            observed = observed[self.active]
        seen = torch.from_numpy(np.ascontiguousarray(observed)).to(self.device)
        return (seen.float() if self.encoder.floats else self.encoder(seen)).flatten(2)

    def _standardised(self, seen: Tensor) -> Tensor:
        """Standardise observations (..., S, N, features), where they are floats."""
        if self.running is None:
            return seen
        mean, spread = self.running.mean.float(), self.running.spread.float()
        return (seen - mean[:, None]) / spread[:, None]

    def _noise(self, steps: int, number: int) -> NDArray[np.float32]:
        """Return what makes the choices random, added to the outputs, (T, S, N, O)."""
        draw = Draw(LABEL, "train", self.seeds[self.active], number)
        shape = (steps, self.N, self.answers.readout.size)
        if self.answers.readout.classes:  # Gumbel's distribution: the highest sum is chosen
            noise = torch.from_numpy(draw.uniform("action", shape))
            noise = noise.log_().neg_().log_().neg_().float()
        else:
            spread = self.rows.spread[ACTORS].exp().cpu()
            noise = torch.from_numpy(draw.normal("action", shape)) * spread[:, None, None]
        return noise.transpose(0, 1).contiguous().numpy()

    def _act(self, choice: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """Act in all worlds.

        Returns:
            Rewards, ends, and which episodes were cut, (S, N) each; and the worlds that have ended,
            those that idle among them.
        """
        self.chosen[self.active] = choice
        action = self.answers.action(torch.from_numpy(self.chosen).flatten(0, 1))
        reward, terminated, _ = self.worlds.step(_host(action))
        ended = terminated | (self.worlds.time >= self.limit)
        parts = (v.reshape(len(self.seeds), self.N) for v in (reward, ended, ended & ~terminated))
        return *(v[self.active] for v in parts), ended.nonzero()[0]

    def _begin(self, over: NDArray[np.int64], ended: NDArray[np.bool_], keep: Tensor) -> None:
        """Begin the next episodes, and forget what belongs to the last ones."""
        self.worlds.start(over)
        if self.rows.memory:
            going = torch.from_numpy(~ended).to(self.device)
            keep.copy_(going)
            self.state = self.state * twice(going)[..., None]

    def _room(self, steps: int) -> Past:
        S, N, new = len(self.active), self.N, self.rows.weights.new_empty
        shape, chosen = (steps, S, N), self.chosen
        return Past(
            new(steps + 1, S, N, self.seen.shape[-1]),
            torch.ones(steps + 1, S, N, device=self.device),
            np.empty((*shape, *chosen.shape[2:]), chosen.dtype),
            np.empty((*shape, self.answers.readout.size), np.float32),
            new(steps + 1, S, N),
            np.empty(shape),
            np.zeros(shape),
            np.empty(shape, dtype=np.bool_),
            self.state,
        )


def _host(tensor: Tensor) -> NDArray[Any]:
    return tensor.detach().cpu().numpy()
