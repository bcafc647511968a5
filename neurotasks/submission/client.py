"""Handing in: to a board's address, or into a folder that a board looks into."""

from __future__ import annotations

import http.client
import io
import json
import re
import tempfile
import urllib.parse
from contextlib import suppress
from pathlib import Path
from time import sleep
from typing import IO, Any

from neurotasks.errors import CorruptSubmission, NeurotasksError
from neurotasks.results import write_atomically
from neurotasks.submission.archive import pack
from neurotasks.submission.check import problems, read_manifest, sha256
from neurotasks.submission.strict import loads, shown

__all__ = ["Refused", "join", "status", "submit"]

_TIMEOUT = 120.0  # seconds without a word from the server
_LONGEST = 1 << 20  # bytes of an answer
_WEB = ("http://", "https://")
_TOKEN = re.compile(r"[!-~]{0,500}")
_TAKEN = range(200, 300)  # codes of an answer
_LATER = (429, 503)  # those that may name a time to come again
_PATIENCE = 120  # seconds in all that such times are waited for
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


def join(to: str, invitation: str, name: str) -> dict[str, Any]:
    """Open an account on a board with a join token.

    Args:
        to: Address of the board.
        invitation: The join token, which its instructor hands out.
        name: Of the account, as the board will show it.

    Returns:
        What the board says: "token" is the account's secret, told this once.

    Raises:
        Refused: The board does not take the token, or cannot be reached.
    """
    body = json.dumps({"token": invitation, "name": name}).encode()
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    return _ask(f"{to.rstrip('/')}/api/join", "", headers, io.BytesIO(body))


def status(to: str, number: str | int, token: str = "") -> dict[str, Any]:
    """Return what a server says of a submission.

    Raises:
        Refused: There is none, or the server cannot be reached.
    """
    place = urllib.parse.quote(str(number), safe="")
    return _ask(f"{to.rstrip('/')}/api/submissions/{place}", token, {}, None)


def _ask(url: str, token: str, headers: dict[str, str], body: IO[bytes] | None) -> dict[str, Any]:
    """Ask a board, again when it says so; nothing is followed elsewhere: the token is for it alone.

    Raises:
        Refused: It refuses, has no time for too long, or does not answer as a board does.
    """
    allowed = {**headers, "Accept": "application/json"}
    if not _TOKEN.fullmatch(token):
        raise Refused("the token holds what no token has: copy it again, without spaces")
    if token:
        allowed["Authorization"] = f"Bearer {token}"
    if not url.startswith(_WEB):
        raise Refused(f"{url!r} is no address of a board: it begins with http:// or https://")
    left = _PATIENCE
    try:
        code, reason, content, pause = _talk(url, allowed, body)
        while 0 < pause <= left:
            sleep(pause)
            left -= pause
            code, reason, content, pause = _talk(url, allowed, body)
        told = loads(content) if code in _TAKEN else None
    except (http.client.HTTPException, OSError, ValueError) as error:
        raise Refused(
            f"{url} gives no answer of a board: {shown(error)}; is it running?"
        ) from error
    if code not in _TAKEN:
        raise Refused(f"the board refused it ({code}): {_reason(content, reason)}")
    if not isinstance(told, dict):
        raise Refused(f"{url} answers as no board does")
    return told


def _talk(url: str, headers: dict[str, str], body: IO[bytes] | None) -> tuple[int, str, bytes, int]:
    """Return the status, its name and the body of an answer, and the seconds to wait if it says."""
    parts = urllib.parse.urlsplit(url)
    secure = parts.scheme == "https"
    make = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    line = make(parts.hostname or "", parts.port, timeout=_TIMEOUT)
    if body is not None:
        body.seek(0)
    try:
        # Who refuses need not read it all, and the answer says why.
        with suppress(BrokenPipeError, ConnectionResetError):
            line.request("GET" if body is None else "POST", parts.path or "/", body, headers)
        with line.getresponse() as answer:
            later = answer.getheader("Retry-After", "") if answer.status in _LATER else ""
            pause = int(later[:9]) if re.fullmatch("[0-9]+", later) else 0
            return answer.status, answer.reason, answer.read(_LONGEST), pause
    finally:
        line.close()


def _reason(content: bytes, name: str) -> str:
    """Return what the board says is wrong."""
    try:
        return shown(loads(content)["error"], _REASON)
    except (ValueError, KeyError, TypeError):
        return shown(name)
