"""The store: one file for each agent and task, to which finished seeds are added.

A file is replaced whole or not at all, so that at any moment it holds finished seeds only. Only the
process that plans writes; workers hand it what they measured.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from baselines.keys import key
from baselines.logs import write_events
from baselines.models import Model, kept, write
from baselines.plan import Run
from neurotasks.results import Result, StageResult, read_result, write_result

__all__ = ["add", "merged", "missing", "stored"]


def stored(run: Run) -> Result | None:
    """Return what is finished of a run, maybe with more seeds; None where nothing is.

    A file that was earned under another key (card, settings, budget or code) counts as nothing.

    Raises:
        CorruptResult: A file is there that is no whole result.
    """
    if not run.path.exists():
        return None
    result = read_result(run.path)
    return result if result.config.get("key") == key(run) else None


def missing(run: Run) -> tuple[int, ...]:
    """Return the seeds of a run that are not finished.

    Raises:
        CorruptResult: A file is there that is no whole result.
    """
    result = stored(run)
    if result is None:
        return run.seeds
    held = [seed for seed in result.seeds if not run.models or kept(run.model_folder, seed)]
    return tuple(seed for seed in run.seeds if seed not in held)


def add(run: Run, result: Result, models: Mapping[int, Model] = MappingProxyType({})) -> Result:
    """Add finished seeds to the file of a run, and return all that it holds now.

    Args:
        run: The run.
        result: What was measured.
        models: Trained agents by seed; they are written before the result, so that a seed that
            counts as finished has its file.

    Raises:
        UnwritableFolder: The folder cannot be written.
    """
    before = stored(run)
    if before is None:
        for folder in run.logs.glob("seed*"):  # of another key; of this one, jobs may be going on
            shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(run.model_folder, ignore_errors=True)
    for seed, model in models.items():
        write(model, run.model_folder, seed)
    whole = result if before is None else merged(before, result)
    for seed in result.seeds:
        shutil.rmtree(run.logs / f"seed{seed}", ignore_errors=True)
    write_result(whole, run.path)
    write_events(whole, run.logs)
    return whole


def merged(one: Result, two: Result) -> Result:
    """Return two results of one key as one, its seeds in order; `two` wins where both have a seed.

    Costs add up. Where machine, versions or commit differ, both are named.
    """
    places = {seed: (0, i) for i, seed in enumerate(one.seeds)}
    places |= {seed: (1, i) for i, seed in enumerate(two.seeds)}
    order = [places[seed] for seed in sorted(places)]

    def pick(left: Sequence[Any], right: Sequence[Any]) -> list[Any]:
        return [(left, right)[side][index] for side, index in order]

    names = dict.fromkeys((*one.versions, *two.versions))
    return replace(
        two,
        config=_configs(one, two),
        seeds=tuple(sorted(places)),
        stages={n: _stage(s, two.stages[n], pick) for n, s in one.stages.items()},
        seconds=one.seconds + two.seconds,
        cpu_seconds=one.cpu_seconds + two.cpu_seconds,
        energy_kwh=one.energy_kwh + two.energy_kwh,
        energy_method=_both(one.energy_method, two.energy_method),
        hardware=_both(one.hardware, two.hardware),
        versions={n: _both(one.versions.get(n, ""), two.versions.get(n, "")) for n in names},
        commit=_both(one.commit, two.commit),
        curves=_curves(one, two, pick),
    )


_Pick = Callable[[Sequence[Any], Sequence[Any]], list[Any]]


def _stage(one: StageResult, two: StageResult, pick: _Pick) -> StageResult:
    return StageResult(
        tuple(pick(one.raw, two.raw)),
        tuple(pick(one.score, two.score)),
        {name: pick(values, two.extra[name]) for name, values in one.extra.items()},
        tuple(pick(one.error, two.error)) if one.error and two.error else (),
    )


def _curves(one: Result, two: Result, pick: _Pick) -> dict[str, list[Any]]:
    """Return the curves by name; a seed that did not report a name has an empty one."""
    names = dict.fromkeys((*one.curves, *two.curves))

    def curves(result: Result, name: str) -> list[Any]:
        return list(result.curves.get(name, ([] for _ in result.seeds)))

    return {name: pick(curves(one, name), curves(two, name)) for name in names}


def _configs(one: Result, two: Result) -> dict[str, Any]:
    """Return the settings, which are equal; where seeds were trained in other ways, all of them."""
    ways = [str(way) for part in (one, two) if (way := part.config.get("trained"))]
    return {**two.config, **({"trained": " + ".join(dict.fromkeys(ways))} if ways else {})}


def _both(one: str, two: str) -> str:
    return "; ".join(dict.fromkeys(part for part in (*one.split("; "), *two.split("; ")) if part))
