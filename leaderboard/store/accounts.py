"""Who hands in: accounts, the tokens that they show, and the join tokens that make accounts.

A token is `<kind>_<key>_<secret>`. The key is public and finds the row; of the secret, 256 random
bits, only the SHA-256 is kept, and it is compared in constant time.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy import Connection, Row

from leaderboard.store.boards import board_of
from leaderboard.store.database import Database
from leaderboard.store.errors import InvalidEntry, InvalidToken, MissingScope, NameTaken
from leaderboard.store.events import append, lock
from leaderboard.store.records import Account, Token
from leaderboard.store.tables import accounts, joins, tokens

__all__ = ["SCOPES", "Accounts", "Scope"]

Scope = Literal["submit", "admin"]
SCOPES: tuple[Scope, ...] = ("submit", "admin")

_KEY, _SECRET = 8, 32  # random bytes
_TOKEN = re.compile(r"(nts|ntj)_([0-9a-f]{16})_([A-Za-z0-9_-]{43})")
_TABLES = {"nts": tokens, "ntj": joins}
_NAME_LENGTH = 64  # characters


class Accounts:
    """The accounts of a store.

    Args:
        database: Where they are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, name: str, board: str | None = None, *, actor: str = "operator") -> Account:
        """Make an account.

        Args:
            name: As pages show it, one line.
            board: Where it may hand in; None for all boards.
            actor: Who makes it, for the log.

        Raises:
            InvalidEntry: The name is empty, too long, or not one line of printable characters.
            NameTaken: Another account of this board has this name.
            UnknownBoard: There is no such board.
        """
        with self._database.write() as connection:
            return self._create(connection, name, board, actor)

    def _create(self, connection: Connection, name: str, board: str | None, actor: str) -> Account:
        name, now = name.strip(), self._database.clock()
        if not 1 <= len(name) <= _NAME_LENGTH or not name.isprintable():
            raise InvalidEntry(
                f"{name[:80]!r} is no name of an account; use 1 to {_NAME_LENGTH} characters"
            )
        if board is not None:
            board_of(connection, board)
        lock(connection)
        same = sa.and_(accounts.c.name == name, accounts.c.board.is_not_distinct_from(board))
        if connection.execute(sa.select(accounts.c.id).where(same)).first():
            raise NameTaken(f"there is an account {name!r} already; choose another name")
        made = connection.execute(
            sa.insert(accounts).values(name=name, board=board, created=now).returning(accounts.c.id)
        ).scalar_one()
        account = Account(id=made, name=name, board=board, created=now, revoked=None)
        append(connection, now, actor, "create account", f"account {account.id}", name=name,
               board=board)  # fmt: skip
        return account

    def get(self, account: int) -> Account:
        """Return an account.

        Raises:
            InvalidEntry: There is none of this id.
        """
        with self._database.read() as connection:
            return _account(connection, account)

    def of(self, board: str | None = None) -> Sequence[Account]:
        """Return the accounts of a board, or those of all boards, oldest first."""
        same = accounts.c.board.is_not_distinct_from(board)
        with self._database.read() as connection:
            found = connection.execute(sa.select(accounts).where(same).order_by(accounts.c.id))
            return [Account(**row._asdict()) for row in found]

    def revoke(self, account: int, *, actor: str = "operator") -> None:
        """Let an account do nothing more; what it handed in stays."""
        now = self._database.clock()
        with self._database.write() as connection:
            _account(connection, account)
            connection.execute(
                sa.update(accounts).where(accounts.c.id == account).values(revoked=now)
            )
            append(connection, now, actor, "revoke account", f"account {account}")

    def issue(
        self,
        account: int,
        scopes: Iterable[Scope] = ("submit",),
        *,
        label: str = "",
        expires: float | None = None,
        actor: str = "operator",
    ) -> str:
        """Make a token for an account and return it: it is shown this once.

        Args:
            account: Id of the account.
            scopes: What the token allows.
            label: What it is for.
            expires: When it ends, in UNIX seconds; None if it does not.
            actor: Who makes it, for the log.

        Raises:
            InvalidEntry: There is no such account or scope.
        """
        with self._database.write() as connection:
            _account(connection, account)
            return self._issue(connection, account, frozenset(scopes), label, expires, actor)

    def _issue(
        self, connection: Connection, account: int, scopes: frozenset[str], label: str,
        expires: float | None, actor: str,
    ) -> str:  # fmt: skip
        if not scopes or not scopes <= set(SCOPES):
            raise InvalidEntry(f"{sorted(scopes)} are no scopes; choose of {', '.join(SCOPES)}")
        now, (key, hashed, token) = self._database.clock(), _make("nts")
        told = ",".join(sorted(scopes))
        connection.execute(
            sa.insert(tokens).values(
                key=key, hash=hashed, account=account, label=label, scopes=told, created=now,
                expires=expires,
            )
        )  # fmt: skip
        append(connection, now, actor, "issue token", f"account {account}", key=key, scopes=told,
               expires=expires)  # fmt: skip
        return token

    def tokens(self, account: int) -> Sequence[Token]:
        """Return what is known of the tokens of an account, oldest first."""
        query = sa.select(tokens).where(tokens.c.account == account).order_by(tokens.c.created)
        with self._database.read() as connection:
            return [_token(row) for row in connection.execute(query)]

    def revoke_token(self, key: str, *, actor: str = "operator") -> None:
        """Let a token, or a join token, allow nothing more.

        Args:
            key: Its public part.
            actor: Who revokes it, for the log.

        Raises:
            InvalidToken: There is no token with this key.
        """
        now = self._database.clock()
        with self._database.write() as connection:
            for table in (tokens, joins):
                unrevoked = sa.and_(table.c.key == key, table.c.revoked.is_(None))
                if connection.execute(
                    sa.update(table).where(unrevoked).values(revoked=now)
                ).rowcount:
                    append(connection, now, actor, "revoke token", f"token {key}")
                    return
        raise InvalidToken(f"there is no valid token with the key {key[:80]!r}; list them first")

    def authenticate(self, token: str, scope: Scope) -> Account:
        """Return whose token this is.

        Args:
            token: As its bearer shows it.
            scope: What it must allow; "admin" includes "submit".

        Raises:
            InvalidToken: It is unknown, forged, expired or revoked, or its account is revoked.
            MissingScope: It does not allow this.
        """
        with self._database.read() as connection:
            row = self._find(connection, token, "nts")
            account = _account(connection, row.account)
        if account.revoked is not None:
            raise InvalidToken(f"account {account.name!r} is revoked; ask who runs the board")
        scopes = row.scopes.split(",")
        if scope not in scopes and "admin" not in scopes:
            raise MissingScope(f"this token allows {row.scopes!r}, not {scope!r}; ask for another")
        return account

    def join_token(
        self, board: str, *, uses: int = 1, expires: float | None = None, actor: str = "operator"
    ) -> str:
        """Make a token with which students make their accounts, and return it: shown this once.

        Args:
            board: Which board they join.
            uses: How many accounts it makes.
            expires: When it ends, in UNIX seconds; None if it does not.
            actor: Who makes it, for the log.

        Raises:
            UnknownBoard: There is no such board.
            InvalidEntry: It would make no account.
        """
        if uses < 1:
            raise InvalidEntry(f"a join token with {uses} uses makes no account; allow at least 1")
        now, (key, hashed, token) = self._database.clock(), _make("ntj")
        with self._database.write() as connection:
            board_of(connection, board)
            connection.execute(
                sa.insert(joins).values(
                    key=key, hash=hashed, board=board, uses=uses, created=now, expires=expires
                )
            )
            append(connection, now, actor, "issue join token", f"board {board}", key=key,
                   uses=uses, expires=expires)  # fmt: skip
        return token

    def join(self, token: str, name: str) -> tuple[Account, str]:
        """Make an account of a board; return it with its first token, which is shown this once.

        Args:
            token: The join token.
            name: Of the new account.

        Raises:
            InvalidToken: It is unknown, forged, expired, revoked or used up.
            InvalidEntry: No account can have this name.
            NameTaken: Another account of this board has it.
        """
        with self._database.write() as connection:
            row = self._find(connection, token, "ntj")
            actor = f"join token {row.key}"
            left = sa.and_(joins.c.key == row.key, joins.c.uses > 0)
            taken = sa.update(joins).where(left).values(uses=joins.c.uses - 1)
            if not connection.execute(taken).rowcount:
                raise InvalidToken("this join token is used up; ask for another")
            account = self._create(connection, name, row.board, actor)
            scopes = frozenset({"submit"})
            return account, self._issue(connection, account.id, scopes, "join", None, actor)

    def _find(self, connection: Connection, token: str, kind: str) -> Row[Any]:
        """Return the row of a token that is good.

        Raises:
            InvalidToken: It is unknown, forged, expired or revoked.
        """
        match = _TOKEN.fullmatch(token)
        if match is None or match[1] != kind:
            raise InvalidToken("this is no token of this board; copy it whole")
        table = _TABLES[kind]
        row = connection.execute(sa.select(table).where(table.c.key == match[2])).one_or_none()
        known = row.hash if row is not None else ""  # the same work for an unknown key
        if not hmac.compare_digest(_digest(match[3]), known) or row is None:
            raise InvalidToken("this token is unknown; ask for another")
        if row.revoked is not None:
            raise InvalidToken(f"token {row.key} is revoked; ask for another")
        if row.expires is not None and self._database.clock() >= row.expires:
            raise InvalidToken(f"token {row.key} has expired; ask for another")
        return row


def _make(kind: str) -> tuple[str, str, str]:
    """Return key, hash and text of a new token."""
    key, secret = secrets.token_hex(_KEY), secrets.token_urlsafe(_SECRET)
    return key, _digest(secret), f"{kind}_{key}_{secret}"


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _account(connection: Connection, account: int) -> Account:
    row = connection.execute(sa.select(accounts).where(accounts.c.id == account)).one_or_none()
    if row is None:
        raise InvalidEntry(f"there is no account {account}; create it first")
    return Account(**row._asdict())


def _token(row: Row[Any]) -> Token:
    told = {name: value for name, value in row._asdict().items() if name != "hash"}
    return Token(**{**told, "scopes": frozenset(row.scopes.split(","))})
