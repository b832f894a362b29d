"""How many bytes does each operation take? Counted at the socket, where frames, headers and all are in them.

Each operation has a fresh server, and two users, each behind a tap of their own. Before and after the operation its user
pings until a ping costs what a ping always costs, so nothing is still on its way; then the pings are taken off again.
gRPC's flow control joins two of its frames to one where they happen to meet, so before the pings we let the line become
quiet, and a count stands when two fresh servers agree on it. Where a protocol's bytes depend on how often it was used,
they are those of the tenth to hundredth request of a connection, and of messages whose number has one digit.
"""

import itertools
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass

from ..capture.layers import LayerBytes, tcp_ip_overhead
from ..capture.tcp_relay import Relay, relay
from ..capture.traffic import Position, Traffic
from ..display.progress import progress_bar
from ..display.tables import Table
from ..harness import serve
from ..messages import ChatError, ChatlabError, Unread
from ..transport.client import Client
from ..transport.registry import PROTOCOLS, one_by_one, resolve
from .results.environment import Environment, environment
from .results.result import Result, available_keys

# ---- bytes ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ByteRow:
    """What one operation costs at the socket: asked for the first time on a connection, and in steady state."""

    protocol: str
    operation: str
    first: Traffic
    steady: Traffic


@dataclass(frozen=True, repr=False)
class ByteTable(Result):
    """Bytes at the socket for each protocol and operation, exact: the same versions give the same table again."""

    rows: tuple[ByteRow, ...]
    environment: Environment

    def __repr__(self):
        return f"<ByteTable of {', '.join(self.protocols)}: {len(self.operations)} operations>"

    @property
    def protocols(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(row.protocol for row in self.rows))

    @property
    def operations(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(row.operation for row in self.rows))

    def __getitem__(self, protocol_and_operation: tuple[str, str]) -> ByteRow:
        for row in self.rows:
            if (row.protocol, row.operation) == protocol_and_operation:
                return row
        raise KeyError(
            f"there is no {protocol_and_operation!r}; there is {available_keys(self.protocols, self.operations)}"
        )

    def table(self) -> Table:
        return _bytes_table(self)

    def to_frame(self):
        """A pandas DataFrame: a row for each protocol and operation, in bytes."""
        import pandas

        columns = ["protocol", "operation", "first_up", "first_down", "steady_up", "steady_down"]
        rows = [(r.protocol, r.operation, r.first.up, r.first.down, r.steady.up, r.steady.down) for r in self.rows]
        return pandas.DataFrame(rows, columns=columns)

    def plot(self, ax=None):
        """A bar for each protocol and operation. Returns the Axes."""
        from ..display.plots.traffic import bytes_per_operation

        return bytes_per_operation(self, ax)


WARM_UP = 10  # requests: until a tag, say, has two digits
REPEATS = 5  # within which an operation must have come to cost the same twice in a row
MAX_PINGS = 60  # pings, until whatever is on its way has arrived
DEADLINE_S = 10.0
_numbers = itertools.count(1)


class NotQuiescent(ChatlabError, RuntimeError):
    """Something keeps passing that nobody asked for, so that nothing can be counted exactly."""


@dataclass(frozen=True)
class Operation:
    """What is counted. `prepare` is done once and `before` before each time, both uncounted; ann or bob is watched.

    `verbs`, in words, are those that it needs; a server that is not ours may lack some.
    """

    name: str
    act: Callable[["CountingSetup"], object]
    prepare: Callable[["CountingSetup"], object] = lambda scene: None
    before: Callable[["CountingSetup"], object] = lambda scene: None
    watched: str = "ann"
    verbs: str = ""


