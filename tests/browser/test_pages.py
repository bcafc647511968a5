"""What a reader does on the pages: by keyboard, with and without the script, in the dark."""

from __future__ import annotations

import re

import pytest

from tests.browser.conftest import LABEL, LONG

TASK = f"/boards/spring/tasks/{LABEL}"
AUTUMN = "/boards/autumn/tasks/CartPole-v0"


def column(page, heading):
    """Return the texts of a column of the ranking."""
    names = page.locator("section[aria-labelledby=ranking] thead th")
    place = [re.sub(r"\W+$", "", text).strip() for text in names.all_inner_texts()].index(heading)
    return page.eval_on_selector_all(
        "section[aria-labelledby=ranking] tbody tr:not([hidden])",
        "(rows, place) => rows.map((row) => row.cells[place].dataset.value"
        " ?? row.cells[place].textContent.trim())",
        place,
    )


def tab_to(page, text):
    """Press Tab until the element that says `text` has the focus."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent.trim()") == text:
            return
    pytest.fail(f"Tab never comes to {text!r}")


def heading(page, text):
    return page.locator("section[aria-labelledby=ranking] thead th").filter(has_text=text)


def test_a_table_sorts_by_keyboard(visit):
    page = visit(AUTUMN)
    before = column(page, "Agent")
    assert len(before) == 24
    assert heading(page, "Rank").get_attribute("aria-sort") == "ascending"
    tab_to(page, "CPU time")
    page.keyboard.press("Enter")
    assert heading(page, "CPU time").get_attribute("aria-sort") == "descending"
    assert heading(page, "Rank").get_attribute("aria-sort") is None
    found = [float(value) for value in column(page, "CPU time")]
    assert found == sorted(found, reverse=True)
    assert found != sorted(found)
    assert page.get_by_role("status").inner_text() == "Sorted by CPU time, descending."
    page.keyboard.press("Space")
    assert heading(page, "CPU time").get_attribute("aria-sort") == "ascending"
    assert [float(value) for value in column(page, "CPU time")] == found[::-1]
    assert page.evaluate("document.activeElement.textContent") == "CPU time"
    page.keyboard.press("Shift+Tab")
    tab_to(page, "CPU time")
    heading(page, "Agent").get_by_role("button").press("Enter")
    assert column(page, "Agent") == sorted(before)


def test_a_table_sorts_by_links_without_the_script(visit):
    page = visit(AUTUMN, java_script_enabled=False)
    assert heading(page, "Rank").get_attribute("aria-sort") == "ascending"
    heading(page, "Agent").get_by_role("link").press("Enter")
    page.wait_for_url("**sort=agent")
    assert heading(page, "Agent").get_attribute("aria-sort") == "ascending"
    names = page.locator("section[aria-labelledby=ranking] tbody th").all_inner_texts()
    assert len(names) == 24
    assert names == sorted(names)
    heading(page, "CPU time").get_by_role("link").press("Enter")
    page.wait_for_url("**sort=cpu_seconds")
    assert heading(page, "CPU time").get_attribute("aria-sort") == "descending"
    found = [float(value) for value in column(page, "CPU time")]
    assert found == sorted(found, reverse=True)


def test_the_first_tab_leads_past_the_navigation(visit):
    page = visit(TASK)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    box = page.locator(".skip").bounding_box()
    assert box["x"] >= 0
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.getElementById('main').contains(document.activeElement)")


def test_rows_are_filtered_as_one_types(visit):
    page = visit(AUTUMN)
    page.get_by_label("Agent").first.fill("AGENT-0001")
    found = column(page, "Agent")
    assert 1 <= len(found) <= 10
    assert all(name.startswith("agent-0001") for name in found)
    assert page.get_by_role("status").inner_text() == f"{len(found)} of 24 rows."


def test_a_form_filters_without_the_script(visit):
    page = visit(AUTUMN, java_script_enabled=False)
    page.get_by_label("Agent").first.fill("agent-0001")
    page.get_by_role("button", name="Show").click()
    page.wait_for_url("**agent=agent-0001**")
    names = page.locator("section[aria-labelledby=ranking] tbody th").all_inner_texts()
    assert sorted(names) == [f"agent-{n:05d}" for n in range(10, 20)]
    assert page.get_by_label("Agent").first.input_value() == "agent-0001"


def test_a_static_table_filters(visit, exported):
    page = visit(f"{exported}/index.html")
    page.get_by_label("Find").first.fill("ppo")
    shown = page.locator("section[aria-labelledby=overall] tbody tr:visible th").all_inner_texts()
    assert "ppo" in shown
    assert all("ppo" in name for name in shown)


def test_two_agents_are_compared(visit):
    page = visit("/boards/autumn/agent?name=agent-00003")
    page.get_by_label("With").fill("agent-00004")
    page.get_by_role("button", name="Compare").click()
    page.wait_for_url("**/compare?one=agent-00003&two=agent-00004")
    assert page.get_by_role("heading", level=1).inner_text() == "agent-00003 and agent-00004"
    assert "On 8 shared tasks" in page.locator(".lead").inner_text()
    assert page.locator("tbody tr").count() == 8
    assert page.locator("figure svg").first.is_visible()


def test_an_agent_is_not_compared_with_itself(visit):
    page = visit(f"/boards/spring/agent?name={LONG}")
    page.get_by_role("combobox", name="With").fill(LONG)
    page.get_by_role("button", name="Compare").click()
    page.wait_for_url("**/compare?**")
    assert "are not two agents" in page.locator("main").inner_text()


def test_a_failed_submission_says_why(visit, served):
    page = visit(f"/submissions/{served.failed}")
    assert page.locator(".notice").inner_text() == "The graph loops for ever"
    assert page.locator(".state").inner_text() == "failed"


def test_the_dark_page_is_dark(visit):
    light = "getComputedStyle(document.body)"
    found = {}
    for scheme in ("light", "dark"):
        page = visit(TASK, color_scheme=scheme)
        found[scheme] = page.evaluate(f"[{light}.backgroundColor, {light}.color]")
    brightness = {
        scheme: [sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in colours]
        for scheme, colours in found.items()
    }
    assert brightness["light"][0] > 3 * brightness["light"][1]
    assert brightness["dark"][1] > 3 * brightness["dark"][0]


def test_a_watched_page_tells_of_what_it_may_not_load(browser, served):
    context = browser.new_context()
    page, told = context.new_page(), []
    page.on("console", lambda message: told.append(message.text))
    page.goto(f"{served.url}/submit")
    page.evaluate("document.body.append(Object.assign(new Image(), {src: 'http://example.org/'}))")
    page.wait_for_function("document.images[0].complete")
    context.close()
    assert "Content Security Policy" in " ".join(told)
