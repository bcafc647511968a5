"""A generator of images for generative replay: a variational autoencoder of any image size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from agents.avalanche import avalanche

__all__ = ["VAE", "generator", "vae_loss"]

_WIDTH = 256
_LATENTS = 16
_WHITE = 255.0
_LEARNING_RATE = 3e-3


class VAE(nn.Module):
    """A variational autoencoder of bytes (Kingma and Welling, 2014); one hidden layer each way.

    Args:
        shape: Of one trial, (1, channels, rows, columns).

    Attributes:
        encode: From pixels to the mean and the logarithm of the variance of each latent.
        decode: From latents to the logits of pixels.
    """

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.shape, pixels = tuple(shape), math.prod(shape)
        self.encode = nn.Sequential(
            nn.Linear(pixels, _WIDTH), nn.ReLU(), nn.Linear(_WIDTH, 2 * _LATENTS)
        )
        self.decode = nn.Sequential(
            nn.Linear(_LATENTS, _WIDTH), nn.ReLU(), nn.Linear(_WIDTH, pixels)
        )

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the logits of pixels (B, P) between 0 and 1, and the latents' mean and spread."""
        mean, log_variance = self.encode(images.flatten(1) / _WHITE).chunk(2, dim=1)
        latents = mean + torch.randn_like(mean) * (log_variance / 2).exp()
        return self.decode(latents), mean, log_variance

    @torch.no_grad()
    def generate(self, number: int) -> Tensor:
        """Return images of its own, (number, *shape) float32 from 0 to 255."""
        latents = torch.randn(number, _LATENTS, device=next(self.parameters()).device)
        return self.decode(latents).sigmoid().mul(_WHITE).unflatten(1, self.shape)


def vae_loss(images: Tensor, output: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Return minus the evidence lower bound, in nats a trial."""
    logits, mean, log_variance = output
    truth = images.flatten(1) / _WHITE
    error = functional.binary_cross_entropy_with_logits(logits, truth, reduction="sum")
    divergence = (mean.square() + log_variance.exp() - 1 - log_variance).sum() / 2
    return (error + divergence) / len(images)


def generator(shape: Sequence[int], **common: Any) -> Any:
    """Return a strategy of Avalanche that trains a generator, with its own images replayed.

    Args:
        shape: Of one trial, (1, channels, rows, columns).
        common: Arguments of any strategy: batch, device, plugins ...
    """
    model = VAE(shape)
    plugins = avalanche("avalanche.training.plugins")
    common["plugins"] = [*common["plugins"], plugins.GenerativeReplayPlugin()]
    return avalanche("avalanche.training.supervised").VAETraining(
        model=model,
        optimizer=torch.optim.Adam(model.parameters(), lr=_LEARNING_RATE),
        criterion=vae_loss,
        **common,
    )
