"""A client's connection to a gRPC server, blocking and async: a call for each verb, or everything over one stream.

A session is a stream: the Events stream beside calls, or the Stream that carries everything. `SessionStream` opens it
on a channel of its own and reads it; the transports say what a message on it means, and how a request is asked.
"""

import asyncio
import queue
import threading
from collections.abc import AsyncIterator, Callable
from concurrent import futures
from functools import partial
from typing import Any

from google.protobuf.message import Message as Proto

from ..messages import REQUESTS, ChatError, ConnectionLost, Event, Goodbye, ProtocolError, Refused, Reply, Request
from ..proto import chat_pb2 as pb
from ..proto.convert import from_event, from_proto, from_stream_response, to_proto, to_stream_request
from .client_state import ANSWER_TIMEOUT_S, CLOSE_TIMEOUT_S
from .event_loop import start_thread
from .grpc_common import (
    AFTER_EVENTS,
    CLIENT_OPTIONS,
    CODE,
    EVENTS_BEFORE,
    MAX_FRAME,
    NOT_TO_OVERTAKE,
    SESSION,
    metadata_value,
    size_error,
)
from .interface import Address, OnEvent, connect_error, format_address
from .pending import AsyncPendingReplies, PendingReplies, again, timeout_error
from .quiet_grpc import ChatStub, grpc, install_log_filter

DIAL_TIMEOUT_S = 10.0
LAST_WORDS_S = 0.5  # for the reason why a connection ended, after a call has found that it did

#: What the stream of a session carries, and what is told of it.
OnMessage = Callable[[Any], Reply | Event]
OnLost = Callable[[ConnectionLost], None]


# ---- in threads -------------------------------------------------------------------------------------------------


class SessionStream:
    """The stream that is a client's session, on a channel of its own, and the thread that reads it.

    Each message goes to `on_message`, which says what it was; `on_lost` gets the reason when the stream has ended.
    """

    def __init__(
        self, address: Address, open_stream: Callable[[ChatStub], Any], on_message: OnMessage, on_lost: OnLost
    ):
        """Open the stream and wait for the session's token. Raises `ConnectionLost`."""
        self._address, self._on_message, self._on_lost = address, on_message, on_lost
        self._reason = ""
        self._channel = grpc.insecure_channel(format_address(address), CLIENT_OPTIONS)
        self.stub = ChatStub(self._channel)
        self._stream = open_stream(self.stub)
        self._token: futures.Future[str] = futures.Future()
        self._reader = start_thread(self._read, "chatlab-client")
        try:
            self.token = self._token.result(DIAL_TIMEOUT_S)
        except TimeoutError as error:
            self.abort()
            raise ConnectionLost(connect_error(address, f"no answer within {DIAL_TIMEOUT_S:g} s")) from error
        except BaseException:
            self.abort()
            raise

    def join(self, timeout_s: float) -> None:
        """Return when the stream has ended, or after so many seconds."""
        if threading.current_thread() is not self._reader:
            self._reader.join(timeout_s)

    def abort(self, reason: str = "") -> None:
        """End the stream, and all calls on its channel."""
        self._reason = self._reason or reason or CLOSED
        self._channel.close()
        self.join(CLOSE_TIMEOUT_S)

    def _read(self) -> None:
        lost = self._read_until_the_end()
        if self._token.done():
            self._on_lost(lost)
        else:
            self._token.set_exception(lost)

    def _read_until_the_end(self) -> ConnectionLost:
        goodbye = ""
        try:
            token = metadata_value(self._stream.initial_metadata(), SESSION)
            if token is not None:
                self._token.set_result(token)
            for proto in self._stream:
                message = self._on_message(proto)
                if isinstance(message, Goodbye):
                    goodbye = message.reason
            return ConnectionLost(goodbye or self._reason or CLOSED)
        except grpc.RpcError as error:
            return self._reason_of(error)
        except ProtocolError as error:
            self._stream.cancel()
            return ConnectionLost(f"the server sent nonsense: {error}")

    def _reason_of(self, error: grpc.RpcError) -> ConnectionLost:
        if self._reason:
            return ConnectionLost(self._reason)
        return lost_by(error, partial(connect_error, self._address) if not self._token.done() else broken)


