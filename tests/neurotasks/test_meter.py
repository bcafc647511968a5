from __future__ import annotations

import sys
import time
from types import SimpleNamespace

import pytest

from neurotasks import meter as module
from neurotasks.meter import Nvml, Rapl, meter


def write(folder, package, joules, length=200.0, name="package-0"):
    """Write the counters of a package as Linux shows them, in microjoules."""
    (folder / package).mkdir(exist_ok=True)
    (folder / package / "name").write_text(f"{name}\n")
    for file, value in (("max_energy_range_uj", length), ("energy_uj", joules)):
        (folder / "next").write_text(f"{round(value * 1e6)}\n")
        (folder / "next").replace(folder / package / file)  # a reader sees no half a number


class NVMLError(Exception):
    """The root of the library's errors."""


class NVMLErrorNotSupported(NVMLError):
    """What an old device answers."""


class Library:
    """Stands in for pynvml: two GPUs, which count their energy if they are new."""

    NVMLError, NVMLError_NotSupported = NVMLError, NVMLErrorNotSupported

    def __init__(self, *, counts=True):
        self.counts, self.started, self.lost = counts, 0, False
        self.millijoules = {"GPU-a": 1000, "GPU-b": 5000}
        self.milliwatts = 200_000

    def nvmlInit(self):  # noqa: N802 - the library's name
        self.started += 1

    def nvmlDeviceGetHandleByUUID(self, uuid):  # noqa: N802 - the library's name
        if uuid not in self.millijoules:
            raise NVMLError(f"no {uuid}")
        return uuid

    def nvmlDeviceGetTotalEnergyConsumption(self, gpu):  # noqa: N802 - the library's name
        if not self.counts:
            raise NVMLErrorNotSupported
        if self.lost:
            raise NVMLError("the GPU is lost")
        return self.millijoules[gpu]

    def nvmlDeviceGetPowerUsage(self, gpu):  # noqa: N802 - the library's name
        return self.milliwatts


@pytest.fixture
def powercap(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "POWERCAP", tmp_path)
    return tmp_path


@pytest.fixture
def library(monkeypatch):
    stand_in = Library()
    monkeypatch.setitem(sys.modules, "pynvml", stand_in)
    return stand_in


def test_without_counters_the_energy_is_an_estimate_of_busy_time(powercap):
    with meter() as cost:
        sum(range(10**6))
    assert cost.seconds > 0
    assert cost.cpu_seconds > 0
    assert cost.energy_kwh == pytest.approx(cost.cpu_seconds * 4.0 / 3.6e6)
    assert cost.energy_method == "estimate: 4 W per busy thread"


def test_a_meter_adds_up_over_blocks(powercap):
    cost = meter()
    with cost:
        sum(range(10**5))
    first = cost.seconds
    with cost:
        sum(range(10**5))
    assert cost.seconds > first
    assert cost.energy_kwh == pytest.approx(cost.cpu_seconds * 4.0 / 3.6e6)


def test_packages_are_summed_and_their_parts_left_out(powercap):
    write(powercap, "intel-rapl:0", 10)
    write(powercap, "intel-rapl:1", 20)
    write(powercap, "intel-rapl:2", 100, name="psys")  # the platform, packages included
    write(powercap, "intel-rapl:0:0", 5, name="core")  # the cores of package 0, counted in it
    with meter() as cost:
        write(powercap, "intel-rapl:0", 16)
        write(powercap, "intel-rapl:1", 21)
        write(powercap, "intel-rapl:2", 150, name="psys")
        write(powercap, "intel-rapl:0:0", 50, name="core")
    assert cost.energy_kwh == pytest.approx(7.0 / 3.6e6)
    assert cost.energy_method == "rapl"


def test_a_counter_wraps_around_at_its_own_range(powercap):
    write(powercap, "intel-rapl:0", 190, length=200)
    write(powercap, "intel-rapl:1", 190, length=500)
    rapl = Rapl(powercap)
    for joules in (15, 195, 10):  # 25 over the edge, 180, 15 over the edge
        write(powercap, "intel-rapl:0", joules, length=200)
        rapl.look()
    assert rapl.joules == pytest.approx(25 + 180 + 15)


