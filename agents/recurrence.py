"""Recurrences over time as single operations: a loop forward, a hand-written loop backward.

Torch's own recurrent kernels cannot be stacked by `torch.func.vmap`, and a loop of small operations
spends its time on their bookkeeping. Here one operation holds the whole loop over time. All
networks of a stack go through one batched matrix product a step, and the gradient is written into
memory that is taken once.

Shapes: S stacked networks (1 where nothing is stacked), T steps, B trials, W units.

    drive    (S, T, B, gates W)  what the observations send to the gates, with a bias
    weight   (S, W, gates W)     from the units to the gates, as it multiplies from the right
    initial  (S, B, W)           the state before the first step
"""

from __future__ import annotations

import functools
from typing import Any

from neurotasks.errors import MissingExtra

try:
    import torch
except ImportError as error:
    raise MissingExtra("torch", "torch") from error

from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["GatedRecurrence", "LongShortRecurrence", "run"]

_through_tanh = torch.ops.aten.tanh_backward.grad_input
_through_sigmoid = torch.ops.aten.sigmoid_backward.grad_input


def run(operation: Any, *inputs: Tensor) -> tuple[Tensor, ...]:
    """Return the outputs of one of the operations below, in the widest type of its inputs.

    Under `torch.autocast` too: errors of narrow products would add up over the steps.
    """
    kind = functools.reduce(torch.promote_types, (value.dtype for value in inputs))
    with torch.autocast(inputs[0].device.type, enabled=False):
        return operation.apply(*(value.to(kind) for value in inputs))


class _Stackable(torch.autograd.Function):
    """An operation on S networks, stacked by `torch.func.vmap` as one call with more of them."""

    @classmethod
    def vmap(cls, info: Any, in_dims: tuple[int | None, ...], *inputs: Tensor) -> Any:
        """Fold the stacked axis into S, run once, and unfold it."""
        size, folded = info.batch_size, []
        for value, dim in zip(inputs, in_dims, strict=True):
            stacked = value.expand(size, *value.shape) if dim is None else value.movedim(dim, 0)
            folded.append(stacked.flatten(0, 1))
        outputs = run(cls, *folded)
        return tuple(v.reshape(size, -1, *v.shape[1:]) for v in outputs), (0,) * len(outputs)


class _Gradient(_Stackable):
    """The gradient of a recurrence: an operation of its own, so that it stacks too."""

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, ...]) -> None:
        """Keep nothing: there is no second gradient."""


