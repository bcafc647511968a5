"""Templates to pages: every value is escaped, and nothing of a page comes from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from leaderboard import numbers
from leaderboard.links import Links
from neurotasks.errors import MissingExtra

__all__ = ["asset", "policy", "renderer"]

_HERE = Path(__file__).parent
_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_CELLS = 1 << 14  # of each kind that are kept: what some large pages hold, in a few MB


def renderer(site: str) -> Callable[..., bytes]:
    """Return the function that renders a template with some links and values.

    Args:
        site: Title of all pages.

    Raises:
        MissingExtra: jinja2 is not installed.
    """
    try:
        import jinja2  # noqa: PLC0415 - only pages need it: ranking in a terminal does not
    except ModuleNotFoundError as error:
        raise MissingExtra("jinja2", "board") from error
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for function in (numbers.count, numbers.duration, numbers.energy, numbers.exact, numbers.size):
        environment.filters[function.__name__] = function
    environment.filters["mean_and_spread"] = numbers.mean_and_spread
    environment.filters["date"] = _date
    environment.filters["breakable"] = _breakable
    environment.globals.update(
        site=site, style=asset("style.css"), script=asset("script.js"), policy=policy()
    )

    cells = {
        name: lru_cache(_CELLS, typed=True)(macro)
        for name, macro in vars(environment.get_template("cells.html.j2").module).items()
        if isinstance(macro, jinja2.runtime.Macro)
    }

    @jinja2.pass_context
    def agent_link(context: jinja2.runtime.Context, agent: str) -> Any:
        return cells["agent_at"](context["links"].agent(agent), agent)

    environment.globals.update(cells, agent_link=agent_link, kept=lambda _, caller: caller())

    def render(template: str, links: Links, **context: Any) -> bytes:
        return environment.get_template(template).render(links=links, **context).encode()

    return render


@cache
def asset(name: str) -> str:
    """Return the style sheet or the script."""
    return (_HERE / name).read_text(encoding="utf-8")


def policy() -> str:
    """Return the content security policy of a page that holds its style and its script itself.

    Both are allowed by their hash, so that nothing that slips into a page can run or load.
    """
    style, script = (_hash(f"\n{asset(name)}\n") for name in ("style.css", "script.js"))
    return (
        f"default-src 'none'; style-src '{style}'; script-src '{script}'; img-src 'self' data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _breakable(label: str) -> Any:
    """Return a label that may be broken where a word begins, as phones must."""
    from markupsafe import Markup, escape  # noqa: PLC0415 - comes with jinja2

    return Markup("<wbr>").join(escape(word) for word in _WORD.split(label))


def _date(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M")
