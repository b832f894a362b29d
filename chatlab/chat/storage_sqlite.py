"""The same store in an SQLite file: what was accepted outlives the process.

It has the methods of `MemoryStore`, with the same results. Everything that one request writes is committed together,
or not at all. The file is in WAL mode with `synchronous=NORMAL`: a killed process loses nothing for which a reply was
sent; a power cut may lose the last moments before it (https://sqlite.org/pragma.html#pragma_synchronous)."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ..messages import Message, Reply, Request
from .storage import SAVED_REPLIES, StoredMessage

VERSION = 1
TABLES = """
create table accounts (
    id integer primary key autoincrement,
    name text not null unique,
    password_hash text not null,
    balance integer not null default 0,
    last_number integer not null default 0,
    acknowledged integer not null default 0
);
create table mail (
    account integer not null references accounts on delete cascade,
    number integer not null,
    sender_id integer not null,
    sender text not null,
    text text not null,
    returned integer not null,
    primary key (account, number)
) without rowid;
create table answers (
    nth integer primary key autoincrement,
    account integer not null references accounts on delete cascade,
    request_id text not null,
    request blob not null,
    answer blob not null,
    unique (account, request_id)
);
"""


class Row(NamedTuple):
    """Who an account is."""

    id: int
    name: str
    password_hash: str


class SqliteStore:
    """Accounts, mail and balances in the file at `path`.

    `pack` and `unpack` take a message to bytes and back, for the answers that are remembered: the store knows no
    spelling. Raises `ValueError` where the file is not a chatlab store of this version, or another program has it open
    for longer than `wait_s` seconds.
    """

    def __init__(
        self, path: str, pack: Callable[[Message], bytes], unpack: Callable[[bytes], Any], wait_s: float = 5.0
    ):
        self.path = path
        self._pack, self._unpack = pack, unpack
        try:
            # One turn at a time asks, but from many threads. We begin and commit ourselves.
            self._db = sqlite3.connect(path, timeout=wait_s, check_same_thread=False, isolation_level=None)
            self._open()
        except sqlite3.OperationalError as error:
            raise ValueError(f"the store {path} cannot be opened: {_why(path, error)}") from error
        except sqlite3.DatabaseError as error:
            raise ValueError(f"{path} is not a chatlab store: {error}") from error

    def __repr__(self):
        return f"<SqliteStore {self.path}>"

    def _open(self) -> None:
        self._db.execute("pragma locking_mode = exclusive")  # or a turn would wait whenever another program writes
        self._db.execute("pragma journal_mode = wal")
        self._db.execute("pragma synchronous = normal")
        self._db.execute("pragma foreign_keys = on")
        version = self._one("pragma user_version")[0]
        if version == 0 and self._one("select count(*) from sqlite_master")[0] == 0:
            self._db.executescript(f"{TABLES} pragma user_version = {VERSION};")
        elif version != VERSION:
            raise sqlite3.DatabaseError(f"its version is {version}, this program reads version {VERSION}")
        self._db.execute("begin immediate")  # which takes the lock that it then keeps
        self._db.execute("commit")

    def commit(self) -> None:
        """The turn is over: all it wrote is kept."""
        if self._db.in_transaction:
            self._db.execute("commit")

    def rollback(self) -> None:
        """The turn failed: nothing that it wrote is kept."""
        if self._db.in_transaction:
            self._db.execute("rollback")

    def close(self) -> None:
        self.commit()
        self._db.close()

    # ---- accounts

    def create(self, name: str, password_hash: str = "") -> Row:
        return Row(
            self._write("insert into accounts (name, password_hash) values (?, ?)", name, password_hash).lastrowid,
            name,
            password_hash,
        )

    def by_name(self, name: str) -> Row | None:
        return self._row("select id, name, password_hash from accounts where name = ?", name)

    def by_id(self, id: int) -> Row | None:
        return self._row("select id, name, password_hash from accounts where id = ?", id) if id < 2**63 else None

    def delete(self, id: int) -> None:
        self._write("delete from accounts where id = ?", id)

    def names(self, after: str = "", prefix: str = "") -> Iterator[str]:
        found = self._db.execute(
            "select name from accounts where name > ? and name >= ? order by name", (after, prefix)
        )
        for (name,) in found:
            if not name.startswith(prefix):
                return
            yield name

    # ---- mail

    def put(self, id: int, sender_id: int, sender: str, text: str, returned: bool = False) -> int:
        self._write("update accounts set last_number = last_number + 1 where id = ?", id)
        number = self._one("select last_number from accounts where id = ?", id)[0]
        self._write("insert into mail values (?, ?, ?, ?, ?, ?)", id, number, sender_id, sender, text, returned)
        return number

    def mail(self, id: int, after: int = 0) -> Iterator[StoredMessage]:
        found = self._db.execute(
            "select number, sender_id, sender, text, returned from mail where account = ? and number > ?"
            " order by number",
            (id, after),
        )
        return (StoredMessage(*row[:4], bool(row[4])) for row in found)

    def unread(self, id: int) -> int:
        return self._one("select count(*) from mail where account = ?", id)[0]

    def acknowledged(self, id: int) -> int:
        return self._one("select acknowledged from accounts where id = ?", id)[0]

    def acknowledge(self, id: int, number: int) -> None:
        self._write(
            "update accounts set acknowledged = max(acknowledged, min(?, last_number)) where id = ?", number, id
        )
        self._write("delete from mail where account = ? and number <= ?", id, self.acknowledged(id))

    def remove(self, id: int, numbers: Iterable[int]) -> int:
        delete = "delete from mail where account = ? and number = ?"
        return sum(self._write(delete, id, number).rowcount for number in numbers)

    # ---- balance, and answers already given

    def balance(self, id: int) -> int:
        return self._one("select balance from accounts where id = ?", id)[0]

    def set_balance(self, id: int, amount: int) -> None:
        self._write("update accounts set balance = ? where id = ?", amount, id)

    def saved_reply(self, id: int, request_id: str) -> tuple[Request, Reply] | None:
        found = self._one("select request, answer from answers where account = ? and request_id = ?", id, request_id)
        return None if found is None else (self._unpack(found[0]), self._unpack(found[1]))

    def save_reply(self, id: int, request_id: str, request: Request, reply: Reply) -> None:
        insert = "insert into answers (account, request_id, request, answer) values (?, ?, ?, ?)"
        self._write(insert, id, request_id, self._pack(request), self._pack(reply))
        oldest = "select nth from answers where account = ? order by nth desc limit 1 offset ?"
        self._write(f"delete from answers where account = ? and nth <= ({oldest})", id, id, SAVED_REPLIES)

    # ---- the file

    def _write(self, statement: str, *values) -> sqlite3.Cursor:
        if not self._db.in_transaction:
            self._db.execute("begin immediate")
        return self._db.execute(statement, values)

    def _one(self, question: str, *values) -> tuple | None:
        return self._db.execute(question, values).fetchone()

    def _row(self, question: str, *values) -> Row | None:
        found = self._one(question, *values)
        return Row(*found) if found else None


def _why(path: str, error: sqlite3.OperationalError) -> str:
    if "locked" in str(error):
        return "another program has it open"
    if not Path(path).absolute().parent.is_dir():
        return f"there is no folder {Path(path).parent}"
    return str(error)
