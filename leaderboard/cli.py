"""What an operator does with a store, command by command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from neurotasks.results import write_atomically

if TYPE_CHECKING:
    from leaderboard.store import Store
    from leaderboard.store.accounts import Scope

__all__ = ["COMMANDS", "add_commands", "add_store", "run"]

_DATABASE = "sqlite:///board.db"


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands that need a store to a command line."""
    made = {name: commands.add_parser(name, help=words) for name, (_, words) in COMMANDS.items()}
    for command in made.values():
        add_store(command)
    serve = made["serve"]
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on")
    serve.add_argument("--port", type=int, default=8000)
    serve.add_argument("--workers", type=int, default=1, help="processes that score")
    serve.add_argument("--title", default="neurotasks leaderboard", help="title of the server")
    serve.add_argument("--proxy", default="", help="addresses whose X-Forwarded-For is believed")
    made["work"].add_argument("--workers", type=int, default=1, help="processes that score")
    _add_board_options(made["open-board"])
    join = made["join"]
    join.add_argument("board")
    join.add_argument("--uses", type=int, default=1, help="how many accounts it makes")
    join.add_argument("--expires", type=_time, help="when it ends, as 2030-01-31T12:00")
    tokens = made["tokens"]
    tokens.add_argument("action", choices=("list", "issue", "revoke"))
    tokens.add_argument("--board", help="the account's board; without one, all boards")
    tokens.add_argument("--account", help="name of the account; `issue` makes it if it is new")
    tokens.add_argument("--admin", action="store_true", help="let the token run the board too")
    tokens.add_argument("--label", default="", help="what the token is for")
    tokens.add_argument("--expires", type=_time, help="when it ends, as 2030-01-31T12:00")
    tokens.add_argument("--key", help="public part of the token to revoke")
    for name in ("backup", "restore"):
        made[name].add_argument("file", type=Path)
    export = made["export"]
    export.add_argument("board")
    export.add_argument("--out", type=Path, help="file to write; else it is printed")
    take = made["take"]
    take.add_argument("inbox", type=Path, help="folder of `neurotasks submit --to`")
    take.add_argument("--board", default="", help="the board that is meant")
    take.add_argument("--account", default="inbox", help="in whose name; made if it is new")


def add_store(
    parser: argparse.ArgumentParser, source: argparse._MutuallyExclusiveGroup | None = None
) -> None:
    """Add the options that name a store; in a group of sources it has no default."""
    database = None if source else _DATABASE
    words = "sqlite:///board.db or postgresql://..."
    (source or parser).add_argument("--db", default=database, help=words)
    parser.add_argument("--artefacts", type=Path, help="folder of the kept files")


def run(options: argparse.Namespace) -> int:
    """Run one command; return its exit status."""
    return COMMANDS[options.command][0](options)


def _add_board_options(board: argparse.ArgumentParser) -> None:
    board.add_argument("name", help="what addresses name it by")
    board.add_argument("--title", help="what pages name it by")
    board.add_argument("--tasks", default="*", help="globs with commas between them")
    board.add_argument("--opens", type=_time, help="first submission, as 2030-01-31T12:00 (UTC)")
    board.add_argument("--closes", type=_time, help="last submission")
    board.add_argument("--quota", type=int, default=20, help="valid ones of an account and task")
    board.add_argument("--total-quota", type=int, help="with those that failed; else 2.5 times")
    board.add_argument("--minimum-seeds", type=int, default=5, help="seeds that a rank needs")
    board.add_argument("--uses", type=int, default=200, help="accounts that the join token makes")


def _open(options: argparse.Namespace) -> Store:
    from leaderboard.store import open_store  # noqa: PLC0415 - result files need no database

    return open_store(options.db, options.artefacts)


def _serve(options: argparse.Namespace) -> int:
    from leaderboard.web.serve import serve  # noqa: PLC0415 - a server's libraries

    serve(
        options.db, options.artefacts, host=options.host, port=options.port,
        workers=options.workers, title=options.title, proxies=options.proxy,
    )  # fmt: skip
    return 0


def _work(options: argparse.Namespace) -> int:
    from leaderboard.web.serve import work  # noqa: PLC0415 - its log is the server's

    work(options.db, options.artefacts, options.workers)
    return 0


