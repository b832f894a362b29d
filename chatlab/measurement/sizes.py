"""What does it cost to say little, and what to say much? The same operation in several sizes, layer by layer.

Counted as `counting.py` counts: at the socket, in steady state, with a fresh server for every number; and then taken
apart, so that each byte is in one layer. What TCP and IP add is a model: each way in as few segments as hold it.
"""

import itertools
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import NamedTuple

from ..capture.layers import LAYERS, LayerBytes
from ..display.progress import progress_bar
from ..display.tables import Table
from ..transport.registry import PROTOCOLS, one_by_one, resolve
from .byte_counts import CountingSetup, Operation, confirmed, count_in, fetch_mail, missing, with_unread_mail
from .results.environment import Environment, environment
from .results.result import Result, available_keys

# ---- bytes by size and layer ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SizeRow:
    """What one operation costs in steady state, in one size, layer by layer: on its way up and on its way down."""

    protocol: str
    operation: str
    size: str
    up: LayerBytes
    down: LayerBytes

    @property
    def both(self) -> LayerBytes:
        return self.up + self.down

    @property
    def total(self) -> int:
        """Bytes at the socket, both ways."""
        return self.both.bytes


class Crossing(NamedTuple):
    """At so much information two lines of overhead meet. `crosses` is empty where the overhead meets the information itself."""

    protocol: str
    crosses: str
    information: float
    overhead: float


@dataclass(frozen=True, repr=False)
class SizeTable(Result):
    """Layers of bytes for each protocol, operation and size, exact: the same versions give the same table again."""

    rows: tuple[SizeRow, ...]
    environment: Environment

    def __repr__(self):
        return f"<SizeTable of {', '.join(self.protocols)}: {', '.join(self.operations)} in {len(self.sizes)} sizes>"

    @property
    def protocols(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(row.protocol for row in self.rows))

    @property
    def operations(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(row.operation for row in self.rows))

    @property
    def sizes(self) -> tuple[str, ...]:
        """From the operation that comes in most of them."""
        by_operation = [
            tuple(dict.fromkeys(r.size for r in self.rows if r.operation == name)) for name in self.operations
        ]
        most = max(by_operation, key=len, default=())
        return (*most, *(size for size in dict.fromkeys(row.size for row in self.rows) if size not in most))

    def __getitem__(self, protocol_operation_size: tuple[str, str, str]) -> SizeRow:
        for row in self.rows:
            if (row.protocol, row.operation, row.size) == protocol_operation_size:
                return row
        raise KeyError(
            f"there is no {protocol_operation_size!r}; there is {available_keys(self.protocols, self.operations, self.sizes)}"
        )

    def where(self, **wanted) -> "SizeTable":
        """A part of it: `table.where(size="small")`, `table.where(protocol=("text", "grpc"))`."""
        each = {name: (value,) if isinstance(value, str) else tuple(value) for name, value in wanted.items()}
        rows = [row for row in self.rows if all(getattr(row, name) in values for name, values in each.items())]
        return SizeTable(tuple(rows), self.environment)

    def crossings(self) -> tuple[Crossing, ...]:
        """Where the lines of overhead over information cross, and where each has as much overhead as information."""
        lines = {
            name: sorted((r.both.information, r.both.overhead) for r in self.rows if r.protocol == name)
            for name in self.protocols
        }
        found = []
        for name, line in lines.items():
            found += [Crossing(name, "", *place) for place in _intersections(line, [(x, x) for x, _ in line])]
        for one, other in itertools.combinations(lines, 2):
            if [x for x, _ in lines[one]] == [x for x, _ in lines[other]]:
                found += [Crossing(one, other, *place) for place in _intersections(lines[one], lines[other])]
        return tuple(sorted(found, key=lambda crossing: crossing.information))

    def table(self) -> Table:
        return _sizes_table(self)

    def to_frame(self):
        """A pandas DataFrame: a row for each protocol, operation and size; layers in bytes, up and down."""
        import pandas

        ways = {"up": 0, "down": 1}
        columns = ["protocol", "operation", "size", *(f"{way}: {layer}" for way in ways for layer in LAYERS)]
        rows = [(row.protocol, row.operation, row.size, *row.up, *row.down) for row in self.rows]
        return pandas.DataFrame(rows, columns=columns)

    def plot(self, ax=None):
        """A bar for each protocol, operation and size, its layers stacked. Returns the Axes."""
        from ..display.plots.traffic import stacked_layers

        return stacked_layers(self, ax)

    def plot_overhead(self, ax=None):
        """Overhead over information, a line for each protocol, crossings marked. Returns the Axes."""
        from ..display.plots.traffic import overhead_by_information

        return overhead_by_information(self, ax)


def _intersections(one: list, other: list) -> list[tuple[float, float]]:
    """Where two lines of points at the same places cross, straight between the points."""
    found = []
    for (x0, a0), (x1, a1), (_, b0), (_, b1) in zip(one, one[1:], other, other[1:]):
        before, after = a0 - b0, a1 - b1
        if before * after < 0 or before == 0 != after:
            part = before / (before - after)
            found.append((x0 + part * (x1 - x0), a0 + part * (a1 - a0)))
    return found


MANY = 100
PROSE = "All human beings are born free and equal in dignity and rights. They are endowed with reason and con"
GREEK = "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην α"
AWKWARD = 'yes|no|"maybe"\\\n' * 6 + "why?"

#: What is said in each size. The three in the middle have 100 bytes each, so that only their characters differ.
TEXTS = {"empty": "", "small": "hi", "medium": PROSE, "non-ASCII": GREEK, "awkward": AWKWARD, "large": PROSE * 100}
MANY_IDS = "many ids"
SIZES = (*TEXTS, MANY_IDS)


