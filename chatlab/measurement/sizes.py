"""What does it cost to say little, and what to say much? The same operation in several sizes, layer by layer.

Counted as `byte_counts` counts: at the socket, in steady state, with a fresh server for every number; and then divided
among the layers, so that each byte is in one of them. What TCP and IP add is a model: each way in as few segments as
hold it.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from ..capture.layers import LAYERS, LayerBytes
from ..display.progress import progress_bar
from ..display.tables import Table
from ..transport.interface import Implementation, ProtocolOrList
from ..transport.registry import PROTOCOLS, one_by_one, resolve
from .byte_counts import (
    CountingSetup,
    LeftOut,
    Operation,
    OperationTable,
    bob_logs_out,
    confirmed,
    count_in,
    fetch_mail,
    missing_verbs,
    with_unread_mail,
)
from .results.environment import Environment, current_environment
from .results.result import available_keys

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes

# ---- the result -------------------------------------------------------------------------------------------------


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
    """Where two lines of overhead over information meet, in bytes.

    `crosses` is the other protocol; empty where the line crosses the diagonal, with as much overhead as information.
    """

    protocol: str
    crosses: str
    information: float
    overhead: float


Point = tuple[float, float]  #: information and overhead, in bytes


@dataclass(frozen=True, repr=False)
class SizeTable(OperationTable):
    """Layers of bytes for each protocol, operation and size, exact: the same versions give the same table again."""

    rows: tuple[SizeRow, ...]
    environment: Environment
    left_out: tuple[LeftOut, ...] = ()

    def __repr__(self) -> str:
        return f"<SizeTable of {', '.join(self.protocols)}: {', '.join(self.operations)} in {len(self.sizes)} sizes>"

    @property
    def sizes(self) -> tuple[str, ...]:
        """All sizes, in the order of the operation that comes in most of them."""
        by_operation = [
            tuple(dict.fromkeys(row.size for row in self.rows if row.operation == name)) for name in self.operations
        ]
        most = max(by_operation, key=len, default=())
        return (*most, *(size for size in dict.fromkeys(row.size for row in self.rows) if size not in most))

    def __getitem__(self, protocol_operation_size: tuple[str, str, str]) -> SizeRow:
        """One row: `table["grpc", "send", "small"]`. Raises `KeyError`, which says what there is."""
        for row in self.rows:
            if (row.protocol, row.operation, row.size) == protocol_operation_size:
                return row
        keys = available_keys(self.protocols, self.operations, self.sizes)
        raise KeyError(f"there is no {protocol_operation_size!r}; there is {keys}")

    def where(self, **wanted: str | Iterable[str]) -> "SizeTable":
        """A part of it: `table.where(size="small")`, `table.where(protocol=("text", "grpc"))`."""
        allowed = {name: (value,) if isinstance(value, str) else tuple(value) for name, value in wanted.items()}
        rows = [row for row in self.rows if all(getattr(row, name) in values for name, values in allowed.items())]
        return SizeTable(tuple(rows), self.environment)

    def crossings(self) -> tuple[Crossing, ...]:
        """Where the lines of overhead over information cross, and where each has as much overhead as information."""
        lines: dict[str, list[Point]] = {
            name: sorted((row.both.information, row.both.overhead) for row in self.rows if row.protocol == name)
            for name in self.protocols
        }
        crossings = []
        for name, line in lines.items():
            diagonal = [(information, information) for information, _ in line]
            crossings += [Crossing(name, "", *point) for point in _intersections(line, diagonal)]
        for one, other in itertools.combinations(lines, 2):
            if [information for information, _ in lines[one]] == [information for information, _ in lines[other]]:
                crossings += [Crossing(one, other, *point) for point in _intersections(lines[one], lines[other])]
        return tuple(sorted(crossings, key=lambda crossing: crossing.information))

    def table(self) -> Table:
        totals = {(row.operation, row.protocol, row.size): f"{row.total:,}" for row in self.rows}
        rows = []
        for operation in self.operations:
            protocols = [name for name in self.protocols if any(key[:2] == (operation, name) for key in totals)]
            for protocol in protocols:
                cells = [totals.get((operation, protocol, size), "") for size in self.sizes]
                rows.append((operation if protocol == protocols[0] else "", protocol, *cells))
        notes = (
            "Both ways together, in steady state. An empty place: the operation does not come in that size.",
            *self._left_out_notes(),
        )
        return Table("Bytes at the socket", ("operation", "protocol", *self.sizes), tuple(rows), notes, labels=2)

    def to_frame(self) -> "pandas.DataFrame":
        """A pandas DataFrame with a row for each protocol, operation and size; layers in bytes, up and down."""
        import pandas

        layers = [f"{direction}: {layer}" for direction in ("up", "down") for layer in LAYERS]
        columns = ["protocol", "operation", "size", *layers]
        rows = [(row.protocol, row.operation, row.size, *row.up, *row.down) for row in self.rows]
        return pandas.DataFrame(rows, columns=columns)

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw a bar for each protocol, operation and size, its layers stacked. Returns the Axes."""
        from ..display.plots.traffic import stacked_layers

        return stacked_layers(self, ax)

    def plot_overhead(self, ax: "Axes | None" = None) -> "Axes":
        """Draw overhead over information, a line for each protocol, crossings marked. Returns the Axes."""
        from ..display.plots.traffic import overhead_by_information

        return overhead_by_information(self, ax)


