"""The same store in an SQLite file: what was accepted outlives the process.

It has the methods of `MemoryStore`, with the same results. Everything that one request writes is committed together, or
not at all. The file is in WAL mode with `synchronous=NORMAL`: a killed process loses nothing for which a reply was
sent; a power cut may lose the last moments before it (https://sqlite.org/pragma.html#pragma_synchronous).

What a mailbox holds is counted in its account, so that nothing has to be counted when a message is sent. Messages that
were acknowledged are invisible at once, and their rows are deleted later, a bounded number at a time. So are the texts
of messages that were deleted: to free the pages of a long text takes longer than a request may.
"""

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from ..messages import Message, Reply
from .storage import SAVED_REPLIES, StoredMessage
from .weight import text_weight

APPLICATION_ID = int.from_bytes(b"chat")  # how SQLite marks the file as ours
VERSION = 2
#: Compared, as text, with the tables of a file that is opened: a change takes another version.
TABLES = """
create table accounts (
    id integer primary key autoincrement,
    name text unique,  -- null once the account is deleted; the row stays until its mail was returned
    former_name text not null default '',
    password_hash text not null,
    balance integer not null default 0,
    last_number integer not null default 0,
    acknowledged integer not null default 0,
    unread integer not null default 0,
    mail_bytes integer not null default 0,
    last_reply integer not null default 0
);
create table mail (
    account integer not null,
    number integer not null,
    size integer not null,
    text_id integer not null,
    sender_id integer not null,
    sender text not null,
    returned integer not null,
    primary key (account, number)
) without rowid;
create table texts (
    id integer primary key,
    text text not null
);
create table unused_texts (
    id integer primary key,
    size integer not null
);
create table replies (
    account integer not null,
    nth integer not null,
    request_id text not null,
    fingerprint blob not null,
    reply blob not null,
    primary key (account, nth)
) without rowid;
create unique index reply_by_request_id on replies (account, request_id);
"""
SCHEMA = "select name, sql from sqlite_master where sql is not null and name not like 'sqlite_%' order by name"
HEADER_BYTES = 100
PURGED_ROWS, PURGED_BYTES = 200, 256 << 10  # at once


class AccountRow(NamedTuple):
    """What the store tells about an account."""

    id: int
    name: str
    password_hash: str
    unread: int
    mail_bytes: int


