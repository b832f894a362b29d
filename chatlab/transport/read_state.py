"""Which messages of a mailbox the user has read: what a client acknowledges, and what it drops as read before."""

from collections.abc import Iterable

from ..messages import Account, Acknowledge, Arrived, DeleteMessages, Done, Reply

DELETE_AT_ONCE = 1_000  # numbers in one request; a server refuses more


class ReadState:
    """Which messages of one mailbox the user has read: all up to `read_up_to`, and some above it.

    The server drops mail cumulatively, so only `read_up_to` can be acknowledged: a gap below a message that was read is
    mail that was not. `acknowledged` is how far the server has confirmed it, `posted` how far it was asked to.

    A number that was acknowledged or deleted counts as read only if it had been assigned by then: numbers are assigned
    in order, so an arriving message settles that for all numbers below it. The mailbox may grow unseen while nobody is
    logged in, so `log_in` ends what was said of numbers that were still to be assigned.

    >>> mailbox = ReadState()
    >>> for number in (1, 2, 4):
    ...     mailbox.add(number)
    >>> 4 in mailbox, 3 in mailbox, mailbox.read_up_to
    (True, False, 2)
    """

    __slots__ = (
        "acknowledged",
        "posted",
        "read_up_to",
        "_above",
        "_newest",
        "_acknowledged_ahead",
        "_deleted_ahead",
        "_gone_up_to",
    )

    def __init__(self, acknowledged: int = 0):
        self._restart(acknowledged)

    def _restart(self, acknowledged: int) -> None:
        self.acknowledged = self.posted = self.read_up_to = acknowledged
        self._above: set[int] = set()  # read, above a gap
        self._newest = acknowledged  # the highest number that was seen to be assigned
        self._acknowledged_ahead = 0  # acknowledged although perhaps not assigned yet
        self._deleted_ahead: set[int] = set()  # deleted although perhaps not assigned yet
        self._gone_up_to = 0  # up to this number nothing was in the mailbox at the log-in, so none of it can come again

    def __repr__(self) -> str:
        return f"<ReadState: read up to {self.read_up_to}, and {len(self._above)} above; {self.posted} acknowledged>"

    def __contains__(self, number: int) -> bool:
        return number <= self.read_up_to or number in self._above

    def log_in(self, account: Account) -> bool:
        """Go on with this mailbox after a log-in; False where the reply shows that it is another mailbox.

        A mailbox never takes an acknowledgement back. Where one does, the server was started anew with an empty store.
        """
        if account.acknowledged < self.acknowledged:
            return False
        self.acknowledged = self.posted = account.acknowledged
        self._acknowledged_ahead, self._deleted_ahead = 0, set()
        self._gone_up_to = 0 if account.unread else self._newest
        self.read_up_to = max(self.read_up_to, account.acknowledged)
        self._newest = max(self._newest, account.acknowledged)
        self._advance()
        return True

    def add(self, number: int) -> None:
        """The user has read this message."""
        self._newest = max(self._newest, number)
        if number > self.read_up_to:
            self._above.add(number)
            self._advance()

    def arrive(self, number: int) -> bool:
        """A message is handed to the user, after all lower numbers were assigned; False if it was read before."""
        self._check_mailbox(number)
        if number in self:
            return False
        self._above |= {deleted for deleted in self._deleted_ahead if deleted < number}
        self._deleted_ahead = {deleted for deleted in self._deleted_ahead if deleted > number}
        self.read_up_to = max(self.read_up_to, min(self._acknowledged_ahead, number - 1))
        self.add(number)
        return True

    def acknowledge(self, number: int) -> None:
        """The server has dropped all messages up to this number that were there."""
        self._acknowledged_ahead = max(self._acknowledged_ahead, number)
        assigned = min(number, self._newest)
        self.acknowledged = max(self.acknowledged, assigned)
        self.posted, self.read_up_to = max(self.posted, assigned), max(self.read_up_to, assigned)
        self._advance()

    def confirm(self, request: Acknowledge, reply: Reply) -> None:
        """The server has answered an acknowledgement that was posted."""
        if isinstance(reply, Done):
            self.acknowledged = max(self.acknowledged, request.number)

    def delete(self, numbers: Iterable[int], count: int) -> None:
        """The server has dropped `count` of these messages; the others were not there."""
        numbers = set(numbers)
        for number in numbers:
            if number <= self._newest or count == len(numbers):
                self.add(number)
            else:
                self._deleted_ahead.add(number)

    def add_page(self, after: int, page: tuple[Arrived, ...]) -> tuple[Arrived, ...]:
        """A page of the mailbox from `after` on is handed to the user: the messages in it that were not read before.

        A number that is missing in the page is gone from the mailbox, and counts as read.
        """
        if not page:
            return ()
        self._check_mailbox(page[0].number)
        unread = tuple([message for message in page if message.number not in self])
        for message in unread:
            self.add(message.number)
        if after <= self.read_up_to:
            self.read_up_to = max(self.read_up_to, page[-1].number)
            self._advance()
        return unread

    def pending_acknowledgement(self, at_least: int = 1) -> Acknowledge | None:
        """The acknowledgement to send, once at least so many messages were read since the last one."""
        return Acknowledge(self.read_up_to) if self.read_up_to - self.posted >= at_least else None

    def pending_deletions(self) -> list[DeleteMessages]:
        """What drops the messages that were read above a gap, which no acknowledgement can name."""
        above = sorted(self._above)
        return [DeleteMessages(tuple(above[at : at + DELETE_AT_ONCE])) for at in range(0, len(above), DELETE_AT_ONCE)]

    def _check_mailbox(self, number: int) -> None:
        """Start anew where a number comes again that cannot: the server was started anew, and it is another mailbox."""
        if number <= self._gone_up_to:
            self._restart(self.acknowledged)

    def _advance(self) -> None:
        above = self._above
        while self.read_up_to + 1 in above:
            self.read_up_to += 1
            above.discard(self.read_up_to)
        if above and min(above) <= self.read_up_to:
            self._above = {number for number in above if number > self.read_up_to}
