"""The light load generator: one loop over non-blocking sockets, requests spelled beforehand, one write for each wake-up.

It costs little, and what it costs is known, so that the server is what is measured. What a protocol's bytes are only its
wire knows; what is true only the user knows; here is when to ask, and when it was.
"""

import heapq
import select
import selectors
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable

from ...codecs.interface import preface_of
from ...messages import (
    Acknowledge,
    ConnectionLost,
    CreateAccount,
    DeleteAccount,
    Deposit,
    Done,
    Goodbye,
    Join,
    Pong,
    Refused,
    Reply,
    Request,
    shorten,
)
from ...transport.interface import Address
from ...transport.registry import unpack
from . import trial as trials
from .trial import MeasurementWindow, ProgressTimeout, SliceTimes, TrialSpec, account_names
from .virtual_user import VerificationError, VirtualUser
from .wire_clients import CodecWireClient, wire_for
from .workload import NS

RECEIVE_BYTES = 256 << 10
ACKNOWLEDGED = 1 << 20  # the tag of acknowledgements; requests have theirs from 1 up


class LightClient:
    """One connection: what it says is spelled beforehand, and goes out in one write for each wake-up."""

    def __init__(self, generator: "LightGenerator", address: Address, user: VirtualUser, wire):
        self._generator, self.user, self._wire = generator, user, wire
        self.socket = socket.create_connection(address, trials.DIAL_TIMEOUT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._out: list[bytes] = []
        self._rest = b""  # what the kernel did not take yet
        self._fresh: list[int] = []  # requests in `_out`
        self._asked: dict[int, int] = {}  # tag: request
        self.behind: deque[int] = deque()  # what is due and cannot be asked yet
        self._acknowledged = self._to_acknowledge = 0
        self.unacknowledged = 0  # acknowledgements without an answer yet
        self._is_writing = False

    def connect_all(self, echo: bool = False) -> None:
        """Say who we are and spell all that will be asked."""
        self.socket.sendall(self._wire.preamble())
        while not self._wire.ready:
            self._listen_once()
        if not echo:
            self._introduce()
        self._frames = [self._wire.spell(entry + 1, request) for entry, request in enumerate(self.user.requests)]

    def _introduce(self) -> None:
        user = self.user
        self.exchange(self._wire.spell(ACKNOWLEDGED, CreateAccount(user.name)))
        self.exchange(self._wire.spell(ACKNOWLEDGED, Deposit(user.balance)))
        for frame in self._wire.warm_up_requests():
            self.exchange(frame, may_refuse=True)
        if user.room is not None:
            self.exchange(self._wire.spell(ACKNOWLEDGED, Join(f"{user.name[:-4]}{user.room}")))

    def exchange(self, frame, may_refuse: bool = False) -> Reply:
        """Say one thing and wait for its answer. Events meanwhile are who came and went."""
        self.socket.settimeout(trials.STEP_TIMEOUT_S)
        self.socket.sendall(self._wire.say(frame))
        while True:
            for _, message in self._listen_once():
                if isinstance(message, Refused) and not may_refuse:
                    raise VerificationError(f"{self.user.name} was refused: {message.code}: {message.text}")
                if isinstance(message, Reply):
                    return message

    def _listen_once(self) -> list:
        heard = self._wire.receive(_received(self.socket))
        if control_bytes := self._wire.control_bytes():
            self.socket.sendall(control_bytes)
        return heard

    # ---- while it is measured

    def ask(self, due_ns: int) -> None:
        """Ask the next request, now or as soon as it can be."""
        user = self.user
        if self._rest or self.behind or user.full:
            self.behind.append(due_ns)
            return
        entry = user.next_entry
        n = user.ask(due_ns)
        self._asked[entry + 1] = n
        self._fresh.append(n)
        self._out.append(self._wire.say(self._frames[entry]))
        self._generator.dirty.add(self)

    def hear(self) -> None:
        try:
            data = _received(self.socket)
        except BlockingIOError:
            return
        now, generator, user = time.perf_counter_ns(), self._generator, self.user
        for tag, message in self._wire.receive(data):
            if isinstance(message, generator.answers):
                self._hear_answer(tag, message, now)
            else:
                self._hear_event(message, now)
        if control_bytes := self._wire.control_bytes():
            self._out.append(control_bytes)
            generator.dirty.add(self)
        if self._to_acknowledge > self._acknowledged:
            self._acknowledge()
        while self.behind and not self._rest and not user.full and generator.going:
            self._catch_up()

    def _hear_answer(self, tag: int | None, reply: Reply, now: int) -> None:
        if tag == ACKNOWLEDGED:
            if type(reply) is not Done:
                raise VerificationError(f"{self.user.name}: an acknowledgement was answered by {shorten(reply)}")
            self.unacknowledged -= 1
            return
        n = self._asked.pop(tag, None)
        if n is None:
            raise VerificationError(f"{self.user.name} heard {shorten(reply)}, an answer to nothing that it asked")
        if self._generator.is_echo:
            reply = self._echoed(n, reply)
        if self.user.answer(n, reply, now):
            self._generator.free(self, now)

    def _echoed(self, n: int, said: Request) -> Reply:
        if said != self.user.requests[n % len(self.user.requests)]:
            raise VerificationError(f"{self.user.name}: the echo of request {n} is {shorten(said)}")
        return Pong()

    def _hear_event(self, event, now: int) -> None:
        if isinstance(event, Goodbye):
            raise ConnectionLost(event.reason)
        said_by = self.user.hear(event, now)
        self._to_acknowledge = getattr(event, "number", self._to_acknowledge)
        if said_by is not None and said_by[1]:
            self._generator.free(self._generator.clients[said_by[0].number], now)

    def _acknowledge(self) -> None:
        self._acknowledged = self._to_acknowledge
        self.unacknowledged += 1
        self._out.append(self._wire.say(self._wire.spell(ACKNOWLEDGED, Acknowledge(self._acknowledged))))
        self._generator.dirty.add(self)

    def _catch_up(self) -> None:
        due, self.behind = self.behind, deque()
        while due and not self.user.full:
            self.ask(due.popleft())
        self.behind.extend(due)

    def flush(self) -> None:
        """One write for all that is to be said now."""
        now, sent = time.perf_counter_ns(), self.user.sent
        for n in self._fresh:
            sent[n] = now
        data = self._rest + b"".join(self._out)
        self._fresh.clear()
        self._out.clear()
        try:
            self._rest = data[self.socket.send(data) :]
        except BlockingIOError:
            self._rest = data
        except ConnectionError as error:
            raise ConnectionLost("the server closed a connection") from error
        if bool(self._rest) != self._is_writing:
            self._is_writing = bool(self._rest)
            self._generator.watch(self, self._is_writing)

    def delete_account(self) -> bool:
        """Leave the server as it was. Returns whether it still answers."""
        try:
            self.socket.settimeout(trials.DIAL_TIMEOUT_S)
            self.socket.sendall(
                self._rest + b"".join(self._out) + self._wire.say(self._wire.spell(ACKNOWLEDGED + 1, DeleteAccount()))
            )
            while not any(tag == ACKNOWLEDGED + 1 for tag, _ in self._listen_once()):
                pass
        except OSError:
            return False  # it has too much to do, or is gone
        return True


class LightGenerator:
    """All connections of one trial under one selector."""

    def __init__(self, trial: TrialSpec):
        self.workload, self.is_echo = trial.workload, trial.echo
        self.answers = Request if trial.echo else Reply
        carried = unpack(trial.protocol)
        names = account_names(trial)
        self._address, self.clients, self._selector = trial.address, [], selectors.DefaultSelector()
        self.dirty: set[LightClient] = set()
        self.going = True
        self._due: list[tuple[int, int]] = []  # a heap of (when, which client)
        try:
            for number in range(len(names)):
                wire = wire_for(carried) if not trial.echo else _echo_wire(carried)
                user = VirtualUser(trial.workload, number, names, wire.in_order)
                self.clients.append(LightClient(self, trial.address, user, wire))
            for client in self.clients:
                client.connect_all(trial.echo)
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

    def watch(self, client: LightClient, writing: bool) -> None:
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if writing else 0)
        self._selector.modify(client.socket, events, client)

    def run(self, start_ns: int) -> MeasurementWindow:
        """From the start to the end of the drain."""
        clock = MeasurementWindow(self.workload, start_ns)
        self._begin(start_ns)
        if not clock.is_counted:
            self._listen_until(clock.begin_ns)
            clock.mark()
            self._listen_until(clock.end_ns)
        else:
            clock.mark()
            self._listen_until(sys.maxsize, ProgressTimeout(self.users, self._has_said_all))
        clock.mark()
        self.going = False
        self._listen_until(time.perf_counter_ns() + int(trials.DRAIN_S * NS), self._is_quiet)
        for client in self.clients:
            for due_ns in client.behind:
                client.user.skip(due_ns)
        self._skip_what_was_due(clock.end_ns)
        return clock

    def run_slices(self, lasting_ns: Iterable[int]) -> SliceTimes:
        """A closed loop in turns, so long each, and until all is answered. Where that never happens, it was the last turn."""
        times = SliceTimes()
        for lasts_ns in lasting_ns:
            began_ns = times.begin()
            for client in self.clients:
                client.behind.clear()  # whoever could not be asked before is asked now
            self._begin(began_ns)
            self.going = True
            self._listen_until(began_ns + lasts_ns)
            self.going = False
            self._listen_until(time.perf_counter_ns() + int(trials.DRAIN_S * NS), self._is_settled)
            times.end(is_quiet := self._is_quiet(), lasts_ns)
            if not is_quiet:
                break
        return times

    def count_done(self) -> int:
        """Requests that are done."""
        return sum(user.done for user in self.users)

    def _begin(self, start_ns: int) -> None:
        if self.workload.is_open:
            self._arrivals = [self.workload.arrivals_of(client.user.number) for client in self.clients]
            for number, arrivals in enumerate(self._arrivals):
                self._push_next(number, start_ns)
            self._start_ns = start_ns
        else:
            self._left = [self.workload.messages or sys.maxsize for _ in self.clients]
            first = [(start_ns, number) for number in range(len(self.clients)) for _ in range(self.workload.in_flight)]
            self._due = first
            heapq.heapify(first)

    def _push_next(self, number: int, start_ns: int) -> None:
        at_ns = next(self._arrivals[number], None)
        if at_ns is not None:
            heapq.heappush(self._due, (start_ns + at_ns, number))

    def free(self, client: LightClient, now_ns: int) -> None:
        """A request of the client is done: in a closed loop the next one is due."""
        if not self.workload.is_open and self.going:
            heapq.heappush(self._due, (now_ns + int(self.workload.think_s * NS), client.user.number))

    def _listen_until(self, end_ns: int, enough: Callable[[], bool] = lambda: False) -> None:
        while (now := time.perf_counter_ns()) < end_ns and not enough():
            if self.going:
                self._ask_what_is_due(now)
            self._flush()
            until = min(self._due[0][0], end_ns) if self._due and self.going else end_ns
            self._listen(min(0.5, max(0, until - time.perf_counter_ns()) / NS))

    def _ask_what_is_due(self, now: int) -> None:
        due, clients = self._due, self.clients
        while due and due[0][0] <= now:
            at_ns, number = heapq.heappop(due)
            if self.workload.is_open:
                self._push_next(number, self._start_ns)
            elif not self._left[number]:
                continue
            else:
                self._left[number] -= 1
            clients[number].ask(at_ns)

    def _flush(self) -> None:
        while self.dirty:
            self.dirty.pop().flush()

    def _listen(self, timeout_s: float) -> None:
        if timeout_s > 0 and (ready := getattr(self._selector, "fileno", None)) and (fd := ready()) < 1024:
            select.select([fd], [], [], timeout_s)  # to the microsecond, where epoll rounds up to the next millisecond
            timeout_s = 0
        for key, events in self._selector.select(timeout_s):
            if events & selectors.EVENT_READ:
                key.data.hear()
            if events & selectors.EVENT_WRITE:
                key.data.flush()

    def _is_quiet(self) -> bool:
        self._flush()
        return not any(user.waits for user in self.users)

    def _is_settled(self) -> bool:
        """Quiet, and no acknowledgement is on its way, which would be carried out in another's turn."""
        return self._is_quiet() and not any(client.unacknowledged for client in self.clients)

    def _has_said_all(self) -> bool:
        wanted = self.workload.messages
        return all(len(user.due) == wanted for user in self.users) and self._is_quiet()

    def _skip_what_was_due(self, end_ns: int) -> None:
        """What fell due before the end and was not even looked at, because there was no time."""
        while self.workload.is_open and self._due and self._due[0][0] < end_ns:
            at_ns, number = heapq.heappop(self._due)
            self.users[number].skip(at_ns)
            self._push_next(number, self._start_ns)

    def leave(self) -> None:
        self._selector.close()
        if not self.is_echo:
            all(client.delete_account() for client in self.clients)  # the first that is not answered is the last


def _received(sock: socket.socket) -> bytes:
    try:
        data = sock.recv(RECEIVE_BYTES)
    except ConnectionError as error:
        raise ConnectionLost("the server closed a connection") from error
    if not data:
        raise ConnectionLost("the server closed a connection")
    return data


def _echo_wire(carried):
    wire = CodecWireClient(carried.codec, Request)
    wire.preamble = lambda: preface_of(carried.codec)  # it comes back, and is expected to
    return wire
