"""Clients of a socket server, blocking and async: a reader finds the caller of each reply by its tag."""

import asyncio
import itertools
import queue
import socket
import threading

from ..codecs.connection import CLIENT_ACCEPTS, Connection
from ..codecs.interface import Codec
from ..messages import ChatError, ConnectionLost, Goodbye, Message, ProtocolError, Refused, Reply, Request
from .client import AsyncClient, Client, nobody_at, unanswered
from .event_loop import start_thread
from .interface import Address
from .serving import RECEIVE_BYTES, _receive

DIAL_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 2.0


# ---- clients ----------------------------------------------------------------------------------------------------


class SocketClient(Client):
    """A blocking client: the caller writes its request, a reader thread finds the answer's owner by its tag."""

    def __init__(self, codec: Codec, address: Address):
        super().__init__(codec.name)
        self.codec, self.address = codec, address
        self._tags = itertools.count(1)
        self._writing = threading.Lock()  # guards the connection's and the socket's sending side: frames go out whole
        self._connect()

    def _connect(self) -> None:
        try:
            self._sock = socket.create_connection(self.address, DIAL_TIMEOUT_S)
        except OSError as error:
            raise ConnectionLost(f"{nobody_at(self.address)}: {error}") from error
        self._sock.settimeout(None)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection = Connection(self.codec, CLIENT_ACCEPTS)
        self._waiting: dict[int, queue.SimpleQueue[Reply | Exception]] = {}
        self._reader = start_thread(self._read, "chatlab-client")

    def _exchange(self, request: Request) -> Reply:
        tag = next(self._tags)
        answer: queue.SimpleQueue[Reply | Exception] = queue.SimpleQueue()
        self._waiting[tag] = answer
        try:
            self._write(tag, request)
            reply = answer.get(timeout=self.answer_timeout_s)
        except queue.Empty:
            raise ConnectionLost(unanswered(self)) from None
        finally:
            self._waiting.pop(tag, None)
        if isinstance(reply, Exception):
            raise reply
        return reply

    def _tell(self, request: Request) -> None:
        self._write(next(self._tags), request)

    def _write(self, tag: int, request: Request) -> None:
        if self._lost is not None:
            raise self._lost
        with self._writing:
            try:
                self._sock.sendall(self._connection.send(tag, request))
            except ProtocolError as error:
                raise ChatError("FRAME_TOO_LONG", error.text) from error
            except OSError as error:
                raise self._lost or ConnectionLost(f"the connection broke while writing: {error}") from error
            except BaseException:
                self._cut()  # interrupted inside a frame: whatever came next would be nonsense
                raise

    def _read(self) -> None:
        sock, connection = self._sock, self._connection
        last_word = ""
        while not last_word and (data := _receive(sock)):
            for tag, message in connection.receive(data):
                last_word = last_word or _last_word(tag, message)
                if isinstance(message, Reply):
                    self._settle(tag, message)
                else:
                    self._arrive(message)
            if connection.error is not None:
                break
        connection.end()
        self._fail(connection.error or ConnectionLost(last_word or "the connection is over"))
        sock.close()

    def _settle(self, tag: int | None, reply: Reply) -> None:
        answer = self._waiting.get(tag)
        if answer is not None:
            answer.put(reply)

    def _fail(self, error: ConnectionLost | ProtocolError) -> None:
        lost = (
            error
            if isinstance(error, ConnectionLost)
            else ConnectionLost(f"the server sent nonsense (does it speak {self.protocol}?): {error}")
        )
        waiting = self._waiting  # once `_end` has told the user, there may soon be a new connection with its own
        self._end(lost)
        for answer in list(waiting.values()):
            answer.put(lost)

    def _cut(self) -> None:
        try:
            self._sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it was over already

    def close(self) -> None:
        """Half-close, so that all that was asked is carried out, and return when the server has closed too."""
        self._acknowledge(now=True)
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it was over already
        self._reader.join(CLOSE_TIMEOUT_S)
        self._cut()


def _last_word(tag: int | None, message: Message) -> str:
    """Why the server closes the connection, where this message says so; nothing comes after it."""
    if isinstance(message, Goodbye):
        return message.reason
    if tag is None and isinstance(message, Refused):  # all that we ask has a tag: we were not let in
        return f"{message.code}: {message.text}"
    return ""


class AsyncSocketClient(AsyncClient):
    """The same client in an event loop: a reader task finds the answer's owner by its tag."""

    def __init__(self, codec: Codec, address: Address):
        super().__init__(codec.name)
        self.codec, self.address = codec, address
        self._tags = itertools.count(1)

    async def _connect(self) -> None:
        try:
            dialing = asyncio.open_connection(*self.address, limit=RECEIVE_BYTES)
            self._stream, self._sink = await asyncio.wait_for(dialing, DIAL_TIMEOUT_S)
        except OSError as error:
            raise ConnectionLost(f"{nobody_at(self.address)}: {error}") from error
        self._connection = Connection(self.codec, CLIENT_ACCEPTS)
        self._waiting: dict[int, asyncio.Future[Reply]] = {}
        self._reader = asyncio.ensure_future(self._read())

    async def _exchange(self, request: Request) -> Reply:
        tag = next(self._tags)
        answer = self._waiting[tag] = asyncio.get_running_loop().create_future()
        try:
            await self._write(tag, request)
            async with asyncio.timeout(self.answer_timeout_s):
                return await answer
        except TimeoutError:
            raise ConnectionLost(unanswered(self)) from None
        finally:
            self._waiting.pop(tag, None)

    async def _tell(self, request: Request) -> None:
        await self._write(next(self._tags), request)

    async def _write(self, tag: int, request: Request) -> None:
        if self._lost is not None:
            raise self._lost
        try:
            frame = self._connection.send(tag, request)
        except ProtocolError as error:
            raise ChatError("FRAME_TOO_LONG", error.text) from error
        try:
            self._sink.write(frame)
            await self._sink.drain()
        except OSError as error:
            raise self._lost or ConnectionLost(f"the connection broke while writing: {error}") from error

    async def _read(self) -> None:
        connection = self._connection
        last_word = ""
        try:
            while not last_word and (data := await self._stream.read(RECEIVE_BYTES)):
                for tag, message in connection.receive(data):
                    last_word = last_word or _last_word(tag, message)
                    if isinstance(message, Reply):
                        self._settle(tag, message)
                    else:
                        self._arrive(message)
                if connection.error is not None:
                    break
        except OSError:
            pass  # broken rather than ended; for the user it is the same
        connection.end()
        self._fail(connection.error or ConnectionLost(last_word or "the connection is over"))
        self._sink.close()

    def _settle(self, tag: int | None, reply: Reply) -> None:
        answer = self._waiting.get(tag)
        if answer is not None and not answer.done():
            answer.set_result(reply)

    def _fail(self, error: ConnectionLost | ProtocolError) -> None:
        lost = (
            error
            if isinstance(error, ConnectionLost)
            else ConnectionLost(f"the server sent nonsense (does it speak {self.protocol}?): {error}")
        )
        self._end(lost)
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(lost)

    async def close(self) -> None:
        """Half-close, so that all that was asked is carried out, and return when the server has closed too."""
        if self._lost is None:
            await self._acknowledge(now=True)
            try:
                self._sink.write_eof()
            except OSError:
                pass  # it was over already
        await asyncio.wait([self._reader], timeout=CLOSE_TIMEOUT_S)
        self._sink.close()
