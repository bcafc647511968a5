"""A real Ray cluster of two nodes, started as processes on this machine."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from baselines import cluster
from baselines.__main__ import main
from baselines.cluster import NoCluster, connect
from neurotasks.errors import MissingExtra
from neurotasks.results import read_results

ROOT = Path(__file__).parents[2]
WORDS = "--task OrientationDecoding-v0 --agent [tmir][rlid]* --seeds 3 --budget smoke --device cpu"
MARK = "NEUROTASKS_TEST_CLUSTER"


@pytest.fixture
def two_nodes(tmp_path, monkeypatch):
    """Start a cluster of two nodes of one core each, known by a mark in their environment."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster  # noqa: PLC0415 - loads slowly

    monkeypatch.setenv(MARK, str(tmp_path))
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        cluster.add_node(num_cpus=1)
        yield cluster
    finally:
        cluster.shutdown()


def command(out, *words):
    line = ["-m", "baselines", "run", *WORDS.split(), *words, "--out", str(out)]
    return [sys.executable, *line]


def numbers(folder):
    """Return all that a result says, except what it cost and on what."""
    unequal = {"seconds": 0.0, "cpu_seconds": 0.0, "energy_kwh": 0.0, "hardware": ""}
    return {(r.task, r.agent): replace(r, **unequal) for r in read_results(folder)}


def workers(mark):
    """Return the processes of Ray that do a job now."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes()
            environment = (process / "environ").read_bytes()
        except OSError:  # it has ended, or is another user's
            continue
        if re.match(rb"ray::\w+ on Orientation", line) and mark.encode() in environment:
            found.append(int(process.name))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["worker", "node"])
def test_with_a_worker_or_a_node_killed_nothing_is_lost_and_nothing_done_twice(
    tmp_path, two_nodes, victim
):
    address = ["--engine", "ray", "--address", two_nodes.address]
    process = subprocess.Popen(  # noqa: S603 - our own code
        command(tmp_path / "ray", *address),
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 120
    while not list((tmp_path / "ray").rglob("*.json")) and time.monotonic() < deadline:
        time.sleep(0.02)
    if victim == "node":
        two_nodes.remove_node(two_nodes.worker_nodes.copy().pop(), allow_graceful=False)
    else:
        while not (found := workers(str(tmp_path))):
            time.sleep(0.01)
        os.kill(found[0], signal.SIGKILL)
    said, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    jobs = [line.split("scored")[0] for line in said.splitlines() if "  scored " in line]
    assert len(jobs) == len(set(jobs)), "no job is reported twice"
    done = subprocess.run(  # noqa: S603 - our own code
        command(tmp_path / "local", "--jobs", "2"), cwd=ROOT, capture_output=True, check=False
    )
    assert done.returncode == 0
    assert numbers(tmp_path / "ray") == numbers(tmp_path / "local")


@pytest.mark.slow
def test_without_an_address_a_cluster_is_started_and_stopped(tmp_path):
    words = ["--engine", "ray", "--jobs", "2"]
    done = subprocess.run(  # noqa: S603 - our own code
        command(tmp_path, *words), cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len(list(read_results(tmp_path))) == 4


def test_without_ray_the_extra_is_named(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtra, match=r"neurotasks\[cluster\]"), connect(None, 1):
        pass
    assert main(["run", "--engine", "ray", "--out", str(tmp_path)]) == 2
    assert "'cluster'" in capsys.readouterr().err


@pytest.mark.parametrize("address", ["nonsense", "host:port", "ray://"])
def test_what_is_no_address_is_refused(address):
    pytest.importorskip("ray")
    with pytest.raises(NoCluster, match="is no address"), connect(address, 1):
        pass


def test_an_address_where_nothing_answers_is_one_line(tmp_path, capsys):
    pytest.importorskip("ray")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        words = ["--engine", "ray", "--address", f"127.0.0.1:{port}", "--out", str(tmp_path)]
        assert main(["run", *words]) == 2
    said = capsys.readouterr().err
    assert f"no Ray cluster answers at 127.0.0.1:{port}" in said
    assert "ray start --head" in said
    assert said.count("\n") == 1


@pytest.fixture
def silent(monkeypatch):
    """Return the address of a program that takes calls and says nothing."""
    pytest.importorskip("ray")
    monkeypatch.setattr(cluster, "_SECONDS", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_an_open_port_that_is_not_rays_is_left_soon(silent, scheme):
    begin = time.monotonic()
    said = f"{silent}: it said nothing for 1 seconds; start one"
    with pytest.raises(NoCluster, match=said), connect(scheme + silent, 1):
        pass
    assert time.monotonic() - begin < 10


def test_a_port_of_another_service_is_refused():
    pytest.importorskip("ray")
    grpc = pytest.importorskip("grpc")
    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with pytest.raises(NoCluster, match="another service"), connect(f"127.0.0.1:{port}", 1):
            pass
    finally:
        server.stop(None)


@pytest.mark.parametrize("told", ["note", "variable"])
def test_auto_names_the_cluster_that_died(silent, told, tmp_path, monkeypatch):
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text(silent if told == "note" else "no:1")
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.setenv("RAY_ADDRESS", silent if told == "variable" else "")
    with pytest.raises(NoCluster, match=f"at {silent}"), connect("auto", 1):
        pass


def test_an_address_is_of_a_cluster(tmp_path, capsys):
    assert main(["run", "--address", "auto", "--out", str(tmp_path)]) == 2
    assert "add --engine ray" in capsys.readouterr().err
