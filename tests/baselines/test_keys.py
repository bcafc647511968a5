from __future__ import annotations

from dataclasses import replace

import pytest

from baselines import keys
from baselines.keys import code, key
from baselines.plan import Run

RIDGE = "agents.linear"


@pytest.fixture
def ridge(tmp_path):
    return Run("OrientationDecoding-v0", "ridge", (0,), "smoke", "cpu", tmp_path)


def closure(*modules):
    return keys._closure(modules)


def test_the_key_is_of_everything_but_the_seeds_and_the_folder(ridge, tmp_path):
    assert key(ridge) == key(replace(ridge, seeds=(5, 6), out=tmp_path / "other"))
    assert key(ridge) != key(replace(ridge, budget="quick"))
    assert key(ridge) != key(replace(ridge, agent="trivial"))
    assert key(ridge) != key(replace(ridge, task="OrientationDecodingMouse-v0"))


def test_the_device_counts_where_the_learner_takes_one(ridge):
    assert key(ridge) == key(replace(ridge, device="auto"))
    mlp = replace(ridge, agent="mlp")
    assert key(mlp) != key(replace(mlp, device="auto"))


def test_the_code_is_what_a_module_imports_of_ours_directly_or_not():
    found = closure(RIDGE, "neurotasks.tasks.orientation_decoding")
    assert {RIDGE, "neurotasks.tasks.orientation_decoding", "neurotasks.rng"} <= found
    assert "agents.training" not in found
    assert "neurotasks.tasks.cartpole" not in found
    assert "agents.devices" in closure("agents.training")


def test_a_change_of_one_module_moves_the_code_of_what_imports_it(monkeypatch):
    before = code(RIDGE), code("agents.reference")
    text = keys._text
    monkeypatch.setattr(keys, "_text", lambda name: text(name) + b"#" * (name == RIDGE))
    assert code(RIDGE) != before[0]
    assert code("agents.reference") == before[1]


def test_every_module_that_a_recipe_names_is_there():
    from baselines.recipes import RECIPES  # noqa: PLC0415 - the other tests do without

    for recipe in RECIPES:
        assert keys._file(recipe.learner.module) is not None, recipe.learner.module
