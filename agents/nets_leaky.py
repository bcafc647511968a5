"""A continuous-time recurrent network: leaky units with noise of their own while they learn."""

from __future__ import annotations

import math
from typing import Any

import gymnasium as gym

from agents.nets_base import Network
from neurotasks.errors import MissingExtra
from neurotasks.rng import philox

try:
    import torch
except ImportError as error:
    raise MissingExtra("torch", "torch") from error

from torch import Tensor, nn
from torch.nn import functional

__all__ = ["CTRNN"]

_NORMALS = 8  # from the four 64-bit words of a block
_HALF = 1 << 32


class CTRNN(Network):
    """Leaky rectified units (Song, Yang and Wang, 2016) and a linear readout of their rates.

        tau dx/dt = -x + W max(x, 0) + (input and bias) + sqrt(2 tau) noise xi(t)

    by Euler's method, one step of `dt` for each step of a trial. The noise xi is white, of each
    unit alone, and there only while gradients are taken. It comes from a counter that the network
    holds, not from a generator: the same seed gives the same noise, alone or in a stack.

    Attributes:
        state: (1, width), the currents x.
        entry: The weights of the input, and the bias.
        weight: W^T, (width, width).
        output: The readout.
        leak: dt / tau, the part of the old current that is lost in one step.
        noise: Standard deviation of a current that nothing but noise drives.
    """

    key: Tensor
    calls: Tensor
    looped = True

    def __init__(
        self,
        space: gym.Space[Any],
        outputs: int,
        width: int,
        *,
        tau: float = 100.0,
        dt: float = 20.0,
        noise: float = 0.05,
    ) -> None:
        """Args beyond the usual: tau and dt in milliseconds, 0 < dt <= tau; noise from 0 up."""
        if not 0.0 < dt <= tau or noise < 0.0:
            raise ValueError(f"a step is {dt} ms of {tau} ms with noise {noise}; 0 < dt <= tau")
        super().__init__(space)
        self.state = (1, width)
        self.leak, self.noise = dt / tau, noise
        self.entry = nn.Linear(math.prod(self.encoder.shape), width)
        self.weight = nn.Parameter(torch.randn(width, width) / math.sqrt(width))
        self.output = nn.Linear(width, outputs)
        self.register_buffer("key", torch.randint(1 << 62, ()))
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def forward(
        self, observation: Tensor, state: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Answer each step from it and from all before it."""
        x = self.encoder(observation).flatten(2)
        drive = self.entry(x).float().transpose(0, 1)  # (T, B, width), float32 under autocast too
        if self.training and torch.is_grad_enabled():
            drive = drive + self._drawn(drive) * (self.noise * math.sqrt(2.0 / self.leak))
        current = torch.zeros_like(drive[0]) if state is None else state[0]
        currents = []
        for step in drive.unbind():
            sent = functional.relu(current) @ self.weight
            current = torch.lerp(current, sent + step, self.leak)
            currents.append(current)
        rates = functional.relu(torch.stack(currents, dim=1))  # (B, T, width)
        return self.output(rates), current.unsqueeze(0)

    def _drawn(self, like: Tensor) -> Tensor:
        """Return independent standard normal numbers in the shape of a tensor, others each time."""
        size = like.numel()
        blocks = torch.arange(-(-size // _NORMALS), device=like.device)
        words = torch.cat(philox((blocks, self.calls, 0, 0), (self.key, 0)), dim=-1)
        self.calls.add_(1)
        uniform = torch.cat((words & (_HALF - 1), (words >> 32) & (_HALF - 1))).to(like.dtype)
        radius, angle = ((uniform + 0.5) / _HALF).chunk(2)
        radius, angle = (-2.0 * torch.log(radius)).sqrt(), 2.0 * math.pi * angle  # Box and Muller
        normal = torch.cat((radius * angle.cos(), radius * angle.sin()))
        return normal[:size].reshape(like.shape)
