from __future__ import annotations

import csv
import hashlib
import io
import itertools

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

import neurotasks
from leaderboard.store import Cursor, Job, Usage, open_store
from leaderboard.store.backup import backup, restore
from leaderboard.store.errors import (
    BoardClosed,
    CorruptArtefact,
    CorruptBackup,
    Denied,
    DuplicateSubmission,
    InvalidEntry,
    InvalidToken,
    MissingScope,
    NameTaken,
    NotEmpty,
    QuotaExceeded,
    Refused,
    UnknownBoard,
    UnknownSubmission,
    WrongTask,
)
from leaderboard.store.tables import metadata
from neurotasks.card import TaskCard
from neurotasks.errors import CorruptSubmission, UnknownTask
from tests.leaderboard.stores import FIXED, GENERATED, Place, make_manifest

pytest_plugins = ("tests.leaderboard.postgres",)


def test_tables_and_migrations_agree(house):
    with house.store.database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_a_second_opening_changes_nothing(house, place):
    before = house.store.events.head()
    with open_store(place.url, place.artefacts) as again:
        assert again.events.head() == before
        assert [board.name for board in again.boards.all()] == ["spring"]


def test_sqlite_reads_while_it_writes(house, place):
    if not place.url.startswith("sqlite"):
        pytest.skip("of SQLite")
    with house.store.database.read() as connection:
        modes = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in
                 ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")]  # fmt: skip
    assert modes == ["wal", 1, 1, 60_000]
    with house.store.database.write() as writer, house.store.database.read() as reader:
        writer.execute(sa.text("UPDATE boards SET title = 'Autumn'"))
        assert reader.execute(sa.text("SELECT title FROM boards")).scalar() == "Spring course"


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///:memory:", "mysql://x/y", "no address", "sqlite+aiosqlite://"]
)
def test_a_database_that_workers_cannot_share_is_refused(url):
    with pytest.raises(InvalidEntry, match=r"sqlite:///board\.db"):
        open_store(url)


def test_postgres_needs_a_folder_for_files():
    with pytest.raises(InvalidEntry, match="name a folder"):
        open_store("postgresql://nowhere/board")


class TestBoards:
    def test_the_secret_stays_in_the_store(self, house):
        house.hand_in()
        job = house.store.queue.claim("worker")
        assert len(job.secret) == 64
        told = [house.store.boards.get("spring"), job, *house.store.events.read()]
        assert not any(job.secret in repr(record) for record in told)

    def test_two_boards_have_two_secrets(self, house):
        house.store.boards.open("autumn", "Autumn course")
        with house.store.database.read() as connection:
            secrets = connection.execute(sa.text("SELECT secret FROM boards")).scalars().all()
        assert len(set(secrets)) == 2

    @pytest.mark.parametrize(
        ("changes", "match"),
        [
            ({"name": "Spring 1"}, "lower-case"),
            ({"name": "../etc"}, "lower-case"),
            ({"title": " "}, "title"),
            ({"title": "two\nlines"}, "title"),
            ({"tasks": "NoSuchTask*"}, "neurotasks list"),
            ({"valid_quota": 9, "total_quota": 8}, "quotas"),
            ({"valid_quota": 0}, "quotas"),
            ({"minimum_seeds": 0}, "minimum_seeds"),
            ({"opens": 5.0, "closes": 5.0}, "later date"),
        ],
    )
    def test_a_board_that_nobody_could_use_is_refused(self, house, changes, match):
        before = house.store.events.head()
        with pytest.raises(InvalidEntry, match=match):
            house.store.boards.open(**{"name": "autumn", "title": "Autumn", **changes})
        assert house.store.events.head() == before

    def test_a_name_is_taken_once(self, house):
        with pytest.raises(NameTaken, match="'spring'"):
            house.store.boards.open("spring", "Another")

    def test_unknown(self, house):
        with pytest.raises(UnknownBoard, match="'autumn'"):
            house.store.boards.get("autumn")

    def test_it_opens_and_closes_on_time(self, house):
        house.store.boards.open("autumn", "Autumn", opens=2_000_000.0, closes=3_000_000.0)
        account = house.store.accounts.create("Bo", "autumn")

        def hand_in(content: bytes) -> None:
            path = house.folder / "model"
            path.write_bytes(content)
            manifest = make_manifest(content, seeds=1)
            house.store.submissions.receive("autumn", account, manifest, {"model.onnx": path})

        house.clock.now = 1_999_999.0
        with pytest.raises(BoardClosed, match="opens on 1970-01-24 03:33 UTC"):
            hand_in(b"1")
        house.clock.now = 2_000_000.0
        hand_in(b"2")
        house.clock.now = 3_000_000.0
        with pytest.raises(BoardClosed, match="closed on 1970-02-04 17:20 UTC"):
            hand_in(b"3")

    def test_closing_it_now(self, house):
        house.hand_in()
        assert house.store.boards.close("spring").closes == house.clock.now
        with pytest.raises(BoardClosed):
            house.hand_in()
        assert house.store.queue.waiting() == 1
        assert house.store.verify() == []


