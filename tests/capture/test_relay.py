"""The relay in front of a server: the same bytes on both sides, counted and recorded, and transparent to both."""

import os
import socket
import struct
from contextlib import ExitStack, closing

import pytest
from raw_client import DEADLINE_S, RawClient, until

import chatlab
from chatlab.capture.tcp_relay import relay
from chatlab.capture.traffic import Chunk, Traffic
from chatlab.messages import ConnectionLost


@pytest.fixture
def server(no_background_output):
    with chatlab.serve("text", name="behind the relay") as server:
        yield server


@pytest.fixture
def tap(server):
    with relay(server) as tap:
        yield tap


class Upstream:
    """A server that only listens: the test plays its part."""

    def __init__(self, ends: ExitStack):
        self._ends = ends
        self.listener = ends.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.listener.settimeout(DEADLINE_S)
        self.addresses = {"raw": self.listener.getsockname()}

    def endpoint(self, protocol):
        return "raw", self, self.addresses["raw"]

    def connect(self, address):
        return RawClient(address)

    def accept(self):
        sock = self._ends.enter_context(self.listener.accept()[0])
        sock.settimeout(DEADLINE_S)
        return sock


@pytest.fixture
def upstream(no_background_output):
    with ExitStack() as ends:
        yield Upstream(ends)


def rest_of(sock):
    data = b""
    while piece := sock.recv(1 << 16):
        data += piece
    return data


def test_a_client_talks_through_it(tap):
    ann = tap.connect()
    assert ann.create_account("ann").name == "ann"


@pytest.mark.parametrize("protocol", ["grpc", "grpc-stream"])
def test_it_carries_any_protocol(no_background_output, protocol):
    with chatlab.serve(protocol, name="behind the relay") as server, relay(server) as tap:
        tap.connect().create_account("ann")
        assert tap.bytes_up > 100


def test_it_goes_to_the_door_that_was_named(no_background_output):
    with chatlab.serve("grpc", "text", name="behind the relay") as server, relay(server, "text") as tap:
        with closing(RawClient(tap.address)) as raw:
            assert raw.ask("14") == "pong"


def test_a_door_that_is_not_there_is_refused(server):
    with pytest.raises(ValueError, match="does not speak"):
        relay(server, "grpc")


def test_the_tape_holds_the_bytes_as_they_passed(tap):
    tap.connect().ping()
    assert [chunk[1:] for chunk in tap.tape] == [(1, "up", b"#1|14\n"), (1, "down", b"#1|pong\n")]


def test_the_tape_says_when(tap):
    tap.connect().ping()
    times = [chunk.at_s for chunk in tap.tape]
    assert times == sorted(times) and 0 < times[0] < DEADLINE_S


def test_connections_are_numbered(tap):
    tap.connect().ping()
    tap.connect().ping()
    assert [chunk.connection for chunk in tap.tape] == [1, 1, 2, 2]


def test_it_has_counted_an_answer_when_the_answer_is_there(tap):
    ann = tap.connect()
    for tag in range(1, 10):
        ann.ping()
        assert (tap.bytes_up, tap.bytes_down) == (6 * tag, 8 * tag)


def test_it_counts_from_a_mark(tap):
    ann = tap.connect()
    ann.ping()
    start = tap.position()
    ann.ping()
    assert tap.traffic_since(start) == Traffic(6, 8)


def test_it_counts_one_connection_apart(tap):
    tap.connect().ping()
    start = tap.position()
    tap.connect().create_account("ann")
    assert tap.traffic_since(start, connection=1) == Traffic(0, 0)
    assert tap.traffic_since(start, connection=2) == Traffic(9, 21)


def test_a_full_tape_stops_and_the_counting_goes_on(server):
    with relay(server, tape_bytes=600) as tap:
        ann = tap.connect()
        for _ in range(5):
            ann.ping()
        assert (len(tap.tape), tap.tape_full, tap.bytes_up) == (2, True, 30)


