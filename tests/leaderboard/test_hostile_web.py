"""Attacks on the server itself: tokens, bodies, names. It answers with a reason and stays up."""

from __future__ import annotations

import hashlib
import io
import json
import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

uvicorn = pytest.importorskip("uvicorn")
testclient = pytest.importorskip("starlette.testclient")

from leaderboard.store import open_store  # noqa: E402 - after the skip
from leaderboard.web import app as web  # noqa: E402
from leaderboard.web import security  # noqa: E402
from leaderboard.web.app import create_app  # noqa: E402
from leaderboard.web.upload import LARGEST_BODY  # noqa: E402
from neurotasks.submission.archive import pack  # noqa: E402
from tests.leaderboard.attacks import POINTS, points, record, write  # noqa: E402
from tests.leaderboard.stores import Clock, House, scored  # noqa: E402

UPLOAD = "/api/submissions"
SCRIPT = "<script>alert(1)</script>"
SQL = "x'; DROP TABLE submissions; --"


@dataclass
class Server:
    """A board and who attacks it."""

    house: House
    client: testclient.TestClient
    token: str

    def post(self, content: bytes, token: str | None = None, **headers: str):
        words = {
            "Content-Type": "application/zip",
            "Authorization": f"Bearer {token or self.token}",
        }
        return self.client.post(UPLOAD, content=content, headers={**words, **headers})

    def alive(self) -> None:
        assert self.client.get("/healthz").status_code == 200
        assert self.house.store.verify() == []


def archive(folder: Path, **changes) -> bytes:
    """Return a valid submission of five seeds as it is uploaded."""
    inside = folder / hashlib.sha256(json.dumps(changes).encode()).hexdigest()[:8]
    inside.mkdir()
    content = points().SerializeToString()
    files = {f"model-{seed}.onnx": content for seed in range(5)}
    told = {"seeds": list(range(5)), "claimed": {}, **changes}
    write(inside, record(POINTS, "onnx", files, **told), files)
    packed = io.BytesIO()
    pack(inside, packed)
    return packed.getvalue()


@pytest.fixture
def server(tmp_path):
    clock = Clock()
    with open_store(f"sqlite:///{tmp_path}/board.db", tmp_path / "artefacts", clock) as store:
        store.boards.open("spring", "Spring course", tasks="OrientationDecoding-v0")
        house = House(store, clock, tmp_path)
        token = store.accounts.issue(house.account().id)
        with testclient.TestClient(create_app(store), raise_server_exceptions=False) as client:
            yield Server(house, client, token)


def told(answer) -> str:
    """Return the reason of a refusal."""
    assert 400 <= answer.status_code < 500, answer.text
    reason = json.dumps(answer.json())
    assert "Traceback" not in reason
    return reason


@pytest.mark.parametrize(
    "token",
    ["", "x", "../../etc/passwd", SQL, "nt_" + "0" * 60, "\x00", "x" * 7000, "' OR '1'='1", "é"],
)
def test_forged_tokens(server, tmp_path, token):
    words = {"Authorization": f"Bearer {token}".encode(), "Content-Type": "application/zip"}
    answer = server.client.post(UPLOAD, content=archive(tmp_path), headers=words)
    assert answer.status_code == 401
    told(answer)
    server.alive()


@pytest.mark.parametrize("word", ["Basic", "bearer ", "Token", ""])
def test_tokens_under_another_word(server, tmp_path, word):
    answer = server.client.post(
        UPLOAD,
        content=archive(tmp_path),
        headers={"Authorization": f"{word}x{server.token}", "Content-Type": "application/zip"},
    )
    assert answer.status_code == 401


def test_a_token_with_one_letter_changed(server, tmp_path):
    content = archive(tmp_path)
    for place in range(len(server.token)):
        other = "A" if server.token[place] != "A" else "B"
        forged = server.token[:place] + other + server.token[place + 1 :]
        answer = server.post(content, forged)
        assert answer.status_code in (401, 429)
    server.alive()


def test_expired_and_revoked_tokens_and_those_for_joining(server, tmp_path):
    accounts, account = server.house.store.accounts, server.house.account()
    content = archive(tmp_path)
    expiring = accounts.issue(account.id, expires=server.house.clock.now + 10)
    server.house.clock.now += 11
    assert server.post(content, expiring).status_code == 401
    accounts.revoke(account.id)
    assert server.post(content).status_code in (401, 403)
    join = accounts.join_token("spring")
    assert server.post(content, join).status_code == 401
    server.alive()


def test_a_join_token_works_once(server):
    join = server.house.store.accounts.join_token("spring", uses=1)
    first = server.client.post("/api/join", json={"token": join, "name": "Eve"})
    assert first.status_code == 201
    again = server.client.post("/api/join", json={"token": join, "name": "Mallory"})
    assert again.status_code == 401
    told(again)


def test_a_submission_that_is_replayed(server, tmp_path):
    content = archive(tmp_path)
    assert server.post(content).status_code == 201
    assert server.post(content).status_code == 409
    assert server.post(archive(tmp_path, description="in other words")).status_code == 409
    other = server.house.store.accounts.issue(server.house.account("Bea").id)
    assert server.post(content, other).status_code in (201, 409)
    server.alive()


@pytest.mark.parametrize(
    "body",
    [b"", b"x", b"PK\x05\x06" + bytes(18), b"{}", b"\x00" * 100_000, SCRIPT.encode()],
)
def test_bodies_that_are_no_archive(server, body):
    assert server.post(body).status_code in (400, 413, 415, 422)
    server.alive()


