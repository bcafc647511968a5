"""The server: pages and an API over a store.

python -m leaderboard serve --db sqlite:///board.db --port 8000 --workers 2
"""

import importlib

from neurotasks.errors import MissingExtra

for _library in ("starlette", "uvicorn", "python_multipart", "jinja2"):
    try:
        importlib.import_module(_library)
    except ImportError as error:
        raise MissingExtra(_library, "board") from error

from leaderboard.web.app import create_app  # noqa: E402 - the libraries come first

__all__ = ["create_app"]
