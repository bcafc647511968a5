from __future__ import annotations

from contextlib import contextmanager

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from leaderboard.store import Head
from leaderboard.store.events import append
from tests.leaderboard.stores import FIXED, House

pytest_plugins = ("tests.leaderboard.postgres",)


@pytest.fixture
def filled(house) -> House:
    house.store.boards.open("winter", "Winter course", tasks="Orientation*")
    house.store.boards.close("winter")
    house.verify(0.5, "a")
    house.verify(0.7, "b", task=FIXED)
    house.hand_in("c")
    assert house.store.verify() == []
    return house


@contextmanager
def behind_its_back(house: House):
    """Give a connection that no trigger stops, as somebody with the database's password has."""
    with house.store.database.write() as connection:
        if connection.dialect.name == "sqlite":
            names = connection.execute(
                sa.text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
            ).all()
            for name, _ in names:
                connection.execute(sa.text(f"DROP TRIGGER {name}"))
        else:
            connection.execute(sa.text("SET LOCAL session_replication_role = replica"))
        yield connection


@pytest.mark.parametrize("table", ["events", "tasks"])
@pytest.mark.parametrize("statement", ["UPDATE {} SET id = id", "DELETE FROM {}"])
def test_the_database_forbids_changes(filled, table, statement):
    with (
        pytest.raises(DBAPIError, match="are never changed"),
        filled.store.database.write() as connection,
    ):
        connection.execute(sa.text(statement.format(table)))
    assert filled.store.verify() == []


def test_postgres_forbids_truncation_too(filled, place):
    if place.url.startswith("sqlite"):
        pytest.skip("SQLite has no TRUNCATE")
    with (
        pytest.raises(DBAPIError, match="never changed"),
        filled.store.database.write() as connection,
    ):
        connection.execute(sa.text("TRUNCATE events"))


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ("UPDATE events SET detail = '{}' WHERE id = 3", "event 3 was changed"),
        ("UPDATE events SET at = at + 1 WHERE id = 3", "event 3 was changed"),
        ("UPDATE events SET actor = 'account 9' WHERE id = 3", "event 3 was changed"),
        ("DELETE FROM events WHERE id = 4", "event 4 is missing"),
        ("DELETE FROM events WHERE id = 1", "event 1 is missing"),
        ("DELETE FROM events WHERE id = (SELECT max(id) FROM events)", "the log ends with event"),
        ("DELETE FROM events WHERE id > 5", "the log ends with event 5"),
        ("DELETE FROM events", "the log ends with event 0"),
        ("DELETE FROM chain", "its end should be nothing"),
        ("UPDATE chain SET length = length - 1", "its end should be"),
        ("UPDATE submissions SET score = 9 WHERE id = 1", "the results of submission 1"),
        ("UPDATE submissions SET state = 'verified' WHERE id = 3", "submission 3 is 'verified'"),
        ("UPDATE submissions SET manifest = '{}' WHERE id = 3", "the manifest of submission 3"),
        (
            "UPDATE results SET score = score + 0.1 WHERE submission = 1",
            "results of submission 1",
        ),
        ("DELETE FROM results WHERE submission = 2 AND seed = 3", "results of submission 2"),
        ("UPDATE standings SET score = 2 WHERE agent = 'b'", "'b' on"),
        ("UPDATE standings SET submission = 1 WHERE agent = 'b'", "'b' on"),
        ("DELETE FROM standings WHERE agent = 'b'", "the sizes of the tables"),
        ("UPDATE boards SET secret = 'x'", "the secret of board 'spring'"),
        ("UPDATE standings SET high = high + 1 WHERE agent = 'b'", "'b' on"),
        ("UPDATE standings SET list = 'unranked' WHERE agent = 'b'", "'b' on"),
        ("UPDATE submissions SET score = NULL, summary = 'x'", "results of submission 1"),
        ("UPDATE submissions SET summary = '[]' WHERE id = 2", "results of submission 2"),
        ("UPDATE events SET detail = 'broken'", "event 1 was changed"),
        ("UPDATE boards SET valid_quota = 99", "was changed in valid_quota"),
        ("UPDATE boards SET closes = 2e9", "was changed in closes"),
        ("UPDATE boards SET closes = NULL", "was changed in closes"),
        ("UPDATE boards SET opens = 5, created = 4", "was changed in opens, created"),
        ("UPDATE suites SET score = 2 WHERE agent = 'a'", "of 'a' on board 'spring' is not as it"),
        ("UPDATE suites SET low = low - 1e-6", "suite score of 'b' on board 'spring' is not as it"),
        ("UPDATE suites SET tasks = 2 WHERE agent = 'b'", "score of 'b' on board 'spring' is not"),
        ("DELETE FROM suites WHERE agent = 'b'", "score of 'b' on board 'spring' is missing"),
        ("UPDATE suites SET agent = 'c' WHERE agent = 'b'", "'c' on board 'spring' was never"),
        ("UPDATE records SET score = 2 WHERE submission = 1", "record of submission 1 is not as"),
        ("UPDATE records SET previous = 0.1", "the record of submission 2 is not as it was earned"),
        ("UPDATE records SET created = created + 1", "the record of submission 1 is not as"),
        ("UPDATE records SET submission = 3 WHERE submission = 1", "submission 3 was never"),
        ("DELETE FROM records WHERE submission = 1", "the record of submission 1 is missing"),
        (
            "INSERT INTO records (id,board,submission,score,created) VALUES (9,'spring',1,1,1)",
            "submission 1 is not as it was",
        ),
    ],
)
def test_what_was_changed_is_found(filled, change, found):
    with behind_its_back(filled) as connection:
        connection.execute(sa.text(change))
    told = filled.store.verify()
    assert any(found in fault for fault in told), told


