"""Handing in by the form, from the archive to the row of the table."""

from __future__ import annotations

import io
import time

import pytest

import neurotasks
from neurotasks.submission.archive import pack
from neurotasks.submission.manifest import Manifest
from neurotasks.submission.pack import pack_files
from tests.leaderboard.stores import GENERATED

_PATIENCE = 60.0  # seconds that a worker may take


@pytest.fixture
def archive(tmp_path, graph) -> bytes:
    """Return a small submission of five seeds as `neurotasks submit` writes it."""
    manifest = Manifest(
        task=GENERATED, card=neurotasks.load(GENERATED).card.hash, agent="fixed-matrix",
        format="onnx", files={}, seeds=tuple(range(5)), parameters=128,
        description="A matrix that has learned nothing.",
    )  # fmt: skip
    files = {f"model-{seed}.onnx": graph for seed in manifest.seeds}
    pack_files(manifest, files, tmp_path / "packed")
    target = io.BytesIO()
    pack(tmp_path / "packed", target)
    return target.getvalue()


def hand_in(page, content, token):
    file = {"name": "submission.zip", "mimeType": "application/zip", "buffer": content}
    page.get_by_label("Archive").set_input_files(file)
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Hand in").click()


def test_a_submission_is_handed_in_and_verified(visit, served, archive):
    page = visit("/submit")
    hand_in(page, archive, served.token)
    page.wait_for_url("**/submissions/*")
    assert "Handed in by Carol" in page.locator(".lead").first.inner_text()
    end = time.monotonic() + _PATIENCE
    while page.locator(".state").inner_text() in ("queued", "running"):
        assert time.monotonic() < end, "no worker has scored it"
        page.wait_for_timeout(250)
        page.reload()
    assert page.locator(".state").inner_text() == "verified"
    stages = page.locator("section[aria-labelledby=scores] table").first.locator("tbody th")
    assert stages.all_inner_texts() == ["private", "shift", "test"]
    page.get_by_role("heading", level=1).get_by_role("link").click()
    row = page.locator("section[aria-labelledby=ranking] tbody tr")
    assert row.locator("th").all_inner_texts() == ["fixed-matrix"]
    assert row.locator("td").first.inner_text() == "1"
    again = visit("/submit")
    hand_in(again, archive, served.token)
    assert "was handed in before" in again.get_by_role("alert").inner_text()


@pytest.mark.parametrize("fault", ["token", "file"])
def test_a_refusal_says_what_is_wrong_and_keeps_the_form(visit, served, archive, fault):
    page = visit("/submit")
    content = b"this is no archive" if fault == "file" else archive
    hand_in(page, content, "nts_nobody" if fault == "token" else served.token)
    alert = page.get_by_role("alert")
    alert.wait_for()
    assert fault in alert.inner_text() or "archive" in alert.inner_text()
    assert page.get_by_label("Archive").get_attribute("aria-describedby") == "fault"
    assert page.get_by_role("button", name="Hand in").is_visible()
