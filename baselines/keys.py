"""The key of a run: a hash of all that its numbers depend on, except the seed.

A finished seed is known by its key and its number, and is never computed again. The key covers

- the card, whose hash stands for the task's data, stages and anchors;
- what the agent is told: learner, settings, samples, device;
- the code: the text of the modules of the task, its recorded source, the learner, the evaluation
  and the worker, and of all modules of `neurotasks` and `agents` that those import, directly or
  not. So a change in one family of agents does not void the results of another.

Other libraries' versions are recorded in the result, and are not part of the key.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import json
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from baselines.plan import Run
from neurotasks import load
from neurotasks.card import TaskCard

__all__ = ["code", "key"]

_FOLLOWED = ("neurotasks", "agents")


def key(run: Run) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of what a run's numbers depend on."""
    task, learner = load(run.task), run.recipe.learner
    told = {
        "card": task.card.hash,
        "agent": run.agent,
        "learner": f"{learner.module}.{learner.name}",
        "settings": dict(learner.settings),
        "device": run.device if learner.placed else "",
        "budget": run.budget,
        "samples": run.recipe.samples[run.budget],
        "code": code(*_roots(task.card, type(task).__module__, learner.module)),
    }
    return _digest(json.dumps(told, sort_keys=True, default=repr).encode())


def code(*modules: str) -> str:
    """Return a hash of the text of modules and of all that they import of ours.

    Args:
        modules: Full names.
    """
    texts = (f"{name}\n".encode() + _text(name) for name in sorted(_closure(modules)))
    return _digest(b"\n".join(texts))


def _roots(card: TaskCard, task: str, learner: str) -> tuple[str, ...]:
    source = (f"neurotasks.sources.{card.source}",) if card.source else ()
    return (task, learner, "neurotasks.continual", "baselines.work", *source)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _closure(modules: Iterable[str]) -> set[str]:
    found: set[str] = set()
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name not in found and _file(name) is not None:
            found.add(name)
            waiting += _imports(name)
    return found


@cache
def _file(module: str) -> Path | None:
    """Return the file of a module, or None where there is no such module."""
    top, *rest = module.split(".")
    package = importlib.import_module(top).__file__
    if package is None:
        return None
    path = Path(package).parent.joinpath(*rest)
    files = (path / "__init__.py", path.with_suffix(".py"))
    return next((file for file in files if file.is_file()), None)


@cache
def _text(module: str) -> bytes:
    file = _file(module)
    return b"" if file is None else file.read_bytes()


@cache
def _imports(module: str) -> tuple[str, ...]:
    """Return the modules of ours that a module imports, wherever in its text."""
    nodes = ast.walk(ast.parse(_text(module)))
    names = dict.fromkeys(name for node in nodes for name in _named(node))
    return tuple(name for name in names if name.split(".")[0] in _FOLLOWED)


def _named(node: ast.AST) -> Iterator[str]:
    """Yield the modules that a statement imports; of `from a import b`, a.b where it is one."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in _FOLLOWED:
        for alias in node.names:
            inner = f"{node.module}.{alias.name}"
            yield inner if _file(inner) is not None else str(node.module)
