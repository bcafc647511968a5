"""Where jobs are done: on a Ray cluster, one machine or many. The only module that imports Ray.

Ray starts the workers, moves jobs and results, and repeats a job whose worker or machine has died.
Results come back to the process that plans, which alone writes; so the machines need the same
checkout at the same path, but no common place for results. See `docs/cluster.md`.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from baselines.costs import estimates
from baselines.engines import Ended
from baselines.plan import Run
from baselines.work import work
from neurotasks.errors import MissingExtra, NeurotasksError

__all__ = ["Cluster", "NoCluster", "connect"]

_RETRIES = 3  # of a job whose worker or machine dies
_SECONDS = 10.0  # to wait for an answer from an address
_HEALTH = "/grpc.health.v1.Health/Check"  # the question that gRPC servers answer by convention
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # Ray reports home otherwise
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # jobs without a GPU keep what they see
}


class NoCluster(NeurotasksError, ConnectionError):
    """No Ray cluster answers at an address."""


@dataclass(frozen=True)
class Cluster:
    """A Ray cluster that this process has joined.

    Attributes:
        workers: How many cores it has.
        gpus: How many GPUs.
    """

    workers: int
    gpus: int

    def run(self, jobs: Sequence[Run]) -> Iterator[Ended]:
        """Do jobs, long ones first, each on one core, and yield each as it ends."""
        ray = _ray()
        remote = ray.remote(num_cpus=1, max_retries=_RETRIES)(work)
        waiting: dict[Any, Run] = {}
        for _, job in sorted(zip(estimates(jobs), jobs, strict=True), key=lambda j: -j[0]):
            gpus = 1 if self.gpus and job.on_gpu else 0
            waiting[
                remote.options(num_gpus=gpus, name=f"{job.agent} on {job.task}").remote(job)
            ] = job
        while waiting:
            (reference,), _ = ray.wait(list(waiting), num_returns=1)
            yield _ended(waiting.pop(reference), reference)


@contextmanager
def connect(address: str | None, workers: int) -> Iterator[Cluster]:
    """Join a cluster for a block, or start one on this machine and stop it afterwards.

    Args:
        address: "auto" (the cluster of this machine), "host:port" or "ray://host:port"; None
            starts one.
        workers: How many jobs side by side, if one is started.

    Raises:
        MissingExtra: Ray is not installed.
        NoCluster: No cluster answers there.
    """
    ray = _ray()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    how = {"logging_level": "error", "log_to_driver": False}
    if address is None:
        ray.init("local", num_cpus=workers, include_dashboard=False, **how)
    else:
        _join(ray, address, how)
    try:
        has = ray.cluster_resources()
        yield Cluster(int(has.get("CPU", 1)), int(has.get("GPU", 0)))
    finally:
        ray.shutdown()


def _join(ray: Any, address: str, how: dict[str, Any]) -> None:
    """Join a running cluster.

    Raises:
        NoCluster: None answers.
    """
    place = _last_started() if address == "auto" else address
    reason = "" if place == "auto" else _silence(place)
    cure = "start one with `ray start --head`, or leave --address out"
    if not reason:
        try:
            ray.init(address, **how)  # of "auto" it knows more, such as whether to show a token
        except (ConnectionError, RuntimeError) as error:
            reason = str(error).split("\n")[0]
            if place != "auto":
                cure = "one is there; if it asks for a token, set RAY_AUTH_MODE=token"
    if reason:
        raise NoCluster(f"no Ray cluster answers at {place}: {reason}; {cure}")


def _last_started() -> str:
    """Return the address of this machine's latest cluster, which may have died; else "auto".

    The places are those that Ray documents for `ray.init`.
    """
    folder = os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()
    note = Path(folder, "ray", "ray_current_cluster")
    told = note.read_text().strip() if note.is_file() else ""
    return os.environ.get("RAY_ADDRESS") or told or "auto"


def _silence(address: str) -> str:
    """Return why an address is not Ray's, or "" if it may be.

    Ray itself asks an open port of another program for minutes, a dead cluster for longer still.

    Raises:
        NoCluster: It is no address.
        MissingExtra: gRPC, by which Ray's programs talk, is not installed.
    """
    place = address.removeprefix("ray://")
    host, _, port = place.rpartition(":")
    if not host or not port.isdecimal():
        raise NoCluster(f"{address!r} is no address: give auto, host:port or ray://host:port")
    if os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true"):
        return ""  # it answers only who shows a certificate, as Ray will
    try:
        import grpc  # noqa: PLC0415 - loads slowly
    except ModuleNotFoundError as error:
        raise MissingExtra("grpcio", "cluster") from error
    with grpc.insecure_channel(place, [("grpc.enable_http_proxy", 0)]) as channel:
        try:
            channel.unary_unary(_HEALTH)(b"", timeout=_SECONDS)
        except grpc.RpcError as error:
            others = {
                "DEADLINE_EXCEEDED": f"it said nothing for {_SECONDS:g} seconds",
                "UNAVAILABLE": " ".join(str(error.details()).split()),
                "UNIMPLEMENTED": "" if place != address else "its port is that of another service",
            }
            return others.get(error.code().name, "")
    return ""


def _ended(job: Run, reference: Any) -> Ended:
    """Return how a job ended; whatever its failure, it stops no other."""
    ray = _ray()
    try:
        return Ended(job, ray.get(reference))
    except ray.exceptions.RayTaskError as error:
        return Ended(job, None, error.cause)
    except ray.exceptions.RayError as error:
        return Ended(job, None, error)


def _ray() -> Any:
    """Import Ray with its messages home switched off.

    Raises:
        MissingExtra: It is not installed.
    """
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    try:
        import ray  # noqa: PLC0415 - loads slowly
    except ModuleNotFoundError as error:
        raise MissingExtra("ray", "cluster") from error
    return ray
