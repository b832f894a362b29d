"""How many bytes does each operation take? Counted at the socket, where frames, headers and all are in them.

Each operation has a fresh server and two users, each behind a relay of their own. Before and after the operation its
user pings until a ping costs what a ping always costs, so nothing is in flight any more; then the pings are subtracted.
gRPC's flow control joins two of its frames to one where they happen to meet, so before the pings the connection is left
to become quiet, and a count stands when two fresh servers agree on it. Where a protocol's bytes depend on how often it
was used, they are those of the tenth to hundredth request of a connection, and of messages whose number has one digit.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from ..capture.layers import LayerBytes, tcp_ip_overhead
from ..capture.tcp_relay import Relay, relay
from ..capture.traffic import Position, Traffic
from ..display.progress import progress_bar
from ..display.tables import Table
from ..harness import Server, serve
from ..messages import ChatError, Unread
from ..transport.client import Client
from ..transport.interface import Implementation, ProtocolOrList
from ..transport.registry import PROTOCOLS, one_by_one, resolve
from .errors import NotQuiescent
from .results.environment import Environment, current_environment
from .results.result import Result, available_keys

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes

WARM_UP = 10  # requests: until a tag, say, has two digits
MAX_REPEATS = 5  # within which an operation must have cost the same twice in a row, and two servers must have agreed
MAX_PINGS = 60  # until nothing is in flight any more
DEADLINE_S = 10.0  # for a delivery
#: How long nothing must pass before a connection counts as quiet. Over our sockets nothing follows the answer to a
#: ping; gRPC's frames of flow control come later.
SOCKET_QUIET_S, GRPC_QUIET_S = 0.0005, 0.005

_server_numbers = itertools.count(1)


# ---- the result -------------------------------------------------------------------------------------------------


class LeftOut(NamedTuple):
    """An operation that was not counted, because the protocol's server lacks these verbs."""

    protocol: str
    operation: str
    missing: tuple[str, ...]


class OperationTable(Result):
    """What tables of bytes have in common: rows by protocol and operation, and operations that a server cannot do."""

    rows: tuple[Any, ...]  # each has a protocol and an operation
    left_out: tuple[LeftOut, ...]

    @property
    def protocols(self) -> tuple[str, ...]:
        return _unique(row.protocol for row in self.rows)

    @property
    def operations(self) -> tuple[str, ...]:
        return _unique(row.operation for row in self.rows)

    def _left_out_notes(self) -> list[str]:
        """For each protocol that is not in all rows, which are missing, and which verbs its server lacks."""
        notes = []
        for protocol in _unique(entry.protocol for entry in self.left_out):
            entries = [entry for entry in self.left_out if entry.protocol == protocol]
            operations = ", ".join(_unique(entry.operation for entry in entries))
            verbs = ", ".join(_unique(verb for entry in entries for verb in entry.missing))
            notes.append(f"{protocol} is not counted in {operations}: its server lacks {verbs}.")
        return notes


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


@dataclass(frozen=True)
class ByteRow:
    """What one operation costs at the socket: asked for the first time on a connection, and in steady state."""

    protocol: str
    operation: str
    first: Traffic
    steady: Traffic


