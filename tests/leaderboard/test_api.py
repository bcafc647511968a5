from __future__ import annotations

import asyncio
import io
import json
import resource
import time
import zipfile

import httpx
import pytest

import neurotasks
from leaderboard.store import open_store
from leaderboard.web import create_app
from leaderboard.web.app import Site
from leaderboard.web.openapi import SCHEMAS, describe
from leaderboard.web.routes import ROUTES
from leaderboard.web.security import Rates
from leaderboard.web.upload import LARGEST_BODY, Intake
from leaderboard.worker import Worker
from neurotasks.submission.archive import pack
from neurotasks.submission.client import submit
from neurotasks.submission.pack import Words, pack_agents
from tests.leaderboard.asking import Client, parts
from tests.leaderboard.stores import GENERATED, cheap, make_manifest

LABEL = GENERATED.removeprefix("neurotasks/")


@pytest.fixture
def store(tmp_path):
    with open_store(f"sqlite:///{tmp_path / 'board.db'}") as store:
        store.boards.open("spring", "Spring course", tasks=LABEL, valid_quota=2, total_quota=2)
        yield store


@pytest.fixture
def client(store):
    return Client(create_app(store))


@pytest.fixture
def token(store):
    return store.accounts.join(store.accounts.join_token("spring"), "Ada")[1]


@pytest.fixture(scope="session")
def ideal(tmp_path_factory):
    """Return the folder of a submission of the ideal observer's answers."""
    folder = tmp_path_factory.mktemp("api") / "packed"
    task = neurotasks.load(GENERATED)
    pack_agents(GENERATED, [task.ideal()] * 5, folder, seeds=range(5), words=Words(agent="wise"))
    return folder


@pytest.fixture(scope="session")
def archive(ideal):
    buffer = io.BytesIO()
    pack(ideal, buffer)
    return buffer.getvalue()


def hand_in(client, token, content, **options):
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/zip"}
    return client.post("/api/submissions", headers=headers, content=content, **options)


def fits(value, schema):
    """Return whether a value is what a schema says."""
    if "$ref" in schema:
        return fits(value, SCHEMAS[schema["$ref"].rsplit("/", 1)[1]])
    if "allOf" in schema:
        return all(fits(value, part) for part in schema["allOf"])
    kinds = schema.get("type", "object")
    named = {"string": str, "number": (int, float), "integer": int, "null": type(None),
             "boolean": bool, "array": list, "object": dict}  # fmt: skip
    if not any(isinstance(value, named[k]) for k in ([kinds] if isinstance(kinds, str) else kinds)):
        return False
    if isinstance(value, list):
        return all(fits(item, schema.get("items", {"type": list(named)})) for item in value)
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        inside = schema.get("additionalProperties")
        return set(schema.get("required", ())) <= set(value) and all(
            fits(item, properties.get(name, inside or {}) or {"type": list(named)})
            for name, item in value.items()
        )
    return True


def test_a_submission_is_received_scored_and_shown(client, store, token, archive):
    answer = hand_in(client, token, archive)
    assert answer.status_code == 201
    told = answer.json()
    assert told == {"id": 1, "url": "/submissions/1", "state": "queued"}
    assert answer.headers["location"] == "/submissions/1"
    assert client.get("/api/submissions/1").json()["state"] == "queued"
    assert Worker(store, "worker").step()
    after = client.get("/api/submissions/1").json()
    assert after["state"] == "verified"
    assert "private stage" in after["reason"]  # answers to public trials alone have no rank
    assert after["score"] == pytest.approx(1.0, abs=0.05)
    (row,) = client.get(f"/api/boards/spring/standings?task={LABEL}").json()["rows"]
    assert (row["agent"], row["author"], row["list"]) == ("wise", "Ada", "unranked")
    (result,) = client.get("/api/results?board=spring").json()["results"]
    assert result["seeds"] == [0, 1, 2, 3, 4]
    assert len(result["stages"]["test"]["score"]) == 5
    assert "verified" in client.get("/submissions/1").text


def test_an_admin_hands_in_as_its_own_account(client, store, archive):
    account = store.accounts.create("Head", "spring")
    answer = hand_in(client, store.accounts.issue(account.id, ("admin",)), archive)
    assert answer.status_code == 201
    assert store.submissions.get(1).author == "Head"
    told = client.get("/api/openapi.json").json()["paths"]["/api/submissions"]["post"]
    assert "`admin` may hand in too" in told["description"]


