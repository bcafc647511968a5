"""The command `python -m baselines`: run recipes, list them, tune them, check the references."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from baselines.check import REFERENCE, check, keep
from baselines.cluster import connect
from baselines.engines import Engine, Local, count_gpus
from baselines.plan import plan
from baselines.progress import console, show_plan, show_results, watch
from baselines.recipe import BUDGETS
from baselines.recipes import recipe_of
from baselines.runner import do, sort_out
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
    _parse_run(commands)
    listing = commands.add_parser("list", help="list which agent runs on which task")
    _select(listing)
    listing.set_defaults(run=_list)
    tuning = commands.add_parser(
        "tune", help="search hyperparameters on validation trials; goes on where it was"
    )
    tuning.add_argument("--task", required=True, metavar="LABEL", help="as in 'CartPole-v0'")
    tuning.add_argument("--agent", required=True, metavar="NAME", help="as in 'ppo'")
    tuning.add_argument("--trials", type=int, required=True, help="configurations to try in all")
    tuning.add_argument("--seeds", type=int, default=2, help="seeds of each (default 2)")
    tuning.add_argument("--budget", choices=BUDGETS, default="quick")
    tuning.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    tuning.add_argument(
        "--out", type=Path, help="folder of this search (default runs/tune/LABEL/NAME)"
    )
    tuning.set_defaults(run=_tune)
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


def _parse_run(commands: Any) -> None:
    run = commands.add_parser("run", help="train and evaluate; what is done already is kept")
    _select(run)
    run.add_argument("--seeds", type=int, default=5, help="how many seeds (default 5)")
    run.add_argument("--budget", choices=BUDGETS, default="quick")
    run.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    run.add_argument("--jobs", type=int, default=cores(), help="processes side by side")
    run.add_argument(
        "--engine", choices=("local", "ray"), default="local", help="processes here, or a cluster"
    )
    run.add_argument(
        "--address",
        help="of a Ray cluster: auto, HOST:PORT or ray://HOST:PORT; without it one is started here",
    )
    run.add_argument("--dry-run", action="store_true", help="show the plan and its cost, and stop")
    run.add_argument("--out", type=Path, required=True, help="folder of the results")
    run.add_argument(
        "--models", action="store_true", help="keep the trained agents too, for a submission"
    )
    run.add_argument(
        "--data",
        choices=("any", "embedded", "recorded"),
        default="any",
        help="only tasks that work offline at once, or only those on recorded data",
    )
    run.set_defaults(run=_run)


def _select(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--task", default="*", metavar="GLOB", help="tasks, such as 'Continual*,CartPole-v0'"
    )
    parser.add_argument("--agent", default="*", metavar="GLOB", help="agents, such as 'mlp,si'")


def _run(options: argparse.Namespace) -> int:
    runs = plan(
        task=options.task,
        agent=options.agent,
        seeds=options.seeds,
        budget=options.budget,
        device=options.device,
        out=options.out,
    )
    runs = [replace(run, models=options.models) for run in runs]
    if options.data != "any":
        wanted = set(_tasks_with_data(recorded=options.data == "recorded"))
        runs = [run for run in runs if run.task in wanted]
    screen = console()
    with _engine(options) as engine:
        todo = sort_out(runs, engine)
        if options.dry_run:
            show_plan(runs, todo, engine, screen)
            return 0
        outcomes = watch(todo, do(todo, engine), screen)
    show_results(runs, outcomes, screen)
    failed = [outcome for outcome in outcomes if outcome.error]
    for outcome in failed:
        name = f"{outcome.run.agent} on {outcome.run.task}"
        print(f"baselines: {name} failed: {outcome.error}", file=sys.stderr)
    return 1 if failed else 0


@contextmanager
def _engine(options: argparse.Namespace) -> Iterator[Engine]:
    """Lend the engine that was asked for."""
    if options.engine == "local":
        if options.address is not None:
            raise ValueError("--address is of a Ray cluster: add --engine ray")
        yield Local(options.jobs, 0 if options.dry_run else count_gpus(options.device))
        return
    with connect(options.address, options.jobs) as cluster:
        yield cluster


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


def _list(options: argparse.Namespace) -> int:
    runs = plan(
        task=options.task, agent=options.agent, seeds=1, budget="quick", device="cpu", out=Path()
    )
    columns = "".join(f"{budget:>12}" for budget in BUDGETS)
    wide = max(len(run.task) for run in runs) + 2
    name = max(len(run.agent) for run in runs) + 2
    print(f"{'task':{wide}}{'agent':{name}}{columns}   (training samples)")
    for run in runs:
        recipe = recipe_of(run.agent, load(run.task).card)
        counts = "".join(f"{recipe.samples[budget]:12,}" for budget in BUDGETS)
        print(f"{run.task:{wide}}{run.agent:{name}}{counts}")
    return 0


def _tune(options: argparse.Namespace) -> int:
    from baselines.tune import Search, tune  # noqa: PLC0415 - the other commands do without

    out = options.out or Path("runs", "tune", options.task, options.agent)
    search = Search(
        task=options.task,
        agent=options.agent,
        trials=options.trials,
        budget=options.budget,
        seeds=options.seeds,
        device=options.device,
        out=out,
    )
    found = tune(search, lambda line: print(line, flush=True))
    best = "  ".join(f"{name}={value:g}" for name, value in found.config.items())
    print(f"best: {best}")
    print(f"validation score {found.score:.4f}, the recipe's own {found.recipe_score:.4f}")
    print(f"written to {out / 'best.json'}")
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
