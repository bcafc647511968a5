"""The contract that every task keeps, as functions that anyone can run on a task of their own.

    import my_tasks, neurotasks.testing
    neurotasks.testing.check_task("MyTask-v0")

Each function raises `BrokenContract`, an AssertionError that says what differs, or returns None.
"""

from __future__ import annotations

import hashlib
import random
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

from neurotasks.agent import Agent, seeded
from neurotasks.arrays import Array, Namespace
from neurotasks.continual import by_group
from neurotasks.errors import NeurotasksError, NoIdealObserver
from neurotasks.evaluate import trial_metric
from neurotasks.metrics import per_trial
from neurotasks.registry import load
from neurotasks.rng import Draw
from neurotasks.task import ControlTask, StreamTask, Task, TrialTask
from neurotasks.worlds import check_action

__all__ = [
    "BrokenContract",
    "check_anchors",
    "check_backends",
    "check_faces",
    "check_generator",
    "check_gymnasium",
    "check_spaces",
    "check_task",
    "check_vector",
    "golden",
    "poisoned_generators",
]

_SEED = 11
_TRIALS = 5
_STEPS = 40  # of a control task that are compared
_SIGMA = 4.5  # an interval this wide misses by chance once in 150,000 draws


class BrokenContract(NeurotasksError, AssertionError):
    """A task does not keep the contract."""


def check_task(task_id: str) -> None:
    """Run the whole contract on a task, on NumPy arrays."""
    for check in (
        check_gymnasium,
        check_spaces,
        check_generator,
        check_faces,
        check_vector,
        check_anchors,
    ):
        check(task_id)


def _require(condition: object, message: str) -> None:
    if not condition:
        raise BrokenContract(message)


def _same(left: Any, right: Any, what: str) -> None:
    """Demand equality up to the rounding of other batch sizes and devices."""
    left, right = np.asarray(left), np.asarray(right)
    _require(left.shape == right.shape, f"{what}: shapes {left.shape} and {right.shape} differ")
    close = np.allclose(left, right, rtol=1e-4, atol=1e-4)
    _require(close, f"{what}: values differ, for example {left.flat[0]} and {right.flat[0]}")


def _differ(left: Any, right: Any, what: str) -> None:
    left, right = np.asarray(left), np.asarray(right)
    _require(left.shape != right.shape or not np.array_equal(left, right), f"{what} do not differ")


def _actions(space: gym.Space[Any], count: int) -> list[Any]:
    """Return actions that do not depend on what is shown."""
    space.seed(_SEED)
    return [space.sample() for _ in range(count)]


# -- Gymnasium ---------------------------------------------------------------------------------


def check_gymnasium(task_id: str) -> None:
    """Run Gymnasium's own checker on the single face."""
    env = gym.make(load(task_id).card.id)
    with warnings.catch_warnings():
        # Advice for policies with a tanh at their end; log-probabilities have a scale of their own.
        warnings.filterwarnings("ignore", message=".*symmetric and normalized space")
        check_env(env.unwrapped, skip_render_check=True)
    env.close()


def check_spaces(task_id: str) -> None:
    """Every observation and every kind of answer lies in its space, in every stage."""
    task = load(task_id)
    for stage in ("train", *task.card.evaluated):
        observation, action = _glimpse(task, stage)
        for row in observation:
            inside = task.observation_space.contains(row)
            _require(inside, f"{task_id}, {stage}: an observation lies outside its space: {row}")
        check_action(task.action_space, action, tuple(action.shape[:2]))
        for answer in action.reshape((-1, *(task.action_space.shape or ())))[:_TRIALS]:
            inside = task.action_space.contains(_as_action(task, answer))
            _require(inside, f"{task_id}, {stage}: an answer lies outside its space: {answer}")


def _as_action(task: Task, answer: Array) -> Any:
    if isinstance(task.action_space, gym.spaces.Discrete):
        return np.int64(answer)
    return np.asarray(answer, dtype=task.action_space.dtype)


