"""The journal of a search: what was tried, line by line, safe against a kill at any moment."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from neurotasks.errors import MissingExtra, UnwritableFolder

__all__ = ["CONFIG", "FAULT", "ended", "open_study", "reseed"]

CONFIG = "config"
"""The attribute of a trial that holds its configuration, values by setting."""

FAULT = "fault"
"""The attribute of a trial that failed by itself, with its reason; a killed one has none."""

_NAME = "search"
_PLAN = "plan"
_UNPRUNED = 4  # trials before one is given up half-way
_RANDOM = 8  # trials before the sampler has a model to ask


@contextmanager
def open_study(folder: Path, plan: Mapping[str, Any]) -> Iterator[Any]:
    """Open or begin the study of a folder, alone.

    Args:
        folder: Where the journal is, or will be.
        plan: What is searched for, as JSON types; a study goes on with its own plan alone.

    Raises:
        MissingExtra: Optuna is not installed.
        UnwritableFolder: The folder cannot be made or written.
        ValueError: It holds another search, or another process searches in it.
    """
    try:
        import optuna  # noqa: PLC0415 - an extra, and slow to import
        from optuna.storages import JournalStorage  # noqa: PLC0415
        from optuna.storages.journal import JournalFileBackend  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise MissingExtra("optuna", "tune") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # we tell how each trial ended
    path = folder / "journal.log"
    with _alone(path):
        study = optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(path))),
            study_name=_NAME,
            direction="maximize",
            load_if_exists=True,
            pruner=optuna.pruners.MedianPruner(n_startup_trials=_UNPRUNED),
        )
        _check_plan(study, plan, folder)
        running = optuna.trial.TrialState.RUNNING
        for trial in study.get_trials(deepcopy=False, states=(running,)):
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        yield study


def reseed(study: Any, *seed: int) -> None:
    """Make what the study proposes next a function of a seed and of the trials that have ended."""
    import optuna  # noqa: PLC0415 - whoever has a study has it

    word = int(np.random.SeedSequence(seed).generate_state(1)[0])
    study.sampler = optuna.samplers.TPESampler(n_startup_trials=_RANDOM, seed=word)


def ended(study: Any) -> list[Any]:
    """Return the trials that have ended: with a value, given up, or failed by themselves."""
    return [
        trial
        for trial in study.get_trials(deepcopy=False)
        if trial.state.is_finished() and (trial.state.name != "FAIL" or FAULT in trial.user_attrs)
    ]


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keep other processes away from a journal, and put right what a killed one left.

    The lock ends with the process that holds it, whatever ends that process. A kill can leave half
    a line at the journal's end, and the lock by which Optuna writes a line.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+b")
    except OSError as error:
        raise UnwritableFolder(
            f"cannot write into {path.parent}: {error.strerror}; choose another folder"
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ValueError(
                f"another process searches in {path.parent}; wait for it, or choose another folder"
            ) from error
        path.with_name(f"{path.name}.lock").unlink(missing_ok=True)
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)
        yield


def _check_plan(study: Any, plan: Mapping[str, Any], folder: Path) -> None:
    known = study.user_attrs.get(_PLAN)
    if known is None:
        study.set_user_attr(_PLAN, dict(plan))
    elif known != plan:
        names = sorted(name for name in {*known, *plan} if known.get(name) != plan.get(name))
        raise ValueError(
            f"{folder} holds a search with another {', '.join(names)}; choose another folder"
        )
