"""Recorded data: each source names its files, checks them, and prepares them once.

One module for each data set, which defines `SOURCE` under the module's own name. Nothing here
downloads by itself: files come by `Source.fetch` or `Source.add`, and `Source.load` reads what is
in the cache.

    raw files        <cache>/<source>/raw/<file>
    prepared arrays  <cache>/<source>/prepared-<key>/<array>.npy

The cache is the folder that the environment variable NEUROTASKS_DATA names, by default the
platform's user cache folder.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from functools import cache

from neurotasks.errors import DataError
from neurotasks.sources._arrays import Blocks
from neurotasks.sources._digits import digits
from neurotasks.sources._source import File, Source, cache_dir

__all__ = ["Blocks", "File", "Source", "all_sources", "cache_dir", "digits", "get"]


def all_sources() -> tuple[Source, ...]:
    """Return all sources in the order of their names."""
    return tuple(get(name) for name in _names())


def get(name: str) -> Source:
    """Return a source by its name.

    Raises:
        DataError: There is no such source; the message names the nearest ones.
    """
    names = _names()
    if name not in names:
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(names)}."
        raise DataError(f"there is no data set {name!r}; {hint}")
    source: Source = importlib.import_module(f"{__name__}.{name}").SOURCE
    return source


@cache
def _names() -> list[str]:
    modules = pkgutil.iter_modules(__path__)
    return sorted(module.name for module in modules if not module.name.startswith("_"))