def _glimpse(task: Task, stage: str) -> tuple[Array, Array]:
    """Return observations (M, *observation) and the trivial agent's answers to some of them."""
    if isinstance(task, ControlTask):
        draw = Draw(task.card.label, stage, _SEED, 0, _TRIALS)
        seen = task.observe(task.initial(draw, **task.card.stage(stage).parameters))[:, None]
    else:
        seen = task.sample(_TRIALS, _SEED, stage).x
    action, _ = task.trivial(stage if stage in task.card.evaluated else "test").act(seen, None)
    return seen.reshape((-1, *seen.shape[2:])), np.asarray(action)


# -- the generator -----------------------------------------------------------------------------


def check_generator(task_id: str) -> None:
    """Trial k of seed s is one thing; other seeds and the shifted stage differ; no global state."""
    task = load(task_id)
    with poisoned_generators():
        shown = _play(task, _SEED, "train")
    _same(shown, _play(task, _SEED, "train"), "the same seed twice")
    _differ(shown, _play(task, _SEED + 1, "train"), "trials of two seeds")
    if "shift" in task.card.stages:
        shifted = _play(task, _SEED, "shift")
        _differ(_play(task, _SEED, "test"), shifted, "stages test and shift")
    if isinstance(task, ControlTask):
        return
    whole = task.sample(_TRIALS + 3, _SEED, "train")
    part = task.sample(range(2, _TRIALS), _SEED, "train")
    for name in ("x", "y", "mask"):
        _same(getattr(whole, name)[2:_TRIALS], getattr(part, name), f"{name} of a range of trials")
    for name, column in part.trials.items():
        _same(whole.trials[name][2:_TRIALS], column, f"trials[{name!r}] of a range of trials")


def _play(task: Task, seed: int, stage: str) -> Array:
    """Return what some worlds show under fixed actions; of a stream the last experience.

    The first experience may be the same for all seeds.
    """
    if isinstance(task, StreamTask) and stage == "train":
        return task.experience(task.experiences - 1, seed).x[:_TRIALS]
    if not isinstance(task, ControlTask):
        return task.sample(_TRIALS, seed, stage).x
    return _rollout(task, seed, stage, _actions(task.action_space, _STEPS))[0]


def _rollout(
    task: ControlTask[Any], seed: int, stage: str, actions: Sequence[Any], xp: Any = np
) -> tuple[Array, Array]:
    """Return observations and rewards of _TRIALS worlds, through the pure functions."""
    parameters = task.card.stage(stage).parameters
    label = task.card.label
    state = task.initial(Draw(label, stage, seed, 0, _TRIALS, None, xp), **parameters)
    seen, paid = [task.observe(state)], []
    for time, action in enumerate(actions):
        draw = Draw(label, stage, seed, 0, _TRIALS, xp.full((_TRIALS,), time), xp)
        answers = xp.asarray(np.repeat(np.asarray(action)[None], _TRIALS, axis=0))
        state, reward, _ = task.step(state, answers, draw, **parameters)
        seen.append(task.observe(state))
        paid.append(reward)
    return xp.stack(seen), xp.stack(paid)


def check_backends(task_id: str, xp: Namespace) -> None:
    """The same trials on NumPy and on another array library.

    Args:
        task_id: Id of a generated trial or control task.
        xp: The other library's array API namespace, such as `array_api_compat.torch`.
    """
    task = load(task_id)
    if isinstance(task, ControlTask):
        actions = _actions(task.action_space, _STEPS)
        left = _rollout(task, _SEED, "test", actions)
        right = _rollout(task, _SEED, "test", actions, xp)
        for one, other, what in zip(left, right, ("observations", "rewards"), strict=True):
            _same(one, other, f"{what} on two array libraries")
    elif isinstance(task, TrialTask):
        one = task.sample(range(3, 3 + _TRIALS), _SEED, "test")
        other = task.sample(range(3, 3 + _TRIALS), _SEED, "test", xp=xp)
        for name in ("x", "y", "mask"):
            _same(getattr(one, name), getattr(other, name), f"{name} on two array libraries")


