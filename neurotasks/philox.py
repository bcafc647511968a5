"""Philox4x64-10, the words from which all randomness of the tasks comes.

A key and a counter map to four 64-bit words (Salmon, Moraes, Dror, Shaw, 2011, "Parallel random
numbers: as easy as 1, 2, 3", SC11). There are two ways to the same words: NumPy's own generator
writes consecutive blocks at C speed, and `philox` computes any blocks side by side by integer
arithmetic on arrays, also on those of torch on a GPU.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurotasks.arrays import Array, namespace

__all__ = ["consecutive", "philox", "signed"]

_MULTIPLIERS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
_WEYL = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)
_ROUNDS = 10
_LOW = 0xFFFFFFFF
_MASK = (1 << 64) - 1


def signed(word: int) -> int:
    """Return the two's complement reading of 64 bits."""
    word &= _MASK
    return word - (1 << 64) if word >> 63 else word


def philox(counter: tuple[Array, ...], key: tuple[Array, ...]) -> tuple[Array, ...]:
    """Return the four words of each block, as int64 bit patterns.

    The two products of a round are one operation on an array twice as long, and everything happens
    in place: with few blocks the number of operations is the cost, with many the memory.

    Args:
        counter: Four int64 arrays (or ints) that broadcast together; at least the first an array.
        key: Two int64 arrays or ints that broadcast with the counter.
    """
    xp = namespace(counter[0])
    device = getattr(counter[0], "device", None)
    # In this order the low products of a round are the last two words of the next.
    order = *(counter[k] for k in (0, 2, 3, 1)), *key[::-1]
    words, keys = _laid(order[:4], order), _laid(order[4:], order)
    column = (2, *(1 for _ in words.shape[1:]))

    def pair(first: int, second: int) -> Array:
        numbers = np.array([signed(first), signed(second)])
        return xp.reshape(xp.asarray(numbers, device=device), column)

    multiplier, weyl = pair(*_MULTIPLIERS), pair(*_WEYL[::-1])
    low, half = pair(_LOW, _LOW), pair(32, 32)
    even, odd = words[:2, ...], words[2:, ...]
    factors = multiplier & low, (multiplier >> half) & low
    for _ in range(_ROUNDS):
        high = _high(even, *factors, low, half)
        high ^= odd
        high ^= keys
        keys += weyl
        odd[...] = even
        odd *= multiplier
        even[0, ...] = high[1, ...]
        even[1, ...] = high[0, ...]
    return words[0, ...], words[3, ...], words[1, ...], words[2, ...]


def _laid(parts: tuple[Array, ...], order: tuple[Array, ...]) -> Array:
    """Return parts that broadcast with others one below the other, in memory of their own."""
    xp = namespace(order[0])
    if xp is np:
        laid = np.empty((len(parts), *np.broadcast_shapes(*map(np.shape, order))), dtype=np.int64)
        for row, part in zip(laid, parts, strict=True):
            row[...] = part
        return laid
    # Made of one sum, so that torch may map all of them over networks side by side.
    zero = sum((part * 0 for part in order[1:]), order[0] * 0)
    return xp.stack([zero + part for part in parts])


def _high(x: Array, m_low: Array, m_high: Array, low: Array, half: Array) -> Array:
    """Return the high 64 bits of the unsigned product of x and a multiplier given in halves."""
    x_low = x & low
    x_high = x >> half
    x_high &= low
    carry = x_low * m_low
    carry >>= half
    carry &= low
    middle = x_high * m_low
    middle += carry
    x_low *= m_high
    x_low += middle & low
    x_high *= m_high
    middle >>= half
    middle &= low
    x_high += middle
    x_low >>= half
    x_low &= low
    x_high += x_low
    return x_high


class _Scratch(threading.local):
    """NumPy's generator, one for each thread; whoever uses it sets all of its state before."""

    def __init__(self) -> None:
        self.bits: Any = np.random.Philox(key=0)
        self.place: dict[str, Any] = {}
        self.state = {
            "bit_generator": "Philox",
            "state": self.place,
            "buffer": (0, 0, 0, 0),
            "buffer_pos": 4,  # nothing is left in the buffer
            "has_uint32": 0,
            "uinteger": 0,
        }


_scratch = _Scratch()


def consecutive(counter: tuple[int, int, int, int], key: tuple[int, int], n: int) -> NDArray[Any]:
    """Return n words from the first of a counter's block on, (n,) uint64, in a new array.

    Args:
        counter: Four words, each from 0 to 2**64 - 1.
        key: Two words likewise.
        n: How many words.
    """
    c0, c1, c2, c3 = counter
    if c0:
        before = (c0 - 1, c1, c2, c3)
    else:  # NumPy counts up before it writes a block, with the carry running through all words
        number = (c1 << 64 | c2 << 128 | c3 << 192) - 1
        before = (_MASK, number >> 64 & _MASK, number >> 128 & _MASK, number >> 192 & _MASK)
    scratch = _scratch
    place = scratch.place
    place["counter"], place["key"] = before, key
    scratch.bits.state = scratch.state
    return scratch.bits.random_raw(n)
