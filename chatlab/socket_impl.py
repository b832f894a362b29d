"""The chat over TCP sockets: two servers and two clients that carry frames and do not care how they are spelled.

`ThreadServer` and `LoopServer` have the same shape, under the same names in the same order, so that what differs
between them is what differs between threads and an event loop:

    a *reader*  gives what it receives to the Connection and asks the hub, frame by frame;
    the *outbox* holds what the hub wants said, in the order of turns;
    a *writer*  spells all that waits in the outbox and sends it in one go, once per wake-up.

Nothing here decides what a request means (the service does) or which bytes say it (the codec does).
"""

import asyncio
import queue
import socket
import threading
import time
from functools import partial

from .chat.hub import SERVER_FAILED, Hub, Outbox
from .codecs.connection import SERVER_ACCEPTS, Connection
from .codecs.interface import Codec
from .messages import ChatError, Message, ProtocolError, Refused, Reply
from .transport.async_client import AsyncClient
from .transport.client import Client
from .transport.event_loop import background_loop, run, start_thread
from .transport.interface import ENGINES, Address
from .transport.serving import Patience, label, receive_bytes
from .transport.socket_client import AsyncSocketTransport, SocketTransport

BACKLOG = 1024
PAUSE_S = 0.05  # of a thread that could not accept
SWEEP_S = 0.25  # how often a server looks for newcomers that say nothing and for peers that do not read
FAIR_SHARE = 16  # requests of one client that a loop carries out before it looks at the others
NO_THREADS = "the server has no more threads; try again later"


class SocketImplementation:
    """Our frames over TCP, in the spelling of one codec."""

    def __init__(self, codec: Codec):
        self.codec = codec
        self.name = codec.name
        self.verbs: frozenset[str] | None = None
        self.engines = ENGINES

    def __repr__(self):
        return f"<{self.name} over sockets>"

    def serve(self, hub: Hub, engine: str = "loop", host: str = "127.0.0.1", port: int = 0):
        """Open a door to the hub: `engine` "threads" has two threads for each client, "loop" one for all."""
        server = {"threads": ThreadServer, "loop": LoopServer}[engine]
        return server(hub, self.codec, listen(host, port))

    def connect(self, address: Address) -> Client:
        """A blocking client. Raises `ConnectionLost`."""
        return Client(self.name, address, partial(SocketTransport, self.codec))

    async def connect_async(self, address: Address) -> AsyncClient:
        """An async client for the running event loop. Raises `ConnectionLost`."""
        return await AsyncClient.connect(self.name, address, partial(AsyncSocketTransport.dial, self.codec))


