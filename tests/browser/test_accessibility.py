"""Every kind of page, light and dark, wide and narrow: what axe-core finds, and what fits."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.browser.conftest import LABEL, LONG

LIVE = {
    "boards": "/",
    "suite": "/boards/autumn",
    "topic": "/boards/autumn?topic=control",
    "short suite": "/boards/spring",
    "task": "/boards/autumn/tasks/CartPole-v0",
    "task with claims": f"/boards/spring/tasks/{LABEL}",
    "agent": "/boards/autumn/agent?name=agent-00003",
    "long agent": f"/boards/spring/agent?{urlencode({'name': LONG})}",
    "comparison": "/boards/autumn/compare?one=agent-00003&two=agent-00004",
    "long comparison": f"/boards/spring/compare?{urlencode({'one': LONG, 'two': 'mlp'})}",
    "verified": "/submissions/{verified}",
    "failed": "/submissions/{failed}",
    "form": "/submit",
    "api": "/api",
    "error": "/boards/nowhere",
}
STATIC = {
    "static suite": "index.html",
    "static stream": "tasks/ContinualDigits-v0.html",
    "static psychometric": "tasks/EvidenceAccumulation-v0.html",
    "static control": "tasks/CartPole-v0.html",
    "static empty": "tasks/ContinualCORe50NI-v0.html",
    "static agent": "agents/mlp.html",
    "static run": "runs/CartPole-v0-*/ppo.html",
    "static comparison": "compare/*/ppo.html",
}
WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
VIEWS = {
    "wide and light": (WIDE, "light", ["wcag2a", "wcag2aa", "wcag21aa", "best-practice"]),
    "wide and dark": (WIDE, "dark", ["cat.color"]),  # the others do not look at colours
    "narrow and light": (PHONE, "light", ["wcag2a", "wcag2aa", "wcag21aa", "best-practice"]),
}
# What axe-core does not look at: the width of the page, and the texts of plots.
_LAYOUT = Path(__file__).with_name("layout.js").read_text(encoding="utf-8")


@pytest.fixture
def address(request, served, exported) -> str:
    """Return the address of a kind of page."""
    if request.param in LIVE:
        return LIVE[request.param].format(verified=served.verified, failed=served.failed)
    folder = Path(exported.removeprefix("file://"))
    return min(folder.glob(STATIC[request.param])).as_uri()


@pytest.mark.parametrize("address", [*LIVE, *STATIC], indirect=True)
def test_a_page_is_accessible(visit, axe, address):
    page = visit(address)
    page.evaluate(axe)
    for view, (size, scheme, rules) in VIEWS.items():
        page.set_viewport_size(size)
        page.emulate_media(color_scheme=scheme)
        options = {"resultTypes": ["violations"], "preload": False,
                   "runOnly": {"type": "tag", "values": rules}}  # fmt: skip
        found = page.evaluate("(options) => axe.run(options)", options)
        assert found["passes"], view
        assert severe(found) == [], view
        assert page.evaluate(_LAYOUT) == [], view


def severe(found):
    """Return what is serious or critical of what axe-core found."""
    return [
        (broken["id"], node["html"][:200], node["failureSummary"])
        for broken in found["violations"]
        if broken["impact"] in ("serious", "critical")
        for node in broken["nodes"]
    ]


def test_faults_are_found(visit, axe):
    page = visit("/submit")
    page.evaluate(axe)
    page.evaluate("""document.querySelector("main").insertAdjacentHTML("beforeend",
        `<svg class="plot" width="99" height="40"><text y="9">one</text><text y="9">lies</text>
        <text y="30" x="-900">two</text><rect class="cell" y="20" width="99" height="20"/>
        <text y="30">faint</text></svg><input><img src="data:,">`)""")
    page.evaluate("document.querySelector('main').style.minWidth = '3000px'")
    found = {name for name, *_ in severe(page.evaluate("axe.run({preload: false})"))}
    assert {"image-alt", "label"} <= found
    told = " ".join(page.evaluate(_LAYOUT))
    assert "the page is" in told
    assert '"two" is cut' in told
    assert '"one" lies on "lies"' in told
    assert '"faint" has a contrast of' in told