def test_no_parser_of_what_was_handed_in_runs_in_the_server(client, token, tmp_path):
    graph = _field(7, b"\x0a\x00" * (15 << 20))  # nodes without anything: 2 bytes in the file
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(graph)
    (folder / "manifest.json").write_text(make_manifest(graph, seeds=1).to_json())
    buffer = io.BytesIO()
    pack(folder, buffer)
    content = buffer.getvalue()
    before = _peak()
    answer = hand_in(client, token, content)
    assert answer.status_code == 422
    assert answer.json()["error"].startswith(("model.onnx: it is no ONNX file", "inspection "))
    assert _peak() - before < 8 * len(graph), "the server itself took the memory"


def _field(number, content):
    """Return bytes as a field of a protobuf message."""
    size, told = len(content), bytearray([number << 3 | 2])
    while size > 127:
        told.append(size & 127 | 128)
        size >>= 7
    return bytes(told) + bytes([size]) + content


def _peak():
    """Return the largest memory that this process has had, in bytes."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def test_the_same_again_is_refused_by_number(client, token, archive):
    assert hand_in(client, token, archive).status_code == 201
    again = hand_in(client, token, archive)
    assert again.status_code == 409
    assert "submission 1" in again.json()["error"]


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        (lambda t: "", 401, "shows no token"),
        (lambda t: "nonsense", 401, "no token of this board"),
        (lambda t: t[:-1] + ("A" if t[-1] != "A" else "B"), 401, "unknown"),
    ],
)
def test_without_a_good_token_nothing_is_read(client, token, archive, change, status, words):
    answer = hand_in(client, change(token), archive)
    assert answer.status_code == status
    assert words in answer.json()["error"]
    assert answer.headers["www-authenticate"] == "Bearer"


def test_a_revoked_token_and_a_guess_after_guess_are_refused(store, archive):
    client = Client(create_app(store, rates=Rates(joins=3.0)))
    account, token = store.accounts.join(store.accounts.join_token("spring"), "Eve")
    store.accounts.revoke_token(store.accounts.tokens(account.id)[0].key)
    statuses = [hand_in(client, token, archive).status_code for _ in range(5)]
    assert statuses in ([401, 401, 401, 401, 429], [401, 401, 401, 429, 429])


def test_each_token_may_hand_in_so_often(store, token):
    client = Client(create_app(store, rates=Rates(upload_burst=2, uploads=0.01)))
    statuses = [hand_in(client, token, b"x").status_code for _ in range(3)]
    assert statuses == [422, 422, 429]


@pytest.mark.parametrize("content", [b"", b"PK", b"x" * 1000, zipfile.ZipFile])
def test_what_is_no_submission_is_refused_with_a_cure(client, store, token, content):
    if content is zipfile.ZipFile:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as file:
            file.writestr("../evil", b"x")
        content = buffer.getvalue()
    answer = hand_in(client, token, content)
    assert answer.status_code == 422
    told = answer.json()
    assert fits(told, SCHEMAS["Fault"])
    assert told["cure"]
    assert store.submissions.page("spring") == []


def test_a_body_that_says_it_is_too_long_is_refused_at_once(client, token):
    headers = {"Authorization": f"Bearer {token}", "Content-Length": str(LARGEST_BODY + 1)}
    assert client.post("/api/submissions", headers=headers, content=b"x").status_code == 413


def test_a_body_that_grows_too_long_is_cut(store, token, monkeypatch):
    monkeypatch.setattr("leaderboard.web.upload.LARGEST_BODY", 1 << 20)
    client = Client(create_app(store))
    answer = hand_in(client, token, parts(bytes(3 << 20)))
    assert answer.status_code == 413
    assert "too large" in answer.json()["error"]


def test_a_silent_body_is_cut(store, token):
    site = Site(store, "T", Rates())
    site._intake = site._api._intake = Intake(store, silence=0.2)

    async def silent():
        yield b"PK"
        await asyncio.sleep(30)
        yield b"never"

    began = time.monotonic()
    answer = hand_in(Client(site.app()), token, silent())
    assert answer.status_code == 408
    assert time.monotonic() - began < 10


def test_a_long_body_elsewhere_is_refused(client):
    answer = client.post("/api/join", content=b"x" * 100_000)
    assert answer.status_code == 413
    assert client.post("/boards/spring", content=b"x").status_code == 405


def test_the_quota_is_told(client, store, token):
    account = store.accounts.of("spring")[0]
    for number in range(2):
        content = f"{number}".encode()
        path = store.artefacts.folder.parent / f"m{number}"
        path.write_bytes(content)
        manifest = make_manifest(content)
        store.submissions.receive("spring", account, manifest, dict.fromkeys(manifest.files, path))
    claims = dict.fromkeys(("test",), (1.0,) * 5)
    for number, status in ((1, 201), (2, 201), (3, 429)):
        manifest = make_manifest(b"claim", agent=f"a{number}", claimed=claims)
        headers = {"Authorization": f"Bearer {token}"}
        answer = client.post("/api/reports", headers=headers, content=manifest.to_json())
        assert answer.status_code == status
    (row, *_) = client.get(f"/api/boards/spring/standings?task={LABEL}").json()["rows"]
    assert (row["list"], row["rank"]) == ("self-reported", None)


def test_joining_makes_an_account_once(client, store):
    told = {"token": store.accounts.join_token("spring"), "name": "Ann"}
    answer = client.post("/api/join", json=told)
    assert answer.status_code == 201
    assert store.accounts.authenticate(answer.json()["token"], "submit").name == "Ann"
    assert client.post("/api/join", json={**told, "name": "Ben"}).status_code == 401
    assert client.post("/api/join", json={"name": "Ben"}).status_code == 422
    assert client.post("/api/join", content=b"[" * 60_000).status_code == 422


def test_the_form_hands_in_and_leads_to_the_page(client, token, archive):
    files = {"file": ("mine.zip", archive, "application/zip")}
    answer = client.post("/submit", data={"token": token}, files=files)
    assert (answer.status_code, answer.headers["location"]) == (303, "/submissions/1")
    again = client.post("/submit", data={"token": token}, files=files)
    assert again.status_code == 409
    assert "handed in before" in again.text
    assert token not in again.text
    assert client.post("/submit", data={"token": token}).status_code == 422


def test_many_hand_in_at_once_and_all_are_queued(store, ideal):
    told = json.loads((ideal / "manifest.json").read_text())

    def archive_of(number):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as file:
            file.writestr("manifest.json", json.dumps({**told, "agent": f"agent {number}"}))
            file.write(ideal / "predictions.npz", "predictions.npz")
        return buffer.getvalue()

    async def at_once():
        transport = httpx.ASGITransport(create_app(store))
        async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
            asked = []
            for number in range(12):
                join = store.accounts.join_token("spring")
                _, token = store.accounts.join(join, f"Student {number}")
                headers = {"Authorization": f"Bearer {token}"}
                content = archive_of(number)
                asked.append(client.post("/api/submissions", headers=headers, content=content))
            return [answer.status_code for answer in await asyncio.gather(*asked)]

    assert asyncio.run(at_once()) == [201] * 12
    assert len(store.submissions.page("spring", state="queued")) == 12
    assert store.verify() == []


def test_every_read_is_as_its_schema_says(client, store):
    account = store.accounts.create("Ada", "spring")
    path = store.artefacts.folder.parent / "m"
    path.write_text("0.8")
    manifest = make_manifest(b"0.8")
    store.submissions.receive("spring", account, manifest, dict.fromkeys(manifest.files, path))
    assert Worker(store, "worker", cheap).step()
    values = {"board": "spring", "id": "1", "task": LABEL}
    for route in ROUTES:
        if route.method == "GET":
            path = route.path.format(**values)
            asked = {p.name: values[p.name] for p in route.parameters if p.required}
            answer = client.get(path, params=asked)
            assert answer.status_code == 200, route.path
            assert fits(answer.json(), SCHEMAS[route.gives]), route.path
            assert answer.headers["etag"]
            for parameter in route.parameters:
                if parameter.kind == "integer" and not parameter.required:
                    bad = client.get(path, params={**asked, parameter.name: "-1"})
                    assert bad.status_code == 422, (route.path, parameter.name)
                    assert fits(bad.json(), SCHEMAS["Fault"])


def test_the_description_names_every_route_and_only_what_there_is(client, store):
    told = client.get("/api/openapi.json").json()
    assert told == json.loads(json.dumps(describe("neurotasks leaderboard")))
    served = {
        (route.path.replace(":int", ""), method)
        for route in Site(store, "T", Rates())._routes()
        for method in route.methods - {"HEAD"}
        if route.path.startswith("/api/")
    }
    described = {
        (path, method.upper()) for path, methods in told["paths"].items() for method in methods
    }
    assert served == described
    for operations in told["paths"].values():
        for operation in operations.values():
            for answer in operation["responses"].values():
                name = answer["content"]["application/json"]["schema"]["$ref"].rsplit("/", 1)[1]
                assert name in told["components"]["schemas"]
    tokens = {r.path for r in ROUTES if r.scope}
    assert tokens == {"/api/submissions", "/api/reports"}


def test_secrets_are_in_no_answer(client, store, token):
    with store.database.read() as connection:
        secret = connection.exec_driver_sql("SELECT secret FROM boards").scalar_one()
    for path in ("/api/boards", "/api/boards/spring", "/api/events", "/metrics", "/boards/spring"):
        text = client.get(path).text
        assert secret not in text
        assert token.rsplit("_", 1)[1] not in text


def test_what_cannot_be_sent_by_our_client_is_told(ideal, tmp_path):
    told = submit(ideal, str(tmp_path / "inbox"))
    assert told["state"] == "waiting"