class TestAccounts:
    def test_join(self, house):
        token = house.store.accounts.join_token("spring", uses=2)
        ada, shown = house.store.accounts.join(token, " Ada ")
        assert (ada.name, ada.board) == ("Ada", "spring")
        assert house.store.accounts.authenticate(shown, "submit") == ada
        with pytest.raises(MissingScope, match="'submit', not 'admin'"):
            house.store.accounts.authenticate(shown, "admin")
        with pytest.raises(NameTaken):
            house.store.accounts.join(token, "Ada")
        house.store.accounts.join(token, "Bo")  # the refused one used nothing up
        with pytest.raises(InvalidToken, match="used up"):
            house.store.accounts.join(token, "Cy")

    def test_names_are_taken_once_on_all_boards_together_too(self, house):
        house.store.accounts.create("Ada")
        house.store.accounts.create("Ada", "spring")
        for board in (None, "spring"):
            with pytest.raises(NameTaken):
                house.store.accounts.create("Ada", board)

    @pytest.mark.parametrize("name", ["", "  ", "x" * 65, "two\nlines", "nul\0"])
    def test_names_that_no_page_can_show(self, house, name):
        with pytest.raises(InvalidEntry, match="characters"):
            house.store.accounts.create(name)

    def test_secrets_are_not_kept(self, house, place):
        account = house.account()
        shown = [house.store.accounts.issue(account.id), house.store.accounts.join_token("spring")]
        with house.store.database.read() as connection:
            rows = [
                repr(row)
                for table in metadata.sorted_tables
                for row in connection.execute(sa.select(table))
            ]
        assert not any(token.split("_", 2)[2] in row for token in shown for row in rows)

    def test_forged_tokens(self, house):
        token = house.store.accounts.issue(house.account().id)
        kind, key, secret = token.split("_", 2)
        other = house.store.accounts.issue(house.account("Bo").id).split("_", 2)[2]
        forged = [
            "", "nts", f"{kind}_{key}_", f"{kind}_{key}_{secret[:-1]}", f"{kind}_{key}_{other}",
            f"{kind}_{'0' * 16}_{secret}", f"ntj_{key}_{secret}", f"{token} ", f"{token}\n",
            token.upper(), "' OR 1=1 --", f"{kind}_{'é' * 16}_{secret}",
        ]  # fmt: skip
        for text in forged:
            with pytest.raises(InvalidToken):
                house.store.accounts.authenticate(text, "submit")

    def test_expired_and_revoked_tokens(self, house):
        accounts, account = house.store.accounts, house.account()
        short = accounts.issue(account.id, expires=house.clock.now + 10, label="short")
        long = accounts.issue(account.id, ("admin",), label="long")
        house.clock.now += 10
        with pytest.raises(InvalidToken, match="expired"):
            accounts.authenticate(short, "submit")
        assert accounts.authenticate(long, "submit") == account
        accounts.revoke_token(long.split("_")[1])
        with pytest.raises(InvalidToken, match="revoked"):
            accounts.authenticate(long, "submit")
        assert {token.label: token.revoked is None for token in accounts.tokens(account.id)} == {
            "short": True, "long": False,
        }  # fmt: skip
        with pytest.raises(InvalidToken, match="no valid token"):
            accounts.revoke_token(long.split("_")[1])

    def test_a_revoked_account(self, house):
        token = house.store.accounts.issue(house.account().id)
        house.store.accounts.revoke(house.account().id)
        with pytest.raises(InvalidToken, match="account 'Ada' is revoked"):
            house.store.accounts.authenticate(token, "submit")

    def test_revoked_and_expired_join_tokens(self, house):
        token = house.store.accounts.join_token("spring", expires=house.clock.now + 1)
        gone = house.store.accounts.join_token("spring")
        house.store.accounts.revoke_token(gone.split("_")[1])
        house.clock.now += 1
        for bad, match in ((token, "expired"), (gone, "revoked")):
            with pytest.raises(InvalidToken, match=match):
                house.store.accounts.join(bad, "Ada")

    def test_scopes_that_are_none(self, house):
        for scopes in ((), ("root",)):
            with pytest.raises(InvalidEntry, match="choose of submit, admin"):
                house.store.accounts.issue(house.account().id, scopes)


