"""Clients of a gRPC server, blocking and async: one call per verb, or everything over one stream."""

import asyncio
import itertools
import queue
import threading
from concurrent import futures
from functools import partial

import grpc
from google.protobuf.message import Message as Proto

from ..messages import REQUESTS, ChatError, ConnectionLost, Event, Goodbye, ProtocolError, Refused, Reply, Request
from ..proto import chat_pb2 as pb
from ..proto.chat_pb2_grpc import ChatStub
from ..proto.convert import from_event, from_proto, from_told, to_ask, to_proto
from .client import AsyncClient, Client, nobody_at, unanswered
from .event_loop import start_thread
from .grpc_common import (
    _AFTER_EVENTS,
    _CLIENT_OPTIONS,
    _MAX_FRAME,
    _NOT_TO_OVERTAKE,
    CODE,
    EVENTS_BEFORE,
    SESSION,
    _over,
    _target,
    _value,
)
from .interface import Address

DIAL_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 2.0


class GrpcClient(Client):
    """A blocking client: every verb is a call of its own, and a reader thread listens to the event stream."""

    def __init__(self, protocol: str, address: Address):
        super().__init__(protocol)
        self.address = address
        self._channel: grpc.Channel | None = None
        self._connect()

    def _connect(self) -> None:
        if self._channel is not None:
            self._cut()
        self._channel = grpc.insecure_channel(_target(self.address), _CLIENT_OPTIONS)
        self._stream = self._open(ChatStub(self._channel))
        self._opened: futures.Future[str] = futures.Future()
        self._reader = start_thread(self._read, "chatlab-client")
        try:
            self._session = ((SESSION, self._opened.result(DIAL_TIMEOUT_S)),)
        except TimeoutError as error:
            self._cut()
            raise ConnectionLost(f"{nobody_at(self.address)} within {DIAL_TIMEOUT_S:g} s") from error
        except BaseException:
            self._cut()
            raise

    def _open(self, stub: ChatStub):
        self._verbs = {request: getattr(stub, request.__name__) for request in REQUESTS}
        self._over = stub.End
        self._told: set[grpc.Future] = set()
        self._events_heard = 0
        self._hearing = threading.Condition()  # guards `_events_heard`
        return stub.Events(pb.Subscribe())

    def _exchange(self, request: Request) -> Reply:
        if type(request) in _NOT_TO_OVERTAKE:
            self._wait_for_told()
        if self._lost is not None:
            raise self._lost
        try:
            verb = self._verbs[type(request)].with_call
            proto, call = verb(_fitting(to_proto(request)), _deadline_s(self), self._session)
            if type(request) in _AFTER_EVENTS:
                self._wait_for_events(int(_value(call.trailing_metadata(), EVENTS_BEFORE) or 0))
            return from_proto(proto)
        except grpc.RpcError as error:
            return _refusal(error, self)
        except ValueError as error:  # somebody closed it just now
            raise self._lost or ConnectionLost("the connection is over") from error

    def _tell(self, request: Request) -> None:
        try:
            told = self._verbs[type(request)].future(to_proto(request), _deadline_s(self), self._session)
        except ValueError as error:
            raise self._lost or ConnectionLost("the connection is over") from error
        self._told.add(told)
        told.add_done_callback(self._told.discard)

    def _wait_for_told(self) -> None:
        for told in list(self._told):
            try:
                told.exception(CLOSE_TIMEOUT_S)
            except grpc.FutureCancelledError:
                pass  # not acknowledged, so it will come again
            except grpc.FutureTimeoutError:
                return

    def _wait_for_events(self, count: int) -> None:
        with self._hearing:
            self._hearing.wait_for(lambda: self._events_heard >= count or self._lost is not None, CLOSE_TIMEOUT_S)

    def _read(self) -> None:
        stream, opened = self._stream, self._opened
        goodbye = ""
        try:
            token = _value(stream.initial_metadata(), SESSION)
            if token is not None:
                opened.set_result(token)
            for proto in stream:
                message = self._hear(proto)
                if isinstance(message, Goodbye):
                    goodbye = message.reason
            lost = ConnectionLost(goodbye or "the connection is over")
        except grpc.RpcError as error:
            lost = _lost_by(error, "the connection broke" if opened.done() else nobody_at(self.address))
        except ProtocolError as error:
            stream.cancel()
            lost = ConnectionLost(f"the server sent nonsense: {error}")
        if opened.done():
            self._fail(lost)
        else:
            opened.set_exception(lost)

    def _hear(self, proto: pb.Event) -> Event:
        event = from_event(proto)
        self._arrive(event)
        with self._hearing:
            self._events_heard += 1
            self._hearing.notify_all()
        return event

    def _fail(self, lost: ConnectionLost) -> None:
        with self._hearing:
            self._end(lost)
            self._hearing.notify_all()

    def _cut(self) -> None:
        self._channel.close()

    def close(self) -> None:
        """Ask for the end, so that all that was asked is carried out, and return when the server has ended it."""
        self._wait_for_told()
        if self._lost is None:
            try:
                self._over(pb.Unsubscribe(), CLOSE_TIMEOUT_S, self._session)
            except (grpc.RpcError, ValueError):
                pass  # it was over already
        self._reader.join(CLOSE_TIMEOUT_S)
        self._cut()


