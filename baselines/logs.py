"""Where learners report: TensorBoard's files, and the learning curves of the result."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self

__all__ = ["TensorBoardLog"]


class TensorBoardLog:
    """A log that writes scalars for TensorBoard and keeps them as curves.

    Seeds report one after the other, each from 0 samples up; a report of fewer samples than the
    last one begins the curve of the next seed.

    Args:
        folder: Where the event files go, one folder for each seed; made at the first report.

    Attributes:
        curves: For each name a list over seeds of lists of [samples, value].
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.curves: dict[str, list[list[list[float]]]] = {}
        self._writer: Any = None
        self._last = -1
        self._seed = -1

    def __enter__(self) -> Self:
        """Open nothing yet."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()

    def __call__(self, samples: int, **scalars: float) -> None:
        """Record named numbers after this many samples."""
        if samples <= self._last or self._writer is None:
            self._next_seed()
        self._last = samples
        for name, value in scalars.items():
            self._writer.add_scalar(name, value, samples)
            curve = self.curves.setdefault(name, [])
            while len(curve) <= self._seed:
                curve.append([])
            curve[self._seed].append([samples, float(f"{value:.6g}")])

    def _next_seed(self) -> None:
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - loads slowly

        if self._writer is not None:
            self._writer.close()
        self._seed += 1
        self._writer = SummaryWriter(str(self.folder / f"seed{self._seed}"))