@pytest.mark.parametrize("kind", ["text/html", "application/json", "", "multipart/form-data"])
def test_bodies_of_another_kind(server, kind):
    assert 400 <= server.post(b"{}", **{"Content-Type": kind}).status_code < 500
    server.alive()


@pytest.mark.parametrize("name", [SCRIPT, SQL, "{{ 7 * 7 }}", '" onmouseover="alert(1)', "a&b<b>"])
def test_script_and_sql_in_names_is_text(server, tmp_path, name):
    changes = {"agent": name, "description": name, "hardware": name, "config": {name: name}}
    answer = server.post(archive(tmp_path, **changes))
    assert answer.status_code == 201, answer.text
    job = server.house.store.queue.claim("worker")
    server.house.store.queue.finish(job, scored(job.manifest, 0.5))
    assert server.house.store.submissions.get(job.submission).agent == name
    pages = ["/", "/boards/spring", f"/submissions/{job.submission}", "/feed.atom"]
    shown = 0
    for page in pages:
        answer = server.client.get(page)
        assert answer.status_code in (200, 404)
        text = answer.text
        assert SCRIPT not in text
        assert '" onmouseover=' not in text
        assert "<b>" not in text.replace("<body>", "")
        assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
        shown += "7 * 7" in text or "DROP TABLE" in text or "alert(1)" in text or "a&amp;b" in text
    assert shown, "no page shows the name, so that nothing was tested"
    server.alive()


@pytest.mark.parametrize(
    "place",
    ["/api/submissions/%2e%2e%2f1", "/submissions/1/files/..%2f..%2fboard.db", "/boards/" + SQL,
     "/boards/%00", "/api/boards/spring/standings?task=" + SQL,
     "/api/results?board=spring&limit=-1",
     "/api/results?board=spring&before=" + "9" * 400, "/boards/" + "x" * 5000,
     "/api/boards/spring/standings?task=neurotasks/OrientationDecoding-v0&after=%ff%00"],
)  # fmt: skip
def test_addresses_that_are_tricks(server, place):
    answer = server.client.get(place)
    assert answer.status_code < 500, answer.text
    assert b"SQLite format" not in answer.content
    server.alive()


class Live:
    """A real server in a thread."""

    def __init__(self, app) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        config = uvicorn.Config(
            app, port=self.port, log_level="critical", lifespan="off", ws="none"
        )
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run)
        self.thread.start()
        for _ in range(200):
            if self.server.started:
                return
            time.sleep(0.05)
        raise TimeoutError("the server did not start")

    def talk(
        self, head: list[str], body: bytes = b"", *, pause: float = 0.0, times: int = 1
    ) -> str:
        """Send a request, its body in pieces with pauses; return the first line of the answer."""
        lines = ["POST /api/submissions HTTP/1.1", "Host: 127.0.0.1", *head, "", ""]
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as peer:
            peer.sendall("\r\n".join(lines).encode())
            try:
                for _ in range(times):
                    peer.sendall(body)
                    time.sleep(pause)
            except (BrokenPipeError, ConnectionResetError):
                return "closed"
            try:
                return peer.recv(200).split(b"\r\n")[0].decode()
            except ConnectionResetError:
                return "closed"

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(20)


@pytest.fixture
def live(server, monkeypatch):
    intake = web.Intake
    monkeypatch.setattr(web, "Intake", lambda store: intake(store, silence=0.5))
    running = Live(create_app(server.house.store))
    yield running
    running.stop()


def test_over_long_and_slow_bodies(server, live):
    bearer = [f"Authorization: Bearer {server.token}", "Content-Type: application/zip"]
    huge = live.talk([*bearer, f"Content-Length: {LARGEST_BODY + 1}"], b"x")
    assert " 413 " in huge
    assert " 4" in live.talk([*bearer, "Content-Length: " + "9" * 30], b"x")
    slow = live.talk([*bearer, "Content-Length: 100000"], b"x", pause=1.5)
    assert " 408 " in slow
    assert live.talk([*bearer, "Content-Length: -1"], b"x").startswith(("HTTP/1.1 4", "closed"))
    chunked = [*bearer, "Transfer-Encoding: chunked"]
    assert " 4" in live.talk(chunked, b"ffffffffffffffff\r\n" + b"x" * 1000, pause=0.7)
    small = live.talk(["Content-Length: 100000", "Content-Type: application/zip"], b"x" * 100)
    assert " 401 " in small
    server.alive()


def test_many_slow_callers_leave_room_for_others(server, live):
    head = "\r\n".join(
        ["POST /api/submissions HTTP/1.1", "Host: a", f"Authorization: Bearer {server.token}",
         "Content-Type: application/zip", "Content-Length: 100000", "", ""]
    )  # fmt: skip
    peers = [socket.create_connection(("127.0.0.1", live.port)) for _ in range(40)]
    try:
        for peer in peers:
            peer.sendall(head.encode())
        with socket.create_connection(("127.0.0.1", live.port), timeout=5) as good:
            good.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
            assert b" 200 " in good.recv(200)
    finally:
        for peer in peers:
            peer.close()
    server.alive()


def test_small_bodies_are_small(server):
    assert security._SMALL < 1 << 20
    answer = server.client.post("/api/join", content=b"x" * (1 << 20))
    assert answer.status_code == 413
    deep = server.client.post("/api/join", content=b"[" * 60_000)
    assert deep.status_code in (400, 422)
    for body in (b'{"token": NaN}', b'{"token": 1, "name": []}', b"[]", b'{"name":"\\ud800"}'):
        answer = server.client.post("/api/join", content=body)
        assert 400 <= answer.status_code < 500, (body, answer.text)
    server.alive()
