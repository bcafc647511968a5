"""What a block of code costs: wall clock, processor time, and energy with how it was found.

Processor packages count their own energy (RAPL, which Linux shows under /sys/class/powercap), and
so do NVIDIA's GPUs (NVML). Both count what the whole device uses, whoever uses it: the energy is
exact for a run that has its machine to itself. Where no counter can be read the energy is estimated
from the time that was busy, and the method says so.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self

__all__ = ["Cost", "Counter", "Nvml", "Rapl", "meter"]

POWERCAP = Path("/sys/class/powercap")
PERIOD = 1.0  # seconds between two looks at the counters; RAPL's wrap around within the hour
WATTS_PER_THREAD = 4.0  # the estimate that CodeCarbon 3 uses where no counter can be read
WATTS_PER_GPU = 300.0  # between a workstation's GPU and a data centre's
_JOULES = 3.6e6  # in a kilowatt hour


class Counter(Protocol):
    """A device that counts its energy.

    Attributes:
        name: What it is called in a result.
        joules: Energy from the first look to the last.
        faults: What is raised when the device can no longer be read.
    """

    name: str
    joules: float
    faults: type[Exception]

    def look(self) -> None:
        """Read the device, and add what it used since the last look."""
        ...


class Rapl:
    """The energy counters of the processor packages, in microjoules; they wrap around.

    Args:
        folder: Where Linux shows them.

    Raises:
        OSError: There is none, or it may not be read (on most machines only by root).
    """

    name = "rapl"
    faults: type[Exception] = OSError

    def __init__(self, folder: Path = POWERCAP) -> None:
        self.joules = 0.0
        zones = sorted(folder.glob("intel-rapl:?"))  # a whole platform can be one more of them
        self._packages = [zone for zone in zones if _text(zone / "name").startswith("package")]
        if not self._packages:
            raise FileNotFoundError(f"there is no energy counter in {folder}")
        self._ranges = [_number(package / "max_energy_range_uj") for package in self._packages]
        self._last = self._read()

    def look(self) -> None:
        """Add what the packages used; a counter that fell has wrapped around once."""
        now = self._read()
        for last, next_, length in zip(self._last, now, self._ranges, strict=True):
            self.joules += (next_ - last if next_ >= last else next_ - last + length) / 1e6
        self._last = now

    def _read(self) -> list[int]:
        return [_number(package / "energy_uj") for package in self._packages]


class Nvml:
    """The energy of some GPUs: their own counters, or else the integral of their power.

    Args:
        library: The module `pynvml`, initialised.
        gpus: UUIDs of the GPUs, as in "GPU-8d4f...".

    Raises:
        pynvml.NVMLError: A GPU is not there, or tells neither its energy nor its power.
    """

    name = "nvml"

    def __init__(self, library: Any, gpus: Sequence[str]) -> None:
        self.joules = 0.0
        self.faults: type[Exception] = library.NVMLError
        self._gpus = [library.nvmlDeviceGetHandleByUUID(gpu) for gpu in gpus]
        try:
            self._get, self._counts = library.nvmlDeviceGetTotalEnergyConsumption, True
            self._last = self._read()
        except library.NVMLError_NotSupported:  # before the Volta generation
            self._get, self._counts = library.nvmlDeviceGetPowerUsage, False
            self._last = self._read()
        self._then = time.perf_counter()

    def look(self) -> None:
        """Add what the GPUs used."""
        now, value = time.perf_counter(), self._read()
        if self._counts:
            self.joules += value - self._last
        else:
            self.joules += (now - self._then) * (value + self._last) / 2
        self._then, self._last = now, value

    def _read(self) -> float:
        """Return joules since the driver was loaded, or watts: both come in thousandths."""
        return sum(float(self._get(gpu)) for gpu in self._gpus) / 1e3


@dataclass
class Cost:
    """What a block of code has cost so far; see `meter`.

    Attributes:
        gpus: UUIDs of the GPUs that the block uses.
        seconds: Wall clock.
        cpu_seconds: Process time.
        energy_kwh: Energy of the processor and of these GPUs.
        energy_method: "rapl" or "estimate ..." for the processor, and where the block uses GPUs
            " + nvml" or " + estimate ..." for them.
    """

    gpus: tuple[str, ...] = ()
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    energy_kwh: float = 0.0
    energy_method: str = ""
    _counters: dict[str, Counter] = field(default_factory=dict, init=False, repr=False)

    def __enter__(self) -> Self:
        """Start the clocks and the counters."""
        self._counters = _open_counters(self.gpus)
        self._ended = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        if self._counters:
            self._watcher.start()
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop them and add what they show."""
        seconds = time.perf_counter() - self._wall
        cpu_seconds = time.process_time() - self._cpu
        self._ended.set()
        if self._watcher.is_alive():
            self._watcher.join()
        self._look()
        self.seconds += seconds
        self.cpu_seconds += cpu_seconds
        parts = [self._energy("rapl", cpu_seconds, WATTS_PER_THREAD, "busy thread")]
        if self.gpus:
            parts.append(self._energy("nvml", seconds * len(self.gpus), WATTS_PER_GPU, "GPU"))
        self.energy_kwh += sum(joules for joules, _ in parts) / _JOULES
        self.energy_method = " + ".join(method for _, method in parts)

    def _energy(self, name: str, busy: float, watts: float, device: str) -> tuple[float, str]:
        """Return joules and their method: of a counter if it was read to the end, else a guess."""
        if name in self._counters:
            return self._counters[name].joules, name
        return busy * watts, f"estimate: {watts:g} W per {device}"

    def _watch(self) -> None:
        """Look at the counters until the block ends, often enough to see every wrap."""
        while not self._ended.wait(PERIOD):
            self._look()

    def _look(self) -> None:
        for counter in list(self._counters.values()):
            try:
                counter.look()
            except counter.faults:  # what it used meanwhile is not known: the estimate is left
                del self._counters[counter.name]


def meter(gpus: Sequence[str] = ()) -> Cost:
    """Return a context manager that measures wall clock, processor time and energy.

    Args:
        gpus: UUIDs of the GPUs that the block uses.
    """
    return Cost(tuple(gpus))


def _open_counters(gpus: Sequence[str]) -> dict[str, Counter]:
    """Return the counters that can be read here, by name."""
    found: list[Counter] = []
    with suppress(OSError):
        found.append(Rapl(POWERCAP))
    if gpus:
        with suppress(ImportError):  # the extra `energy`; without it the GPUs are estimated
            import pynvml  # noqa: PLC0415 - only where a GPU is used

            with suppress(pynvml.NVMLError):
                pynvml.nvmlInit()
                found.append(Nvml(pynvml, gpus))
    return {counter.name: counter for counter in found}


def _number(path: Path) -> int:
    return int(_text(path))


def _text(path: Path) -> str:
    return path.read_text(encoding="ascii").strip()
