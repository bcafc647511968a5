from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import replace
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit
from xml.etree import ElementTree as ET

import pytest
import sqlalchemy as sa

import neurotasks
from leaderboard.queries import stamps
from leaderboard.statistics import rank_intervals, tie_groups
from leaderboard.store import open_store
from leaderboard.web import create_app
from leaderboard.web.security import HEADERS, Buckets, Rates
from neurotasks.scores import Interval
from tests.leaderboard.asking import Client
from tests.leaderboard.many import fill_store
from tests.leaderboard.stores import GENERATED, Clock, House, scored

ATOM = "{http://www.w3.org/2005/Atom}"
HOSTILE = '"><script>alert(1)</script>../../{{ 7*7 }}'
VOID = {"meta", "link", "br", "hr", "img", "input", "wbr"}
LABEL = GENERATED.removeprefix("neurotasks/")


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.words = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def links(self):
        return [a[name] for _, a in self.tags for name in ("href", "src") if name in a]

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


@pytest.fixture
def house(tmp_path):
    clock = Clock()
    with open_store(f"sqlite:///{tmp_path / 'board.db'}", clock=clock) as store:
        store.boards.open("spring", "Spring course", tasks=f"{LABEL},ImageClassificationDigits-*")
        yield House(store, clock, tmp_path)


@pytest.fixture
def client(house):
    return Client(create_app(house.store))


@pytest.fixture
def full(house):
    house.verify(0.9, "good")
    house.verify(0.5, "fair", "Bob")
    house.verify(0.2, HOSTILE, "Eve")
    house.verify(0.95, "hasty", seeds=2)
    job = house.hand_in("broken")
    house.store.queue.fail(house.store.queue.claim("worker"), "the graph loops for ever")
    house.broken = job.id
    return house


def test_every_page_is_whole_and_every_link_of_the_site_leads_somewhere(full, client):
    seen, left = set(), ["/"]
    while left:
        path = left.pop()
        if path in seen:
            continue
        seen.add(path)
        answer = client.get(path)
        assert answer.status_code == 200 or "/files/" in path, path
        for name, value in HEADERS.items():
            assert answer.headers[name] == value
        if answer.headers["content-type"].startswith("text/html"):
            page = Page(answer.text)
            tags = [tag for tag, _ in page.tags]
            assert tags.count("h1") == tags.count("main") == 1, path
            assert tags.count("caption") == tags.count("table"), path
            assert all("scope" in a for tag, a in page.tags if tag == "th")
            assert not [a for _, a in page.tags if any(k.startswith("on") for k in a)]
            assert not [a for _, a in page.tags if "style" in a]
            assert "<script>" not in answer.text
            assert all(a["action"].startswith("/") for tag, a in page.tags if tag == "form")
            for link in page.links:
                target = urljoin(f"http://testserver{path}", link)
                if link != "data:,":
                    assert urlsplit(target).netloc == "testserver"
                    left.append(target.removeprefix("http://testserver").split("#")[0])
    wanted = ("/boards/spring", f"/boards/spring/tasks/{LABEL}", "/submit", "/api",
              "/api/openapi.json", "/boards/spring/records.atom", "/boards/spring/results.csv",
              "/submissions/1", "/boards/spring/agent?name=good")  # fmt: skip
    assert set(wanted) <= seen
    assert [path for path in seen if "compare?" in path]
    assert [path for path in seen if "badge.svg?" in path]


def test_a_task_shows_ranked_unranked_and_self_reported_apart(full, client):
    manifest = full.hand_in("claim").manifest
    full.store.submissions.report("spring", full.account(), manifest_with_claims(manifest))
    page = Page(client.get(f"/boards/spring/tasks/{LABEL}").text).text
    ranked, rest = page.split("Without a rank")
    unranked, reported = rest.split("Self-reported Numbers alone")
    assert "good" in ranked.split("Ranked by score in stage private")[1]
    assert "hasty" in unranked
    assert "hasty" not in ranked
    assert "claim" in reported
    assert "broken" not in page


def manifest_with_claims(manifest):
    return type(manifest)(**{**vars(manifest), "claimed": {"test": (1.0,) * len(manifest.seeds)}})


def test_a_failed_submission_says_why_and_has_no_rank(full, client):
    text = Page(client.get(f"/submissions/{full.broken}").text).text
    assert "failed" in text
    assert "The graph loops for ever" in text
    assert "Rank" not in text


def test_a_run_shows_claimed_beside_verified_and_its_log(full, client):
    full.verify(0.7, "told", claimed={"test": (0.25,) * 5})
    page = Page(client.get("/submissions/6").text).text
    assert "Claimed raw" in page
    assert "0.25" in page
    assert "begin" in page.split("Log")[-1]


