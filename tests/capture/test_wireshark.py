"""What we write, Wireshark reads: the same bytes, the same fields, the same values."""

import shutil
import struct
import subprocess
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from raw_client import DEADLINE_S
from strategies import ANY_MESSAGE, TAGS

import chatlab
from chatlab.capture.dissection import dissect_tape
from chatlab.capture.tcp_relay import relay
from chatlab.capture.wireshark import PORTS_OF_A_CLIENT, _checksum, lua_dissector, packets, pcapng, to_pcapng
from chatlab.codecs.binary import MESSAGE_TYPES, BinaryCodec
from chatlab.messages import (
    Acknowledge,
    Arrived,
    DeleteMessages,
    Deposit,
    Joined,
    ListAccounts,
    Mail,
    Ping,
    Refused,
    Say,
    Send,
    Sent,
    Unread,
)

PROTO = Path(chatlab.__file__).parent / "proto"
BINARY = BinaryCodec()
needs_tshark = pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")

SAID = [
    (1, Send("bob", "hé | there\n", "r1")), (2, DeleteMessages((1, 300, -5, 2**63 - 1))), (3, Ping()), (300, Say("")),
    (2**63 - 1, Deposit(-1)), (None, Acknowledge(0)),
    (4, ListAccounts("a*", "ann")), (5, Unread(7)),
]  # fmt: skip
ANSWERED = [
    (1, Sent(3, True)), (None, Arrived(2**40, "al", "hi", True)), (3, Refused("NO_SUCH_ACCOUNT", "who?")),
    (2, Mail((Arrived(3, "al", "hi"), Arrived(4, "", "|", True)), True)), (5, Joined("lobby", ("a", "bé"), 2)),
]  # fmt: skip