def _intersections(one: list[Point], other: list[Point]) -> list[Point]:
    """Where two lines with points at the same places cross; between its points a line is straight."""
    points = []
    for (x0, a0), (x1, a1), (_, b0), (_, b1) in zip(one, one[1:], other, other[1:]):
        before, after = a0 - b0, a1 - b1
        if before * after < 0 or before == 0 != after:
            part = before / (before - after)
            points.append((x0 + part * (x1 - x0), a0 + part * (a1 - a0)))
    return points


# ---- what is counted --------------------------------------------------------------------------------------------


MANY = 100
PROSE = "All human beings are born free and equal in dignity and rights. They are endowed with reason and con"
GREEK = "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην α"
AWKWARD = 'yes|no|"maybe"\\\n' * 6 + "why?"

#: The text of each size. The three in the middle have 100 bytes each, so that only their characters differ.
TEXTS = {"empty": "", "small": "hi", "medium": PROSE, "non-ASCII": GREEK, "awkward": AWKWARD, "large": PROSE * 100}
MANY_IDS = "many ids"
SIZES = (*TEXTS, MANY_IDS)


def _size_capability(text: str) -> str:
    """What an external server must have beside its verbs to take such a text, as `ExternalServer.verbs` calls it."""
    return " big_texts" if len(text) > 5_000 else ""


def _send(text: str) -> Operation:
    return Operation(
        "send",
        lambda setup: setup.ann.send("bob", text),
        prepare=bob_logs_out,
        verbs=f"send log_out{_size_capability(text)}",
    )


def _push(text: str) -> Operation:
    return Operation(
        "push",
        lambda setup: setup.ann.send("bob", text),
        watched="bob",
        verbs=f"send receive{_size_capability(text)}",
    )


def _unread(*texts: str) -> Operation:
    """Without its acknowledgement."""
    return Operation(
        "unread",
        fetch_mail,
        prepare=lambda setup: with_unread_mail(setup, texts),
        verbs="unread send log_out log_in",
    )


def _delete(numbers: Iterable[int]) -> Operation:
    return Operation(
        "delete_messages", lambda setup: setup.ann.delete_messages(tuple(numbers)), verbs="delete_messages"
    )


def _list_accounts(pattern: str, *names: str) -> Operation:
    def create_accounts(setup: CountingSetup) -> None:
        with setup.server.connect() as guest:
            for name in names:
                guest.create_account(name)
                guest.log_out()

    return Operation(
        "list_accounts",
        lambda setup: setup.ann.list_accounts(pattern),
        prepare=create_accounts,
        verbs="list_accounts log_out",
    )


def _deposit(amount: int) -> Operation:
    def deposit(setup: CountingSetup) -> None:
        setup.ann.deposit(amount)

    return Operation(
        "deposit",
        deposit,
        prepare=deposit,
        before=lambda setup: setup.ann.withdraw(amount),
        verbs="deposit withdraw",
    )