@contextmanager
def poisoned_generators() -> Iterator[None]:
    """Make Python's and NumPy's global generators raise when anyone draws from them."""

    def poison(*_: Any, **__: Any) -> Any:
        raise BrokenContract("a global random generator was used; take all randomness from `Draw`")

    names = {
        random: ("random", "getrandbits", "randint", "uniform", "shuffle", "choice", "gauss"),
        np.random: ("random", "rand", "randn", "randint", "uniform", "normal", "shuffle", "choice"),
    }
    kept = [(module, name, getattr(module, name)) for module in names for name in names[module]]
    try:
        for module, name, _ in kept:
            setattr(module, name, poison)
        yield
    finally:
        for module, name, function in kept:
            setattr(module, name, function)


def golden(task_id: str) -> str:
    """Return a short hash of the first trials of the test stage; it moves only with the version.

    Real numbers enter with two decimals, so that the last bits of another processor's cosine do not
    matter.
    """
    task = load(task_id)
    digest = hashlib.sha256()
    if isinstance(task, ControlTask):
        parts: Sequence[Array] = _rollout(task, 0, "test", _actions(task.action_space, _STEPS))
    else:
        batch = task.sample(_TRIALS, 0, "test")
        parts = (batch.x, batch.y, batch.mask)
    for part in parts:
        digest.update(str(part.shape).encode())
        digest.update(np.round(np.asarray(part, dtype=np.float64) * 100).astype(np.int64).tobytes())
    return digest.hexdigest()[:16]


# -- the faces ---------------------------------------------------------------------------------


def check_faces(task_id: str) -> None:
    """The single face, the batched face and the task itself show the same trials."""
    task = load(task_id)
    if isinstance(task, ControlTask):
        _check_control_faces(task)
    else:
        _check_trial_faces(task)


def _check_trial_faces(task: TrialTask | StreamTask) -> None:
    steps = task.card.steps
    actions = np.stack(_actions(task.action_space, steps))
    env = gym.make(task.card.id, stage="test")
    worlds = gym.make_vec(task.card.id, num_envs=2, stage="test", autoreset_mode="SameStep")
    batches = [task.sample(3, _SEED + i, "test") for i in range(2)]
    seen, _ = worlds.reset(seed=_SEED)
    for k in range(3):
        shown, info = env.reset(seed=_SEED if k == 0 else None)
        _require(info["trial"] == k, f"reset number {k} began trial {info['trial']}")
        paid = 0.0
        for t in range(steps):
            _same(shown, batches[0].x[k, t], "observation of the single face")
            _same(seen, np.stack([b.x[k, t] for b in batches]), "observation of the batched face")
            shown, reward, ended, _, info = env.step(actions[t])
            seen, rewards, all_ended, *_ = worlds.step(np.stack([actions[t]] * 2))
            _same(info["answer"], batches[0].y[k, t], "info['answer']")
            _same(rewards[0], reward, "rewards of both faces")
            _require(
                ended == (t == steps - 1) == all_ended.all(), "a trial ends after its last step"
            )
            paid += float(reward)
        _check_return(task, actions, batches[0][k : k + 1], paid)
    env.close()
    worlds.close()


def _check_return(task: TrialTask | StreamTask, actions: Array, batch: Any, paid: float) -> None:
    metric = task.card.metric
    if metric.values is not None:
        raw = per_trial(metric.values(actions[None], batch.y), batch.mask)
        _same(metric.sign * raw[0], paid, "the rewards of a trial and its raw metric")


