"""Networks as strategies of Avalanche call them, and as they answer afterwards.

A strategy gives observations (B, T, *observation), as the network takes them. It gets logits
(B, classes) of trials of one step, else (B, classes, T), as torch's cross-entropy takes them.
"""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from agents.avalanche import avalanche
from agents.heads import Headed, split_task
from agents.networks import Network

__all__ = ["FEATURED", "Answering", "Cosine", "Features", "every_head", "last", "with_last"]

FEATURED = ("mlp", "cnn", "resnet", "dscnn", "contrast-mlp")
"""The networks whose last layer is a linear one, fed with features of one step."""


class Answering(nn.Module):
    """A network that is called with observations alone.

    Args:
        network: The network.
        whole: Whether all heads answer, as one: all classes of the stream compete.
    """

    def __init__(self, network: Network, *, whole: bool = False) -> None:
        super().__init__()
        self.network, self.whole = network, whole

    def forward(self, observation: Tensor) -> Tensor:
        """Answer."""
        return _answer(self.network, observation, whole=self.whole)


class Features(nn.Module):
    """What the last layer of a network sees: observations (B, 1, ...) to features (B, F)."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.trunk = with_last(network, nn.Identity(), share=True)

    def forward(self, observation: Tensor) -> Tensor:
        """Return the features."""
        return _answer(self.trunk, observation, whole=True)


class Cosine(nn.Module):
    """A last layer that compares features with the mean of each class, by the angle between them.

    Among vectors of length 1 the nearest mean is the one at the smallest angle.

    Args:
        means: Of length 1, (classes, F); 0 where a class was never seen.
    """

    means: Tensor
    never: Tensor

    def __init__(self, means: Tensor) -> None:
        super().__init__()
        self.register_buffer("means", means)
        self.register_buffer("never", -2.0 * (means == 0).all(dim=1))  # below any cosine

    def forward(self, features: Tensor) -> Tensor:
        """Return the cosines (..., classes) of features (..., F)."""
        return functional.linear(functional.normalize(features, dim=-1), self.means, self.never)


def every_head(network: Headed) -> nn.Module:
    """Return a model that answers for every task at once where no task is told."""
    model: nn.Module = _every_head()(network)
    return model


@cache
def _every_head() -> Any:
    """Return the class of these models, which inherits from one of Avalanche."""

    class EveryHead(avalanche("avalanche.models").MultiTaskModule):  # type: ignore[misc]
        def __init__(self, network: Headed) -> None:
            super().__init__()
            self.network = network

        def adaptation(self, experience: Any) -> None:
            """Change nothing: the network has all heads from the beginning."""

        def forward(self, observation: Tensor, task_labels: Any = ()) -> Any:
            """Answer with the head that the observation tells, or without labels with all."""
            if task_labels is not None:
                return _answer(self.network, observation, whole=False)
            every = _answer(self.network, observation, whole=True)
            return dict(enumerate(every.chunk(self.network.tasks, dim=1)))

    return EveryHead


def last(network: Network) -> nn.Linear:
    """Return the last layer of a network that has features."""
    layer: nn.Linear = _inner(network).layers[-1]
    return layer


def with_last(network: Network, layer: nn.Module, *, share: bool = False) -> Network:
    """Return a network with another last layer.

    Args:
        network: A network that has features.
        layer: The layer.
        share: Whether the layers below are the network's own; else they are copies.
    """
    other = deepcopy(network)
    below = _inner(network if share else other).layers[:-1]
    _inner(other).layers = nn.Sequential(*below, layer)
    return other


def _inner(network: Network) -> Any:
    """Return the network below the heads, or itself."""
    return network.inner if isinstance(network, Headed) else network


def _answer(network: Network, observation: Tensor, *, whole: bool) -> Tensor:
    if whole and isinstance(network, Headed):
        observation, _ = split_task(observation, network.tasks)
        network = network.inner
    output, _ = network(observation)
    answer: Tensor = output[:, 0] if output.shape[1] == 1 else output.movedim(1, -1)
    return answer
