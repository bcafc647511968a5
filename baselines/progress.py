"""What the terminal shows of a plan: what is to be done, how far it is, and what came of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from baselines.costs import estimate, estimates, makespan
from baselines.engines import Engine
from baselines.plan import Run
from baselines.runner import Outcome, Todo
from neurotasks import load
from neurotasks.results import Result

__all__ = ["console", "show_plan", "show_results", "watch"]

_WIDTH = 140  # characters of a line where there is no terminal


def console() -> Console:
    """Return where things are shown; lines in a file are not folded to a terminal's width."""
    found = Console()
    return found if found.is_terminal else Console(width=_WIDTH)


def show_plan(runs: Sequence[Run], todo: Todo, engine: Engine, screen: Console) -> None:
    """Show what a plan would do, what is finished, and about how long the rest takes."""
    table = Table(box=None)
    for name in ("task", "agent", "samples"):
        table.add_column(name, no_wrap=True, justify="right" if name == "samples" else "left")
    for name in ("finished", "to do", "jobs", "seconds"):
        table.add_column(name, no_wrap=True, justify="right")
    for run in runs:
        jobs = [job for job in todo.jobs if job.path == run.path]
        seeds = sum(len(job.seeds) for job in jobs)
        costs = [estimate(job) for job in jobs]
        told = "?" if None in costs else f"{sum(cost or 0.0 for cost in costs):.1f}"
        samples = f"{run.recipe.samples[run.budget]:,}"
        finished = len(run.seeds) - seeds
        table.add_row(run.task, run.agent, samples, *map(str, (finished, seeds, len(jobs))), told)
    screen.print(table)
    seconds = estimates(todo.jobs)
    screen.print(
        f"{len(todo.jobs)} jobs, about {_clock(sum(seconds))} on one core and "
        f"{_clock(makespan(seconds, engine.workers))} on {engine.workers}, as the committed "
        "reference results took; nothing was run",
        highlight=False,
    )


def watch(todo: Todo, ended: Iterable[Outcome], screen: Console) -> list[Outcome]:
    """Show how far a plan is, a line for each job that ends, and return how all ended.

    A run here is one seed of an agent on a task. The bar and the time left go by the estimated
    seconds, as jobs differ much in length.
    """
    costs = dict(zip(todo.jobs, estimates(todo.jobs), strict=True))
    total = sum(len(job.seeds) for job in todo.jobs)
    columns = (
        TextColumn("{task.fields[runs]} runs"),
        BarColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    outcomes, done = [], 0
    with Progress(*columns, console=screen) as progress:
        bar = progress.add_task("", total=sum(costs.values()), runs=f"0/{total}", rate="")
        for outcome in ended:
            outcomes.append(outcome)
            screen.print(_line(outcome), highlight=False, markup=False, soft_wrap=True)
            if outcome.run in costs:
                done += len(outcome.run.seeds)
                minutes = (progress.tasks[0].elapsed or 0.0) / 60.0
                rate = f"{done / minutes:.1f} a minute" if minutes > 0 else ""
                progress.update(bar, advance=costs[outcome.run], runs=f"{done}/{total}", rate=rate)
        progress.update(bar, completed=progress.tasks[0].total)  # sums are rounded
    return outcomes


def show_results(runs: Sequence[Run], outcomes: Sequence[Outcome], screen: Console) -> None:
    """Show a table of all runs: scores with intervals, raw metrics, cost, and what was new."""
    names = ("task", "agent", "seeds", "score", "95 % interval", "raw", "seconds", "")
    table = Table(box=None)
    for number, name in enumerate(names):
        table.add_column(name, no_wrap=True, justify="left" if number < 2 else "right")  # noqa: PLR2004
    found = {o.run.path: o.result for o in outcomes if o.result is not None}
    fresh = {outcome.run.path for outcome in outcomes if outcome.fresh}
    details = []
    for run in runs:
        result = found.get(run.path)
        if result is None:
            table.add_row(run.task, run.agent, *[""] * 5, "failed")
            continue
        table.add_row(run.task, run.agent, *_cells(run, result), _state(run, result, fresh))
        extra = _details(result.stages["test"].extra)
        details += [f"{run.agent} on {run.task}, {line}" for line in extra]
    screen.print(table)
    for line in details:
        screen.print(line, highlight=False, markup=False, soft_wrap=True)


def _state(run: Run, result: Result, fresh: set[Any]) -> str:
    if not set(run.seeds) <= set(result.seeds):
        return "incomplete"
    return "" if run.path in fresh else "kept"


def _cells(run: Run, result: Result) -> tuple[str, ...]:
    test = result.stages["test"]
    score = test.score_interval(load(run.task).card, "test")
    return (
        str(len(result.seeds)),
        f"{score.mean:.3f}",
        f"{score.low:.3f} … {score.high:.3f}",
        f"{sum(test.raw) / len(test.raw):.4g}",
        f"{result.seconds:.1f}",
    )


def _line(outcome: Outcome) -> str:
    """Return a line about a job: whose seeds, and how they scored."""
    run, result = outcome.run, outcome.result
    seeds = " ".join(str(seed) for seed in run.seeds)
    head = f"{run.task:34} {run.agent:12} seeds {seeds}"
    if result is None:
        return f"{head}  failed"
    found = dict(zip(result.seeds, result.stages["test"].score, strict=True))
    scores = " ".join(f"{found[seed]:z.3f}" if seed in found else "failed" for seed in run.seeds)
    return f"{head}  scored {scores}{'' if outcome.fresh else '  (kept)'}"


def _details(extra: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each further figure that has parts, means over the seeds."""
    for name, seeds in extra.items():
        if isinstance(seeds[0], Mapping):
            means = {part: sum(seed[part] for seed in seeds) / len(seeds) for part in seeds[0]}
            parts = "  ".join(f"{part} {mean:.2f}" for part, mean in means.items())
            yield f"{name}: {parts}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:d}:{minutes:02d}:{rest:02d}"
