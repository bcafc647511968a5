"""Print what `make bench` measured, and say which ratios miss or have fallen.

    python tests/benchmarks/report.py benchmarks.json
    python tests/benchmarks/report.py benchmarks.json --against tests/benchmarks/committed.json

With `--against`, exits with 1 when a ratio is less than the committed one divided by 1.5, and
writes the names of the tests to be measured once more to `--again`. Committed ratios that were not
measured are passed over, as the long ones are in a short check; `--whole` names them.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

LIMIT = 1.5


def main() -> int:
    """Print the table and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("measured", type=Path)
    parser.add_argument("--against", type=Path, help="committed ratios to hold")
    parser.add_argument("--commit", type=Path, help="keep the lower ratios here")
    parser.add_argument("--again", type=Path, help="write the test ids of fallen ratios here")
    parser.add_argument("--whole", action="store_true", help="name what was not measured")
    options = parser.parse_args()
    rows = [
        {**entry["extra_info"], "test": entry["fullname"]}
        for entry in json.loads(options.measured.read_text())["benchmarks"]
        if "ratio" in entry["extra_info"]
    ]
    there = options.against is not None and options.against.exists()
    committed = json.loads(options.against.read_text()) if there else {}
    print(f"{'name':44} {'ratio':>8}  {'spread':>17}  {'target':>6}  {'committed':>9}")  # noqa: T201
    for row in rows:
        print(line(row, committed.get(row["name"])))  # noqa: T201
    absent = sorted(committed.keys() - {row["name"] for row in rows})
    if options.whole and absent:
        print(f"not measured: {', '.join(absent)}; are recorded data missing?")  # noqa: T201
    if options.commit:
        ratios = json.loads(options.commit.read_text()) if options.commit.exists() else {}
        for row in rows:  # the lowest of several runs: a lucky one would accuse every later run
            ratio = float(f"{row['ratio']:.3g}")
            ratios[row["name"]] = min(ratio, ratios.get(row["name"], ratio))
        options.commit.write_text(json.dumps(ratios, indent=1, sort_keys=True) + "\n")
    fallen = [row for row in rows if has_fallen(row["ratio"], committed.get(row["name"]))]
    if options.again:
        options.again.write_text("\n".join(row["test"] for row in fallen))
    return 1 if fallen else 0


def has_fallen(ratio: float, committed: float | None) -> bool:
    """Say whether a ratio has fallen below what is allowed."""
    return committed is not None and ratio < committed / LIMIT


def line(row: dict, committed: float | None) -> str:
    """Return one line of the table."""
    target = row["target"]
    low, high = row["spread"]
    word = "" if target is None or row["ratio"] >= target else "  MISSES its target"
    if has_fallen(row["ratio"], committed):
        word += f"  HAS FALLEN by more than {LIMIT:g} x"
    numbers = f"{row['ratio']:8.3f}  {low:8.3f}-{high:<8.3f}"
    kept = "" if committed is None else f"{committed:.3f}"
    return f"{row['name']:44} {numbers}  {target or '':>6}  {kept:>9}{word}"


if __name__ == "__main__":
    sys.exit(main())
