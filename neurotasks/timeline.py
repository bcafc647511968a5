"""Trials that are a sequence of phases: fixation, stimulus, delay, decision.

A timeline says when each phase of each trial begins and ends. It lays inputs over phases and marks
the steps of the decision, which alone are scored: to fixate is right most of the time, and says
nothing. Phases that are equally long in all trials are written as slices, which is fast; where a
duration is drawn for each trial, the same calls write through masks.

    timeline = Timeline(draw, {"fixation": 1, "stimulus": 20, "decision": 1})
    x = timeline.blank(channels=3)
    timeline.show(x, 0, 1.0, "fixation", "stimulus")
    timeline.show(x, slice(1, 3), evidence, "stimulus")
    timeline.noise(x, slice(1, 3), 0.1, "stimulus")
    batch = timeline.batch(x, choice, "decision", {"coherence": coherence})
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from neurotasks.arrays import Array
from neurotasks.rng import Draw
from neurotasks.task import Batch

__all__ = ["Timeline"]

_MANY = 8  # channels that are faster taken together


class Timeline:
    """The phases of B trials.

    Args:
        draw: The trials.
        phases: Duration in steps of each phase in order: an integer, or (B,) int64 where it differs
            between trials.
        steps: Length of all trials; what is left after the last phase stays blank. By default the
            end of the last phase, which then must be an integer.

    Attributes:
        steps: Length of all trials, T.
        start: The first step of each phase by name, an integer or (B,) int64.
        end: The step after its last.
    """

    def __init__(
        self, draw: Draw, phases: Mapping[str, int | Array], steps: int | None = None
    ) -> None:
        self.draw = draw
        self.start: dict[str, int | Array] = {}
        self.end: dict[str, int | Array] = {}
        now: int | Array = 0
        for name, duration in phases.items():
            self.start[name] = now
            now = now + duration
            self.end[name] = now
        if steps is None:
            if not isinstance(now, int):
                raise TypeError("durations differ between trials: say how many steps all have")
            steps = now
        self.steps = steps

    def during(self, *names: str) -> Array:
        """Return which steps belong to any of some phases, (B, T) bool, or (1, T) for all alike."""
        xp, time = self.draw.xp, self.draw.asarray(np.arange(self.steps))[None]
        inside = xp.zeros((1, self.steps), dtype=xp.bool, device=self.draw.device)
        for name in names:
            start, end = self._column(self.start[name]), self._column(self.end[name])
            inside = inside | ((time >= start) & (time < end))
        return inside

    def blank(self, channels: int) -> Array:
        """Return inputs that are zero, (B, T, channels) float32."""
        return self._zeros(self.draw.xp.float32, channels)

    def show(self, x: Array, channels: int | slice, value: float | Array, *names: str) -> None:
        """Add a value that is constant during some phases.

        Args:
            x: Inputs (B, T, C), changed in place.
            channels: One channel, or a slice of K.
            value: A number, (B,) for one channel, or (B, K).
            names: The phases.
        """
        xp = self.draw.xp
        level: Array = value
        if not isinstance(value, int | float):
            level = xp.astype(value, xp.float32)[:, None]
        for part in self._slices(names):
            if isinstance(channels, int) or isinstance(value, int | float):
                x[:, part, channels] += level
                continue
            for some, own in _few(x, channels):
                x[:, part, some] += level[..., own]
        loose = [name for name in names if self._loose(name)]
        if loose:
            inside = self.during(*loose)
            inside = inside if isinstance(channels, int) else inside[..., None]
            x[..., channels] += xp.astype(inside, xp.float32) * level

    def noise(
        self, x: Array, channels: slice, deviation: float, *names: str, field: str = "noise"
    ) -> None:
        """Add normal noise that is independent at each step of some phases.

        Args:
            x: Inputs (B, T, C), changed in place.
            channels: A slice of K channels.
            deviation: Its standard deviation.
            names: The phases; all steps of the trial if there are none.
            field: Name of the noise in the generator, one for each call on the same trials.
        """
        xp, count = self.draw.xp, len(range(*channels.indices(x.shape[2])))
        loose = not names or any(self._loose(name) for name in names)
        parts = [slice(0, self.steps)] if loose else self._slices(names)
        sizes = [part.stop - part.start for part in parts]
        noise = self.draw.normal(field, (sum(sizes), count))
        noise *= deviation
        if loose and names:
            noise *= xp.astype(self.during(*names), xp.float32)[..., None]
        for part, size in zip(parts, sizes, strict=True):
            for some, own in _few(x, channels):
                x[:, part, some] += noise[:, :size, own]
            noise = noise[:, size:]

    def batch(self, x: Array, wanted: Array, decision: str, trials: Mapping[str, Array]) -> Batch:
        """Return the trials with their answers.

        Args:
            x: Inputs (B, T, C).
            wanted: The answer that is right during the decision: classes (B,) int64, or vectors
                (B, K). At all other steps the truth is 0, which by custom is to fixate.
            decision: The phase whose steps are scored.
            trials: The table of trial parameters.
        """
        xp = self.draw.xp
        y, mask = self._zeros(wanted.dtype, *wanted.shape[1:]), self._zeros(xp.bool)
        if self._loose(decision):
            mask = mask | self.during(decision)
            inside = mask if wanted.ndim == 1 else mask[..., None]
            y = xp.where(inside, wanted[:, None], y)
        else:
            part = slice(self.start[decision], self.end[decision])
            mask[:, part] = True
            y[:, part] = wanted[:, None]
        return Batch(x, y, mask, trials)

    def _zeros(self, dtype: Any, *shape: int) -> Array:
        """Return zeros (B, T, *shape), step by step in memory where the trials lie side by side."""
        trials, xp = self.draw.size, self.draw.xp
        if self.draw.across:
            return xp.zeros((self.steps, trials, *shape), dtype=dtype).swapaxes(0, 1)
        return xp.zeros((trials, self.steps, *shape), dtype=dtype, device=self.draw.device)

    def _loose(self, name: str) -> bool:
        """Say whether a phase has other steps in other trials."""
        return not (isinstance(self.start[name], int) and isinstance(self.end[name], int))

    def _slices(self, names: tuple[str, ...]) -> list[slice]:
        """Return the steps of the phases that are alike in all trials, neighbours joined."""
        joined: list[slice] = []
        for name in names:
            if self._loose(name):
                continue
            start, end = self.start[name], self.end[name]
            if joined and joined[-1].stop == start:
                start = joined.pop().start
            joined.append(slice(start, end))
        return joined

    def _column(self, step: int | Array) -> int | Array:
        return step if isinstance(step, int) else step[:, None]


def _few(x: Array, channels: slice) -> list[tuple[slice, slice]]:
    """Return the slices to go through, in the inputs and among the channels themselves.

    Few channels are taken one by one, so that NumPy's innermost loop is the long one over steps.
    """
    numbers = range(*channels.indices(x.shape[2]))
    if len(numbers) >= _MANY:
        return [(channels, slice(None))]
    return [(slice(c, c + 1), slice(k, k + 1)) for k, c in enumerate(numbers)]
