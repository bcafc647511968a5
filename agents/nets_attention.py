"""Transformers: over the past steps of a trial, or over the parts of one observation."""

from __future__ import annotations

import math
from typing import Any

import gymnasium as gym

from agents.nets_base import Network, PartsNetwork
from neurotasks.errors import MissingExtra

try:
    import torch
except ImportError as error:
    raise MissingExtra("torch", "torch") from error

from torch import Tensor, nn
from torch.nn import functional

__all__ = ["BiTransformer", "Transformer"]

_LAYERS = 2
_HEADS = 4
_WIDER = 4  # how much wider than the rest the hidden layer of a block is


class _Block(nn.Module):
    """Attention and a hidden layer, each added to what came in after a layer normalisation.

    Attributes:
        heads: How many heads share the width.
        mix: From a token to its query, key and value.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = math.gcd(width, _HEADS)
        self.before = nn.LayerNorm(width)
        self.mix = nn.Linear(width, 3 * width)
        self.merge = nn.Linear(width, width)
        self.hidden = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, _WIDER * width),
            nn.GELU(),
            nn.Linear(_WIDER * width, width),
        )

    def forward(
        self, x: Tensor, past: Tensor | None = None, bias: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Let tokens look at each other.

        Args:
            x: Tokens, (B, T, width).
            past: Keys and values of earlier tokens, (B, P, 2 width).
            bias: What is added to each head's scores, (B or 1, heads, T, P + T).

        Returns:
            Tokens (B, T, width), and the keys and values of these, (B, T, 2 width).
        """
        width = x.shape[-1]
        query, kept = self.mix(self.before(x)).split((width, 2 * width), dim=-1)
        seen = kept if past is None else torch.cat((past, kept), dim=1)
        query, key, value = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, heads, T, width / heads)
            for part in (query, *seen.chunk(2, dim=-1))
        )
        scores = query @ key.mT / math.sqrt(key.shape[-1])
        weights = torch.softmax(scores if bias is None else scores + bias, dim=-1)
        x = x + self.merge((weights @ value).transpose(1, 2).flatten(2))
        return x + self.hidden(x), kept


class Transformer(Network):
    """Two causal layers of attention (Vaswani et al., 2017) over the last `context` steps.

    A step looks at itself and at the context - 1 steps before it. It knows how long ago each was by
    a learned number for each head and distance (Raffel et al., 2020), which at first falls with
    the distance (Press, Smith and Lewis, 2022); so a trial may be longer than any seen in training.

    The state holds each remembered step's keys and values and a mark that there was such a step:
    zeros are steps that never were. It grows up to context - 1 steps.

    Attributes:
        state: (None, layers * 2 * width + 1).
        context: How many steps a layer sees.
        entry: From an observation to a token.
        distance: (heads, context).
        blocks: The layers.
        output: The readout.
    """

    def __init__(
        self, space: gym.Space[Any], outputs: int, width: int, *, context: int = 256
    ) -> None:
        super().__init__(space)
        self.state = (None, _LAYERS * 2 * width + 1)
        self.context = context
        self.entry = nn.Linear(math.prod(self.encoder.shape), width)
        self.blocks = nn.ModuleList(_Block(width) for _ in range(_LAYERS))
        heads = math.gcd(width, _HEADS)
        slopes = 2.0 ** (-8.0 * torch.arange(1, heads + 1) / heads)
        self.distance = nn.Parameter(-slopes[:, None] * torch.arange(context))
        self.output = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, outputs))

    def forward(
        self, observation: Tensor, state: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Answer each step from it and from those before it."""
        x = self.entry(self.encoder(observation).flatten(2))
        earlier = None if state is None else state.transpose(0, 1)  # (B, P, layers 2 width + 1)
        bias = self._bias(x, earlier)
        pasts = [None] * _LAYERS if earlier is None else earlier[..., :-1].chunk(_LAYERS, dim=-1)
        kept = []
        for block, past in zip(self.blocks, pasts, strict=True):
            x, new = block(x, past, bias)
            kept.append(new)
        after = torch.cat((*kept, torch.ones_like(x[..., :1])), dim=-1)
        whole = after if earlier is None else torch.cat((earlier, after), dim=1)
        begin = torch.sym_max(whole.shape[1] - self.context + 1, 0)  # type: ignore[no-untyped-call]
        return self.output(x), whole[:, begin:].transpose(0, 1)

    def _bias(self, x: Tensor, earlier: Tensor | None) -> Tensor:
        """Return what is added to the scores, (B or 1, heads, T, P + T)."""
        steps, past = x.shape[1], 0 if earlier is None else earlier.shape[1]
        now = torch.arange(steps, device=x.device) + past
        ago = now[:, None] - torch.arange(past + steps, device=x.device)  # (T, P + T)
        index = ago.clamp(0, self.context - 1)
        bias = self.distance.index_select(1, index.flatten()).reshape(-1, *index.shape)
        hidden = ((ago < 0) | (ago >= self.context)).expand(1, 1, -1, -1)
        if earlier is not None:
            never = functional.pad(earlier[..., -1] == 0, (0, steps))  # (B, P + T)
            hidden = hidden | never[:, None, None]
        return bias.masked_fill(hidden, -math.inf)


class BiTransformer(PartsNetwork):
    """Two layers in which each part of one observation looks at all others; no memory.

    Attributes:
        entry: From a part to a token.
        place: What is added to the token of each part, (parts, width).
        blocks: The layers.
        output: The readout of the tokens' mean.
    """

    def __init__(self, space: gym.Space[Any], outputs: int, width: int) -> None:
        super().__init__(space)
        self.entry = nn.Linear(self.features, width)
        self.place = nn.Parameter(torch.randn(self.parts, width) / math.sqrt(width))
        self.blocks = nn.ModuleList(_Block(width) for _ in range(_LAYERS))
        self.output = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, outputs))

    def body(self, encoded: Tensor) -> Tensor:
        """Answer each step from the parts of its observation."""
        x = self.entry(self.sequence(encoded)) + self.place
        for block in self.blocks:
            x, _ = block(x)
        return self.output(x.mean(dim=1)).unflatten(0, encoded.shape[:2])