@dataclass(frozen=True, repr=False)
class ByteTable(OperationTable):
    """Bytes at the socket for each protocol and operation, exact: the same versions give the same table again."""

    rows: tuple[ByteRow, ...]
    environment: Environment
    left_out: tuple[LeftOut, ...] = ()

    def __repr__(self) -> str:
        return f"<ByteTable of {', '.join(self.protocols)}: {len(self.operations)} operations>"

    def __getitem__(self, protocol_and_operation: tuple[str, str]) -> ByteRow:
        """One row: `table["grpc", "ping"]`. Raises `KeyError`, which says what there is."""
        for row in self.rows:
            if (row.protocol, row.operation) == protocol_and_operation:
                return row
        raise KeyError(
            f"there is no {protocol_and_operation!r}; there is {available_keys(self.protocols, self.operations)}"
        )

    def table(self) -> Table:
        rows = []
        for operation in self.operations:
            of_operation = [row for row in self.rows if row.operation == operation]
            for number, row in enumerate(of_operation):
                counts = [count for cost in (row.steady, row.first) for count in (cost.up, cost.down, cost.total)]
                rows.append(("" if number else operation, row.protocol, *(f"{count:,}" for count in counts)))
        heads = ("operation", "protocol", "up", "down", "together", "first up", "first down", "first together")
        notes = (
            "up: to the server, down: from it. first: asked for the first time on a connection; "
            "a first create_account includes setting the connection up.",
            "Acknowledgements, which the client sends by itself for what it has shown, are counted apart.",
            *self._left_out_notes(),
        )
        return Table("Bytes at the socket", heads, tuple(rows), notes, labels=2)

    def to_frame(self) -> "pandas.DataFrame":
        """A pandas DataFrame with a row for each protocol and operation, in bytes."""
        import pandas

        columns = ["protocol", "operation", "first_up", "first_down", "steady_up", "steady_down"]
        rows = [
            (row.protocol, row.operation, row.first.up, row.first.down, row.steady.up, row.steady.down)
            for row in self.rows
        ]
        return pandas.DataFrame(rows, columns=columns)

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw a bar for each protocol and operation. Returns the Axes."""
        from ..display.plots.traffic import bytes_per_operation

        return bytes_per_operation(self, ax)


# ---- counting on one connection ---------------------------------------------------------------------------------


class _Counted(NamedTuple):
    """Where the last count is on the recording: its start, its last idle request, its end; and how many were idle."""

    start: Position
    last_idle: Position
    end: Position
    idle_requests: int


class TappedClient:
    """A client behind a relay of its own, which can wait until nothing is in flight.

    It does so with an idle request whose cost is known: a ping, or, where the server has none, a log-in that is
    refused.
    """

    def __init__(self, server: Server, name: str, quiet_s: float, has_ping: bool = True) -> None:
        self._quiet_s = quiet_s
        self.tap: Relay = relay(server)
        self.client: Client = self.tap.connect()
        self.client.create_account(name)
        self.idle: Callable[[], object] = self.client.ping if has_ping else self.probe_login
        self._calibrated_idle: Callable[[], object] = self.idle
        self.idle_costs: list[Traffic] = []  #: of each idle request until they were all the same
        self.idle_cost = Traffic()
        now = self.tap.position()
        self._counted = _Counted(now, now, now, 0)

    def probe_login(self) -> None:
        """What stands for a ping where a server has none: a log-in to an account that does not exist."""
        try:
            self.client.log_in("nobody-at-all")
        except ChatError:
            return  # as it should be
        raise NotQuiescent("the server accepted a log-in to an account that does not exist")

    def calibrate_idle(self, idle: Callable[[], object]) -> None:
        """Ask for something idle until it costs the same three times in a row, and remember what."""
        self._calibrated_idle = idle
        self.tap.wait_until_quiet(self._quiet_s)
        costs = self.idle_costs = [self._cost(idle) for _ in range(WARM_UP)]
        while len(set(costs[-3:])) > 1:
            if len(costs) > MAX_PINGS:
                raise NotQuiescent(f"an idle request does not always cost the same: {_in_words(costs[-3:])}")
            costs.append(self._cost(idle))
        self.idle_cost = costs[-1]

    def count(self, act: Callable[[], object], is_over: Callable[[], bool] = lambda: True) -> Traffic:
        """What passes because of `act`, until nothing is in flight and it `is_over`."""
        start = self.tap.position()
        act()
        return self._count_since(start, is_over)

    def drain(self) -> None:
        """Wait until nothing is in flight."""
        self._count_since(self.tap.position(), lambda: True)

    def _count_since(self, start: Position, is_over: Callable[[], bool]) -> Traffic:
        self.tap.wait_until_quiet(self._quiet_s)
        costs: list[Traffic] = []
        last_idle = start
        while costs[-2:] != [self.idle_cost] * 2 or not is_over():
            if len(costs) > MAX_PINGS:
                raise NotQuiescent(
                    f"an idle request costs {_in_words(costs[-2:])}, and cost {_in_words([self.idle_cost])} before"
                )
            last_idle = self.tap.position()
            costs.append(self._cost(self._calibrated_idle))
        self._counted = _Counted(start, last_idle, self.tap.position(), len(costs))
        return self.tap.traffic_since(start) - self.idle_cost * len(costs)

    def layers(self) -> tuple[LayerBytes, LayerBytes]:
        """What was counted last, layer by layer, up and down. Each way is taken to be in as few segments as hold it."""
        frames = self.tap.frames
        counts = []
        for direction in ("up", "down"):
            from_start, from_last_idle, from_end = (
                frames.since(position).where(direction=direction).bytes_by_layer() for position in self._counted[:3]
            )
            idle = [from_last_idle - from_end] * self._counted.idle_requests
            count = from_start - from_end - sum(idle, LayerBytes())
            counts.append(count._replace(tcp_ip=tcp_ip_overhead(count.bytes)))
        return counts[0], counts[1]

    def _cost(self, act: Callable[[], object]) -> Traffic:
        start = self.tap.position()
        act()
        return self.tap.traffic_since(start)


def _in_words(costs: Sequence[Traffic]) -> str:
    return " and ".join(f"{cost.up} bytes up, {cost.down} down" for cost in dict.fromkeys(costs))


class CountingSetup:
    """A fresh server with ann and bob. The stack that is given closes it."""

    def __init__(self, protocol: Implementation, stack: ExitStack) -> None:
        self.server = stack.enter_context(serve(protocol, name=f"counting bytes {next(_server_numbers)}"))
        quiet_s = SOCKET_QUIET_S if protocol.codec is not None else GRPC_QUIET_S
        has_ping = not missing_verbs(protocol, ["ping"])
        self.users = {name: TappedClient(self.server, name, quiet_s, has_ping) for name in ("ann", "bob")}
        for user in self.users.values():
            stack.callback(user.tap.close)
        self.ann, self.bob = (user.client for user in self.users.values())
        self.numbers = itertools.count(1)  #: for what must be another one each time


# ---- what is counted --------------------------------------------------------------------------------------------


def _nothing(setup: CountingSetup) -> None:
    pass


@dataclass(frozen=True)
class Operation:
    """What is counted. `prepare` is called once and `before` each time, both uncounted; `watched` is ann or bob.

    `verbs` are those that it needs, separated by spaces; an external server may lack some.
    """

    name: str
    act: Callable[[CountingSetup], object]
    prepare: Callable[[CountingSetup], object] = _nothing
    before: Callable[[CountingSetup], object] = _nothing
    watched: str = "ann"
    verbs: str = ""


CREATE, PING = "create_account", "ping"
PING_VERBS = ("ping", "balance")  # pings cannot be subtracted from pings, so the balance is asked for between them
SHORT, LONG = "hi", "All human beings are born free and equal in dignity"[:50]


def with_unread_mail(setup: CountingSetup, texts: Iterable[str] = (SHORT,)) -> None:
    """Let bob send ann these texts while she is logged out."""
    setup.ann.log_out()
    for text in texts:
        setup.bob.send("ann", text)
    setup.ann.log_in("ann")


def fetch_mail(setup: CountingSetup) -> None:
    """Ask for a page of mail by itself, without the acknowledgement that `Client.unread` sends after it."""
    setup.ann.transport.exchange(Unread(), setup.ann.answer_timeout_s)


def bob_logs_out(setup: CountingSetup) -> None:
    setup.bob.log_out()


def _both_join(setup: CountingSetup) -> None:
    setup.ann.join()
    setup.bob.join()
    setup.ann.receive(DEADLINE_S)  # that bob came


OPERATIONS = (
    Operation(
        CREATE,
        lambda s: s.ann.create_account(f"an{next(s.numbers)}"),
        before=lambda s: s.ann.log_out(),
        verbs="log_out",
    ),
    Operation("send 2 characters", lambda s: s.ann.send("bob", SHORT), prepare=bob_logs_out, verbs="send log_out"),
    Operation("send 50 characters", lambda s: s.ann.send("bob", LONG), prepare=bob_logs_out, verbs="send log_out"),
    Operation("send 2, recipient on-line", lambda s: s.ann.send("bob", SHORT), verbs="send"),
    Operation("push 2 to the recipient", lambda s: s.ann.send("bob", SHORT), watched="bob", verbs="send receive"),
    Operation(
        "acknowledge",
        lambda s: s.ann.acknowledge(next(s.numbers)),
        prepare=lambda s: with_unread_mail(s, [SHORT] * MAX_REPEATS),
        verbs="acknowledge send log_out log_in",
    ),
    Operation("say 2 characters", lambda s: s.ann.say(SHORT), prepare=_both_join, verbs="say join receive"),
    Operation("balance", lambda s: s.ann.balance(), verbs="balance"),
    Operation("search, 1 found", lambda s: s.ann.list_accounts("a*"), verbs="list_accounts"),
    Operation("unread, 1 message", fetch_mail, prepare=with_unread_mail, verbs="unread send log_out log_in"),
)


def count_bytes(*protocols: "ProtocolOrList") -> ByteTable:
    """Count the bytes of every operation at the socket, for each protocol; without any, for all of chatlab's.

    Protocols are given as `count_bytes("text", "grpc")`; one list is understood too. An operation for which a server
    lacks a verb is left out, and the table says so. Raises `NotQuiescent` for a protocol whose bytes are not the same
    each time, or that sends what was not asked for, so that no exact count exists.
    """
    implementations = [resolve(protocol) for protocol in (one_by_one(protocols) if protocols else PROTOCOLS)]
    rows: list[ByteRow] = []
    left_out: list[LeftOut] = []
    with progress_bar(len(implementations) * (len(OPERATIONS) + 1), "counting bytes", "operations") as bar:
        for protocol in implementations:
            for counted in _count(protocol):
                if isinstance(counted, ByteRow):
                    rows.append(counted)
                else:
                    left_out.append(counted)
                bar.update()
    return ByteTable(tuple(rows), current_environment(), tuple(left_out))


def _count(protocol: Implementation) -> Iterator[ByteRow | LeftOut]:
    lacks_ping = missing_verbs(protocol, PING_VERBS)
    first_ping, ping = (Traffic(), Traffic()) if lacks_ping else confirmed(lambda: _count_ping(protocol))
    for operation in OPERATIONS:
        if missing := missing_verbs(protocol, operation.verbs.split()):
            yield LeftOut(protocol.name, operation.name, missing)
        else:
            yield _count_row(protocol, operation, first_ping - ping)
        if operation.name == CREATE:
            if lacks_ping:
                yield LeftOut(protocol.name, PING, lacks_ping)
            else:
                yield ByteRow(protocol.name, PING, first_ping, ping)


def _count_row(protocol: Implementation, operation: Operation, first_ping_more: Traffic) -> ByteRow:
    first, steady = confirmed(lambda: _count_operation(protocol, operation))
    if operation.name == CREATE:
        first = confirmed(lambda: _count_set_up(protocol, first_ping_more))
    return ByteRow(protocol.name, operation.name, first, steady)


def missing_verbs(protocol: Implementation, verbs: Iterable[str]) -> tuple[str, ...]:
    """Which of the verbs the protocol's server lacks."""
    return () if protocol.verbs is None else tuple(verb for verb in verbs if verb not in protocol.verbs)


