"""The loop of proximal policy optimisation: play, judge, learn, for all seeds at once.

`agents.ppo` says what it is and holds the learner.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from agents.advantages import Running, judge
from agents.devices import choose_device, one_thread
from agents.optimiser import RowAdamW
from agents.policies import POLICIES, Answers, Policy, pair
from agents.rollouts import LABEL, Players, Rollout
from agents.rows import ACTORS, CRITICS, rows_of
from agents.surrogate import log_probability, slopes
from agents.training import TorchAgent
from neurotasks.rng import Draw
from neurotasks.task import Task

__all__ = ["Course", "PPOSettings", "PPOTraining"]

_EPSILON = 1e-5  # of Adam


@dataclass(frozen=True, kw_only=True)
class PPOSettings:
    """How an actor-critic is trained.

    Attributes:
        network: "mlp", or "gru" for tasks that need memory.
        width: Units of a hidden layer.
        worlds: How many worlds each seed has.
        steps: Steps in each world between two updates.
        batch: Steps of each seed in one step of the optimiser; of a network with memory rounded to
            whole rollouts of some worlds.
        epochs: How often an update goes through what was lived.
        learning_rate: At the beginning.
        annealed: Whether the learning rate falls in a line to 0 at the end of the budget.
        clip: How far the probability of an action may move in an update before its gradient ends.
        clip_annealed: Whether this, too, falls in a line to 0.
        discount: Of a step.
        trace: Weight of later surprises in the advantage, the lambda of Schulman et al. (2016).
        entropy: Weight of the policy's entropy in the objective.
        value: Weight of the critic's squared error.
        norm: Largest norm of the gradient of one seed.
        standardised: Whether observations are brought to mean 0 and spread 1, and the spread of
            returns to 1, by what a seed has lived through so far.
        device: "auto", "cpu" or "cuda".
    """

    network: str = "mlp"
    width: int = 64
    worlds: int = 16
    steps: int = 128
    batch: int = 256
    epochs: int = 10
    learning_rate: float = 1e-3
    annealed: bool = True
    clip: float = 0.2
    clip_annealed: bool = False
    discount: float = 0.98
    trace: float = 0.8
    entropy: float = 0.0
    value: float = 0.5
    norm: float = 0.5
    standardised: bool = False
    device: str = "auto"

    def __post_init__(self) -> None:
        """Refuse what does not exist."""
        if self.network not in POLICIES:
            known = ", ".join(POLICIES)
            raise ValueError(f"there is no policy {self.network!r}; there are {known}")


@dataclass
class Course:
    """How one seed fares.

    Attributes:
        seed: The seed.
        samples: Environment steps so far.
        policy: Its actor, once it has ended.
        failure: Why it failed; empty where it did not.
        curve: After some steps, named numbers.
    """

    seed: int
    samples: int = 0
    policy: Policy | None = None
    failure: str = ""
    curve: list[tuple[int, dict[str, float]]] = field(default_factory=list)


class PPOTraining:
    """The loop, one rollout and one update at a time.

    Args:
        task: A control task; or a trial task, each trial of which is a game.
        seeds: The seeds.
        samples: Environment steps of each seed, rounded down to whole rollouts, but at least one.
        settings: How.

    Attributes:
        courses: How each seed fares.
        active: Which seeds are still being trained, by their place in `courses`.
        shown: Environment steps of each of them so far.
    """

    def __init__(
        self, task: Task, seeds: Sequence[int], samples: int, settings: PPOSettings
    ) -> None:
        self.settings, device = settings, choose_device(settings.device)
        self.answers = Answers.to(task.action_space)
        space = task.observation_space
        networks = [
            network.to(device)
            for seed in seeds
            for network in pair(settings.network, space, self.answers, settings.width, seed)
        ]
        self.rows = rows_of(networks)
        self.optimiser = RowAdamW(
            self.rows.gradient, weight_decay=0.0, clip=settings.norm, epsilon=_EPSILON
        )
        told = {"standardised": settings.standardised}
        self.players = Players(task, seeds, settings.worlds, self.rows, self.answers, **told)
        self.steps = min(settings.steps, max(samples // settings.worlds, 1))
        self.rollout = self.steps * settings.worlds
        self.updates = max(samples // self.rollout, 1)
        self.earned = Running(len(seeds), 1, torch.device("cpu"))
        self.owed = np.zeros((len(seeds), settings.worlds))  # discounted rewards of the episode
        self.courses = [Course(seed) for seed in seeds]
        self.active = list(range(len(seeds)))
        self.number, self.shown, self.seconds = 0, 0, 0.0

    @property
    def done(self) -> bool:
        """Whether the budget is used up, or no seed is left."""
        return self.number >= self.updates or not self.active

    @torch.no_grad()
    def iterate(self) -> list[float]:
        """Play and learn once.

        Returns:
            For each seed that was active, the mean return of the episodes that ended, or NaN.
        """
        begin, beside = time.process_time(), len(self.active)
        left = 1.0 - self.number / self.updates
        with one_thread():
            lived = self._live()
            for epoch in self._epochs(lived):
                self._learn(epoch, left)
        self.number, self.shown = self.number + 1, self.shown + self.rollout
        returns = self.players.returns()
        self.seconds += (time.process_time() - begin) / beside
        for place, value in zip(self.active, returns, strict=True):
            self.courses[place].samples = self.shown
            if not math.isnan(value):
                scalars = {"return": value, "cpu_seconds": self.seconds}
                self.courses[place].curve.append((self.shown, scalars))
        self._drop_failed()
        return returns

    def agent(self, place: int) -> TorchAgent:
        """Return the present agent of a seed, by its place in `courses`."""
        course = self.courses[place]
        if place in self.active:
            row = self.active.index(place)
            course.policy = self._fitted(self.rows.policy(row), row)
        if course.policy is None:
            raise ValueError(f"seed {course.seed} failed: {course.failure}")
        return TorchAgent(course.policy, self.answers.readout, course.samples)

    def stop(self, places: Sequence[int]) -> None:
        """End the training of some seeds, by their place in `courses`, and go on with the rest."""
        for place in places:
            self.agent(place)
        self._narrow([row for row, place in enumerate(self.active) if place not in places])

    def _live(self) -> Rollout:
        """Play a rollout and judge it."""
        chosen = self.settings
        past = self.players.play(self.steps, self.number, chosen.discount)
        value = past.value.double().cpu().numpy()
        reward = self._scaled(past.reward, past.ended) + past.later
        advantage = judge(reward, value, past.ended, chosen.discount, chosen.trace)
        judged = (torch.from_numpy(v).float() for v in (advantage, advantage + value[:-1]))
        heard = (torch.from_numpy(v) for v in (past.output, past.choice))
        parts = (past.seen[:-1], past.keep[:-1], *heard, *judged)
        x, keep, output, choice, gain, target = (
            v.to(past.seen.device).movedim(0, 2) for v in parts
        )
        chance = log_probability(output, self.rows.spread[ACTORS], choice)
        lived = Rollout(x, keep, choice, chance, gain, target, past.state)
        return lived if self.rows.memory else self._steps(lived)

    def _steps(self, lived: Rollout) -> Rollout:
        """Take sequences apart: without memory each step is one by itself."""
        S, N, T = lived.keep.shape
        *parts, state = lived
        steps = [v.reshape(S, N * T, 1, *v.shape[3:]) for v in parts]
        return Rollout._make([*steps, state.new_empty(2 * S, N * T, 0)])

    def _scaled(self, reward: NDArray[np.float64], ended: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Divide rewards by the spread of the discounted returns so far."""
        if not self.settings.standardised:
            return reward
        owed, sums = self.owed[self.active], np.empty_like(reward)
        for t in range(len(reward)):
            owed = sums[t] = owed * self.settings.discount + reward[t]
            owed = np.where(ended[t], 0.0, owed)
        self.owed[self.active] = owed
        self.earned.add(torch.from_numpy(sums).movedim(0, 2).flatten(1)[..., None])
        return reward / self.earned.spread.numpy()[None]

    def _epochs(self, lived: Rollout) -> Iterator[list[Rollout]]:
        """Go through a rollout again and again, each time in other batches."""
        chosen, (_, units, length) = self.settings, lived.target.shape
        size = max(round(chosen.batch / length), 1)
        seeds = [self.courses[place].seed for place in self.active]
        if size < units:
            draw = Draw(LABEL, "train", seeds, self.number * chosen.epochs, chosen.epochs)
            order = torch.from_numpy(draw.permutation("order", units)).to(lived.x.device)
            orders = order.view(len(seeds), chosen.epochs, units)
        for epoch in range(chosen.epochs):
            mixed = lived.taken(orders[:, epoch]) if size < units else lived
            parts = (torch.split(value, size, dim=1) for value in mixed)
            yield [Rollout._make(part) for part in zip(*parts, strict=True)]

    def _learn(self, batches: Sequence[Rollout], left: float) -> None:
        """Go through a rollout once, batch by batch."""
        chosen, weights = self.settings, self.rows.weights.view_as(self.rows.gradient)
        rate = chosen.learning_rate * (left if chosen.annealed else 1.0)
        clip = chosen.clip * (left if chosen.clip_annealed else 1.0)
        for batch in batches:
            self._improve(batch, clip)
            self.optimiser.step(weights, self.rows.gradient, rate)

    def _improve(self, part: Rollout, clip: float) -> None:
        """Set the gradient of one batch."""
        output = self.rows.forward(part.x, part.keep, part.state)
        change, spread = torch.zeros_like(output), torch.zeros_like(self.rows.spread)
        now = output[ACTORS], self.rows.spread[ACTORS]
        change[ACTORS], spread[ACTORS] = slopes(*now, part, clip, self.settings.entropy)
        error = output[CRITICS, ..., 0] - part.target
        change[CRITICS, ..., 0] = error.mul_(2.0 * self.settings.value / error[0].numel())
        self.rows.backward(change, spread)

    def _drop_failed(self) -> None:
        whole = self.rows.weights.view_as(self.rows.gradient).isfinite().all(dim=1).tolist()
        for place, good in zip(self.active, whole, strict=True):
            if not good:
                after = f"weights were no longer numbers after {self.shown} steps"
                self.courses[place].failure = after
        self._narrow([row for row, good in enumerate(whole) if good])

    def _narrow(self, rows: Sequence[int]) -> None:
        """Go on with some of the active seeds alone."""
        if len(rows) == len(self.active):
            return
        self.active = [self.active[row] for row in rows]
        if self.active:
            self.rows = self.rows.narrowed(rows)
            self.optimiser.narrow(rows)
            self.players.narrow(self.rows, rows)
            self.earned.narrow(rows)

    def _fitted(self, policy: Policy, row: int) -> Policy:
        """Hand the statistics of what a seed has seen to its policy."""
        running, encoder = self.players.running, policy.encoder
        if running is not None and encoder.floats:
            encoder.mean.copy_(running.mean[row].view(encoder.shape))
            encoder.scale.copy_(running.spread[row].view(encoder.shape))
        return policy
