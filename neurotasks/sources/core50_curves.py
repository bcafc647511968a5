"""CORe50's published curves: accuracy on the whole test set after each batch, by strategy.

One file for each of the scenarios NI, NC and NIC: blocks of one network and strategy, with a line
for each run and a value in percent, with a decimal comma, for each batch. The lines "avg" and
"dev.std" that follow the runs are left out: they average the runs 0 to 8 even where there are ten.
Mean and spread are taken over all runs of a block, of which there are ten, but five (NC) and three
(NIC) of cumulative training.

Prepared arrays, one for each block: "<scenario>, <strategy>, <network>", (2, batches) float64, the
mean and the standard deviation over runs as fractions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from neurotasks.errors import CorruptData, DataError
from neurotasks.sources._source import File, Source
from neurotasks.videos import BATCHES

__all__ = ["SCENARIOS", "SOURCE", "curves", "prepare"]

SCENARIOS = ("NI", "NC", "NIC")

_NETWORKS = {"mid-caffenet": "Mid-CaffeNet", "mid-vgg": "Mid-VGG"}
_STRATEGIES = {
    "naive": "naive",
    "cumulative": "cumulative",
    "copyweights_with_reinit": "CWR",
    "copyweights": "copy weights",
    "freezeweights": "freeze weights",
}


def prepare(raw: Path) -> dict[str, NDArray[np.float64]]:
    """Return mean and standard deviation over runs of each block of the three files.

    Raises:
        CorruptData: A line has more or fewer values than the scenario has batches.
    """
    found = {}
    for scenario in SCENARIOS:
        path = raw / f"{scenario}.tsv"
        for name, runs in _blocks(path, path.read_text(encoding="ascii")):
            if any(len(run) != BATCHES[scenario] for run in runs):
                raise CorruptData(
                    f"{path}: {name} needs {BATCHES[scenario]} values in each line, and has "
                    f"{sorted({len(run) for run in runs})}"
                )
            table = np.array(runs) / 100
            found[f"{scenario}, {name}"] = np.stack([table.mean(axis=0), table.std(axis=0, ddof=1)])
    return found


def _blocks(path: Path, text: str) -> Iterator[tuple[str, list[list[float]]]]:
    """Yield the name of each block and its runs in percent."""
    facts: dict[str, str] = {}
    runs: list[list[float]] = []
    for line in [*text.splitlines(), "# net: end"]:
        key, _, value = line.lstrip("# ").partition(": ")
        first, *values = line.split("\t")
        if line.startswith("#") and value:
            if runs:
                yield _name(path, facts), runs
                runs = []
            facts[key] = value
        elif first.isdecimal():
            runs.append([float(cell.rstrip("%").replace(",", ".")) for cell in values])


def _name(path: Path, facts: Mapping[str, str]) -> str:
    try:
        return f"{_STRATEGIES[facts['strategy']]}, {_NETWORKS[facts['net']]}"
    except KeyError as error:
        raise CorruptData(f"{path}: {error} is no strategy or network that is known") from error


def curves(scenario: str) -> Mapping[str, NDArray[np.float64]]:
    """Return the published curves of a scenario.

    Returns:
        By name, such as "cumulative, Mid-CaffeNet", (2, batches): mean and standard deviation over
        runs of the accuracy after each batch.

    Raises:
        DataError: Nothing is published for this scenario.
        MissingData: The files are not in the cache.
    """
    if scenario not in SCENARIOS:
        raise DataError(f"no curves are published for {scenario!r}; there are {SCENARIOS}")
    start = f"{scenario}, "
    arrays = SOURCE.load()
    found = {name.removeprefix(start): arrays[name] for name in arrays if name.startswith(start)}
    return MappingProxyType(found)


_FILES = {
    "NI": (3532, "045233270f0f17ea3866ac383744e58c5595499a6b32b6871d64df447059d825"),
    "NC": (7061, "375f0b5322714021d9de8e23b957fe0904b822ee55689b7f16c441be01ebc321"),
    "NIC": (35797, "2bd91200517099b3f7cb1c35cc33d5bea2e1edc689fba1f4e9b01c463f039dbd"),
}

SOURCE = Source(
    name="core50_curves",
    title="CORe50, published curves",
    homepage="https://vlomonaco.github.io/core50",
    licence="CC BY 4.0",
    citation="Lomonaco, Maltoni (2017), CORe50: a new dataset and benchmark for continuous object "
    "recognition, Conference on Robot Learning, PMLR 78:17",
    files=tuple(
        File(
            f"{scenario}.tsv",
            f"https://vlomonaco.github.io/core50/data/{scenario}.tsv",
            size,
            f"sha256:{digest}",
        )
        for scenario, (size, digest) in _FILES.items()
    ),
    prepare=prepare,
)
