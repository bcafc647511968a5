from __future__ import annotations

import dataclasses
import re
import shlex
import subprocess
import sys

import pytest

import neurotasks
from baselines.__main__ import _parser
from neurotasks import meter
from neurotasks.results import Result


@pytest.fixture(scope="module")
def running(request):
    return (request.config.rootpath / "docs" / "running.md").read_text(encoding="utf-8")


def test_every_card_has_its_page_and_its_place_in_the_course_map(request, tmp_path):
    script = request.config.rootpath / "docs" / "build.py"
    subprocess.run([sys.executable, str(script), str(tmp_path)], check=True)  # noqa: S603
    course_map = (tmp_path / "course-map.md").read_text(encoding="utf-8")
    for card in neurotasks.cards():
        page = (tmp_path / "tasks" / f"{card.label}.md").read_text(encoding="utf-8")
        assert card.citation in page
        assert f"(tasks/{card.label}.md)" in course_map


def test_the_commands_of_the_guide_are_understood(running):
    commands = re.findall(r"^    python -m baselines (.*)$", running, re.MULTILINE)
    assert {command.split()[0] for command in commands} == {"list", "run", "tune", "check"}
    for command in commands:
        _parser().parse_args(shlex.split(command, comments=True))


def test_the_costs_of_the_guide_are_those_of_a_result(running):
    table = running[running.index("| field |") : running.index("`flops` counts")]
    named = {name for row in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", row)}
    assert named == {
        "parameters", "samples", "flops", "seconds", "cpu_seconds", "energy_kwh", "energy_method",
    }  # fmt: skip
    assert named <= {field.name for field in dataclasses.fields(Result)}
    for name in (meter.Rapl.name, meter.Nvml.name):
        assert f"| `{name}` |" in running
    assert f"| `estimate: {meter.WATTS_PER_THREAD:g} W per busy thread` |" in running
    assert f"| `estimate: {meter.WATTS_PER_GPU:g} W per GPU` |" in running