class GatedRecurrence(_Stackable):
    """Gated recurrent units (Cho et al., 2014), with the gates in torch's order: r, z, n."""

    @staticmethod
    def forward(
        drive: Tensor, weight: Tensor, bias: Tensor, initial: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Run all steps.

        Args:
            drive: (S, T, B, 3 W).
            weight: (S, W, 3 W).
            bias: (S, 1, 3 W), added to what the units send; the gate r scales it with them.
            initial: (S, B, W).

        Returns:
            The states after each step (S, T, B, W), and for the gradient the gates (S, T, B, 3 W)
            and what the units send to the candidate n, (S, T, B, W).
        """
        W = initial.shape[-1]
        states, gates = drive.new_empty(*drive.shape[:-1], W), torch.empty_like(drive)
        inner, h = torch.empty_like(states), initial
        for t in range(drive.shape[1]):
            sent, step, gate = torch.baddbmm(bias, h, weight), drive[:, t], gates[:, t]
            torch.add(step[..., : 2 * W], sent[..., : 2 * W], out=gate[..., : 2 * W]).sigmoid_()
            r, z, n = gate.chunk(3, dim=-1)
            inner[:, t] = sent[..., 2 * W :]
            torch.addcmul(step[..., 2 * W :], r, sent[..., 2 * W :], out=n).tanh_()
            h = torch.lerp(n, h, z, out=states[:, t])
        return states, gates, inner

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, ...]) -> None:
        """Keep what the gradient needs."""
        _, weight, _, initial = inputs
        ctx.mark_non_differentiable(*output[1:])
        ctx.save_for_backward(weight, initial, *output)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Any) -> tuple[Tensor, ...]:
        """Go back in time."""
        return run(_GatedGradient, grad, *ctx.saved_tensors)


class _GatedGradient(_Gradient):
    """The gradient of gated recurrent units."""

    @staticmethod
    def forward(
        grad: Tensor,
        weight: Tensor,
        initial: Tensor,
        states: Tensor,
        gates: Tensor,
        inner: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the gradients of drive, weight, bias and initial state from that of the states."""
        W = initial.shape[-1]
        of_drive, back = torch.empty_like(gates), weight.mT.contiguous()
        of_weight, g = torch.zeros_like(weight), torch.zeros_like(initial)
        sent = torch.empty_like(gates[:, 0])
        total = torch.zeros_like(sent)
        for t in range(grad.shape[1] - 1, -1, -1):
            h = states[:, t - 1] if t > 0 else initial
            r, z, n = gates[:, t].chunk(3, dim=-1)
            of_r, of_z, of_n = of_drive[:, t].chunk(3, dim=-1)
            g = g + grad[:, t]
            kept = g * z
            _through_tanh(g - kept, n, grad_input=of_n)
            _through_sigmoid((h - n).mul_(g), z, grad_input=of_z)
            _through_sigmoid(of_n * inner[:, t], r, grad_input=of_r)
            sent[..., : 2 * W] = of_drive[:, t, :, : 2 * W]
            torch.mul(of_n, r, out=sent[..., 2 * W :])
            g = torch.baddbmm(kept, sent, back)
            torch.baddbmm(of_weight, h.mT, sent, out=of_weight)
            total += sent
        return of_drive, of_weight, total.sum(dim=1, keepdim=True), g


class LongShortRecurrence(_Stackable):
    """Long short-term memory (Hochreiter and Schmidhuber, 1997); gates as in torch: i, f, g, o."""

    @staticmethod
    def forward(
        drive: Tensor, weight: Tensor, initial: Tensor, cell: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Run all steps.

        Args:
            drive: (S, T, B, 4 W).
            weight: (S, W, 4 W).
            initial: (S, B, W), what the units answered before the first step.
            cell: (S, B, W), what they remembered.

        Returns:
            Answers and memories after each step, (S, T, B, W) each, and for the gradient the gates
            (S, T, B, 4 W).
        """
        W = initial.shape[-1]
        states, gates = drive.new_empty(*drive.shape[:-1], W), torch.empty_like(drive)
        cells, h, c = torch.empty_like(states), initial, cell
        for t in range(drive.shape[1]):
            gate = gates[:, t]
            torch.baddbmm(drive[:, t], h, weight, out=gate)
            i, f, g, o = gate.chunk(4, dim=-1)
            gate[..., : 2 * W].sigmoid_()
            g.tanh_()
            o.sigmoid_()
            c = torch.mul(f, c, out=cells[:, t]).addcmul_(i, g)
            h = torch.mul(o, c.tanh(), out=states[:, t])
        return states, cells, gates

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, ...]) -> None:
        """Keep what the gradient needs."""
        ctx.mark_non_differentiable(output[2])
        ctx.save_for_backward(*inputs[1:], *output)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, of_cells: Tensor, _: Any) -> tuple[Tensor, ...]:
        """Go back in time."""
        weight, initial, cell, states, cells, gates = ctx.saved_tensors
        before = torch.cat((initial.unsqueeze(1), states[:, :-1]), dim=1)
        past = torch.cat((cell.unsqueeze(1), cells), dim=1)
        return run(_LongShortGradient, grad, of_cells, weight, before, past, gates)


class _LongShortGradient(_Gradient):
    """The gradient of long short-term memory."""

    @staticmethod
    def forward(
        grad: Tensor,
        of_cells: Tensor,
        weight: Tensor,
        before: Tensor,
        past: Tensor,
        gates: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the gradients of drive, weight, initial answer and memory.

        Args:
            grad: Gradient of the answers after each step, (S, T, B, W).
            of_cells: Gradient of the memories after each step, (S, T, B, W).
            weight: (S, W, 4 W).
            before: Answers before each step, (S, T, B, W).
            past: Memories before each step and after the last, (S, T + 1, B, W).
            gates: (S, T, B, 4 W).
        """
        of_drive, back = torch.empty_like(gates), weight.mT.contiguous()
        of_weight = torch.zeros_like(weight)
        of_h = of_c = torch.zeros_like(before[:, 0])
        for t in range(grad.shape[1] - 1, -1, -1):
            i, f, g, o = gates[:, t].chunk(4, dim=-1)
            of_i, of_f, of_g, of_o = of_drive[:, t].chunk(4, dim=-1)
            of_h, shown = of_h + grad[:, t], past[:, t + 1].tanh()
            _through_sigmoid(of_h * shown, o, grad_input=of_o)
            of_c = of_c + of_cells[:, t] + torch.ops.aten.tanh_backward(of_h * o, shown)
            _through_sigmoid(of_c * g, i, grad_input=of_i)
            _through_sigmoid(of_c * past[:, t], f, grad_input=of_f)
            _through_tanh(of_c * i, g, grad_input=of_g)
            of_c = of_c * f
            of_h = torch.bmm(of_drive[:, t], back)
            torch.baddbmm(of_weight, before[:, t].mT, of_drive[:, t], out=of_weight)
        return of_drive, of_weight, of_h, of_c
