"""HTTP/2 frames made by hand, and how a tap reads them."""

import struct

from hpack import Encoder
from raw_client import until

from chatlab.capture.dissection import dissect_tape


def say(kind, stream=0, payload=b"", flags=0):
    return len(payload).to_bytes(3) + bytes((kind, flags)) + stream.to_bytes(4) + payload


def read(*chunks):
    """The frames of these (direction, bytes)."""
    found = dissect_tape([(float(n), 1, direction, data) for n, (direction, data) in enumerate(chunks)], "grpc")
    for frame in found:
        assert_tiles(frame)
    return found


def assert_tiles(frame):
    assert [field.start for field in frame.fields] == [0, *(field.end for field in frame.fields[:-1])]
    assert frame.fields[-1].end == len(frame.data)
    assert all(field.start < field.end and 0 <= field.information <= field.size for field in frame.fields)


def values(frame):
    return {field.name: field.value for field in frame.fields[4:]}


def prefixed(proto):
    body = proto.SerializeToString()
    return struct.pack(">BI", 0, len(body)) + body


def calling(method, encoder=None):
    """A request's headers on stream 1, as a client sends them."""
    block = (encoder or Encoder()).encode(
        [(":method", "POST"), (":path", f"/chatlab.v1.Chat/{method}"), ("te", "trailers")]
    )
    return say(1, 1, block, flags=4)


def settled(tap, *clients):
    """Close them, and return when nothing more has passed for a while."""
    for client in clients:
        client.close()
    seen = []
    until(lambda: seen.append(tap.bytes_up + tap.bytes_down) or seen[-20:] == [seen[-1]] * 20)
