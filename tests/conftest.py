"""What all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
REAL_DATA = Path(os.environ.get("NEUROTASKS_REAL_DATA", ROOT.parent / "shared" / "data"))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder of recorded data, or skip where there is none."""
    if not REAL_DATA.is_dir():
        pytest.skip(f"no recorded data at {REAL_DATA}: set NEUROTASKS_REAL_DATA to their folder")
    return REAL_DATA
