"""Taking submissions in: from an upload, or from a folder that somebody hands in to."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from leaderboard.scoring import inspect, reason
from leaderboard.store import Account, Store, SubmissionRecord
from leaderboard.store.errors import InvalidEntry
from neurotasks.errors import CorruptSubmission, NeurotasksError
from neurotasks.submission.archive import unpack
from neurotasks.submission.check import read_manifest

__all__ = ["board_of", "take", "take_all"]


def take(store: Store, archive: Path, account: Account, board: str = "") -> SubmissionRecord:
    """Unpack, check and queue a submission.

    Args:
        store: Where it is queued.
        archive: The zip file.
        account: Who hands it in.
        board: Name of the board; empty for the account's own, or the only one that takes it.

    Raises:
        CorruptSubmission: Something is wrong with it; the message names the first faults.
        StoreError: The board does not take it.
    """
    with tempfile.TemporaryDirectory(prefix="submission-") as name:
        folder = Path(name)
        unpack(archive, folder)
        folder.chmod(0o755)  # the sandbox's other user reads it
        for path in folder.iterdir():
            path.chmod(0o644)
        found = inspect(folder)
        if found:
            raise CorruptSubmission(reason(found))
        manifest = read_manifest(folder)
        sources = {file: folder / file for file in manifest.files}
        chosen = board_of(store, account, board, manifest.task)
        return store.submissions.receive(chosen, account, manifest, sources)


def take_all(
    store: Store, inbox: Path, account: Account, board: str = ""
) -> Iterator[tuple[Path, SubmissionRecord | str]]:
    """Take in every archive of a folder; yield each with its submission, or why it was refused.

    A file that was taken moves to `taken/`; one that was refused moves to `refused/`, with the
    reason beside it.
    """
    for path in sorted(inbox.glob("*.zip")):
        try:
            told: SubmissionRecord | str = take(store, path, account, board)
        except NeurotasksError as error:
            told = " ".join(str(error).split())
        place = inbox / ("refused" if isinstance(told, str) else "taken")
        place.mkdir(exist_ok=True)
        path.replace(place / path.name)
        if isinstance(told, str):
            (place / f"{path.name}.txt").write_text(f"{told}\n", encoding="utf-8")
        yield path, told


def board_of(store: Store, account: Account, board: str, task: str) -> str:
    """Return the board that is meant.

    Raises:
        InvalidEntry: More than one could be, or none.
    """
    if board or account.board:
        return board or account.board or ""
    taking = [one.name for one in store.boards.all() if one.takes(task)]
    if len(taking) == 1:
        return taking[0]
    raise InvalidEntry(
        f"{len(taking)} boards take {task[:80]}: {', '.join(taking[:10]) or 'none'}; name the board"
    )
