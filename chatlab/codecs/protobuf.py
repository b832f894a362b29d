r"""Protobuf in frames of our own: what gRPC sends, without HTTP/2.

    00 00 00 00 0d  08 07 42 09 0a 03 62 6f 62 12 02 68 69      Send("bob", "hi") with the tag 7

A frame is what gRPC calls a length-prefixed message: one byte, four bytes of length (big-endian), and a message of
`chat.proto`: a `StreamRequest` from a client, a `StreamResponse` from a server. In gRPC the first byte says whether the
message is compressed; here it tells which of the two follows. So the difference between this and `"grpc-stream"` is
HTTP/2, to the byte.
"""

from struct import Struct
from typing import cast

from google.protobuf.message import DecodeError

from ..messages import Event, Message, ProtocolError, Reply, Request
from ..proto import chat_pb2, convert
from ..proto import spans as proto_spans
from .interface import Span, Tagged

PREFIX = Struct(">BI")
REQUEST, RESPONSE = 0, 1


class ProtobufCodec:
    r"""gRPC's length-prefixed messages.

    >>> from chatlab.messages import Ping
    >>> ProtobufCodec().encode(7, Ping()).hex(" ")
    '00 00 00 00 04 08 07 7a 00'
    """

    name = "protobuf"
    preface = b"CLP\x01"  # the protocol and its version

    def encode(self, tag: int | None, message: Message) -> bytes:
        if isinstance(message, Request):
            which, wrapped = REQUEST, convert.to_stream_request(tag, message)
        else:
            which, wrapped = RESPONSE, convert.to_stream_response(tag, cast(Reply | Event, message))
        body: bytes = wrapped.SerializeToString()
        return PREFIX.pack(which, len(body)) + body

    def frame_end(self, buffer: bytes | bytearray, start: int, searched: int) -> int:
        if len(buffer) - start < PREFIX.size:
            return 0
        which, size = PREFIX.unpack_from(buffer, start)
        if which not in (REQUEST, RESPONSE):
            raise ProtocolError(f"a frame begins with 0 (a request) or 1 (a response), not with {which}")
        return start + PREFIX.size + int(size)

    def decode(self, frame: bytes) -> Tagged:
        try:
            if frame[:1] == b"\0":
                return convert.from_stream_request(chat_pb2.StreamRequest.FromString(frame[PREFIX.size :]))
            return convert.from_stream_response(chat_pb2.StreamResponse.FromString(frame[PREFIX.size :]))
        except DecodeError as error:
            raise ProtocolError(f"not a valid protobuf message: {error}", fatal=False) from error

    def spans(self, frame: bytes) -> list[Span]:
        """Which bytes of the frame mean what: (start, end, name, value), without gaps, as the decoder reads them."""
        self.decode(frame)
        which = (chat_pb2.StreamResponse, chat_pb2.StreamRequest)[frame[:1] == b"\0"].DESCRIPTOR
        head = [(0, 1, "which", which.name), (1, PREFIX.size, "length", len(frame) - PREFIX.size)]
        return head + [_plain(span) for span in proto_spans.spans(frame, which, PREFIX.size)]


def _plain(span: Span) -> Span:
    """The span with the field's name as the message has it: `send.to` is `to`, and the key of `send` is `message`."""
    start, end, name, value = span
    head, of, path = name.rpartition(" of ")
    _, dot, rest = path.partition(".")
    if dot:
        return start, end, head + of + rest.replace(".", " "), value
    if path in ("tag", "unreadable") or path.startswith("field "):
        return span
    if head == "key":
        return start, end, "message", path.title().replace("_", "")
    return start, end, f"{head}{of}message", value
