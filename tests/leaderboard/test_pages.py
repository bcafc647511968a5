from __future__ import annotations

import base64
import csv
import hashlib
import html
import io
import json
import re
import sys
from html.parser import HTMLParser
from pathlib import PurePosixPath
from xml.etree import ElementTree as ET

import pytest

import neurotasks
from leaderboard.collect import collect, read
from leaderboard.describe import bibtex, description
from leaderboard.links import file_name
from leaderboard.pages import build
from neurotasks.errors import MissingExtra
from neurotasks.results import Result, StageResult

VOID = {"meta", "link", "br", "hr", "img", "input", "wbr"}
HOSTILE = '"><script>alert(1)</script>../../{{ 7*7 }}'


class Page(HTMLParser):
    """A page's tags, checked for balance as they come."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.links, self.ids, self.words = [], [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_startendtag(self, tag, attrs):
        self._note(tag, dict(attrs))

    def handle_starttag(self, tag, attrs):
        self._note(tag, dict(attrs))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    def _note(self, tag, attributes):
        self.tags.append((tag, attributes))
        if "id" in attributes:
            self.ids.append(attributes["id"])
        self.links += [attributes[name] for name in ("href", "src") if name in attributes]

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


BUILT = {}  # by what was read: many tests look at the same site


def site_of(folder):
    key = b"".join(path.read_bytes() for path in sorted(folder.path.rglob("*.json")))
    digest = hashlib.sha256(key).hexdigest()
    if digest not in BUILT:
        BUILT[digest] = rebuilt(folder)
    return BUILT[digest]


def rebuilt(folder):
    return build(collect(read(folder.path), neurotasks.cards()), "Our board")


@pytest.fixture
def site(filled, card, make):
    filled.add(make(card, HOSTILE, [0.3, 0.4]))
    filled.add(make(card, "mlp", [0.3, 0.4]))
    filled.add(make(card, "old", [0.3, 0.4], card="f" * 16))
    filled.add(make(card, "mlp", [0.3, 0.4], task="neurotasks/<Gone>-v0"))
    return site_of(filled)


def pages(site):
    return {name: Page(content.decode()) for name, content in site.items() if "html" in name}


def test_every_task_and_agent_has_a_page_and_tags_balance(site):
    names = set(pages(site))
    assert {f"tasks/{c.label}.html" for c in neurotasks.cards()} <= names
    assert {"index.html", "agents/mlp.html", f"agents/{file_name(HOSTILE)}.html"} <= names


def test_links_resolve_and_nothing_comes_from_elsewhere(site):
    parsed = pages(site)
    for name, page in parsed.items():
        assert not {tag for tag, _ in page.tags} & {"iframe", "img", "object", "embed"}
        assert [found for tag, found in page.tags if tag == "script"] == [{}]
        for link in page.links:
            if link == "data:,":
                continue
            assert ":" not in link
            assert not link.startswith("/")
            path, _, anchor = link.partition("#")
            target = resolve(name, path)
            assert target in site
            assert not anchor or anchor in parsed[target].ids


def resolve(page, path):
    parts = list(PurePosixPath(page).parent.parts) if path else [page]
    for part in PurePosixPath(path).parts:
        parts = parts[:-1] if part == ".." else [*parts, part]
    return "/".join(parts)


def test_the_policy_allows_our_style_and_script_by_hash_and_nothing_else(site):
    for name, content in site.items():
        if name.endswith(".html"):
            text = content.decode()
            policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]
            assert policy.startswith("default-src &#39;none&#39;;")
            for tag in ("style", "script"):
                (inside,) = re.findall(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
                digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
                assert f"{tag}-src &#39;sha256-{digest}&#39;;" in html.unescape(policy).replace(
                    "'", "&#39;"
                )
            assert not re.search(r"\son[a-z]+=|\sstyle=|javascript:", text)


def test_no_style_loads_anything(site):
    style = re.search(r"<style>(.*?)</style>", site["index.html"].decode(), re.DOTALL)[1]
    assert "url(" not in style
    assert "@import" not in style
    assert "prefers-color-scheme: dark" in style


def test_every_plot_is_well_formed(site):
    plots = 0
    for name, content in site.items():
        if name.endswith(".html"):
            for svg in re.findall(r"<svg xmlns.*?</svg>(?=\n)", content.decode(), re.DOTALL):
                ET.fromstring(svg)  # noqa: S314 - made by our own code
                plots += 1
    assert plots > len(neurotasks.cards())


def test_tables_have_captions_and_headers_have_scopes_and_ids_are_unique(site):
    for page in pages(site).values():
        tags = [tag for tag, _ in page.tags]
        assert tags.count("caption") == tags.count("table")
        assert all("scope" in attributes for tag, attributes in page.tags if tag == "th")
        assert len(page.ids) == len(set(page.ids))
        assert tags.count("h1") == tags.count("main") == 1


def test_a_hostile_name_is_text(site, card):
    for name, content in site.items():
        if name.endswith(".html"):
            assert content.decode().count("<script") == 1
            assert ".." not in name
    assert HOSTILE in pages(site)[f"tasks/{card.label}.html"].text
    assert HOSTILE in pages(site)[f"agents/{file_name(HOSTILE)}.html"].text


@pytest.mark.parametrize("agent", ["../up", "PPO", "ppo!", "CON", "x" * 100, "日本", "a/b", ".."])
def test_file_names_of_agents_are_safe_and_distinct(agent):
    name = file_name(agent)
    assert re.fullmatch(r"[a-z0-9-]{1,60}", name)
    assert name != file_name(agent + "x")
    assert file_name(name) != name
    assert file_name("ppo") == "ppo" != file_name("PPO")


def test_a_task_page_tells_all_of_its_task(site, card):
    page = pages(site)[f"tasks/{card.label}.html"]
    for words in (
        card.summary, card.metric.unit, card.licence, card.citation, card.hash, card.chance_source,
        card.ceiling_source, "What the subject sees", "contrast 0.15", "@misc{neurotasks-",
        "≈ marks energy by estimate: 4 W per busy thread.",
        "2 results, shown is the one with the most",
        "Earlier version", "f" * 16, "one line for each run",
    ):  # fmt: skip
        assert words in page.text


def test_what_training_computed_is_told_where_it_was_counted(folder, card, make):
    folder.add(make(card, "mlp", [0.5, 0.6], flops=1_230_000_000))
    folder.add(make(card, "ridge", [0.5, 0.6], flops=0, energy_method="rapl"))
    site = site_of(folder)
    ranking = Page(site[f"tasks/{card.label}.html"].decode()).text
    assert "1.23 G" in ranking
    assert "Energy without ≈ is measured by rapl." in ranking
    runs = {name: Page(text.decode()).text for name, text in site.items() if "runs/" in name}
    assert "1.23 GFLOP a run" in runs[f"runs/{card.label}-{card.hash}/mlp.html"]
    assert "operations not counted" in runs[f"runs/{card.label}-{card.hash}/ridge.html"]
    lines = list(csv.DictReader(io.StringIO(site["results.csv"].decode())))
    assert {line["flops"] for line in lines} == {"1230000000", "0"}


def test_open_ranks_and_tie_groups_are_said(folder, card, make):
    folder.add(make(card, "a", [0.5, 0.9]))
    folder.add(make(card, "b", [0.4, 0.9]))
    folder.add(make(card, "c", [0.2]))
    told = json.loads(site_of(folder)[f"tasks/{card.label}.json"])
    found = [(r["rank"], r["best_rank"], r["worst_rank"], r["tie_group"]) for r in told]
    assert found == [(1, 1, 3, 1), (2, 1, 3, 1), (3, None, None, None)]
    text = Page(site_of(folder)[f"tasks/{card.label}.html"].decode()).text
    assert "1\u20133" in text
    assert "one run" in text


def test_a_stream_shows_its_matrix_and_what_follows_from_it(folder, card, make, with_matrix):
    folder.add(with_matrix(make(card, "replay", [0.5, 0.6])))
    page = Page(site_of(folder)[f"tasks/{card.label}.html"].decode())
    for words in (
        "What is kept, what is forgotten",
        "The course over experiences",
        "forgetting",
        "backward transfer",
        "0.97",
        "time of an experience",
        "2.5 s",
        "held beside the network",
        "60.8 kB",
    ):
        assert words in page.text


def test_further_figures_stand_part_by_part(folder, card, make):
    result = make(card, "mlp", [0.5, 0.6])
    extra = {"accuracy (chance 0.25)": [{"session 0": 0.5, "session 1": 1.0}] * 2}
    test = result.stages["test"]
    stages = {**result.stages, "test": StageResult(test.raw, test.score, extra)}
    folder.add(Result(**{**vars(result), "stages": stages}))
    page = site_of(folder)[f"tasks/{card.label}.html"].decode()
    assert "Accuracy (chance 0.25)" in page
    assert "Session 1</th>" in page
    assert '<td class="number">1.00</td>' in page


def test_a_curve_of_one_point_is_no_curve(folder, card, make):
    folder.add(make(card, "ridge", [0.5], curves={"rows": [[[500, 500.0]]]}))
    folder.add(make(card, "mlp", [0.5], curves={"loss": [[[0, 2.0], [500, 1.0]]]}))
    page = Page(site_of(folder)[f"tasks/{card.label}.html"].decode())
    assert "Rows by samples" not in page.words
    assert "Loss by samples" in page.words


def test_returns_are_drawn_over_samples_and_over_seconds(folder, card, make):
    curves = {
        "return": [[[0, 20.0], [500, 480.0]]],
        "cpu_seconds": [[[0, 0.1], [500, 1.75]]],
    }
    folder.add(make(card, "ppo", [0.5], curves=curves))
    page = Page(site_of(folder)[f"tasks/{card.label}.html"].decode())
    assert "Return by samples" in page.words
    assert "Return by CPU seconds of one run" in page.words
    assert "Cpu_seconds by samples" not in page.words
    assert "CPU seconds of one run" in page.text


def test_a_task_without_results_says_so(folder, card, make):
    folder.add(make(card, "mlp", [0.5], task="neurotasks/Gone-v0"))
    site = site_of(folder)
    assert "No result yet." in Page(site[f"tasks/{card.label}.html"].decode()).text
    index = Page(site["index.html"].decode()).text
    assert "Unknown tasks" in index
    assert "neurotasks/Gone-v0" in index


def test_the_two_downloads_hold_everything(site, filled):
    records = json.loads(site["results.json"])
    assert len(records) == len(filled.made)
    lines = list(csv.DictReader(io.StringIO(site["results.csv"].decode())))
    assert len(lines) == sum(len(r["seeds"]) * len(r["stages"]) for r in records)
    assert {line["current"] for line in lines} == {"True", "False"}


def test_a_spreadsheet_takes_no_name_for_a_formula(folder, card, make):
    folder.add(make(card, "=cmd()", [0.5]))
    (line, *_) = csv.DictReader(io.StringIO(site_of(folder)["results.csv"].decode()))
    assert line["agent"] == "'=cmd()"


def test_one_build_is_like_the_next(filled):
    assert rebuilt(filled) == site_of(filled)


def test_every_card_has_a_description_and_a_citation():
    for card in neurotasks.cards():
        (lead, *_), *rest = description(card)
        assert lead == ""
        assert {"What the subject sees", "What it may do"} <= {heading for heading, _ in rest}
        assert bibtex(card).count("{") == bibtex(card).count("}")


def test_without_jinja2_the_extra_is_named(filled, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingExtra, match=r"neurotasks\[board\]"):
        rebuilt(filled)


def test_every_pair_of_agents_is_compared_from_both_of_their_pages(folder, card, make):
    for agent, level in {"a": 0.9, "b": 0.5, "c": 0.1}.items():
        folder.add(make(card, agent, [level - 0.01, level, level + 0.01]))
    site = site_of(folder)
    assert {name for name in site if "compare/" in name} == {
        "compare/a/b.html", "compare/a/c.html", "compare/b/c.html",
    }  # fmt: skip
    page = Page(site["compare/a/b.html"].decode())
    assert "a is surely better on 1 and surely worse on 0 than b" in page.text
    assert "with probability 1.00" in page.text
    assert "../compare/a/b.html" in pages(site)["agents/b.html"].links


def test_who_has_too_few_seeds_is_shown_without_a_rank(folder, card, make):
    folder.add(make(card, "many", [0.5] * 5))
    folder.add(make(card, "few", [0.9] * 2))
    site = build(collect(read(folder.path), neurotasks.cards(), 5), "T", 5)
    told = json.loads(site[f"tasks/{card.label}.json"])
    assert [(r["list"], r["agent"], r["rank"]) for r in told] == [
        ("ranked", "many", 1), ("unranked", "few", None),
    ]  # fmt: skip
    page = pages(site)[f"tasks/{card.label}.html"].text
    assert "A rank needs 5 seeds" in page


def test_the_cheapest_and_the_best_are_on_the_front_of_a_cost(folder, card, make):
    costs = {"best": (0.9, 10_000), "cheap": (0.5, 100), "beaten": (0.4, 1000)}
    for agent, (level, parameters) in costs.items():
        folder.add(make(card, agent, [level, level + 0.01], parameters=parameters))
    page = site_of(folder)[f"tasks/{card.label}.html"].decode()
    front = re.search(r"Score by trainable parameters.*?</details>", page, re.DOTALL)[0]
    rows = re.findall(r'<th scope="row" class="name">(\w+)</th>', front)
    assert rows == ["cheap", "best"]


def test_a_badge_says_the_score_and_the_rank(site, card):
    badge = site[f"badges/mlp/{card.label}.svg"].decode()
    root = ET.fromstring(badge)  # noqa: S314 - made by our own code
    assert re.fullmatch(r"mlp on .*: \S+ · rank \d", root.get("aria-label"))
    assert "href" not in badge