def _check_control_faces(task: ControlTask[Any]) -> None:
    actions = _actions(task.action_space, _STEPS)
    seen, paid = _rollout(task, _SEED, "test", actions)
    env = gym.make(task.card.id, stage="test")
    for k in range(2):
        shown, info = env.reset(seed=_SEED if k == 0 else None)
        _require(info["trial"] == k, f"reset number {k} began trial {info['trial']}")
        _same(shown, seen[0, k], "first observation of the single face")
        for t, action in enumerate(actions):
            shown, reward, ended, cut, _ = env.step(action)
            _same(shown, seen[t + 1, k], "observation of the single face")
            _same(reward, paid[t, k], "reward of the single face")
            if ended or cut:
                break
    env.close()
    worlds = gym.make_vec(task.card.id, num_envs=3, stage="test")
    shown, _ = worlds.reset(seed=_SEED)
    _same(shown[0], seen[0, 0], "first observation of the batched face")
    for t, action in enumerate(actions):
        shown, rewards, ended, cut, _ = worlds.step(np.stack([action] * 3))
        _same(shown[0], seen[t + 1, 0], "observation of the batched face")
        _same(rewards[0], paid[t, 0], "reward of the batched face")
        if ended[0] or cut[0]:
            break
    worlds.close()


def check_vector(task_id: str) -> None:
    """Check the batched face: autoreset modes, masks, time limit, memory, and stable seeds."""
    card = load(task_id).card

    def make(num: int, mode: AutoresetMode = AutoresetMode.NEXT_STEP, **kwargs: Any) -> Any:
        return gym.make_vec(card.id, num_envs=num, autoreset_mode=mode, **kwargs)

    _check_prefix(make)
    _check_memory(make)
    _check_next_step(make)
    _check_same_step(make)
    _check_reset_mask(make)
    _check_time_limit(make)


Maker = Callable[..., Any]


def _step(worlds: Any, index: int = 0) -> Any:
    action = _actions(worlds.single_action_space, index + 1)[index]
    return worlds.step(np.stack([action] * worlds.num_envs))


def _until_done(worlds: Any) -> tuple[Any, ...]:
    """Step until some world is done; return that step's outcome, and which world it is."""
    while True:
        outcome = _step(worlds)
        done = outcome[2] | outcome[3]
        if done.any():
            return (*outcome, int(done.argmax()))


def _check_prefix(make: Maker) -> None:
    few, many = make(2), make(5)
    _same(few.reset(seed=_SEED)[0], many.reset(seed=_SEED)[0][:2], "the first of more worlds")
    for index in range(3):
        _same(_step(few, index)[0], _step(many, index)[0][:2], "the first of more worlds, stepped")
    inside = many.observation_space.contains(_step(many)[0])
    _require(inside, "the batch of observations lies outside the batched space")


def _check_memory(make: Maker) -> None:
    worlds = make(3)
    kept: list[tuple[Array, Array]] = []
    first, _ = worlds.reset(seed=_SEED)
    kept.append((first, first.copy()))
    for index in range(4):
        outcome = _step(worlds, index)
        kept += [(part, part.copy()) for part in outcome[:4]]
        kept += [(p, p.copy()) for p in outcome[4].values() if isinstance(p, np.ndarray)]
    for position, (array, copy) in enumerate(kept):
        unchanged = array.dtype == object or np.array_equal(array, copy, equal_nan=True)
        _require(unchanged, "an array that was handed out changed in a later step")
        for other, _ in kept[position + 1 :]:
            _require(not np.shares_memory(array, other), "two returned arrays share memory")


def _check_next_step(make: Maker) -> None:
    worlds, manual = make(2), make(2, AutoresetMode.DISABLED)
    worlds.reset(seed=_SEED)
    manual.reset(seed=_SEED)
    *_, one = _until_done(worlds)
    _, _, ended, cut, _, _ = _until_done(manual)
    shown, reward, after, _, _ = _step(worlds)
    _require(reward[one] == 0 and not after[one], "NextStep: the step after the end pays nothing")
    fresh, _ = manual.reset(options={"reset_mask": ended | cut})
    _same(shown[one], fresh[one], "NextStep: the step after the end shows the next trial")


