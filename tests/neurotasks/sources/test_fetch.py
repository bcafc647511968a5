from __future__ import annotations

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from neurotasks.errors import CorruptData, DataError, MissingData, UnwritableFolder
from neurotasks.sources import File, Source

CONTENT = np.random.default_rng(0).bytes(300_000)


class Server(ThreadingHTTPServer):
    """Serves one file; says what was asked, and may misbehave."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.asked = CONTENT, []
        self.ranges, self.cut = True, None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/file.bin"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server, asked = self.server, self.headers.get("Range", "bytes=0-")
        start = int(asked.removeprefix("bytes=").rstrip("-"))
        server.asked.append(start)
        if self.path != "/file.bin" or (server.ranges and start >= len(server.content)):
            self.send_error(404 if self.path != "/file.bin" else 416)
            return
        start = start if server.ranges else 0
        body = server.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: server.cut])

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def raw(tmp_path, monkeypatch):
    monkeypatch.setenv("NEUROTASKS_DATA", str(tmp_path))
    return tmp_path / "toy" / "raw"


def toy(url, **changes):
    digest = f"md5:{hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()}"
    return Source(
        name="toy",
        title="Toy data",
        homepage="https://example.org",
        licence="none",
        citation="nobody",
        files=(File("file.bin", url, None, digest, **changes),),
        prepare=lambda raw: {"bytes": np.fromfile(raw / "file.bin", np.uint8)},
    )


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_fetched_once(server, raw):
    source = toy(server.url)
    assert source.fetch() == ["file.bin"]
    assert source.fetch() == []
    assert server.asked == [0]
    assert names(raw) == ["file.bin"]
    assert bytes(source.load()["bytes"]) == CONTENT


def test_a_broken_download_is_kept_aside_and_resumed(server, raw):
    source = toy(server.url)
    server.cut = 200_000
    with pytest.raises(DataError, match=r"cannot download .*what has come is kept"):
        source.fetch()
    assert names(raw) == [".file.bin.part"]
    with pytest.raises(MissingData, match=r"missing file.bin"):
        source.load()
    server.cut = None
    assert source.fetch() == ["file.bin"]
    assert 0 < server.asked[1] <= 200_000
    assert names(raw) == ["file.bin"]
    assert (raw / "file.bin").read_bytes() == CONTENT


def test_a_server_without_ranges_sends_the_whole(server, raw):
    raw.mkdir(parents=True)
    (raw / ".file.bin.part").write_bytes(CONTENT[:1000])
    server.ranges = False
    assert toy(server.url).fetch() == ["file.bin"]
    assert server.asked == [1000]


def test_a_part_that_was_whole_already_is_taken(server, raw):
    raw.mkdir(parents=True)
    (raw / ".file.bin.part").write_bytes(CONTENT)
    assert toy(server.url).fetch() == ["file.bin"]
    assert server.asked == [len(CONTENT)]


def test_a_part_of_another_file_starts_afresh(server, raw):
    raw.mkdir(parents=True)
    (raw / ".file.bin.part").write_bytes(b"something else")
    assert toy(server.url).fetch() == ["file.bin"]
    assert server.asked == [14, 0]
    assert (raw / "file.bin").read_bytes() == CONTENT


def test_half_a_file_under_its_final_name_is_replaced(server, raw):
    raw.mkdir(parents=True)
    (raw / "file.bin").write_bytes(CONTENT[:5])
    assert toy(server.url).fetch() == ["file.bin"]
    assert (raw / "file.bin").read_bytes() == CONTENT


def test_another_file_on_the_server_is_refused_and_not_kept(server, raw):
    server.content = b"an error page"
    with pytest.raises(CorruptData, match=r"is not the published file file.bin: it has the md5"):
        toy(server.url).fetch()
    assert names(raw) == []


def test_a_file_that_is_gone_from_the_server_is_named(server, raw):
    with pytest.raises(DataError, match=r"cannot download .*/gone: 404"):
        toy(server.url.replace("file.bin", "gone")).fetch()
    assert "file.bin" not in names(raw)


@pytest.mark.usefixtures("raw")
def test_a_server_that_does_not_answer_is_named():
    with pytest.raises(DataError, match=r"cannot download http://127.0.0.1:9/file.bin"):
        toy("http://127.0.0.1:9/file.bin").fetch()


@pytest.mark.usefixtures("raw")
def test_what_has_no_address_must_be_added():
    with pytest.raises(MissingData, match="neurotasks data add toy"):
        toy(None).fetch()


def test_a_cache_that_cannot_be_written_is_named(server, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NEUROTASKS_DATA", str(tmp_path / "file"))
    with pytest.raises(UnwritableFolder, match="set NEUROTASKS_DATA"):
        toy(server.url).fetch()