def listen(host: str, port: int) -> socket.socket:
    """A listening TCP socket. Raises `OSError` that says which address could not be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named because asyncio turns Nagle's algorithm off only on sockets that say IPPROTO_TCP.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise OSError(error.errno, f"cannot listen at {host}, port {port}: {error.strerror or error}") from error
    return listener


# ---- a server with threads --------------------------------------------------------------------------------------


class ThreadServer:
    """Two threads for each client: one blocks in `recv`, one blocks until the outbox holds something."""

    def __init__(self, hub: Hub, codec: Codec, listener: socket.socket):
        self.hub, self.codec = hub, codec
        self.address: Address = listener.getsockname()[:2]
        self._listener = listener
        self._clients: set[_ThreadClient] = set()
        self._refused: list[tuple[float, socket.socket]] = []
        self._closing = False
        self._sweep_at = 0.0
        self._acceptor = start_thread(self._accept, "chatlab-accept")

    def __repr__(self):
        return f"<ThreadServer over {self.codec.name}, {len(self._clients)} clients>"

    def close(self) -> None:
        """Stop listening, say goodbye to everybody, and return when all threads have ended."""
        self._closing = True
        try:
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the acceptor
        except OSError:
            pass  # not on every system; there it looks up every SWEEP_S
        self._acceptor.join()
        for client in list(self._clients):
            client.outbox.end("the server stops")
        deadline = time.monotonic() + self.hub.limits.linger_s
        for client in list(self._clients):
            client.writer.join(max(0, deadline - time.monotonic()))
            client.cut()
            client.reader.join()
            client.writer.join()

    def _accept(self) -> None:
        self._listener.settimeout(SWEEP_S)  # and not `select`, which knows no file above the 1023rd
        with self._listener:
            while not self._closing:
                try:
                    self._welcome(*self._listener.accept())
                except TimeoutError:
                    pass  # nobody came
                except OSError as error:  # the newcomer left already, or the process has no more files to open
                    if not self._closing:
                        self.hub.log(f"a newcomer was lost: {error}")
                    time.sleep(PAUSE_S)  # or it would spin until a file is free
                self._sweep(time.monotonic())
        for _, sock in self._refused:
            sock.close()

    def _welcome(self, sock: socket.socket, peer: Address) -> None:
        client = _ThreadClient(self, sock, label(peer))
        try:
            client.session = self.hub.open_session(client.outbox, client.peer)
            self._begin(client)
        except ChatError as full:
            # Closed at once, a request on its way would reset the connection and the refusal be lost.
            self._refused.append((time.monotonic() + self.hub.limits.linger_s, sock))
            if client.writer.ident is None:  # else it has said so
                sock.sendall(self.codec.encode(None, Refused(full.code, full.text)))
                sock.shutdown(socket.SHUT_WR)

    def _begin(self, client: "_ThreadClient") -> None:
        self._clients.add(client)
        try:
            client.start()
        except RuntimeError as error:
            self._clients.discard(client)
            self.hub.close_session(client.session)
            self.hub.log(f"a newcomer was refused: {error}")
            raise ChatError("SERVER_FULL", NO_THREADS) from error

    def _sweep(self, now: float) -> None:
        if now < self._sweep_at:
            return
        self._sweep_at = now + SWEEP_S
        for client in list(self._clients):
            client.sweep(now)
        while self._refused and now > self._refused[0][0]:
            self._refused.pop(0)[1].close()

    def forget(self, client: "_ThreadClient") -> None:
        self._clients.discard(client)
        self.hub.close_session(client.session)


class _ThreadClient:
    """The server's side of one connection."""

    def __init__(self, server: ThreadServer, sock: socket.socket, peer: str):
        self.server, self.sock, self.peer = server, sock, peer
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connection = Connection(server.codec, SERVER_ACCEPTS, server.hub.limits.frame)
        self._awake: queue.SimpleQueue[None] = queue.SimpleQueue()
        self.outbox = Outbox(self._wake, server.hub.limits)
        self.patience = Patience(server.hub.limits)
        self.reader = threading.Thread(target=self.read, name="chatlab-reader", daemon=True)
        self.writer = threading.Thread(target=self.write, name="chatlab-writer", daemon=True)

    def start(self) -> None:
        """Raises `RuntimeError` where there are no threads left; then none of its own is."""
        self.writer.start()
        try:
            self.reader.start()
        except RuntimeError:
            self.outbox.put(None, Refused("SERVER_FULL", NO_THREADS))
            self.outbox.end()
            self.writer.join()
            raise

    def read(self) -> None:
        hub, session, connection = self.server.hub, self.session, self.connection
        while data := receive_bytes(self.sock):
            if self.outbox.closed:
                continue  # it was told goodbye
            try:
                requests = connection.receive(data)
            except Exception as error:  # a mistake in a codec
                self.fail(error)
                continue
            for tag, request in requests:  # each in a turn by itself: other threads wait for theirs
                hub.ask(session, tag, request)
            if connection.error is not None:
                self.outbox.end(f"protocol error: {connection.error.text}")
        if data is None:  # the connection broke: nobody is there to be answered
            self.outbox.closed = True
            self._wake()
        else:
            for tag, request in connection.end():
                hub.ask(session, tag, request)
            hub.finish_session(session)
        self.writer.join()
        self.sock.close()
        self.server.forget(self)

    def write(self) -> None:
        try:
            while True:
                self._awake.get()
                waiting = self.outbox.take()
                if waiting:
                    self.sock.sendall(spell(self.connection, waiting))
                elif self.outbox.closed:
                    break
                if self.outbox.closed and not self.outbox:
                    break
            # Only this direction: were what the peer still sends left unread, a reset would overtake our last words.
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.cut()  # the peer is gone; the reader hears of it too
        except Exception as error:  # a mistake in a codec
            self.fail(error)
            self.cut()
        self.server.hub.close_session(self.session)

    def _wake(self) -> None:
        self._awake.put(None)

    def sweep(self, now: float) -> None:
        """Close it where the peer has said nothing for too long, or does not read its last words."""
        verdict = self.patience.verdict(now, self.outbox, self.connection.frames_in > 0)
        if verdict == "cut":
            self.cut()
        elif verdict:
            self.outbox.end(verdict)

    def fail(self, error: Exception) -> None:
        """The codec made a mistake: nobody knows what this client meant to say, or was told."""
        self.server.hub.log(f"Client {self.peer} is cut off, because the codec failed: {error!r}")
        self.outbox.end(SERVER_FAILED)

    def cut(self) -> None:
        """End the connection in both directions; a blocked `recv` or `sendall` returns."""
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it was over already


