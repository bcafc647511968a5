"""All networks by name: from observations to numbers, batched and recurrent, one signature for all.

The signature and its shapes stand at the head of `agents.nets_base`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from agents.nets_attention import BiTransformer, Transformer
from agents.nets_base import Encoder, Network, Readout, readout
from agents.nets_leaky import CTRNN
from agents.nets_recurrent import GRU, LSTM, BiGRU, BiLSTM
from agents.nets_static import CNN, DSCNN, MLP, ContrastMLP, ResNet

__all__ = [
    "CNN",
    "CTRNN",
    "DSCNN",
    "GRU",
    "LSTM",
    "MLP",
    "NETWORKS",
    "BiGRU",
    "BiLSTM",
    "BiTransformer",
    "ContrastMLP",
    "Encoder",
    "Network",
    "Readout",
    "ResNet",
    "Transformer",
    "readout",
]

NETWORKS: Mapping[str, Callable[..., Network]] = MappingProxyType(
    {
        "mlp": MLP,
        "cnn": CNN,
        "resnet": ResNet,
        "dscnn": DSCNN,
        "contrast-mlp": ContrastMLP,
        "gru": GRU,
        "lstm": LSTM,
        "ctrnn": CTRNN,
        "transformer": Transformer,
        "bigru": BiGRU,
        "bilstm": BiLSTM,
        "bitransformer": BiTransformer,
    }
)
"""The networks by name. Each is made from an observation space, a number of outputs, a width."""