class UnaryTransport:
    """A blocking connection on which each verb is a call of its own, beside the stream of events. A `Dial`."""

    def __init__(self, address: Address, on_event: OnEvent):
        self._on_event = on_event
        self._lost: ConnectionLost | None = None
        self._events = 0
        self._counted = threading.Condition()  # guards `_events` and `_lost`
        self._posted: set[grpc.Future] = set()
        self._session = SessionStream(address, lambda stub: stub.Events(pb.Subscribe()), self._receive, self._end)
        self._calls: dict[type[Request], Any] = {
            request: getattr(self._session.stub, request.__name__) for request in REQUESTS
        }
        self._metadata = ((SESSION, self._session.token),)

    def exchange(self, request: Request, timeout_s: float) -> Reply:
        """As `Transport.exchange`."""
        if type(request) in NOT_TO_OVERTAKE:
            self.drain(CLOSE_TIMEOUT_S)
        if self._lost is not None:
            raise again(self._lost)
        try:
            proto, call = self._calls[type(request)].with_call(
                fitting(to_proto(request)), deadline_s(timeout_s), self._metadata
            )
            if type(request) in AFTER_EVENTS:
                self._wait_for_events(int(metadata_value(call.trailing_metadata(), EVENTS_BEFORE) or 0))
            reply: Reply = from_proto(proto)
            return reply
        except grpc.RpcError as error:
            refused = refusal_of(error, timeout_s)
            if refused is not None:
                return refused
            raise self._broken(broken(error.details())) from error
        except ValueError as error:  # the channel was closed just now
            raise self._broken(CLOSED) from error

    def post(self, request: Request, on_reply: Callable[[Reply], None]) -> bool:
        """As `Transport.post`."""
        try:
            call = self._calls[type(request)].future(to_proto(request), deadline_s(ANSWER_TIMEOUT_S), self._metadata)
        except ValueError:
            return False  # the channel is closed
        self._posted.add(call)
        call.add_done_callback(partial(self._settle_posted, on_reply))
        return True

    def drain(self, timeout_s: float) -> None:
        """As `Transport.drain`."""
        for call in list(self._posted):
            try:
                call.exception(timeout_s)
            except grpc.FutureCancelledError:
                pass  # the connection has ended: what was not acknowledged comes again
            except grpc.FutureTimeoutError:
                return

    def close(self) -> None:
        """Ask for the end, so that all that was asked is carried out, and return when the server has ended it."""
        self.drain(CLOSE_TIMEOUT_S)
        if self._lost is None:
            try:
                self._session.stub.End(pb.Unsubscribe(), CLOSE_TIMEOUT_S, self._metadata)
            except (grpc.RpcError, ValueError):
                pass  # it has ended already
        self._session.join(CLOSE_TIMEOUT_S)
        self._session.abort()

    def abort(self, reason: str = "") -> None:
        """As `Transport.abort`."""
        self._session.abort(reason)

    def _receive(self, proto: pb.Event) -> Event:
        event = from_event(proto)
        self._on_event(event)
        with self._counted:
            self._events += 1
            self._counted.notify_all()
        return event

    def _end(self, lost: ConnectionLost) -> None:
        self._on_event(lost)
        with self._counted:
            self._lost = lost
            self._counted.notify_all()

    def _settle_posted(self, on_reply: Callable[[Reply], None], call: grpc.Future) -> None:
        if call.code() is grpc.StatusCode.OK:
            on_reply(from_proto(call.result()))
        self._posted.discard(call)

    def _wait_for_events(self, count: int) -> None:
        with self._counted:
            self._counted.wait_for(lambda: self._events >= count or self._lost is not None, CLOSE_TIMEOUT_S)

    def _broken(self, reason: str) -> ConnectionLost:
        """End a connection on which a call has failed; the reason is the server's, where it gave one."""
        self._session.join(LAST_WORDS_S)
        self._session.abort(reason)
        return again(self._lost or ConnectionLost(reason))


