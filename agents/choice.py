"""Which kind of stack trains some networks fastest: a rule made of measurements.

On a processor a stack gains where one network's operations are too small to fill the time that
starting them takes, and loses where the arrays of ten networks no longer fit its cache. What counts
is how many numbers an operation of one network gives on the average. Ten seeds on one core
(AVX-512, 2 MiB of cache), time of sequential steps divided by that of stacked ones:

    network      numbers  gain      network      numbers  gain      network      numbers  gain
    mlp              674  3.4       gru            4,093  3.1       transformer   14,735  1.6
    cnn            1,829  2.5       dscnn          4,970  2.1       gru           15,860  0.7
    bigru          1,904  3.7       gru            8,246  1.3       cnn           23,485  0.7
    gru            2,126  3.2       bitransformer  8,722  1.2       bigru         29,568  1.0
    ctrnn          2,400  1.9       ctrnn          8,981  1.4       ctrnn         34,685  0.8
    resnet         2,829  1.5       mlp            9,201  1.9       bilstm        39,492  1.0
    bilstm         2,910  4.5       lstm          12,000  2.7       resnet        42,934  0.6

On a GPU, which has thousands of operations' worth of room, everything is stacked. The rule depends
on no clock, so that a run that is repeated computes in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from agents.mlp import MLPStack
from agents.networks import Network, Readout
from agents.stack import Sequential, Stack, Vmapped

__all__ = ["choose", "numbers_per_operation"]

_SMALL = 12_500  # numbers that an operation gives on the average


def choose(
    networks: Sequence[Network],
    readout: Readout,
    example: Tensor,
    *,
    stacked: bool | None = None,
    precision: str = "float32",
    compiled: bool = False,
) -> Stack:
    """Return a stack of the kind that is fastest.

    Args:
        networks: One for each seed.
        readout: How their outputs become actions.
        example: One batch of one seed, (B, T, *observation).
        stacked: Whether to compute side by side; None to follow the rule.
        precision: See `Stack`.
        compiled: See `Stack`.
    """
    first, plain = networks[0], precision == "float32" and not compiled
    if stacked is None:
        batched = plain and MLPStack.fits(first)
        stacked = batched or (len(networks) > 1 and _gains(first, example))
    kind: type[Stack] = Sequential
    if stacked:
        kind = MLPStack if plain and MLPStack.fits(first) else Vmapped
    return kind(networks, readout, precision=precision, compiled=compiled)


def _gains(network: Network, example: Tensor) -> bool:
    """Say whether a stack is faster than networks one by one."""
    return example.device.type != "cpu" or numbers_per_operation(network, example) < _SMALL


def numbers_per_operation(network: Network, example: Tensor) -> float:
    """Return how many numbers an operation of a network's forward pass gives on the average."""
    with torch.no_grad(), _Counter() as counter:
        network(example, None)
    return counter.numbers / counter.operations


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the operations that pass, and the numbers that they give."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations = self.numbers = 0

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run an operation and count it."""
        del types
        result = func(*args, **(kwargs or {}))
        for value in result if isinstance(result, tuple | list) else (result,):
            if isinstance(value, Tensor):
                self.operations += 1
                self.numbers += value.numel()
        return result