Count = TypeVar("Count")


def confirmed(count: Callable[[], Count]) -> Count:
    """The count on which two fresh servers agree. Raises `NotQuiescent` where no two of them do."""
    counts: list[Count] = []
    while not counts or counts[-1] not in counts[:-1]:
        if len(counts) == MAX_REPEATS:
            raise NotQuiescent(f"no two servers gave the same count: {counts}")
        counts.append(count())
    return counts[-1]


def _count_operation(protocol: Implementation, operation: Operation) -> tuple[Traffic, Traffic]:
    with ExitStack() as stack:
        return count_in(CountingSetup(protocol, stack), operation)


def count_in(setup: CountingSetup, operation: Operation) -> tuple[Traffic, Traffic]:
    """What the operation costs the first time, and in steady state: when it costs the same twice in a row."""
    for user in setup.users.values():
        user.calibrate_idle(user.idle)
    operation.prepare(setup)
    counts: list[Traffic] = []
    while len(counts) < 2 or counts[-1] != counts[-2]:
        if len(counts) == MAX_REPEATS:
            raise NotQuiescent(f"{operation.name} never cost the same twice in a row: {_in_words(counts)}")
        operation.before(setup)
        setup.users[operation.watched].drain()
        counts.append(_count_once(setup, operation))
    return counts[0], counts[-1]


