"""Large boards of made-up results: folders of files, and stores filled without a queue."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa

from leaderboard.store import Store
from leaderboard.store.boards import insert_task
from leaderboard.store.events import append, lock
from leaderboard.store.tables import (
    accounts,
    records,
    results,
    sizes,
    standings,
    submissions,
    suites,
)
from neurotasks.card import TaskCard
from neurotasks.results import Result, StageResult, write_result
from neurotasks.scores import Interval, interval, score
from neurotasks.submission.manifest import Manifest

SEEDS = 5
_CHUNK = 20_000  # rows inserted at once


def write_results(folder: Path, cards: Iterable[TaskCard], agents: int) -> int:
    """Write a result file for each of some agents on each task; return how many."""
    draw = np.random.default_rng(0)
    count = 0
    for card in cards:
        for agent in range(agents):
            name = {0: "ideal", 1: "trivial"}.get(agent, f"agent-{agent:03d}")
            level = {0: 1.0, 1: 0.0}.get(agent, float(draw.beta(5, 2)))
            levels = level + 0.02 * draw.standard_normal(SEEDS)
            curve = [[[x, level * (1 - np.exp(-x / 4000))] for x in range(0, 20_001, 1000)]] * SEEDS
            result = Result(
                task=card.id, card=card.hash, agent=name, config={"width": 64},
                seeds=tuple(range(SEEDS)), stages=_stages(card, levels),
                parameters=int(10 ** draw.uniform(2, 6)), samples=20_000, flops=10**9,
                seconds=60.0, cpu_seconds=float(10 ** draw.uniform(0, 4)),
                energy_kwh=float(10 ** draw.uniform(-6, -2)), energy_method="rapl",
                hardware="Test processor", versions={"numpy": "2.4.6"}, commit="0" * 40,
                curves={"validation": curve},
            )  # fmt: skip
            write_result(result, folder / card.label / f"{name}.json")
            count += 1
    return count


def fill_store(store: Store, board: str, cards: list[TaskCard], agents: int) -> int:
    """Put verified submissions of some agents on each task into a board; return how many."""
    store.boards.open(board, f"Board {board}", tasks=",".join(card.label for card in cards))
    draw = np.random.default_rng(0)
    with store.database.write() as connection:
        lock(connection)
        now = store.database.clock()
        for card in cards:
            insert_task(connection, card, now)
        first = _insert_accounts(connection, board, agents, now)
        scores: dict[int, list[float]] = {agent: [] for agent in range(agents)}
        number = connection.execute(sa.select(sa.func.max(submissions.c.id))).scalar() or 0
        begin = number
        rows: dict[sa.Table, list[dict[str, Any]]] = {}
        for card in cards:
            for agent, level in enumerate(draw.beta(5, 2, size=agents)):
                number += 1
                levels = float(level) + 0.02 * draw.standard_normal(SEEDS)
                for table, row in _rows(card, board, first + agent, agent, number, levels):
                    rows.setdefault(table, []).append(row)
                scores[agent].append(float(levels.mean()))
            _insert(connection, rows)
        _insert(connection, {suites: [
            {"board": board, "account": first + agent, "agent": _name(agent), "tasks": len(cards),
             "score": value.mean, "low": value.low, "high": value.high}
            for agent, value in ((agent, interval(own)) for agent, own in scores.items())
        ]})  # fmt: skip
        _insert(connection, {sizes: [
            {"board": board, "task": card.id, "card": card.hash, "list": "ranked", "rows": agents,
             "last": number}
            for card in cards
        ]})  # fmt: skip
        best = [{"board": board, "submission": begin + 1 + n, "score": 0.5, "previous": None,
                 "created": now} for n in range(min(50, number - begin))]  # fmt: skip
        _insert(connection, {records: best})
        append(connection, now, "operator", "fill", f"board {board}", count=number - begin)
        if not store.database.is_sqlite:  # which counts by itself
            for table in (accounts, submissions):
                _count_on(connection, table)
    with store.database.write() as connection:
        connection.execute(sa.text("ANALYZE"))
    return number - begin


def _name(agent: int) -> str:
    return f"agent-{agent:05d}"


def _count_on(connection: sa.Connection, table: sa.Table) -> None:
    """Let PostgreSQL number new rows after those that brought their numbers."""
    sequence = sa.func.pg_get_serial_sequence(table.name, "id")
    last = sa.select(sa.func.max(table.c.id)).scalar_subquery()
    connection.execute(sa.select(sa.func.setval(sequence, last)))


def _insert_accounts(connection: sa.Connection, board: str, count: int, now: float) -> int:
    last = connection.execute(sa.select(sa.func.max(accounts.c.id))).scalar() or 0
    _insert(connection, {accounts: [
        {"id": last + 1 + n, "board": board, "name": f"Student {n:05d}", "created": now,
         "revoked": None} for n in range(count)
    ]})  # fmt: skip
    return int(last) + 1


def _insert(connection: sa.Connection, rows: dict[sa.Table, list[dict[str, Any]]]) -> None:
    for table in (accounts, submissions, results, standings, sizes, suites, records):
        found = rows.pop(table, [])
        for start in range(0, len(found), _CHUNK):
            connection.execute(sa.insert(table), found[start : start + _CHUNK])


def _stages(card: TaskCard, levels: np.ndarray) -> dict[str, StageResult]:
    found = {}
    for name in card.evaluated:
        stage = card.stages[name]
        raw = tuple(float(stage.chance + v * (stage.ceiling - stage.chance)) for v in levels)
        found[name] = StageResult(raw, tuple(score(v, stage) for v in raw))
    return found


def _rows(
    card: TaskCard,
    board: str,
    account: int,
    agent: int,
    number: int,
    levels: np.ndarray,
) -> Iterator[tuple[sa.Table, dict[str, Any]]]:
    name, stages = _name(agent), _stages(card, levels)
    summary = {
        stage: {"raw": _ends(found.raw_interval(card)),
                "score": _ends(found.score_interval(card, stage))}
        for stage, found in stages.items()
    }  # fmt: skip
    digest = hashlib.sha256(f"{number}".encode()).hexdigest()
    files = {f"model-{seed}.onnx": digest for seed in range(SEEDS)}
    parameters = 1000 + 7 * agent
    manifest = Manifest(task=card.id, card=card.hash, agent=name, format="onnx", files=files,
                        seeds=tuple(range(SEEDS)), parameters=parameters)  # fmt: skip
    mean, low, high, _ = summary["test"]["score"]
    yield submissions, {
        "id": number, "board": board, "account": account, "task": card.id, "card": card.hash,
        "agent": name, "format": "onnx", "kind": "model", "state": "verified", "reason": "",
        "released": 1, "content": digest, "manifest": manifest.to_json(), "seeds": SEEDS,
        "parameters": parameters, "samples": 20_000, "flops": 10**9,
        "cpu_seconds": 10.0 + agent % 977, "energy_kwh": 1e-5 * (1 + agent % 991), "stage": "test",
        "score": mean, "summary": json.dumps(summary), "details": "{}", "created": 0.0,
        "finished": 0.0, "attempts": 1, "lease": 1, "worker": "", "due": None,
    }  # fmt: skip
    for stage, found in stages.items():
        for place, (raw, value) in enumerate(zip(found.raw, found.score, strict=True)):
            yield results, {"submission": number, "stage": stage, "seed": place, "place": place,
                            "raw": raw, "score": value, "error": None}  # fmt: skip
    yield standings, {
        "board": board, "task": card.id, "card": card.hash, "list": "ranked", "account": account,
        "agent": name, "submission": number, "stage": "test", "score": mean, "low": low,
        "high": high,
    }  # fmt: skip


def _ends(value: Interval) -> list[float]:
    return [value.mean, value.low, value.high, value.runs]
