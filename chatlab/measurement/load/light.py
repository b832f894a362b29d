"""The light load generator: one loop over non-blocking sockets, requests encoded beforehand, one write per wake-up.

It costs little, and always as much, so that the server is what is measured. The wire client encodes and decodes, the
virtual user decides what to request and verifies what comes back, and this module schedules and timestamps.
"""

import heapq
import select
import selectors
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from ...codecs.connection import SERVER_ACCEPTS
from ...messages import (
    Acknowledge,
    Arrived,
    ConnectionLost,
    CreateAccount,
    DeleteAccount,
    Deposit,
    Done,
    Goodbye,
    Join,
    Message,
    Ping,
    Pong,
    Refused,
    Reply,
    Request,
    shorten,
)
from ...transport.interface import Address, Implementation
from ...transport.registry import unpack
from . import trial as trials
from .http2 import Received
from .trial import MeasurementWindow, ProgressTimeout, SliceTimes, TrialSpec, account_names, count_undelivered
from .virtual_user import VerificationError, VirtualUser
from .wire_clients import CodecWireClient, WireClient, wire_client
from .workload import NS

RECEIVE_BYTES = 256 << 10
MAX_POLL_S = 0.5
MAX_SELECT_FD = 1024  # select(2) takes no larger file descriptor
#: The tags of what is not measured; requests have theirs from 1 up.
ACKNOWLEDGE_TAG, DELETE_TAG, PROBE_TAG = 1 << 20, (1 << 20) + 1, (1 << 20) + 2


