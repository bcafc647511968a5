"""What scores weights in a board's sandbox.

Weights are a safetensors file and the name of a registered architecture. The architecture is built
on the device "meta" first, where it has shapes and no memory, and its size is bounded; then the
tensors are put into it, each under its own name, none missing and none left.
"""

from __future__ import annotations

import copy
from pathlib import Path

import torch

from agents.networks import NETWORKS, Network, readout
from agents.training import TorchAgent
from neurotasks.agent import Agent
from neurotasks.errors import CorruptSubmission, MissingExtra
from neurotasks.registry import load
from neurotasks.submission.child import Request, serve
from neurotasks.task import Task

__all__ = ["agents_of", "main"]

LARGEST = 100_000_000  # numbers in one network


def main() -> None:
    """Score weights."""
    torch.set_num_threads(1)
    serve(agents_of)


def agents_of(request: Request) -> list[Agent]:
    """Return the agents of a request, one for each seed.

    Raises:
        CorruptSubmission: The architecture is not registered or too large, or the tensors are not
            those that it needs.
    """
    try:
        from safetensors.torch import load_file  # noqa: PLC0415 - an extra that boards need
    except ImportError as error:
        raise MissingExtra("safetensors", "board") from error
    task = load(request["task"])
    network = _shape(task, request["architecture"])
    tensors = load_file(Path(request["files"][0]))
    answer = readout(task.card, task.action_space)
    agents: list[Agent] = []
    for seed in request["seeds"]:
        own = {n.removeprefix(f"{seed}."): t for n, t in tensors.items() if _of(n, seed)}
        agents.append(TorchAgent(_filled(network, own, seed), answer))
    return agents


def _of(name: str, seed: int) -> bool:
    return name.startswith(f"{seed}.")


def _shape(task: Task, told: dict[str, object]) -> Network:
    """Return the architecture without memory for its weights."""
    name, width = told["name"], told["width"]
    if name not in NETWORKS:
        raise CorruptSubmission(
            f"there is no architecture {name!r}; there are {', '.join(NETWORKS)}"
        )
    outputs = readout(task.card, task.action_space).size
    with torch.device("meta"):
        network = NETWORKS[str(name)](task.observation_space, outputs, int(str(width)))
    size = sum(tensor.numel() for tensor in network.state_dict().values())
    if size > LARGEST:
        raise CorruptSubmission(
            f"{name} of width {width} holds {size:,} numbers; {LARGEST:,} are allowed"
        )
    return network


def _filled(network: Network, tensors: dict[str, torch.Tensor], seed: int) -> Network:
    """Return a network with these weights."""
    filled = copy.deepcopy(network)
    wanted = filled.state_dict()
    unlike = sorted(set(wanted) ^ set(tensors))
    if unlike:
        raise CorruptSubmission(f"seed {seed}: tensors differ from the architecture's by {unlike}")
    for name, tensor in wanted.items():
        if tensor.shape != tensors[name].shape or tensor.dtype != tensors[name].dtype:
            raise CorruptSubmission(
                f"seed {seed}: {name} is {tensors[name].dtype} {tuple(tensors[name].shape)}, "
                f"not {tensor.dtype} {tuple(tensor.shape)}"
            )
    filled.load_state_dict(tensors, strict=True, assign=True)
    return filled.eval()
