"""A stack of multilayer perceptrons, with a backward pass of its own.

A step of a small network is some microseconds of arithmetic; automatic differentiation, gradients
as many tensors and their copies would cost several times as much. Here every layer is one product
of matrices in batches over the seeds, written into buffers that are made once for each batch size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from agents.losses import slope
from agents.nets_static import MLP
from agents.networks import Network, Readout
from agents.stack import Stack

__all__ = ["MLPStack"]

_NO_GAPS = torch.contiguous_format
_rectifier_slope = torch.ops.aten.threshold_backward.grad_input


@dataclass(frozen=True)
class _Buffers:
    """Memory for one batch size of N steps.

    Attributes:
        outputs: Of each layer, (S, N, units).
        changes: The loss's derivatives with respect to the outputs of the layers below the last,
            (S, N, units).
    """

    outputs: list[Tensor]
    changes: list[Tensor]


class MLPStack(Stack):
    """Multilayer perceptrons of rectified units, S side by side."""

    kind = "batched"

    def __init__(self, networks: Sequence[Network], readout: Readout, **settings: Any) -> None:
        super().__init__(networks, readout, **settings)
        values = list(self.layout.views(self.weights).values())
        self.back = values[::2]  # (S, outputs, inputs) of each layer
        self.forth = [matrix.mT for matrix in self.back]
        self.biases = [bias[:, None] for bias in values[1::2]]
        # Torch multiplies in batches only into memory without gaps: gradients are joined later.
        self.slopes = [torch.empty_like(m, memory_format=_NO_GAPS) for m in self.forth]
        self.bias_slopes = [bias.new_empty(bias.shape) for bias in values[1::2]]
        pairs = zip(self.slopes, self.bias_slopes, strict=True)
        self.parts = [part.flatten(1) for pair in pairs for part in pair]
        self.buffers: dict[int, _Buffers] = {}

    @staticmethod
    def fits(network: Network) -> bool:
        """Say whether a network is what this stack computes: linear layers, rectified between."""
        if type(network) is not MLP:
            return False
        kinds = [type(layer) for layer in network.layers]
        inner = kinds[:-1]
        return kinds[-1:] == [nn.Linear] and inner == [nn.Linear, nn.ReLU] * (len(inner) // 2)

    def inputs(self, x: Tensor, seeds: Sequence[int]) -> Tensor:
        """Encode all trials at once, (N, T, *observation) to (N, T, features)."""
        return self.networks[seeds[0]].encoder(x).flatten(2)

    @torch.no_grad()
    def learn(self, x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
        """Set the gradients by the chain rule, from the last layer to the first."""
        steps = x.flatten(1, 2)
        buffers = self._buffers(steps.shape[1])
        outputs = self._forward(steps, buffers.outputs)
        loss, change = slope(outputs[-1].view(*x.shape[:3], -1), y, weight, self.readout)
        change = change.flatten(1, 2)
        below = [steps, *outputs[:-1]]
        for layer in reversed(range(len(outputs))):
            torch.bmm(below[layer].mT, change, out=self.slopes[layer])
            torch.sum(change, dim=1, out=self.bias_slopes[layer])
            if layer:
                change = torch.bmm(change, self.back[layer], out=buffers.changes[layer - 1])
                _rectifier_slope(change, below[layer], 0, grad_input=change)
        torch.cat(self.parts, dim=1, out=self.gradient)
        return loss

    @torch.no_grad()
    def answer(self, x: Tensor) -> Tensor:
        """Answer, all seeds in one pass."""
        steps = x.flatten(1, 2)
        return self._forward(steps, self._new(steps.shape[1]).outputs)[-1].view(*x.shape[:3], -1)

    def _forward(self, steps: Tensor, outputs: list[Tensor]) -> list[Tensor]:
        """Fill the outputs of all layers, rectified below the last, for inputs (S, N, features)."""
        below = steps
        for layer, output in enumerate(outputs):
            torch.baddbmm(self.biases[layer], below, self.forth[layer], out=output)
            below = output.clamp_(min=0) if layer < len(outputs) - 1 else output
        return outputs

    def _buffers(self, steps: int) -> _Buffers:
        if steps not in self.buffers:
            self.buffers[steps] = self._new(steps)
        return self.buffers[steps]

    def _new(self, steps: int) -> _Buffers:
        units = [matrix.shape[2] for matrix in self.forth]
        outputs = [self.weights.new_empty(len(self.weights), steps, unit) for unit in units]
        return _Buffers(outputs, [torch.empty_like(output) for output in outputs[:-1]])
