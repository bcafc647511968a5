from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from leaderboard import jail, sandbox
from leaderboard.sandbox import Limits, run

ROOT = Path(sandbox.__file__).parents[1]
SMALL = Limits(memory=512 << 20, cpu_seconds=2, wall_seconds=5.0, answer=10_000, descriptors=20)


@pytest.fixture
def child(tmp_path, monkeypatch):
    """Return a function that runs some lines of Python in the sandbox."""
    tmp_path.chmod(0o755)
    folders = sandbox._folders
    monkeypatch.setattr(sandbox, "_folders", lambda data: [*folders(data), str(tmp_path)])
    more = f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\n"
    monkeypatch.setattr(sandbox, "_MAIN", more + sandbox._MAIN)

    def run_lines(lines, limits=SMALL, **request):
        head = "import json, os, sys\n\ndef main():\n    request = json.load(sys.stdin)\n"
        body = textwrap.indent(textwrap.dedent(lines), "    ")
        (tmp_path / "inside.py").write_text(head + body)
        return run("inside", request, limits)

    return run_lines


def test_a_request_goes_in_and_an_answer_comes_out(child):
    outcome = child("print(json.dumps({'twice': 2 * request['number']}))", number=21)
    assert outcome.answer == {"twice": 42}
    assert outcome.reason == ""
    assert 0 < outcome.cpu_seconds < outcome.wall_seconds + 1


def test_a_large_request_and_a_child_that_does_not_read_it(child):
    assert child("print('{}')", words="x" * 5_000_000).answer == {}
    told = child("print(json.dumps([len(request['words'])]))", words="x" * 5_000_000)
    assert told.reason == "gave an answer that is not a JSON object"
    outcome = run("leaderboard.nothing", {"words": "x" * 5_000_000}, SMALL)
    assert "No module named 'leaderboard.nothing'" in outcome.reason


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ("while True: pass", "used more than 2 s of processor time"),
        ("import time; time.sleep(60)", "took longer than 5 s"),
        ("os.close(1); os.close(2); import time; time.sleep(60)", "took longer than 5 s"),
        ("bytearray(1 << 30)", "failed: MemoryError"),
        ("print('x' * 20_000)", "answered more than 10,000 bytes"),
        ("while True: print('x' * 20_000)", "answered more than 10,000 bytes"),
        ("print('no answer')", "gave an answer that is not JSON"),
        ("print('NaN')", "gave an answer that is not JSON"),
        ("print('[' * 5000)", "deeper than 32 levels"),
        ("pass", "gave an answer that is not JSON"),
        ("os.abort()", "was ended by signal SIGABRT"),
        ("os.kill(os.getpid(), 9)", "was ended by signal SIGKILL"),
        ("sys.exit(3)", "failed: it said nothing"),
        ("raise ValueError('\\x1b[2J' + 'x' * 2000)", r"failed: ValueError: ?[2Jxxx"),
        ("print(json.dumps({'error': 'a\\x1b\\n' * 999}))", "failed: a? a? a?"),
        ("sys.stderr.write('x' * 10_000_000); sys.exit(1)", "failed: xxx"),
    ],
)
def test_a_child_is_bounded_and_it_is_said_why(child, lines, reason):
    outcome = child(lines)
    assert outcome.answer is None
    assert reason in outcome.reason
    assert len(outcome.reason) < 1100
    assert outcome.reason.isprintable()
    assert outcome.wall_seconds < 8


@pytest.mark.parametrize("name", ["file", "~/file", "/escaped", "/tmp/escaped"])  # noqa: S108
def test_nothing_can_be_written(child, name):
    lines = f"""
    name = os.path.expanduser({name!r})
    place = os.open(name, os.O_CREAT | os.O_WRONLY)
    try:
        os.write(place, b"x")
    finally:
        os.unlink(name)
    """
    reason = child(lines).reason
    large = "OSError: [Errno 27] File too large" in reason
    assert large or ("[Errno 13] Permission denied" in reason and not name.startswith("/tmp"))  # noqa: S108


def test_descriptors_are_bounded(child):
    assert "Too many open files" in child("[os.dup(0) for _ in range(30)]").reason


def test_the_environment_and_the_folder_are_empty(child, monkeypatch):
    monkeypatch.setenv("SECRET", "token")
    outcome = child(
        """
        held = {"names": sorted(os.environ), "files": os.listdir(), "paths": sys.path,
                "descriptors": len(os.listdir("/proc/self/fd"))}
        print(json.dumps(held))
        """
    )
    assert outcome.answer["names"] == [
        "HOME", "LANG", "MKL_NUM_THREADS", "NEUROTASKS_DATA", "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
    ]  # fmt: skip
    assert outcome.answer["files"] == []
    assert "" not in outcome.answer["paths"]
    assert outcome.answer["descriptors"] == 4  # and the one that lists them