class TestIntake:
    def test_what_comes_in(self, house):
        made = house.hand_in("mlp", config={"width": 64}, content=b"abc")
        assert (made.id, made.state, made.author, made.agent) == (1, "queued", "Ada", "mlp")
        assert made.manifest.config == {"width": 64}
        assert house.store.submissions.get(1) == made
        files = house.store.submissions.files(1)
        assert len(files) == 5
        assert {house.store.artefacts.read(sha256) for sha256 in files.values()} == {b"abc"}

    def test_the_valid_quota_leaves_failed_ones_out_and_the_total_does_not(self, house):
        store = house.store
        store.boards.open("small", "Small", valid_quota=2, total_quota=3)
        account = store.accounts.create("Bo", "small")
        number = itertools.count()

        def hand_in(task: str = GENERATED) -> Job:
            content = f"small {next(number)}".encode()
            path = house.folder / "model"
            path.write_bytes(content)
            manifest = make_manifest(content, seeds=1, task=task)
            store.submissions.receive("small", account, manifest, {"model.onnx": path})
            return store.queue.claim("worker")

        hand_in()
        hand_in()
        with pytest.raises(QuotaExceeded, match="has handed in 2"):
            hand_in()
        hand_in(FIXED)  # another task has a quota of its own
        store.queue.fail(hand_in(FIXED), "bad")
        assert store.submissions.usage("small", account.id, FIXED) == Usage(1, 2)
        store.queue.fail(hand_in(FIXED), "bad")
        with pytest.raises(QuotaExceeded, match=r"has handed in 3 .* 1 of them valid"):
            hand_in(FIXED)

    def test_a_duplicate_names_the_first(self, house):
        first = house.hand_in("mlp", content=b"same")
        with pytest.raises(DuplicateSubmission, match=f"submission {first.id}") as caught:
            house.hand_in("other name", content=b"same", description="other words")
        assert caught.value.first == first.id
        house.hand_in("mlp", "Bo", content=b"same")  # somebody else's
        house.hand_in("mlp", content=b"same", task=FIXED)  # another task's

    def test_what_failed_may_come_again(self, house, claim):
        house.hand_in(content=b"same")
        house.store.queue.fail(claim(), "no memory")
        assert house.hand_in(content=b"same").id == 2

    @pytest.mark.parametrize(
        ("changes", "kind", "match"),
        [
            ({"task": "neurotasks/CartPole-v0"}, WrongTask, "not on board 'spring'"),
            ({"card": "0" * 16}, WrongTask, "run the agent again"),
            ({"agent": "ideal"}, Refused, "mark on the scale"),
            ({"claimed": {"practice": (1.0,)}}, Refused, "no stage"),
        ],
    )
    def test_what_the_board_does_not_take(self, house, changes, kind, match):
        with pytest.raises(kind, match=match):
            house.hand_in(**changes)
        assert house.store.submissions.page("spring") == []

    def test_unknown_task(self, house):
        with pytest.raises(UnknownTask):
            house.hand_in(task="neurotasks/NoSuchTask-v0", card="0" * 16)

    def test_an_account_of_another_board(self, house):
        house.store.boards.open("autumn", "Autumn")
        house.accounts["Bo"] = house.store.accounts.create("Bo", "autumn")
        with pytest.raises(Denied, match="account of board 'autumn'"):
            house.hand_in(author="Bo")
        house.accounts["Cy"] = house.store.accounts.create("Cy")
        assert house.hand_in(author="Cy").author == "Cy"

    def test_files_that_are_not_the_manifests(self, house):
        manifest = make_manifest(b"told", seeds=1)
        path = house.folder / "model"
        path.write_bytes(b"given")
        with pytest.raises(CorruptSubmission, match="the manifest says"):
            house.store.submissions.receive(
                "spring", house.account(), manifest, {"model.onnx": path}
            )
        with pytest.raises(CorruptSubmission, match="the manifest names"):
            house.store.submissions.receive("spring", house.account(), manifest, {"other": path})
        assert house.store.submissions.page("spring") == []

    def test_names_are_values_never_statements(self, house):
        name = "'); DROP TABLE submissions; --<script>"
        house.hand_in(name, author="' OR ''='")
        assert [one.agent for one in house.store.submissions.page("spring", agent=name)] == [name]

    def test_pages_of_submissions(self, house):
        for number in range(5):
            house.hand_in(f"agent {number % 2}")
        first = house.store.submissions.page("spring", limit=2)
        then = house.store.submissions.page("spring", limit=9, before=first[-1].id)
        assert [one.id for one in (*first, *then)] == [5, 4, 3, 2, 1]
        assert [one.id for one in house.store.submissions.page("spring", agent="agent 1")] == [4, 2]
        assert house.store.submissions.page("spring", state="failed") == []

    def test_artefacts_are_kept_once_and_checked_when_read(self, house):
        house.hand_in(content=b"same")
        house.hand_in(author="Bo", content=b"same")
        kept = [path for path in house.store.artefacts.folder.rglob("*") if path.is_file()]
        assert len(kept) == 1
        kept[0].write_bytes(b"changed")
        with pytest.raises(CorruptArtefact, match="restore it from a backup"):
            house.store.artefacts.read(kept[0].name)
        with pytest.raises(CorruptArtefact):
            house.store.artefacts.copy(kept[0].name, house.folder / "copy")
        assert not (house.folder / "copy").exists()
        kept[0].unlink()
        with pytest.raises(CorruptArtefact, match="is missing"):
            house.store.artefacts.read(kept[0].name)


