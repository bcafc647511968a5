"""Write the course map and a page for each task, derived from the cards.

python docs/build.py [FOLDER]      (by default docs/build)
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import neurotasks
from neurotasks.card import TaskCard
from neurotasks.registry import task_class
from neurotasks.results import write_atomically


def main(folder: Path) -> None:
    """Write all pages."""
    cards = neurotasks.cards()
    write_atomically(folder / "course-map.md", course_map(cards).encode())
    for card in cards:
        write_atomically(folder / "tasks" / f"{card.label}.md", page(card).encode())
    sys.stdout.write(f"{len(cards) + 1} pages are in {folder}\n")


def course_map(cards: Iterable[TaskCard]) -> str:
    """Return the table from each course to its topics and their tasks."""
    lines = ["# Course map", "", "| course | topic | tasks |", "|---|---|---|"]
    rows: dict[tuple[str, str], list[str]] = {}
    for card in cards:
        for course in card.courses:
            rows.setdefault((course, card.topic), []).append(card.label)
    for (course, topic), labels in sorted(rows.items()):
        links = ", ".join(f"[{label}](tasks/{label}.md)" for label in labels)
        lines.append(f"| {course} | {topic} | {links} |")
    return "\n".join(lines) + "\n"


def page(card: TaskCard) -> str:
    """Return a task's page: its docstring, its facts, its anchors."""
    text = (sys.modules[task_class(card.id).__module__].__doc__ or "").strip()
    facts = {
        "id": card.id,
        "metric": f"{card.metric.name}, {card.metric.unit} ({card.metric.better} is better)",
        "chance": card.chance_source,
        "ceiling": f"{card.ceiling}: {card.ceiling_source}",
        "splits": ", ".join(f"{name} {size:,}" for name, size in card.splits.items()),
        "licence": card.licence,
        "cite": card.citation,
    }
    lines = [f"# {card.label}", "", text, "", "| | |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in facts.items() if value]
    lines += ["", "| stage | parameters | chance | ceiling |", "|---|---|---|---|"]
    for name, stage in card.stages.items():
        told = ", ".join(f"{key} {value}" for key, value in stage.parameters.items()) or "-"
        lines.append(f"| {name} | {told} | {stage.chance:.4g} | {stage.ceiling:.4g} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/build"))