def test_there_is_no_network(child):
    outcome = child(
        """
        with open("/proc/net/dev") as file:
            names = [line.split(":")[0].strip() for line in file if ":" in line]
        print(json.dumps({"devices": names}))
        """
    )
    if outcome.answer["devices"] != ["lo"]:
        pytest.skip("this system lets nobody take the network away")


def test_no_rights_can_be_won_back(child):
    lines = """
    told = dict(line.split(":", 1) for line in open("/proc/self/status"))
    import resource
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    print(json.dumps({"new": told["NoNewPrivs"].strip(), "hard": hard}))
    """
    assert child(lines).answer == {"new": "1", "hard": 0}


def test_processes_that_a_child_leaves_behind_die_with_it(child):
    lines = """
    number = os.fork()
    if number == 0:
        os.close(0), os.close(1), os.close(2)
        import time
        time.sleep(60)
    print(json.dumps({"number": number}))
    """
    number = child(lines).answer["number"]
    for _ in range(50):
        if not Path(f"/proc/{number}").exists() or "Z" in Path(f"/proc/{number}/stat").read_text():
            return
        time.sleep(0.02)
    pytest.fail("it lives on")


def test_a_child_dies_with_its_parent():
    code = (
        "from leaderboard import sandbox; import os, threading\n"
        "sandbox._MAIN = 'print(1 << 30, flush=True); import time; time.sleep(60)'\n"
        "child = sandbox._start('none', '/', sandbox.Limits())\n"
        "child.stdout.readline()\n"
        "print(child.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    number = int(done.stdout)
    for _ in range(50):
        path = Path(f"/proc/{number}/stat")
        if not path.exists() or path.read_text().split()[2] == "Z":
            return
        time.sleep(0.02)
    pytest.fail("it lives on")


@pytest.mark.skipif(os.uname().machine not in jail._CALLS, reason="the calls have other numbers")
@pytest.mark.parametrize("kind", ["AF_INET", "AF_INET6", "AF_UNIX", "AF_NETLINK"])
def test_no_socket_can_be_opened(child, kind):
    reason = child(f"import socket; socket.socket(socket.{kind}, socket.SOCK_DGRAM)").reason
    assert reason == "failed: PermissionError: [Errno 13] Permission denied"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_child_of_root_is_another_user_for_good(child, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("only root reads this")
    secret.chmod(0o600)
    outcome = child(
        """
        told = {"user": os.getresuid(), "group": os.getresgid(), "groups": os.getgroups(),
                "home": os.path.exists(request["hidden"])}
        for name, attempt in {"back": lambda: os.setuid(0), "read": lambda: open(request["secret"]),
                              "jail": lambda: os.chroot("/")}.items():
            try:
                attempt()
            except PermissionError:
                told[name] = "denied"
        import sqlite3  # what was not imported before can be imported still
        print(json.dumps(told))
        """,
        secret=str(secret),
        hidden=str(Path("~/.bashrc").expanduser()),
    )
    assert outcome.reason == ""
    assert outcome.answer == {
        "user": [65_534] * 3, "group": [65_534] * 3, "groups": [], "home": False, "back": "denied",
        "read": "denied", "jail": "denied",
    }  # fmt: skip


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_closed_folder_shows_what_the_child_needs_and_no_more(child, tmp_path, monkeypatch):
    needed, other = tmp_path / "closed" / "deep" / "needed", tmp_path / "closed" / "other"
    for folder in (needed, other):
        folder.mkdir(parents=True)
        (folder / "file").write_text("text")
    (tmp_path / "closed").chmod(0o700)
    told = sandbox._folders
    monkeypatch.setattr(sandbox, "_folders", lambda data: [*told(data), str(needed)])
    lines = """
    found = {root: files for root, _, files in os.walk(request["folder"]) if files}
    print(json.dumps(found))
    """
    assert child(lines, folder=str(tmp_path / "closed")).answer == {str(needed): ["file"]}
    assert (other / "file").read_text() == "text", "our own view stays"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_root_is_warned_where_nobody_else_can_run_python(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(sandbox, "_ROOT", tmp_path)  # without neurotasks in it
    monkeypatch.setattr(sys, "executable", "/bin/false")
    assert sandbox._other_user.__wrapped__(str(tmp_path)) == 0
    assert "submissions are scored by root" in caplog.text
