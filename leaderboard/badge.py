"""Badges: a small picture of a rank and a score, to be shown elsewhere."""

from __future__ import annotations

from html import escape

__all__ = ["badge"]

_CHARACTER = 6.7  # pixels of an average one at 11 pixels
_MARGIN = 7
_LONGEST = 40


def badge(left: str, right: str) -> str:
    """Draw two words side by side; it needs no style sheet and loads nothing."""
    left, right = (t if len(t) <= _LONGEST else f"{t[: _LONGEST - 1]}\u2026" for t in (left, right))
    first, second = (round(_CHARACTER * len(text)) + 2 * _MARGIN for text in (left, right))
    font = 'font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" fill="#ffffff"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{first + second}" height="20" '
        f'viewBox="0 0 {first + second} 20" role="img" '
        f'aria-label="{escape(left)}: {escape(right)}">'
        f"<title>{escape(left)}: {escape(right)}</title>"
        f'<rect width="{first + second}" height="20" rx="3" fill="#1b2430"/>'
        f'<path fill="#1b568f" d="M{first} 0h{second - 3}a3 3 0 0 1 3 3v14a3 3 0 0 1 -3 3h'
        f'-{second - 3}z"/>'
        f'<g {font} text-anchor="middle"><text x="{first / 2:g}" y="14">{escape(left)}</text>'
        f'<text x="{first + second / 2:g}" y="14">{escape(right)}</text></g></svg>\n'
    )
