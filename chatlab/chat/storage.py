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

from ..messages import Reply, Request

SAVED_REPLIES = 1_000  # for each account; the oldest is forgotten first


class StoredMessage(Struct, frozen=True, gc=False):
    """A message in a mailbox. The sender's id outlives the sender's name, which another account may take later."""

    number: int
    sender_id: int
    sender: str
    text: str
    returned: bool


class StoredAccount(Protocol):
    """What a store tells about an account. `password_hash` is a salted slow hash, or empty."""

    @property
    def id(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def password_hash(self) -> str: ...


class Store(Protocol):
    """What the service asks of a store. An account is named by its id, except where it is looked up by its name."""

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

    def delete(self, id: int) -> None:
        """Forget the account and everything it owns. Its name is free again; its id is never used again."""

    def names(self, after: str = "", prefix: str = "") -> Iterator[str]:
        """The names that sort after `after` and start with `prefix`, in the order of code points."""

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

    def saved_reply(self, id: int, request_id: str) -> tuple[Request, Reply] | None:
        """The request that had this request id, and the reply to it."""

    def save_reply(self, id: int, request_id: str, request: Request, reply: Reply) -> None: ...


class AccountRecord:
    """One account in memory, with everything it owns."""

    __slots__ = ("id", "name", "password_hash", "balance", "last_number", "acknowledged", "mailbox", "replies")

    def __init__(self, id: int, name: str, password_hash: str):
        self.id, self.name, self.password_hash = id, name, password_hash
        self.balance = 0
        self.last_number = self.acknowledged = 0
        self.mailbox: list[StoredMessage] = []  # in the order of their numbers
        self.replies: dict[str, tuple[Request, Reply]] = {}

    def __repr__(self) -> str:
        return f"<AccountRecord {self.id} {self.name!r}: {len(self.mailbox)} unread, balance {self.balance}>"


class MemoryStore:
    """Accounts in two dictionaries and a sorted list of names."""

    def __init__(self) -> None:
        self._by_id: dict[int, AccountRecord] = {}
        self._by_name: dict[str, AccountRecord] = {}
        self._names: list[str] = []
        self._last_id = 0

    def __repr__(self) -> str:
        return f"<MemoryStore of {len(self._by_id)} accounts>"

    def commit(self) -> None:
        """Nothing to do: every write is kept at once."""

    def rollback(self) -> None:
        """Nothing can be undone; nothing here fails between two writes."""

    def close(self) -> None:
        """Nothing to release."""

    # ---- accounts

    def create(self, name: str, password_hash: str = "") -> AccountRecord:
        self._last_id += 1
        record = AccountRecord(self._last_id, name, password_hash)
        self._by_id[record.id] = self._by_name[name] = record
        insort(self._names, name)
        return record

    def by_name(self, name: str) -> AccountRecord | None:
        return self._by_name.get(name)

    def by_id(self, id: int) -> AccountRecord | None:
        return self._by_id.get(id)

    def delete(self, id: int) -> None:
        record = self._by_id.pop(id)
        del self._by_name[record.name]
        del self._names[bisect_left(self._names, record.name)]

    def names(self, after: str = "", prefix: str = "") -> Iterator[str]:
        start = max(bisect_right(self._names, after), bisect_left(self._names, prefix))
        for name in islice(self._names, start, None):
            if not name.startswith(prefix):
                return
            yield name

    # ---- mail

    def put(self, id: int, sender_id: int, sender: str, text: str, returned: bool = False) -> int:
        record = self._by_id[id]
        record.last_number = number = record.last_number + 1
        record.mailbox.append(StoredMessage(number, sender_id, sender, text, returned))
        return number

    def mail(self, id: int, after: int = 0) -> Iterator[StoredMessage]:
        mailbox = self._by_id[id].mailbox
        return (mailbox[at] for at in range(_count_up_to(mailbox, after), len(mailbox)))

    def unread(self, id: int) -> int:
        return len(self._by_id[id].mailbox)

    def acknowledged(self, id: int) -> int:
        return self._by_id[id].acknowledged

    def acknowledge(self, id: int, number: int) -> None:
        record = self._by_id[id]
        number = min(number, record.last_number)
        if number <= record.acknowledged:
            return
        record.acknowledged = number
        del record.mailbox[: _count_up_to(record.mailbox, number)]

    def remove(self, id: int, numbers: Iterable[int]) -> int:
        record, unwanted = self._by_id[id], set(numbers)
        before = len(record.mailbox)
        record.mailbox = [message for message in record.mailbox if message.number not in unwanted]
        return before - len(record.mailbox)

    # ---- balance, and saved replies

    def balance(self, id: int) -> int:
        return self._by_id[id].balance

    def set_balance(self, id: int, amount: int) -> None:
        self._by_id[id].balance = amount

    def saved_reply(self, id: int, request_id: str) -> tuple[Request, Reply] | None:
        return self._by_id[id].replies.get(request_id)

    def save_reply(self, id: int, request_id: str, request: Request, reply: Reply) -> None:
        replies = self._by_id[id].replies
        replies[request_id] = (request, reply)
        if len(replies) > SAVED_REPLIES:
            del replies[next(iter(replies))]


def _count_up_to(mailbox: list[StoredMessage], number: int) -> int:
    return bisect_right(mailbox, number, key=attrgetter("number"))
