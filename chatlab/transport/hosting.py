"""Where a server lives: on background threads of this process, or in a process of its own."""

import base64
import os
import pickle
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping

from ..chat.hub import Hub
from ..chat.service import Chat
from .interface import Implementation
from .registry import pack, unpack
from .worker_process import Worker, answer_questions


class Log:
    """What a server has to tell, in a ring buffer: background threads never print. `print(server.log)` shows it."""

    def __init__(self, lines: int = 1_000):
        self._lines: deque[tuple[float, str]] = deque(maxlen=lines)
        self._follower: Callable[[str], None] | None = None

    def __call__(self, line: str) -> None:
        self._lines.append((time.time(), line))
        if self._follower is not None:
            self._follower(line)

    def __iter__(self):
        return iter([line for _, line in self._lines])

    def __len__(self):
        return len(self._lines)

    def __str__(self):
        return "\n".join(f"{time.strftime('%H:%M:%S', time.localtime(at))}  {line}" for at, line in list(self._lines))

    def __repr__(self):
        return f"<Log of {len(self._lines)} lines; print() it>"

    def follow(self, follower: Callable[[str], None]) -> None:
        """Also hand each new line to `follower`, on whichever thread it is written."""
        self._follower = follower


START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 5.0


def opened(store):
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


class _Here:
    """Doors served by background threads of this process."""

    pid = None

    def __init__(
        self, implementations: Mapping[str, Implementation], engine, host, port, store, limits, password_required
    ):
        self.log = Log()
        kept = opened(store)
        self._own_store = kept if kept is not store else None  # a store that we were handed is not ours to close
        self._hub = Hub(Chat(kept, limits, password_required), limits, self.log)
        self._doors = []
        try:
            for offset, (name, each) in enumerate(implementations.items()):
                own = port.get(name, 0) if isinstance(port, Mapping) else port and port + offset
                self._doors.append(each.serve(self._hub, engine=engine, host=host, port=own))
        except BaseException:
            self.close()
            raise
        self.addresses = {name: door.address for name, door in zip(implementations, self._doors)}

    @property
    def running(self) -> bool:
        return bool(self._doors)

    def close(self) -> None:
        while self._doors:
            self._doors.pop().close()
        own, self._own_store = self._own_store, None
        if own is not None:
            own.close()


class _Child:
    """Doors served by a process of their own, which ends when this process does."""

    def __init__(self, implementations: Iterable[Implementation], settings: dict):
        spec = {"path": sys.path, "protocols": [pack(each) for each in implementations], "settings": settings}
        self._worker = Worker("chatlab.transport.hosting:_live_as_child")
        self.pid = self._worker.pid
        self.log = _ChildsLog(self)
        self._closed = False
        try:
            ready = self.ask(base64.b64encode(pickle.dumps(spec)).decode(), START_TIMEOUT_S)
            if "error" in ready:
                raise OSError(f"the server process could not start: {ready['error']}")
        except BaseException:
            self._worker.end(0)
            raise
        self.addresses = {name: tuple(address) for name, address in ready["addresses"].items()}

    @property
    def running(self) -> bool:
        return self._worker.running

    def ask(self, question: str, timeout_s: float = STOP_TIMEOUT_S) -> dict:
        return self._worker.ask(question, timeout_s)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            try:
                self.log.keep()
            except TimeoutError:
                pass  # it hangs: so much the more should it end
            self._worker.end(STOP_TIMEOUT_S)


class _ChildsLog(Log):
    """The log of a server in another process, fetched when somebody looks."""

    def __init__(self, child: _Child):
        super().__init__()
        self._child = child

    def keep(self) -> None:
        if self._child.running:
            answer = self._child.ask("log")
            self._lines.clear()
            self._lines.extend(map(tuple, answer.get("log", ())))

    def __iter__(self):
        self.keep()
        return super().__iter__()

    def __str__(self):
        self.keep()
        return super().__str__()

    def __len__(self):
        self.keep()
        return super().__len__()

    def __repr__(self):
        self.keep()
        return super().__repr__()


def _live_as_child() -> None:
    """What the server's own process does: start, say so, answer questions, end when there are no more."""
    homes: list[_Here] = []

    def answer(question: bytes) -> dict:
        if homes:
            return {"log": list(homes[0].log._lines)}
        spec = pickle.loads(base64.b64decode(question))
        sys.path[:] = spec["path"]
        try:
            homes.append(_Here({each.name: each for each in map(unpack, spec["protocols"])}, **spec["settings"]))
        except (OSError, ValueError, TypeError, ImportError, AttributeError) as error:
            return {"error": f"{error}"}
        return {"addresses": homes[0].addresses}

    answer_questions(answer)
    for home in homes:
        home.close()
