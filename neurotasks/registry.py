"""The one place where a task becomes known: its id stands on its card and nowhere else."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Callable, Iterator
from functools import cache
from typing import TypeVar

import gymnasium as gym

from neurotasks.card import NAMESPACE, TaskCard
from neurotasks.errors import CardError, DuplicateTask, UnknownTask
from neurotasks.task import ControlTask, StreamTask, Task, TrialTask

__all__ = ["cards", "discover", "find", "load", "register", "task_class"]

_FORMS = {"trial": TrialTask, "control": ControlTask, "stream": StreamTask}
_tasks: dict[str, type[Task]] = {}

T = TypeVar("T", bound=type)


def register(card: TaskCard) -> Callable[[T], T]:
    """Return the decorator that gives a task class its card and its ids.

    Raises:
        CardError: The class is not of the form that its card declares.
        DuplicateTask: Another class has this id already.
    """

    def decorate(cls: T) -> T:
        form = _FORMS[card.form]
        if not issubclass(cls, form):
            raise CardError(f"{card.id} declares form {card.form!r}: inherit from {form.__name__}")
        if "card" in cls.__dict__:
            raise CardError(f"{cls.__name__} has a card already: register one class for each task")
        known = _tasks.get(card.id)
        if known is not None:
            raise DuplicateTask(
                f"{card.id} is registered by {known.__module__} and by {cls.__module__}; "
                "give the new task another name, or a higher version"
            )
        cls.card = card  # type: ignore[attr-defined]
        _tasks[card.id] = cls  # type: ignore[assignment]
        gym.register(
            card.id,
            entry_point="neurotasks.env:TaskEnv",
            vector_entry_point="neurotasks.vector:TaskVectorEnv",
            max_episode_steps=card.steps if card.form == "control" else None,
            kwargs={"task": card.id},
        )
        return cls

    return decorate


def discover(package: str = "neurotasks.tasks") -> None:
    """Import every module of a package, so that its tasks register themselves.

    Args:
        package: Name of an importable package; each of its modules is a task or a family of tasks.
    """
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
        importlib.import_module(f"{package}.{module.name}")


def cards() -> tuple[TaskCard, ...]:
    """Return the cards of all tasks, sorted by topic and id."""
    return tuple(sorted((cls.card for cls in _tasks.values()), key=lambda c: (c.topic, c.id)))


def find(pattern: str) -> Iterator[TaskCard]:
    """Yield the cards that match a glob or several, such as "Orientation*,CartPole-v0".

    A glob is held against the id and against the label.
    """
    from fnmatch import fnmatchcase  # noqa: PLC0415 - `import neurotasks` does not need it

    globs = [part.strip() for part in pattern.split(",")]
    for card in cards():
        if any(fnmatchcase(name, glob) for glob in globs for name in (card.id, card.label)):
            yield card


def task_class(task_id: str) -> type[Task]:
    """Return the class of a task.

    Raises:
        UnknownTask: No task has this id; the message names the nearest ones.
    """
    name = task_id if task_id.startswith(f"{NAMESPACE}/") else f"{NAMESPACE}/{task_id}"
    if name in _tasks:
        return _tasks[name]
    labels = [task.removeprefix(f"{NAMESPACE}/") for task in _tasks]
    near = difflib.get_close_matches(name.removeprefix(f"{NAMESPACE}/"), labels, n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else "`neurotasks list` shows all ids."
    raise UnknownTask(f"no task has the id {task_id!r}; {hint}")


@cache
def load(task_id: str) -> Task:
    """Return a task by its id, with or without the namespace.

    A task holds no mutable state, so that all who ask get one and the same object.

    Raises:
        UnknownTask: No task has this id; the message names the nearest ones.
    """
    return task_class(task_id)()
