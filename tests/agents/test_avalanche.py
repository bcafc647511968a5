from __future__ import annotations

import os
from pathlib import Path

import pytest

from neurotasks.errors import MissingExtra

torch = pytest.importorskip("torch")

from agents import avalanche as library  # noqa: E402


@pytest.mark.parametrize("absent", ["avalanche.training", "torchvision"])
def test_without_the_library_the_extra_is_named(monkeypatch, absent):
    def refuse(name):
        if name == absent:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name.split(".")[0])

    library.avalanche.cache_clear()
    monkeypatch.setattr(library, "import_module", refuse)
    with pytest.raises(MissingExtra, match=r"pip install 'neurotasks\[continual\]'"):
        library.avalanche("avalanche.training")


def test_other_failures_of_torchvision_are_not_hidden(monkeypatch):
    def fail(_):
        raise RuntimeError("something else")

    monkeypatch.setattr(library, "import_module", fail)
    with pytest.raises(RuntimeError, match="something else"):
        library._import_torchvision()


def test_a_home_that_cannot_be_written_is_replaced_for_the_import(monkeypatch):
    monkeypatch.setenv("HOME", "/nowhere")
    with library._writable_home():
        lent = Path.home()
        (lent / "file").write_text("written")
    assert os.environ["HOME"] == "/nowhere"
    assert not lent.exists()
