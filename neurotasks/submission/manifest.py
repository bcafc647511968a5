"""The manifest: what was handed in, by what it was earned, and what it is said to be.

A submission is a folder with `manifest.json` and the files of exactly one format:

    onnx          `model.onnx` of the one seed, or `model-<seed>.onnx` of each seed: observation and
                  state to action, as in `act`
    weights       `weights.safetensors`, the tensors of all seeds as `<seed>.<name>`, and the name
                  of a registered architecture
    predictions   `predictions.npz`, an array `<stage>.<seed>` of the answers to a seed's public
                  trials, (trials, T, *action); not for control
"""

from __future__ import annotations

import dataclasses
import json
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from types import MappingProxyType
from typing import Any

from neurotasks.errors import CorruptSubmission
from neurotasks.submission.strict import loads, shown

__all__ = ["FORMATS", "NAME", "SCHEMA", "Manifest", "file_names"]

SCHEMA = 1
FORMATS = ("onnx", "weights", "predictions")
NAME = "manifest.json"

_SEEDS = 1000  # of one submission, at most
_LARGEST_SEED = 2**63 - 1
_NAME_LENGTH, _TEXT_LENGTH, _MAPPING_LENGTH = 100, 2000, 20_000  # characters
_HASH = re.compile(r"[0-9a-f]{64}")
_CARD = re.compile(r"[0-9a-f]{16}")
_LINK = re.compile(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[!#-&(-;=?-Z_a-z~\[\]]*)?")
_WORD = re.compile(r"[^\W\d_]+")
_HEAPED = re.compile(r"[\u0300-\u036f\u20d0-\u20ff]{3}")  # marks upon one letter
_FAULTS = 20  # that a message names
_STAGES = ("test", "shift")
_AGES = 1e12  # no cost is larger: seconds, samples, parameters


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a submission says of itself.

    Attributes:
        task: Id of the task.
        card: Hash of its card, 16 hexadecimal digits.
        agent: Name of the agent, as the board will show it.
        format: One of `FORMATS`.
        files: SHA-256 of each file by its name.
        seeds: One for each run.
        architecture: For weights: {"name": a registered network, "width": units}; else empty.
        parameters: Trainable parameters of one agent.
        samples: Training trials or steps that one run was shown.
        flops: Floating-point operations of training one run; 0 where they were not counted.
        seconds: Wall clock of learning, all seeds together.
        cpu_seconds: Process time, likewise.
        energy_kwh: Energy, likewise.
        energy_method: How the energy was found.
        hardware: What it was trained on.
        versions: Versions of the libraries that matter.
        commit: Git commit of the code; a trailing + says that the tree was changed.
        config: What the agent was told.
        claimed: The raw metric of each seed, by stage, as it was measured before submission.
        external_data: Whether anything but the task's own training trials was learned from.
        tuning_trials: How many configurations were tried before this one.
        description: What is new, in words.
        link: Address of a paper or of code; empty if there is none.
        schema: Version of this record.
    """

    task: str
    card: str
    agent: str
    format: str
    files: Mapping[str, str]
    seeds: tuple[int, ...]
    architecture: Mapping[str, Any] = field(default_factory=dict)
    parameters: int = 0
    samples: int = 0
    flops: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    energy_kwh: float = 0.0
    energy_method: str = ""
    hardware: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    commit: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    claimed: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    external_data: bool = False
    tuning_trials: int = 0
    description: str = ""
    link: str = ""
    schema: int = SCHEMA

    def to_json(self) -> str:
        """Return the record as JSON text."""
        plain = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        plain = {k: dict(v) if isinstance(v, Mapping) else v for k, v in plain.items()}
        return json.dumps(plain, indent=1, sort_keys=True, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        """Read a record.

        Raises:
            CorruptSubmission: It is not JSON, or not a manifest; the message names its faults.
        """
        try:
            record = loads(text)
        except ValueError as error:
            raise CorruptSubmission(f"{NAME} is not JSON: {error}") from error
        if not isinstance(record, dict) or not _is_schema(record.get("schema")):
            raise CorruptSubmission(
                f"{NAME} is not of schema {SCHEMA}, the one that this version reads"
            )
        faults = list(islice(_field_faults(record), _FAULTS)) or list(_faults(record))
        if faults:
            raise CorruptSubmission(f"{NAME}: " + "; ".join(faults))
        record["seeds"] = tuple(record["seeds"])
        record["claimed"] = {name: tuple(raw) for name, raw in record["claimed"].items()}
        for name, value in record.items():
            if isinstance(value, dict):
                record[name] = MappingProxyType(value)
        return cls(**record)


def file_names(format_: str, seeds: tuple[int, ...]) -> tuple[str, ...]:
    """Return the names of the files that a format asks for, the manifest left out."""
    if format_ == "onnx":
        return ("model.onnx",) if len(seeds) == 1 else tuple(f"model-{s}.onnx" for s in seeds)
    return ("weights.safetensors",) if format_ == "weights" else ("predictions.npz",)


def _field_faults(record: Mapping[str, Any]) -> Iterator[str]:
    """Yield which fields are missing, unknown, or of a wrong type."""
    fields = {f.name: f for f in dataclasses.fields(Manifest)}
    for name in sorted(set(record) ^ set(fields)):
        yield f"{name!r} is missing" if name in fields else f"{shown(name)!r} is no field"
    for name, (check, rule) in _TYPES.items():
        if name in record and not check(record[name]):
            yield f"{name!r} is {shown(repr(record[name]))}; it must be {rule}"


def _faults(record: Mapping[str, Any]) -> Iterator[str]:
    """Yield which values contradict each other."""
    names = file_names(record["format"], tuple(record["seeds"]))
    if sorted(record["files"]) != sorted(names):
        yield f"'files' must be {', '.join(names[:5])}{' ...' if len(names) > 5 else ''}"  # noqa: PLR2004 - a line's worth
    if (record["format"] == "weights") != bool(record["architecture"]):
        yield "'architecture' belongs to the format 'weights', and to no other"
    for stage, raw in record["claimed"].items():
        if len(raw) != len(record["seeds"]):
            yield f"'claimed' has {len(raw)} numbers in stage {stage!r}; it needs one for each seed"


def _is_text(length: int, least: int = 0) -> Callable[[Any], bool]:
    def check(value: Any) -> bool:
        if not isinstance(value, str) or not least <= len(value.strip()) <= len(value) <= length:
            return False
        return all(character.isprintable() or character == "\n" for character in value)

    return check


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _AGES


def _is_amount(value: Any) -> bool:
    return _is_finite(value) and value >= 0


def _is_mapping(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    text = json.dumps(value, ensure_ascii=False)
    return len(text) <= _MAPPING_LENGTH and text.isprintable()


def _is_seeds(value: Any) -> bool:
    return (
        isinstance(value, list)
        and 1 <= len(value) <= _SEEDS
        and all(type(seed) is int and 0 <= seed <= _LARGEST_SEED for seed in value)
        and len(set(value)) == len(value)
    )


def _is_files(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and 1 <= len(value) <= _SEEDS
        and all(isinstance(v, str) and _HASH.fullmatch(v) for v in value.values())
    )


def _is_claims(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and set(value) <= set(_STAGES)
        and all(isinstance(raw, list) and len(raw) <= _SEEDS for raw in value.values())
        and all(_is_finite(number) for raw in value.values() for number in raw)
    )


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _AGES


def _is_link(value: Any) -> bool:
    return value == "" or (_is_text(_TEXT_LENGTH)(value) and _LINK.fullmatch(value) is not None)


def _is_architecture(value: Any) -> bool:
    if value == {}:
        return True
    return (
        isinstance(value, dict)
        and set(value) == {"name", "width"}
        and _is_text(_NAME_LENGTH, 1)(value["name"])
        and _is_count(value["width"])
        and value["width"] >= 1
    )


def _is_name(value: Any) -> bool:
    """Return whether a text is one line that is not made to look like another one."""
    return (
        _is_text(_NAME_LENGTH, 1)(value)
        and "\n" not in value
        and value == unicodedata.normalize("NFKC", value.strip())
        and not _HEAPED.search(unicodedata.normalize("NFD", value))
        and all(len(_alphabets(word)) < 2 for word in _WORD.findall(value))  # noqa: PLR2004
    )


def _alphabets(word: str) -> set[str]:
    """Return which of the alphabets that share the looks of their letters a word is written in."""
    names = {unicodedata.name(letter, "").partition(" ")[0] for letter in word}
    return names & {"LATIN", "GREEK", "CYRILLIC"}


def _is_schema(value: Any) -> bool:
    return type(value) is int and value == SCHEMA


_COUNT = (_is_count, f"a whole number from 0 to {_AGES:.0e}")
_AMOUNT = (_is_amount, f"a number from 0 to {_AGES:.0e}")
_LINE = (_is_name, f"one line of up to {_NAME_LENGTH} letters, each word in one alphabet")
_TEXT = (_is_text(_TEXT_LENGTH), f"text of up to {_TEXT_LENGTH} letters without control characters")
_MAPPING = (
    _is_mapping,
    f"an object of up to {_MAPPING_LENGTH:,} letters without control characters",
)

_TYPES: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "task": _LINE,
    "card": (
        lambda value: isinstance(value, str) and _CARD.fullmatch(value) is not None,
        "16 hexadecimal digits",
    ),
    "agent": _LINE,
    "format": (lambda value: value in FORMATS, f"one of {', '.join(FORMATS)}"),
    "files": (_is_files, "the SHA-256 of each file by its name"),
    "seeds": (_is_seeds, f"up to {_SEEDS} different whole numbers from 0 to {_LARGEST_SEED}"),
    "architecture": (_is_architecture, "name and width, or empty"),
    "parameters": _COUNT,
    "samples": _COUNT,
    "flops": (
        lambda value: type(value) is int and 0 <= value < _LARGEST_SEED,
        f"a whole number from 0 to {_LARGEST_SEED}",
    ),
    "seconds": _AMOUNT,
    "cpu_seconds": _AMOUNT,
    "energy_kwh": _AMOUNT,
    "energy_method": _TEXT,
    "hardware": _TEXT,
    "versions": (
        lambda value: _is_mapping(value) and all(isinstance(v, str) for v in value.values()),
        "the version of each library as text",
    ),
    "commit": (_is_text(_NAME_LENGTH), f"text of up to {_NAME_LENGTH} letters"),
    "config": _MAPPING,
    "claimed": (_is_claims, f"a list of finite numbers for each of {', '.join(_STAGES)}"),
    "external_data": (lambda value: isinstance(value, bool), "true or false"),
    "tuning_trials": _COUNT,
    "description": _TEXT,
    "link": (_is_link, "a plain address that begins with https://, or empty"),
    "schema": (_is_schema, str(SCHEMA)),
}
"""What each field must be: a test, and in words."""
