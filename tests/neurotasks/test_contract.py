"""The contract, over the registry: a new task is tested without a line here."""

from __future__ import annotations

import json
import subprocess
import sys
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import pytest

import neurotasks
from neurotasks import testing
from neurotasks.errors import MissingData, MissingExtra

GOLDEN = json.loads((Path(__file__).parent / "golden.json").read_text())
CARDS = [card for card in neurotasks.cards() if not card.superseded_by]
IDS = [card.label for card in CARDS]
REPEATED = (
    "PermutedMNIST*",
    "RotatedMNIST*",
    "ContinualObjects*Category-v0",
    "ContinualObjectsNICv2Of[13]*",
    "ContinualCORe50*Category*",
)
"""Scenarios whose code others of their family have run already: the whole contract is slow."""
CHECKED = [
    pytest.param(
        label, marks=pytest.mark.slow if any(fnmatchcase(label, g) for g in REPEATED) else ()
    )
    for label in IDS
]
GENERATED = [card.label for card in CARDS if card.data == "generated"]


def run(function, *args):
    """Run a check, or skip where its data or its simulator are not at hand, saying which."""
    try:
        return function(*args)
    except (MissingData, MissingExtra) as error:
        pytest.skip(str(error))


@pytest.fixture(autouse=True)
def _data(recorded_cache):
    """Let all tests see the recorded data at hand."""


@pytest.mark.parametrize("label", CHECKED)
@pytest.mark.parametrize(
    "check",
    [
        testing.check_gymnasium,
        testing.check_spaces,
        testing.check_generator,
        testing.check_faces,
        testing.check_vector,
    ],
    ids=lambda check: check.__name__,
)
def test_contract(check, label):
    run(check, label)


@pytest.mark.parametrize("label", CHECKED)
def test_trivial_is_chance_and_ideal_is_the_ceiling(label):
    card = neurotasks.load(label).card
    films = card.form == "stream" and card.data == "generated"  # each frame is held against all
    run(lambda: testing.check_anchors(label, trials=300 if films else None))


@pytest.mark.parametrize("label", GENERATED)
def test_numpy_and_torch_draw_the_same_trials(label):
    torch = pytest.importorskip("array_api_compat.torch")
    run(testing.check_backends, label, torch)


@pytest.mark.gpu
@pytest.mark.parametrize("label", GENERATED)
def test_the_gpu_draws_the_same_trials(label):
    torch = pytest.importorskip("array_api_compat.torch")
    task = neurotasks.load(label)
    if task.card.form != "trial":
        pytest.skip("control tasks are compared through their pure functions")
    here, there = task.sample(64, 5), task.sample(64, 5, xp=torch, device="cuda")
    np.testing.assert_allclose(here.x, there.x.cpu().numpy(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("label", IDS)
def test_golden_hash(label):
    """A stream that moves is another task: raise its version."""
    assert run(testing.golden, label) == GOLDEN.get(label), (
        f"the trials of {label} differ from those of golden.json; if that is meant, raise the "
        "task's version and write the new hash there"
    )


@pytest.mark.parametrize("label", IDS)
def test_stable_baselines_checker(label):
    checker = pytest.importorskip("stable_baselines3.common.env_checker")
    import gymnasium  # noqa: PLC0415

    env = run(gymnasium.make, f"neurotasks/{label}").unwrapped
    run(checker.check_env, env, False)


def test_golden_hashes_name_known_tasks_only():
    assert set(GOLDEN) <= set(IDS)


def test_two_processes_draw_the_same_trials():
    code = "from neurotasks import testing; print(testing.golden('OrientationDecoding-v0'), end='')"
    out = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert out.stdout == GOLDEN["OrientationDecoding-v0"]
