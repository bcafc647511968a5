"""Proximal policy optimisation (Schulman et al., 2017), all seeds and all worlds in one batch.

Details after Huang et al. (2022), "The 37 implementation details of proximal policy optimization":
orthogonal weights, generalised advantages that are normalised in each batch, a clipped gradient, a
learning rate that falls in a line. An episode that the time limit cuts is worth what the critic
still expects. The gradient is written by hand, as a step of networks this small is some
microseconds of arithmetic beside which automatic differentiation would cost several times as much.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agents.ppo_loop import PPOSettings, PPOTraining
from agents.training import TorchAgent, TrainingDiverged
from neurotasks.agent import Budget, Log, Watcher
from neurotasks.task import Task

__all__ = ["PPOLearner"]


@dataclass(frozen=True, kw_only=True)
class PPOLearner(PPOSettings):
    """Trains an actor-critic for each seed, all of them side by side."""

    def learn(
        self, task: Task, *, seeds: Sequence[int], budget: Budget, log: Log
    ) -> list[TorchAgent]:
        """Learn a control task, or a trial task as games of one trial, from scratch.

        Afterwards the log gets, seed after seed and each from 0 steps up, "return", the mean return
        of the training episodes that have ended since the last report, and "cpu_seconds", a seed's
        part of the processor time so far. A log that looks on hears the mean return of all seeds.

        Args:
            task: The task.
            seeds: One for each agent.
            budget: Environment steps of each seed, in whole rollouts, but at least one.
            log: Where progress is reported.

        Raises:
            TypeError: No policy fits the task's spaces.
            TrainingDiverged: Weights of a seed became infinite or NaN. All others have been
                trained; the error holds their agents.
        """
        return self.run(PPOTraining(task, seeds, budget.samples, self), task, log)

    def run(self, training: PPOTraining, task: Task, log: Log) -> list[TorchAgent]:
        """Go through a training and return its agents, as `learn` does."""
        while not training.done:
            returns = [value for value in training.iterate() if not math.isnan(value)]
            if isinstance(log, Watcher) and returns:
                log.watch(training.shown, sum(returns) / len(returns))
        agents, failures = {}, {}
        for place, course in enumerate(training.courses):
            for samples, scalars in course.curve:
                log(samples, **scalars)
            if course.failure:
                failures[course.seed] = course.failure
            else:
                agents[course.seed] = training.agent(place)
        if failures:
            raise TrainingDiverged(self._cure(task, failures), agents, failures)
        return [agents[course.seed] for course in training.courses]

    def _cure(self, task: Task, failures: Mapping[int, str]) -> str:
        """Return the message about seeds that failed."""
        what = "; ".join(f"seed {seed}: {failure}" for seed, failure in failures.items())
        return (
            f"training on {task.card.id} failed, {what}: lower the learning rate "
            f"(now {self.learning_rate:g}), or look for NaN in the observations and rewards"
        )