class SqliteStore:
    """Accounts, mail and balances in the file at `path`, which only its owner may read.

    `pack` and `unpack` take a message to bytes and back, for the replies that are saved: the store knows no codec.
    Raises `ValueError` where the path names no file, the file is not a chatlab store of this version, or another
    program has it open for longer than `wait_s` seconds. A file that is refused is not changed.
    """

    def __init__(
        self,
        path: str,
        pack: Callable[[Message], bytes],
        unpack: Callable[[bytes], Message],
        wait_s: float = 5.0,
    ):
        self.path = _file_path(path)
        self._pack, self._unpack = pack, unpack
        self.account_count = self.mail_bytes = 0
        self._committed = 0, 0  # the two as of the last commit
        self._garbage: set[int] = set()  # accounts with rows of acknowledged mail
        self._has_unused_texts = False
        self._purged: set[int] = set()  # accounts that were taken out of `_garbage` since the last commit
        try:
            is_new = _make_file(self.path) or os.path.getsize(self.path) == 0
            if not is_new:
                _check_file(self.path)
            # One caller at a time, but from many threads. We begin and commit transactions ourselves.
            self._db = sqlite3.connect(self.path, timeout=wait_s, check_same_thread=False, isolation_level=None)
            try:
                self._open()
            except BaseException:
                self._db.close()
                raise
        except sqlite3.OperationalError as error:
            why = "another program has it open" if "locked" in str(error) else str(error)
            raise ValueError(f"the store {self.path} cannot be opened: {why}") from error
        except sqlite3.DatabaseError as error:
            raise ValueError(f"{self.path} is not a chatlab store: {error}") from error
        except OSError as error:
            raise ValueError(f"the store {self.path} cannot be opened: {_why(self.path, error)}") from error

    def __repr__(self) -> str:
        return f"<SqliteStore {self.path}>"

    def _open(self) -> None:
        self._db.execute("pragma locking_mode = exclusive")  # or a request would wait whenever another program writes
        if self._one("select count(*) from sqlite_master")[0] == 0:
            # Before WAL mode, so that the file itself says whose it is, whatever happens to the log beside it.
            identity = f"pragma application_id = {APPLICATION_ID}; pragma user_version = {VERSION};"
            self._db.executescript(f"begin exclusive; {TABLES} {identity} commit;")
        self._db.execute("pragma journal_mode = wal")
        self._db.execute("pragma synchronous = normal")
        self._db.execute("begin immediate")  # which takes the lock that it then keeps
        self._db.execute("commit")
        self.account_count = self._one("select count(*) from accounts where name is not null")[0]
        self.mail_bytes = self._one("select coalesce(sum(mail_bytes), 0) from accounts")[0]
        self._committed = self.account_count, self.mail_bytes
        acknowledged_rows = "select 1 from mail where account = accounts.id and number <= accounts.acknowledged"
        found = self._db.execute(f"select id from accounts where exists ({acknowledged_rows})")
        self._garbage.update([id for (id,) in found])
        self._has_unused_texts = bool(self._one("select exists (select 1 from unused_texts)")[0])

    def commit(self) -> None:
        if self._db.in_transaction:
            self._db.execute("commit")
            self._committed = self.account_count, self.mail_bytes
            self._purged.clear()

    def rollback(self) -> None:
        if self._db.in_transaction:
            self._db.execute("rollback")
        self.account_count, self.mail_bytes = self._committed
        self._garbage |= self._purged
        self._has_unused_texts = True  # perhaps

    def close(self) -> None:
        self.commit()
        self._db.close()

    # ---- accounts

    def create(self, name: str, password_hash: str = "") -> AccountRow:
        id = self._write("insert into accounts (name, password_hash) values (?, ?)", name, password_hash).lastrowid
        assert id is not None
        self.account_count += 1
        return AccountRow(id, name, password_hash, 0, 0)

    def by_name(self, name: str) -> AccountRow | None:
        return self._account("name = ?", name)

    def by_id(self, id: int) -> AccountRow | None:
        return self._account("id = ? and name is not null", id) if id < 2**63 else None

    def _account(self, condition: str, value: object) -> AccountRow | None:
        columns = "id, name, password_hash, unread, mail_bytes"
        row = self._db.execute(f"select {columns} from accounts where {condition}", (value,)).fetchone()
        return None if row is None else AccountRow(*row)

    def names(self, after: str = "", prefix: str = "") -> Iterator[str]:
        rows = self._db.execute("select name from accounts where name > ? and name >= ? order by name", (after, prefix))
        for (name,) in rows:
            if not name.startswith(prefix):
                return
            yield name

    def delete(self, id: int) -> None:
        self._write("delete from replies where account = ?", id)
        self._write("update accounts set former_name = name, name = null, password_hash = '' where id = ?", id)
        self.account_count -= 1

    def deleted(self) -> list[tuple[int, str]]:
        return self._db.execute("select id, former_name from accounts where name is null").fetchall()

    def forget(self, id: int) -> None:
        last_number = self._one("select coalesce(max(last_number), 0) from accounts where id = ?", id)[0]
        self._drop(id, "number > (select acknowledged from accounts where id = ?)", id)
        self._write("update accounts set acknowledged = ? where id = ?", last_number, id)
        self._garbage.add(id)
        self._purge_mail(id)

    # ---- mail

    def put(self, id: int, sender_id: int, sender: str, text: str, returned: bool = False) -> int:
        size = text_weight(text)
        self._write(
            "update accounts set last_number = last_number + 1, unread = unread + 1, mail_bytes = mail_bytes + ?"
            " where id = ?",
            size,
            id,
        )
        number: int = self._one("select last_number from accounts where id = ?", id)[0]
        text_id = self._write("insert into texts (text) values (?)", text).lastrowid
        self._write(
            "insert into mail (account, number, size, text_id, sender_id, sender, returned)"
            " values (?, ?, ?, ?, ?, ?, ?)",
            *(id, number, size, text_id, sender_id, sender, returned),
        )
        self.mail_bytes += size
        return number

    def mail(self, id: int, after: int = 0) -> Iterator[StoredMessage]:
        rows = self._db.execute(
            "select number, sender_id, sender, text, returned from mail join texts on texts.id = text_id"
            " where account = ? and number > ? order by number",
            (id, max(after, self.acknowledged(id))),
        )
        return (StoredMessage(row[0], row[1], row[2], row[3], bool(row[4])) for row in rows)

    def unread(self, id: int) -> int:
        return int(self._one("select unread from accounts where id = ?", id)[0])

    def acknowledged(self, id: int) -> int:
        return int(self._one("select acknowledged from accounts where id = ?", id)[0])

    def acknowledge(self, id: int, number: int) -> None:
        acknowledged, last_number = self._one("select acknowledged, last_number from accounts where id = ?", id)
        number = min(number, last_number)
        if number <= acknowledged:
            return
        self._write("update accounts set acknowledged = ? where id = ?", number, id)
        if self._drop(id, "number > ? and number <= ?", acknowledged, number):
            self._garbage.add(id)
            self._purge_mail(id)

    def remove(self, id: int, numbers: Iterable[int]) -> int:
        acknowledged = self.acknowledged(id)
        wanted = [number for number in set(numbers) if number > acknowledged]
        removed = 0
        for start in range(0, len(wanted), 500):  # SQLite takes a bounded number of parameters
            some = wanted[start : start + 500]
            condition = f"number in ({', '.join('?' * len(some))})"
            removed += self._drop(id, condition, *some)
            unused = f"select text_id, size from mail where account = ? and {condition}"
            self._write(f"insert into unused_texts {unused}", id, *some)
            self._write(f"delete from mail where account = ? and {condition}", id, *some)
        if removed:
            self._has_unused_texts = True
            self._purge_texts()
        return removed

    def _drop(self, id: int, condition: str, *values: int) -> int:
        """Count the messages that fulfil the condition out of the mailbox. Returns how many these are."""
        select = f"select count(*), coalesce(sum(size), 0) from mail where account = ? and {condition}"
        count, size = self._one(select, id, *values)
        if count:
            counters = "update accounts set unread = unread - ?, mail_bytes = mail_bytes - ? where id = ?"
            self._write(counters, count, size, id)
            self.mail_bytes -= size
        return int(count)

    # ---- rows that are not used any more

    @property
    def has_garbage(self) -> bool:
        return bool(self._garbage) or self._has_unused_texts

    def purge(self) -> None:
        if self._has_unused_texts:
            self._purge_texts()
        elif self._garbage:
            self._purge_mail(next(iter(self._garbage)))

    def _purge_texts(self) -> None:
        """Delete a bounded number of unused texts."""
        rows = self._db.execute("select id, size from unused_texts order by id limit ?", (PURGED_ROWS,)).fetchall()
        count = _within_bounds([size for _, size in rows])
        if count:
            last = rows[count - 1][0]
            self._write("delete from texts where id in (select id from unused_texts where id <= ?)", last)
            self._write("delete from unused_texts where id <= ?", last)
        self._has_unused_texts = count == PURGED_ROWS or count < len(rows)

    def _purge_mail(self, id: int) -> None:
        """Delete a bounded number of acknowledged messages, and at last the row of a deleted account."""
        rows = self._db.execute(
            "select number, size from mail where account = ?"
            " and number <= (select acknowledged from accounts where id = ?) order by number limit ?",
            (id, id, PURGED_ROWS),
        ).fetchall()
        count = _within_bounds([size for _, size in rows])
        if count:
            last = rows[count - 1][0]
            texts = "select text_id from mail where account = ? and number <= ?"
            self._write(f"delete from texts where id in ({texts})", id, last)
            self._write("delete from mail where account = ? and number <= ?", id, last)
        if count < PURGED_ROWS and count == len(rows):
            self._write("delete from accounts where id = ? and name is null and unread = 0", id)
            self._garbage.discard(id)
            self._purged.add(id)

    # ---- balance, and saved replies

    def balance(self, id: int) -> int:
        return int(self._one("select balance from accounts where id = ?", id)[0])

    def set_balance(self, id: int, amount: int) -> None:
        self._write("update accounts set balance = ? where id = ?", amount, id)

    def saved_reply(self, id: int, request_id: str) -> tuple[bytes, Reply] | None:
        select = "select fingerprint, reply from replies where account = ? and request_id = ?"
        row = self._db.execute(select, (id, request_id)).fetchone()
        return None if row is None else (row[0], self._unpack(row[1]))  # type: ignore[return-value]

    def save_reply(self, id: int, request_id: str, fingerprint: bytes, reply: Reply) -> None:
        self._write("update accounts set last_reply = last_reply + 1 where id = ?", id)
        nth = self._one("select last_reply from accounts where id = ?", id)[0]
        insert = "insert into replies (account, nth, request_id, fingerprint, reply) values (?, ?, ?, ?, ?)"
        self._write(insert, id, nth, request_id, fingerprint, self._pack(reply))
        self._write("delete from replies where account = ? and nth <= ?", id, nth - SAVED_REPLIES)

    # ---- the file

    def _write(self, statement: str, *values: object) -> sqlite3.Cursor:
        if not self._db.in_transaction:
            self._db.execute("begin immediate")
        return self._db.execute(statement, values)

    def _one(self, question: str, *values: object) -> tuple[Any, ...]:
        """The one row that answers the question; there is always one."""
        row: tuple[Any, ...] = self._db.execute(question, values).fetchone()
        return row


