"""The one way in which a benchmark compares two sides."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import pytest

ROUNDS = 15


@pytest.fixture
def compare(benchmark):
    """Return a function that times two sides interleaved and records their ratio.

    The ratio is min(reference) / min(work), times a scale: above 1, the work is the faster side.
    The spread is the middle half of the ratios of neighbouring rounds, so that both sides saw the
    same machine.
    """

    def run(
        name: str,
        work: Callable[[], object],
        reference: Callable[[], object],
        *,
        target: float | None = None,
        rounds: int = ROUNDS,
        scale: float = 1.0,
        warm: bool = True,
    ) -> float:
        if warm:  # the caches of both sides
            work()
            reference()
        times: list[float] = []

        def measured() -> None:
            begin = time.perf_counter()
            reference()
            times.append(time.perf_counter() - begin)

        benchmark.pedantic(work, setup=measured, rounds=rounds, iterations=1)
        ours = benchmark.stats.stats.data
        ratio = scale * min(times) / min(ours)
        low, _, high = statistics.quantiles(
            [scale * r / w for r, w in zip(times, ours, strict=True)], n=4
        )
        benchmark.extra_info.update(name=name, ratio=ratio, target=target, spread=[low, high])
        return ratio

    return run


@pytest.fixture
def yardstick():
    """Return a fixed piece of NumPy work of some ten milliseconds, to measure others against."""
    matrix = np.random.default_rng(0).normal(size=(256, 256))

    def work() -> float:
        total = 0.0
        for _ in range(4):
            bits = np.random.Philox(key=1).random_raw(100_000)
            total += float((matrix @ matrix).sum() + np.sqrt(bits.astype(np.float64)).sum())
        return total

    return work
