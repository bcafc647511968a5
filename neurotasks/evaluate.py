"""Evaluation: agents on a task, one for each seed, to raw metrics and scores.

The agent of seed s answers the test trials of seed s, so that the spread over seeds covers both the
agent's and the trials' chance, and two agents of one seed can be compared trial by trial.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurotasks.agent import Agent
from neurotasks.arrays import Array
from neurotasks.errors import NonCausalAgent
from neurotasks.metrics import per_trial
from neurotasks.results import StageResult
from neurotasks.rng import Draw
from neurotasks.scores import score
from neurotasks.task import Batch, ControlTask, Details, Episodes, StreamTask, Task, TrialTask
from neurotasks.worlds import check_action

__all__ = [
    "answered",
    "batch_metric",
    "evaluate",
    "figures",
    "measured",
    "tested",
    "trial_metric",
]

_CHUNK_BYTES = 64 << 20
_CHECKED = 4  # trials on which causality is checked
_TOLERANCE = 1e-3


def evaluate(
    task: Task,
    agents: Sequence[Agent],
    *,
    seeds: Sequence[int],
    stages: Sequence[str] | None = None,
    trials: int | None = None,
) -> dict[str, StageResult]:
    """Measure one agent for each seed in each stage.

    Args:
        task: The task.
        agents: One for each seed.
        seeds: The seeds; agent i answers the trials of seed i.
        stages: The stages; by default all public ones of the card.
        trials: How many trials (episodes); by default as many as the card says.

    Raises:
        InvalidAction: An agent answers in the wrong shape or type, or not finitely.
        NonCausalAgent: An agent's answer depends on later steps of the trial.
    """
    results = {}
    for stage in stages or task.card.evaluated:
        runs = [
            measured(task, agent, seed=seed, stage=stage, trials=trials)
            for agent, seed in zip(agents, seeds, strict=True)
        ]
        values = [value for value, _ in runs]
        raw, anchors = tuple(float(v.mean()) for v in values), task.card.stage(stage)
        results[stage] = StageResult(
            raw,
            tuple(score(value, anchors) for value in raw),
            figures([details for _, details in runs]),
            tuple(float(v.std() / np.sqrt(len(v))) for v in values),
        )
    return results


def figures(runs: Sequence[Details]) -> dict[str, list[dict[str, float]]]:
    """Return what the task tells of each run besides: by name, a list over seeds by part."""
    found: dict[str, list[dict[str, float]]] = {}
    for details in runs:
        for name, parts in details.items():
            found.setdefault(name, []).append(dict(parts))
    return found


def measured(
    task: Task, agent: Agent, *, seed: int, stage: str = "test", trials: int | None = None
) -> tuple[NDArray[np.float64], Details]:
    """Return the raw metric of each trial (episode), and what the task tells besides.

    Args:
        task: The task.
        agent: The agent.
        seed: The seed of the trials.
        stage: The stage.
        trials: How many; by default as many as the card says.
    """
    number = trials or task.card.stage(stage).trials
    if isinstance(task, ControlTask):
        start = _start(task, seed, stage, number)
        if type(task).details is ControlTask.details:
            return _play(task, agent, seed, stage, start), {}
        steps: list[tuple[Array, ...]] = []
        total = _play(task, agent, seed, stage, start, steps)
        columns = (np.stack(column, axis=1) for column in zip(*steps, strict=True))
        return total, task.details(Episodes(start, *columns))
    if not isinstance(task, TrialTask) or type(task).details is TrialTask.details:
        return trial_metric(task, agent, seed=seed, stage=stage, trials=trials), {}
    batch = task.sample(number, seed, stage)
    parts = [_answer(task, agent, batch[c.start : c.stop]) for c in _chunks(task, number)]
    values, answers = (np.concatenate(column) for column in zip(*parts, strict=True))
    return values, task.details(answers, batch)


def trial_metric(
    task: Task, agent: Agent, *, seed: int, stage: str = "test", trials: int | None = None
) -> NDArray[np.float64]:
    """Return the raw metric of each trial (for control: of each episode).

    Args:
        task: The task.
        agent: The agent.
        seed: The seed of the trials.
        stage: The stage.
        trials: How many; by default as many as the card says.
    """
    number = trials or task.card.stage(stage).trials
    if isinstance(task, ControlTask):
        return _play(task, agent, seed, stage, _start(task, seed, stage, number))
    if isinstance(task, StreamTask):
        return batch_metric(task, agent, task.test(seed, stage)[:trials])
    batches = (task.sample(chunk, seed, stage) for chunk in _chunks(task, number))
    return np.concatenate([_answer(task, agent, batch)[0] for batch in batches])


def batch_metric(task: StreamTask, agent: Agent, batch: Batch) -> NDArray[np.float64]:
    """Return the raw metric of each trial of a batch that was drawn before."""
    parts = [batch[chunk.start : chunk.stop] for chunk in _chunks(task, len(batch))]
    return np.concatenate([_answer(task, agent, part)[0] for part in parts])


def tested(task: TrialTask | StreamTask, seed: int, stage: str) -> Batch:
    """Return all trials of a seed in a stage of evaluation."""
    if isinstance(task, StreamTask):
        return task.test(seed, stage)
    return task.sample(task.card.stage(stage).trials, seed, stage)


def answered(
    task: TrialTask | StreamTask, answer: Array, *, seed: int, stage: str = "test"
) -> tuple[NDArray[np.float64], Details]:
    """Return the raw metric of each trial of answers that were given before, and the details.

    Args:
        task: The task.
        answer: To the trials of a seed, (B, T, *action).
        seed: The seed.
        stage: The stage.

    Raises:
        InvalidAction: The answers are of the wrong shape or type, or not finite.
    """
    batch = tested(task, seed, stage)
    checked = check_action(task.action_space, answer, tuple(batch.mask.shape))
    details = task.details(checked, batch) if isinstance(task, TrialTask) else {}
    return _valued(task, checked, batch), details


def _chunks(task: TrialTask | StreamTask, number: int) -> list[range]:
    """Return the trials that an agent answers at a time, within the memory for one answer."""
    step = task.card.steps * int(np.prod(task.observation_space.shape or ()))
    size = max(_CHUNK_BYTES // (8 * max(step, 1)), 1)
    return [range(start, min(start + size, number)) for start in range(0, number, size)]


def _answer(
    task: TrialTask | StreamTask, agent: Agent, batch: Batch
) -> tuple[NDArray[np.float64], Array]:
    """Return the raw metric of each trial, (B,), and the answers, (B, T, *action)."""
    action, _ = agent.act(batch.x, None)
    shape = tuple(batch.mask.shape)
    answer = check_action(task.action_space, action, shape)
    if shape[1] > 1:
        _check_causal(agent, batch.x[:_CHECKED], answer[:_CHECKED])
    return _valued(task, answer, batch), answer


def _valued(task: TrialTask | StreamTask, answer: Array, batch: Batch) -> NDArray[np.float64]:
    values = task.card.metric.values
    if values is None:
        raise TypeError(f"{task.card.id} is a trial task, so its metric needs `values`")
    return per_trial(values(answer, batch.y), batch.mask)


def _check_causal(agent: Agent, x: Array, answer: Array) -> None:
    """Answer a trial in two blocks: the answers must not change."""
    cut = x.shape[1] // 2
    early, state = agent.act(x[:, :cut], None)
    late, _ = agent.act(x[:, cut:], state)
    again = np.concatenate((early, late), axis=1)
    scale = max(1.0, float(np.max(np.abs(answer))))
    if not np.allclose(again, answer, rtol=_TOLERANCE, atol=_TOLERANCE * scale):
        raise NonCausalAgent(
            "the agent answers a whole trial otherwise than the same trial in two blocks: its "
            "answers depend on later steps, or it forgets its state; return the state from `act`"
        )


def _start(task: ControlTask[Any], seed: int, stage: str, episodes: int) -> Any:
    """Return the first states of the first episodes of a seed."""
    draw = Draw(task.card.label, stage, seed, 0, episodes)
    return task.initial(draw, **task.card.stage(stage).parameters)


def _play(
    task: ControlTask[Any],
    agent: Agent,
    seed: int,
    stage: str,
    state: Any,
    steps: list[tuple[Array, ...]] | None = None,
) -> NDArray[np.float64]:
    """Play all episodes side by side until the last one has ended.

    Args:
        task: The task.
        agent: The agent.
        seed: The seed of the episodes.
        stage: The stage.
        state: Their first states.
        steps: Gets what was seen, done and earned in each step, and which episodes still ran.

    Returns:
        The return of each episode, (B,).
    """
    parameters = task.card.stage(stage).parameters
    label, episodes = task.card.label, len(state[0])
    total = np.zeros(episodes)
    running = np.ones(episodes, dtype=np.bool_)
    memory = None
    for time in range(task.card.steps):
        seen = task.observe(state)
        action, memory = agent.act(seen[:, None], memory)
        answer = check_action(task.action_space, action, (episodes, 1))[:, 0]
        draw = Draw(label, stage, seed, 0, episodes, np.full(episodes, time))
        state, reward, terminated = task.step(state, answer, draw, **parameters)
        total += np.where(running, reward, 0.0)
        if steps is not None:
            steps.append((np.array(seen), answer, np.array(reward), running.copy()))
        running &= ~terminated
        if not running.any():
            break
    return total