class StreamTransport:
    """A blocking connection with one stream for everything; a tag finds each reply's request. A `Dial`."""

    def __init__(self, address: Address, on_event: OnEvent):
        self._on_event = on_event
        self._pending = PendingReplies()
        self._requests: queue.SimpleQueue[pb.StreamRequest | None] = queue.SimpleQueue()
        self._session = SessionStream(address, self._open, self._receive, self._end)

    def exchange(self, request: Request, timeout_s: float) -> Reply:
        """As `Transport.exchange`."""
        return self._pending.exchange(
            lambda tag, deadline: self._requests.put(fitting(to_stream_request(tag, request))), timeout_s
        )

    def post(self, request: Request, on_reply: Callable[[Reply], None]) -> bool:
        """As `Transport.post`."""

        def send(tag: int) -> bool:
            self._requests.put(to_stream_request(tag, request))
            return True

        return self._pending.post(send, on_reply)

    def drain(self, timeout_s: float) -> None:
        """As `Transport.drain`."""
        self._pending.drain(timeout_s)

    def close(self) -> None:
        """Half-close, so that all that was asked is carried out, and return when the server has ended it."""
        self._requests.put(None)
        self._session.join(CLOSE_TIMEOUT_S)
        self._session.abort()

    def abort(self, reason: str = "") -> None:
        """As `Transport.abort`."""
        self._session.abort(reason)

    def _open(self, stub: ChatStub) -> Any:
        stream = stub.Stream(iter(self._requests.get, None))
        stream.add_callback(partial(self._requests.put, None))  # or gRPC's thread would wait for requests for ever
        return stream

    def _receive(self, proto: pb.StreamResponse) -> Reply | Event:
        tag, message = from_stream_response(proto)
        if isinstance(message, Reply):
            self._pending.settle(tag, message)
        else:
            self._on_event(message)
        return message

    def _end(self, lost: ConnectionLost) -> None:
        self._on_event(lost)
        self._pending.fail(lost)


# ---- in an event loop -------------------------------------------------------------------------------------------


class AsyncSessionStream:
    """As `SessionStream`, with a task that reads the stream."""

    def __init__(self, address: Address, on_message: OnMessage, on_lost: OnLost):
        self._address, self._on_message, self._on_lost = address, on_message, on_lost
        self._reason = ""
        install_log_filter()
        self._channel = grpc.aio.insecure_channel(format_address(address), CLIENT_OPTIONS)
        self.stub = ChatStub(self._channel)
        self._token: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def open(self, stream: Any) -> str:
        """Read this stream of the stub's from now on; the session's token. Raises `ConnectionLost`."""
        self._stream = stream
        self._reader = asyncio.ensure_future(self._read())
        try:
            async with asyncio.timeout(DIAL_TIMEOUT_S):
                return await self._token
        except TimeoutError as error:
            await self.abort()
            raise ConnectionLost(connect_error(self._address, f"no answer within {DIAL_TIMEOUT_S:g} s")) from error
        except BaseException:
            await self.abort()
            raise

    async def join(self, timeout_s: float) -> None:
        """Return when the stream has ended, or after so many seconds."""
        await asyncio.wait([self._reader], timeout=timeout_s)

    async def abort(self, reason: str = "") -> None:
        """End the stream, and all calls on its channel."""
        self._reason = self._reason or reason or CLOSED
        await self._channel.close()
        await self.join(CLOSE_TIMEOUT_S)

    async def _read(self) -> None:
        lost = await self._read_until_the_end()
        if not self._token.done():
            self._token.set_exception(lost)
        else:
            self._on_lost(lost)

    async def _read_until_the_end(self) -> ConnectionLost:
        goodbye = ""
        try:
            token = metadata_value(await self._stream.initial_metadata(), SESSION)
            if token is not None:
                self._token.set_result(token)
            async for proto in self._stream:
                message = self._on_message(proto)
                if isinstance(message, Goodbye):
                    goodbye = message.reason
            return ConnectionLost(goodbye or self._reason or CLOSED)
        except grpc.RpcError as error:
            if self._reason:
                return ConnectionLost(self._reason)
            return lost_by(error, partial(connect_error, self._address) if not self._token.done() else broken)
        except ProtocolError as error:
            self._stream.cancel()
            return ConnectionLost(f"the server sent nonsense: {error}")
        except asyncio.CancelledError:  # gRPC says so where the channel was closed
            return ConnectionLost(self._reason or CLOSED)


