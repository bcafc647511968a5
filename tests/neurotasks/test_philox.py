"""Two ways to the same words, at the corners where a counter carries."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from neurotasks.philox import consecutive, philox, signed

LAST = 2**64 - 1


def blocks(counter, key, n):
    """The words of n blocks, by arithmetic on arrays."""
    numbers = np.array([signed(counter[0] + k) for k in range(n)])
    rest = tuple(signed(word) for word in counter[1:])
    words = philox((numbers, *rest), tuple(signed(word) for word in key))
    return np.stack(words, axis=-1).reshape(-1).view(np.uint64)


@pytest.mark.parametrize(
    "counter",
    [(0, 0, 0, 0), (1, 0, 0, 0), (0, 0, 0, 7), (0, 5, 0, LAST), (0, 0, 3, 0), (9, 4, LAST, 1)],
)
@pytest.mark.parametrize("key", [(0, 0), (2**62, LAST)])
def test_consecutive_words_are_those_of_their_blocks(counter, key):
    wanted = blocks(counter, key, 5)
    for n in (1, 3, 4, 20):
        np.testing.assert_array_equal(consecutive(counter, key, n), wanted[:n])


def test_nothing_is_left_over_from_the_call_before():
    first = consecutive((3, 0, 0, 1), (5, 6), 3)  # ends inside a block
    consecutive((8, 0, 0, 1), (5, 6), 1)
    np.testing.assert_array_equal(consecutive((3, 0, 0, 1), (5, 6), 3), first)


def test_threads_do_not_disturb_each_other():
    with ThreadPoolExecutor(8) as pool:
        drawn = list(pool.map(lambda k: consecutive((k + 1, 0, 0, 1), (k, 2), 999), range(200)))
    for k, words in enumerate(drawn):
        np.testing.assert_array_equal(words, blocks((k + 1, 0, 0, 1), (k, 2), 250)[:999])