class TestStandings:
    def test_by_private_score_with_the_order_of_coming_for_equals(self, house):
        for agent, level in (("a", 0.5), ("b", 0.7), ("c", 0.5), ("d", 0.9)):
            house.verify(level, agent)
        rows = house.store.standings.page("spring", GENERATED)
        assert [(row.rank, row.agent, row.stage) for row in rows] == [
            (1, "d", "private"), (2, "b", "private"), (3, "a", "private"), (4, "c", "private"),
        ]  # fmt: skip
        assert rows[0].score.mean == pytest.approx(0.9)
        assert rows[0].score.low < 0.9 < rows[0].score.high
        assert set(rows[0].summary) == {"test", "shift", "private"}
        for before, row in itertools.pairwise(rows):
            after = house.store.standings.page("spring", GENERATED, limit=1, after=before.cursor)
            assert after == [row]
            assert house.store.standings.of_submission(row.submission) == row

    def test_an_agent_stands_with_its_best(self, house):
        first, best = house.verify(0.5), house.verify(0.8)
        worse = house.verify(0.6)
        house.verify(0.7, author="Bo")  # another account's agent of the same name
        rows = house.store.standings.page("spring", GENERATED)
        assert [(row.author, row.submission) for row in rows] == [("Ada", best), ("Bo", 4)]
        assert house.store.standings.size("spring", GENERATED) == 2
        card = neurotasks.load(GENERATED).card.hash
        assert house.store.standings.tables("spring") == [(GENERATED, card, "ranked", 2)]
        assert house.store.standings.of_agent("spring", "mlp") == rows
        assert house.store.standings.of_submission(worse) is None
        assert house.store.submissions.get(first).score == pytest.approx(0.5)

    def test_too_few_seeds_are_verified_and_not_ranked(self, house):
        made = house.verify(0.9, seeds=4)
        told = house.store.submissions.get(made)
        assert (told.state, told.reason) == ("verified", "4 seeds; with 5 or more it has a rank")
        assert house.store.standings.page("spring", GENERATED) == []
        (row,) = house.store.standings.page("spring", GENERATED, list_="unranked")
        assert row.submission == made
        assert house.store.standings.suite("spring") == []
        assert house.store.standings.records("spring") == []

    def test_answers_to_public_trials_have_no_rank_where_there_are_secret_ones(self, house):
        content = b"answers"
        files = {"predictions.npz": hashlib.sha256(content).hexdigest()}
        made = house.verify(1.0, format="predictions", files=files, content=content)
        told = house.store.submissions.get(made)
        assert (told.state, told.stage) == ("verified", "test")
        assert "cannot answer the private stage" in told.reason
        (row,) = house.store.standings.page("spring", GENERATED, list_="unranked")
        assert row.submission == made

    def test_a_failed_one_never_stands_and_says_why(self, house, claim):
        made = house.hand_in()
        house.store.queue.fail(claim(), "it\nanswers <b>NaN</b>\0")
        told = house.store.submissions.get(made.id)
        assert (told.state, told.reason) == ("failed", "it answers <b>NaN</b>")
        assert house.store.standings.tables("spring") == []
        assert house.store.verify() == []

    def test_claims_have_a_list_of_their_own(self, house):
        manifest = make_manifest(b"-", claimed={"test": (2.0, 2.1, 2.2, 2.3, 2.4)})
        made = house.store.submissions.report("spring", house.account(), manifest)
        assert (made.state, made.stage) == ("self-reported", "test")
        assert house.store.queue.waiting() == 0
        assert house.store.standings.page("spring", GENERATED) == []
        (row,) = house.store.standings.page("spring", GENERATED, list_="self-reported")
        assert row.submission == made.id
        with pytest.raises(DuplicateSubmission):
            house.store.submissions.report("spring", house.account(), manifest)
        with pytest.raises(CorruptSubmission, match="claims no raw metric"):
            house.store.submissions.report("spring", house.account(), make_manifest(b"-"))
        assert house.store.verify() == []

    def test_the_ladder_hides_small_steps_on_a_fixed_test_set(self, house):
        trials = neurotasks.load(FIXED).card.stage("test").trials
        step = trials**-0.5
        first = house.verify(0.5, task=FIXED)
        small = house.verify(0.5 + 0.9 * step, task=FIXED)
        hidden = house.store.submissions.get(small)
        assert (hidden.state, hidden.released, hidden.score, hidden.summary) == (
            "verified", False, None, {},
        )  # fmt: skip
        assert house.store.submissions.get(small, truth=True).score == pytest.approx(
            0.5 + 0.9 * step
        )
        assert house.store.submissions.stages([small]) == {}
        assert set(house.store.submissions.stages([small], truth=True)) == {small}
        with pytest.raises(UnknownSubmission):
            house.store.submissions.items(small, "test")
        (row,) = house.store.standings.page("spring", FIXED)
        assert (row.submission, row.stage) == (first, "test")
        large = house.verify(0.5 + 1.1 * step, task=FIXED)
        (row,) = house.store.standings.page("spring", FIXED)
        assert row.submission == large
        other = house.verify(0.4, "other", task=FIXED)
        assert house.store.submissions.get(other).released
        assert house.store.verify() == []

    def test_what_was_measured_can_be_read_again(self, house):
        made = house.verify(0.6)
        stages = house.store.submissions.stages([made])[made]
        told = house.store.submissions.get(made)
        result = told.result(stages)
        assert result.stages["private"].score == pytest.approx([0.59, 0.595, 0.6, 0.605, 0.61])
        assert result.stages["test"].error == (0.01,) * 5
        assert (result.task, result.agent, result.parameters) == (GENERATED, "mlp", 1234)
        items = house.store.submissions.items(made, "private")
        assert items.shape == (5, 4)
        assert items[:, 0] == pytest.approx(stages["private"].raw)

    def test_the_suite_is_over_the_newest_cards(self, house):
        house.verify(0.5, "a")
        house.verify(0.7, "a", task=FIXED)
        house.verify(0.9, "b")
        rows = house.store.standings.suite("spring")
        assert [(row.rank, row.agent, row.tasks) for row in rows] == [(1, "a", 2), (2, "b", 1)]
        assert rows[0].score.mean == pytest.approx(0.6, abs=0.11)
        assert rows[1].score.mean == pytest.approx(0.9)
        (second,) = house.store.standings.suite("spring", limit=1, offset=1)
        assert second == rows[1]

    def test_a_new_card_is_a_new_table_and_the_old_one_stays(self, house, monkeypatch):
        old = neurotasks.load(GENERATED).card.hash
        house.verify(0.9, "a")
        house.verify(0.5, "a", task=FIXED)
        house.clock.now += 1
        monkeypatch.setattr(TaskCard, "hash", property(lambda card: "f" * 16))
        house.verify(0.3, "b", author="Bo")
        page = house.store.standings.page
        assert [row.agent for row in page("spring", GENERATED)] == ["b"]
        assert [row.agent for row in page("spring", GENERATED, card=old)] == ["a"]
        assert [one.card for one in house.store.boards.versions(GENERATED)] == ["f" * 16, old]
        suite = {row.agent: row.tasks for row in house.store.standings.suite("spring")}
        assert suite == {"a": 1, "b": 1}
        assert house.store.verify() == []

    def test_a_new_card_of_another_board_renews_the_suites_too(self, house, monkeypatch):
        house.verify(0.9, "a")
        house.clock.now += 1
        monkeypatch.setattr(TaskCard, "hash", property(lambda card: "f" * 16))
        house.store.boards.open("summer", "Summer course", tasks="Orientation*")
        assert house.store.standings.suite("spring") == []
        assert house.store.verify() == []

    def test_records_are_new_bests(self, house):
        for agent, level in (("a", 0.5), ("b", 0.4), ("c", 0.7), ("c", 0.8)):
            house.verify(level, agent)
        house.verify(0.1, "z", task=FIXED)
        told = [
            (one.agent, round(one.score, 6), one.previous and round(one.previous, 6))
            for one in house.store.standings.records("spring")
        ]
        assert told == [("z", 0.1, None), ("c", 0.8, 0.7), ("c", 0.7, 0.5), ("a", 0.5, None)]
        assert [one.agent for one in house.store.standings.records("spring", task=FIXED)] == ["z"]

    def test_csv_for_marks(self, house):
        house.verify(0.5, "=1+1", author='@Ada, "B"')
        house.verify(0.7, "b")
        house.verify(0.7, "few", seeds=1)
        rows = list(csv.DictReader(io.StringIO(house.store.standings.csv("spring"))))
        assert [(row["list"], row["rank"], row["agent"], row["account"]) for row in rows] == [
            ("ranked", "1", "b", "Ada"), ("ranked", "2", "'=1+1", "'@Ada, \"B\""),
            ("unranked", "", "few", "Ada"),
        ]  # fmt: skip
        assert float(rows[0]["score"]) == pytest.approx(0.7)
        with pytest.raises(UnknownBoard):
            house.store.standings.csv("autumn")

    @pytest.mark.parametrize("text", ["", "1~2", "a~1~2", "1~nan~2", "0~1~2", "1~1~-1", "9" * 5000])
    def test_cursors_that_are_none(self, text):
        with pytest.raises(InvalidEntry, match="first page"):
            Cursor.parse(text)

    def test_a_cursor_survives_an_address(self):
        cursor = Cursor(3, 1 / 3, 7)
        assert Cursor.parse(str(cursor)) == cursor


