"""What can be wrong with a submission, and how large its parts may be."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LARGEST_FILE", "LARGEST_FILES", "LARGEST_MANIFEST", "LARGEST_SUBMISSION", "Problem"]

LARGEST_MANIFEST = 1 << 20  # bytes
LARGEST_FILE = 64 << 20  # bytes of an ONNX graph
LARGEST_SUBMISSION = 512 << 20  # bytes of all files
LARGEST_FILES = 1100  # how many files: more than any submission has


@dataclass(frozen=True)
class Problem:
    """One fault of a submission.

    Attributes:
        where: The file, and what in it.
        what: What is wrong, with the value.
        cure: What to do.
    """

    where: str
    what: str
    cure: str

    def __str__(self) -> str:
        """Return all of it in one line."""
        return f"{self.where}: {self.what}; {self.cure}"
