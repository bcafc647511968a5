"""The counter-based generator from which all randomness of the tasks comes.

Philox4x64-10 (Salmon et al., 2011, "Parallel random numbers: as easy as 1, 2, 3") maps a key and a
counter to four 64-bit words. There is no state: word j of trial k is a pure function of where it
stands, so that any trial can be drawn alone, in any order, batch, process or device.

    key      (seed, 56 bits of the task's name and 8 bits of the stage)
    counter  (block, step, 0, field)

A field is a named quantity of a trial ("noise", "orientation"). When a trial uses n words of a
field, trial k owns words [k n, (k + 1) n) of that field's stream; four words make a block. The
counter's second word is 0 for what is drawn at the start of a trial and t + 1 for step t.

NumPy's own `Philox` writes consecutive blocks at C speed; everywhere else (many short streams,
torch tensors on a GPU) the same words come from integer arithmetic on arrays.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field
from functools import cache
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from neurotasks.arrays import Array, Namespace
from neurotasks.errors import InvalidSeed
from neurotasks.philox import consecutive, philox, signed

__all__ = ["STAGES", "Draw", "check_seed", "philox"]

STAGES = ("train", "validation", "test", "shift", "private")
"""The stages, each a stream of its own. Their order is part of the generator: append only."""

_LOW = 0xFFFFFFFF
_WORD = (1 << 64) - 1
_C_SPEED_FROM = 32  # words per stream above which NumPy's own generator wins (measured)
_C_SPEED_UP_TO = 96  # streams, however short, up to which it wins
_PIECE = 1 << 14  # words that are turned into normals at a time, so that all stays in the cache
_UNIT, _TURN = np.float32(2.0**-24), np.float32(2 * math.pi)
_ONE, _MINUS_TWO = np.float32(1.0), np.float32(-2.0)
_POISSON_MAX = 500.0  # exp(-rate) must stay far from the smallest double


def check_seed(seed: Any) -> int:
    """Return the seed as a Python int, or raise `InvalidSeed`.

    Raises:
        InvalidSeed: The seed is not an integer in [0, 2**63).
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2**63:
        raise InvalidSeed(f"the seed is {seed!r}; it must be an integer from 0 to 2**63 - 1")
    return int(seed)


