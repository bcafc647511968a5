"""From a board to its pages: a mapping of file names to contents, and nothing is written here."""

from __future__ import annotations

import csv
import hashlib
import inspect
import io
import json
import re
import sys
from pathlib import Path
from typing import Any, TypeAlias

from leaderboard import figures, numbers, streams
from leaderboard.collect import Board, Table
from leaderboard.summary import by_topic, overall, suite
from neurotasks.card import TaskCard
from neurotasks.errors import MissingExtra
from neurotasks.registry import task_class

__all__ = ["agent_file", "bibtex", "build", "description", "table_csv"]

Pages: TypeAlias = dict[str, bytes]

_HERE = Path(__file__).parent
_PLAIN_NAME = re.compile(r"(?!.*-[0-9a-f]{8}$)[a-z0-9][a-z0-9_-]{0,59}")  # no hash of ours
_HEADING = re.compile(r"([A-Z][A-Za-z ]{2,40}): +(.+)", re.DOTALL)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_COLUMNS = (
    "task", "card", "current", "agent", "stage", "seed", "raw", "score", "parameters", "samples",
    "flops", "seconds", "cpu_seconds", "energy_kwh", "energy_method", "hardware", "commit",
)  # fmt: skip


def build(board: Board, title: str) -> Pages:
    """Return every file of the site by its path below the site's folder.

    Raises:
        MissingExtra: jinja2 is not installed.
    """
    render = _renderer(title)
    files = {agent: f"agents/{agent_file(agent)}" for agent in board.agents}
    shared = {"board": board, "agent_files": files}
    site = {
        "index.html": render(
            "index.html.j2", root="", topics=by_topic(board.tables), overall=overall(board.tables),
            overview=figures.overview(board.tables), **shared,
        ),
        "results.json": _json(board),
        "results.csv": table_csv(board).encode(),
    }  # fmt: skip
    for table in board.tables:
        context = _task_context(table)
        page = render("task.html.j2", root="../", table=table, card=table.card, **context, **shared)
        site[f"tasks/{table.card.label}.html"] = page
    for agent, file in files.items():
        site[file] = render("agent.html.j2", root="../", agent=agent, **shared)
    return site


def agent_file(agent: str) -> str:
    """Return a safe file name for an agent's page, different for different agents."""
    if _PLAIN_NAME.fullmatch(agent):
        return f"{agent}.html"
    stem = re.sub(r"[^a-z0-9]+", "-", agent.lower()).strip("-")[:40] or "agent"
    return f"{stem}-{hashlib.sha256(agent.encode()).hexdigest()[:8]}.html"


def description(card: TaskCard) -> tuple[tuple[str, str], ...]:
    """Return the docstring of a task's module as pairs of heading and text.

    The first paragraph has an empty heading, and so has any that begins with none.
    """
    module = sys.modules[task_class(card.id).__module__]
    paragraphs = inspect.cleandoc(module.__doc__ or "").split("\n\n")
    pairs: list[tuple[str, str]] = []
    for paragraph in filter(None, (" ".join(part.split()) for part in paragraphs)):
        heading = _HEADING.fullmatch(paragraph) if pairs else None
        title, text = (heading[1], heading[2]) if heading else ("", paragraph)
        pairs.append((title, text[:1].upper() + text[1:]))
    return tuple(pairs)


def bibtex(card: TaskCard) -> str:
    """Return what to cite, the way a bibliography takes it."""
    note = re.sub(r"[{}\\]", "", card.citation)
    return (
        f"@misc{{neurotasks-{card.label},\n"
        f"  title        = {{{{{card.label}}}: {card.topic}}},\n"
        f"  howpublished = {{neurotasks, task {card.id}, card {card.hash}}},\n"
        f"  note         = {{{note}}}\n}}"
    )


def table_csv(board: Board) -> str:
    """Return every result as lines of text, one for each stage and seed."""
    hashes = {table.card.id: table.card.hash for table in board.tables}
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for record in board.records:
        r = record.result
        for name, stage in r.stages.items():
            for seed, raw, score in zip(r.seeds, stage.raw, stage.score, strict=True):
                writer.writerow([
                    _cell(r.task), _cell(r.card), hashes.get(r.task) == r.card, _cell(r.agent),
                    name, seed, raw, score, r.parameters, r.samples, r.flops, r.seconds,
                    r.cpu_seconds, r.energy_kwh, _cell(r.energy_method), _cell(r.hardware),
                    _cell(r.commit),
                ])  # fmt: skip
    return buffer.getvalue()


def _cell(text: str) -> str:
    """Return text that a spreadsheet does not take for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _json(board: Board) -> bytes:
    records = [json.loads(record.result.to_json()) for record in board.records]
    return (json.dumps(records, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def _task_context(table: Table) -> dict[str, Any]:
    return {
        "description": description(table.card),
        "plot": figures.scores(table) if table.rows else "",
        "matrices": streams.matrices(table),
        "courses": streams.courses(table),
        "curves": figures.curves(table.rows),
        "details": figures.details(table.rows),
        "facts": _facts(table.card),
        "bibtex": bibtex(table.card),
        "energy_methods": sorted({row.result.energy_method for row in table.rows}),
        "stages": table.card.evaluated,
    }


def _facts(card: TaskCard) -> tuple[tuple[str, str], ...]:
    """Return the card as pairs of term and text; its stages have a table of their own."""
    better = f"{card.metric.better} is better"
    return (
        ("Id", card.id),
        ("Form", card.form),
        ("Topic", card.topic),
        ("Courses", ", ".join(card.courses)),
        ("Metric", f"{card.metric.name}, in {card.metric.unit}; {better}"),
        ("Chance", card.chance_source),
        ("Ceiling", f"{card.ceiling}: {card.ceiling_source}"),
        ("Steps", f"{card.steps:,}"),
        ("Splits", ", ".join(f"{name} {size:,}" for name, size in card.splits.items()) or "none"),
        ("Data", card.data if card.source is None else f"{card.data}, from {card.source}"),
        ("Licence", card.licence),
        ("Citation", card.citation),
        ("Tags", ", ".join(card.tags) or "none"),
        ("Superseded by", card.superseded_by or "nothing"),
        ("History", " ".join(f"v{n}: {line}" for n, line in enumerate(card.history))),
        ("Card hash", card.hash),
    )


def _renderer(title: str) -> Any:
    """Return the function that renders a template; every value in it is escaped."""
    try:
        import jinja2  # noqa: PLC0415 - only pages need it: ranking in a terminal does not
    except ModuleNotFoundError as error:
        raise MissingExtra("jinja2", "board") from error
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for function in (numbers.count, numbers.duration, numbers.energy, numbers.exact):
        environment.filters[function.__name__] = function
    environment.filters["mean_and_spread"] = numbers.mean_and_spread
    environment.globals.update(
        site=title, suite=suite, style=(_HERE / "style.css").read_text(encoding="utf-8")
    )

    def render(template: str, **context: Any) -> bytes:
        return environment.get_template(template).render(**context).encode()

    return render
