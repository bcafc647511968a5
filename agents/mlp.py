"""A stack of multilayer perceptrons, with a backward pass of its own.

A step of a small network is some microseconds of arithmetic; automatic differentiation, gradients
as many tensors and their copies would cost several times as much. Here every layer is one product
of matrices in batches over the seeds, written into buffers that are made once for each batch size.
What a layer sees ends in a one, so that its bias is a row of its matrix, and the gradient of the
bias a row of the same product. No tensor here asks for automatic gradients.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from agents.nets_static import MLP
from agents.networks import Network, Readout
from agents.stack import Stack

__all__ = ["MLPStack"]

_rectifier_slope = torch.ops.aten.threshold_backward.grad_input


class _Buffers:
    """Memory for one batch size, and views of it: to make a view takes as long as a small product.

    Args:
        layers: Of the stack.
        steps: N, of the batch.

    Attributes:
        outputs: Of each layer but the last, (S, N, units); on the way back, the loss's derivatives
            with respect to them.
        above: What the next layer sees, (S, N, units + 1), the last of them one.
        rectified: The same without the one.
        turned: The same as `above`, (S, units + 1, N).
        answer: Outputs of the last layer, (S, O, N).
    """

    def __init__(self, layers: Sequence[Tensor], steps: int) -> None:
        seeds, _, answer = layers[-1].shape
        new = layers[0].new_empty
        self.outputs = [new(seeds, steps, layer.shape[2]) for layer in layers[:-1]]
        self.above = [new(seeds, steps, layer.shape[2] + 1).fill_(1.0) for layer in layers[:-1]]
        self.rectified = [above[..., :-1] for above in self.above]
        self.turned = [above.mT for above in self.above]
        self.answer = new(seeds, answer, steps)


class MLPStack(Stack):
    """Multilayer perceptrons of rectified units, S side by side.

    Attributes:
        layers: One matrix (S, inputs + 1, outputs) each, as it lies in the weights, its bias last.
    """

    kind = "batched"

    def __init__(self, networks: Sequence[Network], readout: Readout, **settings: Any) -> None:
        super().__init__(networks, readout, **settings)
        shapes = list(self.layout.shapes.values())[::2]  # of the matrices, (outputs, inputs)
        sizes = [(inputs + 1) * outputs for outputs, inputs in shapes]
        parts = torch.split(self.weights, sizes, dim=1)
        self.layers = [
            part.view(len(part), -1, outputs)
            for part, (outputs, _) in zip(parts, shapes, strict=True)
        ]
        self.last = self.layers[-1].mT
        self.back = [matrix[:, :-1].mT for matrix in self.layers[1:]]
        # Torch multiplies in batches only into memory without gaps: gradients are joined later.
        self.slopes = [matrix.new_empty(matrix.shape) for matrix in self.layers]
        self.parts = [slopes.flatten(1) for slopes in self.slopes]
        self.buffers: dict[int, _Buffers] = {}

    @staticmethod
    def fits(network: Network) -> bool:
        """Say whether a network is what this stack computes: linear layers, rectified between."""
        if not isinstance(network, MLP) or type(network).body is not MLP.body:
            return False
        kinds = [type(layer) for layer in network.layers]
        inner = kinds[:-1]
        return kinds[-1:] == [nn.Linear] and inner == [nn.Linear, nn.ReLU] * (len(inner) // 2)

    def inputs(self, x: Tensor, seeds: Sequence[int]) -> Tensor:
        """Encode all trials at once, (N, T, *observation) to (N, T, features + 1)."""
        encoded = self.networks[seeds[0]].encoder(x).flatten(2)
        return nn.functional.pad(encoded, (0, 1), value=1.0)

    def learn(self, x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
        """Set the gradients by the chain rule, from the last layer to the first."""
        steps = x.flatten(1, 2)
        buffers = self._buffers(steps.shape[1])
        loss, change = self.slope(self._forward(steps, buffers), y, weight, self.readout)
        change = change.mT
        for layer in reversed(range(len(buffers.turned))):
            torch.bmm(buffers.turned[layer], change, out=self.slopes[layer + 1])
            change = torch.bmm(change, self.back[layer], out=buffers.outputs[layer])
            _rectifier_slope(change, buffers.rectified[layer], 0, grad_input=change)
        torch.bmm(steps.mT, change, out=self.slopes[0])
        torch.cat(self.parts, dim=1, out=self.gradient)
        return loss

    def answer(self, x: Tensor) -> Tensor:
        """Answer, all seeds in one pass."""
        steps = x.flatten(1, 2)
        output = self._forward(steps, _Buffers(self.layers, steps.shape[1]))
        return output.mT.reshape(*x.shape[:3], -1)

    def _forward(self, steps: Tensor, buffers: _Buffers) -> Tensor:
        """Return the last outputs (S, O, N) for inputs (S, N, features + 1); keep the others."""
        below = steps
        for layer, output in enumerate(buffers.outputs):
            torch.bmm(below, self.layers[layer], out=output)
            torch.clamp_min(output, 0, out=buffers.rectified[layer])
            below = buffers.above[layer]
        return torch.bmm(self.last, buffers.turned[-1], out=buffers.answer)

    def _buffers(self, steps: int) -> _Buffers:
        if steps not in self.buffers:
            self.buffers[steps] = _Buffers(self.layers, steps)
        return self.buffers[steps]