def _operations() -> Iterator[tuple[str, Operation]]:
    yield "empty", Operation("ping", lambda setup: setup.ann.ping(), verbs="ping")
    for size, amount in {"small": 7, "medium": 1_000, "large": 10**12}.items():
        yield size, _deposit(amount)
    for operation in (_send, _push):
        for size, text in TEXTS.items():
            yield size, operation(text)
    for size, text in TEXTS.items():
        yield size, _unread(*[text] if text else [])
    yield MANY_IDS, _unread(*["hi"] * MANY)
    yield "empty", _delete(())
    yield "small", _delete((7,))
    yield MANY_IDS, _delete(range(1001, 1001 + MANY))
    yield "empty", _list_accounts("z*")
    yield "small", _list_accounts("a*")
    yield "non-ASCII", _list_accounts("Ζ*", "Ζωή")
    yield MANY_IDS, _list_accounts("m*", *[f"member{number:03}" for number in range(MANY)])


#: (size, operation): "empty" is nothing in it, "many ids" a hundred of what it takes or gives.
OPERATIONS = tuple(_operations())


def count_sizes(*protocols: "ProtocolOrList", operations: Iterable[tuple[str, Operation]] | None = None) -> SizeTable:
    """Count every operation in every size in which it comes, for each protocol; without any, for all of chatlab's.

    Protocols are given as `count_sizes("text", "grpc")`; one list is understood too. `operations` are pairs of a size's
    name and an `Operation`, by default `OPERATIONS`. One for which a server lacks a verb is left out, and the table
    says so. Raises `NotQuiescent` for a protocol whose bytes are not the same each time, or that sends what was not
    asked for, so that no exact count exists.
    """
    implementations = [resolve(protocol) for protocol in (one_by_one(protocols) if protocols else PROTOCOLS)]
    chosen = OPERATIONS if operations is None else tuple(operations)
    rows: list[SizeRow] = []
    left_out: list[LeftOut] = []
    with progress_bar(len(implementations) * len(chosen), "counting bytes", "operations") as bar:
        for protocol in implementations:
            for size, operation in chosen:
                if missing := missing_verbs(protocol, operation.verbs.split()):
                    left_out.append(LeftOut(protocol.name, f"{operation.name} ({size})", missing))
                else:
                    rows.append(_row(protocol, size, operation))
                bar.update()
    return SizeTable(tuple(rows), current_environment(), tuple(left_out))


def count_overhead(
    *protocols: "ProtocolOrList",
    sizes: Iterable[int] = (1, 10, 30, 100, 300, 1_000, 3_000, 10_000),
    text_of: Callable[[int], str] | None = None,
) -> SizeTable:
    """Count a `send` of so many characters, for each protocol. `text_of(size)` is the text; by default lines of forty.

    Protocols and errors are as for `count_sizes`. Much beyond 10,000 characters gRPC delays its frames of flow control,
    and there is no steady state to count.
    """
    text_of = text_of or in_lines
    return count_sizes(*protocols, operations=[(f"{size:,}", _send(text_of(size))) for size in sizes])


def in_lines(size: int, width: int = 40) -> str:
    """So many characters in lines of forty, as a poem or a program has them.

    >>> in_lines(5, width=3)
    'xx\\nxx'
    """
    return (("x" * (width - 1) + "\n") * (size // width + 1))[:size]


def _row(protocol: Implementation, size: str, operation: Operation) -> SizeRow:
    # A codec encodes a message the same every time; gRPC joins frames where they happen to meet, so two servers must
    # agree.
    is_certain = protocol.codec is not None
    up, down = _layers(protocol, operation) if is_certain else confirmed(lambda: _layers(protocol, operation))
    return SizeRow(protocol.name, operation.name, size, up, down)


def _layers(protocol: Implementation, operation: Operation) -> tuple[LayerBytes, LayerBytes]:
    with ExitStack() as stack:
        setup = CountingSetup(protocol, stack)
        count_in(setup, operation)
        return setup.users[operation.watched].layers()
