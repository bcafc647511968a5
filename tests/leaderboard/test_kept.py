from __future__ import annotations

import pytest

from leaderboard.kept import Kept


@pytest.fixture
def made():
    return []


def test_a_value_holds_until_its_stamp_changes(made):
    kept = Kept(2)
    for stamp in (1, 1, 2, 2, 1):
        assert kept.get("a", stamp, lambda: made.append(0) or len(made)) == len(made)
    assert len(made) == 3


def test_the_one_used_longest_ago_goes_first(made):
    kept = Kept(2)
    for key in "abaca":
        kept.get(key, None, lambda key=key: made.append(key))
    assert made == ["a", "b", "c"]


def test_what_is_missing_is_made_together(made):
    kept = Kept(3)

    def make(keys):
        made.append(keys)
        return {key: 10 * key for key in keys if key != 5}

    assert kept.many([1, 2], make) == {1: 10, 2: 20}
    assert kept.many([2, 3, 5], make) == {2: 20, 3: 30}
    assert kept.many([3, 5], make) == {3: 30}
    assert kept.many([2, 3], make) == {2: 20, 3: 30}
    assert made == [[1, 2], [3, 5], [5]]
    assert kept.many([6, 7, 8, 9], make) == {6: 60, 7: 70, 8: 80, 9: 90}
    assert kept.many([6], make) == {6: 60}
    assert made[3:] == [[6, 7, 8, 9], [6]]
