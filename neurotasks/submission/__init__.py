"""Submissions: what is handed in to a board. Nothing of one is ever executed here."""

from neurotasks.submission.manifest import FORMATS, Manifest

__all__ = ["FORMATS", "Manifest"]
