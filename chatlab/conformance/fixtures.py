"""A stage for the cases of a whole implementation: a running server, users of its own for each case, and bad roads.

A case gets a `Scenario`: a running server, users whose names nobody else has, and paths to the server that chop, gather,
stall and break. Every wait is for something, with a deadline. Which protocol is spoken nobody here knows.
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

from .. import harness
from ..messages import Arrived, ChatError, Event
from ..transport.client import Client
from ..transport.interface import Address
from .codec_cases import same
from .report import Case, CaseFailed, CaseSkipped, case, clipped

WAIT_S = 5.0
NO_MORE_S = 0.05  # how long nothing must come for "nothing came"


class ServerFixture:
    """A server of the tried implementation, and the scenes that are played on it. A context manager."""

    def __init__(self, carried, engine: str):
        self.carried, self.engine = carried, engine
        self._numbers = itertools.count(1)
        self._server: harness.Server | None = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
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
                self.carried, engine=self.engine, port=port, name=f"check {id(self)} {next(self._numbers)}"
            )
        except (ValueError, KeyError, NotImplementedError):
            if self.engine == "loop":
                raise
            raise CaseSkipped(f"it has no engine {self.engine!r}") from None

    def name(self, base: str) -> str:
        return f"{base}{next(self._numbers)}"


class Scenario:
    """One case's users and paths; leaving it closes them all."""

    def __init__(self, stage: ServerFixture):
        self.stage, self.name = stage, stage.name
        self.address: Address = stage.server.address
        self._open = ExitStack()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._open.close()

    def new_client(self, address: Address | None = None) -> Client:
        """A client that has no account yet."""
        client = self.stage.carried.connect(address or self.address)
        client.answer_timeout_s = WAIT_S
        self._open.callback(client.close)
        return client

    def user(self, base: str, address: Address | None = None) -> Client:
        """A client with an account of its own; its name is `base` and a number."""
        client = self.new_client(address)
        client.create_account(self.name(base))
        return client

    def users(self, *bases: str) -> list[Client]:
        return [self.user(base) for base in bases]

    def login_as(self, name: str) -> Client:
        """Another connection, logged in to that account."""
        client = self.new_client()
        client.log_in(name)
        return client

    def path(self, **behaviour) -> "FaultyLink":
        path = FaultyLink(self.address, **behaviour)
        self._open.callback(path.cut)
        return path


class FaultyLink:
    """A way to the server that passes bytes on one by one (`chop`) or gathered (`gather_s`), and can stall and break."""

    def __init__(self, upstream: Address, chop: bool = False, gather_s: float = 0.0):
        self.upstream, self.chop, self.gather_s = upstream, chop, gather_s
        self._sockets: list[socket.socket] = []
        self._flowing = threading.Event()
        self._flowing.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address: Address = self._listener.getsockname()[:2]
        threading.Thread(target=self._accept, name="chatlab-path", daemon=True).start()

    def stall(self) -> None:
        """Pass nothing on to the client any more; whoever sends to it finds it does not read."""
        self._flowing.clear()

    def cut(self) -> None:
        """Reset every connection in both directions, as when a machine dies."""
        self._listener.close()
        for each in self._sockets:
            try:
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # it was over already
            each.close()
        self._flowing.set()

    def _accept(self) -> None:
        while True:
            try:
                near = self._listener.accept()[0]
                far = socket.create_connection(self.upstream)
            except OSError:
                return
            for each in (near, far):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sockets += [near, far]
            for source, sink, down in ((near, far, False), (far, near, True)):
                threading.Thread(
                    target=self._pass_on, args=(source, sink, down), name="chatlab-path", daemon=True
                ).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, down: bool) -> None:
        pause = threading.Event()
        try:
            while data := source.recv(65536):
                if self.gather_s:
                    pause.wait(self.gather_s)
                    data += source.recv(65536, socket.MSG_DONTWAIT) if _readable(source) else b""
                for at in range(0, len(data), 1 if self.chop else len(data)):
                    if down:
                        self._flowing.wait()
                    sink.sendall(data[at : at + 1] if self.chop else data)
                    if self.chop:
                        pause.wait(0.0001)  # or the kernel puts the pieces together again
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # one side is gone; the other hears of it by `cut` or by itself


def _readable(source: socket.socket) -> bool:
    with selectors.DefaultSelector() as selector:  # select alone refuses a file whose number is 1024 or more
        selector.register(source, selectors.EVENT_READ)
        return bool(selector.select(0))


# ---- what the cases ask -----------------------------------------------------------------------------------------


def chat_case(cases: list[Case], hint: str, verbs: str = ""):
    """Add a case that is played as a scene to `cases`. `verbs` are those that it needs besides create_account."""

    def add(function):
        @functools.wraps(function)
        def play(stage: ServerFixture) -> None:
            with Scenario(stage) as scene:
                function(scene)

        return case(cases, hint, f"create_account {verbs}")(play)

    return add


def expect(sent: str, got: object, wanted: object) -> None:
    if not same(got, wanted):
        raise CaseFailed(sent, f"{clipped(repr(got))}, where it should be {clipped(repr(wanted))}")


def refused(code: str, sent: str, verb: Callable, *given) -> ChatError:
    """The refusal that must come."""
    try:
        answer = verb(*given)
    except ChatError as error:
        if error.code != code:
            raise CaseFailed(sent, f"refused with {error.code}, where it should be {code}") from error
        return error
    raise CaseFailed(sent, f"{clipped(repr(answer))}, where it should be refused with {code}")


def next_event(client: Client, kind: type[Event] = Arrived) -> Event:
    """The next event of this kind; others are passed over."""
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            event = client.receive(timeout_s=max(0.0, deadline - time.monotonic()))
        except TimeoutError:
            raise CaseFailed(f"waiting for {kind.__name__}", f"nothing within {WAIT_S:g} s") from None
        if isinstance(event, kind):
            return event


def texts(client: Client, count: int) -> list[str]:
    return [next_event(client).text for _ in range(count)]


def expect_silence(client: Client, sent: str, kind: type[Event] = Arrived) -> None:
    deadline = time.monotonic() + NO_MORE_S
    while (left := deadline - time.monotonic()) > 0:
        try:
            event = client.receive(timeout_s=left)
        except TimeoutError:
            return
        if isinstance(event, kind):
            raise CaseFailed(sent, f"{clipped(repr(event))}, which should not have come")


def until(true: Callable[[], bool], sent: str, got: str) -> None:
    deadline, pause = time.monotonic() + WAIT_S, threading.Event()
    while not true():
        if time.monotonic() > deadline:
            raise CaseFailed(sent, f"{got} after {WAIT_S:g} s")
        pause.wait(0.005)


def at_once(*tasks: Callable[[], object]) -> None:
    """Run the tasks on threads of their own; the first error of any is raised."""
    errors: list[BaseException] = []

    def run(task):
        try:
            task()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(task,), name="chatlab-check", daemon=True) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * WAIT_S)
    if errors:
        raise errors[0]
    if any(thread.is_alive() for thread in threads):
        raise CaseFailed(f"{len(tasks)} things at once", f"some had not ended after {2 * WAIT_S:g} s")