@cache
def _hash(text: str, bits: int) -> int:
    """Return the first bits of a text's SHA-256."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> (64 - bits)


def _numbers(first: Array, count: int) -> Array:
    """Return count consecutive integers from each first one, (S,) to (S, count)."""
    return first[:, None] + np.arange(count)


def _box_muller(words: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return two normals for each word, (B, n) to (B, 2 n); the words are overwritten.

    The same arithmetic as that of `Draw.normal`, in place and in pieces that stay in the cache. The
    normals lie in memory in the order of the words.
    """
    across = words.flags.f_contiguous and not words.flags.c_contiguous
    normals = np.empty((len(words), 2 * words.shape[1]), np.float32, order="F" if across else "C")
    cosine, sine = normals[:, : words.shape[1]], normals[:, words.shape[1] :]
    if across:
        words, cosine, sine = words.T, cosine.T, sine.T
    bits = words.view(np.uint32)
    bits >>= 8
    halves = bits.view(np.int32)  # now far below the sign; the conversion of these is faster
    piece = max(1, _PIECE // max(words.shape[1], 1))
    for start in range(0, len(words), piece):
        rows = slice(start, start + piece)
        part, cosines, sines = halves[rows], cosine[rows], sine[rows]
        radius, angle = part[:, 0::2].astype(np.float32), part[:, 1::2].astype(np.float32)
        radius += _ONE
        radius *= _UNIT
        np.log(radius, out=radius)
        radius *= _MINUS_TWO
        np.sqrt(radius, out=radius)
        angle *= _UNIT
        angle *= _TURN
        np.cos(angle, out=cosines)
        np.sin(angle, out=sines)
        cosines *= radius
        sines *= radius
    return normals


@dataclass(frozen=True)
class Draw:
    """The randomness of some trials of a task.

    A draw covers `count` consecutive trials of each of S seeds, B = S * count trials in all, in the
    order of the seeds. Its methods return arrays whose first axis is B.

    Attributes:
        task: The task's name without its version's hyphen, for example "CartPole-v0".
        stage: One of `STAGES`.
        seeds: The seeds, S integers.
        first: The number of the first trial of each seed, S integers.
        count: How many consecutive trials of each seed.
        step: The time step of each trial, B integers, or None for what is drawn at a trial's start.
        xp: The array namespace of what is returned.
        device: The device of what is returned; only torch knows devices other than "cpu".
        split: For recorded data, the split to take rows from; it does not change the words.
        across: Whether the trials lie side by side in memory, step by step; else the numbers of a
            trial do, which is so unless a subclass says otherwise.
    """

    across: ClassVar[bool] = False

    task: str
    stage: str
    seeds: Any
    first: Any = 0
    count: int = 1
    step: Array | None = None
    xp: Namespace = field(default=np)
    device: Any = None
    split: str = ""

    def __post_init__(self) -> None:
        """Bring seeds and first trials into one shape."""
        seeds = np.asarray(self.seeds, dtype=np.int64).reshape(-1)
        first = np.asarray(self.first, dtype=np.int64)
        if first.shape != seeds.shape:
            first = np.broadcast_to(first, seeds.shape)
        object.__setattr__(self, "seeds", seeds)
        object.__setattr__(self, "first", first)

    @property
    def size(self) -> int:
        """The number of trials, B."""
        return len(self.seeds) * self.count

    @property
    def trials(self) -> Array:
        """The number of each trial, (B,) int64."""
        return self.asarray(_numbers(self.first, self.count).reshape(-1))

    def asarray(self, values: Any) -> Array:
        """Return values as an array of this draw's namespace on its device."""
        if self.xp is np:
            return np.asarray(values)
        return self.xp.asarray(np.ascontiguousarray(values), device=self.device)

    # -- words ---------------------------------------------------------------------------------

    def words(self, name: str, n: int) -> Array:
        """Return n words per trial of a field, (B, n) int64 bit patterns."""
        stage = STAGES.index(self.stage)
        key = signed(_hash(self.task, 56) << 8 | stage)
        label = signed(_hash(name, 64))
        few = self.size if self.step is not None else len(self.seeds)
        long = self.step is None and self.count * n >= _C_SPEED_FROM
        if self.xp is np and (long or few <= _C_SPEED_UP_TO):
            return self._words_of_numpy(n, key, label)
        return self._words_of_arrays(n, key, label)

    def _streams(self) -> tuple[Array, Array, int, Array]:
        """Return seed, first trial, count of trials and counter's step of each run of trials."""
        if self.step is None:
            return self.seeds, self.first, self.count, np.zeros_like(self.seeds)
        # Every trial has a step, hence a run of counters, of its own.
        trials = _numbers(self.first, self.count).reshape(-1)
        return np.repeat(self.seeds, self.count), trials, 1, self.step + 1

    def _words_of_numpy(self, n: int, key: int, label: int) -> Array:
        seeds, first, count, steps = self._streams()
        total = count * n
        key, label = key & _WORD, label & _WORD
        if len(seeds) == 1:
            block, lane = divmod(first.item() * n, 4)
            counter = (block, steps.item(), 0, label)
            words = consecutive(counter, (seeds.item(), key), lane + total)
            return words[lane:].view(np.int64).reshape(count, n)
        out = np.empty((len(seeds), total), dtype=np.uint64)
        runs = zip(out, seeds.tolist(), first.tolist(), steps.tolist(), strict=True)
        for row, seed, trial, step in runs:
            block, lane = divmod(trial * n, 4)
            row[:] = consecutive((block, step, 0, label), (seed, key), lane + total)[lane:]
        return out.view(np.int64).reshape(self.size, n)

    def _words_of_arrays(self, n: int, key: int, label: int) -> Array:
        xp = self.xp
        seeds, first, count, steps = self._streams()
        start, total = first * n, count * n
        lane = start % 4  # a trial may begin inside a block
        blocks = (total + 3 + int(lane.max(initial=0))) // 4
        counter = self.asarray(_numbers(start // 4, blocks))  # (S, blocks)
        zero = counter * 0
        step = xp.reshape(xp.asarray(steps, device=self.device), (-1, 1))
        words = philox(
            (counter, zero + step, zero, zero + label), (self.asarray(seeds[:, None]), key)
        )
        flat = xp.reshape(xp.stack(words, axis=-1), (len(seeds), blocks * 4))
        if not lane.any():
            return xp.reshape(flat[:, :total], (self.size, n))
        rows = np.arange(len(seeds)) * (blocks * 4) + lane
        index = self.asarray(_numbers(rows, total).reshape(-1))
        return xp.reshape(xp.take(xp.reshape(flat, (-1,)), index), (self.size, n))

    # -- distributions -------------------------------------------------------------------------

    def uniform(
        self, name: str, shape: tuple[int, ...] = (), *, low: float = 0.0, high: float = 1.0
    ) -> Array:
        """Return uniform numbers in [low, high) with 53 random bits, (B, *shape) float64."""
        xp = self.xp
        bits = self.words(name, math.prod(shape))
        bits >>= 11
        bits &= (1 << 53) - 1
        numbers = bits.astype(np.float64) if xp is np else xp.astype(bits, xp.float64)
        numbers *= (high - low) * 2.0**-53
        if low:
            numbers += low
        return xp.reshape(numbers, (self.size, *shape))

    def normal(self, name: str, shape: tuple[int, ...] = ()) -> Array:
        """Return standard normal numbers, (B, *shape) float32, |z| < 5.8.

        Box and Muller's transform of 24-bit uniform numbers: two normals a word.
        """
        xp = self.xp
        m = math.prod(shape)
        words = self.words(name, (m + 1) // 2)
        if xp is np:
            return _box_muller(words)[:, :m].reshape(self.size, *shape)
        pairs = xp.stack((words & _LOW, (words >> 32) & _LOW), axis=-1)
        halves = xp.reshape(pairs, (words.shape[0], -1)) >> 8
        unit = xp.astype(halves, xp.float32) * 2.0**-24
        radius = xp.sqrt(-2.0 * xp.log(unit[:, 0::2] + 2.0**-24))
        angle = unit[:, 1::2] * _TURN.item()
        pairs = xp.concat((radius * xp.cos(angle), radius * xp.sin(angle)), axis=1)
        return xp.reshape(pairs[:, :m], (self.size, *shape))

    def integers(self, name: str, high: int, shape: tuple[int, ...] = ()) -> Array:
        """Return integers in [0, high), (B, *shape) int64."""
        return self.xp.astype(self.uniform(name, shape, high=float(high)), self.xp.int64)

    def categorical(self, name: str, probabilities: Array) -> Array:
        """Return one index per row of probabilities.

        Args:
            name: The field.
            probabilities: (B, ..., C) or (C,), each row summing to 1.

        Returns:
            (B, ...) int64.
        """
        xp = self.xp
        table = xp.cumulative_sum(xp.astype(probabilities, xp.float64), axis=-1)
        shape = tuple(probabilities.shape[1:-1])
        u = self.uniform(name, shape)
        below = xp.astype(table[..., :-1] <= u[..., None], xp.int64)  # the last row end is 1
        return xp.sum(below, axis=-1)

    def poisson(self, name: str, rate: Array) -> Array:
        """Return Poisson counts by inversion of the distribution function.

        Args:
            name: The field.
            rate: (B, ...) non-negative, at most 500.

        Returns:
            (B, ...) int64.
        """
        xp = self.xp
        rate = xp.astype(rate, xp.float64)
        if bool(xp.any(rate < 0)) or bool(xp.any(rate > _POISSON_MAX)):
            raise ValueError(f"a Poisson rate must lie in [0, {_POISSON_MAX:g}]")
        u = self.uniform(name, tuple(rate.shape[1:]))
        count, mass = xp.zeros_like(rate), xp.exp(-rate)
        total = mass
        for k in range(1, int(_POISSON_MAX * 2)):
            above = u >= total
            if not bool(xp.any(above)):
                break
            count = count + xp.astype(above, xp.float64)
            mass = mass * rate / k
            total = total + mass
        return xp.astype(count, xp.int64)

    def permutation(self, name: str, n: int) -> Array:
        """Return a permutation of 0..n-1 for each trial, (B, n) int64."""
        return self.xp.argsort(self.uniform(name, (n,)), axis=-1)
