"""The README is true: its example runs, its commands and names exist."""

from __future__ import annotations

import itertools
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


def spelt_out(words):
    """Return what a name with braces stands for, as in a shell: a{b,c} is ab and ac."""
    parts = [part.split(",") for part in re.split(r"[{}]", words)]
    return ["".join(choice) for choice in itertools.product(*parts)]


def test_every_task_is_in_the_table_and_every_name_in_it_is_a_task(readme):
    lines = [line for line in readme.splitlines() if line.startswith("| ")]
    table = "\n".join(lines[lines.index(next(x for x in lines if x.startswith("| topic |"))) :])
    named = [n for words in re.findall(r"`([A-Za-z0-9{},]+)`", table) for n in spelt_out(words)]
    labels = {card.label.removesuffix("-v0") for card in neurotasks.cards()}
    assert set(named) == labels
    assert len(named) == len(labels)


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
