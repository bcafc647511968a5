"""The command `python -m baselines`: run recipes, list them, check the reference results."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from baselines.check import REFERENCE, check, keep
from baselines.recipes import BUDGETS, recipe_of
from baselines.runner import Outcome, Run, plan, run_all
from neurotasks import cards, load, sources
from neurotasks.errors import NeurotasksError
from neurotasks.results import cores


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except (NeurotasksError, ValueError) as error:
        print(f"baselines: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("baselines: stopped; the same command goes on where it was", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m baselines", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="train and evaluate; what is done already is kept")
    _select(run)
    run.add_argument("--seeds", type=int, default=5, help="how many seeds (default 5)")
    run.add_argument("--budget", choices=BUDGETS, default="quick")
    run.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    run.add_argument("--jobs", type=int, default=cores(), help="processes side by side")
    run.add_argument("--out", type=Path, required=True, help="folder of the results")
    run.add_argument(
        "--data",
        choices=("any", "embedded", "recorded"),
        default="any",
        help="only tasks that work offline at once, or only those on recorded data",
    )
    run.set_defaults(run=_run)
    listing = commands.add_parser("list", help="list which agent runs on which task")
    _select(listing)
    listing.set_defaults(run=_list)
    checking = commands.add_parser(
        "check", help="rerun the committed reference results; fail when a score leaves its interval"
    )
    _select(checking)
    checking.add_argument("--fast", action="store_true", help="only what takes seconds, as CI does")
    checking.add_argument("--reference", type=Path, default=REFERENCE)
    checking.add_argument("--jobs", type=int, default=cores())
    checking.set_defaults(run=_check)
    keeping = commands.add_parser("keep", help="make finished results the reference results")
    _select(keeping)
    keeping.add_argument("--results", type=Path, required=True, help="folder of the results")
    keeping.add_argument("--reference", type=Path, default=REFERENCE)
    keeping.set_defaults(run=_keep)
    return parser


def _select(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--task", default="*", metavar="GLOB", help="tasks, such as 'Continual*'")
    parser.add_argument("--agent", default="*", metavar="GLOB", help="agents, such as 'mlp'")


def _run(options: argparse.Namespace) -> int:
    runs = plan(
        task=options.task,
        agent=options.agent,
        seeds=options.seeds,
        budget=options.budget,
        device=options.device,
        out=options.out,
    )
    if options.data != "any":
        wanted = set(_tasks_with_data(recorded=options.data == "recorded"))
        runs = [run for run in runs if run.task in wanted]
    outcomes = _watch(runs, options.jobs)
    failed = [outcome for outcome in outcomes if outcome.error]
    for outcome in failed:
        name = f"{outcome.run.agent} on {outcome.run.task}"
        print(f"baselines: {name} failed: {outcome.error}", file=sys.stderr)
    return 1 if failed else 0


def _tasks_with_data(*, recorded: bool) -> Iterator[str]:
    """Yield the tasks on recorded data that are in the cache, or all others."""
    for card in cards():
        if card.source is None:
            if not recorded:
                yield card.label
        elif recorded and sources.get(card.source).present:
            yield card.label
        elif recorded:
            source = sources.get(card.source)
            print(f"{card.label} is left out: {source.name} is not in the cache; {source.cure}")


def _watch(runs: Sequence[Run], jobs: int) -> list[Outcome]:
    """Run, show how far it is, and print a line for each run that ends."""
    console = Console()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    outcomes = []
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("runs", total=len(runs))
        for outcome in run_all(runs, jobs):
            outcomes.append(outcome)
            progress.console.print(_line(outcome), highlight=False, markup=False, soft_wrap=True)
            progress.advance(bar)
    return outcomes


def _line(outcome: Outcome) -> str:
    head = f"{outcome.run.task:34} {outcome.run.agent:14}"
    if outcome.result is None:
        return f"{head} failed"
    test = outcome.result.stages["test"]
    score = test.score_interval(load(outcome.run.task).card, "test")
    raw = sum(test.raw) / len(test.raw)
    kept = "" if outcome.fresh else "  (kept)"
    ends = f"[{score.low:6.3f}, {score.high:6.3f}]"
    seconds = f"{outcome.result.seconds:6.1f} s"
    line = f"{head} score {score.mean:6.3f} {ends}  raw {raw:8.4g}  {seconds}{kept}"
    return "\n".join([line, *_details(test.extra)])


def _details(extra: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each further figure that has parts, means over the seeds."""
    for name, seeds in extra.items():
        if isinstance(seeds[0], Mapping):
            means = {part: sum(seed[part] for seed in seeds) / len(seeds) for part in seeds[0]}
            parts = "  ".join(f"{part} {mean:.2f}" for part, mean in means.items())
            yield f"    {name}: {parts}"


def _list(options: argparse.Namespace) -> int:
    runs = plan(
        task=options.task, agent=options.agent, seeds=1, budget="quick", device="cpu", out=Path()
    )
    columns = "".join(f"{budget:>12}" for budget in BUDGETS)
    print(f"{'task':36}{'agent':12}{columns}   (training samples)")
    for run in runs:
        recipe = recipe_of(run.agent, load(run.task).card)
        counts = "".join(f"{recipe.samples[budget]:12,}" for budget in BUDGETS)
        print(f"{run.task:36}{run.agent:12}{counts}")
    return 0


def _keep(options: argparse.Namespace) -> int:
    for result in keep(options.results, options.reference, options.task, options.agent):
        print(f"kept {result.agent} on {result.task}")
    return 0


def _check(options: argparse.Namespace) -> int:
    moved = check(
        options.reference,
        task=options.task,
        agent=options.agent,
        fast=options.fast,
        jobs=options.jobs,
        say=print,
    )
    return 1 if moved else 0


if __name__ == "__main__":
    sys.exit(main())
