from __future__ import annotations

import csv
import io
import json
import re

import pytest

import neurotasks
from leaderboard.__main__ import main
from leaderboard.store import open_store
from leaderboard.store.errors import InvalidToken
from leaderboard.worker import Worker
from neurotasks.submission.client import submit
from neurotasks.submission.pack import Words, pack_agents
from tests.leaderboard.stores import GENERATED, Clock, House, cheap

LABEL = GENERATED.removeprefix("neurotasks/")


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'board.db'}"


@pytest.fixture
def full(url, tmp_path):
    clock = Clock()
    with open_store(url, clock=clock) as store:
        store.boards.open("spring", "Spring course", tasks=LABEL)
        house = House(store, clock, tmp_path)
        house.verify(0.9, "good", commit="abc+")
        house.verify(0.5, "fair", "Bob")
        house.verify(0.95, "hasty", seeds=2)
        yield house


def test_a_static_site_is_built_from_a_store(full, url, tmp_path, capsys):
    out = tmp_path / "site"
    assert main(["build", "--db", url, "--board", "spring", "--out", str(out)]) == 0
    assert "3 results" in capsys.readouterr().out
    told = json.loads((out / f"tasks/{LABEL}.json").read_text())
    assert [(r["list"], r["agent"], r["rank"], r["stage"]) for r in told] == [
        ("ranked", "good", 1, "private"), ("ranked", "fair", 2, "private"),
        ("unranked", "hasty", None, "private"),
    ]  # fmt: skip
    card = neurotasks.load(GENERATED).card
    run = (out / f"runs/{card.label}-{card.hash}/submission-1.html").read_text()
    assert "verified" in run
    assert "with changes that were not committed" in run
    for path in out.rglob("*.html"):
        for link in re.findall(r'(?:href|src)="([^"#]*)', path.read_text()):
            if link and link != "data:,":
                assert (path.parent / link).resolve().is_file(), (path, link)


def test_the_ranking_of_a_store_is_printed(full, url, capsys):
    assert main(["rank", "--db", url, "--board", "spring"]) == 0
    out = capsys.readouterr().out
    assert out.index("good") < out.index("fair")
    assert "too few seeds" in out


def test_the_final_ranking_goes_to_a_file(full, url, tmp_path):
    assert main(["export", "spring", "--db", url, "--out", str(tmp_path / "final.csv")]) == 0
    lines = list(csv.DictReader(io.StringIO((tmp_path / "final.csv").read_text())))
    assert [(line["agent"], line["list"]) for line in lines] == [
        ("good", "ranked"), ("fair", "ranked"), ("hasty", "unranked"),
    ]  # fmt: skip


def test_a_board_is_opened_in_one_command_and_joined(url, capsys):
    assert main(["open-board", "autumn", "--tasks", LABEL, "--closes", "2100-01-31T12:00",
                 "--quota", "3", "--uses", "2", "--db", url]) == 0  # fmt: skip
    token = capsys.readouterr().out.rsplit(" ", 1)[1].strip()
    with open_store(url) as store:
        board = store.boards.get("autumn")
        assert (board.valid_quota, board.total_quota, board.closes) == (3, 8, 4105080000.0)
        assert store.accounts.join(token, "Ann")[0].board == "autumn"
        store.accounts.join(token, "Ben")
        with pytest.raises(InvalidToken, match="used up"):
            store.accounts.join(token, "Cid")


def test_tokens_are_issued_listed_and_revoked(full, url, capsys):
    assert main(["tokens", "issue", "--board", "spring", "--account", "Ada", "--db", url]) == 0
    token = capsys.readouterr().out.strip()
    assert full.store.accounts.authenticate(token, "submit").name == "Ada"
    assert main(["tokens", "list", "--board", "spring", "--db", url]) == 0
    key = capsys.readouterr().out.split()[0]
    assert key in token
    assert main(["tokens", "revoke", "--key", key, "--db", url]) == 0
    with pytest.raises(InvalidToken, match="revoked"):
        full.store.accounts.authenticate(token, "submit")
    assert main(["tokens", "revoke", "--db", url]) == 2


def test_a_backup_restores_and_both_verify(full, url, tmp_path, capsys):
    file, other = tmp_path / "kept.tar", f"sqlite:///{tmp_path / 'other.db'}"
    assert main(["backup", str(file), "--db", url]) == 0
    assert main(["restore", str(file), "--db", other]) == 0
    capsys.readouterr()
    for database in (url, other):
        assert main(["verify", "--db", database]) == 0
    assert len(set(capsys.readouterr().out.splitlines())) == 1
    next(path for path in full.store.artefacts.folder.rglob("*") if path.is_file()).write_bytes(b"")
    assert main(["verify", "--db", url]) == 1


def test_an_inbox_is_taken_in(full, url, tmp_path, capsys):
    folder, inbox = tmp_path / "packed", tmp_path / "inbox"
    trivial = neurotasks.load(GENERATED).trivial()
    pack_agents(GENERATED, [trivial] * 5, folder, seeds=range(5), words=Words(agent="posted"))
    name = submit(folder, str(inbox))["file"]
    (inbox / "bad.zip").write_bytes(b"no archive")
    command = ["take", str(inbox), "--board", "spring", "--db", url]
    assert main(command) == 1
    out = capsys.readouterr().out
    assert f"{name}: submission 4" in out
    assert "the archive has 10 bytes" in (inbox / "refused" / "bad.zip.txt").read_text()
    assert (inbox / "taken" / name).is_file()
    assert main(command) == 0
    assert full.store.submissions.get(4).agent == "posted"


def test_errors_are_one_line(url, capsys):
    assert main(["export", "none", "--db", url]) == 2
    error = capsys.readouterr().err
    assert error.startswith("leaderboard: there is no board 'none'")
    assert error.count("\n") == 1
    with pytest.raises(SystemExit):
        main(["open-board", "x", "--closes", "tomorrow", "--db", url])


def test_a_worker_uses_the_scorer_that_it_is_given(full):
    full.hand_in("late", content=b"0.7")
    assert Worker(full.store, "worker", cheap).step()
    assert full.store.standings.page("spring", GENERATED)[1].agent == "late"
