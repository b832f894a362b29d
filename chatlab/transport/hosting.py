"""Where a server lives: on background threads of this process, or in a process of its own."""

import io
import os
import pickle
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO

from ..chat.hub import ConnectedSession, Hub
from ..chat.service import Chat
from ..chat.storage import Store
from ..messages import Limits
from .interface import Address, Endpoint, Engine, Implementation
from .registry import pack, unpack
from .worker_process import CallFailed, WorkerDied, WorkerProcess, serve_calls

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 5.0
DEFAULT_LIMITS = Limits()

StoreOrPath = Store | str | os.PathLike[str]


class Log:
    """The last lines of a server, in a ring buffer: background threads never print. `print(server.log)` shows them."""

    def __init__(self, lines: int = 1_000):
        self._lines: deque[tuple[float, str]] = deque(maxlen=lines)
        self._follower: Callable[[str], None] | None = None

    def __call__(self, line: str) -> None:
        self._lines.append((time.time(), line))
        if self._follower is not None:
            self._follower(line)

    def __iter__(self) -> Iterator[str]:
        return iter([line for _, line in self._lines])

    def __len__(self) -> int:
        return len(self._lines)

    def __str__(self) -> str:
        return "\n".join(f"{time.strftime('%H:%M:%S', time.localtime(at))}  {line}" for at, line in self.entries())

    def __repr__(self) -> str:
        return f"<Log of {len(self._lines)} lines; print() it>"

    def entries(self) -> list[tuple[float, str]]:
        """Each line with the time at which it was written, in seconds since the epoch."""
        return list(self._lines)

    def follow(self, follower: Callable[[str], None]) -> None:
        """Also hand each new line to `follower`, on whichever thread it is written."""
        self._follower = follower


def open_store(store: StoreOrPath | None) -> Store | None:
    """The store that `serve` was given: None for memory, a path for an SQLite file, or a store. Raises `ValueError`."""
    if not isinstance(store, str | os.PathLike):
        return store
    from ..chat.storage_sqlite import SqliteStore
    from ..codecs.json_lines import JsonCodec

    codec = JsonCodec()  # for saved replies: a line that a person can read in the file
    return SqliteStore(
        os.fspath(store), lambda message: codec.encode(None, message), lambda line: codec.decode(line)[1]
    )


# ---- where a server lives ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class HostSettings:
    """What `serve` was asked for besides the protocols. A mapping of ports names each protocol's own."""

    engine: Engine = "loop"
    host: str = "127.0.0.1"
    port: int | Mapping[str, int] = 0
    store: StoreOrPath | None = None
    limits: Limits = DEFAULT_LIMITS
    password_required: bool = False


class InProcessHost:
    """Endpoints served by background threads of this process."""

    pid: int | None = None

    def __init__(self, implementations: Iterable[Implementation], settings: HostSettings, log: Log | None = None):
        self.log = Log() if log is None else log
        store = open_store(settings.store)
        self._own_store = store if store is not settings.store else None  # a store that we were handed is not ours
        chat: Chat[ConnectedSession] = Chat(store, settings.limits, settings.password_required)
        self._hub = Hub(chat, settings.limits, self.log)
        self._endpoints: dict[str, Endpoint] = {}
        try:
            for offset, implementation in enumerate(implementations):
                name, port = implementation.name, settings.port
                own_port = port.get(name, 0) if isinstance(port, Mapping) else port and port + offset
                self._endpoints[name] = implementation.serve(
                    self._hub, engine=settings.engine, host=settings.host, port=own_port
                )
        except BaseException:
            self.close()
            raise
        self.addresses: dict[str, Address] = {name: endpoint.address for name, endpoint in self._endpoints.items()}

    @property
    def running(self) -> bool:
        return bool(self._endpoints)

    def close(self) -> None:
        while self._endpoints:
            self._endpoints.popitem()[1].close()
        self._hub.close()
        own, self._own_store = self._own_store, None
        if own is not None:
            own.close()


class SubprocessHost:
    """Endpoints served by a process of their own, which ends when this process does."""

    def __init__(self, implementations: Iterable[Implementation], settings: HostSettings):
        packed = [pack(implementation) for implementation in implementations]
        self._worker = WorkerProcess(serve_in_subprocess)
        self.pid: int | None = self._worker.pid
        self.log = SubprocessLog(self)
        self._closed = False
        try:
            addresses = pickle.loads(self.call(pickle.dumps((packed, settings)), START_TIMEOUT_S))
        except BaseException as error:
            self._worker.end(0)
            if isinstance(error, CallFailed | WorkerDied):
                raise OSError(f"the server process could not start: {error}") from None
            raise
        self.addresses: dict[str, Address] = addresses

    @property
    def running(self) -> bool:
        return self._worker.running

    def call(self, argument: bytes, timeout_s: float = STOP_TIMEOUT_S) -> bytes:
        return self._worker.call(argument, timeout_s)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            self.log.fetch()
        except (TimeoutError, CallFailed, WorkerDied):
            pass  # it hangs or is gone: it is ended all the same
        self._worker.end(STOP_TIMEOUT_S)


class SubprocessLog(Log):
    """The log of a server in another process, fetched when somebody looks."""

    def __init__(self, host: SubprocessHost):
        super().__init__()
        self._host = host

    def fetch(self) -> None:
        if self._host.running:
            try:
                lines = pickle.loads(self._host.call(b"log"))
            except WorkerDied:
                return  # what was fetched before is kept
            self._lines.clear()
            self._lines.extend(lines)

    def __iter__(self) -> Iterator[str]:
        self.fetch()
        return super().__iter__()

    def __str__(self) -> str:
        self.fetch()
        return super().__str__()

    def __len__(self) -> int:
        self.fetch()
        return super().__len__()

    def __repr__(self) -> str:
        self.fetch()
        return super().__repr__()


class _PrintedLines(io.TextIOBase):
    """Standard output of a server's process: what a reader's codec prints becomes lines of the server's log."""

    def __init__(self, log: Log):
        self._log, self._rest = log, ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._log(line)
        return len(text)


def serve_in_subprocess(calls: IO[bytes], replies: IO[bytes]) -> None:
    """What the server's own process does: start, say where it answers, hand out its log, end when it is told to."""
    hosts: list[InProcessHost] = []

    def answer(call: bytes) -> bytes:
        if hosts:
            return pickle.dumps(hosts[0].log.entries())
        packed, settings = pickle.loads(call)
        log = Log()
        sys.stdout = _PrintedLines(log)
        hosts.append(InProcessHost(map(unpack, packed), settings, log))
        return pickle.dumps(hosts[0].addresses)

    serve_calls(calls, replies, answer)
    for host in hosts:
        host.close()
