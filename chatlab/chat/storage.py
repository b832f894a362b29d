"""Where accounts, mail and balances are kept; the store knows no rule of the chat.

It is asked inside a turn, one caller at a time, so it needs no lock. It never refuses: whether a request is allowed
is the service's question. `MemoryStore` forgets everything when the process ends; `storage_sqlite` does not.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator
from itertools import islice
from operator import attrgetter

from msgspec import Struct

SAVED_REPLIES = 1_000  # for each account; the oldest is forgotten first


class StoredMessage(Struct, frozen=True, gc=False):
    """A message in a mailbox. The sender's id outlives a name that somebody else takes later."""

    number: int
    sender_id: int
    sender: str
    text: str
    returned: bool


class AccountRecord:
    """One account: who it is, and all it owns. `password_hash` is a password's salted slow hash, or empty."""

    __slots__ = ("id", "name", "password_hash", "balance", "last_number", "acknowledged", "mailbox", "answers")

    def __init__(self, id: int, name: str, password_hash: str):
        self.id, self.name, self.password_hash = id, name, password_hash
        self.balance = 0
        self.last_number = self.acknowledged = 0
        self.mailbox: list[StoredMessage] = []  # in the order of their numbers
        self.answers: dict[str, tuple[object, object]] = {}

    def __repr__(self):
        return f"<AccountRecord {self.id} {self.name!r}: {len(self.mailbox)} unread, balance {self.balance}>"


class MemoryStore:
    """Accounts in two dictionaries and one sorted list of names."""

    def __init__(self):
        self._by_id: dict[int, AccountRecord] = {}
        self._by_name: dict[str, AccountRecord] = {}
        self._names: list[str] = []
        self._last_id = 0

    def __repr__(self):
        return f"<MemoryStore of {len(self._by_id)} accounts>"

    def commit(self) -> None:
        """The turn is over: all it wrote is kept. Here it was kept at once."""

    def rollback(self) -> None:
        """The turn failed. What was written stays: here there is nothing to fail between two writes."""

    def close(self) -> None:
        """Nothing is asked any more."""

    # ---- accounts

    def create(self, name: str, password_hash: str = "") -> AccountRecord:
        """A new account with an id that was never used before. The name must be free."""
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
        """Forget the account and all it owns; its name is free again, its id never is."""
        record = self._by_id.pop(id)
        del self._by_name[record.name]
        del self._names[bisect_left(self._names, record.name)]

    def names(self, after: str = "", prefix: str = "") -> Iterator[str]:
        """The names that sort after `after` and start with `prefix`, in order of code points."""
        start = max(bisect_right(self._names, after), bisect_left(self._names, prefix))
        for name in islice(self._names, start, None):
            if not name.startswith(prefix):
                return
            yield name

    # ---- mail

    def put(self, id: int, sender_id: int, sender: str, text: str, returned: bool = False) -> int:
        """Append to a mailbox; the message's number there, counted from 1 and never used twice."""
        record = self._by_id[id]
        record.last_number = number = record.last_number + 1
        record.mailbox.append(StoredMessage(number, sender_id, sender, text, returned))
        return number

    def mail(self, id: int, after: int = 0) -> Iterator[StoredMessage]:
        """What waits in the mailbox with a number above `after`, oldest first."""
        mailbox = self._by_id[id].mailbox
        return (mailbox[at] for at in range(_count_up_to(mailbox, after), len(mailbox)))

    def unread(self, id: int) -> int:
        return len(self._by_id[id].mailbox)

    def acknowledged(self, id: int) -> int:
        return self._by_id[id].acknowledged

    def acknowledge(self, id: int, number: int) -> None:
        """Drop all mail up to and including `number`, but never mail that is still to come."""
        record = self._by_id[id]
        number = min(number, record.last_number)
        if number <= record.acknowledged:
            return
        record.acknowledged = number
        del record.mailbox[: _count_up_to(record.mailbox, number)]

    def remove(self, id: int, numbers: Iterable[int]) -> int:
        """Drop these messages; how many of them there were."""
        record, unwanted = self._by_id[id], set(numbers)
        before = len(record.mailbox)
        record.mailbox = [letter for letter in record.mailbox if letter.number not in unwanted]
        return before - len(record.mailbox)

    # ---- balance, and answers already given

    def balance(self, id: int) -> int:
        return self._by_id[id].balance

    def set_balance(self, id: int, amount: int) -> None:
        self._by_id[id].balance = amount

    def saved_reply(self, id: int, request_id: str) -> tuple[object, object] | None:
        """The request that once carried this id, and the answer it got."""
        return self._by_id[id].answers.get(request_id)

    def save_reply(self, id: int, request_id: str, request: object, answer: object) -> None:
        answers = self._by_id[id].answers
        answers[request_id] = (request, answer)
        if len(answers) > SAVED_REPLIES:
            del answers[next(iter(answers))]


def _count_up_to(mailbox: list[StoredMessage], number: int) -> int:
    return bisect_right(mailbox, number, key=attrgetter("number"))
