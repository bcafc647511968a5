"""What learners by acting share that stack the networks of all seeds: DQN and REINFORCE."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agents.choice import choose
from agents.losses import truths
from agents.networks import NETWORKS, Network, Readout
from agents.stack import Stack
from agents.training import TorchAgent, TrainingDiverged
from agents.trials import tensor
from neurotasks.arrays import Array

__all__ = ["finish", "networks_of", "seen_by", "stack_of", "teach"]


def stack_of(
    task: Any,
    network: str,
    outputs: Readout,
    width: int,
    seeds: Sequence[int],
    device: torch.device,
) -> Stack:
    """Return a stack of untrained networks, the weights of each set by its seed alone.

    Raises:
        TypeError: The network has a memory, which these learners do not train, or does not fit.
        ValueError: There is no such network.
    """
    if network not in NETWORKS:
        raise ValueError(f"there is no network {network!r}; there are {', '.join(NETWORKS)}")
    networks = []
    for seed in seeds:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            new = NETWORKS[network](task.observation_space, outputs.size, width)
        networks.append(new.to(device))
    if networks[0].state is not None:
        raise TypeError(
            f"{network!r} has a memory; take a network that answers each step by itself"
        )
    space = task.observation_space
    example = np.full((1, 1, *space.shape), getattr(space, "start", 0), space.dtype)
    return choose(networks, outputs, tensor(example, device))


def seen_by(stack: Stack, observation: Array) -> Tensor:
    """Return observations (S, B, *observation) as a stack takes them, (S, B, 1, ...).

    The encoders of all seeds are equal, as none was fitted to training trials.
    """
    device = stack.weights.device
    x = tensor(observation, device)
    encoded = stack.inputs(x.flatten(0, 1).unsqueeze(1), [0])
    return encoded.view(*x.shape[:2], *encoded.shape[1:])


def teach(stack: Stack, x: Tensor, y: Tensor, weight: Tensor) -> None:
    """Set the gradient of a stack on one batch.

    Args:
        stack: The networks.
        x: (S, B, 1, ...), as `seen_by` returns it.
        y: Classes (S, B, 1) or points (S, B, 1, O).
        weight: (S, B, 1), how much each counts; it may be negative.
    """
    part = weight.flatten(1).unsqueeze(1)
    stack.learn(x, truths(y, part, stack.readout), part)


def finish(
    task: Any, agents: Sequence[TorchAgent], seeds: Sequence[int], cure: str
) -> list[TorchAgent]:
    """Return the agents if the weights of all are numbers.

    Raises:
        TrainingDiverged: Those of a seed are not; the error holds the others' agents.
    """
    good, bad = {}, {}
    for seed, agent in zip(seeds, agents, strict=True):
        if all(bool(value.isfinite().all()) for value in agent.network.parameters()):
            good[seed] = agent
        else:
            bad[seed] = "weights are no longer numbers"
    if bad:
        which = ", ".join(map(str, bad))
        raise TrainingDiverged(
            f"training on {task.card.id} failed, weights are no longer numbers for seed {which}: "
            f"{cure}",
            good,
            bad,
        )
    return [good[seed] for seed in seeds]


def networks_of(stack: Stack, weights: Tensor) -> list[Network]:
    """Return the network of each seed with its weights (S, P)."""
    return [stack.unstack(row, value) for row, value in enumerate(weights)]
