"""The cost of importing the package: whole processes in turn."""

from __future__ import annotations

import os
import subprocess
import sys


def test_import_cost(compare, tmp_path):
    """Both sides find their bytecode, as after the first import on any machine."""
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    env["PYTHONPYCACHEPREFIX"] = str(tmp_path)

    def process(code):
        line = [sys.executable, "-c", code]
        return lambda: subprocess.run(line, check=True, env=env)  # noqa: S603

    ours = process("import neurotasks; len(neurotasks.cards())")
    compare("import_cost", ours, process("import gymnasium"), target=0.67, rounds=21)
