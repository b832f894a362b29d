"""Where accounts, mail and balances are kept. A store knows no rule of the chat: whether a request is allowed is the
service's question.

A store is called by one caller at a time, under the hub's lock, so it needs no lock of its own. `MemoryStore` forgets
everything when the process ends; `storage_sqlite.SqliteStore` does not.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator
from itertools import islice
from operator import attrgetter
from typing import Protocol

from msgspec import Struct

from ..messages import Reply
from .weight import text_weight

SAVED_REPLIES = 1_000  # for each account; the oldest is forgotten first
_number = attrgetter("number")


class StoredMessage(Struct, frozen=True, gc=False):
    """A message in a mailbox. The sender's id outlives the sender's name, which another account may take later."""

    number: int
    sender_id: int
    sender: str
    text: str
    returned: bool


class StoredAccount(Protocol):
    """What a store tells about an account. `password_hash` is a salted slow hash, or empty.

    `unread` counts the messages in the mailbox, and `mail_bytes` is what their texts weigh.
    """

    @property
    def id(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def password_hash(self) -> str: ...
    @property
    def unread(self) -> int: ...
    @property
    def mail_bytes(self) -> int: ...


class Store(Protocol):
    """What the service asks of a store. An account is named by its id, except where it is looked up by its name.

    No method takes longer the more the store holds, except for what a logarithm adds. `acknowledge` and `delete` may
    leave data behind that no other method sees; `has_garbage` tells of it, and `purge` removes it bit by bit.
    """

    account_count: int
    mail_bytes: int  #: what the texts of all mailboxes weigh

    @property
    def has_garbage(self) -> bool: ...

    def purge(self) -> None:
        """Remove a bounded part of what no other method sees any more."""

    def commit(self) -> None:
        """Keep everything written since the last commit."""

    def rollback(self) -> None:
        """Undo everything written since the last commit."""

    def close(self) -> None:
        """Commit and release what the store holds. It is not used afterwards."""

    def create(self, name: str, password_hash: str = "") -> StoredAccount:
        """A new account with an id that was never used before. The name must be free."""

    def by_name(self, name: str) -> StoredAccount | None: ...

    def by_id(self, id: int) -> StoredAccount | None: ...

    def names(self, after: str = "", prefix: str = "") -> Iterator[str]:
        """The names that sort after `after` and start with `prefix`, in the order of code points."""

    def delete(self, id: int) -> None:
        """Forget the account and everything it owns but its mail. Its name is free; its id is never used again.

        Its mail can still be read and removed under its id, until `forget`.
        """

    def deleted(self) -> list[tuple[int, str]]:
        """The ids and former names of the accounts that were deleted and not forgotten."""

    def forget(self, id: int) -> None:
        """Forget the mail of a deleted account too."""

    def put(self, id: int, sender_id: int, sender: str, text: str, returned: bool = False) -> int:
        """Append a message to a mailbox. Returns its number there, counted from 1 and never used twice."""

    def mail(self, id: int, after: int = 0) -> Iterator[StoredMessage]:
        """The messages in the mailbox with a number above `after`, oldest first."""

    def unread(self, id: int) -> int:
        """How many messages the mailbox holds."""

    def acknowledged(self, id: int) -> int:
        """The number up to which the mailbox was acknowledged."""

    def acknowledge(self, id: int, number: int) -> None:
        """Drop all messages up to and including `number`, but never one that is still to come."""

    def remove(self, id: int, numbers: Iterable[int]) -> int:
        """Drop these messages. Returns how many of them there were."""

    def balance(self, id: int) -> int: ...

    def set_balance(self, id: int, amount: int) -> None: ...

    def saved_reply(self, id: int, request_id: str) -> tuple[bytes, Reply] | None:
        """The fingerprint of the request that had this request id, and the reply to it."""

    def save_reply(self, id: int, request_id: str, fingerprint: bytes, reply: Reply) -> None: ...


class AccountRecord:
    """One account in memory, with everything it owns."""

    __slots__ = (
        "id", "name", "password_hash", "balance", "last_number", "acknowledged", "mailbox", "unread", "mail_bytes",
        "replies",
    )  # fmt: skip

    def __init__(self, id: int, name: str, password_hash: str):
        self.id, self.name, self.password_hash = id, name, password_hash
        self.balance = 0
        self.last_number = self.acknowledged = 0
        self.mailbox: list[StoredMessage] = []  # in the order of their numbers
        self.unread = self.mail_bytes = 0  # its length, and what its texts weigh
        self.replies: dict[str, tuple[bytes, Reply]] = {}

    def __repr__(self) -> str:
        return f"<AccountRecord {self.id} {self.name!r}: {self.unread} unread, balance {self.balance}>"


class MemoryStore:
    """Accounts in dictionaries and a sorted list of names."""

    has_garbage = False

    def __init__(self) -> None:
        self._by_id: dict[int, AccountRecord] = {}
        self._by_name: dict[str, AccountRecord] = {}
        self._names: list[str] = []
        self._deleted: dict[int, AccountRecord] = {}
        self._last_id = 0
        self.account_count = self.mail_bytes = 0

    def __repr__(self) -> str:
        return f"<MemoryStore of {len(self._by_id)} accounts>"

    def commit(self) -> None:
        """Nothing to do: every write is kept at once."""

    def rollback(self) -> None:
        """Nothing can be undone; nothing here fails between two writes."""

    def close(self) -> None:
        """Nothing to release."""

    def purge(self) -> None:
        """Nothing is left behind."""

    # ---- accounts

    def create(self, name: str, password_hash: str = "") -> AccountRecord:
        self._last_id += 1
        record = AccountRecord(self._last_id, name, password_hash)
        self._by_id[record.id] = self._by_name[name] = record
        insort(self._names, name)
        self.account_count += 1
        return record

    def by_name(self, name: str) -> AccountRecord | None:
        return self._by_name.get(name)

    def by_id(self, id: int) -> AccountRecord | None:
        return self._by_id.get(id)

    def names(self, after: str = "", prefix: str = "") -> Iterator[str]:
        start = max(bisect_right(self._names, after), bisect_left(self._names, prefix))
        for name in islice(self._names, start, None):
            if not name.startswith(prefix):
                return
            yield name

    def delete(self, id: int) -> None:
        record = self._deleted[id] = self._by_id.pop(id)
        del self._by_name[record.name]
        del self._names[bisect_left(self._names, record.name)]
        record.replies.clear()
        self.account_count -= 1

    def deleted(self) -> list[tuple[int, str]]:
        return [(record.id, record.name) for record in self._deleted.values()]

    def forget(self, id: int) -> None:
        self.mail_bytes -= self._deleted.pop(id).mail_bytes

    def _record(self, id: int) -> AccountRecord:
        return self._by_id.get(id) or self._deleted[id]

    # ---- mail

    def put(self, id: int, sender_id: int, sender: str, text: str, returned: bool = False) -> int:
        record = self._by_id[id]
        record.last_number = number = record.last_number + 1
        record.mailbox.append(StoredMessage(number, sender_id, sender, text, returned))
        size = len(text) if text.isascii() else 4 * len(text)  # text_weight, without the call
        record.unread += 1
        record.mail_bytes += size
        self.mail_bytes += size
        return number

    def mail(self, id: int, after: int = 0) -> Iterator[StoredMessage]:
        mailbox = self._record(id).mailbox
        return islice(mailbox, bisect_right(mailbox, after, key=_number), None)

    def unread(self, id: int) -> int:
        return self._record(id).unread

    def acknowledged(self, id: int) -> int:
        return self._by_id[id].acknowledged

    def acknowledge(self, id: int, number: int) -> None:
        record = self._by_id[id]
        number = min(number, record.last_number)
        if number <= record.acknowledged:
            return
        record.acknowledged = number
        mailbox = record.mailbox
        if number == record.last_number:
            mailbox.clear()
            self._drop(record, record.unread, record.mail_bytes)
        else:
            count = bisect_right(mailbox, number, key=_number)
            self._drop(record, count, _size(mailbox[:count]))
            del mailbox[:count]

    def remove(self, id: int, numbers: Iterable[int]) -> int:
        record = self._record(id)
        mailbox = record.mailbox
        places = [(bisect_left(mailbox, number, key=_number), number) for number in set(numbers)]
        found = sorted([at for at, number in places if at < len(mailbox) and mailbox[at].number == number])
        self._drop(record, len(found), _size([mailbox[at] for at in found]))
        if len(found) < 32:
            for at in reversed(found):
                del mailbox[at]
        else:
            unwanted = set(found)
            record.mailbox = [message for at, message in enumerate(mailbox) if at not in unwanted]
        return len(found)

    def _drop(self, record: AccountRecord, count: int, size: int) -> None:
        """Count so many messages of such a size out of the mailbox."""
        record.unread -= count
        record.mail_bytes -= size
        self.mail_bytes -= size

    # ---- balance, and saved replies

    def balance(self, id: int) -> int:
        return self._by_id[id].balance

    def set_balance(self, id: int, amount: int) -> None:
        self._by_id[id].balance = amount

    def saved_reply(self, id: int, request_id: str) -> tuple[bytes, Reply] | None:
        return self._by_id[id].replies.get(request_id)

    def save_reply(self, id: int, request_id: str, fingerprint: bytes, reply: Reply) -> None:
        replies = self._by_id[id].replies
        replies[request_id] = (fingerprint, reply)
        if len(replies) > SAVED_REPLIES:
            del replies[next(iter(replies))]


def _size(messages: list[StoredMessage]) -> int:
    return sum([text_weight(message.text) for message in messages])