class AsyncUnaryTransport:
    """A connection in an event loop, on which each verb is a call of its own, beside the stream of events."""

    def __init__(self, address: Address, on_event: OnEvent):
        self._on_event = on_event
        self._lost: ConnectionLost | None = None
        self._events = 0
        self._counted = asyncio.Event()  # set when `_events` or `_lost` changes
        self._posted: set[asyncio.Future[None]] = set()
        self._session = AsyncSessionStream(address, self._receive, self._end)
        self._calls: dict[type[Request], Any] = {
            request: getattr(self._session.stub, request.__name__) for request in REQUESTS
        }
        self._metadata: tuple[tuple[str, str], ...] = ()

    @classmethod
    async def dial(cls, address: Address, on_event: OnEvent) -> "AsyncUnaryTransport":
        """An `AsyncDial`."""
        transport = cls(address, on_event)
        session = transport._session
        transport._metadata = ((SESSION, await session.open(session.stub.Events(pb.Subscribe()))),)
        return transport

    async def exchange(self, request: Request, timeout_s: float) -> Reply:
        """As `Transport.exchange`."""
        if type(request) in NOT_TO_OVERTAKE:
            await self.drain(CLOSE_TIMEOUT_S)
        if self._lost is not None:
            raise again(self._lost)
        try:
            call = self._calls[type(request)](
                fitting(to_proto(request)), timeout=deadline_s(timeout_s), metadata=self._metadata
            )
            proto = await call
            if type(request) in AFTER_EVENTS:
                await self._wait_for_events(int(metadata_value(await call.trailing_metadata(), EVENTS_BEFORE) or 0))
            reply: Reply = from_proto(proto)
            return reply
        except grpc.RpcError as error:
            refused = refusal_of(error, timeout_s)
            if refused is not None:
                return refused
            raise await self._broken(broken(error.details())) from error
        except grpc.aio.UsageError as error:  # the channel was closed just now
            raise await self._broken(CLOSED) from error
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise await self._broken(CLOSED) from error  # gRPC says so by a cancelled call

    def post(self, request: Request, on_reply: Callable[[Reply], None]) -> bool:
        """As `Transport.post`."""
        try:
            call = self._calls[type(request)](
                to_proto(request), timeout=deadline_s(ANSWER_TIMEOUT_S), metadata=self._metadata
            )
        except grpc.aio.UsageError:
            return False  # the channel is closed
        answered = asyncio.ensure_future(_answer(call, on_reply))
        self._posted.add(answered)
        answered.add_done_callback(self._posted.discard)
        return True

    async def drain(self, timeout_s: float) -> None:
        """As `Transport.drain`."""
        if self._posted:
            await asyncio.wait(self._posted, timeout=timeout_s)

    async def close(self) -> None:
        """Ask for the end, so that all that was asked is carried out, and return when the server has ended it."""
        await self.drain(CLOSE_TIMEOUT_S)
        if self._lost is None:
            try:
                await self._session.stub.End(pb.Unsubscribe(), timeout=CLOSE_TIMEOUT_S, metadata=self._metadata)
            except (grpc.RpcError, grpc.aio.UsageError):
                pass  # it has ended already
        await self._session.join(CLOSE_TIMEOUT_S)
        await self._session.abort()

    async def abort(self, reason: str = "") -> None:
        """As `Transport.abort`."""
        await self._session.abort(reason)

    def _receive(self, proto: pb.Event) -> Event:
        event = from_event(proto)
        self._on_event(event)
        self._events += 1
        self._counted.set()
        return event

    def _end(self, lost: ConnectionLost) -> None:
        self._on_event(lost)
        self._lost = lost
        self._counted.set()

    async def _wait_for_events(self, count: int) -> None:
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                while self._events < count and self._lost is None:
                    self._counted.clear()
                    await self._counted.wait()
        except TimeoutError:
            pass

    async def _broken(self, reason: str) -> ConnectionLost:
        """End a connection on which a call has failed; the reason is the server's, where it gave one."""
        await self._session.join(LAST_WORDS_S)
        await self._session.abort(reason)
        return again(self._lost or ConnectionLost(reason))


