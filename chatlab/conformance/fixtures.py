"""What the cases of a whole implementation run on: a server, users of their own for each case, and faulty links.

A case gets a `Scenario`: a running server, users whose names nobody else has, and links to the server that chop,
gather, stall and break. Every wait is for something, with a deadline that follows how fast this implementation is on
this machine. Nothing here knows which protocol is spoken.
"""

import functools
import itertools
import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from statistics import median
from types import TracebackType
from typing import Any, Self, TypeVar

from .. import harness
from ..messages import Arrived, ChatError, ChatlabError, Event
from ..transport.client import Client
from ..transport.interface import Address, Engine, Implementation
from .checked_codec import same
from .report import Case, CaseFailed, CaseSkipped, CaseTimedOut, case, clipped

WAIT_S = 5.0  # for what must come; times the slowness of what is tried
SILENCE_S = 0.05  # how long nothing must come for "nothing came"
PACE_TEXT = "x" * 10_000  # the message whose way from one user to another is timed
USUAL_PACE_S = 0.005  # our own need a fifth of it

E = TypeVar("E", bound=Event)


class ServerFixture:
    """A server of the tried implementation, for one case after the other. A context manager."""

    def __init__(self, implementation: Implementation, engine: Engine):
        self.implementation, self.engine = implementation, engine
        self.steps = 0  #: messages that clients have sent or received: a case is slow where this grows, else it hangs
        self.slowness = 1.0  #: how many times as long as usual anything may take; found out by `measure_pace`
        self._numbers = itertools.count(1)
        self._server: harness.Server | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()

    @property
    def server(self) -> harness.Server:
        if self._server is None:
            self._server = self.serve()
        return self._server

    def serve(self, port: int = 0) -> harness.Server:
        """Another server of the same kind."""
        try:
            return harness.serve(
                self.implementation, engine=self.engine, port=port, name=f"check {id(self)} {next(self._numbers)}"
            )
        except (ValueError, KeyError, NotImplementedError):
            if self.engine == "loop":
                raise
            raise CaseSkipped(f"it has no engine {self.engine!r}") from None

    def count_step(self, *_: object) -> None:
        self.steps += 1

    def unique_name(self, base: str) -> str:
        return f"{base}{next(self._numbers)}"

    def measure_pace(self) -> bool:
        """Time a message's way, so that what is slow, or runs on a busy machine, gets as much longer for everything.

        Returns whether it is now at least twice as slow as it was when the limits were set before.
        """
        before, took = self.slowness, []
        try:
            with Scenario(self) as scenario:
                ada, bob = scenario.users("ada", "bob")
                for _ in range(5):
                    start = time.monotonic()
                    ada.send(bob.name, PACE_TEXT)
                    bob.receive(timeout_s=WAIT_S * before)
                    took.append(time.monotonic() - start)
        except (ChatlabError, TimeoutError, OSError):
            pass  # what is wrong with it is for the cases to say
        if took:
            self.slowness = max(before, median(took) / USUAL_PACE_S)
        return self.slowness >= 2 * before


class Scenario:
    """One case's users and links, and what they wait for; leaving it closes them all."""

    def __init__(self, fixture: ServerFixture):
        self.implementation, self.serve, self.name = fixture.implementation, fixture.serve, fixture.unique_name
        self.address: Address = fixture.server.address
        self.wait_s = WAIT_S * fixture.slowness
        self._count_step = fixture.count_step
        self._open = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, traceback)

    # ---- who takes part

    def new_client(self, address: Address | None = None) -> Client:
        """A client that has no account yet."""
        client: Client = self.implementation.connect(address or self.address)
        client.answer_timeout_s = self.wait_s
        client.on_message = self._count_step
        self._open.callback(client.close)
        return client

    def user(self, base: str, address: Address | None = None) -> Client:
        """A client with an account of its own; its name is `base` and a number."""
        client = self.new_client(address)
        client.create_account(self.name(base))
        return client

    def users(self, *bases: str) -> list[Client]:
        return [self.user(base) for base in bases]

    def log_in_as(self, name: str) -> Client:
        """Another connection, logged in to that account."""
        client = self.new_client()
        client.log_in(name)
        return client

    def link(self, chop: bool = False, gather_s: float = 0.0) -> "FaultyLink":
        """A link of its own to the server; its `address` is where a client goes in."""
        link = FaultyLink(self.address, chop, gather_s)
        self._open.callback(link.reset)
        return link

    # ---- what must come, and what must not

    def next_event(self, client: Client, kind: type[E]) -> E:
        """The next event of this kind; others are passed over."""
        deadline = time.monotonic() + self.wait_s
        while True:
            try:
                event = client.receive(timeout_s=max(0.0, deadline - time.monotonic()))
            except TimeoutError:
                raise CaseTimedOut(f"waiting for {kind.__name__}", f"nothing within {self.wait_s:g} s") from None
            if isinstance(event, kind):
                return event

    def next_message(self, client: Client) -> Arrived:
        return self.next_event(client, Arrived)

    def texts(self, client: Client, count: int) -> list[str]:
        """The texts of the next messages that arrive."""
        return [self.next_message(client).text for _ in range(count)]

    def expect_silence(self, client: Client, sent: str, kind: type[Event] = Arrived) -> None:
        """No event of this kind comes."""
        deadline = time.monotonic() + SILENCE_S
        while (left := deadline - time.monotonic()) > 0:
            try:
                event = client.receive(timeout_s=left)
            except TimeoutError:
                return
            if isinstance(event, kind):
                raise CaseFailed(sent, f"{clipped(repr(event))}, which should not have come")

    def wait_until(self, true: Callable[[], bool], sent: str, got: str) -> None:
        deadline, pause = time.monotonic() + self.wait_s, threading.Event()
        while not true():
            if time.monotonic() > deadline:
                raise CaseTimedOut(sent, f"{got} after {self.wait_s:g} s")
            pause.wait(0.005)

    def wait_until_offline(self, sender: Client, name: str) -> None:
        """Wait until a message to that name is no longer pushed. Leaves some "?" in the mailbox."""
        self.wait_until(
            lambda: not sender.send(name, "?").delivered,
            f"send to {name.rstrip('0123456789')}, whose client is gone",
            "still said to be online",
        )

    def all_unread(self, client: Client, limit: int = 100) -> list[Arrived]:
        """All pages of the unread mail."""
        mail: list[Arrived] = []
        after = 0
        for _ in range(1000):
            page = client.unread(after, limit)
            mail += page.messages
            if not page.more or not page.messages:
                return mail
            after = page.messages[-1].number
        raise CaseFailed("unread, page after page", "a thousand pages, and still more")

    def concurrently(self, *tasks: Callable[[], object]) -> None:
        """Run the tasks on threads of their own; the first error of any is raised."""
        errors: list[BaseException] = []

        def run(task: Callable[[], object]) -> None:
            try:
                task()
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=run, args=(task,), name="chatlab-check", daemon=True) for task in tasks]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(2 * self.wait_s)
        if errors:
            raise errors[0]
        if any(thread.is_alive() for thread in threads):
            raise CaseTimedOut(f"{len(tasks)} things at once", f"some had not ended after {2 * self.wait_s:g} s")