# ---- a server with an event loop --------------------------------------------------------------------------------


class LoopServer:
    """One thread for all clients: the loop calls whoever has received something, and nobody ever blocks."""

    def __init__(self, hub: Hub, codec: Codec, listener: socket.socket):
        self.hub, self.codec = hub, codec
        self.address: Address = listener.getsockname()[:2]
        self._listener = listener
        self._clients: set[_LoopClient] = set()
        self.loop = background_loop()
        self._awake: list[_LoopClient] = []
        self._sweeper: asyncio.TimerHandle | None = None
        run(self._accept())

    def __repr__(self):
        return f"<LoopServer over {self.codec.name}, {len(self._clients)} clients>"

    def close(self) -> None:
        """Stop listening, say goodbye to everybody, and return when all connections have ended."""
        run(self._close())

    async def _close(self) -> None:
        self._sweeper.cancel()
        self._acceptor.close()
        for client in list(self._clients):
            client.outbox.end("the server stops")
        deadline = self.loop.time() + self.hub.limits.linger_s
        while not all(client.said_all for client in self._clients) and self.loop.time() < deadline:
            await asyncio.sleep(0.005)
        for client in list(self._clients):
            client.cut()
        while self._clients:
            await asyncio.sleep(0)

    async def _accept(self) -> None:
        self._thread = threading.get_ident()
        self._acceptor = await self.loop.create_server(lambda: _LoopClient(self), sock=self._listener, backlog=BACKLOG)
        self._sweep()

    def _welcome(self, client: "_LoopClient") -> None:
        try:
            client.session = self.hub.open_session(client.outbox, client.peer)
        except ChatError as full:
            client.transport.write(self.codec.encode(None, Refused(full.code, full.text)))
            client.transport.write_eof()
            # Closed at once, a request on its way would reset the connection and the refusal be lost.
            self.loop.call_later(self.hub.limits.linger_s, client.transport.abort)
            return
        self._clients.add(client)

    def _sweep(self) -> None:
        now = time.monotonic()
        for client in list(self._clients):
            client.sweep(now)
        self._sweeper = self.loop.call_later(SWEEP_S, self._sweep)

    def forget(self, client: "_LoopClient") -> None:
        self._clients.discard(client)
        self.hub.close_session(client.session)

    def wake(self, client: "_LoopClient") -> None:
        """Have the client's outbox written when this round of the loop has heard everybody; any thread may call."""
        if threading.get_ident() == self._thread:
            if not self._awake:
                self.loop.call_soon(self._write)
            self._awake.append(client)
        else:
            self.loop.call_soon_threadsafe(self.wake, client)

    def _write(self) -> None:
        awake, self._awake = self._awake, []
        for client in awake:
            try:
                client.write()
            except Exception as error:  # a mistake in a codec: the others are written all the same
                client.fail(error)
                client.cut()


