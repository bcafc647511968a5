"""What a page says of a task: its description, its facts, and how to cite it."""

from __future__ import annotations

import inspect
import re
import sys

from neurotasks.card import TaskCard
from neurotasks.registry import task_class

__all__ = ["bibtex", "description", "facts"]

_HEADING = re.compile(r"([A-Z][A-Za-z ]{2,40}): +(.+)", re.DOTALL)


def description(card: TaskCard) -> tuple[tuple[str, str], ...]:
    """Return the docstring of a task's module as pairs of heading and text.

    The first paragraph has an empty heading, and so has any that begins with none. Each item of a
    list is a line of its own.
    """
    module = sys.modules[task_class(card.id).__module__]
    words = inspect.cleandoc(module.__doc__ or "").replace("`", "")  # a page shows no markup
    paragraphs = words.split("\n\n")
    pairs: list[tuple[str, str]] = []
    for paragraph in filter(None, map(_lines, paragraphs)):
        heading = _HEADING.fullmatch(paragraph) if pairs else None
        title, text = (heading[1], heading[2]) if heading else ("", paragraph)
        pairs.append((title, text[:1].upper() + text[1:]))
    return tuple(pairs)


def _lines(paragraph: str) -> str:
    """Return a paragraph as one line, or a list as one line for each item."""
    if not paragraph.startswith("- "):
        return " ".join(paragraph.split())
    items = (" ".join(item.split()) for item in re.split(r"^- ", paragraph, flags=re.MULTILINE))
    return "\n".join(f"\u2022 {item}" for item in filter(None, items))


def bibtex(card: TaskCard) -> str:
    """Return what to cite, the way a bibliography takes it."""
    note = re.sub(r"[{}\\]", "", card.citation)
    return (
        f"@misc{{neurotasks-{card.label},\n"
        f"  title        = {{{{{card.label}}}: {card.topic}}},\n"
        f"  howpublished = {{neurotasks, task {card.id}, card {card.hash}}},\n"
        f"  note         = {{{note}}}\n}}"
    )


def facts(card: TaskCard) -> tuple[tuple[str, str], ...]:
    """Return the card as pairs of term and text; its stages have a table of their own."""
    better = f"{card.metric.better} is better"
    return (
        ("Id", card.id),
        ("Form", card.form),
        ("Topic", card.topic),
        ("Courses", ", ".join(card.courses)),
        ("Metric", f"{card.metric.name}, in {card.metric.unit}; {better}"),
        ("Chance", card.chance_source),
        ("Ceiling", f"{card.ceiling}: {card.ceiling_source}".replace("+-", "\u00b1")),
        ("Steps of a trial", f"{card.steps:,}"),
        (
            "Trials of splits",
            ", ".join(f"{name} {size:,}" for name, size in card.splits.items()) or "none",
        ),
        ("Data", card.data if card.source is None else f"{card.data}, from {card.source}"),
        ("Licence", card.licence),
        ("Citation", card.citation),
        ("Tags", ", ".join(card.tags) or "none"),
        *((("Superseded by", card.superseded_by),) if card.superseded_by else ()),
        ("History", " ".join(f"v{n}: {line}" for n, line in enumerate(card.history))),
        ("Card hash", card.hash),
    )
