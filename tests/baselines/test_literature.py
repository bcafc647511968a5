"""The committed references put the strategies in the order of the literature, seed by seed.

Told the task, whoever protects weights forgets less than whoever does not; where the task must be
found out too, protection is no help, a memory is, and all that was seen is the most (van de Ven and
Tolias, 2019; Farquhar and Gal, 2018).
"""

from __future__ import annotations

import re

import numpy as np
import pytest

from neurotasks.results import read_result
from neurotasks.scores import interval
from tests.conftest import ROOT

REFERENCE = ROOT / "baselines" / "results"
TOLD = ("SplitDigitsTask-v0", "ContinualObjectsNCTask-v0", "SplitMNISTTask-v0")
UNTOLD = ("ContinualDigits-v0", "ContinualObjectsNC-v0", "SplitMNISTClass-v0")
FEW_IMAGES = "ContinualDigits-v0"  # a memory of 500 holds a third of them
NEW_PLACES = "ContinualObjectsNCTask-v0"  # seeds differ more by the place than strategies do


def accuracy(label, agent):
    """Return the final accuracy of each seed, (5,)."""
    result = read_result(REFERENCE / label / f"{agent}.json")
    assert result.seeds == (0, 1, 2, 3, 4)
    return np.array(result.stages["test"].raw)


def gain(label, one, two):
    """Return how much better the second is than the first, by seeds that saw the same stream."""
    return interval(accuracy(label, two) - accuracy(label, one))


@pytest.mark.parametrize("label", TOLD)
@pytest.mark.parametrize("agent", ["ewc", "si"])
def test_who_is_told_the_task_gains_from_protected_weights(label, agent):
    more = gain(label, "naive", agent)
    assert more.mean > 0.0
    assert more.low > 0.0 or label == NEW_PLACES


@pytest.mark.parametrize("label", UNTOLD)
@pytest.mark.parametrize("agent", ["ewc", "si"])
def test_who_is_not_told_gains_nothing_from_protected_weights(label, agent):
    assert accuracy(label, "naive").mean() < 0.25
    assert abs(gain(label, "naive", agent).mean) < 0.05


@pytest.mark.parametrize("label", UNTOLD)
def test_a_memory_helps_and_all_that_was_seen_helps_more(label):
    assert gain(label, "naive", "replay").low > 0.25
    more = gain(label, "replay", "cumulative")
    assert more.mean > 0.0
    assert more.low > 0.0 or label == FEW_IMAGES
    assert gain(label, "replay", "joint").low > 0.0


def test_the_guide_states_what_was_measured():
    """Each accuracy of a table in docs/continual.md is that of a committed reference."""
    text = (ROOT / "docs" / "continual.md").read_text(encoding="utf-8")
    tables = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    stated = []
    for head, _, *rows in (table.splitlines() for table in tables):
        labels = [cell.strip(" `") for cell in head.split("|")]
        for row in rows:
            cells = [cell.strip() for cell in row.split("|")]
            agent = cells[1].strip("`")
            stated += [
                (label, agent, cell)
                for label, cell in zip(labels, cells, strict=True)
                if re.fullmatch(r"0\.\d{3} ± 0\.\d{3}", cell)
            ]
    assert len(stated) > 80
    for label, agent, cell in stated:
        found = interval(accuracy(f"{label}-v0", agent))
        assert cell == f"{found.mean:.3f} ± {found.high - found.mean:.3f}", (label, agent)