def _count_once(setup: CountingSetup, operation: Operation) -> Traffic:
    watched = setup.users[operation.watched]
    if operation.watched == "ann":
        return watched.count(lambda: operation.act(setup))
    count = watched.count(lambda: operation.act(setup), lambda: watched.client.events_waiting > 0)
    watched.client.receive(DEADLINE_S)  # it has arrived; what passes from here on is the acknowledgement
    return count


def _count_ping(protocol: Implementation) -> tuple[Traffic, Traffic]:
    """A first ping and a later one. Here the idle request is to ask for the balance."""
    with ExitStack() as stack:
        ann = CountingSetup(protocol, stack).users["ann"]
        ann.calibrate_idle(ann.client.balance)
        counts = [ann.count(ann.client.ping) for _ in range(2)]
        return counts[0], counts[-1]


def _count_set_up(protocol: Implementation, first_ping_more: Traffic) -> Traffic:
    """What passed since the connection was opened, without the pings that followed the first create_account.

    A ping that costs more than a ping was met by what create_account left in flight, except that a protocol may charge
    more for a first ping; one that costs less (its tag was shorter) is subtracted as it is.
    """
    with ExitStack() as stack:
        ann = CountingSetup(protocol, stack).users["ann"]
        ann.calibrate_idle(ann.idle)
        ping = ann.idle_cost
        pings = [Traffic(min(cost.up, ping.up), min(cost.down, ping.down)) for cost in ann.idle_costs]
        return ann.tap.traffic_since() - sum(pings, first_ping_more)
