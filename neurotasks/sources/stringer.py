"""About 20,000 neurons of mouse V1 under gratings (Stringer et al., 2021), as the course has them.

Two-photon calcium responses, averaged over the time of a stimulus, divided by the spontaneous
activity, z-scored over stimuli and averaged in bins of the grating's direction: 360 bins of one
degree, and for encoding 60 bins of six degrees from two halves of the trials.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurotasks.errors import CorruptData
from neurotasks.sources._source import File, Source

_DECODING, _ENCODING = "W3D4_stringer_oribinned1.npz", "W3D4_stringer_oribinned6_split.npz"


def _prepare(raw: Path) -> Mapping[str, NDArray[Any]]:
    """Return response (bins, neurons) float32 and direction (bins,) in degrees.

    Where the second file is there, also encoding_direction, encoding_train and encoding_test.
    """
    with np.load(raw / _DECODING, allow_pickle=False) as file:
        arrays = {"response": file["resp"].astype(np.float32), "direction": file["stimuli"]}
    if arrays["response"].shape[0] != arrays["direction"].size:
        raise CorruptData(f"{raw / _DECODING} needs one row of responses for each stimulus")
    arrays["direction"] = arrays["direction"].reshape(-1).astype(np.float64)
    if (raw / _ENCODING).is_file():
        with np.load(raw / _ENCODING, allow_pickle=False) as file:
            arrays["encoding_direction"] = file["stimuli"].reshape(-1).astype(np.float64)
            arrays["encoding_train"] = file["resp_train"].astype(np.float32)
            arrays["encoding_test"] = file["resp_test"].astype(np.float32)
    return arrays


SOURCE = Source(
    name="stringer",
    title="mouse V1 under gratings of 360 directions, Stringer et al. (2021)",
    homepage="https://osf.io/683xc",
    licence="not stated; the course that hands out the files is CC BY 4.0",
    citation="Stringer, Michaelos, Tsyboulski, Lindo, Pachitariu (2021), Cell 184:2767",
    files=(
        File(
            _DECODING,
            "https://osf.io/683xc/download",
            None,
            "md5:436599dfd8ebe6019f066c38aed20580",
        ),
        File(
            _ENCODING,
            "https://osf.io/p3aeb/download",
            None,
            "md5:b3f7245c6221234a676b71a1f43c3bb5",
            optional=True,
        ),
    ),
    prepare=_prepare,
)
