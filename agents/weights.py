"""Weights of registered architectures, as a file that holds numbers alone and as a submission."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agents.training import TorchAgent, parameters
from neurotasks.errors import CorruptSubmission, MissingExtra
from neurotasks.registry import load
from neurotasks.results import hardware, versions, write_atomically
from neurotasks.submission.manifest import Manifest
from neurotasks.submission.pack import Words, pack_files

__all__ = ["pack_weights", "save_weights"]


def save_weights(agents: Sequence[TorchAgent], seeds: Sequence[int], path: Path) -> None:
    """Write the weights of some agents into one safetensors file.

    Args:
        agents: One for each seed; they stay as they are.
        seeds: Their seeds; the tensors of seed s are named "s.<name>".
        path: The file, written whole or not at all.

    Raises:
        CorruptSubmission: There is not one agent for each seed.
        MissingExtra: safetensors is not installed.
        UnwritableFolder: The folder cannot be written.
    """
    try:
        from safetensors.torch import save  # noqa: PLC0415 - an extra that boards need
    except ImportError as error:
        raise MissingExtra("safetensors", "board") from error
    if len(agents) != len(seeds):
        raise CorruptSubmission(
            f"there are {len(agents)} agents for {len(seeds)} seeds: give one for each"
        )
    tensors = {
        f"{seed}.{name}": tensor.detach().cpu().clone().contiguous()
        for agent, seed in zip(agents, seeds, strict=True)
        for name, tensor in agent.network.state_dict().items()
    }
    write_atomically(path, save(tensors))


def pack_weights(
    task_id: str,
    agents: Sequence[TorchAgent],
    out: Path,
    *,
    seeds: Sequence[int],
    words: Words,
    facts: Mapping[str, Any],
) -> Manifest:
    """Pack trained networks as weights and the name of their architecture.

    Args:
        task_id: Id of the task.
        agents: One for each seed.
        out: The folder to write; it must not exist.
        seeds: The seeds.
        words: What the author adds, the agent's name among it.
        facts: Further fields of the manifest: samples, flops, energy_kwh ..., and "architecture",
            {"name": a key of `agents.networks.NETWORKS`, "width": its units}.

    Raises:
        CorruptSubmission: There is not one agent for each seed, or a fact cannot be what it is.
        UnwritableFolder: The folder is there, or cannot be written.
    """
    task = load(task_id)
    with tempfile.TemporaryDirectory(prefix="weights-") as folder:
        path = Path(folder) / "weights.safetensors"
        save_weights(agents, seeds, path)
        content = path.read_bytes()
    own = {
        "task": task.card.id,
        "card": task.card.hash,
        "format": "weights",
        "files": {},
        "seeds": tuple(seeds),
        "parameters": parameters(agents[0].network),
        "hardware": hardware(),
        "versions": versions(),
        **vars(words),
    }
    return pack_files(Manifest(**{**own, **facts}), {"weights.safetensors": content}, out)