def _check_same_step(make: Maker) -> None:
    worlds, manual = make(2, AutoresetMode.SAME_STEP), make(2, AutoresetMode.DISABLED)
    worlds.reset(seed=_SEED)
    manual.reset(seed=_SEED)
    shown, *_, info, one = _until_done(worlds)
    last, _, ended, cut, _, _ = _until_done(manual)
    _same(info["final_obs"][one], last[one], "SameStep: info['final_obs'] is the last observation")
    _require(info["_final_obs"][one], "SameStep: info['_final_obs'] marks the ended worlds")
    fresh, _ = manual.reset(options={"reset_mask": ended | cut})
    _same(shown[one], fresh[one], "SameStep: the step of the end shows the next trial")


def _check_reset_mask(make: Maker) -> None:
    worlds, untouched = make(3), make(3)
    worlds.reset(seed=_SEED)
    untouched.reset(seed=_SEED)
    mask = np.array([False, True, False])
    options = {"reset_mask": mask}
    shown, info = worlds.reset(options=options)
    _require(options == {"reset_mask": mask}, "reset changed the caller's options")
    _require(
        list(info["trial"]) == [0, 1, 0], "reset_mask begins the next trial of its worlds alone"
    )
    again, _ = worlds.reset(seed=_SEED + 50, options=options)
    alone, _ = make(3).reset(seed=_SEED + 50)
    _same(again[1], alone[1], "reset_mask with a seed")
    _same(shown[0], again[0], "a world outside reset_mask")
    left, right = _step(worlds)[0], _step(untouched)[0]
    _same(left[0], right[0], "a world outside reset_mask, stepped")


def _check_time_limit(make: Maker) -> None:
    worlds = make(2, max_episode_steps=1)
    worlds.reset(seed=_SEED)
    _, _, _, cut, _ = _step(worlds)
    _require(cut.all(), "max_episode_steps=1 did not truncate the first step")


# -- chance and ceiling ------------------------------------------------------------------------


def check_anchors(task_id: str, *, trials: int | None = None) -> None:
    """The trivial agent lands on chance and the ideal observer on the ceiling, in every stage.

    Args:
        task_id: Id of the task.
        trials: How many trials to draw; by default as many as an evaluation draws.
    """
    task = load(task_id)
    hidden = ("private",) if task.card.data == "generated" else ()
    for stage in (*task.card.evaluated, *hidden):
        anchors = task.card.stage(stage)
        _lands(task, task.trivial(stage), stage, anchors.chance, anchors.chance_error, trials)
        try:
            ideal = task.ideal(stage)
        except NoIdealObserver:
            free = task.card.data != "generated" or task.card.ceiling == "published"
            _require(free, f"{task_id} generates its data without an ideal")
            continue
        _lands(task, ideal, stage, anchors.ceiling, anchors.ceiling_error, trials)


def _lands(
    task: Task, agent: Agent, stage: str, anchor: float, error: float, trials: int | None
) -> None:
    values = trial_metric(task, seeded(agent, _SEED), seed=_SEED, stage=stage, trials=trials)
    mean = float(values.mean())
    if isinstance(task, StreamTask) and trials is None:  # groups count alike, whatever they hold
        mean = float(by_group(values, task.test(_SEED, stage).trials["group"])[0].mean())
    generated, unit = task.card.data == "generated", task.card.metric.unit
    spread = float(values.std()) / np.sqrt(len(values)) if generated else 0.0
    if generated and unit == "fraction correct":  # all right by chance has no spread of its own
        spread = max(spread, float(np.sqrt(anchor * (1.0 - anchor) / len(values))))
    allowed = _SIGMA * np.hypot(spread, error) + 1e-3 * abs(anchor)
    _require(
        abs(mean - anchor) <= allowed,
        f"{task.card.id}, {stage}: measured {mean:.5g}, the card says {anchor:.5g} "
        f"(allowed difference {allowed:.2g})",
    )