def test_a_wrap_in_the_middle_of_a_long_block_is_seen(powercap, monkeypatch):
    monkeypatch.setattr(module, "PERIOD", 0.002)
    write(powercap, "intel-rapl:0", 10, length=100)
    rapl = Rapl(powercap)
    monkeypatch.setattr(module, "Rapl", lambda _: rapl)
    with meter() as cost:
        for joules in (60, 5, 55, 12):  # twice around: the two ends alone show 2 joules
            before = rapl.joules
            write(powercap, "intel-rapl:0", joules, length=100)
            while rapl.joules == before:
                time.sleep(0.001)
    assert cost.energy_kwh * 3.6e6 == pytest.approx(202.0)


def test_counters_that_only_root_may_read_are_estimated(powercap):
    write(powercap, "intel-rapl:0", 10)
    (powercap / "intel-rapl:0" / "energy_uj").unlink()
    with meter() as cost:
        pass
    assert cost.energy_method.startswith("estimate")


def test_a_counter_that_fails_half_way_is_estimated(powercap):
    write(powercap, "intel-rapl:0", 10)
    with meter() as cost:
        (powercap / "intel-rapl:0" / "energy_uj").unlink()
    assert cost.energy_method == "estimate: 4 W per busy thread"
    assert cost.energy_kwh == pytest.approx(cost.cpu_seconds * 4.0 / 3.6e6)


def test_the_gpus_in_use_are_added_and_no_others(powercap, library):
    write(powercap, "intel-rapl:0", 10)
    with meter(["GPU-b"]) as cost:
        library.millijoules.update({"GPU-a": 9000, "GPU-b": 7500})
    assert cost.energy_kwh == pytest.approx(2.5 / 3.6e6)
    assert cost.energy_method == "rapl + nvml"


def test_a_run_without_gpus_asks_for_none(powercap, library):
    with meter() as cost:
        pass
    assert library.started == 0
    assert "nvml" not in cost.energy_method


def test_old_gpus_are_integrated_over_their_power(monkeypatch):
    library, clock = Library(counts=False), SimpleNamespace(now=0.0)
    monkeypatch.setattr(module.time, "perf_counter", lambda: clock.now)
    nvml = Nvml(library, ["GPU-a"])
    clock.now, library.milliwatts = 2.0, 100_000
    nvml.look()
    clock.now = 3.0
    nvml.look()
    assert nvml.joules == pytest.approx(2.0 * 150 + 1.0 * 100)


@pytest.mark.parametrize("fault", ["missing", "unknown", "lost"])
def test_gpus_that_tell_nothing_are_estimated(powercap, library, monkeypatch, fault):
    if fault == "missing":
        monkeypatch.setitem(sys.modules, "pynvml", None)  # as if it were not installed
    with meter(["GPU-c" if fault == "unknown" else "GPU-a"]) as cost:
        library.lost = fault == "lost"
        time.sleep(0.01)
    assert cost.energy_method == "estimate: 4 W per busy thread + estimate: 300 W per GPU"
    expected = (cost.cpu_seconds * 4.0 + cost.seconds * 300.0) / 3.6e6
    assert cost.energy_kwh == pytest.approx(expected)


@pytest.mark.gpu
def test_a_gpu_at_work_uses_energy():
    torch = pytest.importorskip("torch")
    from agents.devices import choose_device, gpus  # noqa: PLC0415 - only where there is a GPU

    names = gpus(choose_device("cuda"))
    x = torch.ones(4096, 4096, device="cuda")
    with meter(names) as cost:
        until = time.perf_counter() + 2.0
        while time.perf_counter() < until:
            (x @ x).sum().item()
    assert cost.energy_method.endswith("nvml")
    assert cost.energy_kwh * 3.6e6 > 2.0 * 50, "watts of a GPU at work"
