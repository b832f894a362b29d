"""The light generator's gRPC: the bytes it says, what it understands, and that a real server takes it for gRPC."""

import hpack
import pytest

from chatlab.measurement.load import http2 as wires
from chatlab.measurement.load.http2 import DATA, END_HEADERS, END_STREAM, HEADERS, SETTINGS, frame, prefixed
from chatlab.measurement.load.wire_clients import UnaryWireClient
from chatlab.messages import Arrived, ConnectionLost, Ping, Pong, Refused, Send, Sent
from chatlab.proto import chat_pb2 as pb
from chatlab.proto.convert import to_event, to_proto

encode = hpack.Encoder().encode
OK = [("grpc-status", "0"), ("grpc-message", "")]


@pytest.fixture
def server():
    return hpack.Encoder()


@pytest.fixture
def wire(server):
    """A wire that has heard its token."""
    wire = UnaryWireClient()
    wire.preamble()
    wire.receive(
        frame(SETTINGS, 0, 0, b"")
        + frame(HEADERS, END_HEADERS, 1, server.encode([(":status", "200"), ("session", "s")]))
    )
    assert wire.ready and wire.control_bytes() == frame(SETTINGS, wires.ACK, 0, b"")
    return wire


def reply(server, stream, proto, status=OK):
    head = frame(
        HEADERS, END_HEADERS, stream, server.encode([(":status", "200"), ("content-type", "application/grpc")])
    )
    body = frame(DATA, 0, stream, prefixed(proto.SerializeToString()))
    return head + body + frame(HEADERS, END_HEADERS | END_STREAM, stream, server.encode(status))


def kinds(data):
    found = []
    while data:
        size = int.from_bytes(data[:3])
        found.append((data[3], data[4], int.from_bytes(data[5:9]), size))
        data = data[9 + size :]
    return found


def test_it_opens_as_http2_does():
    said = UnaryWireClient().preamble()
    assert said.startswith(wires.PREFACE)
    assert [kind for kind, *_ in kinds(said[len(wires.PREFACE) :])] == [SETTINGS, wires.WINDOW_UPDATE, HEADERS, DATA]


def test_each_call_has_a_stream_of_its_own(wire):
    call = wire.spell(7, Ping())
    assert [kinds(wire.say(call))[0][2] for _ in range(3)] == [3, 5, 7]


def test_after_the_first_a_header_block_only_points(wire):
    for call in wire.warm_up_requests():
        wire.say(call)
    (_, _, _, block), (_, _, _, data) = kinds(wire.say(wire.spell(1, Send("bob", "hi"))))
    assert block <= 8 and data == 5 + len(to_proto(Send("bob", "hi")).SerializeToString())


def test_an_answer_finds_its_tag(wire, server):
    wire.say(wire.spell(7, Send("bob", "hi"))), wire.say(wire.spell(8, Ping()))
    data = reply(server, 5, pb.Pong()) + reply(server, 3, pb.Sent(number=4, delivered=True))
    assert wire.receive(data) == [(8, Pong()), (7, Sent(4, True))]


def test_bytes_may_come_one_by_one(wire, server):
    wire.say(wire.spell(7, Send("bob", "hi")))
    heard = [message for byte in reply(server, 3, pb.Sent(number=4)) for message in wire.receive(bytes((byte,)))]
    assert heard == [(7, Sent(4, False))]


def test_an_event_has_no_tag(wire):
    event = prefixed(to_event(Arrived(1, "ann", "hi")).SerializeToString())
    assert wire.receive(frame(DATA, 0, 1, event[:6]) + frame(DATA, 0, 1, event[6:])) == [
        (None, Arrived(1, "ann", "hi"))
    ]


def test_a_refusal_is_read_from_the_trailers(wire, server):
    wire.say(wire.spell(7, Ping()))
    trailers = [(":status", "200"), ("grpc-status", "5"), ("grpc-message", "nobody"), ("code", "NO_SUCH_ACCOUNT")]
    data = frame(HEADERS, END_HEADERS | END_STREAM, 3, server.encode(trailers))
    assert wire.receive(data) == [(7, Refused("NO_SUCH_ACCOUNT", "nobody"))]


def test_a_status_that_is_not_ok_is_no_answer(wire, server):
    wire.say(wire.spell(7, Ping()))
    with pytest.raises(ConnectionLost, match="a call failed: status 13, oops"):
        wire.receive(reply(server, 3, pb.Pong(), [("grpc-status", "13"), ("grpc-message", "oops")]))


def test_a_ping_is_answered(wire):
    wire.receive(frame(wires.PING, 0, 0, b"12345678"))
    assert wire.control_bytes() == frame(wires.PING, wires.ACK, 0, b"12345678")


def test_going_away_is_heard(wire):
    with pytest.raises(ConnectionLost, match="sent us away: error 11, calm"):
        wire.receive(frame(wires.GOAWAY, 0, 0, bytes(4) + (11).to_bytes(4) + b"calm"))


def test_a_known_block_is_read_again_when_the_table_has_changed(wire, server):
    for stream, status in (3, "0"), (5, "0"), (7, "0"):
        wire.say(wire.spell(stream, Ping()))
        assert wire.receive(reply(server, stream, pb.Pong(), [("grpc-status", status), ("x", f"{stream}")])) == [
            (stream, Pong())
        ]


def test_more_than_the_window_waits_for_it(wire):
    long = wire.spell(7, Send("bob", "x" * 40_000))
    said = wire.say(long) + wire.say(long)
    assert sum(size for kind, _, _, size in kinds(said) if kind == DATA) <= wires.FIRST_WINDOW
    more = (1_000_000).to_bytes(4)
    wire.receive(frame(wires.WINDOW_UPDATE, 0, 0, more))
    assert sum(size for kind, _, _, size in kinds(said + wire.control_bytes()) if kind == DATA) > 80_000
