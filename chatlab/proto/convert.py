"""One table that takes every message across: from a value of messages.py to its namesake in chat.proto, and back.

The table is made by looking at the values' fields, so nothing is listed here that could be forgotten there. It knows
neither gRPC nor frames: `grpc_impl` hands what it makes to gRPC, the codec `protobuf` puts the same into our frames.

>>> to_stream_request(7, messages.Send("bob", "hi")).SerializeToString()
b'\\x08\\x07B\\t\\n\\x03bob\\x12\\x02hi'
>>> from_stream_request(to_stream_request(7, messages.Send("bob", "hi")))
(7, Send(to='bob', text='hi', request_id=''))
"""

import re
from collections.abc import Callable
from operator import attrgetter
from typing import Any

from google.protobuf.message import Message as Proto
from msgspec import NODEFAULT
from msgspec.structs import FieldInfo, fields

from .. import messages
from ..messages import EVENTS, REPLIES, REQUESTS, Event, Message, ProtocolError, Reply, Request, shorten
from . import chat_pb2 as pb


def to_proto(message: Message) -> Proto:
    """Its namesake, holding the same."""
    row = _BY_MESSAGE[type(message)]
    proto = row.proto()
    row.fill(proto, message)
    return proto


def from_proto(proto: Proto) -> Any:
    """The value that a protobuf message of the same name holds."""
    return _BY_PROTO[type(proto)].read(proto)


def to_stream_request(tag: int | None, request: Request) -> pb.StreamRequest:
    """What a client sends on the stream: the request with its tag."""
    return _wrapped(pb.StreamRequest(tag=tag or 0), request)


def from_stream_request(request: pb.StreamRequest) -> tuple[int | None, Request]:
    """The tag and the request. Raises `ProtocolError`, never a fatal one."""
    return _tag(request), _unwrapped(request, "request")


def to_stream_response(tag: int | None, message: Reply | Event) -> pb.StreamResponse:
    """What a server sends on the stream: a reply with its request's tag, or an event."""
    return _wrapped(pb.StreamResponse(tag=tag or 0), message)


def from_stream_response(response: pb.StreamResponse) -> tuple[int | None, Reply | Event]:
    """The tag and the reply or event. Raises `ProtocolError`, never a fatal one."""
    return _tag(response), _unwrapped(response, "message")


def to_event(event: Event) -> pb.Event:
    """What a server sends on the Events stream."""
    return _wrapped(pb.Event(), event)


def from_event(event: pb.Event) -> Event:
    """The event. Raises `ProtocolError` for one that is not in our chat.proto."""
    return _unwrapped(event, "event")


def _wrapped(wrapper: Proto, message: Message) -> Proto:
    row = _BY_MESSAGE[type(message)]
    proto = getattr(wrapper, row.word)
    proto.SetInParent()  # or a message whose fields are all left out would be left out itself
    row.fill(proto, message)
    return wrapper


def _unwrapped(wrapper: Proto, oneof: str) -> Any:
    word = wrapper.WhichOneof(oneof)
    if word is None:
        what = f"{type(wrapper).__name__} of {wrapper.ByteSize()} bytes"
        tag = getattr(wrapper, "tag", 0) or None
        raise ProtocolError(f"the {what} says nothing that is in chat.proto", tag, fatal=False)
    return _BY_WORD[word].read(getattr(wrapper, word))


def _tag(wrapper: pb.StreamRequest | pb.StreamResponse) -> int | None:
    tag = wrapper.tag
    if tag < 0:
        raise ProtocolError(f"a tag is from 1 to {2**63 - 1}, not {shorten(tag)}", fatal=False)
    return tag or None


class _Row:
    """How one type of message goes across."""

    __slots__ = ("message", "proto", "word", "_left_out", "read")

    def __init__(self, message: type[Message]):
        self.message = message
        self.proto = getattr(pb, message.__name__)
        self.word = re.sub(r"\B([A-Z])", r"_\1", message.__name__).lower()
        self._left_out = [(field.name, _default(field)) for field in fields(message)]
        self.read = _reader(message)

    def fill(self, proto: Proto, message: Message) -> None:
        for name, default in self._left_out:
            value = getattr(message, name)
            if value == default:
                continue
            if type(value) is not tuple:
                setattr(proto, name, value)
            elif isinstance(value[0], Message):
                getattr(proto, name).extend(map(to_proto, value))
            else:
                getattr(proto, name).extend(value)


def _reader(message: type[Message]) -> Callable[[Proto], Message]:
    read = [_field_reader(field) for field in fields(message)]
    if not read:
        nothing_in_it = message()
        return lambda proto: nothing_in_it
    if len(read) > 1 and all(isinstance(get, attrgetter) for get in read):
        get_all = attrgetter(*message.__struct_fields__)  # three times as fast as one by one
        return lambda proto: message(*get_all(proto))
    return lambda proto: message(*[get(proto) for get in read])


def _field_reader(field: FieldInfo) -> Callable[[Proto], object]:
    name, default = field.name, _default(field)
    if field.type == tuple[messages.Arrived, ...]:
        return lambda proto: tuple(map(from_proto, getattr(proto, name)))
    if default == ():
        return lambda proto: tuple(getattr(proto, name))
    if default:  # not what protobuf assumes, so the field is `optional`
        return lambda proto: getattr(proto, name) if proto.HasField(name) else default
    return attrgetter(name)


def _default(field: FieldInfo):
    """The value that is left out: the field's default, or the zero that protobuf assumes."""
    if field.default is not NODEFAULT:
        return field.default
    return {str: "", int: 0, bool: False}.get(field.type, ())


_BY_MESSAGE: dict[type[Message], _Row] = {message: _Row(message) for message in REQUESTS + REPLIES + EVENTS}
_BY_PROTO = {row.proto: row for row in _BY_MESSAGE.values()}
_BY_WORD = {row.word: row for row in _BY_MESSAGE.values()}
