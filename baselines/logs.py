"""Where learners report, and the files that TensorBoard shows.

A learner's report is kept as curves until its run is done; then scalars and a picture of each seed
are written in one go. What is shown before, while it learns, stands in folders of its own, which go
then or when a repeat begins: a run that was killed leaves no half curve beside that of its repeat.
"""

from __future__ import annotations

import shutil
import struct
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurotasks.errors import MissingExtra
from neurotasks.results import Result

__all__ = ["CurveLog", "Show", "bars", "heat_map", "live", "png", "write_events"]

Show = Callable[[int, int, Mapping[str, float]], None]
"""Takes the place of a seed among those of a job, the samples so far, and named numbers."""

_SHORT = 5.0  # seconds of a job that are not worth a file
_FLUSH = 1.0  # seconds until what is shown is on the disk

_BLUE, _GREY, _BLACK = (31, 119, 180), (225, 225, 225), (0, 0, 0)


class CurveLog:
    """A log that keeps named numbers as curves.

    Seeds report one after the other, each from 0 samples up; a report of fewer samples than the
    last one begins the curve of the next seed. A learner that trains all seeds side by side reports
    afterwards, and is watched meanwhile.

    Args:
        show: Is told at once.

    Attributes:
        curves: For each name a list over seeds of lists of [samples, value].
    """

    def __init__(self, show: Show | None = None) -> None:
        self.curves: dict[str, list[list[list[float]]]] = {}
        self._show = show
        self._watched = False
        self._last = -1
        self._seed = 0

    def __call__(self, samples: int, **scalars: float) -> None:
        """Record named numbers after this many samples."""
        if samples <= self._last:
            self._seed += 1
        self._last = samples
        if self._show is not None and not self._watched:
            self._show(self._seed, samples, scalars)
        for name, value in scalars.items():
            curve = self.curves.setdefault(name, [])
            while len(curve) <= self._seed:
                curve.append([])
            curve[self._seed].append([samples, float(f"{value:.6g}")])

    def clear(self) -> None:
        """Forget what was recorded: the job begins again."""
        self.curves.clear()
        self._last, self._seed = -1, 0

    def watch(self, samples: int, validation: float) -> None:
        """Show the mean raw validation metric of all seeds; it is no part of the curves."""
        self._watched = True
        if self._show is not None:
            self._show(0, samples, {"mean validation": validation})


@contextmanager
def live(folder: Path, seeds: Sequence[int]) -> Iterator[Show | None]:
    """Lend what shows the curves of a job while it learns, in `folder/live-seedN`; None of no seed.

    What an earlier job left there is deleted.
    """
    if not seeds:
        yield None
        return
    for seed in seeds:
        shutil.rmtree(_live(folder, seed), ignore_errors=True)
    with closing(_Live(folder, seeds)) as show:
        yield show


class _Live:
    """Writes what it is told within a second or two, once a job has lasted a while.

    Args:
        folder: Holds a folder for each seed.
        seeds: The seeds.
    """

    def __init__(self, folder: Path, seeds: Sequence[int]) -> None:
        self._folders = [_live(folder, seed) for seed in seeds]
        self._writers: dict[Path, Any] = {}
        self._waiting: list[tuple[Path, int, Mapping[str, float]]] = []
        self._begin = time.monotonic() + _SHORT

    def __call__(self, place: int, samples: int, scalars: Mapping[str, float]) -> None:
        folder = self._folders[min(place, len(self._folders) - 1)]
        self._waiting.append((folder, samples, scalars))
        if time.monotonic() < self._begin:
            return
        with suppress(OSError):  # a folder that cannot be written is named when results are
            for into, shown, numbers in self._waiting:
                if into not in self._writers:
                    self._writers[into] = _writer(into, flush_secs=_FLUSH)
                _add(self._writers[into], shown, numbers)
        self._waiting.clear()

    def close(self) -> None:
        with suppress(OSError):
            for writer in self._writers.values():
                writer.close()


