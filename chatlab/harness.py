"""Servers that start from a notebook cell, clients that follow a script.

The harness sees Implementations and never which one: a protocol is a name, a `"module:NAME"`, or an object that offers
what `Implementation` or `Codec` asks. A server lives on background threads of this process or in a
process of its own; either way it never prints, ends with the kernel, and is replaced when its cell runs again.
"""

import atexit
import os
import random
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Literal, Self

from .capture.trace import Trace, TraceEvent
from .messages import ChatError, ConnectionLost, Limits, Message, shorten
from .transport.async_client import AsyncClient
from .transport.client import Client
from .transport.hosting import HostSettings, InProcessHost, Log, StoreOrPath, SubprocessHost
from .transport.interface import ENGINES, Address, Engine, Implementation, ProtocolLike, ProtocolOrList
from .transport.registry import one_by_one, resolve

LAST_PORT = 65535

Script = Callable[[Client], object]
Where = Literal["thread", "process"]


# ---- a server ---------------------------------------------------------------------------------------------------


class Server:
    """A chat with one endpoint for each protocol. A context manager; closing it twice is fine."""

    def __init__(self, name: str, implementations: Mapping[str, Implementation], host: InProcessHost | SubprocessHost):
        self.name = name
        self._implementations = dict(implementations)
        self._host = host
        self._clients: list[Client] = []
        self._owner = os.getpid()

    def __repr__(self) -> str:
        state = "running" if self.running else "closed"
        return f"<Server {self.name!r}, {state}: {', '.join(self._implementations)}>"

    @property
    def addresses(self) -> dict[str, Address]:
        """Where each protocol is answered: its (host, port)."""
        return self._host.addresses

    @property
    def address(self) -> Address:
        """Where the first protocol is answered."""
        return next(iter(self.addresses.values()))

    @property
    def log(self) -> Log:
        """What happened so far: who connected, who left. `print(server.log)` shows it."""
        return self._host.log

    @property
    def running(self) -> bool:
        return self._host.running

    @property
    def pid(self) -> int | None:
        """The server's process where it has one of its own, else None."""
        return self._host.pid

    def connect(self, protocol: str | None = None) -> Client:
        """A blocking client, connected and logged in to nothing yet. Raises `ConnectionLost`, `ValueError`."""
        name, implementation = self.endpoint(protocol)[:2]
        client = implementation.connect(self.addresses[name])
        self._clients.append(client)
        return client

    async def connect_async(self, protocol: str | None = None) -> AsyncClient:
        """An async client for the running event loop."""
        name, implementation = self.endpoint(protocol)[:2]
        return await implementation.connect_async(self.addresses[name])

    def users(self, *names: str, protocol: str | Mapping[str, str] | None = None) -> list[Client]:
        """A connected client for each name, its account created, or logged in to where it exists already.

        `protocol` is one for all, or one for each name.
        """
        clients = []
        for name in names:
            client = self.connect(protocol.get(name) if isinstance(protocol, Mapping) else protocol)
            try:
                client.create_account(name)
            except ChatError as error:
                if error.code != "NAME_TAKEN":
                    raise
                client.log_in(name)
            clients.append(client)
        return clients

    def close(self) -> None:
        """Stop: say goodbye to all clients, free the ports, end the process if there is one.

        In a forked child it does nothing: the server is its parent's.
        """
        if os.getpid() != self._owner:
            return
        if _servers.get(self.name) is self:
            del _servers[self.name]
        clients, self._clients = self._clients, []
        for client in clients:
            client.close()
        self._host.close()

    def __enter__(self) -> Self:
        if _servers.get(self.name) is self:
            del _servers[self.name]  # the with-block ends it; a cell that runs again need not
            _entered.add(self)
        return self

    def __exit__(self, *_: object) -> None:
        _entered.discard(self)
        self.close()

    def endpoint(self, protocol: str | None = None) -> tuple[str, Implementation, Address]:
        """Where a protocol (the first where none is named) is answered: its name, Implementation and address.

        Raises `ValueError` for a protocol that this server does not speak, and `ConnectionLost` where it is closed.
        """
        name = next(iter(self._implementations)) if protocol is None else protocol
        if name not in self._implementations:
            raise ValueError(f"this server does not speak {name!r}; it speaks {', '.join(self._implementations)}")
        if not self.running:
            raise ConnectionLost("this server is closed")
        return name, self._implementations[name], self.addresses[name]


