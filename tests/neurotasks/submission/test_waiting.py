"""A board that has no time now says when to come again, and the client does."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from neurotasks.submission import client
from neurotasks.submission.client import Refused, join, status, submit


class Busy(BaseHTTPRequestHandler):
    """Answers "later" as often as it is told, then takes what comes."""

    later: tuple[tuple[int, str], ...] = ()
    bodies: tuple[bytes, ...] = ()

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        number = len(self.bodies)
        type(self).bodies += (body,)
        code, pause = self.later[number] if number < len(self.later) else (201, "")
        self.send_response(code)
        if pause:
            self.send_header("Retry-After", pause)
        self.end_headers()
        self.wfile.write(b'{"state": "queued", "token": "x", "error": "too many requests"}')

    def do_GET(self):
        self.headers["Content-Length"] = "0"
        self.do_POST()

    def log_message(self, *_words):
        """Say nothing."""


@pytest.fixture
def busy(monkeypatch):
    """Return a function that makes the board busy and returns its address and the waits."""
    waits = []
    monkeypatch.setattr(client, "sleep", waits.append)
    with HTTPServer(("127.0.0.1", 0), Busy) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()

        def told(*later):
            monkeypatch.setattr(Busy, "later", later)
            monkeypatch.setattr(Busy, "bodies", ())
            return f"http://127.0.0.1:{server.server_port}", waits

        yield told
        server.shutdown()
        thread.join()


def test_it_comes_again_with_all_of_it(busy, packed):
    to, waits = busy((429, "2"), (503, "7"))
    assert submit(packed, to)["state"] == "queued"
    assert waits == [2, 7]
    first, *others = Busy.bodies
    assert first.startswith(b"PK")
    assert others == [first, first]


def test_joining_and_asking_wait_too(busy):
    to, waits = busy((429, "3"))
    assert join(to, "invitation", "Ada")["state"] == "queued"
    assert Busy.bodies[0] == Busy.bodies[1] != b""
    to, _ = busy((429, "4"))
    assert status(to, 1)["state"] == "queued"
    assert waits == [3, 4]


@pytest.mark.parametrize(
    "later",
    [
        (429, ""),  # a quota that is used up
        (429, "3600"),
        (429, "0"),
        (429, "-1"),
        (429, "9" * 5000),
        (429, "\u0663"),
        (429, "Wed, 21 Oct 2015 07:28:00 GMT"),
        (422, "2"),
    ],
)
def test_it_gives_up_at_once_where_waiting_is_no_use(busy, later):
    to, waits = busy((later[0], later[1].encode("utf-8").decode("latin-1")))
    with pytest.raises(Refused, match=rf"refused it \({later[0]}\): too many requests"):
        join(to, "invitation", "Ada")
    assert waits == []


def test_it_does_not_wait_for_ever(busy):
    to, waits = busy(*[(429, "50")] * 9)
    with pytest.raises(Refused, match="too many requests"):
        join(to, "invitation", "Ada")
    assert waits == [50, 50]