def tshark(path, *options):
    done = subprocess.run(["tshark", "-r", path, *options], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def our_tape(up=SAID, down=ANSWERED, cut=11):
    """A conversation in binary, in pieces of `cut` bytes."""
    streams = (
        ("up", BINARY.preface + b"".join(BINARY.encode(*m) for m in up)),
        ("down", b"".join(BINARY.encode(*m) for m in down)),
    )
    pieces = [(way, stream[at : at + cut]) for way, stream in streams for at in range(0, len(stream), cut)]
    return [(0.001 * number, 1, way, piece) for number, (way, piece) in enumerate(pieces)]


def times_ns(capture):
    """The times of a capture's packets, in nanoseconds since 1970."""
    at = 0
    while at < len(capture):
        kind, size = struct.unpack_from("<II", capture, at)
        if kind == 6:
            high, low = struct.unpack_from("<II", capture, at + 12)
            yield high << 32 | low
        at += size


@pytest.fixture
def lua(tmp_path):
    path = tmp_path / "chatlab.lua"
    path.write_text(lua_dissector(), encoding="utf-8")
    return ["-X", f"lua_script:{path}"]


# ---- packets


def test_the_checksum_is_the_internets():
    assert _checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0x220D  # the example of RFC 1071
    assert _checksum(b"\0\0") == 0xFFFF and _checksum(b"\xff\xff") == 0


def test_every_byte_of_the_tape_is_in_a_packet_and_nothing_else_is():
    tape = our_tape(cut=4000, up=[(1, Send("bob", "x" * 5000))])
    held = {port: b"" for port in (2432, 40001)}
    for _, packet in packets(tape, 2432):
        to = struct.unpack_from(">H", packet, 22)[0]
        held[to] += packet[20 + (packet[32] >> 4) * 4 :]
    assert held == {
        2432: b"".join(c[3] for c in tape if c[2] == "up"),
        40001: b"".join(c[3] for c in tape if c[2] == "down"),
    }


def test_packets_with_data_are_as_long_as_the_account_says():
    tape = our_tape(cut=100_000, up=[(1, Send("bob", "x" * 5000))], down=[(1, Sent(3))])
    account = dissect_tape(tape, BINARY).bytes_by_layer()
    longer = [len(packet) for _, packet in packets(tape, 2432) if len(packet) > 20 + (packet[32] >> 4) * 4]
    assert sum(longer) == account.bytes + account.tcp_ip


def test_each_connection_is_opened_and_closed():
    tape = [(0.0, 1, "up", b"a"), (0.5, 2, "up", b"b"), (1.0, 1, "down", b"c")]
    flags = [packet[33] for _, packet in packets(tape, 80)]
    assert flags.count(0x02) == 2 and flags.count(0x12) == 2 and flags.count(0x11) == 4
    assert [at_s for at_s, _ in packets(tape, 80)] == sorted(at_s for at_s, _ in packets(tape, 80))


def test_times_are_whole_nanoseconds_of_the_tape_and_its_start():
    start_ns = 1_800_000_000_123_456_789
    tape = [(0.0, 1, "up", b"a"), (1e-9, 1, "down", b"b"), (257e-9, 1, "up", b"c"), (0.1, 1, "down", b"d")]
    assert sorted(set(times_ns(pcapng(tape, 80, start_ns)))) == [start_ns + ns for ns in (0, 1, 257, 100_000_000)]


def test_a_tape_is_the_same_capture_whenever_it_is_written(tmp_path):
    with chatlab.serve("text") as server, relay(server) as tap:
        before = time.time_ns()
        tap.connect().create_account("alice")
        first, second = (tap.to_pcapng(tmp_path / name).read_bytes() for name in ("first", "second"))
        after = time.time_ns()
    assert first == second
    assert before - 10**9 < min(times_ns(first)) <= max(times_ns(first)) < after + 10**9


def test_more_connections_than_ports_have_addresses_of_their_own():
    count = 2 * PORTS_OF_A_CLIENT + 5
    ends = {packet[12:16] + packet[20:22] for _, packet in packets([(0.0, n + 1, "up", b"") for n in range(count)], 80)}
    ends = {end for end in ends if end[4:] != struct.pack(">H", 80)}
    assert len(ends) == count
    assert {end[:4] for end in ends} == {bytes((10, 0, number, 1)) for number in range(3)}


@pytest.mark.external
@needs_tshark
def test_tshark_finds_nothing_wrong_with_our_packets(tmp_path):
    tape = our_tape(cut=2000, up=[(1, Send("bob", "x" * 5000)), (2, Ping())])
    path = to_pcapng(tmp_path / "chat.pcapng", tape, 2432, start_ns=1_800_000_000 * 10**9)
    checks = ["-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"]
    wrong = "tcp.checksum.status == 0 || ip.checksum.status == 0 || tcp.analysis.flags || _ws.malformed"
    assert tshark(path, *checks, "-Y", wrong) == ""
    assert tshark(path, "-T", "fields", "-e", "frame.time_epoch").split()[0] == "1800000000.000000000"


@pytest.mark.external
@needs_tshark
def test_tshark_puts_the_same_bytes_together(tmp_path):
    tape = our_tape(cut=7)
    path = to_pcapng(tmp_path / "chat.pcapng", tape, 2432)
    for way, server in (("up", "tcp.dstport"), ("down", "tcp.srcport")):
        seen = tshark(path, "-Y", f"tcp.len > 0 && {server} == 2432", "-T", "fields", "-e", "tcp.payload")
        assert bytes.fromhex("".join(seen.split())) == b"".join(chunk[3] for chunk in tape if chunk[2] == way)


# ---- gRPC


@pytest.mark.external
@needs_tshark
@pytest.mark.parametrize("protocol", ["grpc", "grpc-stream"])
def test_tshark_reads_grpc_by_field_names(tmp_path, protocol):
    with chatlab.serve(protocol) as server, relay(server) as tap:
        alice, bob = tap.connect(), tap.connect()
        alice.create_account("alice")
        bob.create_account("bob")
        alice.send("bob", "a word or two")
        assert bob.receive(timeout_s=DEADLINE_S).text == "a word or two"
        tape = tap.tape
    path = to_pcapng(tmp_path / "chat.pcapng", tape)
    protos = ["-o", f'uat:protobuf_search_paths:"{PROTO}","TRUE"', "-o", "protobuf.preload_protos:TRUE"]
    text = tshark(path, "-d", "tcp.port==50051,http2", *protos, "-O", "grpc,protobuf")
    assert "Field(1): to = bob (string)" in text and "Field(2): text = a word or two (string)" in text
    assert "Malformed" not in text


@pytest.mark.external
@needs_tshark
def test_tshark_counts_the_same_http2_frames(tmp_path):
    with chatlab.serve("grpc") as server, relay(server) as tap:
        tap.connect().create_account("alice")
        tape = tap.tape
    path = to_pcapng(tmp_path / "chat.pcapng", tape)
    seen = tshark(path, "-d", "tcp.port==50051,http2", "-T", "fields", "-e", "http2.type").replace(",", " ").split()
    kinds = ("DATA", "HEADERS", "PRIORITY", "RST_STREAM", "SETTINGS", "PUSH_PROMISE", "PING", "GOAWAY", "WINDOW_UPDATE")
    ours = [str(kinds.index(frame.kind)) for frame in dissect_tape(tape, "grpc") if frame.kind in kinds]
    assert sorted(seen) == sorted(ours)


# ---- our own dissector


def test_the_dissector_is_made_from_the_codecs_table():
    text = lua_dissector()
    for number, message in enumerate(MESSAGE_TYPES):
        assert f'[{number}] = {{name = "{message.__name__}"' in text
    assert "@" not in text.replace("@", "", text.count("ENC_@"))


def their_fields(path, lua):
    """What tshark shows of each frame: (start, end, text) of its fields, in order, counted from the frame's start."""
    root = ET.fromstring(tshark(path, *lua, "-T", "pdml"))
    for proto in root.iter("proto"):
        if proto.get("name") == "chatlab" and proto.get("showname") != "chatlab preface":
            start = int(proto.get("pos"))
            yield [
                (int(f.get("pos")) - start, int(f.get("pos")) - start + int(f.get("size")), f.get("showname"))
                for f in proto.findall("field") if f.get("name").startswith("chatlab.")
            ]  # fmt: skip


def our_fields(frame):
    for start, end, name, value in BINARY.spans(frame):
        value = str(value).lower() if isinstance(value, bool) else value
        yield start, end, f"{name}: {value}"


FLAGS = ("delivered", "more", "returned")


def assert_agree(path, lua, frames):
    theirs = list(their_fields(path, lua))
    assert len(theirs) == len(frames)
    for frame, seen in zip(frames, theirs):
        at_message = next(field for field in seen if field[2].startswith("message: "))
        flags = [f for f in seen if f[:2] == at_message[:2] and f is not at_message]
        assert [f for f in seen if f not in flags] == list(our_fields(frame))
        _, message = BINARY.decode(frame)
        assert [f[2] for f in flags] == [
            f"{n}: {str(getattr(message, n)).lower()}" for n in FLAGS if hasattr(message, n)
        ]


@pytest.mark.external
@needs_tshark
def test_wireshark_shows_every_field_as_we_do(tmp_path, lua):
    up, down = [(t, m) for t, m in SAID if "\n" not in getattr(m, "text", "")], ANSWERED
    path = to_pcapng(tmp_path / "chat.pcapng", our_tape(up, down), 2432)
    assert_agree(path, lua, [BINARY.encode(*said) for said in up + down])
    assert tshark(path, *lua, "-Y", "_ws.malformed || chatlab.unreadable") == ""


@pytest.mark.external
@needs_tshark
@settings(max_examples=4, phases=[Phase.generate], suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(said=st.lists(st.tuples(TAGS, ANY_MESSAGE), min_size=1, max_size=30))
def test_wireshark_tiles_any_message_as_we_do(tmp_path, lua, said):
    frames = [BINARY.encode(*each) for each in said]
    tape = [(0.0, 1, "down", frame) for frame in frames]
    path = to_pcapng(tmp_path / "chat.pcapng", tape, 2432)
    for frame, seen in zip(frames, their_fields(path, lua), strict=True):
        tiles = dict.fromkeys((start, end) for start, end, _ in seen)
        assert list(tiles) == [(start, end) for start, end, *_ in BINARY.spans(frame)]
    assert tshark(path, *lua, "-Y", "_ws.malformed || chatlab.unreadable") == ""


@pytest.mark.external
@needs_tshark
@pytest.mark.parametrize("cut", [1, 3, 11, 5000])
def test_wireshark_recognises_our_protocol_on_any_port_without_a_setting(tmp_path, lua, cut):
    up, down = [(t, m) for t, m in SAID if "\n" not in getattr(m, "text", "")], ANSWERED
    path = to_pcapng(tmp_path / "chat.pcapng", our_tape(up, down, cut), 54_321)
    assert_agree(path, lua, [BINARY.encode(*said) for said in up + down])
    assert tshark(path, *lua, "-Y", "_ws.malformed || chatlab.unreadable") == ""
    assert len(tshark(path, *lua, "-Y", "chatlab.preface").splitlines()) == 1


@pytest.mark.external
@needs_tshark
def test_wireshark_decodes_what_a_relay_has_written(tmp_path, lua):
    with chatlab.serve("binary") as server, relay(server) as tap:
        tap.connect().create_account("alice")
        path = tap.to_pcapng(tmp_path / "chat.pcapng")
    assert "CreateAccount" in tshark(path, *lua, "-Y", 'chatlab.name == "alice"')


@pytest.mark.external
@needs_tshark
def test_wireshark_leaves_other_protocols_alone(tmp_path, lua):
    path = to_pcapng(tmp_path / "other.pcapng", [(0.0, 1, "up", b"CLOSE"), (0.1, 1, "down", b"CLB?")], 54_321)
    assert tshark(path, *lua, "-Y", "chatlab") == ""


@pytest.mark.external
@needs_tshark
def test_wireshark_says_so_where_a_frame_cannot_be_read(tmp_path, lua):
    tape = [(0.0, 1, "down", b"\x02\x52\xff" + b"\x01\x3f" + BINARY.encode(1, Sent(1)))]
    text = tshark(to_pcapng(tmp_path / "chat.pcapng", tape, 2432), *lua, "-V")
    assert text.count("unreadable") >= 2 and "number: 1" in text
    assert "Lua Error" not in text
