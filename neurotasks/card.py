"""The card: the frozen, validated record of facts that a task declares."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, get_args

from neurotasks.errors import CardError, UnknownStage
from neurotasks.metrics import Metric
from neurotasks.rng import STAGES

__all__ = ["NAMESPACE", "Ceiling", "Data", "Form", "Stage", "TaskCard"]

NAMESPACE = "neurotasks"

Form = Literal["trial", "control", "stream"]
Data = Literal["generated", "embedded", "recorded"]
Ceiling = Literal["exact", "monte-carlo", "noise-ceiling", "published", "reference"]

_NAME = re.compile(r"[A-Z][A-Za-z0-9]*")
_EVALUATED = ("test", "shift", "private")
_SCORED = ("name", "version", "form", "metric", "steps", "stages", "splits", "data", "source")


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage of evaluation: what it shows, and the two anchors of its score.

    Attributes:
        trials: How many trials (for control: episodes) one evaluation draws.
        chance: Raw metric of the best answer that ignores the observation.
        ceiling: Raw metric of the ideal observer, or of what stands in for it.
        chance_error: Standard error of `chance`; 0 where it is exact.
        ceiling_error: Standard error of `ceiling`; 0 where it is exact.
        parameters: What the task's generator is told in this stage (contrast, noise, length ...).
    """

    trials: int
    chance: float
    ceiling: float
    chance_error: float = 0.0
    ceiling_error: float = 0.0
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse anchors that no score could stand on."""
        numbers = (self.chance, self.ceiling, self.chance_error, self.ceiling_error)
        if not all(math.isfinite(number) for number in numbers):
            raise CardError(f"chance, ceiling and their errors must be finite, not {numbers}")
        if self.trials < 1:
            raise CardError(f"a stage draws {self.trials} trials; it must draw at least one")
        object.__setattr__(self, "parameters", MappingProxyType(dict(self.parameters)))


@dataclass(frozen=True, kw_only=True)
class TaskCard:
    """The facts of a task. A task's score moves only with its version.

    Attributes:
        name: CamelCase name; the id is `neurotasks/<name>-v<version>`.
        version: Version, counted from 0; any change of the stream or of a score raises it.
        form: "trial", "control" or "stream".
        topic: The course topic, for example "orientation decoding": a family of the suite.
        courses: The courses that teach it.
        summary: One sentence for the list.
        metric: What is measured.
        ceiling: Where the ceiling comes from: "exact" or "monte-carlo" (the ideal observer), the
            data's "noise-ceiling", a "published" result, or a "reference" run of our own.
        ceiling_source: What the ceiling rests on: derivation, paper or run.
        chance_source: Which answer earns chance.
        steps: Length of a trial in steps; for control the time limit of an episode.
        stages: "test" and, where the task has them, "shift" and "private". "private" takes the
            anchors of "test" and needs no entry.
        splits: Sizes in trials of the splits for learning and testing ("train", "test" ...).
        data: "generated", "embedded" (shipped by a dependency) or "recorded" (in the cache).
        source: Name of the recorded source in `neurotasks.sources`, else None.
        licence: Licence of the data.
        citation: The paper to cite.
        tags: Lower-case words to filter by.
        superseded_by: Id of the task that replaces this one, else None.
        history: One sentence per version, newest last.
    """

    name: str
    version: int
    form: Form
    topic: str
    courses: tuple[str, ...]
    summary: str
    metric: Metric
    ceiling: Ceiling
    ceiling_source: str
    chance_source: str
    steps: int
    stages: Mapping[str, Stage]
    splits: Mapping[str, int]
    data: Data = "generated"
    source: str | None = None
    licence: str
    citation: str
    tags: tuple[str, ...] = ()
    superseded_by: str | None = None
    history: tuple[str, ...] = ("First version.",)

    def __post_init__(self) -> None:
        """Refuse contradictions, naming the task and the cure."""
        for problem in _problems(self):
            raise CardError(f"the card of {self.name!r}: {problem}")
        object.__setattr__(self, "stages", MappingProxyType(dict(self.stages)))
        object.__setattr__(self, "splits", MappingProxyType(dict(self.splits)))

    @property
    def label(self) -> str:
        """The name with its version, as in "CartPole-v0"."""
        return f"{self.name}-v{self.version}"

    @property
    def id(self) -> str:
        """The id for `gymnasium.make`, as in "neurotasks/CartPole-v0"."""
        return f"{NAMESPACE}/{self.label}"

    @property
    def evaluated(self) -> tuple[str, ...]:
        """The stages that a public evaluation runs, in order."""
        return tuple(stage for stage in ("test", "shift") if stage in self.stages)

    def stage(self, name: str) -> Stage:
        """Return what a stage shows; learning and the private stage show what `test` shows.

        Raises:
            UnknownStage: There is no such stage, or this task does not have it.
        """
        if name not in STAGES:
            raise UnknownStage(f"there is no stage {name!r}; the stages are {', '.join(STAGES)}")
        if name in self.stages:
            return self.stages[name]
        if name == "shift":
            raise UnknownStage(f"{self.id} has no stage 'shift'; it has {', '.join(self.stages)}")
        if name == "private" and self.data != "generated":
            raise UnknownStage(
                f"{self.id} has no stage 'private': its data are fixed and public, so nothing can "
                "be drawn from a secret seed; use 'test'"
            )
        return self.stages["test"]

    def to_dict(self) -> dict[str, Any]:
        """Return the card as plain JSON types."""
        record = {f.name: _plain(getattr(self, f.name)) for f in dataclasses.fields(self)}
        record["id"] = self.id
        return record

    @property
    def hash(self) -> str:
        """The first 16 hexadecimal digits of the SHA-256 of what a score depends on."""
        record = {name: _plain(getattr(self, name)) for name in _SCORED}
        text = json.dumps(record, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _plain(value: Any) -> Any:
    if isinstance(value, Metric):
        return {"name": value.name, "unit": value.unit, "better": value.better}
    if isinstance(value, Stage):
        fields = dataclasses.fields(value)
        return {f.name: _plain(getattr(value, f.name)) for f in fields}
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def _problems(card: TaskCard) -> list[str]:
    """Return what is wrong with a card, each with its cure."""
    checks = (
        (_NAME.fullmatch(card.name), "the name must be CamelCase letters and digits"),
        (card.version >= 0, f"version {card.version} must be 0 or more"),
        (card.form in get_args(Form), f"form {card.form!r} must be one of {get_args(Form)}"),
        (card.data in get_args(Data), f"data {card.data!r} must be one of {get_args(Data)}"),
        (
            card.ceiling in get_args(Ceiling),
            f"ceiling {card.ceiling!r} must be one of {get_args(Ceiling)}",
        ),
        (
            card.data != "generated"
            or card.form == "control"  # nobody knows the best way to run
            or card.ceiling in ("exact", "monte-carlo"),
            f"for generated data the ceiling is 'exact' or 'monte-carlo', not {card.ceiling!r}",
        ),
        (
            (card.data == "recorded") == (card.source is not None),
            "recorded data name their source, and no other data do",
        ),
        (card.steps >= 1, f"steps is {card.steps}; a trial has at least one"),
        ("test" in card.stages, "stages must hold 'test'"),
        (
            set(card.stages) <= set(_EVALUATED),
            f"stages {sorted(card.stages)} must be among {_EVALUATED}",
        ),
        ("train" in card.splits or card.form == "control", "splits must hold 'train'"),
        (card.courses, "name at least one course that teaches it"),
        (all(tag == tag.lower() for tag in card.tags), "tags are lower case"),
        (len(card.history) == card.version + 1, "history needs one sentence per version"),
        *((_text(card, name), f"{name} is empty") for name in ("topic", "summary", "licence")),
        *((_text(card, name), f"{name} is empty") for name in ("ceiling_source", "citation")),
    )
    problems = [message for passed, message in checks if not passed]
    return problems or _stage_problems(card)


def _text(card: TaskCard, name: str) -> bool:
    return bool(str(getattr(card, name)).strip())


def _stage_problems(card: TaskCard) -> list[str]:
    problems = []
    for name, stage in card.stages.items():
        if card.metric.sign * (stage.ceiling - stage.chance) <= 0:
            problems.append(
                f"in stage {name!r} the ceiling {stage.ceiling} must be better than chance "
                f"{stage.chance}, and {card.metric.better} is better"
            )
    shift = card.stages.get("shift")
    if shift is not None and shift.parameters == card.stages["test"].parameters:
        problems.append("stage 'shift' has the parameters of 'test'; change what shifts")
    return problems
