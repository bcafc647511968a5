"""Stacks: the networks of all seeds as one, and how one learns a step from its gradients.

All weights of a stack are one tensor (S, P), a row for each seed, and so are their gradients, so
that clipping and the optimiser are a few operations however many layers and seeds there are. A
stack comes in three kinds:

    MLPStack    products of matrices in batches, with a backward pass of its own (`agents/mlp.py`)
    Vmapped     any network, stacked by `torch.func.vmap`
    Sequential  any network, one seed after the other

`agents.choice` chooses among them by what was measured.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from agents.losses import slope
from agents.networks import Network, Readout

__all__ = ["Layout", "Sequential", "Slope", "Stack", "Vmapped"]

Slope: TypeAlias = Callable[[Tensor, Tensor, Tensor, Readout], tuple[Tensor, Tensor]]
"""What `losses.slope` is."""

_MATRIX, _IMAGE = 2, 4  # dimensions of the weight of a linear layer, and of a convolution


@dataclass(frozen=True)
class Layout:
    """Where the weights of one network stand in a row of a stack.

    Attributes:
        shapes: Shape of each trainable parameter by name, in the order of the row.
    """

    shapes: Mapping[str, torch.Size]

    @classmethod
    def of(cls, network: nn.Module) -> Layout:
        """Return the layout of a network."""
        named = network.named_parameters()
        return cls({name: value.shape for name, value in named if value.requires_grad})

    @property
    def size(self) -> int:
        """How many weights a network has."""
        return sum(shape.numel() for shape in self.shapes.values())

    def views(self, rows: Tensor) -> dict[str, Tensor]:
        """Return the parameters by name, (S, P) to (S, *shape) each, which share its memory.

        Kernels of convolutions lie in memory with the channels last: torch then computes on images
        in that order, which on a processor takes half the time. Matrices lie transposed, as they
        are multiplied, which saves a third of a small product.
        """
        parts = torch.split(rows, [s.numel() for s in self.shapes.values()], dim=1)
        return {
            name: _view(part, shape)
            for part, (name, shape) in zip(parts, self.shapes.items(), strict=True)
        }


def _view(part: Tensor, shape: torch.Size) -> Tensor:
    if len(shape) == _MATRIX:
        return part.view(part.shape[0], *reversed(shape)).mT
    if len(shape) != _IMAGE:
        return part.view(part.shape[0], *shape)
    outputs, inputs, rows, columns = shape
    return part.view(part.shape[0], outputs, rows, columns, inputs).permute(0, 1, 4, 2, 3)


class Stack(ABC):
    """Networks of one shape, side by side.

    Args:
        networks: One for each seed, on their device, with fitted encoders. They are not changed
            before `unstack`.
        readout: How an output becomes an action, and what it is trained on.
        precision: "float32", or "bfloat16" for products and convolutions; weights stay float32.
        compiled: Whether torch compiles what a step of training computes.

    Attributes:
        weights: (S, P).
        gradient: (S, P), of the last call of `learn`.
        slope: The loss; whoever needs another one than the readout's own sets it.
    """

    kind: str

    def __init__(
        self,
        networks: Sequence[Network],
        readout: Readout,
        *,
        precision: str = "float32",
        compiled: bool = False,
    ) -> None:
        self.networks, self.readout = list(networks), readout
        self.precision, self.compiled = precision, compiled
        self.slope: Slope = slope
        self.layout = Layout.of(networks[0])
        device = next(networks[0].parameters()).device
        self.weights = torch.empty(len(networks), self.layout.size, device=device)
        self.gradient = torch.zeros_like(self.weights)
        with torch.no_grad():
            for name, view in self.layout.views(self.weights).items():
                view.copy_(torch.stack([network.get_parameter(name) for network in networks]))

    def inputs(self, x: Tensor, seeds: Sequence[int]) -> Tensor:
        """Prepare all trials of some seeds once, before they are taken by index.

        Args:
            x: (N, T, *observation), the trials that these seeds share.
            seeds: Which rows of the stack see them.
        """
        del seeds
        return x

    @abstractmethod
    def learn(self, x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
        """Set the gradient of the loss on one batch for each seed, and return the losses.

        Args:
            x: (S, B, T, ...), as `inputs` prepared it.
            y: (S, O, B T), the truths; see `losses.truths`.
            weight: (S, 1, B T), how much each step counts.

        Returns:
            The losses (S,).
        """

    @abstractmethod
    def answer(self, x: Tensor) -> Tensor:
        """Return the outputs (S, B, T, O) for inputs (S, B, T, ...), without gradients."""

    def narrowed(self, rows: Sequence[int]) -> Self:
        """Return a stack of some rows alone, with their present weights."""
        chosen = [self.networks[row] for row in rows]
        stack = type(self)(chosen, self.readout, precision=self.precision, compiled=self.compiled)
        stack.weights.copy_(self.weights[list(rows)])
        stack.slope = self.slope
        stack.adopt(self, rows)
        return stack

    def adopt(self, other: Self, rows: Sequence[int]) -> None:
        """Take over what the networks of some rows of another stack remember between steps."""
        del other, rows

    def unstack(self, row: int, weights: Tensor) -> Network:
        """Write weights (P,) into the network of a row and return it, ready to answer."""
        network = self.networks[row]
        with torch.no_grad():
            for name, view in self.layout.views(weights[None]).items():
                network.get_parameter(name).copy_(view[0])
        return network.eval()

    def change(self, output: Tensor, y: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Return the losses (S,) of outputs (S, B, T, O), and their derivative, (S, B, T, O)."""
        flat = output.detach().float().flatten(1, 2)
        loss, change = self.slope(flat.mT, y, weight, self.readout)
        return loss, change.mT.reshape(output.shape).to(output.dtype)

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the context in which outputs are computed."""
        if self.precision == "float32":
            return nullcontext()
        return torch.autocast(self.weights.device.type, dtype=torch.bfloat16)


class Sequential(Stack):
    """Networks that compute one after the other; only the optimiser takes them together."""

    kind = "sequential"

    def __init__(self, networks: Sequence[Network], readout: Readout, **settings: Any) -> None:
        super().__init__(networks, readout, **settings)
        self.copies = copy.deepcopy(self.networks)
        views, slopes = self.layout.views(self.weights), self.layout.views(self.gradient)
        for row, network in enumerate(self.copies):
            for name in self.layout.shapes:
                parameter = network.get_parameter(name)
                parameter.data = views[name][row]
                parameter.grad = slopes[name][row]
            if self.compiled:
                network.compile(dynamic=False)  # for each size of a batch, of which there are two

    @torch.no_grad()
    def adopt(self, other: Self, rows: Sequence[int]) -> None:
        """Take over the buffers, such as a counter of the noise."""
        for network, row in zip(self.copies, rows, strict=True):
            for name, value in other.copies[row].named_buffers():
                network.get_buffer(name).copy_(value)

    def learn(self, x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
        """Set the gradients, seed after seed."""
        self.gradient.zero_()
        losses = []
        for row, network in enumerate(self.copies):
            network.train()
            with self.autocast():
                output, _ = network(x[row], None)
            one = slice(row, row + 1)
            loss, change = self.change(output[None], y[one], weight[one])
            output.backward(change[0])
            losses.append(loss)
        return torch.cat(losses)

    @torch.no_grad()
    def answer(self, x: Tensor) -> Tensor:
        """Answer, seed after seed."""
        outputs = []
        for row, network in enumerate(self.copies):
            network.eval()
            with self.autocast():
                outputs.append(network.forward(x[row], None)[0].float())  # never the compiled
        return torch.stack(outputs)


class Vmapped(Stack):
    """Networks that `torch.func.vmap` makes one: each operation does all seeds at once."""

    kind = "vmapped"

    def __init__(self, networks: Sequence[Network], readout: Readout, **settings: Any) -> None:
        super().__init__(networks, readout, **settings)
        self.module = copy.deepcopy(networks[0])
        self.buffers = {
            name: torch.stack([network.get_buffer(name) for network in networks])
            for name, _ in networks[0].named_buffers()
        }

        def output(weights: dict[str, Tensor], buffers: dict[str, Tensor], x: Tensor) -> Any:
            return functional_call(self.module, (weights, buffers), (x, None))[0]

        mapped = vmap(output, randomness="different")
        self.call = self.learning = mapped
        if self.compiled:  # for each size of a batch: it fails on stacks of a size left open
            self.learning = torch.compile(mapped, dynamic=False)

    def adopt(self, other: Self, rows: Sequence[int]) -> None:
        """Take over the buffers, such as a counter of the noise."""
        self.buffers = {name: value[list(rows)] for name, value in other.buffers.items()}

    def learn(self, x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
        """Set the gradients, all seeds in one pass."""
        views = self.layout.views(self.weights)
        leaves = {name: view.detach().requires_grad_() for name, view in views.items()}
        self.module.train()
        with self.autocast():
            output = self.learning(leaves, self.buffers, x)
        loss, change = self.change(output, y, weight)
        changes = torch.autograd.grad(output, list(leaves.values()), change)
        views = self.layout.views(self.gradient)
        for view, gradient in zip(views.values(), changes, strict=True):
            view.copy_(gradient)
        return loss

    @torch.no_grad()
    def answer(self, x: Tensor) -> Tensor:
        """Answer, all seeds in one pass."""
        self.module.eval()
        with self.autocast():
            return self.call(self.layout.views(self.weights), self.buffers, x).float()