def test_a_page_changes_with_the_log_and_not_before(full, client):
    first = client.get("/boards/spring")
    again = client.get("/boards/spring", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    full.verify(0.99, "newcomer", "Zoe")
    changed = client.get("/boards/spring", headers={"If-None-Match": first.headers["etag"]})
    assert changed.status_code == 200
    assert "newcomer" in changed.text


def test_head_answers_as_get_without_a_body(full, client):
    got, head = client.get("/boards/spring"), client.head("/boards/spring")
    assert head.content == b""
    assert head.headers["etag"] == got.headers["etag"]


def test_filters_and_order_stand_in_the_address(full, client):
    def agents(query):
        text = client.get(f"/boards/spring/tasks/{LABEL}{query}").text
        table = text.split("<tbody>", 1)[1].split("</tbody>", 1)[0]
        return re.findall(r'class="name"><a href="[^"]*">([^<]*)</a>', table)

    assert agents("") == [
        "good",
        "fair",
        HOSTILE.replace('"', "&#34;").replace(">", "&gt;").replace("<", "&lt;"),
    ]
    assert agents("?agent=fa") == ["fair"]
    assert agents("?sort=agent")[1:] == ["fair", "good"]
    assert 'aria-sort="ascending"' in client.get(f"/boards/spring/tasks/{LABEL}?sort=agent").text
    assert "No result yet" in client.get(f"/boards/spring/tasks/{LABEL}?format=weights").text


def test_two_agents_are_compared(full, client):
    page = Page(client.get("/boards/spring/compare?one=good&two=fair").text).text
    assert "good is surely better on 1 and surely worse on 0 than fair" in page
    assert client.get("/boards/spring/compare?one=good&two=good").status_code == 422


def test_long_tables_have_pages_that_hold_every_agent_once(house, client):
    cards = [neurotasks.load(GENERATED).card, neurotasks.load("neurotasks/Acrobot-v0").card]
    fill_store(house.store, "large", cards, 120)
    seen, path = [], f"/boards/large/tasks/{LABEL}"
    while path:
        text = client.get(path).text
        table = text.split("<tbody>", 1)[1].split("</tbody>", 1)[0]
        seen += re.findall(
            r'<td class="number">(\d+)</td>\s*<th[^>]*><a href="[^"]*">([^<]*)', table
        )
        following = re.search(r'<a href="([^"]*)" rel="next"', text)
        path = following and following[1].replace("&amp;", "&")
    assert [int(rank) for rank, _ in seen] == list(range(1, 121))
    assert len({agent for _, agent in seen}) == 120
    lines = client.get("/boards/large/results.csv").text.splitlines()
    assert len(lines) == 241
    assert len(client.get("/boards/large/results.json").json()) == 240
    suite = [client.get(f"/api/boards/large/suite?page={n}").json() for n in (1, 2, 3)]
    assert [line["rank"] for part in suite for line in part["lines"]] == list(range(1, 121))


def test_ranks_that_are_open_are_those_of_the_whole_table(house, client):
    cards = [neurotasks.load(GENERATED).card, neurotasks.load("neurotasks/Acrobot-v0").card]
    fill_store(house.store, "large", cards, 120)
    rows, after = [], ""
    while after is not None:
        asked = {"task": GENERATED, **({"after": after} if after else {})}
        told = client.get("/api/boards/large/standings", params=asked).json()
        rows, after = rows + told["rows"], told["after"]
    values = [Interval(r["score"], r["score_low"], r["score_high"], r["seeds"]) for r in rows]
    wanted = [(one.best, one.worst) for one in rank_intervals(values)]
    assert [(row["best_rank"], row["worst_rank"]) for row in rows] == wanted
    assert [row["tie_group"] for row in rows] == tie_groups(values)
    assert len({row["tie_group"] for row in rows}) > 5
    page = Page(client.get("/boards/large/agent?name=agent-00007").text).text
    (mine,) = [row for row in rows if row["agent"] == "agent-00007"]
    assert f"{mine['rank']} {mine['best_rank']}\u2013{mine['worst_rank']} " in page


def test_equal_scores_rank_in_the_order_of_their_submissions(house, client):
    for agent in ("first", "second", "third"):
        house.verify(0.5, agent)
    told = [client.get(f"/boards/spring/badge.svg?agent={agent}&task={LABEL}").text
            for agent in ("first", "second", "third")]  # fmt: skip
    assert [re.search(r"rank (\d)", text)[1] for text in told] == ["1", "2", "3"]


def test_what_the_task_tells_besides_is_drawn(house, client):
    house.hand_in("curious")
    job = house.store.queue.claim("worker")
    told = scored(job.manifest, 0.7)
    parts = {"-8": 0.1, "-1": 0.4, "1": 0.6, "8": 0.9}
    test = replace(told.stages["test"], extra={"psychometric": [parts] * 5})
    house.store.queue.finish(job, replace(told, stages={**told.stages, "test": test}))
    page = client.get(f"/boards/spring/tasks/{LABEL}").text
    assert 'id="detail-0' in page
    text = Page(page).text
    assert "Psychometric" in text
    assert "Bias Threshold Lapse" in text
    assert house.store.verify() == []
    with house.store.database.write() as connection:
        connection.execute(sa.text("UPDATE submissions SET details = '{}'"))
    assert house.store.verify() == ["the results of submission 1 are not those that were measured"]


def test_what_is_kept_of_a_table_holds_until_somebody_enters_it(full, client):
    other = "ImageClassificationDigits-v0"
    pages = [f"/boards/spring/tasks/{label}" for label in (LABEL, other)]
    first = [client.get(page).text for page in pages]
    before = stamps(full.store, "spring")
    full.verify(0.99, "newcomer", "Zoe")
    assert "newcomer" in client.get(pages[0]).text.split("<table")[0]  # the plot
    assert client.get(pages[1]).text == first[1]
    full.verify(0.1, "newcomer", "Zoe")  # is worse, and enters no list
    after = stamps(full.store, "spring")
    card = neurotasks.load(GENERATED).card.hash
    assert {key for key in after if after[key] != before.get(key)} == {(GENERATED, card, "ranked")}
    assert after[GENERATED, card, "ranked"] == 6


def test_after_each_result_every_page_is_that_of_a_server_that_keeps_nothing(full, client):
    topic = neurotasks.load(GENERATED).card.topic.replace(" ", "+")
    task = f"/boards/spring/tasks/{LABEL}"
    pages = ["/", "/boards/spring", "/boards/spring?page=2", "/boards/spring?agent=f",
             f"/boards/spring?topic={topic}", task, f"{task}?sort=agent", f"{task}?agent=f",
             f"{task}.csv", f"{task}.json", "/boards/spring/agent?name=fair", "/submissions/2",
             "/boards/spring/compare?one=good&two=fair", "/boards/spring/records.atom",
             "/boards/spring/badge.svg?agent=fair", "/api/boards/spring/suite",
             f"/api/boards/spring/standings?task={LABEL}", "/api/results?board=spring",
             "/api/submissions?board=spring", "/api/boards/spring/records",
             "/api/events"]  # fmt: skip
    digits = "neurotasks/ImageClassificationDigits-v0"
    kept = [client.get(page).text for page in pages]
    for level, agent, changes in (
        (0.70, "middle", {}),
        (0.98, "fair", {}),  # moves up
        (0.30, "fair", {}),  # is worse, and enters no list
        (0.60, "hasty", {"seeds": 2}),  # has no rank
        (0.90, "good", {"task": digits}),
    ):
        full.verify(level, agent, "Bob" if agent == "fair" else "Ada", **changes)
        before, kept = kept, [client.get(page).text for page in pages]
        assert kept == [Client(create_app(full.store)).get(page).text for page in pages]
        assert kept != before


def test_the_feed_tells_new_records(full, client):
    root = ET.fromstring(client.get("/boards/spring/records.atom").content)  # noqa: S314 - our own
    titles = [e.findtext(f"{ATOM}title") for e in root.iter(f"{ATOM}entry")]
    assert titles == [f"{LABEL}: good 0.9000"]
    assert root.findtext(f"{ATOM}updated") == "1970-01-12T13:46:40Z"


def test_a_badge_tells_the_rank(full, client):
    answer = client.get("/boards/spring/badge.svg", params={"agent": "fair", "task": LABEL})
    assert answer.headers["content-type"].startswith("image/svg+xml")
    root = ET.fromstring(answer.content)  # noqa: S314 - our own
    assert root.get("aria-label").endswith("rank 2")
    hostile = client.get("/boards/spring/badge.svg", params={"agent": HOSTILE}).content
    assert b"<script" not in hostile


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/nothing", 404),
        ("/boards/none", 404),
        ("/boards/spring/tasks/None-v0", 404),
        ("/boards/spring/tasks/Acrobot-v0", 404),
        (f"/boards/spring/tasks/{LABEL}?card=0000", 404),
        (f"/boards/spring/tasks/{LABEL}?after=x", 422),
        ("/boards/spring?page=0", 422),
        ("/boards/spring/agent?name=nobody", 404),
        ("/submissions/99", 404),
        ("/submissions/99999999999999999999", 404),
        ("/submissions/1/files/..%2F..%2Fetc%2Fpasswd", 404),
        ("/submissions/1/files/model.onnx", 404),
        ("/boards/spring%00", 404),
    ],
)
def test_what_there_is_not_is_said_without_a_trace(full, client, path, status):
    answer = client.get(path, headers={"Accept": "text/html"})
    assert answer.status_code == status
    assert "Traceback" not in answer.text
    assert "What to do" in Page(answer.text).text


