from __future__ import annotations

import dataclasses

import pytest

from neurotasks import Stage, TaskCard
from neurotasks.errors import CardError, UnknownStage
from neurotasks.metrics import ACCURACY, CIRCULAR_ERROR


def card(**changes):
    facts = {
        "name": "Example",
        "version": 0,
        "form": "trial",
        "topic": "examples",
        "courses": ("a course",),
        "summary": "An example.",
        "metric": ACCURACY,
        "ceiling": "exact",
        "ceiling_source": "derived",
        "chance_source": "derived",
        "steps": 1,
        "stages": {"test": Stage(trials=10, chance=0.5, ceiling=1.0)},
        "splits": {"train": 100},
        "licence": "MIT",
        "citation": "Nobody (2026)",
    }
    return TaskCard(**{**facts, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "example"}, "CamelCase"),
        ({"name": "Example-v1"}, "CamelCase"),
        ({"version": -1, "history": ()}, "must be 0 or more"),
        ({"form": "game"}, "form 'game'"),
        ({"data": "found"}, "data 'found'"),
        ({"ceiling": "published"}, "for generated data"),
        ({"ceiling": "guess"}, "must be one of"),
        ({"source": "mnist"}, "recorded data name their source"),
        ({"steps": 0}, "at least one"),
        ({"stages": {}}, "must hold 'test'"),
        ({"stages": {"test": Stage(trials=1, chance=0, ceiling=1), "exam": None}}, "among"),
        ({"splits": {}}, "must hold 'train'"),
        ({"courses": ()}, "at least one course"),
        ({"tags": ("Vision",)}, "lower case"),
        ({"history": ()}, "one sentence per version"),
        ({"summary": " "}, "summary is empty"),
        ({"citation": ""}, "citation is empty"),
        ({"metric": CIRCULAR_ERROR}, "must be better than chance"),
    ],
)
def test_contradictions_raise_and_name_the_cure(changes, message):
    with pytest.raises(CardError, match=message) as caught:
        card(**changes)
    assert repr(changes.get("name", "Example")) in str(caught.value)


def test_a_shift_that_shifts_nothing_is_refused():
    stage = Stage(trials=1, chance=0.5, ceiling=1.0, parameters={"noise": 1})
    with pytest.raises(CardError, match="change what shifts"):
        card(stages={"test": stage, "shift": stage})


def test_unknown_and_changed_fields_are_refused():
    with pytest.raises(TypeError, match="colour"):
        card(colour="blue")
    with pytest.raises(dataclasses.FrozenInstanceError):
        card().name = "Other"
    with pytest.raises(TypeError):
        card().stages["shift"] = None


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_anchors_are_finite(value):
    with pytest.raises(CardError, match="finite"):
        Stage(trials=1, chance=0.5, ceiling=value)


def test_the_hash_moves_with_what_a_score_rests_on_and_not_with_prose():
    assert card().hash == card(summary="Another sentence.", topic="x", tags=("x",)).hash
    harder = {"test": Stage(trials=10, chance=0.5, ceiling=0.9)}
    assert card().hash != card(stages=harder).hash
    assert card().hash != card(steps=2).hash


def test_stages_that_are_not_there():
    recorded = card(data="recorded", source="x", ceiling="published")
    with pytest.raises(UnknownStage, match="there is no stage 'exam'"):
        recorded.stage("exam")
    with pytest.raises(UnknownStage, match="has no stage 'shift'"):
        recorded.stage("shift")
    with pytest.raises(UnknownStage, match="fixed and public"):
        recorded.stage("private")
    example = card()
    assert example.stage("private") is example.stages["test"]
