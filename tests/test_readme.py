"""The README is true: its example runs, its commands and names exist."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

import neurotasks
from baselines.__main__ import main as baselines_main
from neurotasks.cli import main


@pytest.fixture(scope="module")
def readme(request):
    return (request.config.rootpath / "README.md").read_text(encoding="utf-8")


def test_the_ten_lines_run_as_they_stand(readme):
    (code,) = re.findall(r"```python\n(.*?)```", readme, flags=re.DOTALL)
    assert len([line for line in code.splitlines() if line.strip()]) == 10
    done = subprocess.run(  # noqa: S603 - our own README
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    degrees = float(done.stdout.split()[0])
    assert 3.5 < degrees < 6.0, "the ideal observer's error"


def test_every_task_is_in_the_table_and_every_name_in_it_is_a_task(readme):
    table = readme[readme.index("| topic |") : readme.index("Recorded data come")]
    named = re.findall(r"`([A-Za-z0-9…]+)`", table)
    labels = {card.label.removesuffix("-v0") for card in neurotasks.cards()}
    whole = {n.replace("…", "ContinualCORe50") if n.startswith("…") else n for n in named}
    assert whole == labels


def test_its_commands_are_known(readme, capsys, request):
    makefile = (request.config.rootpath / "Makefile").read_text(encoding="utf-8")
    assert main(["list"]) == 0
    assert main(["show", "OrientationDecoding-v0"]) == 0
    assert baselines_main(["list"]) == 0
    shown = capsys.readouterr().out
    for card in neurotasks.cards():
        assert card.label in shown
    for target in re.findall(r"make (\w+)", readme.replace("make_vec", "").replace("`make`", "")):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
