from __future__ import annotations

import gzip
import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from neurotasks import sources
from neurotasks.errors import CorruptData, DataError, MissingData, UnwritableFolder
from neurotasks.sources import File, Source

NUMBERS = bytes(range(100))
MORE = b"more"
PREPARED = []


def sha256(content):
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def prepare(raw):
    PREPARED.append(raw)
    arrays = {"numbers": np.frombuffer((raw / "numbers.bin").read_bytes(), np.uint8)}
    if (raw / "more.bin").is_file():
        arrays["more"] = np.frombuffer((raw / "more.bin").read_bytes(), np.uint8)
    return arrays


def toy(url=None, **changes):
    files = (
        File("numbers.bin", url, len(NUMBERS), sha256(NUMBERS)),
        File("more.bin", None, None, sha256(MORE), optional=True),
    )
    facts = {"name": "toy", "title": "Toy data", "homepage": "https://example.org/toy"}
    facts |= {"licence": "none", "citation": "nobody", "files": files, "prepare": prepare}
    return Source(**(facts | changes))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("NEUROTASKS_DATA", str(folder))
    PREPARED.clear()
    return folder


@pytest.fixture
def published(tmp_path):
    folder = tmp_path / "downloads" / "deep"
    folder.mkdir(parents=True)
    (folder / "numbers.bin").write_bytes(NUMBERS)
    return folder.parent


def test_the_cache_is_where_the_environment_says(cache):
    assert sources.cache_dir() == cache


def test_without_the_environment_the_cache_is_the_users(monkeypatch):
    monkeypatch.delenv("NEUROTASKS_DATA", raising=False)
    assert sources.cache_dir().is_absolute()
    assert "neurotasks" in sources.cache_dir().parts


@pytest.mark.usefixtures("cache")
def test_missing_data_says_what_to_download():
    cure = r"'toy' \(Toy data\) .* missing numbers.bin; run `neurotasks data fetch toy`"
    with pytest.raises(MissingData, match=cure):
        toy("https://example.org/numbers.bin").load()


@pytest.mark.usefixtures("cache")
def test_missing_data_without_an_address_says_what_to_add():
    cure = r"from https://example.org/toy and run `neurotasks data add toy FILE...`"
    with pytest.raises(MissingData, match=cure):
        toy().load()