def test_a_submission_that_is_gone_is_found(filled):
    with behind_its_back(filled) as connection:
        connection.execute(sa.text("DELETE FROM files WHERE submission = 3"))
        connection.execute(sa.text("DELETE FROM submissions WHERE id = 3"))
    assert filled.store.verify() == ["submission 3 is gone; the log tells of it"]


def test_a_shortened_log_with_a_forged_end_is_found_by_a_kept_head(filled):
    kept = filled.store.events.head()
    with behind_its_back(filled) as connection:
        last = sa.text("SELECT previous FROM events WHERE id = :id")
        previous = connection.execute(last, {"id": kept.length}).scalar()
        connection.execute(sa.text("DELETE FROM events WHERE id = :id"), {"id": kept.length})
        connection.execute(
            sa.text("UPDATE chain SET length = :length, hash = :hash"),
            {"length": kept.length - 1, "hash": previous},
        )
        connection.execute(sa.text("DELETE FROM files WHERE submission = 3"))
        connection.execute(sa.text("DELETE FROM submissions WHERE id = 3"))
    assert filled.store.verify() == []
    (fault,) = filled.store.verify(kept)
    assert f"event {kept.length} is not the one whose hash was kept" in fault


def test_a_kept_head_of_earlier_still_holds(filled):
    kept = filled.store.events.head()
    filled.hand_in("d")
    assert filled.store.verify(kept) == []
    assert filled.store.verify(Head(0, "0" * 64)) == []
    assert filled.store.verify(Head(kept.length, "0" * 64)) != []


def test_a_changed_file_is_found(filled):
    path = next(p for p in filled.store.artefacts.folder.rglob("*") if p.is_file())
    path.write_bytes(b"changed")
    (fault,) = filled.store.verify()
    assert path.name in fault
    assert filled.store.verify(files=False) == []


def test_a_change_that_failed_leaves_no_event(house):
    before = house.store.events.head()

    def write_and_fail() -> None:
        with house.store.database.write() as connection:
            append(connection, 1.0, "somebody", "try", "something")
            connection.execute(sa.text("INSERT INTO boards (name) VALUES ('half')"))

    with pytest.raises(DBAPIError):
        write_and_fail()
    assert house.store.events.head() == before


def test_reading_by_subject_and_by_page(filled):
    actions = [event.action for event in filled.store.events.read("submission 1")]
    assert actions == ["verify", "begin", "receive"]
    last = filled.store.events.read(limit=2)
    then = filled.store.events.read(limit=1000, before=last[-1].id)
    assert [event.id for event in (*last, *then)] == list(
        range(filled.store.events.head().length, 0, -1)
    )


def test_notes_of_others(house):
    house.store.events.note("operator", "serve", "server", workers=4)
    (event, *_) = house.store.events.read(limit=1)
    assert (event.actor, event.action, event.detail) == ("operator", "serve", '{"workers":4}')
