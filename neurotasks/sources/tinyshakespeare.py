"""tinyshakespeare: 1,115,394 characters from the plays, one text file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurotasks.sources._source import File, Source


def _prepare(raw: Path) -> Mapping[str, NDArray[Any]]:
    """Return the text as symbols (N,) uint8, and the character code of each symbol (65,) uint8."""
    codes = np.frombuffer((raw / "input.txt").read_bytes(), dtype=np.uint8)
    alphabet, symbols = np.unique(codes, return_inverse=True)
    return {"symbols": symbols.astype(np.uint8), "alphabet": alphabet}


SOURCE = Source(
    name="tinyshakespeare",
    title="tinyshakespeare",
    homepage="https://github.com/karpathy/char-rnn",
    licence="MIT (repository); the text is in the public domain",
    citation="Karpathy (2015), The unreasonable effectiveness of recurrent neural networks",
    files=(
        File(
            "input.txt",
            "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/"
            "input.txt",
            1_115_394,
            "sha256:86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
        ),
    ),
    prepare=_prepare,
)
