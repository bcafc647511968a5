"""CORe50 at 128 x 128 pixels; `core50` says what the files and the prepared arrays hold."""

from __future__ import annotations

from neurotasks.sources.core50 import source

__all__ = ["SOURCE"]

SOURCE = source(
    "core50_128",
    128,
    "http://bias.csr.unibo.it/maltoni/download/core50/core50_128x128.zip",
    "745f3373fed08d69343f1058ee559e13",
)