class _LoopClient(asyncio.Protocol):
    """The server's side of one connection."""

    def __init__(self, server: LoopServer):
        self.server = server
        self.connection = Connection(server.codec, SERVER_ACCEPTS, server.hub.limits.frame)
        self.outbox = Outbox(self._wake, server.hub.limits)
        self.patience = Patience(server.hub.limits)
        self.session = None
        self.said_all = self._heard_all = False
        self._paused = False

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self.peer = label(transport.get_extra_info("peername"))
        self._hub = self.server.hub
        self.server._welcome(self)

    def read(self, data: bytes) -> None:
        if self.session is None or self.outbox.closed:
            return  # it was refused, or told goodbye
        try:
            requests = self.connection.receive(data)
        except Exception as error:  # a mistake in a codec
            self.fail(error)
            return
        self._ask(requests)

    data_received = read  #: as asyncio calls it

    def _ask(self, requests: list) -> None:
        """A fair share of the requests now, the rest when the loop has heard the others; until then it reads no more."""
        hub, session = self._hub, self.session
        finished = True
        if len(requests) > FAIR_SHARE:
            self.transport.pause_reading()
            self.server.loop.call_soon(self._ask_rest, requests[FAIR_SHARE:])
            requests = requests[:FAIR_SHARE]
            finished = False
        hub.ask_all(session, requests)
        if finished and self.connection.error is not None:
            self.outbox.end(f"protocol error: {self.connection.error.text}")

    def _ask_rest(self, requests: list) -> None:
        if not self.transport.is_closing():
            self.transport.resume_reading()
            self._ask(requests)

    def eof_received(self) -> bool:
        self._heard_all = True
        if self.said_all:
            return False  # both have said all: it closes
        if self.session is not None:
            for tag, request in self.connection.end():
                self._hub.ask(self.session, tag, request)
            self._hub.finish_session(self.session)
        return True  # we close it ourselves, when all is answered

    def connection_lost(self, error: Exception | None) -> None:
        if self.session is not None:
            self.server.forget(self)

    def write(self) -> None:
        if self._paused or self.said_all or self.transport.is_closing():
            return  # the peer reads slowly: let the outbox fill, up to its limit
        waiting = self.outbox.take()
        if waiting:
            self.transport.write(spell(self.connection, waiting))
        if self.outbox.closed:
            self._end()

    def _end(self) -> None:
        self.said_all = True
        if self._heard_all:
            self.transport.close()
        else:
            # Only this direction: were what the peer still sends left unread, a reset would overtake our last words.
            self.transport.write_eof()
            self._hub.close_session(self.session)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self.write()

    def _wake(self) -> None:
        self.server.wake(self)

    def sweep(self, now: float) -> None:
        """Close it where the peer has said nothing for too long, or does not read its last words."""
        verdict = self.patience.verdict(now, self.outbox, self.connection.frames_in > 0)
        if verdict == "cut":
            self.cut()
        elif verdict:
            self.outbox.end(verdict)

    def fail(self, error: Exception) -> None:
        """The codec made a mistake: nobody knows what this client meant to say, or was told."""
        self.server.hub.log(f"Client {self.peer} is cut off, because the codec failed: {error!r}")
        self.outbox.end(SERVER_FAILED)

    def cut(self) -> None:
        """End the connection in both directions, whatever still waits."""
        self.transport.abort()


# ---- what both servers do the same way --------------------------------------------------------------------------


def spell(connection: Connection, waiting: list[tuple[int | None, Message]]) -> bytes:
    """The frames of all that waits, in one piece."""
    try:
        return connection.send_all(waiting)
    except ProtocolError:
        return b"".join([_spell_one(connection, tag, message) for tag, message in waiting])


def _spell_one(connection: Connection, tag: int | None, message: Message) -> bytes:
    try:
        return connection.send(tag, message)
    except ProtocolError as too_long:
        if isinstance(message, Reply):
            return connection.send(tag, Refused("FRAME_TOO_LONG", f"the answer does not fit: {too_long.text}"))
        return b""  # an event that fits no frame is in the mailbox all the same
