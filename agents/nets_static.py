"""Networks that answer each step by itself: a perceptron, and convolutions for images."""

from __future__ import annotations

import math
from typing import Any

import gymnasium as gym

from agents.nets_base import Encoder, Network
from neurotasks.errors import MissingExtra

try:
    from torch import Tensor, nn
except ImportError as error:
    raise MissingExtra("torch", "torch") from error

__all__ = ["CNN", "DSCNN", "MLP", "ContrastMLP", "ResNet"]

_KERNEL = 3
_TOGETHER = 8  # channels in one group of a normalisation
_LEAST = 1 / 255  # spread of an image: an even one stays 0
_LARGE = 32  # pixels a side, from which on the first convolution takes every second one


class MLP(Network):
    """Two hidden layers of rectified units; each step is answered by itself.

    Attributes:
        layers: The hidden layers and the output.
    """

    def __init__(self, space: gym.Space[Any], outputs: int, width: int) -> None:
        super().__init__(space)
        self.layers = nn.Sequential(
            nn.Linear(math.prod(self.encoder.shape), width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, outputs),
        )

    def body(self, encoded: Tensor) -> Tensor:
        """Answer each step from its flattened observation."""
        return self.layers(encoded.flatten(2))


class _Contrast(Encoder):
    """Brings each image to mean 0 and spread 1 over all its pixels and channels."""

    def forward(self, observation: Tensor) -> Tensor:
        """Encode."""
        image, over = super().forward(observation), (-3, -2, -1)
        centred = image - image.mean(over, keepdim=True)
        spread = centred.square().mean(over, keepdim=True).sqrt()
        return centred / spread.clamp_min(_LEAST)


class ContrastMLP(MLP):
    """A perceptron of images after global contrast normalisation (Goodfellow et al., 2016, 12.2.1).

    What brightness and contrast a film was taken with no longer matters, and the mean of the
    inputs, which slows learning down, is 0 in each image.
    """

    def __init__(self, space: gym.Space[Any], outputs: int, width: int) -> None:
        super().__init__(space, outputs, width)
        _check_images(self, space)
        self.encoder = _Contrast(space)


def _check_images(network: Network, space: gym.Space[Any]) -> None:
    if len(network.encoder.shape) != 3:  # noqa: PLR2004 - channels, rows, columns
        raise TypeError(
            f"a {type(network).__name__} sees images (channels, rows, columns), not {space}"
        )


class _ImageNetwork(Network):
    """What sees images.

    Attributes:
        layers: From images (N, channels, rows, columns) to outputs (N, outputs).
    """

    layers: nn.Sequential

    def __init__(self, space: gym.Space[Any]) -> None:
        super().__init__(space)
        _check_images(self, space)

    def body(self, encoded: Tensor) -> Tensor:
        """Answer each step from its image."""
        images = encoded.flatten(0, 1)  # (B T, channels, rows, columns)
        return self.layers(images).unflatten(0, encoded.shape[:2])


class CNN(_ImageNetwork):
    """Two convolutions, each with a maximum over 2 x 2, and one hidden layer; no memory.

    Attributes:
        layers: The convolutions, the hidden layer of `width` units, and the output.
    """

    def __init__(self, space: gym.Space[Any], outputs: int, width: int) -> None:
        super().__init__(space)
        channels, rows, columns = self.encoder.shape
        first, second = max(width // 8, 1), max(width // 4, 1)
        self.layers = nn.Sequential(
            nn.Conv2d(channels, first, _KERNEL, padding=1),  # (N, width / 8, rows, columns)
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Conv2d(first, second, _KERNEL, padding=1),  # (N, width / 4, rows / 2, columns / 2)
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(second * (rows // 4) * (columns // 4), width),
            nn.ReLU(),
            nn.Linear(width, outputs),
        )


class ResNet(_ImageNetwork):
    """Three residual blocks (He et al., 2016) and the mean over the image.

    Channels are normalised in groups within one image (Wu and He, 2018), not over a batch.

    Attributes:
        layers: The first convolution, the blocks of width / 8, width / 4 and width / 2 channels,
            the mean, and the output.
    """

    def __init__(self, space: gym.Space[Any], outputs: int, width: int) -> None:
        super().__init__(space)
        channels, rows, columns = self.encoder.shape
        first, second, third = (max(width // part, 1) for part in (8, 4, 2))
        self.layers = nn.Sequential(
            _convolution(channels, first, _first_stride(rows, columns)),
            _Residual(first, first, 1),  # (N, width / 8, rows, columns), half as many if large
            _Residual(first, second, 2),  # (N, width / 4, rows / 2, columns / 2)
            _Residual(second, third, 2),  # (N, width / 2, rows / 4, columns / 4)
            _Mean(),
            nn.Linear(third, outputs),
        )


class DSCNN(_ImageNetwork):
    """Depthwise-separable convolutions (Chollet, 2017; Howard et al., 2017) and the image's mean.

    Attributes:
        layers: The first convolution, three pairs of a convolution of each channel alone and one
            over the channels of each pixel, the mean, and the output.
    """

    def __init__(self, space: gym.Space[Any], outputs: int, width: int) -> None:
        super().__init__(space)
        channels, rows, columns = self.encoder.shape
        first, second, third = (max(width // part, 1) for part in (4, 2, 1))
        self.layers = nn.Sequential(
            _convolution(channels, first, _first_stride(rows, columns)),
            nn.ReLU(),
            *_separable(first, first, 1),  # (N, width / 4, rows, columns), half as many if large
            *_separable(first, second, 2),  # (N, width / 2, rows / 2, columns / 2)
            *_separable(second, third, 2),  # (N, width, rows / 4, columns / 4)
            _Mean(),
            nn.Linear(third, outputs),
        )


class _Residual(nn.Module):
    """Two convolutions beside a shortcut, (N, before, rows, columns) to (N, after, ...)."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.change = nn.Sequential(
            _convolution(before, after, stride), nn.ReLU(), _convolution(after, after, 1)
        )
        same = before == after and stride == 1
        self.shortcut = nn.Identity() if same else nn.Conv2d(before, after, 1, stride)
        self.rectify = nn.ReLU()

    def forward(self, images: Tensor) -> Tensor:
        """Add the change to what came in."""
        return self.rectify(self.shortcut(images) + self.change(images))


class _Mean(nn.Module):
    """The mean over rows and columns, (N, channels, rows, columns) to (N, channels)."""

    def forward(self, images: Tensor) -> Tensor:
        """Take the mean."""
        return images.mean(dim=(2, 3))


def _convolution(before: int, after: int, stride: int) -> nn.Sequential:
    """Return a 3 x 3 convolution and the normalisation of its channels in groups."""
    return nn.Sequential(
        nn.Conv2d(before, after, _KERNEL, stride, padding=1, bias=False), _norm(after)
    )


def _separable(before: int, after: int, stride: int) -> tuple[nn.Module, ...]:
    """Return a convolution of each channel alone, and one over the channels of each pixel."""
    return (
        nn.Conv2d(before, before, _KERNEL, stride, padding=1, groups=before, bias=False),
        _norm(before),
        nn.ReLU(),
        nn.Conv2d(before, after, 1, bias=False),
        _norm(after),
        nn.ReLU(),
    )


def _norm(channels: int) -> nn.GroupNorm:
    """Return the normalisation within each image of some eight channels together."""
    return nn.GroupNorm(math.gcd(channels, max(channels // _TOGETHER, 1)), channels)


def _first_stride(rows: int, columns: int) -> int:
    """Return the stride of the first convolution: large images have pixels to spare."""
    return 2 if min(rows, columns) >= _LARGE else 1
