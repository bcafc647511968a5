"""One side of a comparison: a process that does a piece of work whenever it is told to."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable


def serve(work: Callable[[], int], core: int) -> None:
    """Print the seconds that a unit of work took, once for each line that comes in.

    CPU seconds of this process, which runs on one core alone: what neighbours do matters less to
    them than to the clock on the wall.

    Args:
        work: Does the work and returns how many units it was.
        core: The core to stay on.
    """
    os.sched_setaffinity(0, {core})
    work()
    for _ in sys.stdin:
        begin = time.process_time()
        units = work()
        sys.stdout.write(f"{(time.process_time() - begin) / units}\n")
        sys.stdout.flush()
