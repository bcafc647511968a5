from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from sklearn.datasets import load_digits

from neurotasks.sources import digits


def test_they_are_those_of_scikit_learn():
    images, labels = digits()
    bunch = load_digits()
    assert np.array_equal(images, (bunch.images * 255 / 16).round())
    assert np.array_equal(labels, bunch.target)


def test_nobody_changes_them():
    with pytest.raises(ValueError, match="read-only"):
        digits().images[0] = 0


def test_the_library_is_not_loaded():
    code = "import sys, neurotasks.sources as s; s.digits(); assert 'sklearn' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603 - our own code
