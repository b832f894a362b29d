"""A client's connection to a socket server, blocking and async: frames over TCP, a tag for each request and its reply.

The caller of `exchange` writes its own frame; a reader (a thread, or a task) hands each reply to the request with its
tag, and each event up to the client.
"""

import asyncio
import selectors
import socket
import threading
import time
from collections.abc import Callable
from functools import partial

from ..codecs.connection import CLIENT_ACCEPTS, Connection
from ..codecs.interface import Codec
from ..messages import ChatError, ConnectionLost, Event, Goodbye, Message, ProtocolError, Refused, Reply, Request
from .client_state import CLOSE_TIMEOUT_S
from .event_loop import start_thread
from .interface import Address, OnEvent, connect_error
from .pending import AsyncPendingReplies, PendingReplies
from .serving import RECEIVE_BYTES, receive_bytes

DIAL_TIMEOUT_S = 10.0
POST_WAIT_S = 0.05  # for another thread to finish writing its frame, before a post is put off
#: The reader blocks in `recv`, so the socket blocks; a writer must not. Where a system has no such flag, it may after
#: all.
_DO_NOT_WAIT = getattr(socket, "MSG_DONTWAIT", 0)


class SocketTransport:
    """A blocking connection. `partial(SocketTransport, codec)` is a `Dial`."""

    def __init__(self, codec: Codec, address: Address, on_event: OnEvent):
        try:
            self._socket = socket.create_connection(address, DIAL_TIMEOUT_S)
        except OSError as error:
            raise ConnectionLost(connect_error(address, error)) from error
        self._socket.settimeout(None)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection = Connection(codec, CLIENT_ACCEPTS)
        self._on_event = on_event
        self._pending = PendingReplies()
        self._writing = threading.Lock()  # guards the connection's and the socket's sending side, and `_unsent`
        self._unsent = bytearray()  # of frames that were begun: whatever comes next is sent after it
        self._reason = ""
        self._reader = start_thread(self._read, "chatlab-client")

    def __repr__(self) -> str:
        return f"<SocketTransport over {self._connection!r}>"

    def exchange(self, request: Request, timeout_s: float) -> Reply:
        """As `Transport.exchange`."""
        return self._pending.exchange(partial(self._send, request), timeout_s)

    def post(self, request: Request, on_reply: Callable[[Reply], None]) -> bool:
        """As `Transport.post`."""
        return self._pending.post(partial(self._send_at_once, request), on_reply)

    def drain(self, timeout_s: float) -> None:
        """As `Transport.drain`."""
        self._pending.drain(timeout_s)

    def close(self) -> None:
        """Half-close, so that all that was asked is carried out, and return when the server has closed too."""
        if self._writing.acquire(timeout=CLOSE_TIMEOUT_S):
            try:
                self._flush(time.monotonic() + CLOSE_TIMEOUT_S)
                self._socket.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # it has ended already, or takes no more
            finally:
                self._writing.release()
        self._reader.join(CLOSE_TIMEOUT_S)
        self.abort()

    def abort(self, reason: str = "") -> None:
        """End the connection in both directions; whoever waits for a reply gets `ConnectionLost`."""
        self._reason = self._reason or reason
        self._shut_down()
        if threading.current_thread() is not self._reader:
            self._reader.join(CLOSE_TIMEOUT_S)

    def _shut_down(self) -> None:
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it has ended already

    # ---- writing

    def _send(self, request: Request, tag: int, deadline: float) -> None:
        if not self._writing.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise TimeoutError
        try:
            self._unsent += self._encode(request, tag)
            self._flush(deadline)
            return
        except TimeoutError:
            reason = "the server has stopped reading"
        except OSError as error:
            reason = f"the connection broke while writing: {error}"
        except KeyboardInterrupt:
            self._shut_down()  # how much of the frame was sent cannot be told, so nothing may come after it
            raise
        finally:
            self._writing.release()
        self.abort(reason)  # and so this request gets its `ConnectionLost`, with what the server said last, if anything

    def _send_at_once(self, request: Request, tag: int) -> bool:
        if not self._writing.acquire(timeout=POST_WAIT_S):
            return False
        try:
            if not self._flush():
                return False
            self._unsent += self._encode(request, tag)
            self._flush()
            return True
        except OSError:
            return False  # the reader finds out that the connection has ended
        finally:
            self._writing.release()

    def _flush(self, deadline: float | None = None) -> bool:
        """Send what was begun, waiting for room until the deadline, or not at all; whether all is sent.

        Raises `TimeoutError`, or another `OSError` where the connection has ended.
        """
        while self._unsent:
            try:
                del self._unsent[: self._socket.send(self._unsent, _DO_NOT_WAIT)]
            except BlockingIOError:
                if deadline is None:
                    return False
                _wait_until_writable(self._socket, deadline)
        return True

    def _encode(self, request: Request, tag: int) -> bytes:
        try:
            return self._connection.send(tag, request)
        except ProtocolError as error:
            raise ChatError("FRAME_TOO_LONG", error.text) from error

    # ---- reading

    def _read(self) -> None:
        lost = self._read_until_the_end()
        self._on_event(lost)  # first, so that whoever gets the error below finds a client that knows it
        self._pending.fail(lost)
        self._socket.close()

    def _read_until_the_end(self) -> ConnectionLost:
        connection, last_word = self._connection, ""
        while not last_word and connection.error is None and (data := receive_bytes(self._socket)):
            try:
                messages = connection.receive(data)
            except Exception as error:  # a mistake in the codec: what comes next cannot be told
                return ConnectionLost(codec_failed(connection.codec, error))
            for tag, message in messages:
                last_word = last_word or last_words(tag, message)
                if isinstance(message, Reply):
                    self._pending.settle(tag, message)
                elif isinstance(message, Event):
                    self._on_event(message)
        return end_of(connection, last_word or self._reason)