class GrpcStreamClient(GrpcClient):
    """A blocking client with one stream for everything: the reader finds an answer's owner by its tag."""

    def _open(self, stub: ChatStub):
        self._tags = itertools.count(1)
        self._asks: queue.SimpleQueue[pb.Ask | None] = queue.SimpleQueue()
        self._waiting: dict[int, queue.SimpleQueue[Reply | Exception]] = {}
        stream = stub.Stream(iter(self._asks.get, None))
        stream.add_callback(partial(self._asks.put, None))  # or gRPC's thread would wait for asks for ever
        return stream

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
        self._asks.put(_fitting(to_ask(tag, request)))

    def _hear(self, proto: pb.Told) -> Reply | Event:
        tag, message = from_told(proto)
        if isinstance(message, Reply):
            self._settle(tag, message)
        else:
            self._arrive(message)
        return message

    def _settle(self, tag: int | None, reply: Reply) -> None:
        answer = self._waiting.get(tag)
        if answer is not None:
            answer.put(reply)

    def _fail(self, lost: ConnectionLost) -> None:
        waiting = self._waiting  # of this connection: once it is known to be lost, there may be another
        self._end(lost)
        for answer in list(waiting.values()):
            answer.put(lost)

    def close(self) -> None:
        """Half-close, so that all that was asked is carried out, and return when the server has ended it."""
        self._asks.put(None)
        self._reader.join(CLOSE_TIMEOUT_S)
        self._cut()


class AsyncGrpcClient(AsyncClient):
    """The first of them in an event loop: every verb is a call, and a reader task listens to the event stream."""

    def __init__(self, protocol: str, address: Address):
        super().__init__(protocol)
        self.address = address
        self._channel: grpc.aio.Channel | None = None

    async def _connect(self) -> None:
        if self._channel is not None:
            await self._cut()
        self._channel = grpc.aio.insecure_channel(_target(self.address), _CLIENT_OPTIONS)
        self._stream = self._open(ChatStub(self._channel))
        self._opened: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._reader = asyncio.ensure_future(self._read())
        try:
            async with asyncio.timeout(DIAL_TIMEOUT_S):
                self._session = ((SESSION, await self._opened),)
        except TimeoutError as error:
            await self._cut()
            raise ConnectionLost(f"{nobody_at(self.address)} within {DIAL_TIMEOUT_S:g} s") from error
        except BaseException:
            await self._cut()
            raise

    def _open(self, stub: ChatStub):
        self._verbs = {request: getattr(stub, request.__name__) for request in REQUESTS}
        self._over = stub.End
        self._told: set[grpc.aio.UnaryUnaryCall] = set()
        self._events_heard = 0
        self._hearing = asyncio.Event()
        return stub.Events(pb.Subscribe())

    async def _exchange(self, request: Request) -> Reply:
        if type(request) in _NOT_TO_OVERTAKE:
            await self._wait_for_told()
        if self._lost is not None:
            raise self._lost
        try:
            verb = self._verbs[type(request)]
            call = verb(_fitting(to_proto(request)), timeout=_deadline_s(self), metadata=self._session)
            proto = await call
            if type(request) in _AFTER_EVENTS:
                await self._wait_for_events(int(_value(await call.trailing_metadata(), EVENTS_BEFORE) or 0))
            return from_proto(proto)
        except grpc.RpcError as error:
            return _refusal(error, self)
        except grpc.aio.UsageError as error:  # somebody closed it just now
            raise self._lost or ConnectionLost("the connection is over") from error
        except asyncio.CancelledError as error:
            if asyncio.current_task().cancelling():
                raise
            raise self._lost or ConnectionLost("the connection is over") from error  # gRPC says so by a cancelled call

    async def _tell(self, request: Request) -> None:
        try:
            told = self._verbs[type(request)](to_proto(request), timeout=_deadline_s(self), metadata=self._session)
        except grpc.aio.UsageError as error:
            raise self._lost or ConnectionLost("the connection is over") from error
        self._told.add(told)
        told.add_done_callback(self._told.discard)

    async def _wait_for_told(self) -> None:
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                for told in list(self._told):
                    await told.code()  # whatever it is: what was not acknowledged will come again
        except TimeoutError:
            pass

    async def _wait_for_events(self, count: int) -> None:
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                while self._events_heard < count and self._lost is None:
                    self._hearing.clear()
                    await self._hearing.wait()
        except TimeoutError:
            pass

    async def _read(self) -> None:
        stream, opened = self._stream, self._opened
        goodbye = ""
        try:
            token = _value(await stream.initial_metadata(), SESSION)
            if token is not None:
                opened.set_result(token)
            async for proto in stream:
                message = self._hear(proto)
                if isinstance(message, Goodbye):
                    goodbye = message.reason
            lost = ConnectionLost(goodbye or "the connection is over")
        except grpc.RpcError as error:
            lost = _lost_by(error, "the connection broke" if opened.done() else nobody_at(self.address))
        except ProtocolError as error:
            stream.cancel()
            lost = ConnectionLost(f"the server sent nonsense: {error}")
        except asyncio.CancelledError:
            lost = ConnectionLost("the connection is over")
        if opened.done():
            self._fail(lost)
        else:
            opened.set_exception(lost)

    def _hear(self, proto: pb.Event) -> Event:
        event = from_event(proto)
        self._arrive(event)
        self._events_heard += 1
        self._hearing.set()
        return event

    def _fail(self, lost: ConnectionLost) -> None:
        self._end(lost)
        self._hearing.set()

    async def _cut(self) -> None:
        await self._channel.close()

    async def close(self) -> None:
        """Ask for the end, so that all that was asked is carried out, and return when the server has ended it."""
        await self._wait_for_told()
        if self._lost is None:
            try:
                await self._over(pb.Unsubscribe(), timeout=CLOSE_TIMEOUT_S, metadata=self._session)
            except (grpc.RpcError, grpc.aio.UsageError):
                pass  # it was over already
        await asyncio.wait([self._reader], timeout=CLOSE_TIMEOUT_S)
        await self._cut()


