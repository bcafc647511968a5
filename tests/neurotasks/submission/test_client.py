from __future__ import annotations

import io
import json
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from neurotasks.errors import CorruptSubmission
from neurotasks.submission.archive import unpack
from neurotasks.submission.check import problems
from neurotasks.submission.client import Refused, status, submit


class Board(BaseHTTPRequestHandler):
    """Answers as it is told, and keeps what it was asked."""

    answer = (201, {"Content-Type": "application/json"}, b'{"state": "queued", "id": 7}')
    asked = ()

    def do_POST(self):
        self.reply(self.rfile.read(int(self.headers["Content-Length"])))

    def do_GET(self):
        self.reply(b"")

    def reply(self, body):
        type(self).asked = (self.path, dict(self.headers), body)
        code, headers, content = self.answer
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_words):
        """Say nothing."""


@pytest.fixture
def board(monkeypatch):
    with HTTPServer(("127.0.0.1", 0), Board) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()

        def told(code, content, **headers):
            body = content if isinstance(content, bytes) else json.dumps(content).encode()
            monkeypatch.setattr(Board, "answer", (code, headers, body))
            return f"http://127.0.0.1:{server.server_port}"

        yield told
        server.shutdown()
        thread.join()


def test_a_board_gets_the_archive_and_the_token(board, packed, tmp_path):
    to = board(201, {"state": "queued", "id": 7})
    assert submit(packed, to + "/", "a-token") == {"state": "queued", "id": 7}
    path, headers, body = Board.asked
    assert path == "/api/submissions"
    assert headers["Authorization"] == "Bearer a-token"
    (tmp_path / "upload.zip").write_bytes(body)
    (tmp_path / "out").mkdir()
    unpack(tmp_path / "upload.zip", tmp_path / "out")
    assert problems(tmp_path / "out") == []


def test_a_folder_gets_an_archive_of_a_plain_name(packed, tmp_path):
    told = submit(packed, str(tmp_path / "inbox"))
    assert told["state"] == "waiting"
    content = (tmp_path / "inbox" / told["file"]).read_bytes()
    assert "manifest.json" in zipfile.ZipFile(io.BytesIO(content)).namelist()


def test_what_is_wrong_is_not_sent(board, packed):
    to = board(201, {"state": "queued"})
    Board.asked = ()
    for name in ("a", "b"):
        (packed / name).touch()
    with pytest.raises(CorruptSubmission, match=r"belongs to no submission.*and 1 more"):
        submit(packed, to)
    assert Board.asked == ()


@pytest.mark.parametrize(
    ("code", "content", "reason"),
    [
        (401, {"error": "no such token"}, r"refused it \(401\): no such token"),
        (413, {"error": "too\x1b[2J\nlarge"}, r"\(413\): too\?\[2J large"),
        (500, b"<html>", r"\(500\): Internal Server Error"),
        (429, [1], r"\(429\): Too Many Requests"),
        (302, b"", r"refused it \(302\)"),
        (200, b"<html>", "no answer of a board"),
        (200, b"[" * 100_000, "deeper than 32 levels"),
        (200, [1], "answers as no board does"),
    ],
)
def test_a_refusal_says_why(board, packed, code, content, reason):
    with pytest.raises(Refused, match=reason) as caught:
        submit(packed, board(code, content), "token")
    assert str(caught.value).isprintable()


def test_a_token_is_not_handed_on_to_another_host(board, packed):
    to = board(302, b"", Location="http://127.0.0.1:9/stolen")
    with pytest.raises(Refused, match="302"):
        status(to, "7", "secret-token")


@pytest.mark.parametrize("token", ["a\nb", "a b", "\u00e9", "x" * 501])
def test_a_token_that_is_none_is_not_shown(token):
    with pytest.raises(Refused, match="the token holds what no token has") as caught:
        status("http://127.0.0.1:9", 1, token)
    assert token not in str(caught.value)


def test_a_number_is_no_path(board):
    assert status(board(200, {"state": "x"}), "../admin?x") == {"state": "x"}
    assert Board.asked[0] == "/api/submissions/..%2Fadmin%3Fx"


@pytest.mark.parametrize(
    ("to", "reason"),
    [
        ("http://127.0.0.1:9", "is it running"),
        ("http://[", "no answer of a board"),
        ("http://127.0.0.1:x", "no answer of a board"),
        ("ftp://127.0.0.1", "is no address of a board"),
    ],
)
def test_a_board_that_is_not_there(to, reason):
    with pytest.raises(Refused, match=reason):
        status(to, 1)