def write_events(result: Result, folder: Path) -> None:
    """Write the curves, scores and a picture of each seed that has no folder yet.

    A folder is there whole or not at all, so that a writer that was killed is made good later. It
    takes the place of what was shown of the seed while it learned.

    Args:
        result: A result.
        folder: Holds a folder for each seed.

    Raises:
        MissingExtra: TensorBoard is not installed.
    """
    for number, seed in enumerate(result.seeds):
        place = folder / f"seed{seed}"
        shutil.rmtree(_live(folder, seed), ignore_errors=True)
        if not place.exists():
            half = folder / f".seed{seed}"
            shutil.rmtree(half, ignore_errors=True)
            _write_seed(result, number, half)
            half.rename(place)


def _live(folder: Path, seed: int) -> Path:
    return folder / f"live-seed{seed}"


def _write_seed(result: Result, number: int, folder: Path) -> None:
    writer = _writer(folder)
    for name, curves in result.curves.items():
        for samples, value in curves[number]:
            _add(writer, int(samples), {name: value})
    _add(writer, result.samples, {f"score/{n}": s.score[number] for n, s in result.stages.items()})
    name, picture = _picture(result, number)
    writer.add_event(_event(result.samples, tag=name, image=_image(picture)))
    writer.close()


def _writer(folder: Path, **how: float) -> Any:
    """Return what writes an event file into a folder, which it makes.

    Raises:
        MissingExtra: TensorBoard is not installed.
    """
    try:
        from tensorboard.summary.writer.event_file_writer import (  # noqa: PLC0415 - loads slowly
            EventFileWriter,
        )
    except ModuleNotFoundError as error:
        raise MissingExtra("tensorboard", "torch") from error
    return EventFileWriter(str(folder), **how)


def _add(writer: Any, samples: int, scalars: Mapping[str, float]) -> None:
    """Write named numbers after this many samples."""
    for name, value in scalars.items():
        writer.add_event(_event(samples, tag=name, simple_value=value))


def _event(step: int, **value: Any) -> Any:
    """Return one entry of an event file."""
    from tensorboard.compat.proto import event_pb2, summary_pb2  # noqa: PLC0415 - loads slowly

    summary = summary_pb2.Summary(value=[summary_pb2.Summary.Value(**value)])
    return event_pb2.Event(wall_time=time.time(), step=step, summary=summary)


def _image(pixels: NDArray[np.uint8]) -> Any:
    from tensorboard.compat.proto import summary_pb2  # noqa: PLC0415 - loads slowly

    height, width = pixels.shape[:2]
    return summary_pb2.Summary.Image(
        height=height, width=width, colorspace=3, encoded_image_string=png(pixels)
    )


def _picture(result: Result, number: int) -> tuple[str, NDArray[np.uint8]]:
    """Return the name and the picture of a seed: of a stream its matrix, else its scores."""
    matrices = result.stages["test"].extra.get("matrix")
    if matrices is not None:
        return "accuracy matrix", heat_map(matrices[number])
    return "scores", bars({name: stage.score[number] for name, stage in result.stages.items()})


def heat_map(matrix: Sequence[Sequence[float]], cell: int = 24) -> NDArray[np.uint8]:
    """Draw numbers from 0 (white) to 1 (blue), (R, C) to (R * cell, C * cell, 3)."""
    share = np.clip(np.asarray(matrix, dtype=np.float64), 0.0, 1.0)[..., None]
    colours = 255.0 - share * (255.0 - np.asarray(_BLUE))
    return colours.round().astype(np.uint8).repeat(cell, axis=0).repeat(cell, axis=1)


def bars(scores: Mapping[str, float], width: int = 300, height: int = 24) -> NDArray[np.uint8]:
    """Draw a bar for each score, (stages * height, width, 3), black lines at chance and ceiling.

    The scale runs from -0.25 to 1.25; what lies outside is drawn at its end.
    """
    picture = np.full((len(scores) * height, width, 3), _GREY, dtype=np.uint8)

    def column(score: float) -> int:
        return int(np.clip((score + 0.25) / 1.5, 0.0, 1.0) * (width - 1))

    for row, score in enumerate(scores.values()):
        low, high = sorted((column(0.0), column(score)))
        picture[row * height + 4 : (row + 1) * height - 4, low : high + 1] = _BLUE
    picture[:, [column(0.0), column(1.0)]] = _BLACK
    return picture


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Return pixels (H, W, 3) as a PNG file (W3C, Portable Network Graphics, 2003)."""
    height, width = pixels.shape[:2]
    rows = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, -1)], axis=1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes())), (b"IEND", b""))
    chunks = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)
