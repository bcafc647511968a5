"""The regression check of scores: rerun committed results and compare.

A committed result is a mean over n seeds with Student's interval. A rerun of the same recipe and
seeds must land inside the interval in which the mean of n new seeds would land: it is wider by the
square root of two, as the rerun varies too. Where the reference has no spread (the trivial answer
on a fixed test set), half a percent of the scale is allowed for other machines' rounding.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from baselines.costs import REFERENCE
from baselines.engines import Local
from baselines.plan import Run, matches
from baselines.runner import run_all
from baselines.store import stored
from neurotasks import find, load
from neurotasks.results import Result, read_results, write_result
from neurotasks.scores import interval

__all__ = ["REFERENCE", "allowed", "check", "keep"]

FAST_SECONDS = 6.0
_ROUNDING = 0.005


def allowed(reference: Result, stage: str) -> tuple[float, float]:
    """Return the interval that a rerun's mean score must land in."""
    found = interval(reference.stages[stage].score)  # the rerun answers the same fixed test set
    half = math.sqrt(2.0) * (found.high - found.mean) + _ROUNDING
    return found.mean - half, found.mean + half


def check(
    folder: Path,
    *,
    task: str,
    agent: str,
    fast: bool,
    jobs: int,
    say: Callable[[str], object],
) -> list[str]:
    """Rerun reference results and return what moved, a line each.

    Args:
        folder: The reference results.
        task: Glob of task labels, or several with commas.
        agent: Globs of agent names.
        fast: Only results that took at most `FAST_SECONDS` on embedded or generated data.
        jobs: Processes side by side.
        say: Told how each comparison ended.

    Raises:
        ValueError: No reference matches.
    """
    labels = {card.label for card in find(task)}
    chosen = [
        result
        for result in read_results(folder)
        if _label(result) in labels
        and matches(result.agent, agent)
        and not (fast and not _is_fast(result))
    ]
    if not chosen:
        raise ValueError(f"no reference result in {folder} matches {task!r} and {agent!r}")
    known = {(_label(result), result.agent): result for result in chosen}
    moved = []
    with tempfile.TemporaryDirectory() as temporary:
        runs = [
            Run(*key, r.seeds, str(r.config["budget"]), "cpu", Path(temporary))
            for key, r in known.items()
        ]
        whole = {run.path: run for run in runs}
        for outcome in run_all(runs, Local(jobs)):
            run = whole[outcome.run.path]
            result = stored(run)
            if outcome.error:
                lines = [f"{run.agent} on {run.task} failed: {outcome.error}"]
            elif result is not None and result.seeds == run.seeds:
                lines = _compare(known[run.task, run.agent], result)
            else:
                continue  # more seeds are to come
            say(f"{'moved' if lines else 'holds'}  {run.task:34} {run.agent}")
            moved += lines
    for line in moved:
        say(line)
    return moved


def keep(folder: Path, reference: Path, task: str = "*", agent: str = "*") -> Iterator[Result]:
    """Write finished results as reference results, without their curves; yield each.

    Raises:
        ValueError: A result was earned under another card than the present one.
    """
    labels = {card.label for card in find(task)}
    for result in read_results(folder):
        label = _label(result)
        if not (label in labels and matches(result.agent, agent)):
            continue
        if result.card != load(label).card.hash:
            raise ValueError(f"{result.agent} on {label} is of an earlier card; run it again")
        write_result(replace(result, curves={}), reference / label / f"{result.agent}.json")
        yield result


def _compare(reference: Result, result: Result) -> list[str]:
    name = f"{result.agent} on {_label(result)}"
    lines = []
    if result.card != reference.card:
        lines.append(
            f"{name}: the card has changed; raise the task's version, or run the reference anew"
        )
    for stage in reference.stages:
        low, high = allowed(reference, stage)
        mean = interval(result.stages[stage].score).mean
        if not low <= mean <= high:
            lines.append(f"{name}, {stage}: score {mean:.4f} left [{low:.4f}, {high:.4f}]")
    return lines


def _label(result: Result) -> str:
    return load(result.task).card.label


def _is_fast(result: Result) -> bool:
    return result.seconds <= FAST_SECONDS and load(result.task).card.data != "recorded"