def server_case(hint: str, verbs: str = "") -> Callable[[Callable[[Scenario], None]], Case]:
    """Make the decorated function a case that gets a `Scenario`. `verbs` are those it needs besides create_account."""

    def decorate(function: Callable[[Scenario], None]) -> Case:
        @functools.wraps(function)
        def run(fixture: ServerFixture) -> None:
            with Scenario(fixture) as scenario:
                function(scenario)

        return case(hint, f"create_account {verbs}")(run)

    return decorate


def expect(sent: str, got: object, wanted: object) -> None:
    """Raises `CaseFailed` where the two differ in value or in type."""
    if not same(got, wanted):
        raise CaseFailed(sent, f"{clipped(repr(got))}, where it should be {clipped(repr(wanted))}")


def expect_refused(code: str, sent: str, verb: Callable[..., Any], *arguments: Any) -> ChatError:
    """The refusal that must come."""
    try:
        answer = verb(*arguments)
    except ChatError as error:
        if error.code != code:
            raise CaseFailed(sent, f"refused with {error.code}, where it should be {code}") from error
        return error
    raise CaseFailed(sent, f"{clipped(repr(answer))}, where it should be refused with {code}")


# ---- faulty links -----------------------------------------------------------------------------------------------


class FaultyLink:
    """A TCP link to the server that passes bytes on one by one (`chop`) or gathered (`gather_s`), and can fail."""

    def __init__(self, upstream: Address, chop: bool = False, gather_s: float = 0.0):
        self.upstream, self.chop, self.gather_s = upstream, chop, gather_s
        self._sockets: list[socket.socket] = []
        self._flowing = threading.Event()
        self._flowing.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address: Address = self._listener.getsockname()[:2]
        threading.Thread(target=self._accept, name="chatlab-faulty-link", daemon=True).start()

    def stall(self) -> None:
        """Pass nothing on to the client any more; to the server it looks like a client that does not read."""
        self._flowing.clear()

    def reset(self) -> None:
        """Reset every connection in both directions, as when a machine dies."""
        self._listener.close()
        for sock in self._sockets:
            try:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # it was closed already
            sock.close()
        self._flowing.set()

    def _accept(self) -> None:
        while True:
            try:
                near = self._listener.accept()[0]
                far = socket.create_connection(self.upstream)
            except OSError:
                return
            for sock in (near, far):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sockets += [near, far]
            for source, sink, down in ((near, far, False), (far, near, True)):
                threading.Thread(
                    target=self._pass_on, args=(source, sink, down), name="chatlab-faulty-link", daemon=True
                ).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, down: bool) -> None:
        pause = threading.Event()
        try:
            while data := source.recv(65536):
                if self.gather_s:
                    pause.wait(self.gather_s)
                    data += source.recv(65536, socket.MSG_DONTWAIT) if _is_readable(source) else b""
                for at in range(0, len(data), 1 if self.chop else len(data)):
                    if down:
                        self._flowing.wait()
                    sink.sendall(data[at : at + 1] if self.chop else data)
                    if self.chop:
                        pause.wait(0.0001)  # or the kernel puts the pieces together again
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # one side is gone; the other learns of it by `reset` or by itself


def _is_readable(source: socket.socket) -> bool:
    with selectors.DefaultSelector() as selector:  # select alone refuses a file whose number is 1024 or more
        selector.register(source, selectors.EVENT_READ)
        return bool(selector.select(0))