def test_an_error_of_ours_shows_no_trace(full, client, monkeypatch):
    monkeypatch.setattr(full.store.boards, "all", lambda: 1 / 0)
    answer = client.get("/api/boards")
    assert answer.status_code == 500
    assert "ZeroDivision" not in answer.text
    assert answer.json()["cure"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_model_of_an_open_class_is_its_authors_alone_until_the_end(house, client):
    house.store.boards.open("class", "Class", tasks=LABEL, closes=house.clock.now + 100)
    author = house.store.accounts.create("Ann", "class")
    other = house.store.accounts.create("Ben", "class")
    tokens = {a.name: house.store.accounts.issue(a.id) for a in (author, other)}
    manifest = house.hand_in().manifest
    files = dict.fromkeys(manifest.files, house.folder / "model-1")
    made = house.store.submissions.receive("class", author, manifest, files)
    path = f"/submissions/{made.id}/files/model-0.onnx"

    def status(token):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return client.get(path, headers=headers).status_code

    assert [status(t) for t in ("", tokens["Ben"], tokens["Ann"])] == [401, 403, 200]
    assert client.get(f"/submissions/{made.id}/files/manifest.json").status_code == 200
    house.clock.now += 101
    assert status("") == 200


def test_buckets_fill_at_their_rate():
    now = [0.0]
    buckets = Buckets(2.0, 4, lambda: now[0])
    assert [buckets.wait("a") for _ in range(4)] == [0.0] * 4
    assert buckets.wait("a") == pytest.approx(0.5)
    assert buckets.wait("b") == 0.0
    now[0] = 0.5
    assert buckets.wait("a") == 0.0
    assert buckets.wait("a") > 0.0


def test_who_asks_too_often_is_told_when_to_come_again(house):
    app = create_app(house.store, rates=Rates(reads=0.001, burst=3))
    client = Client(app)
    statuses = [client.get("/healthz").status_code for _ in range(5)]
    answer = client.get("/healthz")
    assert statuses == [200, 200, 200, 429, 429]
    assert int(answer.headers["Retry-After"]) >= 1
    assert answer.json()["cure"].startswith("wait")


def test_health_and_metrics(full, client):
    assert client.get("/healthz").json()["state"] == "ok"
    text = client.get("/metrics").text
    assert 'leaderboard_requests_total{method="GET",status="200"} 1' in text
    assert "leaderboard_queue_waiting 0" in text


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ask(port, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
        return answer.read()


def test_the_server_starts_logs_json_and_ends_gracefully(tmp_path):
    port = free_port()
    command = [sys.executable, "-m", "leaderboard", "serve", "--db",
               f"sqlite:///{tmp_path / 'b.db'}", "--port", str(port), "--workers", "0"]  # fmt: skip
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:  # noqa: S603
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                ask(port, "/healthz")
                break
            except urllib.error.URLError:
                time.sleep(0.1)
        with socket.create_connection(("127.0.0.1", port)) as raw:
            raw.sendall(b"POST /api/join HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n")
            assert raw.recv(4096).startswith(b"HTTP/1.1 413")
        assert b"Boards" in ask(port, "/")
        server.send_signal(signal.SIGTERM)
        _, log = server.communicate(timeout=30)
    assert server.returncode == 0
    lines = [json.loads(line) for line in log.splitlines()]
    assert {"/healthz", "/"} <= {line.get("path") for line in lines}
    assert lines[-1]["message"] == "ended"


def test_a_topic_that_a_board_does_not_have_is_told(full, client):
    answer = client.get("/boards/spring?topic=alchemy")
    assert answer.status_code == 422
    assert "is no topic of board" in answer.text
    assert "orientation decoding" in answer.text


def test_labels_may_be_broken_between_words(full, client):
    assert ">Orientation<wbr>Decoding-v0</a>" in client.get("/boards/spring").text
