"""Packing: from a run, or from any agents, to the folder that is handed in."""

from __future__ import annotations

import io
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from neurotasks.agent import Agent
from neurotasks.arrays import Array
from neurotasks.errors import CorruptSubmission, UnwritableFolder
from neurotasks.evaluate import tested
from neurotasks.registry import load
from neurotasks.results import Result, hardware, read_result, versions, write_atomically
from neurotasks.submission.check import sha256
from neurotasks.submission.manifest import NAME, Manifest, file_names
from neurotasks.task import ControlTask, StreamTask, TrialTask
from neurotasks.worlds import check_action

__all__ = ["KEPT", "Words", "answers_of", "npz", "pack_agents", "pack_files", "pack_run"]

KEPT = {"onnx": "model-{}.onnx", "npz": "answers-{}.npz", "none": "none-{}"}
"""The file that a run keeps of a seed's agent, by its kind; see `baselines/models.py`."""


@dataclass(frozen=True, kw_only=True)
class Words:
    """What only the author knows.

    Attributes:
        agent: Name on the board; empty for that of the run.
        description: What is new.
        link: Address of a paper or of code.
        external_data: Whether anything but the task's training trials was learned from.
        tuning_trials: How many configurations were tried before.
    """

    agent: str = ""
    description: str = ""
    link: str = ""
    external_data: bool = False
    tuning_trials: int = 0


def pack_run(run: Path, out: Path, words: Words | None = None) -> Manifest:
    """Pack a run of the baselines that kept its agents.

    Args:
        run: The file of its result; its agents lie beside it in `models/<agent>`.
        out: The folder to write; it must not exist.
        words: What the author adds.

    Raises:
        CorruptSubmission: Agents are missing, or there is nothing that can be handed in of them.
        CorruptResult: The file is no result.
        UnwritableFolder: The folder is there, or cannot be written.
    """
    result, told = read_result(run), words or Words()
    models = run.parent / "models" / run.stem
    graphs = {seed: models / KEPT["onnx"].format(seed) for seed in result.seeds}
    answers = {seed: models / KEPT["npz"].format(seed) for seed in result.seeds}
    if all(path.is_file() for path in graphs.values()):
        names = file_names("onnx", result.seeds)
        files = {n: graphs[seed].read_bytes() for n, seed in zip(names, result.seeds, strict=True)}
        return pack_files(_of_result(result, told, "onnx"), files, out)
    if all(path.is_file() for path in answers.values()):
        arrays: dict[str, Any] = {}
        for seed, path in answers.items():
            with np.load(path, allow_pickle=False) as found:
                arrays |= {f"{stage}.{seed}": found[stage] for stage in found}
        content = {"predictions.npz": npz(arrays)}
        return pack_files(_of_result(result, told, "predictions"), content, out)
    raise CorruptSubmission(
        f"the agents of {run} were not kept in {models}, or cannot be handed in: run it again with "
        "`python -m baselines run --models`"
    )


def pack_agents(
    task_id: str,
    agents: Sequence[Agent],
    out: Path,
    *,
    seeds: Sequence[int],
    words: Words,
    facts: Mapping[str, Any] | None = None,
) -> Manifest:
    """Pack the answers of any agents to the public trials of a trial or stream task.

    Args:
        task_id: Id of the task.
        agents: One for each seed: the agent of seed s answers the trials of seed s.
        out: The folder to write; it must not exist.
        seeds: The seeds.
        words: What the author adds, the agent's name among it.
        facts: Further fields of the manifest: parameters, samples, energy_kwh ...

    Raises:
        CorruptSubmission: The task is a control task: its answers change what comes next. Or there
            is not one agent for each seed.
        InvalidAction: An agent answers in the wrong shape or type, or not finitely.
        UnwritableFolder: The folder is there, or cannot be written.
    """
    task = load(task_id)
    if isinstance(task, ControlTask):
        raise CorruptSubmission(
            f"{task.card.id} is a control task, so that answers alone cannot be handed in: export "
            "the agent as an ONNX graph"
        )
    if len(agents) != len(seeds):
        raise CorruptSubmission(
            f"there are {len(agents)} agents for {len(seeds)} seeds: give one for each"
        )
    arrays: dict[str, Any] = {}
    for agent, seed in zip(agents, seeds, strict=True):
        found = answers_of(task, agent, seed)
        arrays |= {f"{stage}.{seed}": answers for stage, answers in found.items()}
    own = {
        "task": task.card.id,
        "card": task.card.hash,
        "format": "predictions",
        "files": {},
        "seeds": tuple(seeds),
        "hardware": hardware(),
        "versions": versions(),
        **vars(words),
    }
    manifest = Manifest(**{**own, **(facts or {})})
    return pack_files(manifest, {"predictions.npz": npz(arrays)}, out)


def _of_result(result: Result, words: Words, format_: str) -> Manifest:
    return Manifest(
        task=result.task,
        card=result.card,
        format=format_,
        files={},
        seeds=result.seeds,
        parameters=result.parameters,
        samples=result.samples,
        flops=result.flops,
        seconds=result.seconds,
        cpu_seconds=result.cpu_seconds,
        energy_kwh=result.energy_kwh,
        energy_method=result.energy_method,
        hardware=result.hardware,
        versions=dict(result.versions),
        commit=result.commit,
        config=dict(result.config),
        claimed={name: stage.raw for name, stage in result.stages.items()},
        **{**vars(words), "agent": words.agent or result.agent},
    )


def answers_of(task: TrialTask | StreamTask, agent: Agent, seed: int) -> dict[str, Array]:
    """Return the answers of an agent to all trials of a seed, by public stage.

    Raises:
        InvalidAction: It answers in the wrong shape or type, or not finitely.
    """
    found = {}
    for stage in task.card.evaluated:
        batch = tested(task, seed, stage)
        action, shape = agent.act(batch.x, None)[0], tuple(batch.mask.shape)
        found[stage] = check_action(task.action_space, action, shape)
    return found


def npz(arrays: Mapping[str, Any]) -> bytes:
    """Return arrays as the bytes of a compressed `.npz`."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def pack_files(manifest: Manifest, files: Mapping[str, bytes], out: Path) -> Manifest:
    """Write a submission, whole or not at all.

    Args:
        manifest: What it says of itself; its `files` are filled in here.
        files: The content of each file by its name.
        out: The folder to write; it must not exist.

    Returns:
        The manifest as it was written.

    Raises:
        CorruptSubmission: A field of the manifest cannot be what it is.
        UnwritableFolder: The folder is there, or cannot be written.
    """
    if out.exists():
        raise UnwritableFolder(f"{out} is there already: name a folder that is not")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as temporary:
            folder = Path(temporary) / "whole"
            for name, content in files.items():
                write_atomically(folder / name, content)
            whole = _with_files(manifest, {name: sha256(folder / name) for name in files})
            write_atomically(folder / NAME, whole.to_json().encode())
            shutil.move(folder, out)
    except OSError as error:
        raise UnwritableFolder(f"cannot write {out}: {error.strerror or error}") from error
    return whole


def _with_files(manifest: Manifest, hashes: Mapping[str, str]) -> Manifest:
    """Return the manifest as it will be read: what cannot be read is not written.

    Raises:
        CorruptSubmission: A field cannot be what it is.
    """
    return Manifest.from_json(replace(manifest, files=dict(hashes)).to_json())
