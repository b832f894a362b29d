"""The light generator's gRPC: the bytes it says, what it understands, and that a real server takes it for gRPC."""

import struct

import hpack
import pytest

import chatlab
from chatlab.measurement.load import http2
from chatlab.measurement.load.http2 import DATA, END_HEADERS, END_STREAM, HEADERS, SETTINGS, frame, prefixed
from chatlab.measurement.load.wire_clients import StreamWireClient, UnaryWireClient
from chatlab.measurement.load.workload import Workload
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
    assert wire.ready and wire.control_bytes() == frame(SETTINGS, http2.ACK, 0, b"")
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


def data_of(sent):
    return sum(size for kind, _, _, size in kinds(sent) if kind == DATA)


def test_it_opens_as_http2_does():
    said = UnaryWireClient().preamble()
    assert said.startswith(http2.PREFACE)
    assert [kind for kind, *_ in kinds(said[len(http2.PREFACE) :])] == [SETTINGS, http2.WINDOW_UPDATE, HEADERS, DATA]


def test_each_call_has_a_stream_of_its_own(wire):
    call = wire.prepare(7, Ping())
    assert [kinds(wire.send(call))[0][2] for _ in range(3)] == [3, 5, 7]


def test_after_the_first_a_header_block_only_points(wire):
    for call in wire.warm_up_requests():
        wire.send(call)
    (_, _, _, block), (_, _, _, data) = kinds(wire.send(wire.prepare(1, Send("bob", "hi"))))
    assert block <= 8 and data == 5 + len(to_proto(Send("bob", "hi")).SerializeToString())


def test_an_answer_finds_its_tag(wire, server):
    wire.send(wire.prepare(7, Send("bob", "hi"))), wire.send(wire.prepare(8, Ping()))
    data = reply(server, 5, pb.Pong()) + reply(server, 3, pb.Sent(number=4, delivered=True))
    assert wire.receive(data) == [(8, Pong()), (7, Sent(4, True))]


def test_bytes_may_come_one_by_one(wire, server):
    wire.send(wire.prepare(7, Send("bob", "hi")))
    heard = [message for byte in reply(server, 3, pb.Sent(number=4)) for message in wire.receive(bytes((byte,)))]
    assert heard == [(7, Sent(4, False))]


def test_an_event_has_no_tag(wire):
    event = prefixed(to_event(Arrived(1, "ann", "hi")).SerializeToString())
    assert wire.receive(frame(DATA, 0, 1, event[:6]) + frame(DATA, 0, 1, event[6:])) == [
        (None, Arrived(1, "ann", "hi"))
    ]


def test_a_refusal_is_read_from_the_trailers(wire, server):
    wire.send(wire.prepare(7, Ping()))
    trailers = [(":status", "200"), ("grpc-status", "5"), ("grpc-message", "nobody"), ("code", "NO_SUCH_ACCOUNT")]
    data = frame(HEADERS, END_HEADERS | END_STREAM, 3, server.encode(trailers))
    assert wire.receive(data) == [(7, Refused("NO_SUCH_ACCOUNT", "nobody"))]


def test_a_status_that_is_not_ok_is_no_answer(wire, server):
    wire.send(wire.prepare(7, Ping()))
    with pytest.raises(ConnectionLost, match="a call failed: status 13, oops"):
        wire.receive(reply(server, 3, pb.Pong(), [("grpc-status", "13"), ("grpc-message", "oops")]))


def test_a_ping_is_answered(wire):
    wire.receive(frame(http2.PING, 0, 0, b"12345678"))
    assert wire.control_bytes() == frame(http2.PING, http2.ACK, 0, b"12345678")


def test_going_away_is_heard(wire):
    with pytest.raises(ConnectionLost, match="ended the connection: error 11, calm"):
        wire.receive(frame(http2.GOAWAY, 0, 0, bytes(4) + (11).to_bytes(4) + b"calm"))