class AsyncStreamTransport:
    """A connection in an event loop, with one stream for everything; a tag finds each reply's request."""

    def __init__(self, address: Address, on_event: OnEvent):
        self._on_event = on_event
        self._pending = AsyncPendingReplies()
        self._requests: asyncio.Queue[pb.StreamRequest | None] = asyncio.Queue()
        self._session = AsyncSessionStream(address, self._receive, self._end)

    @classmethod
    async def dial(cls, address: Address, on_event: OnEvent) -> "AsyncStreamTransport":
        """An `AsyncDial`."""
        transport = cls(address, on_event)
        await transport._session.open(transport._session.stub.Stream(_until_none(transport._requests)))
        return transport

    async def exchange(self, request: Request, timeout_s: float) -> Reply:
        """As `Transport.exchange`."""

        async def send(tag: int) -> None:
            self._requests.put_nowait(fitting(to_stream_request(tag, request)))

        return await self._pending.exchange(send, timeout_s)

    def post(self, request: Request, on_reply: Callable[[Reply], None]) -> bool:
        """As `Transport.post`."""

        def send(tag: int) -> bool:
            self._requests.put_nowait(to_stream_request(tag, request))
            return True

        return self._pending.post(send, on_reply)

    async def drain(self, timeout_s: float) -> None:
        """As `Transport.drain`."""
        await self._pending.drain(timeout_s)

    async def close(self) -> None:
        """Half-close, so that all that was asked is carried out, and return when the server has ended it."""
        self._requests.put_nowait(None)
        await self._session.join(CLOSE_TIMEOUT_S)
        await self._session.abort()

    async def abort(self, reason: str = "") -> None:
        """As `Transport.abort`."""
        await self._session.abort(reason)

    def _receive(self, proto: pb.StreamResponse) -> Reply | Event:
        tag, message = from_stream_response(proto)
        if isinstance(message, Reply):
            self._pending.settle(tag, message)
        else:
            self._on_event(message)
        return message

    def _end(self, lost: ConnectionLost) -> None:
        self._on_event(lost)
        self._pending.fail(lost)


async def _answer(call: Any, on_reply: Callable[[Reply], None]) -> None:
    try:
        reply = from_proto(await call)
    except (grpc.RpcError, asyncio.CancelledError):
        return  # what was not acknowledged comes again
    on_reply(reply)


async def _until_none(requests: "asyncio.Queue[pb.StreamRequest | None]") -> AsyncIterator[pb.StreamRequest]:
    while (request := await requests.get()) is not None:
        yield request


# ---- what all of them do the same way ---------------------------------------------------------------------------

CLOSED = "the connection is closed"


def deadline_s(timeout_s: float) -> float:
    """How long a call may take. Its header says what is left of that, rounded up to 100 ms: of a full 30 s that is now
    30S and now 30100m, as a fraction of a millisecond has passed, and the bytes of a call could not be counted.
    """
    return 0.999 * timeout_s


def fitting(proto: Proto) -> Proto:
    """The message, if it fits a frame; else `ChatError`: a server would tell only when it has all, and end a stream."""
    if proto.ByteSize() > MAX_FRAME:
        raise ChatError("FRAME_TOO_LONG", size_error(proto, MAX_FRAME))
    return proto


def refused_by(error: grpc.RpcError) -> Refused | None:
    """The refusal that a status carries: the server's own, or one of gRPC's limits; None where it failed."""
    code, text = metadata_value(error.trailing_metadata(), CODE), error.details() or ""
    if code is None and error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
        code = "FRAME_TOO_LONG" if "larger than max" in text else "SERVER_FULL"
    return Refused(code, text) if code else None


def refusal_of(error: grpc.RpcError, timeout_s: float) -> Refused | None:
    """How a call was refused; None where it failed because the connection has ended.

    Raises `ConnectionLost` where it failed and the connection lives.
    """
    refused = refused_by(error)
    if refused is not None:
        return refused if refused.code != "NO_SESSION" else None
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        raise ConnectionLost(timeout_error(timeout_s)) from error
    if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
        raise lost_by(error, broken) from error
    return None


def lost_by(error: grpc.RpcError, explain: Callable[[str], str]) -> ConnectionLost:
    """A status as the reason for a lost connection: the server's own words, or gRPC's, explained."""
    refused = refused_by(error)
    return ConnectionLost(f"{refused.code}: {refused.text}" if refused else explain(error.details()))


def broken(why: str) -> str:
    """What is said where a connection broke."""
    return f"the connection broke: {why}"