class LightClient:
    """The connection of one virtual user."""

    def __init__(self, generator: "LightGenerator", address: Address, user: VirtualUser, wire: WireClient):
        self._generator, self.user, self._wire = generator, user, wire
        self.socket = socket.create_connection(address, trials.DIAL_TIMEOUT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._out: list[bytes] = []  # to be written at the end of this wake-up
        self._unwritten = b""  # what the kernel did not take
        self._new: list[int] = []  # requests in `_out`
        self._sent: dict[int, int] = {}  # by tag: a request without a reply
        self.backlog: deque[int] = deque()  # due times of requests that cannot be sent yet
        self._acknowledged = self._to_acknowledge = 0
        self.unacknowledged = 0  #: acknowledgements without a reply
        self.is_drained = False  #: a probe was answered: what the server had for this user before has arrived
        self._is_writing = False

    def connect(self, is_echo: bool) -> None:
        """Create the account, unless the server is an echo, and encode all requests."""
        self.socket.sendall(self._wire.preamble())
        while not self._wire.ready:
            self._receive_now()
        if not is_echo:
            self._set_up_account()
        self._prepared = [self._wire.prepare(index + 1, request) for index, request in enumerate(self.user.requests)]

    def _set_up_account(self) -> None:
        user = self.user
        self.exchange(self._wire.prepare(ACKNOWLEDGE_TAG, CreateAccount(user.name)))
        self.exchange(self._wire.prepare(ACKNOWLEDGE_TAG, Deposit(user.balance)))
        for prepared in self._wire.warm_up_requests():
            self.exchange(prepared, may_refuse=True)
        if user.room is not None:
            self.exchange(self._wire.prepare(ACKNOWLEDGE_TAG, Join(f"{user.name[:-4]}{user.room}")))

    def exchange(self, prepared: Any, may_refuse: bool = False) -> Reply:
        """Send a request and wait for its reply. Events meanwhile are about users who join a room."""
        self.socket.settimeout(trials.STEP_TIMEOUT_S)
        self.socket.sendall(self._wire.send(prepared))
        while True:
            for _, message in self._receive_now():
                if isinstance(message, Refused) and not may_refuse:
                    raise VerificationError(f"{self.user.name} was refused: {message.code}: {message.text}")
                if isinstance(message, Reply):
                    return message

    def _receive_now(self) -> Received:
        received = self._wire.receive(_receive_bytes(self.socket))
        if control_bytes := self._wire.control_bytes():
            self.socket.sendall(control_bytes)
        return received

    # ---- while it is measured

    def request(self, due_ns: int) -> None:
        """Send the next request, now or as soon as it can be."""
        user = self.user
        if self._unwritten or self.backlog or user.window_full:
            self.backlog.append(due_ns)
            return
        index = user.next_index
        n = user.begin_request(due_ns)
        self._sent[index + 1] = n
        self._new.append(n)
        self._out.append(self._wire.send(self._prepared[index]))
        self._generator.to_flush.add(self)

    def on_readable(self) -> None:
        try:
            data = _receive_bytes(self.socket)
        except BlockingIOError:
            return
        now, generator, user = time.perf_counter_ns(), self._generator, self.user
        for tag, message in self._wire.receive(data):
            if isinstance(message, generator.reply_types):
                self._on_reply(tag, message, now)
            else:
                self._on_event(message, now)
        if control_bytes := self._wire.control_bytes():
            self._out.append(control_bytes)
            generator.to_flush.add(self)
        if self._to_acknowledge > self._acknowledged:
            self._acknowledge()
        while self.backlog and not self._unwritten and not user.window_full and generator.running:
            self._send_backlog()

    def _on_reply(self, tag: int | None, reply: Any, now: int) -> None:
        if tag == ACKNOWLEDGE_TAG:
            if type(reply) is not Done:
                raise VerificationError(f"{self.user.name}: an acknowledgement was answered by {shorten(reply)}")
            self.unacknowledged -= 1
            return
        n = self._sent.pop(tag, None)  # type: ignore[arg-type]
        if n is None:
            if tag != PROBE_TAG:
                raise VerificationError(f"{self.user.name} received {shorten(reply)}, a reply to no request")
            self.is_drained = True
            return
        if self._generator.is_echo:
            reply = self._reply_of_echo(n, reply)
        if self.user.on_reply(n, reply, now):
            self._generator.schedule_next(self, now)

    def _reply_of_echo(self, n: int, echo: Request) -> Reply:
        if echo != self.user.requests[n % len(self.user.requests)]:
            raise VerificationError(f"{self.user.name}: the echo of request {n} is {shorten(echo)}")
        return Pong()

    def _on_event(self, event: Any, now: int) -> None:
        if isinstance(event, Goodbye):
            raise ConnectionLost(event.reason)
        delivered = self.user.on_event(event, now)
        if type(event) is Arrived:
            self._to_acknowledge = event.number
        if delivered is not None and delivered[1]:
            self._generator.schedule_next(self._generator.clients[delivered[0].number], now)

    def _acknowledge(self) -> None:
        self._acknowledged = self._to_acknowledge
        self.unacknowledged += 1
        self._queue(ACKNOWLEDGE_TAG, Acknowledge(self._acknowledged))

    def probe(self) -> None:
        """Send a request that is not measured; its reply comes behind all that the server had for this user before."""
        self._queue(PROBE_TAG, Ping())

    def _queue(self, tag: int, request: Request) -> None:
        self._out.append(self._wire.send(self._wire.prepare(tag, request)))
        self._generator.to_flush.add(self)

    def _send_backlog(self) -> None:
        due, self.backlog = self.backlog, deque()
        while due and not self.user.window_full:
            self.request(due.popleft())
        self.backlog.extend(due)

    def flush(self) -> None:
        """One write for all that is to be sent now."""
        now, sent = time.perf_counter_ns(), self.user.sent
        for n in self._new:
            sent[n] = now
        data = self._unwritten + b"".join(self._out)
        self._new.clear()
        self._out.clear()
        try:
            self._unwritten = data[self.socket.send(data) :]
        except BlockingIOError:
            self._unwritten = data
        except ConnectionError as error:
            raise ConnectionLost("the server closed a connection") from error
        if bool(self._unwritten) != self._is_writing:
            self._is_writing = bool(self._unwritten)
            self._generator.watch(self, self._is_writing)

    def delete_account(self) -> bool:
        """Leave the server as it was. Returns whether it still answers."""
        try:
            self.socket.settimeout(trials.DIAL_TIMEOUT_S)
            delete = self._wire.send(self._wire.prepare(DELETE_TAG, DeleteAccount()))
            self.socket.sendall(self._unwritten + b"".join(self._out) + delete)
            while not any(tag == DELETE_TAG for tag, _ in self._receive_now()):
                pass
        except OSError:
            return False  # it is overloaded, or gone
        return True


class LightGenerator:
    """All virtual users of one trial, under one selector."""

    def __init__(self, trial: TrialSpec):
        """Connect all of them. Raises `ConnectionLost`, `OSError`, `VerificationError`."""
        self.workload, self.is_echo = trial.workload, trial.echo
        self.reply_types: type[Message] = Request if trial.echo else Reply
        implementation = unpack(trial.protocol)
        names = account_names(trial)
        self.clients: list[LightClient] = []
        self._selector = selectors.DefaultSelector()
        self.to_flush: set[LightClient] = set()
        self.running = True  #: requests are sent
        self._due: list[tuple[int, int]] = []  # a heap of (when, which client)
        try:
            for number in range(len(names)):
                wire = _wire_client(implementation, trial.echo)
                user = VirtualUser(trial.workload, number, names, wire.in_order)
                self.clients.append(LightClient(self, trial.address, user, wire))
            for client in self.clients:
                client.connect(trial.echo)
        except BaseException:
            self.close()
            raise
        self.users = [client.user for client in self.clients]
        for client in self.clients:
            client.user.peers = self.users
            client.socket.setblocking(False)
            self._selector.register(client.socket, selectors.EVENT_READ, client)

    def close(self) -> None:
        for client in self.clients:
            client.socket.close()
        self._selector.close()

    def watch(self, client: LightClient, is_writing: bool) -> None:
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if is_writing else 0)
        self._selector.modify(client.socket, events, client)

    def run(self, start_ns: int) -> MeasurementWindow:
        """Generate load, from the start to the end of the drain."""
        window = MeasurementWindow(self.workload, start_ns)
        self._begin(start_ns)
        if not window.is_counted:
            self._run_until(window.begin_ns)
            window.mark()
            self._run_until(window.end_ns)
        else:
            window.mark()
            self._run_until(sys.maxsize, ProgressTimeout(self.users, self._all_done))
        window.mark()
        self.running = False
        self._run_until(time.perf_counter_ns() + int(trials.DRAIN_S * NS), self._is_idle)
        for client in self.clients:
            for due_ns in client.backlog:
                client.user.skip_request(due_ns)
        self._skip_overdue(window.end_ns)
        return window

    def run_slices(self, durations_ns: Iterable[int]) -> SliceTimes:
        """Generate the load of a closed loop in time slices, each until all is answered.

        A slice in which a request is never answered is the last one.
        """
        times = SliceTimes()
        for duration_ns in durations_ns:
            began_ns = times.begin()
            for client in self.clients:
                client.backlog.clear()  # what could not be sent then is sent now
            self._begin(began_ns)
            self.running = True
            self._run_until(began_ns + duration_ns)
            self.running = False
            self._run_until(time.perf_counter_ns() + int(trials.DRAIN_S * NS), self._is_settled)
            is_idle = self._is_idle()
            times.end(is_idle, duration_ns)
            if not is_idle:
                break
        return times

    def count_done(self) -> int:
        """Requests that are done."""
        return sum(user.done for user in self.users)

    def _begin(self, start_ns: int) -> None:
        if self.workload.is_open:
            self._arrivals = [self.workload.arrivals_of(client.user.number) for client in self.clients]
            self._start_ns = start_ns
            for number in range(len(self.clients)):
                self._push_next_arrival(number)
        else:
            self._left = [self.workload.messages or sys.maxsize for _ in self.clients]
            self._due = [
                (start_ns, number) for number in range(len(self.clients)) for _ in range(self.workload.in_flight)
            ]
            heapq.heapify(self._due)

    def _push_next_arrival(self, number: int) -> None:
        at_ns = next(self._arrivals[number], None)
        if at_ns is not None:
            heapq.heappush(self._due, (self._start_ns + at_ns, number))

    def schedule_next(self, client: LightClient, now_ns: int) -> None:
        """A request of the client is done: in a closed loop the next one is due."""
        if not self.workload.is_open and self.running:
            heapq.heappush(self._due, (now_ns + int(self.workload.think_s * NS), client.user.number))

    def _run_until(self, end_ns: int, condition: Callable[[], bool] = lambda: False) -> None:
        while (now := time.perf_counter_ns()) < end_ns and not condition():
            if self.running:
                self._send_due(now)
            self._flush()
            until_ns = min(self._due[0][0], end_ns) if self._due and self.running else end_ns
            self._poll(min(MAX_POLL_S, max(0, until_ns - time.perf_counter_ns()) / NS))

    def _send_due(self, now: int) -> None:
        due, clients = self._due, self.clients
        while due and due[0][0] <= now:
            at_ns, number = heapq.heappop(due)
            if self.workload.is_open:
                self._push_next_arrival(number)
            elif not self._left[number]:
                continue
            else:
                self._left[number] -= 1
            clients[number].request(at_ns)

    def _flush(self) -> None:
        while self.to_flush:
            self.to_flush.pop().flush()

    def _poll(self, timeout_s: float) -> None:
        if timeout_s > 0 and (fileno := getattr(self._selector, "fileno", None)) and (fd := fileno()) < MAX_SELECT_FD:
            select.select([fd], [], [], timeout_s)  # to the microsecond, where epoll rounds up to a millisecond
            timeout_s = 0
        for key, events in self._selector.select(timeout_s):
            if events & selectors.EVENT_READ:
                key.data.on_readable()
            if events & selectors.EVENT_WRITE:
                key.data.flush()

    def _is_idle(self) -> bool:
        self._flush()
        return not any(user.has_pending for user in self.users)

    def _is_settled(self) -> bool:
        """Idle, and no acknowledgement is in flight, which would be carried out in the slice of another protocol."""
        return self._is_idle() and not any(client.unacknowledged for client in self.clients)

    def _all_done(self) -> bool:
        wanted = self.workload.messages
        return all(len(user.due) == wanted for user in self.users) and self._is_idle()

    def _skip_overdue(self, end_ns: int) -> None:
        """Record the requests that were due before the end, and that the generator had no time to send."""
        while self.workload.is_open and self._due and self._due[0][0] < end_ns:
            at_ns, number = heapq.heappop(self._due)
            self.users[number].skip_request(at_ns)
            self._push_next_arrival(number)

    def verify_deliveries(self) -> None:
        """Raise `VerificationError` where a text was lost. One that may still be on its way counts as not heard."""
        drained = set()
        if count_undelivered(self.users):
            for client in self.clients:
                client.probe()
            deadline_ns = time.perf_counter_ns() + int(trials.PROBE_TIMEOUT_S * NS)
            self._run_until(deadline_ns, lambda: all(client.is_drained for client in self.clients))
            if self._deliveries_have_ended():
                drained = {client.user.number for client in self.clients if client.is_drained}
        for user in self.users:
            user.verify_all_delivered(drained)

    def _deliveries_have_ended(self) -> bool:
        """Where events keep no order with replies, they have come when none has come for a while."""
        if all(user.in_order for user in self.users):
            return True
        before = count_undelivered(self.users)
        self._run_until(time.perf_counter_ns() + int(trials.QUIET_S * NS))
        return count_undelivered(self.users) == before

    def leave(self) -> None:
        """Delete the accounts. The first that the server does not answer is the last that is tried."""
        self._selector.close()
        if not self.is_echo:
            all(client.delete_account() for client in self.clients)


def _receive_bytes(connection: socket.socket) -> bytes:
    try:
        data = connection.recv(RECEIVE_BYTES)
    except ConnectionError as error:
        raise ConnectionLost("the server closed a connection") from error
    if not data:
        raise ConnectionLost("the server closed a connection")
    return data


def _wire_client(implementation: Implementation, is_echo: bool) -> WireClient:
    if not is_echo:
        return wire_client(implementation)
    assert implementation.codec is not None, "an echo takes a codec"
    return CodecWireClient(implementation.codec, SERVER_ACCEPTS)  # its own requests, and its preface, come back
