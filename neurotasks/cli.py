"""The command `neurotasks`: list and show tasks, evaluate an agent, manage recorded data."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from neurotasks import sources
from neurotasks.agent import Agent, seeded
from neurotasks.card import TaskCard
from neurotasks.errors import CorruptSubmission, NeurotasksError
from neurotasks.evaluate import evaluate
from neurotasks.registry import find, load, task_class
from neurotasks.scores import interval
from neurotasks.task import Task

__all__ = ["main"]

_UNDONE = ("queued", "running")  # states of a submission
_PAUSE = 0.5  # seconds between two questions how it does


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; errors of ours are one line on standard error."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except (NeurotasksError, ValueError) as error:
        print(f"neurotasks: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="neurotasks", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    listing = commands.add_parser("list", help="list the tasks")
    listing.add_argument("pattern", nargs="?", default="*", help="a glob, such as 'Orientation*'")
    listing.add_argument("--json", action="store_true", help="print the cards as JSON")
    listing.set_defaults(run=_list)
    show = commands.add_parser("show", help="show a task's card and description")
    show.add_argument("task")
    show.set_defaults(run=_show)
    evaluation = commands.add_parser("evaluate", help="score an agent on a task")
    evaluation.add_argument("task")
    evaluation.add_argument(
        "--agent",
        default="trivial",
        help="'trivial', 'ideal', or 'module:name' of an agent or of what makes one",
    )
    evaluation.add_argument("--seeds", type=int, default=5, help="how many seeds (default 5)")
    evaluation.add_argument("--stage", help="one stage alone; by default all public ones")
    evaluation.set_defaults(run=_evaluate)
    _add_data_commands(commands.add_parser("data", help="manage recorded data"))
    _add_submission_commands(commands)
    return parser


def _add_submission_commands(commands: Any) -> None:
    packing = commands.add_parser("pack", help="make a submission of a run that kept its agents")
    packing.add_argument("result", type=Path, metavar="RUN", help="the file of its result")
    packing.add_argument("--out", type=Path, required=True, help="folder to write")
    packing.add_argument("--name", default="", help="of the agent on the board")
    packing.add_argument("--description", default="", help="what is new, in words")
    packing.add_argument("--link", default="", help="address of a paper or of code")
    packing.add_argument(
        "--external-data", action="store_true", help="it learned from more than the task's trials"
    )
    packing.add_argument(
        "--tuning-trials", type=int, default=0, help="configurations that were tried before"
    )
    packing.set_defaults(run=_pack)
    checking = commands.add_parser("check", help="say all that is wrong with a submission")
    checking.add_argument("folder", type=Path)
    checking.set_defaults(run=_check)
    joining = commands.add_parser("join", help="open an account on a board with a join token")
    joining.add_argument("invitation", metavar="JOIN_TOKEN")
    joining.add_argument("--to", required=True, help="address of the board")
    joining.add_argument("--name", required=True, help="of the account, as the board shows it")
    joining.set_defaults(run=_join)
    handing = commands.add_parser("submit", help="hand a submission in to a board")
    handing.add_argument("folder", type=Path)
    handing.add_argument("--to", required=True, help="address of a board, or a folder")
    handing.add_argument(
        "--token", default=os.environ.get("NEUROTASKS_TOKEN", ""), help="or NEUROTASKS_TOKEN"
    )
    handing.add_argument("--wait", action="store_true", help="until it is scored")
    handing.set_defaults(run=_submit)


def _add_data_commands(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    status = commands.add_parser("status", help="say which data sets are in the cache")
    status.set_defaults(run=_data_status)
    fetch = commands.add_parser("fetch", help="download data sets")
    fetch.add_argument("name", nargs="+")
    fetch.set_defaults(run=_data_fetch)
    add = commands.add_parser("add", help="copy files that you have into the cache")
    add.add_argument("name", help="the data set, or 'all' to look for every one in a folder")
    add.add_argument("path", nargs="+", type=Path)
    add.set_defaults(run=_data_add)


def _list(options: argparse.Namespace) -> None:
    cards = list(find(options.pattern))
    if options.json:
        print(json.dumps([card.to_dict() for card in cards], indent=1))
        return
    wide = max((len(card.label) for card in cards), default=0) + 2
    print(f"{'task':{wide}}{'topic':26}{'chance':>8}{'ceiling':>8}  {'unit':22}data")
    for card in cards:
        test = card.stages["test"]
        anchors = f"{test.chance:8.4g}{test.ceiling:8.4g}  {card.metric.unit:22}"
        print(f"{card.label:{wide}}{card.topic:26}{anchors}{card.data}")


def _show(options: argparse.Namespace) -> None:
    cls = task_class(options.task)
    print(f"{cls.card.id}\n\n{_description(cls)}")
    for name, value in cls.card.to_dict().items():
        text = json.dumps(value) if isinstance(value, dict | list) else value
        print(f"{name:16} {text}")


def _description(cls: type[Task]) -> str:
    return (sys.modules[cls.__module__].__doc__ or "").strip() + "\n"


def _agents(options: argparse.Namespace, task: Task, stage: str) -> list[Agent]:
    """Return one agent for each seed."""
    if options.agent in ("trivial", "ideal"):
        agent = getattr(task, options.agent)(stage)
        return [seeded(agent, seed) for seed in range(options.seeds)]
    module, _, name = options.agent.partition(":")
    if not name:
        raise ValueError(f"--agent is {options.agent!r}; give 'trivial', 'ideal' or 'module:name'")
    sys.path.insert(0, "")
    try:
        found: Any = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"--agent {options.agent!r} cannot be imported: {error}") from error
    return [found() if callable(found) else found for _ in range(options.seeds)]


def _evaluate(options: argparse.Namespace) -> None:
    task = load(options.task)
    card: TaskCard = task.card
    print(f"{card.id}: {card.metric.name} in {card.metric.unit}, {options.seeds} seeds")
    for stage in [options.stage] if options.stage else card.evaluated:
        agents = _agents(options, task, stage)
        result = evaluate(task, agents, seeds=range(options.seeds), stages=[stage])[stage]
        raw, score = interval(result.raw), interval(result.score)
        ends = f"95 % interval {score.low:.3f} to {score.high:.3f}"
        print(f"{stage:8} raw {raw.mean:8.4g}   score {score.mean:6.3f}   {ends}")


def _data_status(_: argparse.Namespace) -> None:
    print(sources.cache_dir())
    for source in sources.all_sources():
        for name, state in source.status().items():
            print(f"{source.name:16}{name:36}{state}")


def _data_fetch(options: argparse.Namespace) -> None:
    for name in options.name:
        source = sources.get(name)
        source.fetch()
        print(f"{name}: {source.title} is in {source.folder}")


def _data_add(options: argparse.Namespace) -> None:
    chosen = sources.all_sources() if options.name == "all" else (sources.get(options.name),)
    for source in chosen:
        try:
            added = source.add(options.path)
        except NeurotasksError as error:
            if options.name != "all":
                raise
            print(f"{source.name}: {error}")
            continue
        print(f"{source.name}: added {', '.join(added)}")


def _pack(options: argparse.Namespace) -> None:
    from neurotasks.submission.pack import Words, pack_run  # noqa: PLC0415 - the others do without

    words = Words(
        agent=options.name,
        description=options.description,
        link=options.link,
        external_data=options.external_data,
        tuning_trials=options.tuning_trials,
    )
    manifest = pack_run(options.result, options.out, words)
    runs = f"{len(manifest.seeds)} seeds" if len(manifest.seeds) > 1 else "1 seed"
    print(f"{options.out}: {manifest.agent} on {manifest.task}, {manifest.format}, {runs}")


def _check(options: argparse.Namespace) -> None:
    from neurotasks.submission.check import problems  # noqa: PLC0415

    found = problems(options.folder)
    for problem in found:
        print(problem)
    if found:
        raise CorruptSubmission(f"{options.folder} has {len(found)} problems: no board takes it")
    print(f"{options.folder}: nothing is wrong")


def _join(options: argparse.Namespace) -> None:
    from neurotasks.submission.client import join  # noqa: PLC0415

    told = join(options.to, options.invitation, options.name)
    print(f"the token of {options.name}, shown this once; keep it as NEUROTASKS_TOKEN:")
    print(told["token"])


def _submit(options: argparse.Namespace) -> None:
    from neurotasks.submission.client import status, submit  # noqa: PLC0415

    told = submit(options.folder, options.to, options.token)
    print(f"handed in: {told.get('url') or told.get('file')} ({told['state']})")
    while options.wait and told["state"] in _UNDONE and "id" in told:
        time.sleep(_PAUSE)
        told = status(options.to, told["id"], options.token)
    if options.wait:
        print(" ".join(str(told[name]) for name in ("state", "reason") if told.get(name)))