class TappedClient:
    """A client behind a tap, who can wait until nothing is on its way."""

    def __init__(self, server, name: str, quiet_s: float, pings: bool = True):
        self._quiet_s = quiet_s
        self.tap: Relay = relay(server)
        self.client: Client = self.tap.connect()
        self.client.create_account(name)
        self.idle = self._idle = self.client.ping if pings else self.probe_login
        self.idle_costs: list[Traffic] = []  # one by one, until they were all the same
        self.idle_cost = Traffic()
        now = self.tap.position()
        self._counted = now, now, now, 0

    def probe_login(self) -> None:
        """What stands for a ping where a server has none: to ask for somebody who is not there."""
        try:
            self.client.log_in("nobody-at-all")
        except ChatError:
            return  # as it should be
        raise NotQuiescent("the server let in somebody who has no account")

    def calibrate_idle(self, idle: Callable[[], object]) -> None:
        """Do something idle until it costs the same three times in a row, and remember what."""
        self._idle = idle
        self.tap.wait_until_quiet(self._quiet_s)
        costs = self.idle_costs = [self._cost(idle) for _ in range(WARM_UP)]
        while len(set(costs[-3:])) > 1:
            if len(costs) > MAX_PINGS:
                raise NotQuiescent(f"{idle.__name__} costs {costs[-3:]} by turns")
            costs.append(self._cost(idle))
        self.idle_cost = costs[-1]

    def count(self, act: Callable[[], object], is_over: Callable[[], bool] = lambda: True) -> Traffic:
        """What passes because of `act`, its echoes included."""
        start = self.tap.position()
        act()
        return self._rest_since(start, is_over)

    def drain(self) -> None:
        """Wait until nothing is on its way."""
        self._rest_since(self.tap.position(), lambda: True)

    def _rest_since(self, start: Position, is_over: Callable[[], bool]) -> Traffic:
        self.tap.wait_until_quiet(self._quiet_s)
        costs, last = [], start
        while costs[-2:] != [self.idle_cost] * 2 or not is_over():
            if len(costs) > MAX_PINGS:
                raise NotQuiescent(f"a {self._idle.__name__} costs {costs[-2:]}, and {self.idle_cost} before")
            last = self.tap.position()
            costs.append(self._cost(self._idle))
        self._counted = start, last, self.tap.position(), len(costs)
        return self.tap.traffic_since(start) - self.idle_cost * len(costs)

    def layers(self) -> tuple[LayerBytes, LayerBytes]:
        """What was counted last, layer by layer: up and down. Each way in as few segments as hold it."""
        began, last_idle, ended, idle_times = self._counted
        frames = self.tap.frames
        found = []
        for way in ("up", "down"):
            upto, idle, after = (
                frames.since(position).where(direction=way).bytes_by_layer() for position in (began, last_idle, ended)
            )
            counted = upto - after - sum([idle - after] * idle_times, LayerBytes())
            found.append(counted._replace(tcp_ip=tcp_ip_overhead(counted.bytes)))
        return found[0], found[1]

    def _cost(self, act: Callable[[], object]) -> Traffic:
        start = self.tap.position()
        act()
        return self.tap.traffic_since(start)


class CountingSetup:
    """A fresh server with ann and bob, at rest."""

    def __init__(self, protocol, stack: ExitStack):
        self.server = stack.enter_context(serve(protocol, name=f"counting bytes {next(_numbers)}"))
        # Over a socket of ours nothing is said after the answer to a ping; gRPC's remarks on flow control come when they come.
        quiet_s = 0.0005 if resolve(protocol).codec is not None else 0.005
        pings = not missing(protocol, ["ping"])
        self.users = {name: TappedClient(self.server, name, quiet_s, pings) for name in ("ann", "bob")}
        for user in self.users.values():
            stack.callback(user.tap.close)
        self.ann, self.bob = (user.client for user in self.users.values())
        self.steps = itertools.count(1)


# ---- what is counted --------------------------------------------------------------------------------------------

CREATE = "create_account"
SHORT, LONG = "hi", "All human beings are born free and equal in dignity"[:50]


def with_unread_mail(scene: CountingSetup, letters: Iterable[str] = (SHORT,)) -> None:
    scene.ann.log_out()
    for text in letters:
        scene.bob.send("ann", text)
    scene.ann.log_in("ann")


def fetch_mail(scene: CountingSetup) -> None:
    """Ask for a page of mail by itself, without the acknowledgement that `Client.unread` sends after it."""
    scene.ann.transport.exchange(Unread(), scene.ann.answer_timeout_s)


def _both_join(scene: CountingSetup) -> None:
    scene.ann.join()
    scene.bob.join()
    scene.ann.receive(DEADLINE_S)  # that bob came


OPERATIONS = (
    Operation(CREATE, lambda s: s.ann.create_account(f"an{next(s.steps)}"), before=lambda s: s.ann.log_out(), verbs="log_out"),
    Operation("send 2 characters", lambda s: s.ann.send("bob", SHORT), prepare=lambda s: s.bob.log_out(), verbs="send log_out"),
    Operation("send 50 characters", lambda s: s.ann.send("bob", LONG), prepare=lambda s: s.bob.log_out(), verbs="send log_out"),
    Operation("send 2, recipient on-line", lambda s: s.ann.send("bob", SHORT), verbs="send"),
    Operation("push 2 to the recipient", lambda s: s.ann.send("bob", SHORT), watched="bob", verbs="send receive"),
    Operation(
        "acknowledge", lambda s: s.ann.acknowledge(next(s.steps)), prepare=lambda s: with_unread_mail(s, [SHORT] * REPEATS),
        verbs="acknowledge send log_out log_in",
    ),
    Operation("say 2 characters", lambda s: s.ann.say(SHORT), prepare=_both_join, verbs="say join receive"),
    Operation("balance", lambda s: s.ann.balance(), verbs="balance"),
    Operation("search, 1 found", lambda s: s.ann.list_accounts("a*"), verbs="list_accounts"),
    Operation(  # without its acknowledgement
        "unread, 1 message", fetch_mail, prepare=with_unread_mail, verbs="unread send log_out log_in",
    ),
)  # fmt: skip


