"""The way to Avalanche: no other module imports it.

The library is heavy (seconds to import), talks to the console, writes into the home folder when it
is imported and draws from global generators. It is imported when it is first needed, quietly, with
a folder that it can write; who calls it does so within `quiet` and `agents.isolation.isolated`.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType

import torch

from neurotasks.errors import MissingExtra

__all__ = ["avalanche", "quiet"]


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the warnings of Avalanche and its dependencies, which concern their own insides.

    They are recorded rather than filtered, as Avalanche sets filters of its own.
    """
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("ignore")
        yield


@cache
def avalanche(module: str) -> ModuleType:
    """Import a module of Avalanche, quietly.

    Raises:
        MissingExtra: The library is not installed.
    """
    _import_torchvision()
    with _writable_home(), quiet():
        try:
            return import_module(module)
        except ModuleNotFoundError as error:
            raise MissingExtra(error.name or "avalanche-lib", "continual") from error


def _import_torchvision() -> None:
    """Import torchvision even where its compiled operators do not fit the installed torch.

    Its import then fails as it describes two operators that nobody has declared; Avalanche uses
    neither, so that declaring them is enough.
    """
    try:
        import_module("torchvision")
    except ModuleNotFoundError as error:
        raise MissingExtra("torchvision", "continual") from error
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        boxes = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        for name in ("nms", "qnms"):
            torch.library.define(f"torchvision::{name}", boxes)
        import_module("torchvision")


@contextmanager
def _writable_home() -> Iterator[None]:
    """Lend a temporary home folder where the own one cannot be written: Avalanche insists on it."""
    home = os.environ.get("HOME")
    if os.access(Path.home(), os.W_OK):
        yield
        return
    with tempfile.TemporaryDirectory(prefix="avalanche-") as folder:
        os.environ["HOME"] = folder
        try:
            yield
        finally:
            if home is None:
                del os.environ["HOME"]
            else:
                os.environ["HOME"] = home