def test_a_known_block_is_read_again_when_the_table_has_changed(wire, server):
    for stream, status in (3, "0"), (5, "0"), (7, "0"):
        wire.send(wire.prepare(stream, Ping()))
        assert wire.receive(reply(server, stream, pb.Pong(), [("grpc-status", status), ("x", f"{stream}")])) == [
            (stream, Pong())
        ]


@pytest.mark.parametrize("wire", [UnaryWireClient, StreamWireClient])
def test_a_stream_has_a_window_of_its_own(wire, server):
    wire = wire()
    wire.preamble()
    wire.receive(frame(HEADERS, END_HEADERS, 1, server.encode([(":status", "200"), ("session", "s")])))
    wire.receive(frame(http2.WINDOW_UPDATE, 0, 0, (1_000_000).to_bytes(4)))
    sent = wire.send(wire.prepare(7, Send("bob", "x" * 65_536)))
    stream = kinds(sent)[0][2]
    assert data_of(sent) <= http2.FIRST_WINDOW and wire.control_bytes() == b""
    wire.receive(frame(http2.WINDOW_UPDATE, 0, stream, (20_000).to_bytes(4)))
    sent += wire.control_bytes()
    assert data_of(sent) > 65_536 and {number for _, _, number, _ in kinds(sent)} == {stream}


def test_what_comes_later_waits_behind_what_waits(wire, server):
    long, ping = wire.prepare(7, Send("bob", "x" * 65_536)), wire.prepare(8, Ping())
    wire.receive(frame(http2.WINDOW_UPDATE, 0, 0, (1_000_000).to_bytes(4)))
    sent = wire.send(long) + wire.send(ping)
    assert {stream for _, _, stream, _ in kinds(sent)} == {3}
    wire.receive(frame(http2.WINDOW_UPDATE, 0, 3, (20_000).to_bytes(4)))
    assert [stream for *_, stream, _ in kinds(wire.control_bytes())][-2:] == [5, 5]


def test_a_setting_of_the_server_changes_the_windows_of_streams(wire):
    wire.receive(frame(http2.WINDOW_UPDATE, 0, 0, (1_000_000).to_bytes(4)))
    wire.send(wire.prepare(7, Send("bob", "x" * 65_536)))
    wire.receive(frame(SETTINGS, 0, 0, struct.pack(">HI", http2.INITIAL_WINDOW_SIZE, 100_000)))
    assert data_of(wire.control_bytes()) > 0
    assert data_of(wire.send(wire.prepare(8, Send("bob", "x" * 65_536)))) > 65_536


def test_the_windows_are_opened_by_what_was_read_on_each(wire, server, monkeypatch):
    monkeypatch.setattr(http2, "MAX_WINDOW", 400)
    wire.send(wire.prepare(7, Ping()))
    event = prefixed(to_event(Arrived(1, "ann", "x" * 60)).SerializeToString())
    wire.receive(frame(DATA, 0, 1, event) + frame(DATA, 0, 3, prefixed(bytes(4))[:-1] + b"x" * 40))
    updates = wire.control_bytes()
    assert [
        (stream, int.from_bytes(updates[n + 9 : n + 13])) for n, (*_, stream, _) in zip((0, 13), kinds(updates))
    ] == [
        (0, len(event) + 48),
        (1, len(event)),
    ]


def test_more_than_the_window_waits_for_it(wire):
    long = wire.prepare(7, Send("bob", "x" * 40_000))
    said = wire.send(long) + wire.send(long)
    assert sum(size for kind, _, _, size in kinds(said) if kind == DATA) <= http2.FIRST_WINDOW
    more = (1_000_000).to_bytes(4)
    wire.receive(frame(http2.WINDOW_UPDATE, 0, 0, more))
    assert sum(size for kind, _, _, size in kinds(said + wire.control_bytes()) if kind == DATA) > 80_000


@pytest.mark.parametrize("protocol", ["grpc", "grpc-stream"])
def test_the_longest_texts_pass(protocol):
    load = Workload(messages=5, text_bytes=65_536, in_flight=3)
    assert chatlab.measure(protocol, load, generator="light").rounds[0].messages == 10
