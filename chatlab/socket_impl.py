"""The chat over TCP sockets: two servers that carry frames, whatever a codec writes in them.

`ThreadServer` and `LoopServer` have the same shape, under the same names in the same order, so that what differs
between them is what differs between threads and an event loop:

    a *reader*  gives the received bytes to `framing` (a codec's Connection) and each request to the hub;
    the *outbox* holds the replies and events that the hub wants written, in the order of its lock;
    a *writer*  encodes everything in the outbox and sends it in one go, once per wake-up.

Nothing here decides what a request means (the service does) or which bytes say it (the codec does). The other end of a
connection is `transport/socket_client.py`.
"""

import asyncio
import queue
import socket
import threading
import time
from functools import partial
from typing import Any, cast

from .chat.hub import SERVER_FAILED, ConnectedSession, Hub, Outbox
from .codecs.connection import SERVER_ACCEPTS, Connection
from .codecs.interface import Codec
from .messages import ChatError, Message, ProtocolError, Refused, Reply, Request
from .transport.async_client import AsyncClient
from .transport.client import Client
from .transport.event_loop import background_loop, run, start_thread
from .transport.interface import ENGINES, Address, Endpoint, Engine
from .transport.serving import (
    BACKLOG,
    CHECK_TIMEOUTS_S,
    ConnectionTimeouts,
    check_timeouts,
    format_peer,
    listen,
    receive_bytes,
)
from .transport.socket_client import AsyncSocketTransport, SocketTransport

PAUSE_S = 0.05  # of a thread that could not accept
FAIR_SHARE = 16  # requests of one client that a loop carries out before it looks at the others
NO_THREADS = "the server has no more threads; try again later"


class SocketImplementation:
    """Our frames over TCP, encoded by one codec."""

    verbs: frozenset[str] | None = None
    engines = ENGINES

    def __init__(self, codec: Codec):
        self.codec = codec
        self.name = codec.name

    def __repr__(self) -> str:
        return f"<{self.name} over sockets>"

    def serve(self, hub: Hub, engine: Engine = "loop", host: str = "127.0.0.1", port: int = 0) -> Endpoint:
        """Serve the hub: the engine "threads" has two threads for each client, "loop" one for all."""
        servers: dict[Engine, type[ThreadServer | LoopServer]] = {"threads": ThreadServer, "loop": LoopServer}
        return servers[engine](hub, self.codec, listen(host, port))

    def connect(self, address: Address) -> Client:
        """A blocking client. Raises `ConnectionLost`."""
        return Client(self.name, address, partial(SocketTransport, self.codec))

    async def connect_async(self, address: Address) -> AsyncClient:
        """An async client for the running event loop. Raises `ConnectionLost`."""
        return await AsyncClient.connect(self.name, address, partial(AsyncSocketTransport.dial, self.codec))


# ---- a server with threads --------------------------------------------------------------------------------------


