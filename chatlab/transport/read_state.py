"""Which messages of a mailbox the user has seen: what a client acknowledges, and what it drops as seen before."""

from collections.abc import Iterable

from ..messages import Arrived


class Shown:
    """Which messages of one mailbox the user has seen: all up to `floor`, and some above it.

    What is acknowledged or deleted counts as seen, but only as far as it was there: a number that is still to be given
    belongs to a message that nobody has seen. Messages arrive in the order of their numbers, so when one arrives, whatever
    was said to be gone below it is.
    """

    __slots__ = ("account", "floor", "told", "_above", "_newest", "_gone", "_promised")

    def __init__(self, account: int, floor: int):
        self.account = account
        self.floor = self.told = self._newest = self._promised = floor  # `told`: what the server knows of it
        self._above: set[int] = set()
        self._gone: set[int] = set()  # deleted, and it is not known if they were there

    def __contains__(self, number: int) -> bool:
        return number <= self.floor or number in self._above

    def add(self, number: int) -> None:
        self._newest = max(self._newest, number)
        if number > self.floor:
            self._above.add(number)
            self._rise()

    def arrive(self, number: int) -> None:
        """It was announced, after all that were announced before it."""
        self._above |= {each for each in self._gone if each < number}
        self._gone = {each for each in self._gone if each > number}
        self.floor = max(self.floor, min(self._promised, number - 1))
        self.add(number)

    def acknowledge(self, number: int) -> None:
        """The server has dropped all up to this number that were there."""
        self._promised = max(self._promised, number)
        known = min(number, self._newest)
        self.told, self.floor = max(self.told, known), max(self.floor, known)
        self._rise()

    def delete(self, numbers: Iterable[int], count: int) -> None:
        """The server has dropped so many of these; the others were not there."""
        numbers = set(numbers)
        for number in numbers:
            if number <= self._newest or count == len(numbers):
                self.add(number)
            else:
                self._gone.add(number)

    def add_page(self, after: int, page: tuple[Arrived, ...]) -> None:
        """The mailbox from `after` on, without gaps: a number that is missing is gone from it, and counts as seen."""
        if not page:
            return
        for message in page:
            self.add(message.number)
        if after <= self.floor:
            self.floor = max(self.floor, page[-1].number)
            self._rise()

    def _rise(self) -> None:
        above = self._above
        while self.floor + 1 in above:
            self.floor += 1
            above.discard(self.floor)
        if above and min(above) <= self.floor:
            self._above = {number for number in above if number > self.floor}
