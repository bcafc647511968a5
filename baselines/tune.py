"""The search for hyperparameters: `python -m baselines tune`.

Optuna proposes (TPE: Bergstra et al., 2011, "Algorithms for hyper-parameter optimization"), the
recipe's learner learns, and its validation score answers; nothing is ever tested. The first trial
is the recipe as it stands.

What a trial is told depends on its place and on the trials that have ended before it, and on
nothing else: a search that was killed goes on to the very trials of one that was left alone. The
trial that was running is marked as failed, and its place is taken again.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from baselines.journal import CONFIG, FAULT, ended, open_study, reseed
from baselines.keys import key
from baselines.plan import Run
from baselines.recipes import recipe_of
from baselines.spaces import Setting, change, space_of, told
from baselines.validation import validation_score, validation_scores
from neurotasks import Budget, load
from neurotasks.agent import Learner
from neurotasks.card import TaskCard
from neurotasks.results import versions, write_atomically

__all__ = ["Found", "Search", "tune"]


@dataclass(frozen=True)
class Search:
    """What is searched for.

    Attributes:
        task: Label of the task.
        agent: Name of the recipe.
        trials: How many configurations are tried in all, the recipe's own among them.
        budget: "smoke", "quick" or "full".
        seeds: Each configuration learns with the seeds 0 to seeds - 1.
        device: "auto", "cpu" or "cuda".
        out: Folder of the journal and of `best.json`; each search has one of its own.
    """

    task: str
    agent: str
    trials: int
    budget: str
    seeds: int
    device: str
    out: Path


@dataclass(frozen=True)
class Found:
    """What a search has found so far.

    Attributes:
        config: The best configuration, values by setting.
        score: Its validation score, the mean over the seeds.
        recipe: The recipe's own configuration.
        recipe_score: Its validation score.
        trials: How many configurations were tried; what failed or was given up counts.
    """

    config: Mapping[str, float]
    score: float
    recipe: Mapping[str, float]
    recipe_score: float
    trials: int


def tune(search: Search, say: Callable[[str], object]) -> Found:
    """Search until so many trials have ended; after each, `best.json` holds the best one.

    Args:
        search: What is searched for.
        say: Told how each trial ended.

    Raises:
        MissingExtra: Optuna is not installed.
        UnwritableFolder: The folder cannot be made or written.
        ValueError: The agent does not run on the task or has nothing to tune, the task has no
            validation trials, or the folder holds another search.
    """
    if search.trials < 1 or search.seeds < 1:
        raise ValueError("a search needs at least one trial and one seed")
    hunt = _Hunt(search)
    with open_study(search.out, hunt.plan) as study:
        while len(ended(study)) < search.trials:
            say(hunt.attempt(study))
            hunt.write(hunt.found(study))
        return hunt.found(study)


class _Hunt:
    """One search at work: the task, the recipe's learner and its space."""

    def __init__(self, search: Search) -> None:
        self.search, self.task = search, load(search.task)
        self.card: TaskCard = self.task.card
        recipe = recipe_of(search.agent, self.card)
        if not recipe.learns:
            raise ValueError(f"the agent {search.agent!r} learns nothing: there is nothing to tune")
        self.learner: Learner = recipe.learner(search.device)
        self.space: dict[str, Setting] = space_of(self.learner, self.card)
        self.recipe = {name: told(self.learner, name) for name in self.space}
        self.budget = Budget(search.budget, recipe.samples[search.budget])

    @property
    def plan(self) -> dict[str, Any]:
        """What makes this search this one: with any other value it is another."""
        search = self.search
        numbers = tuple(range(search.seeds))
        run = Run(self.card.label, search.agent, numbers, search.budget, search.device, search.out)
        return {
            "task": self.card.id,
            "card": self.card.hash,
            "agent": search.agent,
            "budget": search.budget,
            "samples": self.budget.samples,
            "seeds": search.seeds,
            "recipe": self.recipe,
            "code or settings": key(run),
            "space": {name: repr(setting) for name, setting in self.space.items()},
        }

    def attempt(self, study: Any) -> str:
        """Try the next configuration, and return in a line how it ended."""
        import optuna  # noqa: PLC0415 - whoever has a study has it

        place = len(ended(study))
        reseed(study, place)
        if place == 0 and not study.get_trials(states=(optuna.trial.TrialState.WAITING,)):
            study.enqueue_trial(dict(s.drawn(n, self.recipe[n]) for n, s in self.space.items()))
        trial = study.ask()
        values = {name: setting.draw(trial, name) for name, setting in self.space.items()}
        trial.set_user_attr(CONFIG, values)
        told_so = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
        try:
            score = self._score(values, trial)
        except optuna.TrialPruned:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            return f"trial {place:3}  given up       {told_so}"
        except (ArithmeticError, ValueError) as error:  # weights that are no numbers, mostly
            if place == 0:
                raise  # the recipe itself must learn
            trial.set_user_attr(FAULT, str(error))
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            return f"trial {place:3}  failed         {told_so}: {error}"
        study.tell(trial, score)
        return f"trial {place:3}  score {score:7.4f}  {told_so}"

    def _score(self, values: Mapping[str, float], trial: Any) -> float:
        """Return the mean validation score of a configuration."""
        scores = validation_scores(
            self.task,
            change(self.learner, values),
            seeds=range(self.search.seeds),
            budget=self.budget,
            log=_Progress(trial, self.card),
        )
        mean = sum(scores) / len(scores)
        if not math.isfinite(mean):
            raise ArithmeticError(f"the validation score is {mean}")
        return mean

    def found(self, study: Any) -> Found:
        """Return the best trial so far beside the recipe's, which is the first that ended."""
        first, best = ended(study)[0], study.best_trial
        config = best.user_attrs[CONFIG]
        return Found(config, best.value, self.recipe, first.value, len(ended(study)))

    def write(self, found: Found) -> None:
        """Write `best.json`, whole or not at all."""
        plan = {name: self.plan[name] for name in ("task", "card", "agent", "budget", "samples")}
        record = {
            **plan,
            **dataclasses.asdict(found),
            "seeds": list(range(self.search.seeds)),
            "stage": "validation",
            "versions": versions(),
        }
        text = json.dumps(record, indent=1, sort_keys=True, allow_nan=False) + "\n"
        write_atomically(self.search.out / "best.json", text.encode())


class _Progress:
    """Hands on how the validation score grows, so that a hopeless trial is given up.

    Trials compare at the same check, not after the same number of samples: batches of other sizes
    end elsewhere.
    """

    def __init__(self, trial: Any, card: TaskCard) -> None:
        self.trial, self.card, self.checks = trial, card, 0

    def __call__(self, samples: int, **scalars: float) -> None:
        """Keep no curve."""

    def watch(self, samples: int, validation: float) -> None:
        """Report the mean raw validation metric of all seeds.

        Raises:
            optuna.TrialPruned: At this check it is below the median of the earlier trials.
        """
        import optuna  # noqa: PLC0415 - whoever has a trial has it

        del samples
        self.checks += 1
        self.trial.report(validation_score(validation, self.card), self.checks)
        if self.trial.should_prune():
            raise optuna.TrialPruned