class TestBackup:
    @pytest.fixture
    def filled(self, house):
        house.store.accounts.issue(house.account().id)
        house.verify(0.5, "a")
        house.verify(0.7, "b", task=FIXED)
        house.hand_in("c")
        return house

    @pytest.fixture
    def empty(self, request, tmp_path):
        """Return an empty store on the other database: a backup belongs to neither."""
        other = Place(f"sqlite:///{tmp_path}/restored.db", tmp_path / "restored")
        if "sqlite" in request.node.callspec.params["place"]:
            pytest.importorskip("psycopg")
            other = Place(request.getfixturevalue("new_database")(), tmp_path / "restored")
        with open_store(other.url, other.artefacts) as store:
            yield store

    def test_all_of_it_comes_back_on_the_other_database(self, filled, empty, tmp_path):
        path = tmp_path / "backup.tar"
        assert backup(filled.store, path) == path.stat().st_size
        assert path.stat().st_mode & 0o077 == 0
        restore(path, empty)
        for table in metadata.sorted_tables:
            rows = []
            for store in (filled.store, empty):
                with store.database.read() as connection:
                    order = sa.select(table).order_by(*table.primary_key)
                    rows.append([tuple(row) for row in connection.execute(order)])
            assert rows[0] == rows[1], table.name
        assert empty.verify() == []
        assert empty.accounts.create("New", "spring").id == 2
        assert empty.standings.page("spring", GENERATED) == filled.store.standings.page(
            "spring", GENERATED
        )

    def test_only_into_an_empty_store(self, filled, tmp_path):
        path = tmp_path / "backup.tar"
        backup(filled.store, path)
        with pytest.raises(NotEmpty, match="new database"):
            restore(path, filled.store)

    def test_a_changed_backup_is_refused_whole(self, filled, empty, tmp_path):
        path = tmp_path / "backup.tar"
        backup(filled.store, path)
        whole = path.read_bytes()
        changes = ((b"model 1", b"model 9"), (b'"verified"', b'"failedxx"'), (b"Ada", b"Eve"))
        for old, new in changes:
            assert old in whole
            path.write_bytes(whole.replace(old, new, 1))
            with pytest.raises(CorruptBackup):
                restore(path, empty)
        for cut in (0, 700, len(whole) // 2):
            path.write_bytes(whole[:cut])
            with pytest.raises(CorruptBackup):
                restore(path, empty)
        assert empty.boards.all() == []
        path.write_bytes(whole)
        restore(path, empty)

    def test_a_missing_file_is_not_left_out_silently(self, filled, tmp_path):
        next(p for p in filled.store.artefacts.folder.rglob("*") if p.is_file()).unlink()
        with pytest.raises(CorruptArtefact):
            backup(filled.store, tmp_path / "backup.tar")
        assert list(tmp_path.glob("*backup*")) == []