class ThreadServer:
    """Two threads for each client: one blocks in `recv`, one blocks until the outbox holds something."""

    def __init__(self, hub: Hub, codec: Codec, listener: socket.socket):
        self.hub, self.codec = hub, codec
        self.address: Address = listener.getsockname()[:2]
        self._listener = listener
        self._connections: set[ThreadConnection] = set()
        self._refused: list[tuple[float, socket.socket]] = []  # until when each is kept open
        self._closing = False
        self._check_timeouts_at = 0.0
        self._acceptor = start_thread(self._accept, "chatlab-accept")

    def __repr__(self) -> str:
        return f"<ThreadServer over {self.codec.name}, {len(self._connections)} clients>"

    def close(self) -> None:
        """Stop listening, say goodbye to all clients, and return when all threads have ended."""
        self._closing = True
        try:
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the acceptor
        except OSError:
            pass  # not on every system; there it looks up every CHECK_TIMEOUTS_S
        self._acceptor.join()
        for connection in list(self._connections):
            connection.outbox.end("the server stops")
        deadline = time.monotonic() + self.hub.limits.linger_s
        for connection in list(self._connections):
            connection.writer.join(max(0, deadline - time.monotonic()))
            connection.abort()
            connection.reader.join()
            connection.writer.join()

    def _accept(self) -> None:
        self._listener.settimeout(CHECK_TIMEOUTS_S)  # and not `select`, which knows no file above the 1023rd
        with self._listener:
            while not self._closing:
                try:
                    self._accept_client(*self._listener.accept())
                except TimeoutError:
                    pass  # no newcomer
                except OSError as error:  # the newcomer left already, or the process has no more files to open
                    if not self._closing:
                        self.hub.log(f"a newcomer was lost: {error}")
                    time.sleep(PAUSE_S)  # or it would spin until a file is free
                self._check_timeouts(time.monotonic())
        for _, sock in self._refused:
            sock.close()

    def _accept_client(self, sock: socket.socket, peer: Address) -> None:
        connection = ThreadConnection(self, sock, format_peer(peer))
        try:
            connection.session = self.hub.open_session(connection.outbox, connection.peer)
            self._start(connection)
        except ChatError as full:
            # Closed at once, a request on its way would reset the connection and the refusal be lost.
            self._refused.append((time.monotonic() + self.hub.limits.linger_s, sock))
            if connection.writer.ident is None:  # else it has said so
                sock.sendall(connection.framing.send(None, Refused(full.code, full.text)))
                sock.shutdown(socket.SHUT_WR)

    def _start(self, connection: "ThreadConnection") -> None:
        self._connections.add(connection)
        try:
            connection.start()
        except RuntimeError as error:
            self._connections.discard(connection)
            self.hub.close_session(connection.session)
            self.hub.log(f"a newcomer was refused: {error}")
            raise ChatError("SERVER_FULL", NO_THREADS) from error

    def _check_timeouts(self, now: float) -> None:
        if now < self._check_timeouts_at:
            return
        self._check_timeouts_at = now + CHECK_TIMEOUTS_S
        check_timeouts(self._connections)
        while self._refused and now > self._refused[0][0]:
            self._refused.pop(0)[1].close()

    def remove(self, connection: "ThreadConnection") -> None:
        """Forget a connection that has ended."""
        self._connections.discard(connection)
        self.hub.close_session(connection.session)


class ThreadConnection:
    """The server's side of one connection."""

    session: ConnectedSession  #: set by the server that accepts the connection

    def __init__(self, server: ThreadServer, sock: socket.socket, peer: str):
        self.server, self.sock, self.peer = server, sock, peer
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.framing = Connection(server.codec, SERVER_ACCEPTS, server.hub.limits.frame)
        self._wakeups: queue.SimpleQueue[None] = queue.SimpleQueue()
        self.outbox = Outbox(self._wake, server.hub.limits)
        self.timeouts = ConnectionTimeouts(server.hub.limits)
        self.reader = threading.Thread(target=self.read, name="chatlab-reader", daemon=True)
        self.writer = threading.Thread(target=self.write, name="chatlab-writer", daemon=True)

    def start(self) -> None:
        """Start both threads. Raises `RuntimeError` where there are no more; then it has neither."""
        self.writer.start()
        try:
            self.reader.start()
        except RuntimeError:
            self.outbox.put(None, Refused("SERVER_FULL", NO_THREADS))
            self.outbox.end()
            self.writer.join()
            raise

    @property
    def has_asked(self) -> bool:
        """Whether a whole frame has come."""
        return self.framing.frames_in > 0

    def read(self) -> None:
        """The reader's thread: until the peer sends no more, or the connection breaks."""
        hub, session, framing = self.server.hub, self.session, self.framing
        while data := receive_bytes(self.sock):
            if self.outbox.closed:
                continue  # the peer was told goodbye
            try:
                requests = framing.receive(data)
            except Exception as error:  # a mistake in the codec
                self._codec_failed(error)
                continue
            for tag, request in requests:  # the lock is taken for each by itself: other threads wait for it
                hub.ask(session, tag, request)  # type: ignore[arg-type]  # its framing lets only requests pass
            if framing.error is not None:
                self.outbox.end(f"protocol error: {framing.error.text}")
        if data is None:  # the connection broke: no reply would arrive
            self.outbox.closed = True
            self._wake()
        else:
            for tag, request in framing.end():
                hub.ask(session, tag, request)  # type: ignore[arg-type]
            hub.finish_session(session)
        self.writer.join()
        self.sock.close()
        self.server.remove(self)

    def write(self) -> None:
        """The writer's thread: until the outbox has ended and is empty, or the connection breaks."""
        try:
            while True:
                self._wakeups.get()
                waiting = self.outbox.take()
                if waiting:
                    self.sock.sendall(encode_batch(self.framing, waiting))
                elif self.outbox.closed:
                    break
                if self.outbox.closed and not self.outbox:
                    break
            # Only this direction: were what the peer still sends left unread, a reset would overtake our last words.
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.abort()  # the peer is gone; the reader finds out too
        except Exception as error:  # a mistake in the codec
            self._codec_failed(error)
            self.abort()
        self.server.hub.close_session(self.session)

    def _wake(self) -> None:
        self._wakeups.put(None)

    def _codec_failed(self, error: Exception) -> None:
        self.server.hub.log(codec_failed(self.peer, error))
        self.outbox.end(SERVER_FAILED)

    def abort(self) -> None:
        """End the connection in both directions; a blocked `recv` or `sendall` returns."""
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it has ended already