class AsyncGrpcStreamClient(AsyncGrpcClient):
    """The second of them in an event loop: the reader task finds an answer's owner by its tag."""

    def _open(self, stub: ChatStub):
        self._tags = itertools.count(1)
        self._asks: asyncio.Queue[pb.Ask | None] = asyncio.Queue()
        self._waiting: dict[int, asyncio.Future[Reply]] = {}
        return stub.Stream(_until_none(self._asks))

    async def _exchange(self, request: Request) -> Reply:
        tag = next(self._tags)
        answer = self._waiting[tag] = asyncio.get_running_loop().create_future()
        try:
            self._write(tag, request)
            async with asyncio.timeout(self.answer_timeout_s):
                return await answer
        except TimeoutError:
            raise ConnectionLost(unanswered(self)) from None
        finally:
            self._waiting.pop(tag, None)

    async def _tell(self, request: Request) -> None:
        self._write(next(self._tags), request)

    def _write(self, tag: int, request: Request) -> None:
        if self._lost is not None:
            raise self._lost
        self._asks.put_nowait(_fitting(to_ask(tag, request)))

    def _hear(self, proto: pb.Told) -> Reply | Event:
        tag, message = from_told(proto)
        if isinstance(message, Reply):
            self._settle(tag, message)
        else:
            self._arrive(message)
        return message

    def _settle(self, tag: int | None, reply: Reply) -> None:
        answer = self._waiting.get(tag)
        if answer is not None and not answer.done():
            answer.set_result(reply)

    def _fail(self, lost: ConnectionLost) -> None:
        self._end(lost)
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(lost)

    async def close(self) -> None:
        """Half-close, so that all that was asked is carried out, and return when the server has ended it."""
        self._asks.put_nowait(None)
        await asyncio.wait([self._reader], timeout=CLOSE_TIMEOUT_S)
        await self._cut()


# ---- what all clients do the same way ---------------------------------------------------------------------------


async def _until_none(asks: asyncio.Queue):
    while (ask := await asks.get()) is not None:
        yield ask


def _deadline_s(client) -> float:
    """How long a call may take. Its header says what is left of that, rounded up to 100 ms: of a full 30 s that is now
    30S and now 30100m, as a fraction of a millisecond has passed, and the bytes of a call could not be counted.
    """
    return 0.999 * client.answer_timeout_s


def _fitting(proto: Proto) -> Proto:
    if proto.ByteSize() > _MAX_FRAME:  # a server would not tell before it has all of it, and would end a stream
        raise ChatError("FRAME_TOO_LONG", _over(proto, _MAX_FRAME))
    return proto


def _refused(error: grpc.RpcError) -> Refused | None:
    """The refusal that a status carries: the server's own, or one of gRPC's limits. None says that nobody knows."""
    code, text = _value(error.trailing_metadata(), CODE), error.details() or ""
    if code is None and error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
        code = "FRAME_TOO_LONG" if "larger than max" in text else "SERVER_FULL"
    return Refused(code, text) if code else None


def _refusal(error: grpc.RpcError, client: GrpcClient | AsyncGrpcClient) -> Refused:
    """How a call was refused. Raises `ConnectionLost` where it was not, but failed."""
    refused = _refused(error)
    if refused is not None and refused.code != "NO_SESSION":
        return refused
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        raise ConnectionLost(unanswered(client)) from error
    raise client._lost or _lost_by(error, "the connection broke") from error


def _lost_by(error: grpc.RpcError, what: str) -> ConnectionLost:
    refused = _refused(error)
    return ConnectionLost(f"{refused.code}: {refused.text}" if refused else f"{what}: {error.details()}")
