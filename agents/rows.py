"""Rows: the actors and critics of all seeds as one batch, with backward passes of their own.

Row 2 s is the actor of seed s and row 2 s + 1 its critic, R = 2 S rows in all. The weights of all
rows are one tensor (R, P); seen as (S, 2 P) a row of it is all that a seed learns, so that clipping
and the optimiser are a few operations.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor

from agents.policies import GatedPolicy, Policy
from agents.stack import Layout

__all__ = ["GatedRows", "MLPRows", "Rows", "rows_of", "twice"]

_through_tanh = torch.ops.aten.tanh_backward.grad_input
_through_sigmoid = torch.ops.aten.sigmoid_backward.grad_input
ACTORS, CRITICS, ALL = slice(0, None, 2), slice(1, None, 2), slice(None)


class Rows(ABC):
    """Policies of one shape, side by side.

    Args:
        networks: Actor, critic, actor, critic ..., on their device.

    Attributes:
        weights: (R, P).
        gradient: (S, 2 P), of the last call of `backward`.
        spread: (R, A), a view of the weights; of each actor its policy's `spread`.
        memory: Units of the state of one world; 0 where there is no memory.
    """

    memory = 0

    def __init__(self, networks: Sequence[Policy]) -> None:
        self.networks = list(networks)
        self.layout = Layout.of(networks[0])
        first = next(networks[0].parameters())
        self.weights = first.new_empty(len(networks), self.layout.size)
        self.gradient = first.new_zeros(len(networks) // 2, 2 * self.layout.size)
        self.views = self.layout.views(self.weights)
        with torch.no_grad():
            for name, view in self.views.items():
                view.copy_(torch.stack([network.get_parameter(name) for network in networks]))
        self.spread = self.views["spread"]

    def matrix(self, name: str) -> Tensor:
        """Return the matrices of a layer as they multiply from the right, (R, inputs, outputs)."""
        return self.views[name].mT

    def bias(self, name: str) -> Tensor:
        """Return the biases of a layer, (R, 1, outputs)."""
        return self.views[name][:, None]

    def narrowed(self, seeds: Sequence[int]) -> Self:
        """Return the rows of some seeds alone, with their present weights."""
        rows = [row for seed in seeds for row in (2 * seed, 2 * seed + 1)]
        some = type(self)([self.networks[row] for row in rows])
        some.weights.copy_(self.weights[rows])
        return some

    @torch.no_grad()
    def policy(self, seed: int) -> Policy:
        """Write the present weights into the actor of a seed and return it."""
        network = self.networks[2 * seed]
        for name, view in self.views.items():
            network.get_parameter(name).copy_(view[2 * seed])
        return network.eval()

    @abstractmethod
    def step(self, x: Tensor, state: Tensor, part: slice) -> tuple[Tensor, Tensor]:
        """Answer one step of some rows.

        Args:
            x: (R', B, features).
            state: (R', B, memory).
            part: Which rows R'.

        Returns:
            The outputs (R', B, O), and the next state.
        """

    @abstractmethod
    def forward(self, x: Tensor, keep: Tensor, state: Tensor) -> Tensor:
        """Answer whole sequences, and remember what `backward` needs.

        Args:
            x: What each seed sees, (S, B, T, features).
            keep: (S, B, T), 0 where a step begins an episode, else 1.
            state: (R, B, memory), before the first step.

        Returns:
            The outputs (R, B, T, O), overwritten by the next call.
        """

    @abstractmethod
    def backward(self, change: Tensor, spread: Tensor) -> None:
        """Set the gradient.

        Args:
            change: Derivatives of the loss by the outputs, (R, B, T, O).
            spread: Derivatives of the loss by `spread`, (R, A).
        """

    def _join(self, slopes: Sequence[Tensor]) -> None:
        """Write the parts of the gradient, (R, ...) each, side by side as the weights lie."""
        parts = [slope.flatten(1) for slope in slopes]
        torch.cat(parts, dim=1, out=self.gradient.view(len(self.weights), -1))


class MLPRows(Rows):
    """Perceptrons with two hidden layers of hyperbolic tangents.

    Units stand below each other and steps side by side, (R, units, B): the other way round products
    with few outputs take several times as long. Below the units of a layer stands a row of ones,
    by which a matrix takes in the biases that follow it in memory.
    """

    def __init__(self, networks: Sequence[Policy]) -> None:
        super().__init__(networks)
        shapes = [shape for name, shape in self.layout.shapes.items() if name.endswith("weight")]
        sizes = [outputs * (inputs + 1) for outputs, inputs in shapes]
        _, *parts = torch.split(self.weights, [self.spread.shape[1], *sizes], dim=1)
        self.back = [  # (R, inputs + 1, outputs)
            part.view(len(part), -1, outputs)
            for part, (outputs, _) in zip(parts, shapes, strict=True)
        ]
        self.forth = [matrix.mT for matrix in self.back]
        self.parts = {
            (part.start, part.step): [(m[part, -1:], m[part, :-1]) for m in self.back]
            for part in (ACTORS, CRITICS, ALL)
        }
        self.below: list[Tensor] = []  # what each layer sees, with the row of ones
        self.units: list[Tensor] = []  # the same without it
        self.sums: list[Tensor] = []  # of each layer; what comes back takes the same memory

    def step(self, x: Tensor, state: Tensor, part: slice) -> tuple[Tensor, Tensor]:
        """Answer each step by itself."""
        first, second, last = self.parts[part.start, part.step]
        hidden = torch.baddbmm(first[0], x, first[1]).tanh_()
        hidden = torch.baddbmm(second[0], hidden, second[1]).tanh_()
        return torch.baddbmm(last[0], hidden, last[1]), state

    def forward(self, x: Tensor, keep: Tensor, state: Tensor) -> Tensor:
        """Answer all steps at once."""
        del keep, state
        seen = x.flatten(1, 2).mT
        if not self.below or self.below[0].shape[2] != seen.shape[2]:
            self._make_room(seen.shape[2])
        self.units[0].view(len(x), 2, *seen.shape[1:]).copy_(seen[:, None])
        for layer, (matrix, sums) in enumerate(zip(self.forth, self.sums, strict=True)):
            if layer:
                torch.tanh(self.sums[layer - 1], out=self.units[layer])
            torch.bmm(matrix, self.below[layer], out=sums)
        return self.sums[-1].view(len(self.weights), -1, *x.shape[1:3]).movedim(1, -1)

    def backward(self, change: Tensor, spread: Tensor) -> None:
        """Go from the last layer to the first."""
        change = change.flatten(1, 2).mT
        slopes = [torch.bmm(change, self.below[-1].mT).mT]  # few outputs: faster this way round
        for layer in reversed(range(len(self.back) - 1)):
            change = torch.bmm(self.back[layer + 1][:, :-1], change, out=self.sums[layer])
            _through_tanh(change, self.units[layer + 1], grad_input=change)
            slopes.append(torch.bmm(self.below[layer], change.mT))
        self._join([spread, *reversed(slopes)])

    def _make_room(self, steps: int) -> None:
        """Take memory for batches of a new size."""
        new, R = self.weights.new_empty, len(self.weights)
        self.below = [torch.ones_like(new(R, matrix.shape[1], steps)) for matrix in self.back]
        self.units = [below[:, :-1] for below in self.below]
        self.sums = [new(R, matrix.shape[2], steps) for matrix in self.back]


class GatedRows(Rows):
    """Gated recurrent units, with the gates in torch's order: r, z, n."""

    def __init__(self, networks: Sequence[Policy]) -> None:
        super().__init__(networks)
        self.into, self.inner = self.matrix("cells.weight_ih_l0"), self.matrix("cells.weight_hh_l0")
        self.bias_in, self.bias_inner = self.bias("cells.bias_ih_l0"), self.bias("cells.bias_hh_l0")
        self.out, self.bias_out = self.matrix("output.weight"), self.bias("output.bias")
        self.memory = self.inner.shape[1]
        self.kept: tuple[Tensor, ...] = ()

    def step(self, x: Tensor, state: Tensor, part: slice) -> tuple[Tensor, Tensor]:
        """Answer one step from it and from all before it."""
        drive = torch.baddbmm(self.bias_in[part], x, self.into[part])
        sent = torch.baddbmm(self.bias_inner[part], state, self.inner[part])
        after, *_ = self._gates(drive, sent, state)
        return torch.baddbmm(self.bias_out[part], after, self.out[part]), after

    def forward(self, x: Tensor, keep: Tensor, state: Tensor) -> Tensor:
        """Run all steps; the memory is emptied where an episode begins."""
        x, keep = twice(x), twice(keep)
        R, B, T, _ = x.shape
        seen = x.transpose(1, 2).flatten(1, 2)  # (R, T B, features)
        drive = torch.baddbmm(self.bias_in, seen, self.into).view(R, T, B, -1)
        before = drive.new_empty(R, T, B, self.memory)
        states, gates = torch.empty_like(before), torch.empty_like(drive)
        sends = torch.empty_like(before)
        h = state
        for t in range(T):
            h = torch.mul(h, keep[:, :, t, None], out=before[:, t])
            sent = torch.baddbmm(self.bias_inner, h, self.inner)
            h, r, z, n = self._gates(drive[:, t], sent, h)
            states[:, t] = h
            torch.cat((r, z, n), dim=-1, out=gates[:, t])
            sends[:, t] = sent[..., 2 * self.memory :]
        self.kept = (seen, keep, before, states, gates, sends)
        output = torch.baddbmm(self.bias_out, states.flatten(1, 2), self.out)
        return output.view(R, T, B, -1).transpose(1, 2)

    def _gates(self, drive: Tensor, sent: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        """Return the next state and the gates r, z and n."""
        W = self.memory
        r, z = torch.sigmoid(drive[..., : 2 * W] + sent[..., : 2 * W]).chunk(2, dim=-1)
        n = torch.addcmul(drive[..., 2 * W :], r, sent[..., 2 * W :]).tanh_()
        return torch.lerp(n, h, z), r, z, n

    def backward(self, change: Tensor, spread: Tensor) -> None:
        """Go back in time."""
        seen, keep, before, states, gates, sends = self.kept
        W, last = self.memory, change.transpose(1, 2).flatten(1, 2)  # (R, T B, O)
        of_states = torch.bmm(last, self.out.mT).view_as(states)
        of_drive, of_sent = torch.empty_like(gates), torch.empty_like(gates)
        back, g = self.inner.mT, torch.zeros_like(states[:, 0])
        for t in reversed(range(states.shape[1])):
            h = before[:, t]
            r, z, n = gates[:, t].chunk(3, dim=-1)
            of_r, of_z, of_n = of_drive[:, t].chunk(3, dim=-1)
            g = g + of_states[:, t]
            kept = g * z
            _through_tanh(g - kept, n, grad_input=of_n)
            _through_sigmoid((h - n).mul_(g), z, grad_input=of_z)
            _through_sigmoid(of_n * sends[:, t], r, grad_input=of_r)
            of_sent[:, t, :, : 2 * W] = of_drive[:, t, :, : 2 * W]
            torch.mul(of_n, r, out=of_sent[:, t, :, 2 * W :])
            g = torch.baddbmm(kept, of_sent[:, t], back).mul_(keep[:, :, t, None])
        drives, sents = of_drive.flatten(1, 2), of_sent.flatten(1, 2)
        of_inputs = torch.bmm(seen.mT, drives), torch.bmm(before.flatten(1, 2).mT, sents)
        of_output = torch.bmm(states.flatten(1, 2).mT, last), last.sum(dim=1)
        self._join((spread, *of_inputs, drives.sum(dim=1), sents.sum(dim=1), *of_output))


def rows_of(networks: Sequence[Policy]) -> Rows:
    """Return the rows that compute these networks."""
    return (GatedRows if isinstance(networks[0], GatedPolicy) else MLPRows)(networks)


def twice(values: Tensor) -> Tensor:
    """Return what a seed knows (S, ...) for its actor and its critic, (2 S, ...)."""
    return values[:, None].expand(-1, 2, *values.shape[1:]).flatten(0, 1)