# ---- a server with an event loop --------------------------------------------------------------------------------


class LoopServer:
    """One thread for all clients: the loop calls each connection that has received something, and none ever blocks."""

    _acceptor: asyncio.Server
    _timer: asyncio.TimerHandle

    def __init__(self, hub: Hub, codec: Codec, listener: socket.socket):
        self.hub, self.codec = hub, codec
        self.address: Address = listener.getsockname()[:2]
        self._listener = listener
        self._connections: set[LoopConnection] = set()
        self.loop = background_loop()
        self._to_write: list[LoopConnection] = []
        run(self._accept())

    def __repr__(self) -> str:
        return f"<LoopServer over {self.codec.name}, {len(self._connections)} clients>"

    def close(self) -> None:
        """Stop listening, say goodbye to all clients, and return when all connections have ended."""
        run(self._close())

    async def _close(self) -> None:
        self._timer.cancel()
        self._acceptor.close()
        for connection in list(self._connections):
            connection.outbox.end("the server stops")
        deadline = self.loop.time() + self.hub.limits.linger_s
        while not all(connection.write_closed for connection in self._connections) and self.loop.time() < deadline:
            await asyncio.sleep(0.005)
        for connection in list(self._connections):
            connection.abort()
        while self._connections:
            await asyncio.sleep(0)

    async def _accept(self) -> None:
        self._thread = threading.get_ident()
        self._acceptor = await self.loop.create_server(
            lambda: LoopConnection(self), sock=self._listener, backlog=BACKLOG
        )
        self._check_timeouts()

    def accept_client(self, connection: "LoopConnection") -> None:
        """A newcomer has connected."""
        try:
            connection.session = self.hub.open_session(connection.outbox, connection.peer)
        except ChatError as full:
            connection.transport.write(connection.framing.send(None, Refused(full.code, full.text)))
            connection.transport.write_eof()
            # Closed at once, a request on its way would reset the connection and the refusal be lost.
            self.loop.call_later(self.hub.limits.linger_s, connection.transport.abort)
            return
        self._connections.add(connection)

    def _check_timeouts(self) -> None:
        check_timeouts(self._connections)
        self._timer = self.loop.call_later(CHECK_TIMEOUTS_S, self._check_timeouts)

    def remove(self, connection: "LoopConnection", session: ConnectedSession) -> None:
        """Forget a connection that has ended."""
        self._connections.discard(connection)
        self.hub.close_session(session)

    def wake(self, connection: "LoopConnection") -> None:
        """Have the outbox written when the loop has read what all connections have received; any thread may call."""
        if threading.get_ident() == self._thread:
            if not self._to_write:
                self.loop.call_soon(self._write)
            self._to_write.append(connection)
        else:
            self.loop.call_soon_threadsafe(self.wake, connection)

    def _write(self) -> None:
        connections, self._to_write = self._to_write, []
        for connection in connections:
            try:
                connection.write()
            except Exception as error:  # a mistake in the codec: the others are written all the same
                connection.codec_failed(error)
                connection.abort()