def test_added_files_are_prepared_once_and_mapped_read_only(cache, published):
    source = toy()
    assert source.status() == {"numbers.bin": "missing", "more.bin": "missing"}
    assert source.add([published]) == ["numbers.bin"]
    assert source.status() == {"numbers.bin": "ready", "more.bin": "missing"}
    arrays = source.load()
    assert source.load() is arrays
    assert len(PREPARED) == 1
    assert bytes(arrays["numbers"]) == NUMBERS
    assert isinstance(arrays["numbers"], np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        arrays["numbers"][0] = 1
    assert not list((cache / "toy").glob(".*"))


@pytest.mark.usefixtures("cache")
def test_a_raised_version_is_prepared_anew(published):
    toy().add([published])
    toy().load()
    toy(version=1).load()
    assert len(PREPARED) == 2


@pytest.mark.usefixtures("cache")
def test_an_optional_file_that_comes_later_is_prepared(published):
    source = toy()
    source.add([published])
    assert "more" not in source.load()
    (published / "more.bin").write_bytes(MORE)
    assert source.add([published / "more.bin"]) == ["more.bin"]
    assert bytes(source.load()["more"]) == MORE


def test_half_a_file_is_named_with_its_cure(cache):
    raw = cache / "toy" / "raw"
    raw.mkdir(parents=True)
    (raw / "numbers.bin").write_bytes(NUMBERS[:40])
    message = r"numbers.bin holds 40 of 100 bytes, as after half a download; run `neurotasks data f"
    with pytest.raises(CorruptData, match=message):
        toy("https://example.org/numbers.bin").load()
    assert toy().status()["numbers.bin"].startswith("holds 40 of 100")


def test_a_file_that_is_too_long_is_named(cache):
    raw = cache / "toy" / "raw"
    raw.mkdir(parents=True)
    (raw / "numbers.bin").write_bytes(NUMBERS + b"!")
    with pytest.raises(CorruptData, match="holds 101 bytes instead of 100; delete it"):
        toy().load()


def test_a_changed_file_is_named_with_both_checksums(cache):
    raw = cache / "toy" / "raw"
    raw.mkdir(parents=True)
    (raw / "numbers.bin").write_bytes(bytes(100))
    wrong = sha256(bytes(100)).removeprefix("sha256:")
    right = sha256(NUMBERS).removeprefix("sha256:")
    with pytest.raises(CorruptData, match=f"has the sha256 {wrong} instead of {right}"):
        toy().load()


@pytest.mark.usefixtures("cache")
def test_adding_a_wrong_file_or_none_is_refused(tmp_path, published):
    with pytest.raises(MissingData, match="none of the files of 'toy' is there; they are numbers"):
        toy().add([_empty(tmp_path)])
    with pytest.raises(MissingData, match=r"no file or folder .*nowhere"):
        toy().add([tmp_path / "nowhere"])
    (published / "deep" / "numbers.bin").write_bytes(b"other")
    with pytest.raises(
        CorruptData, match=r"numbers.bin holds 5 of 100 .* not the file of Toy data"
    ):
        toy().add([published])


def _empty(tmp_path):
    folder = tmp_path / "empty"
    folder.mkdir()
    return folder


@pytest.mark.usefixtures("cache")
def test_of_files_with_one_name_the_right_one_is_added(published):
    other = published / "another data set"
    other.mkdir()
    (other / "numbers.bin").write_bytes(b"not these")
    assert toy().add([published]) == ["numbers.bin"]
    assert bytes(toy().load()["numbers"]) == NUMBERS


@pytest.mark.usefixtures("cache")
def test_a_file_compressed_again_is_the_same_file(tmp_path):
    file = File("n.gz", None, len(NUMBERS), sha256(NUMBERS), content=True)
    source = toy(files=(file,), prepare=lambda raw: {"n": np.fromfile(raw / "n.gz", np.uint8)})
    path = tmp_path / "n.gz"
    for level in (1, 9):
        path.write_bytes(gzip.compress(NUMBERS, level))
        assert source.add([path]) == ["n.gz"]
    for content, wrong in (
        (gzip.compress(NUMBERS)[:-10], "ends too early, as after half a download"),
        (NUMBERS, "is no whole gzip file"),
        (gzip.compress(b"other"), "has the sha256"),
    ):
        path.write_bytes(content)
        with pytest.raises(CorruptData, match=wrong):
            source.add([path])


def test_a_cache_that_cannot_be_written_is_named(tmp_path, monkeypatch, published):
    (tmp_path / "file").write_text("a file where a folder should be")
    monkeypatch.setenv("NEUROTASKS_DATA", str(tmp_path / "file" / "cache"))
    with pytest.raises(UnwritableFolder, match=r"cannot write into .*raw: .*set NEUROTASKS_DATA"):
        toy().add([published])


@pytest.mark.usefixtures("cache")
def test_arrays_that_cannot_be_written_are_named(monkeypatch, published):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    toy().add([published])
    monkeypatch.setattr(tempfile, "mkdtemp", refuse)
    with pytest.raises(UnwritableFolder, match=r"toy: Permission denied; set NEUROTASKS_DATA"):
        toy().load()


def test_a_preparation_that_fails_leaves_nothing(cache, published):
    def fail(raw):
        raise CorruptData(f"{raw} is nonsense")

    source = toy(prepare=fail)
    source.add([published])
    with pytest.raises(CorruptData, match="nonsense"):
        source.load()
    assert [path.name for path in (cache / "toy").iterdir()] == ["raw"]


def test_every_source_stands_under_its_modules_name():
    names = [source.name for source in sources.all_sources()]
    assert names == sorted(names)
    assert {"fashion_mnist", "mnist", "mouse_gratings", "stringer", "tinyshakespeare"} <= set(names)
    for name in names:
        assert sources.get(name).name == name


@pytest.mark.parametrize("source", sources.all_sources(), ids=lambda source: source.name)
def test_every_source_states_its_facts(source):
    digits = {"sha256": 64, "md5": 32}
    assert source.title
    assert source.homepage.startswith("http")
    assert source.licence
    assert source.citation
    for file in source.files:
        algorithm, _, digest = file.hash.partition(":")
        assert len(digest) == digits[algorithm]
        int(digest, 16)
        assert Path(file.name).name == file.name


def test_an_unknown_source_is_answered_with_the_nearest():
    with pytest.raises(DataError, match=r"no data set 'mnits'; did you mean mnist"):
        sources.get("mnits")
    with pytest.raises(DataError, match=r"no data set 'zzz'; there are .*mnist, mouse_gratings"):
        sources.get("zzz")


def test_importing_neurotasks_loads_no_downloader():
    code = (
        "import sys, neurotasks, neurotasks.sources as s; s.all_sources();"
        "print([m for m in ('pooch', 'requests', 'platformdirs', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