def _within_bounds(sizes: list[int]) -> int:
    """How many of the texts of these sizes may be deleted at once: at least one."""
    total = 0
    for count, size in enumerate(sizes):
        total += size
        if total > PURGED_BYTES:
            return max(count, 1)
    return len(sizes)


def _file_path(path: str) -> str:
    """The path with `~` expanded. Raises `ValueError` for what SQLite would not take for the path of a file."""
    if path in ("", ":memory:") or path.startswith("file:"):
        raise ValueError(f"a store is the path of a file, not {path!r}; without a store the chat is kept in memory")
    return os.path.expanduser(path)


def _make_file(path: str) -> bool:
    """Make an empty file that only its owner may read. False where there is one already."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        return False
    return True


def _check_file(path: str) -> None:
    """Raises `sqlite3.DatabaseError` where a file is not a store of this version. Reads it, and changes nothing."""
    with open(path, "rb") as file:
        header = file.read(HEADER_BYTES)
    if not header.startswith(b"SQLite format 3\0"):
        raise sqlite3.DatabaseError("it is another kind of file")
    if int.from_bytes(header[68:72]) != APPLICATION_ID:
        raise sqlite3.DatabaseError(
            "it is an SQLite file of another program, or of a chatlab before version 2 of the file"
        )
    version = int.from_bytes(header[60:64])
    if version != VERSION:
        raise sqlite3.DatabaseError(f"its version is {version}, this program reads version {VERSION}")
    ours = sqlite3.connect(":memory:")
    ours.executescript(TABLES)
    # Immutable: SQLite takes no lock, and makes no file beside it.
    theirs = sqlite3.connect(f"file:{quote(os.path.abspath(path))}?mode=ro&immutable=1", uri=True)
    try:
        if theirs.execute(SCHEMA).fetchall() != ours.execute(SCHEMA).fetchall():
            raise sqlite3.DatabaseError("its tables are not those of a chat")
    finally:
        ours.close()
        theirs.close()


def _why(path: str, error: OSError) -> str:
    if not Path(path).absolute().parent.is_dir():
        return f"there is no folder {Path(path).parent}"
    return error.strerror or str(error)
