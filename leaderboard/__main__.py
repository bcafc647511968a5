"""The command line of the board: pages from result files or a store, and all that runs a store."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

import neurotasks
from leaderboard.cli import COMMANDS, add_commands, add_store, run
from leaderboard.collect import Board, Row, Table, collect, read
from leaderboard.figures import text
from leaderboard.numbers import count
from leaderboard.pages import build
from leaderboard.runs import Run
from leaderboard.summary import by_topic
from neurotasks.card import TaskCard
from neurotasks.errors import NeurotasksError
from neurotasks.results import write_atomically

__all__ = ["main"]

_FAILED = 2
_WIDTH = 120


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return 0, or 2 after an error told on one line."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if (
        options.command == "build"
        and options.results
        and options.out.resolve().is_relative_to(options.results.resolve())
    ):
        parser.error(
            f"--out {options.out} lies in --results {options.results}, so that the next build "
            "would read this one's files: choose a folder outside"
        )
    try:
        if options.command in COMMANDS:
            return run(options)
        if options.db is not None:
            return _of_store(parser, options)
        board = collect(read(options.results), neurotasks.cards(), options.minimum_seeds)
        if options.command == "build":
            _write(build(board, options.title, options.minimum_seeds), board, options.out)
        else:
            _rank(board)
    except (NeurotasksError, OSError) as error:
        print(" ".join(f"leaderboard: {error}".split()), file=sys.stderr)
        return _FAILED
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m leaderboard", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    pages = commands.add_parser("build", help="write static pages")
    pages.add_argument("--out", type=Path, default=Path("site"), help="folder of the pages")
    pages.add_argument("--title", default="neurotasks leaderboard", help="title of the board")
    rank = commands.add_parser("rank", help="print the ranking")
    for command in (pages, rank):
        source = command.add_mutually_exclusive_group(required=True)
        source.add_argument("--results", type=Path, help="folder of the result files")
        add_store(command, source)
        command.add_argument("--board", help="name of the store's board")
        command.add_argument(
            "--minimum-seeds", type=int, default=1, help="seeds that a result file's rank needs"
        )
    add_commands(commands)
    return parser


def _of_store(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    """Build pages, or print the ranking, of a board of a store."""
    from leaderboard.model import Model  # noqa: PLC0415 - result files need no database
    from leaderboard.snapshot import snapshot  # noqa: PLC0415
    from leaderboard.store import open_store  # noqa: PLC0415

    if not options.board:
        parser.error("--db holds boards: name one with --board")
    with open_store(options.db, options.artefacts) as store:
        record = store.boards.get(options.board)
        board = snapshot(store, record)
        if options.command == "rank":
            _rank(board)
            return 0
        model = Model(store)

        def run_of(row: Row, _: TaskCard) -> Run:
            found = model.run(row.submission or 0)[1]
            return replace(found, files=[(name, "", sha) for name, _, sha in found.files])

        site = build(board, record.title, record.minimum_seeds, run_of)
    _write(site, board, options.out)
    return 0


def _write(site: dict[str, bytes], board: Board, out: Path) -> None:
    """Write what was rendered before: an error of rendering leaves the folder as it was.

    The index comes last, so that a killed build leaves no link to a page that is not there.
    """
    for name in sorted(site, key=lambda name: (name == "index.html", name)):
        write_atomically(out / name, site[name])
    print(f"{len(board.records)} results on {len(site)} files: open {out / 'index.html'}")


def _rank(board: Board) -> None:
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:  # a log file or a pipe has no edge to wrap at
        console.width = _WIDTH
    for topic, tables in by_topic(board.tables).items():
        ranked = [table for table in tables if table.rows]
        if ranked:
            console.print(f"\n{topic.upper()}")
        for table in ranked:
            metric = table.card.metric
            measured = f"{metric.name} in {metric.unit}, {metric.better} is better"
            console.print(f"\n{table.card.label}: {measured}", soft_wrap=True)
            console.print(_grid(table))
    _print_unranked(console, board)


def _print_unranked(console: Console, board: Board) -> None:
    for record in board.unknown:
        console.print(f"not ranked, {record.result.task} is not registered: {record.path}")
    for table in board.tables:
        for row in table.unranked:
            console.print(f"not ranked, too few seeds: {row.record.path}")
        for row in table.earlier:
            console.print(f"not ranked, of an earlier {table.card.label}: {row.record.path}")


def _grid(table: Table) -> Grid:
    grid = Grid(box=None)
    for name in ("rank", "could be", "agent", "score", "shift", "raw", "seeds", "parameters"):
        grid.add_column(name, justify="left" if name == "agent" else "right", no_wrap=True)
    for row in table.rows:
        grid.add_row(*(Text(cell) for cell in _cells(row)))
    return grid


def _cells(row: Row) -> tuple[str, ...]:
    shift = row.scores.get("shift")
    return (
        "" if row.rank is None else str(row.rank),
        "" if row.places is None else "-".join(map(str, dict.fromkeys(row.places))),
        row.agent,
        text(row.score),
        "" if shift is None else text(shift),
        text(row.raws[row.stage]),
        str(row.score.runs),
        count(row.result.parameters),
    )


if __name__ == "__main__":
    sys.exit(main())