_servers: dict[str, Server] = {}
_entered: set[Server] = set()


def serve(
    *protocols: "ProtocolOrList",  # in quotes, so that help() does not spell out the alias
    engine: Engine = "loop",
    where: Where = "thread",
    host: str = "127.0.0.1",
    port: int | Mapping[str, int] = 0,
    store: StoreOrPath | None = None,
    name: str | None = None,
    limits: Limits = Limits(),
    password_required: bool = False,
) -> Server:
    """Start one chat in the background, with an endpoint for each protocol ("text" where none is named).

    A protocol is a name ("text", "json", "binary", "protobuf", "grpc", "grpc-stream"), a `"module:NAME"`, a codec, or
    an Implementation; they are given side by side, or as one list.

    `engine` is "loop" (an event loop) or "threads"; `where` is "thread" (of this process) or "process" (its own).
    `store` is None (memory), the path of an SQLite file, or, on a thread, a store. With a `port` other than 0 the first
    protocol gets it, the next one the port after; a mapping names each protocol's own. A server of the same name, by
    default the protocols' names, is closed first, unless a with-block holds it.

    Raises `ValueError` for a wrong argument and `OSError` where a port cannot be had.
    """
    _check_choice("engine", engine, ENGINES)
    _check_choice("where", where, ("thread", "process"))
    _check_host(host)
    _check_store(store, where)
    if not isinstance(limits, Limits):
        raise ValueError(f"limits is a Limits, not {shorten(limits)}")
    if not isinstance(name, str | None):
        raise ValueError(f"name is a str or None, not {shorten(name)}")
    given = one_by_one(protocols) or ("text",)
    implementations = {implementation.name: implementation for implementation in map(resolve, given)}
    if len(implementations) < len(given):
        raise ValueError(f"each protocol has one endpoint: {', '.join(map(str, given))}")
    _check_ports(port, implementations)
    name = name or "+".join(implementations)
    if name in _servers:
        _servers[name].close()
    settings = HostSettings(engine, host, port, store, limits, password_required)
    host_type = InProcessHost if where == "thread" else SubprocessHost
    server = Server(name, implementations, host_type(implementations.values(), settings))
    _servers[name] = server
    return server


def stop_all() -> None:
    """Close every server of this process; where one cannot be closed, the others are, and then its error is raised."""
    errors = []
    for server in [*_servers.values(), *_entered]:
        try:
            server.close()
        except Exception as error:  # whatever it is, it is raised below
            errors.append(error)
    _entered.clear()
    if errors:
        raise errors[0]


atexit.register(stop_all)


def _forget_servers() -> None:
    """In a forked child: the servers are its parent's, and are not the child's to close."""
    _servers.clear()
    _entered.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_servers)


def connect(host: str, port: int, protocol: "ProtocolLike" = "text") -> Client:
    """A blocking client of a server that runs anywhere.

    Raises `ConnectionLost` where no server answers, and `ValueError` for a wrong argument.
    """
    _check_host(host)
    _check_port(port, least=1)
    return resolve(protocol).connect((host, port))