def count_bytes(*protocols) -> ByteTable:
    """Count the bytes of every operation at the socket, for each protocol (all that chatlab brings, if none is named).

    Operations for which a server lacks a verb are left out. Raises `NotQuiescent` for a protocol that talks unasked, so that
    nothing can be counted exactly.
    """
    protocols, rows = one_by_one(protocols) if protocols else tuple(PROTOCOLS), []
    with progress_bar(len(protocols) * (len(OPERATIONS) + 1), "counting bytes", "operations") as bar:
        for protocol in protocols:
            for row in _count(protocol):
                rows.append(row)
                bar.update()
    return ByteTable(tuple(rows), environment())


def _count(protocol):
    name = resolve(protocol).name
    has_ping = not missing(protocol, ["ping", "balance"])
    first_ping, ping = confirmed(lambda: _count_ping(protocol)) if has_ping else (Traffic(), Traffic())
    for operation in (each for each in OPERATIONS if not missing(protocol, each.verbs.split())):
        first, steady = confirmed(lambda: _count_operation(protocol, operation))
        if operation.name == CREATE:
            first = confirmed(lambda: _count_set_up(protocol, first_ping - ping))
        yield ByteRow(name, operation.name, first, steady)
        if operation.name == CREATE and has_ping:
            yield ByteRow(name, "ping", first_ping, ping)


def missing(protocol, verbs: Iterable[str]) -> list[str]:
    """Which of the verbs a server lacks that says which it has."""
    has = resolve(protocol).verbs
    return [] if has is None else [verb for verb in verbs if verb not in has]


def confirmed(count: Callable[[], object]):
    """The count on which two fresh servers agree."""
    counts: list[object] = []
    while not counts or counts[-1] not in counts[:-1]:
        if len(counts) == REPEATS:
            raise NotQuiescent(f"every server counts differently: {counts}")
        counts.append(count())
    return counts[-1]


def _count_operation(protocol, operation: Operation) -> tuple[Traffic, Traffic]:
    with ExitStack() as stack:
        return count_in(CountingSetup(protocol, stack), operation)


def count_in(scene: CountingSetup, operation: Operation) -> tuple[Traffic, Traffic]:
    """The first time, and when it costs the same twice in a row."""
    for user in scene.users.values():
        user.calibrate_idle(user.idle)
    operation.prepare(scene)
    counts: list[Traffic] = []
    while len(counts) < 2 or counts[-1] != counts[-2]:
        if len(counts) == REPEATS:
            raise NotQuiescent(f"{operation.name} costs {counts} by turns")
        operation.before(scene)
        scene.users[operation.watched].drain()
        counts.append(_count_once(scene, operation))
    return counts[0], counts[-1]


def _count_once(scene: CountingSetup, operation: Operation) -> Traffic:
    watched = scene.users[operation.watched]
    if operation.watched == "ann":
        return watched.count(lambda: operation.act(scene))
    count = watched.count(lambda: operation.act(scene), lambda: watched.client.events_waiting > 0)
    watched.client.receive(DEADLINE_S)  # it is there; from here on what passes is the acknowledgement
    return count


def _count_ping(protocol) -> tuple[Traffic, Traffic]:
    """Pings cannot be taken off from pings, so here the idle thing to do is to look at the balance."""
    with ExitStack() as stack:
        ann = CountingSetup(protocol, stack).users["ann"]
        ann.calibrate_idle(ann.client.balance)
        counts = [ann.count(ann.client.ping) for _ in range(2)]
        return counts[0], counts[-1]


def _count_set_up(protocol, first_ping_more: Traffic) -> Traffic:
    """What passed since the connection was opened, without the pings that brought it to rest.

    A ping that costs more than a ping was met by what create_account left on its way, except that a protocol may charge
    more for a first ping; one that costs less (its tag was shorter) is taken off as it is.
    """
    with ExitStack() as stack:
        ann = CountingSetup(protocol, stack).users["ann"]
        ann.calibrate_idle(ann.idle)
        most = ann.idle_cost
        pings = [Traffic(min(cost.up, most.up), min(cost.down, most.down)) for cost in ann.idle_costs]
        return ann.tap.traffic_since() - sum(pings, first_ping_more)


def _bytes_table(result: ByteTable) -> Table:
    rows = []
    for operation in result.operations:
        for row in (each for each in result.rows if each.operation == operation):
            numbers = row.steady.up, row.steady.down, row.steady.total, row.first.up, row.first.down, row.first.total
            named = operation if not rows or rows[-1][2] != operation else ""
            rows.append((named, row.protocol, operation, *(f"{n:,}" for n in numbers)))
    rows = [(named, protocol, *numbers) for named, protocol, _, *numbers in rows]
    heads = ("operation", "protocol", "up", "down", "together", "first up", "first down", "first together")
    notes = (
        "up: to the server, down: from it. first: asked for the first time on a connection; "
        "a first create_account includes setting the connection up.",
        "What the client sends by itself for what it has shown, acknowledge, is counted apart.",
    )
    return Table("Bytes at the socket", heads, tuple(rows), notes, labels=2)
