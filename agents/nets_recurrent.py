"""Recurrent networks: gated units over the steps of a trial, or over one observation's parts.

Their weights lie in torch's own modules, the fastest way for one network, known to ONNX by
name. In a stack, which they refuse, `agents.recurrence` runs the steps.
"""

from __future__ import annotations

import math
from typing import Any

import gymnasium as gym

from agents.nets_base import Network, PartsNetwork
from agents.recurrence import GatedRecurrence, LongShortRecurrence, run
from neurotasks.errors import MissingExtra

try:
    import torch
except ImportError as error:
    raise MissingExtra("torch", "torch") from error

from torch import Tensor, nn
from torch.nn import functional

__all__ = ["GRU", "LSTM", "BiGRU", "BiLSTM"]


class GRU(Network):
    """One layer of gated recurrent units (Cho et al., 2014) and a linear readout.

    Attributes:
        state: (1, width).
        cells: The recurrent layer.
        output: The readout.
    """

    def __init__(self, space: gym.Space[Any], outputs: int, width: int) -> None:
        super().__init__(space)
        self.state = (1, width)
        self.cells = nn.GRU(math.prod(self.encoder.shape), width, batch_first=True)
        self.output = nn.Linear(width, outputs)

    def forward(
        self, observation: Tensor, state: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Answer each step from it and from all before it."""
        x = self.encoder(observation).flatten(2)
        if _stacked():
            hidden = _gated(self.cells, x, state)  # (B, T, width)
            last = hidden[:, -1].unsqueeze(0)
        else:
            hidden, last = self.cells(x, state)
        return self.output(hidden), last


class LSTM(Network):
    """One layer of long short-term memory (Hochreiter and Schmidhuber, 1997), a linear readout.

    Attributes:
        state: (2, width): what the units answered last, and what they remember.
        cells: The recurrent layer.
        output: The readout.
    """

    def __init__(self, space: gym.Space[Any], outputs: int, width: int) -> None:
        super().__init__(space)
        self.state = (2, width)
        self.cells = nn.LSTM(math.prod(self.encoder.shape), width, batch_first=True)
        self.output = nn.Linear(width, outputs)

    def forward(
        self, observation: Tensor, state: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Answer each step from it and from all before it."""
        x = self.encoder(observation).flatten(2)
        if _stacked():
            hidden, cell = _long_short(self.cells, x, state)  # (B, T, width) each
            last = torch.stack((hidden[:, -1], cell[:, -1]))
        else:
            pair = None if state is None else (state[:1], state[1:])
            hidden, ends = self.cells(x, pair)
            last = torch.cat(ends)
        return self.output(hidden), last


class BiGRU(PartsNetwork):
    """Gated recurrent units that read one observation's parts in both directions; no memory.

    Attributes:
        cells: The recurrent layer, `width` units in each direction.
        output: The readout of what both directions end with.
    """

    def __init__(self, space: gym.Space[Any], outputs: int, width: int) -> None:
        super().__init__(space)
        self.cells = nn.GRU(self.features, width, batch_first=True, bidirectional=True)
        self.output = nn.Linear(2 * width, outputs)

    def body(self, encoded: Tensor) -> Tensor:
        """Answer each step from the parts of its observation."""
        x = self.sequence(encoded)
        if _stacked():
            there = _gated(self.cells, x, None)[:, -1]  # (B T, width)
            back = _gated(self.cells, x.flip(1), None, "_reverse")[:, -1]
        else:
            there, back = self.cells(x)[1]
        return self.output(torch.cat((there, back), dim=-1)).unflatten(0, encoded.shape[:2])


class BiLSTM(PartsNetwork):
    """Long short-term memory that reads one observation's parts in both directions; no memory.

    Attributes:
        cells: The recurrent layer, `width` units in each direction.
        output: The readout of what both directions end with.
    """

    def __init__(self, space: gym.Space[Any], outputs: int, width: int) -> None:
        super().__init__(space)
        self.cells = nn.LSTM(self.features, width, batch_first=True, bidirectional=True)
        self.output = nn.Linear(2 * width, outputs)

    def body(self, encoded: Tensor) -> Tensor:
        """Answer each step from the parts of its observation."""
        x = self.sequence(encoded)
        if _stacked():
            there = _long_short(self.cells, x, None)[0][:, -1]  # (B T, width)
            back = _long_short(self.cells, x.flip(1), None, "_reverse")[0][:, -1]
        else:
            there, back = self.cells(x)[1][0]
        return self.output(torch.cat((there, back), dim=-1)).unflatten(0, encoded.shape[:2])


def _stacked() -> bool:
    """Return whether `torch.func` transforms what is computed; torch's kernels refuse that."""
    return torch._C._are_functorch_transforms_active()  # noqa: SLF001 - torch asks no other way


def _gated(cells: nn.GRU, x: Tensor, state: Tensor | None, direction: str = "") -> Tensor:
    """Return the hidden states (B, T, width) of inputs (B, T, features)."""
    into, weight, bias, inner = _weights(cells, direction)
    drive = functional.linear(x.transpose(0, 1), into, bias)  # (T, B, 3 width)
    first = x.new_zeros(1, len(x), cells.hidden_size) if state is None else state
    states, *_ = run(GatedRecurrence, drive[None], weight.mT[None], inner[None, None], first)
    return states[0].transpose(0, 1)


def _long_short(
    cells: nn.LSTM, x: Tensor, state: Tensor | None, direction: str = ""
) -> tuple[Tensor, Tensor]:
    """Return the hidden states and the memories, (B, T, width) each, of inputs (B, T, features)."""
    into, weight, bias, inner = _weights(cells, direction)
    drive = functional.linear(x.transpose(0, 1), into, bias + inner)  # (T, B, 4 width)
    first = x.new_zeros(2, len(x), cells.hidden_size) if state is None else state
    states, memories, _ = run(
        LongShortRecurrence, drive[None], weight.mT[None], first[:1], first[1:]
    )
    return states[0].transpose(0, 1), memories[0].transpose(0, 1)


def _weights(cells: nn.RNNBase, direction: str) -> tuple[Tensor, ...]:
    """Return the weights from the inputs and from the units, and the biases of both."""
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    return tuple(getattr(cells, f"{name}_l0{direction}") for name in names)