def _check_choice(what: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{what} is {' or '.join(map(repr, choices))}, not {value!r}")


def _check_host(host: object) -> None:
    if not isinstance(host, str):
        raise ValueError(f"a host is a machine's name or address, as 'localhost' or '127.0.0.1', not {shorten(host)}")


def _check_store(store: object, where: str) -> None:
    if isinstance(store, str | os.PathLike):
        folder = os.path.dirname(os.fspath(store))
        if folder and not os.path.isdir(folder):
            raise ValueError(f"the store's file cannot be made: there is no folder {shorten(folder, 200)}")
        return
    if store is not None and not callable(getattr(store, "commit", None)):
        raise ValueError(f"store is None, the path of an SQLite file, or a store (with commit), not {shorten(store)}")
    if store is not None and where == "process":
        raise ValueError(
            f"a process of its own would work on a copy of {shorten(store)} that you never see; give it None or a path"
        )


def _check_ports(port: int | Mapping[str, int], names: Collection[str]) -> None:
    if not isinstance(port, Mapping):
        _check_port(port)
        if port and port + len(names) - 1 > LAST_PORT:
            raise ValueError(f"{len(names)} ports from {port} on go past {LAST_PORT}")
        return
    for name, number in port.items():
        _check_port(number)
        if name not in names:
            raise ValueError(f"a port is given for {shorten(name)}, and what is served is {', '.join(names)}")


def _check_port(port: object, least: int = 0) -> None:
    if not isinstance(port, int) or isinstance(port, bool) or not least <= port <= LAST_PORT:
        raise ValueError(f"a port is a number from {least} to {LAST_PORT}, not {shorten(port)}")


# ---- scripts ----------------------------------------------------------------------------------------------------


def simulate(
    server: Server,
    scripts: Mapping[str, Script],
    seed: int = 0,
    protocol: str | Mapping[str, str] | None = None,
    timeout_s: float = 60.0,
) -> Trace:
    """Run one script for each user, each on a thread of its own, and write down who said what to whom and when.

    A script is a function that takes the user's client; `client.random` is a random.Random of its own, seeded by
    `seed` and the user's name. All accounts exist before the first script starts. An error in a script ends the
    others and is raised here, with a note that names the script; so does `TimeoutError` after `timeout_s` seconds.
    Raises `TypeError` where something else than a server and functions is given.
    """
    _check_simulated(server, scripts)
    clients = dict(zip(scripts, server.users(*scripts, protocol=protocol)))
    accounts = {client.account.id: name for name, client in clients.items() if client.account}
    threads = [_ScriptThread(name, client, scripts[name], seed) for name, client in clients.items()]
    start = time.perf_counter()
    try:
        _run_scripts(threads, time.monotonic() + timeout_s)
    finally:
        for client in clients.values():
            client.close()
    events = [event for thread in threads for event in thread.events(start)]
    return Trace(tuple(sorted(events, key=lambda event: event.at_s)), accounts)


def _check_simulated(server: object, scripts: object) -> None:
    if not isinstance(server, Server):
        raise TypeError(f"scripts are run with a server, as serve() returns it, not with {shorten(server)}")
    if not isinstance(scripts, Mapping):
        raise TypeError(f"the scripts are a dictionary from each user's name to a function, not {shorten(scripts)}")
    for name, script in scripts.items():
        if not callable(script):
            raise TypeError(f"the script of {name} is a function that takes the user's client, not {shorten(script)}")


class _ScriptThread(threading.Thread):
    """Runs one user's script, and records what the client asked, was answered and received."""

    def __init__(self, name: str, client: Client, script: Script, seed: int):
        super().__init__(name=f"chatlab-script-{name}", daemon=True)
        self.client, self.script = client, script
        self.who = name
        self.error: BaseException | None = None
        self._records: list[tuple[float, str, Message]] = []
        client.random = random.Random(f"{seed}:{name}")
        client.on_message = lambda kind, message: self._records.append((time.perf_counter(), kind, message))

    def run(self) -> None:
        try:
            self.script(self.client)
        except Exception as error:  # whatever a script raises is its author's, and is raised by simulate
            error.add_note(f"in the script of {self.who}")
            self.error = error

    def events(self, start: float) -> Iterator[TraceEvent]:
        for at, kind, message in self._records:
            yield TraceEvent(at - start, self.who, kind, message)


def _run_scripts(threads: list[_ScriptThread], deadline: float) -> None:
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        for thread in threads:
            thread.join(0.02)
            if thread.error is not None:
                raise thread.error
        if time.monotonic() > deadline:
            waiting = ", ".join(thread.who for thread in threads if thread.is_alive())
            raise TimeoutError(f"these scripts did not end in time: {waiting}")
    for thread in threads:
        if thread.error is not None:
            raise thread.error
