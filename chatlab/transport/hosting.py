"""Where a server lives: on background threads of this process, or in a process of its own."""

import io
import os
import pickle
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, BinaryIO

from ..chat.hub import Hub
from ..chat.service import Chat
from ..messages import Limits
from .interface import Address, Engine, Implementation
from .registry import pack, unpack
from .worker_process import CallFailed, WorkerDied, WorkerProcess, serve_calls


class Log:
    """What a server has to tell, in a ring buffer: background threads never print. `print(server.log)` shows it."""

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
        return "\n".join(f"{time.strftime('%H:%M:%S', time.localtime(at))}  {line}" for at, line in list(self._lines))

    def __repr__(self) -> str:
        return f"<Log of {len(self._lines)} lines; print() it>"

    def follow(self, follower: Callable[[str], None]) -> None:
        """Also hand each new line to `follower`, on whichever thread it is written."""
        self._follower = follower


START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 5.0


def open_store(store: Any) -> Any:
    """The store that `serve` was given: None for memory, a path for an SQLite file, or a store. Raises `ValueError`."""
    if not isinstance(store, str | os.PathLike):
        return store
    from ..chat.storage_sqlite import SqliteStore
    from ..codecs.json_lines import JsonCodec

    spelling = JsonCodec()  # of remembered answers: a line that anybody can read in the file
    return SqliteStore(
        os.fspath(store), lambda message: spelling.encode(None, message), lambda line: spelling.decode(line)[1]
    )


# ---- where a server lives ---------------------------------------------------------------------------------------


class InProcessHost:
    """Endpoints served by background threads of this process."""

    pid: int | None = None

    def __init__(
        self,
        implementations: Mapping[str, Implementation],
        engine: Engine,
        host: str,
        port: int | Mapping[str, int],
        store: Any,
        limits: Limits,
        password_required: bool,
        log: Log | None = None,
    ):
        self.log = Log() if log is None else log
        kept = open_store(store)
        self._own_store = kept if kept is not store else None  # a store that we were handed is not ours to close
        self._hub = Hub(Chat(kept, limits, password_required), limits, self.log)
        self._endpoints = []
        try:
            for offset, (name, each) in enumerate(implementations.items()):
                own = port.get(name, 0) if isinstance(port, Mapping) else port and port + offset
                self._endpoints.append(each.serve(self._hub, engine=engine, host=host, port=own))
        except BaseException:
            self.close()
            raise
        self.addresses = {name: endpoint.address for name, endpoint in zip(implementations, self._endpoints)}

    @property
    def running(self) -> bool:
        return bool(self._endpoints)

    def close(self) -> None:
        while self._endpoints:
            self._endpoints.pop().close()
        own, self._own_store = self._own_store, None
        if own is not None:
            own.close()


class SubprocessHost:
    """Endpoints served by a process of their own, which ends when this process does."""

    def __init__(self, implementations: Iterable[Implementation], settings: dict[str, Any]):
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


def serve_in_subprocess(calls: BinaryIO, replies: BinaryIO) -> None:
    """What the server's own process does: start, say where it answers, hand out its log, end when it is told to."""
    hosts: list[InProcessHost] = []

    def answer(call: bytes) -> bytes:
        if hosts:
            return pickle.dumps(list(hosts[0].log._lines))
        packed, settings = pickle.loads(call)
        log = Log()
        sys.stdout = _PrintedLines(log)
        hosts.append(InProcessHost({each.name: each for each in map(unpack, packed)}, log=log, **settings))
        return pickle.dumps(hosts[0].addresses)

    serve_calls(calls, replies, answer)
    for host in hosts:
        host.close()