def test_a_half_close_is_passed_on_and_the_other_half_goes_on(upstream):
    with relay(upstream) as tap:
        raw = tap.connect()
        raw.send_bytes(b"a question")
        raw.end()
        sock = upstream.accept()
        assert rest_of(sock) == b"a question"
        sock.sendall(b"an answer\n")
        sock.close()
        assert raw.rest() == ["an answer"]


def test_a_half_close_of_the_server_is_passed_on_too(upstream):
    with relay(upstream) as tap:
        raw = tap.connect()
        sock = upstream.accept()
        sock.shutdown(socket.SHUT_WR)
        assert raw.rest() == []
        raw.send_bytes(b"I have not finished")
        raw.end()
        assert rest_of(sock) == b"I have not finished"


def test_a_reset_is_passed_on_as_a_reset(upstream):
    with relay(upstream) as tap:
        raw = tap.connect()
        raw.send_bytes(b"hello")
        sock = upstream.accept()
        sock.recv(5)
        raw.reset()
        with pytest.raises(ConnectionResetError):
            sock.recv(1)


def test_a_reset_of_the_server_is_passed_on_too(upstream):
    with relay(upstream) as tap:
        raw = tap.connect()
        sock = upstream.accept()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
        with pytest.raises(ConnectionResetError):
            raw.sock.recv(1)


def test_who_reads_slowly_slows_down_whoever_sends(upstream):
    """Nobody reads: so the relay takes what fits into its buffers and the kernel's, and then no more."""
    with relay(upstream, tape_bytes=0) as tap:
        raw = tap.connect()
        sock = upstream.accept()
        raw.sock.settimeout(0.3)
        with pytest.raises(TimeoutError):
            while True:
                raw.sock.send(bytes(1 << 20))
        held = tap.bytes_up
        sock.settimeout(DEADLINE_S)
        raw.end()
        assert len(rest_of(sock)) == tap.bytes_up >= held


def test_a_megabyte_comes_out_as_it_went_in(upstream):
    data = os.urandom(1 << 20)
    with relay(upstream) as tap:
        raw = tap.connect()
        sock = upstream.accept()
        received = []
        raw.sock.setblocking(False)
        view = memoryview(data)
        while view:
            try:
                view = view[raw.sock.send(view[: 1 << 16]) :]
            except BlockingIOError:
                received.append(sock.recv(1 << 16))
        raw.end()
        assert b"".join(received) + rest_of(sock) == data


def test_where_the_server_is_gone_a_client_is_told(upstream):
    upstream.listener.close()
    with relay(upstream) as tap, pytest.raises(ConnectionResetError):
        tap.connect().sock.recv(1)


def test_closing_it_cuts_what_passes(server):
    tap = relay(server)
    stranger = chatlab.connect(*tap.address)
    stranger.ping()
    tap.close()
    with pytest.raises(ConnectionLost):
        stranger.receive(DEADLINE_S)


def test_closing_it_frees_its_port_and_its_connections(server):
    tap = relay(server)
    tap.connect().ping()
    tap.close()
    tap.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(tap.address, DEADLINE_S)
    until(lambda: not tap._halves)


def test_its_repr_says_where_it_goes(tap):
    assert repr(tap) == "<Relay to text, open: 0 connections so far>"


def test_traffic_adds_up():
    assert Traffic(1, 2) + Traffic(3, 4) - Traffic(1, 1) * 2 == Traffic(2, 4)
    assert Traffic(1, 2).total == 3


def test_its_tape_can_be_read_as_frames(tap):
    tap.connect().ping()
    assert [frame.data for frame in tap.frames] == [b"#1|14\n", b"#1|pong\n"]


def test_its_tape_can_be_written_as_a_capture(tap, tmp_path):
    tap.connect().ping()
    assert b"#1|pong\n" in tap.to_pcapng(tmp_path / "ping.pcapng").read_bytes()


def test_a_chunk_names_its_parts():
    assert Chunk(0.5, 1, "up", b"x")._asdict() == {"at_s": 0.5, "connection": 1, "direction": "up", "data": b"x"}


def test_a_relay_before_something_that_is_no_server_is_refused_in_words():
    with pytest.raises(TypeError, match="in front of a server, as serve.. returns it, not in front of 'text'"):
        relay("text")
