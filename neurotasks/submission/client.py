"""Handing in: to a board's address, or into a folder that a board looks into."""

from __future__ import annotations

import http.client
import re
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from neurotasks.errors import CorruptSubmission, NeurotasksError
from neurotasks.results import write_atomically
from neurotasks.submission.archive import pack
from neurotasks.submission.check import problems, read_manifest, sha256
from neurotasks.submission.strict import loads, shown

__all__ = ["Refused", "status", "submit"]

_TIMEOUT = 120.0  # seconds without a word from the server
_LONGEST = 1 << 20  # bytes of an answer
_WEB = ("http://", "https://")
_TOKEN = re.compile(r"[!-~]{0,500}")
_REASON = 2000  # letters of what a board says


class Refused(NeurotasksError, RuntimeError):
    """A board did not take a submission, or cannot be reached."""


def submit(folder: Path, to: str, token: str = "") -> dict[str, Any]:
    """Hand in a submission.

    Args:
        folder: What was packed.
        to: Address of a board, or a folder.
        token: The account's secret; a folder asks for none.

    Returns:
        What the board says: at least "state"; of a server "id" and "url" too.

    Raises:
        CorruptSubmission: Something is wrong with it; nothing was sent.
        Refused: The board did not take it; the message is the board's.
    """
    found = problems(folder)
    if found:
        more = f" (and {len(found) - 1} more: see `neurotasks check`)" if found[1:] else ""
        raise CorruptSubmission(f"{found[0]}{more}")
    with tempfile.TemporaryFile() as file:
        pack(folder, file)
        size = file.tell()
        file.seek(0)
        if not to.startswith(_WEB):
            manifest = read_manifest(folder)
            name = f"{manifest.agent}-{sha256(folder / 'manifest.json')[:16]}.zip"
            safe = "".join(c if c.isalnum() or c in ".-_" else "_" for c in name)
            write_atomically(Path(to) / safe, file.read())
            return {"state": "waiting", "file": safe}
        headers = {"Content-Type": "application/zip", "Content-Length": str(size)}
        return _ask(f"{to.rstrip('/')}/api/submissions", token, headers, file)


def status(to: str, number: str | int, token: str = "") -> dict[str, Any]:
    """Return what a server says of a submission.

    Raises:
        Refused: There is none, or the server cannot be reached.
    """
    place = urllib.parse.quote(str(number), safe="")
    return _ask(f"{to.rstrip('/')}/api/submissions/{place}", token, {}, None)


class _NoRedirection(urllib.request.HTTPRedirectHandler):
    """Follows no redirection: the token is for the board that was named, and for no other host."""

    def redirect_request(self, *_words: Any) -> None:
        """Refuse."""


def _ask(url: str, token: str, headers: dict[str, str], body: Any) -> dict[str, Any]:
    allowed = {**headers, "Accept": "application/json"}
    if not _TOKEN.fullmatch(token):
        raise Refused("the token holds what no token has: copy it again, without spaces")
    if token:
        allowed["Authorization"] = f"Bearer {token}"
    if not url.startswith(_WEB):
        raise Refused(f"{url!r} is no address of a board: it begins with http:// or https://")
    try:
        request = urllib.request.Request(url, data=body, headers=allowed)  # noqa: S310 - checked
        with urllib.request.build_opener(_NoRedirection).open(request, timeout=_TIMEOUT) as answer:
            told = loads(answer.read(_LONGEST))
    except urllib.error.HTTPError as error:
        with error:
            raise Refused(f"the board refused it ({error.code}): {_reason(error)}") from error
    except (http.client.HTTPException, OSError, ValueError) as error:
        raise Refused(
            f"{url} gives no answer of a board: {shown(error)}; is it running?"
        ) from error
    if not isinstance(told, dict):
        raise Refused(f"{url} answers as no board does")
    return told


def _reason(error: urllib.error.HTTPError) -> str:
    """Return what the board says is wrong."""
    try:
        return shown(loads(error.read(_LONGEST))["error"], _REASON)
    except (http.client.HTTPException, OSError, ValueError, KeyError, TypeError):
        return shown(error.reason)
