from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from neurotasks.errors import InvalidSeed
from neurotasks.rng import Draw, check_seed, philox

MASK = 2**64 - 1
# Known answers of Philox4x64-10, from the reference implementation's own test vectors (Random123).
KNOWN = [
    (
        (0, 0, 0, 0),
        (0, 0),
        (0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B),
    ),
    (
        (MASK,) * 4,
        (MASK,) * 2,
        (0x87B092C3013FE90B, 0x438C3C67BE8D0224, 0x9CC7D7C69CD777B6, 0xA09CAEBF594F0BA0),
    ),
    (
        (0x243F6A8885A308D3, 0x13198A2E03707344, 0xA4093822299F31D0, 0x082EFA98EC4E6C89),
        (0x452821E638D01377, 0xBE5466CF34E90C6C),
        (0xA528F45403E61D95, 0x38C72DBD566E9788, 0xA5A1610E72FD18B5, 0x57BD43B5E52B7FE6),
    ),
]


def signed(words):
    return tuple(np.array([word], dtype=np.uint64).view(np.int64) for word in words)


def draw(**kwargs):
    defaults = {"task": "Test-v0", "stage": "test", "seeds": 3, "count": 4000}
    return Draw(**{**defaults, **kwargs})


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN)
def test_philox_gives_the_known_answers(counter, key, answer):
    words = philox(signed(counter), signed(key))
    assert tuple(int(word[0]) & MASK for word in words) == answer


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN)
def test_numpys_philox_gives_the_known_answers(counter, key, answer):
    number = sum(word << (64 * place) for place, word in enumerate(counter)) - 1
    before = [(number >> (64 * place)) & MASK for place in range(4)]
    bits = np.random.Philox(key=np.uint64(key), counter=np.uint64(before))
    assert tuple(int(word) for word in bits.random_raw(4)) == answer


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 7, 64])
@pytest.mark.parametrize("first", [(0, 0), (7, 123456789)])
def test_both_ways_write_the_same_words(n, first):
    block = draw(seeds=[5, 2**62], first=first, count=50)
    fast, plain = block._words_of_numpy(n, -77, 12345), block._words_of_arrays(n, -77, 12345)
    np.testing.assert_array_equal(fast, plain)


def test_torch_writes_the_same_words():
    xp = pytest.importorskip("array_api_compat.torch")
    for kwargs in ({"count": 50}, {"seeds": [1, 2], "first": [3, 9], "count": 5}):
        here, there = draw(**kwargs), draw(**kwargs, xp=xp)
        np.testing.assert_array_equal(here.words("w", 3), there.words("w", 3).numpy())
        np.testing.assert_allclose(here.normal("z", (5,)), there.normal("z", (5,)), atol=2e-6)
        np.testing.assert_array_equal(here.integers("i", 9, (5,)), there.integers("i", 9, (5,)))


def test_words_depend_on_trial_alone_not_on_the_batch():
    whole = draw(count=300).words("w", 3)
    np.testing.assert_array_equal(whole[17:40], draw(first=17, count=23).words("w", 3))
    one = [draw(first=k, count=1).words("w", 3)[0] for k in (17, 18, 19)]
    np.testing.assert_array_equal(whole[17:20], np.stack(one))


@pytest.mark.parametrize(
    "other",
    [
        {"seeds": 4},
        {"stage": "shift"},
        {"task": "Test-v1"},
        {"first": 4000},
        {"step": np.zeros(4000, dtype=np.int64)},
        {"step": np.ones(4000, dtype=np.int64)},
    ],
    ids=str,
)
def test_streams_do_not_overlap(other):
    words = draw().words("w", 2)
    assert not np.intersect1d(words, draw(**other).words("w", 2)).size
    assert not np.intersect1d(words, draw().words("v", 2)).size


def test_distributions_fit():
    block = draw(count=20_000)
    assert stats.kstest(block.uniform("u"), "uniform").pvalue > 1e-3
    assert stats.kstest(block.normal("z", (5,)).ravel(), "norm").pvalue > 1e-3
    assert abs(np.corrcoef(block.normal("z", (2,)).T)[0, 1]) < 0.03
    counts = np.bincount(block.integers("i", 7), minlength=7)
    assert stats.chisquare(counts).pvalue > 1e-3
    p = np.array([0.1, 0.2, 0.7])
    counts = np.bincount(block.categorical("c", p), minlength=3)
    assert stats.chisquare(counts, p * 20_000).pvalue > 1e-3


@pytest.mark.parametrize("rate", [0.0, 0.3, 8.0, 300.0])
def test_poisson_fits(rate):
    counts = draw(count=20_000).poisson("p", np.full((20_000,), rate))
    error = np.sqrt(max(rate, 1e-9) / 20_000)
    assert abs(counts.mean() - rate) <= 5 * error
    if rate:
        assert abs(counts.var() / rate - 1) < 0.06


def test_poisson_refuses_rates_beyond_its_reach():
    for rate in (-1.0, 501.0):
        with pytest.raises(ValueError, match="must lie in"):
            draw(count=1).poisson("p", np.array([rate]))


def test_permutations_are_permutations():
    order = draw(count=50).permutation("o", 10)
    np.testing.assert_array_equal(np.sort(order, axis=1), np.tile(np.arange(10), (50, 1)))
    assert len({tuple(row) for row in order}) == 50


@pytest.mark.parametrize("seed", [-1, 2**63, 1.5, "1", None, True])
def test_a_seed_that_is_none_says_so(seed):
    with pytest.raises(InvalidSeed, match="must be an integer"):
        check_seed(seed)


@pytest.mark.parametrize("seeds", [1, 3, 200])
@pytest.mark.parametrize("shape", [(), (2,), (5,)])
def test_normals_of_many_seeds_are_those_of_each(seeds, shape):
    together = Draw("Task-v0", "train", np.arange(seeds), 1, 2).normal("noise", shape)
    alone = [Draw("Task-v0", "train", seed, 1, 2).normal("noise", shape) for seed in range(seeds)]
    np.testing.assert_array_equal(together, np.concatenate(alone))
