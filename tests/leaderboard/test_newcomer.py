"""A newcomer's way, as the README has it: train, pack, check, hand in, see the row verified."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

pytest.importorskip("torch")
pytest.importorskip("uvicorn")

TASK = "OrientationDecoding-v0"
NEUROTASKS = (sys.executable, "-c", "import sys; from neurotasks.cli import main; sys.exit(main())")


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def say(*words, **environment):
    """Run a command in the checkout and return what it says."""
    done = subprocess.run(  # noqa: S603 - our own code
        words, capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def server(tmp_path):
    """Open a board for a class and serve it; yield its address and the join token."""
    store = f"sqlite:///{tmp_path / 'board.db'}"
    board = (sys.executable, "-m", "leaderboard")
    told = say(*board, "open-board", "class", "--db", store, "--tasks", "Orientation*")
    (token,) = re.findall(r"ntj_\S+", told)
    port = free_port()
    words = ("serve", "--db", store, "--port", str(port), "--workers", "1")
    process = subprocess.Popen(  # noqa: S603 - our own code
        (*board, *words), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(f"{address}/healthz")
        yield address, token
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, "the server ends by itself"


def wait_for(url, seconds=60):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own server
                return answer.read()
        except OSError:
            time.sleep(0.2)
    raise TimeoutError(url)


def test_from_training_to_a_verified_row(server, tmp_path):
    address, join_token = server
    out, packed = tmp_path / "runs", tmp_path / "handed-in"
    words = ("--task", TASK, "--agent", "mlp", "--budget", "smoke", "--device", "cpu", "--models")
    say(sys.executable, "-m", "baselines", "run", *words, "--out", str(out))
    joined = say(*NEUROTASKS, "join", join_token, "--to", address, "--name", "ada")
    token = joined.split()[-1]
    say(*NEUROTASKS, "pack", str(out / TASK / "mlp.json"), "--out", str(packed), "--name", "ada 1")
    assert "nothing is wrong" in say(*NEUROTASKS, "check", str(packed))
    words = ("submit", str(packed), "--to", address, "--wait")
    told = say(*NEUROTASKS, *words, NEUROTASKS_TOKEN=token)
    assert told.splitlines()[-1] == "verified"
    found = json.loads(wait_for(f"{address}/api/boards/class/standings?task={TASK}"))
    (row,) = [row for row in found["rows"] if row["agent"] == "ada 1"]
    assert row["rank"] == 1
    assert row["private_score"] > 0.9
    assert token not in wait_for(f"{address}/").decode()
