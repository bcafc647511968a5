"""Two-photon recordings of mouse V1 under drifting gratings (Park et al., 2024), seven sessions.

The file v1_mouse_gratings.npz was made from the MATLAB files of the authors' repository
surlab/Park_et_al at commit bdff7ce60297, folder sample-data/glm, of which seven of eight could be
had: 230803_mrcuts24_fov1, 230803_mrcuts25_fov6, 230804_mrcuts26_fov5, 230804_mrcuts27_fov3,
230809_mrcuts28_fov4, 230810_mrcuts29_fov2, 230814_mrcuts30_fov1, each with _grat-000_data.mat. For
session I it holds sI_resp, the calcium traces (trials, neurons, 49 time points) turned from float64
into float32, sI_direction in degrees, and t, the time from the grating's onset, -1 to 2 s.

The study edits a gene of astrocytes; the files do not say which sessions are of edited animals.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurotasks.sources._source import File, Source

_FILE = "v1_mouse_gratings.npz"


def _prepare(raw: Path) -> Mapping[str, NDArray[Any]]:
    """Return the sessions side by side.

    Returns:
        time: (49,) s from onset. neurons: (7,) in each session. direction: (7, 128) degrees.
        response: (128, 307, 49), the neurons of all sessions behind each other.
    """
    with np.load(raw / _FILE, allow_pickle=False) as file:
        sessions = range(int(file["n_sessions"]))
        responses = [file[f"s{i}_resp"] for i in sessions]
        return {
            "time": file["t"],
            "neurons": np.array([response.shape[1] for response in responses]),
            "direction": np.stack([file[f"s{i}_direction"] for i in sessions]),
            "response": np.concatenate(responses, axis=1),
        }


SOURCE = Source(
    name="mouse_gratings",
    title="mouse V1 under drifting gratings, Park et al. (2024)",
    homepage="https://github.com/surlab/Park_et_al",
    licence="MIT",
    citation="Park et al. (2024), repository surlab/Park_et_al, commit bdff7ce60297",
    files=(
        File(
            _FILE,
            None,
            7_352_613,
            "sha256:92f6fe279dc40241196c8b50f63e7e3785bd5747da92ed6e7e4f59d5ea2ef1cc",
        ),
    ),
    prepare=_prepare,
)
