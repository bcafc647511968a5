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
from agents.rows import ACTORS, ALL, CRITICS, Rows
from neurotasks.rng import Draw
from neurotasks.task import ControlTask, Task
from neurotasks.worlds import open_worlds

__all__ = ["LABEL", "Past", "Players", "Rollout"]

LABEL = "PPO"
"""Under which the counter-based generator knows what learners choose at random."""

_NEVER = 2**62  # a time limit that no trial reaches


class Rollout(NamedTuple):
    """Sequences of T steps that S seeds learn from, U of each seed; actors and critics see them.

    Attributes:
        x: What was seen, (2 S, U, T, features).
        keep: 0 where a step begins an episode, else 1, (2 S, U, T); of no use without memory.
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
    choice: Tensor
    output: Tensor
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
        kind = torch.int64 if answers.readout.classes else torch.float32
        self.chosen = torch.zeros(len(seeds), worlds, *shape, dtype=kind, device=self.device)
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
            choice = self._choose(output, noise[t])
            past.output[t], past.choice[t] = output, choice
            reward, ended, cut = self._act(choice)
            past.reward[t], past.ended[t] = reward, ended
            if cut.any():
                last = self._standardised(self._everything())
                values, _ = self.rows.step(last, state[CRITICS], CRITICS)
                past.later[t] = np.where(cut, discount * _host(values[..., 0]), 0.0)
            self.state = state
            if ended.any():
                self._begin(ended, past.keep[t + 1])
            self.seen = self._everything()
        self._answer(past, steps)
        return self._completed(past)

    def _answer(self, past: Past, t: int) -> tuple[Tensor, Tensor]:
        """Return the outputs of the actors now, (S, N, O), and the next state of all."""
        past.seen[t], x = self.seen, self._standardised(self.seen)
        if not self.rows.memory:
            return self.rows.step(x, self.state, ACTORS)
        output, state = self.rows.step(x.repeat_interleave(2, dim=0), self.state, ALL)
        past.value[t] = output[CRITICS, ..., 0]
        return output[ACTORS], state

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

    def _noise(self, steps: int, number: int) -> Tensor:
        """Return what makes the choices random, (T, S, N, O)."""
        draw = Draw(LABEL, "train", self.seeds[self.active], number)
        shape = (steps, self.N, self.answers.readout.size)
        if not self.answers.readout.classes:
            return torch.from_numpy(draw.normal("action", shape)).to(self.device).transpose(0, 1)
        uniform = torch.from_numpy(draw.uniform("action", shape)).to(self.device)
        return uniform.log_().neg_().log_().neg_().float().transpose(0, 1)  # Gumbel's distribution

    def _choose(self, output: Tensor, noise: Tensor) -> Tensor:
        if self.answers.readout.classes:
            return (output + noise).argmax(dim=-1)
        return output + self.rows.spread[ACTORS, None].exp() * noise

    def _act(self, choice: Tensor) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Act in all worlds; return rewards, ends, and which episodes were cut, (S, N) each."""
        if not self.whole:
            self.chosen[self.active] = choice
            choice = self.chosen
        outcome = self.worlds.step(_host(self.answers.action(choice.flatten(0, 1))))
        shape = len(self.seeds), self.N
        reward, terminated = outcome.reward.reshape(shape), outcome.terminated.reshape(shape)
        ended = terminated | (self.worlds.time >= self.limit).reshape(shape)
        self.total += reward
        cut = ended & ~terminated
        if self.whole:
            return reward, ended, cut
        idle = ended.copy()
        idle[self.active] = False
        if idle.any():
            self.worlds.start(np.flatnonzero(idle))
        return reward[self.active], ended[self.active], cut[self.active]

    def _begin(self, ended: NDArray[np.bool_], keep: Tensor) -> None:
        """Begin the next episodes, and forget what belongs to the last ones."""
        seeds, worlds = ended.nonzero()
        place = self.active[seeds]
        number, total = len(self.seeds), self.total[place, worlds]
        self.returned += np.stack(
            [np.bincount(place, total, number), np.bincount(place, minlength=number)], axis=1
        )
        self.total[place, worlds] = 0.0
        self.worlds.start(place * self.N + worlds)
        if self.rows.memory:
            going = torch.from_numpy(~ended).to(self.device)
            keep.copy_(going)
            self.state = self.state * going.repeat_interleave(2, dim=0)[..., None]

    def _room(self, steps: int) -> Past:
        S, N, new = len(self.active), self.N, self.rows.weights.new_empty
        shape, chosen = (steps, S, N), self.chosen
        return Past(
            new(steps + 1, S, N, self.seen.shape[-1]),
            torch.ones(steps + 1, S, N, device=self.device),
            chosen.new_empty(*shape, *chosen.shape[2:]),
            new(*shape, self.answers.readout.size),
            new(steps + 1, S, N),
            np.empty(shape),
            np.zeros(shape),
            np.empty(shape, dtype=np.bool_),
            self.state,
        )


def _host(tensor: Tensor) -> NDArray[Any]:
    return tensor.detach().cpu().numpy()
