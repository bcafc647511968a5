"""The plan: which recipe runs on which task with which seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from baselines.recipe import Recipe
from baselines.recipes import RECIPES, recipe_of
from neurotasks import find, load

__all__ = ["Run", "matches", "plan"]


@dataclass(frozen=True)
class Run:
    """One recipe on one task over several seeds: a group that can train together.

    Attributes:
        task: Label of the task.
        agent: Name of the recipe.
        seeds: The seeds.
        budget: "smoke", "quick" or "full".
        device: "auto", "cpu" or "cuda".
        out: Folder of the results.
        models: Whether the trained agents are kept too.
    """

    task: str
    agent: str
    seeds: tuple[int, ...]
    budget: str
    device: str
    out: Path
    models: bool = False

    @property
    def path(self) -> Path:
        """Where the result goes."""
        return self.out / self.task / f"{self.agent}.json"

    @property
    def model_folder(self) -> Path:
        """Where the trained agents go."""
        return self.out / self.task / "models" / self.agent

    @property
    def logs(self) -> Path:
        """Where TensorBoard's files go."""
        return self.out / self.task / "tensorboard" / self.agent

    @property
    def recipe(self) -> Recipe:
        """How the agent is made."""
        return recipe_of(self.agent, load(self.task).card)

    @property
    def on_gpu(self) -> bool:
        """Whether it computes on a GPU where there is one."""
        return self.device != "cpu" and self.recipe.learner.placed

    def of(self, seeds: Sequence[int]) -> Run:
        """Return the same run with other seeds."""
        return replace(self, seeds=tuple(seeds))


def matches(name: str, pattern: str) -> bool:
    """Say whether a name matches a glob or one of several, such as "mlp,si*"."""
    return any(fnmatchcase(name, part.strip()) for part in pattern.split(","))


def plan(*, task: str, agent: str, seeds: int, budget: str, device: str, out: Path) -> list[Run]:
    """Return the runs of all recipes and tasks that match the globs, tasks in the order of cards.

    Raises:
        ValueError: No recipe runs on such a task.
    """
    numbers = tuple(range(seeds))
    names = tuple(dict.fromkeys(recipe.name for recipe in RECIPES))
    runs = [
        Run(card.label, name, numbers, budget, device, out)
        for card in find(task)
        for name in names
        if matches(name, agent) and any(r.name == name and r.fits(card) for r in RECIPES)
    ]
    if not runs:
        known = ", ".join(names)
        raise ValueError(
            f"no agent that matches {agent!r} runs on a task that matches {task!r}; the agents are "
            f"{known}, and `neurotasks list` shows the tasks"
        )
    return runs
