"""The cost of importing the package: whole processes in turn."""

from __future__ import annotations

import subprocess
import sys


def test_import_cost(compare):
    def process(code):
        return lambda: subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603

    ours = process("import neurotasks; len(neurotasks.cards())")
    compare("import_cost", ours, process("import gymnasium"), target=0.67, rounds=21)