def _open_board(options: argparse.Namespace) -> int:
    total = options.total_quota or max(options.quota, round(2.5 * options.quota))
    with _open(options) as store:
        board = store.boards.open(
            options.name, options.title or options.name, tasks=options.tasks, opens=options.opens,
            closes=options.closes, valid_quota=options.quota, total_quota=total,
            minimum_seeds=options.minimum_seeds,
        )  # fmt: skip
        token = store.accounts.join_token(board.name, uses=options.uses, expires=options.closes)
    print(f"board {board.name} is open: {board.title}")
    print(f"join token for {options.uses} accounts, shown this once: {token}")
    return 0


def _join(options: argparse.Namespace) -> int:
    with _open(options) as store:
        print(store.accounts.join_token(options.board, uses=options.uses, expires=options.expires))
    return 0


def _tokens(options: argparse.Namespace) -> int:
    from leaderboard.store.errors import InvalidEntry  # noqa: PLC0415 - result files need none

    with _open(options) as store:
        if options.action == "revoke":
            if not options.key:
                raise InvalidEntry("no token is named; add --key, which `tokens list` shows")
            store.accounts.revoke_token(options.key)
            print(f"token {options.key} is revoked")
            return 0
        known = {account.name: account for account in store.accounts.of(options.board)}
        if options.action == "list":
            for name, account in known.items():
                for token in store.accounts.tokens(account.id):
                    state = "revoked" if token.revoked else "valid"
                    print(token.key, name, ",".join(sorted(token.scopes)), state, token.label)
            return 0
        if not options.account:
            raise InvalidEntry("no account is named; add --account")
        account = known.get(options.account) or store.accounts.create(
            options.account, options.board
        )
        scopes: tuple[Scope, ...] = ("submit", "admin") if options.admin else ("submit",)
        print(store.accounts.issue(account.id, scopes, label=options.label,
                                   expires=options.expires))  # fmt: skip
    return 0


def _backup(options: argparse.Namespace) -> int:
    from leaderboard.store.backup import backup  # noqa: PLC0415 - one command needs it

    with _open(options) as store:
        size = backup(store, options.file)
        head = store.events.head()
    print(f"{options.file}: {size:,} bytes, {head.length:,} events, log ends with {head.hash}")
    return 0


def _restore(options: argparse.Namespace) -> int:
    from leaderboard.store.backup import restore  # noqa: PLC0415 - one command needs it

    with _open(options) as store:
        restore(options.file, store)
        print(f"restored {store.events.head().length:,} events")
    return 0


def _verify(options: argparse.Namespace) -> int:
    with _open(options) as store:
        found = store.verify()
        head = store.events.head()
    for fault in found:
        print(fault, file=sys.stderr)
    if not found:
        print(f"all is whole: {head.length:,} events, the log ends with {head.hash}")
    return 1 if found else 0


def _export(options: argparse.Namespace) -> int:
    with _open(options) as store:
        text = store.standings.csv(options.board)
    if options.out is None:
        print(text, end="")
    else:
        write_atomically(options.out, text.encode())
        print(f"{options.out}: {text.count(chr(10)) - 1} rows")
    return 0


def _take(options: argparse.Namespace) -> int:
    from leaderboard.intake import take_all  # noqa: PLC0415 - one command needs it

    refused = 0
    with _open(options) as store:
        known = {one.name: one for one in store.accounts.of(options.board or None)}
        account = known.get(options.account) or store.accounts.create(
            options.account, options.board or None
        )
        for path, told in take_all(store, options.inbox, account, options.board):
            refused += isinstance(told, str)
            print(f"{path.name}: {told if isinstance(told, str) else f'submission {told.id}'}")
    return 1 if refused else 0


COMMANDS: Mapping[str, tuple[Callable[[argparse.Namespace], int], str]] = {
    "serve": (_serve, "serve pages and API, with workers beside them"),
    "work": (_work, "score submissions, without a server"),
    "open-board": (_open_board, "open a board and print its join token"),
    "join": (_join, "print another join token of a board"),
    "tokens": (_tokens, "list, issue or revoke tokens"),
    "backup": (_backup, "write everything into one file"),
    "restore": (_restore, "fill an empty store from a backup"),
    "verify": (_verify, "find what was changed behind the store's back"),
    "export": (_export, "print the final ranking as CSV"),
    "take": (_take, "take in the archives of a folder"),
}
"""What runs each command, and one line about it."""


def _time(text: str) -> float:
    """Return a date as UNIX seconds; UTC where no zone is named."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no date; write it as 2030-01-31T12:00"
        ) from error
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
