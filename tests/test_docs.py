from __future__ import annotations

import subprocess
import sys

import neurotasks


def test_every_card_has_its_page_and_its_place_in_the_course_map(request, tmp_path):
    script = request.config.rootpath / "docs" / "build.py"
    subprocess.run([sys.executable, str(script), str(tmp_path)], check=True)  # noqa: S603
    course_map = (tmp_path / "course-map.md").read_text(encoding="utf-8")
    for card in neurotasks.cards():
        page = (tmp_path / "tasks" / f"{card.label}.md").read_text(encoding="utf-8")
        assert card.citation in page
        assert f"(tasks/{card.label}.md)" in course_map
