"""A store on either database, PostgreSQL on a server of the tests' own from Debian's package."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from leaderboard.store import Job, open_store
from tests.leaderboard.stores import Clock, House, Place

_FOUND = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
_PATIENCE = 60.0  # seconds until it answers
_FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")  # it need not last


@pytest.fixture(scope="session")
def new_database() -> Iterator[Callable[[], str]]:
    """Return what makes a new empty database and returns its address."""
    psycopg = pytest.importorskip("psycopg")
    if not _FOUND:
        pytest.skip("there is no PostgreSQL here: apt-get install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    try:
        server = _start(folder)
        try:
            where = f"host={folder} user=board"
            _wait(server, lambda: psycopg.connect(f"{where} dbname=postgres").close())
            numbers = itertools.count()

            def make() -> str:
                name = f"board{next(numbers)}"  # a schema is made faster than a database
                with psycopg.connect(f"{where} dbname=postgres", autocommit=True) as connection:
                    connection.execute(f"CREATE SCHEMA {name}")
                path = f"options=-csearch_path%3D{name}"
                return f"postgresql+psycopg://board@/postgres?host={folder}&{path}"

            yield make
        finally:
            server.send_signal(signal.SIGINT)  # a fast shutdown
            server.wait(_PATIENCE)
    finally:
        shutil.rmtree(folder)


def _start(folder: Path) -> subprocess.Popen[bytes]:
    programs, data = _FOUND[-1].parent, folder / "data"
    words = {}
    if os.geteuid() == 0:  # the server refuses to be root
        user = next(u for u in pwd.getpwall() if u.pw_name in ("postgres", "nobody") and u.pw_uid)
        os.chown(folder, user.pw_uid, user.pw_gid)
        words = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": ()}
    init = [programs / "initdb", "-D", data, "-A", "trust", "-U", "board", "-E", "UTF8",
            "--locale=C", "--no-sync"]  # fmt: skip
    subprocess.run(  # noqa: S603 - fixed words
        init, check=True, capture_output=True, cwd=folder, **words
    )
    options = [word for setting in _FAST for word in ("-c", setting)]
    serve = [programs / "postgres", "-D", data, "-k", folder, "-c", "listen_addresses=", *options]
    log = (folder / "log").open("wb")
    with log:
        return subprocess.Popen(  # noqa: S603 - fixed words
            serve, cwd=folder, stdout=log, stderr=log, **words
        )


def _wait(server: subprocess.Popen[bytes], attempt: Callable[[], None]) -> None:
    import psycopg  # noqa: PLC0415 - skipped before where it is absent

    end = time.monotonic() + _PATIENCE
    while True:
        try:
            return attempt()
        except psycopg.OperationalError:
            if time.monotonic() > end or server.poll() is not None:
                raise
            time.sleep(0.05)


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request, tmp_path) -> Place:
    if request.param == "sqlite":
        return Place(f"sqlite:///{tmp_path}/board.db", tmp_path / "artefacts")
    return Place(request.getfixturevalue("new_database")(), tmp_path / "artefacts")


@pytest.fixture
def house(place, tmp_path) -> Iterator[House]:
    clock = Clock()
    with open_store(place.url, place.artefacts, clock) as store:
        store.boards.open("spring", "Spring course", tasks="OrientationDecoding-v0,Image*Digits-v0")
        yield House(store, clock, tmp_path)


@pytest.fixture
def claim(house) -> Callable[[], Job]:
    def one(worker: str = "worker") -> Job:
        job = house.store.queue.claim(worker)
        assert job is not None
        return job

    return one