def _big(text: str) -> str:
    """The verb, so to speak, that a text takes which not every foreign server can carry."""
    return " big_texts" if len(text) > 5_000 else ""


def _sends(text: str) -> Operation:
    return Operation(
        "send", lambda s: s.ann.send("bob", text), prepare=lambda s: s.bob.log_out(), verbs=f"send log_out{_big(text)}"
    )


def _pushes(text: str) -> Operation:
    return Operation("push", lambda s: s.ann.send("bob", text), watched="bob", verbs=f"send receive{_big(text)}")


def _reads(*texts: str) -> Operation:
    verbs = "unread send log_out log_in"
    return Operation("unread", fetch_mail, prepare=lambda s: with_unread_mail(s, texts), verbs=verbs)


def _deletes(numbers: Iterable[int]) -> Operation:
    return Operation("delete_messages", lambda s: s.ann.delete_messages(tuple(numbers)), verbs="delete_messages")


def _finds(pattern: str, *names: str) -> Operation:
    def others_come(scene: CountingSetup) -> None:
        with scene.server.connect() as guest:
            for name in names:
                guest.create_account(name)
                guest.log_out()

    return Operation(
        "list_accounts", lambda s: s.ann.list_accounts(pattern), prepare=others_come, verbs="list_accounts log_out"
    )


def _deposits(amount: int) -> Operation:
    def deposit(scene: CountingSetup) -> None:
        scene.ann.deposit(amount)

    return Operation(
        "deposit", deposit, prepare=deposit, before=lambda s: s.ann.withdraw(amount), verbs="deposit withdraw"
    )


def _operations() -> Iterator[tuple[str, Operation]]:
    yield "empty", Operation("ping", lambda s: s.ann.ping(), verbs="ping")
    for size, amount in {"small": 7, "medium": 1_000, "large": 10**12}.items():
        yield size, _deposits(amount)
    for act in (_sends, _pushes):
        for size, text in TEXTS.items():
            yield size, act(text)
    for size, text in TEXTS.items():
        yield size, _reads(*[text] if text else [])
    yield MANY_IDS, _reads(*["hi"] * MANY)
    for size, numbers in {"empty": (), "small": (7,), MANY_IDS: range(1001, 1001 + MANY)}.items():
        yield size, _deletes(numbers)
    names = [f"member{number:03}" for number in range(MANY)]
    for size, pattern, found in (
        ("empty", "z*", []),
        ("small", "a*", []),
        ("non-ASCII", "Ζ*", ["Ζωή"]),
        (MANY_IDS, "m*", names),
    ):
        yield size, _finds(pattern, *found)


#: (size, operation): "empty" is nothing in it, "many ids" a hundred of what it takes or gives.
OPERATIONS = tuple(_operations())


def count_sizes(*protocols, operations: Iterable[tuple[str, Operation]] | None = None) -> SizeTable:
    """Count every operation in every size that it comes in, for each protocol (all that chatlab brings, if none is named).

    `operations` are pairs of a size's name and an `Operation`, as in `OPERATIONS`, which are the default. Those for which a
    server lacks a verb are left out. Raises `NotQuiescent` for a protocol that talks unasked, so that
    nothing can be counted exactly.
    """
    protocols = one_by_one(protocols) if protocols else tuple(PROTOCOLS)
    operations = OPERATIONS if operations is None else tuple(operations)
    rows = []
    with progress_bar(len(protocols) * len(operations), "counting bytes", "operations") as bar:
        for protocol in protocols:
            for size, operation in operations:
                if not missing(protocol, operation.verbs.split()):
                    rows.append(_row(protocol, size, operation))
                bar.update()
    return SizeTable(tuple(rows), environment())


def count_overhead(
    *protocols, sizes: Iterable[int] = (1, 10, 30, 100, 300, 1_000, 3_000, 10_000), text_of=None
) -> SizeTable:
    """Count a `send` of so many characters, for each protocol. `text_of(size)` is the text; by default lines of forty.

    Much beyond 10 000, gRPC begins to save up what it says about flow control, and there is no steady state to count.
    """
    text_of = text_of or in_lines
    return count_sizes(*protocols, operations=[(f"{size:,}", _sends(text_of(size))) for size in sizes])


def in_lines(size: int, width: int = 40) -> str:
    """So many characters in lines of forty, as a poem or a program has them.

    >>> in_lines(5, width=3)
    'xx\\nxx'
    """
    return (("x" * (width - 1) + "\n") * (size // width + 1))[:size]


def _row(protocol, size: str, operation: Operation) -> SizeRow:
    carried = resolve(protocol)
    # A codec spells a message the same every time; gRPC joins frames where they happen to meet, so there two servers must agree.
    is_certain = carried.codec is not None
    up, down = _layers(protocol, operation) if is_certain else confirmed(lambda: _layers(protocol, operation))
    return SizeRow(carried.name, operation.name, size, up, down)


def _layers(protocol, operation: Operation) -> tuple[LayerBytes, LayerBytes]:
    with ExitStack() as stack:
        scene = CountingSetup(protocol, stack)
        count_in(scene, operation)
        return scene.users[operation.watched].layers()


def _sizes_table(result: SizeTable) -> Table:
    totals = {(row.operation, row.protocol, row.size): f"{row.total:,}" for row in result.rows}
    rows = []
    for operation in result.operations:
        protocols = [name for name in result.protocols if any(key[:2] == (operation, name) for key in totals)]
        for protocol in protocols:
            cells = [totals.get((operation, protocol, size), "") for size in result.sizes]
            rows.append((operation if protocol == protocols[0] else "", protocol, *cells))
    notes = ("Both ways together, in steady state. An empty place: the operation does not come in that size.",)
    return Table("Bytes at the socket", ("operation", "protocol", *result.sizes), tuple(rows), notes, labels=2)
