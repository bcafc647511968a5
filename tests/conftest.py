"""What all tests share."""

from __future__ import annotations

import contextlib
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


@pytest.fixture(scope="session")
def recorded_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a cache that holds every recorded data set at hand, and use it in this session."""
    from neurotasks import sources  # noqa: PLC0415 - tests of other folders do not need it
    from neurotasks.errors import MissingData  # noqa: PLC0415

    cache = Path(os.environ.get("NEUROTASKS_TEST_CACHE") or tmp_path_factory.mktemp("cache"))
    os.environ["NEUROTASKS_DATA"] = str(cache)
    if REAL_DATA.is_dir():
        for source in sources.all_sources():
            with contextlib.suppress(MissingData):  # not every data set is at hand
                source.add([REAL_DATA])
    return cache