class LoopConnection(asyncio.Protocol):
    """The server's side of one connection."""

    transport: asyncio.Transport
    peer: str

    def __init__(self, server: LoopServer):
        self.server = server
        self.framing = Connection(server.codec, SERVER_ACCEPTS, server.hub.limits.frame)
        self.outbox = Outbox(self._wake, server.hub.limits)
        self.timeouts = ConnectionTimeouts(server.hub.limits)
        self.session: ConnectedSession | None = None  #: None where the newcomer was refused
        self.write_closed = self._eof_received = False
        self._paused = False

    @property
    def has_asked(self) -> bool:
        """Whether a whole frame has come."""
        return self.framing.frames_in > 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """As asyncio calls it."""
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one, and does not say so
        self.peer = format_peer(transport.get_extra_info("peername"))
        self._hub = self.server.hub
        self.server.accept_client(self)

    def read(self, data: bytes) -> None:
        """Called by the loop with what was received."""
        session = self.session
        if session is None or self.outbox.closed:
            return  # the peer was refused, or told goodbye
        try:
            requests = self.framing.receive(data)
        except Exception as error:  # a mistake in the codec
            self.codec_failed(error)
            return
        self._ask(session, requests)  # type: ignore[arg-type]  # its framing lets only requests pass

    data_received = read  #: as asyncio calls it

    def _ask(self, session: ConnectedSession, requests: list[tuple[int | None, Request]]) -> None:
        """Ask a fair share now and the rest when the loop has served the others; until then nothing more is read."""
        if len(requests) > FAIR_SHARE:
            self.transport.pause_reading()
            self.server.loop.call_soon(self._ask_rest, session, requests[FAIR_SHARE:])
            self._hub.ask_all(session, requests[:FAIR_SHARE])
            return
        self._hub.ask_all(session, requests)
        if self.framing.error is not None:
            self.outbox.end(f"protocol error: {self.framing.error.text}")

    def _ask_rest(self, session: ConnectedSession, requests: list[tuple[int | None, Request]]) -> None:
        if not self.transport.is_closing():
            self.transport.resume_reading()
            self._ask(session, requests)

    def eof_received(self) -> bool:
        """As asyncio calls it when the peer sends no more; True keeps the connection open for writing."""
        self._eof_received = True
        if self.write_closed:
            return False
        if self.session is not None:
            for tag, request in self.framing.end():
                self._hub.ask(self.session, tag, request)  # type: ignore[arg-type]
            self._hub.finish_session(self.session)
        return True  # we close it ourselves, when everything is answered

    def connection_lost(self, error: Exception | None) -> None:
        """As asyncio calls it, whichever side has ended the connection."""
        if self.session is not None:
            self.server.remove(self, self.session)

    def write(self) -> None:
        """Called by the server after a wake-up."""
        if self._paused or self.write_closed or self.transport.is_closing():
            return  # the peer reads slowly: let the outbox fill, up to its limit
        waiting = self.outbox.take()
        if waiting:
            self.transport.write(encode_batch(self.framing, waiting))
        if self.outbox.closed:
            self._close_write()

    def _close_write(self) -> None:
        self.write_closed = True
        if self._eof_received:
            self.transport.close()
        else:
            # Only this direction: were what the peer still sends left unread, a reset would overtake our last words.
            self.transport.write_eof()
            if self.session is not None:
                self._hub.close_session(self.session)

    def pause_writing(self) -> None:
        """As asyncio calls it: the peer reads more slowly than we write."""
        self._paused = True

    def resume_writing(self) -> None:
        """As asyncio calls it, when the peer has caught up."""
        self._paused = False
        self.write()

    def _wake(self) -> None:
        self.server.wake(self)

    def codec_failed(self, error: Exception) -> None:
        """The codec raised what no codec should: what this peer has said, or was to be told, cannot be known."""
        self.server.hub.log(codec_failed(self.peer, error))
        self.outbox.end(SERVER_FAILED)

    def abort(self) -> None:
        """End the connection in both directions, whatever still waits."""
        self.transport.abort()


# ---- what both servers do the same way --------------------------------------------------------------------------


def encode_batch(framing: Connection, waiting: list[tuple[Any, Message]]) -> bytes:
    """The frames of everything that waits, in one piece."""
    try:
        return framing.send_all(waiting)
    except ProtocolError:
        return b"".join([_encode_one(framing, tag, message) for tag, message in waiting])


def _encode_one(framing: Connection, tag: int | None, message: Message) -> bytes:
    try:
        return framing.send(tag, message)
    except ProtocolError as too_long:
        if isinstance(message, Reply):
            return framing.send(tag, Refused("FRAME_TOO_LONG", f"the answer does not fit: {too_long.text}"))
        return b""  # an event that fits no frame is in the mailbox all the same


def codec_failed(peer: str, error: Exception) -> str:
    """What is logged where a codec raises what no codec should."""
    return f"Client {peer} is cut off, because the codec failed: {error!r}"