class AsyncSocketTransport:
    """The same connection in an event loop. `partial(AsyncSocketTransport.dial, codec)` is an `AsyncDial`."""

    def __init__(self, codec: Codec, on_event: OnEvent, stream: asyncio.StreamReader, sink: asyncio.StreamWriter):
        self._stream, self._sink = stream, sink
        self._connection = Connection(codec, CLIENT_ACCEPTS)
        self._on_event = on_event
        self._pending = AsyncPendingReplies()
        self._reason = ""
        self._reader = asyncio.ensure_future(self._read())

    def __repr__(self) -> str:
        return f"<AsyncSocketTransport over {self._connection!r}>"

    @classmethod
    async def dial(cls, codec: Codec, address: Address, on_event: OnEvent) -> "AsyncSocketTransport":
        """Open a connection. Raises `ConnectionLost`."""
        try:
            async with asyncio.timeout(DIAL_TIMEOUT_S):
                stream, sink = await asyncio.open_connection(*address, limit=RECEIVE_BYTES)
        except TimeoutError as error:
            raise ConnectionLost(connect_error(address, f"no answer within {DIAL_TIMEOUT_S:g} s")) from error
        except OSError as error:
            raise ConnectionLost(connect_error(address, error)) from error
        return cls(codec, on_event, stream, sink)

    async def exchange(self, request: Request, timeout_s: float) -> Reply:
        """As `Transport.exchange`."""
        return await self._pending.exchange(partial(self._send, request), timeout_s)

    def post(self, request: Request, on_reply: Callable[[Reply], None]) -> bool:
        """As `Transport.post`."""
        return self._pending.post(partial(self._send_at_once, request), on_reply)

    async def drain(self, timeout_s: float) -> None:
        """As `Transport.drain`."""
        await self._pending.drain(timeout_s)

    async def close(self) -> None:
        """Half-close, so that all that was asked is carried out, and return when the server has closed too."""
        try:
            self._sink.write_eof()
        except (OSError, RuntimeError):
            pass  # it has ended already; uvloop says so by a RuntimeError
        await asyncio.wait([self._reader], timeout=CLOSE_TIMEOUT_S)
        await self.abort()

    async def abort(self, reason: str = "") -> None:
        """End the connection in both directions; whoever waits for a reply gets `ConnectionLost`."""
        self._reason = self._reason or reason
        self._sink.transport.abort()
        await asyncio.wait([self._reader], timeout=CLOSE_TIMEOUT_S)

    # ---- writing

    async def _send(self, request: Request, tag: int) -> None:
        self._sink.write(self._encode(request, tag))
        try:
            await self._sink.drain()
        except OSError as error:
            await self.abort(f"the connection broke while writing: {error}")

    def _send_at_once(self, request: Request, tag: int) -> bool:
        self._sink.write(self._encode(request, tag))
        return True

    def _encode(self, request: Request, tag: int) -> bytes:
        try:
            return self._connection.send(tag, request)
        except ProtocolError as error:
            raise ChatError("FRAME_TOO_LONG", error.text) from error

    # ---- reading

    async def _read(self) -> None:
        lost = await self._read_until_the_end()
        self._on_event(lost)  # first, so that whoever gets the error below finds a client that knows it
        self._pending.fail(lost)
        self._sink.close()

    async def _read_until_the_end(self) -> ConnectionLost:
        connection, last_word = self._connection, ""
        while not last_word and connection.error is None and (data := await self._receive()):
            try:
                messages = connection.receive(data)
            except Exception as error:  # a mistake in the codec: what comes next cannot be told
                return ConnectionLost(codec_failed(connection.codec, error))
            for tag, message in messages:
                last_word = last_word or last_words(tag, message)
                if isinstance(message, Reply):
                    self._pending.settle(tag, message)
                elif isinstance(message, Event):
                    self._on_event(message)
        return end_of(connection, last_word or self._reason)

    async def _receive(self) -> bytes:
        try:
            return await self._stream.read(RECEIVE_BYTES)
        except OSError:
            return b""  # broken rather than ended; for the user it is the same


# ---- what both do the same way ----------------------------------------------------------------------------------


def last_words(tag: int | None, message: Message) -> str:
    """Why the server closes the connection, where this message says so; nothing comes after it."""
    if isinstance(message, Goodbye):
        return message.reason
    if tag is None and isinstance(message, Refused):  # all that we ask has a tag: we were not let in
        return f"{message.code}: {message.text}"
    return ""


def end_of(connection: Connection, reason: str) -> ConnectionLost:
    """Why a connection is over whose bytes have all been read."""
    try:
        connection.end()
    except Exception as error:
        return ConnectionLost(codec_failed(connection.codec, error))
    if connection.error is not None:
        protocol = connection.codec.name
        return ConnectionLost(f"the server sent nonsense (does it speak {protocol}?): {connection.error}")
    return ConnectionLost(reason or "the connection is closed")


def codec_failed(codec: Codec, error: Exception) -> str:
    """What is said where a codec raises what no codec should."""
    return f"the codec {codec.name} could not read what the server sent: {type(error).__name__}: {error}"


def _wait_until_writable(sock: socket.socket, deadline: float) -> None:
    """Raises `TimeoutError`."""
    with selectors.DefaultSelector() as selector:  # `select` alone knows no file above the 1023rd
        selector.register(sock, selectors.EVENT_WRITE)
        if not selector.select(max(0.0, deadline - time.monotonic())):
            raise TimeoutError
