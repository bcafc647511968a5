"""The inspection, as it runs in a board's sandbox: parsers of files are attacked too.

It gets `{"folder"}` and answers `{"problems": [{"where", "what", "cure"}]}`.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from neurotasks.submission.check import problems

__all__ = ["main"]


def main() -> None:
    """Inspect a submission and write what is wrong with it."""
    request = json.loads(sys.stdin.buffer.read())
    try:
        found = problems(Path(request["folder"]))
        told: dict[str, Any] = {"problems": [dataclasses.asdict(problem) for problem in found]}
    except MemoryError:
        told = {"error": "the memory that an inspection may use is not enough"}
    sys.stdout.write(json.dumps(told))
