"""Every byte of gRPC has a name: real conversations, and frames built to be awkward."""

import struct

import pytest
from hpack import Decoder, Encoder
from http2_frames import assert_tiles, calling, prefixed, read, say, settled, values
from hyperframe import frame as hyper
from hypothesis import given
from hypothesis import strategies as st
from raw_client import DEADLINE_S
from strategies import ANY_ANSWER, ANY_REQUEST, TAGS

import chatlab
from chatlab.capture.dissection import dissect_tape
from chatlab.capture.http2 import PREFACE
from chatlab.capture.layers import information
from chatlab.capture.tcp_relay import relay
from chatlab.messages import ChatError, Refused, Send, Sent
from chatlab.proto import convert

# ---- frames built to be awkward


def test_settings_are_told_by_name():
    frame = read(("up", PREFACE + say(4, 0, struct.pack(">HIHI", 4, 65535, 0xFE03, 1))))[1]
    assert values(frame) == {"INITIAL_WINDOW_SIZE": 65535, "GRPC_ALLOW_TRUE_BINARY_METADATA": 1}
    assert frame.summary == "INITIAL_WINDOW_SIZE=65535; GRPC_ALLOW_TRUE_BINARY_METADATA=1"


def test_each_header_line_owns_its_bytes_and_says_how_it_was_spelled():
    encoder = Encoder()
    first, second = read(("up", PREFACE + calling("Send", encoder) + calling("Send", encoder)))[1:]
    assert values(first)[":path"] == values(second)[":path"] == "/chatlab.v1.Chat/Send"
    path = [next(f for f in frame.fields if f.name == ":path") for frame in (first, second)]
    assert path[0].size > 10 and "added to the table" in path[0].meaning
    assert path[1].size == 1 and "indexed: entry 63" in path[1].meaning


def test_a_header_block_over_three_frames_is_one():
    block = calling("Send")[9:]
    pieces = say(1, 1, block[:5]) + say(9, 1, block[5:9]) + say(9, 1, block[9:], flags=4)
    frames = read(("up", PREFACE + pieces))[1:]
    assert [frame.kind for frame in frames] == ["HEADERS", "CONTINUATION", "CONTINUATION"]
    named = [[field.name for field in frame.fields[4:]] for frame in frames]
    assert named == [[":method", "part of :path"], ["part of :path"], ["part of :path", "te"]]


def test_a_message_over_three_frames_and_two_messages_in_a_frame():
    both = prefixed(convert.to_proto(Send("bob", "hello"))) * 2
    pieces = [both[:7], both[7:20], both[20:]]
    frames = read(("up", PREFACE + calling("Send") + b"".join(say(0, 1, piece) for piece in pieces)))[2:]
    named = [[field.name for field in frame.fields[4:]] for frame in frames]
    assert named[0] == ["compressed", "length", "key of to", "length of to"]
    assert named[1] == ["to", "key of text", "length of text", "text", "compressed", "part of length"]
    assert frames[2].summary == "Send to='bob' text='hello'"
    assert "part of text" not in named[2] and named[2][0] == "part of length"


def test_padding_and_priority_are_not_the_payload():
    message = prefixed(convert.to_proto(Send("bob", "hi")))
    headers = say(1, 1, b"\x03\x80\x00\x00\x05\x0f" + calling("Send")[9:] + bytes(3), flags=4 | 8 | 0x20)
    frames = read(("up", PREFACE + headers + say(0, 1, b"\x02" + message + bytes(2), flags=8)))[1:]
    assert {"pad length": 3, "depends on": 5, "weight": 16, ":method": "POST"}.items() <= values(frames[0]).items()
    assert {"pad length": 2, "to": "bob", "text": "hi", "padding": bytes(2)}.items() <= values(frames[1]).items()


def test_goaway_rst_stream_ping_and_window_update_in_words():
    goaway = say(7, 0, struct.pack(">II", 5, 11) + b"too_many_pings")
    parts = goaway + say(3, 7, bytes((0, 0, 0, 8))) + say(6, 0, b"12345678", flags=1) + say(8, 7, bytes((0, 0, 1, 0)))
    frames = read(("down", parts))
    assert [frame.summary for frame in frames] == ["ENHANCE_YOUR_CALM", "CANCEL", "ACK", "+256 on the stream"]
    assert values(frames[0]) == {"last stream": 5, "error": 11, "text": "too_many_pings"}


def test_trailers_tell_the_status_in_words():
    block = Encoder().encode(
        [(":status", "200"), ("grpc-status", "5"), ("grpc-message", "nobody is called %27%C3%A9%27")]
    )
    frame = read(("down", say(1, 1, block, flags=5)))[0]
    assert frame.summary == """END_STREAM; 200 grpc-status 5 NOT_FOUND grpc-message "nobody is called 'é'\""""


def test_a_compressed_message_is_told_to_be_one():
    frame = read(("up", PREFACE + calling("Send") + say(0, 1, b"\1\0\0\0\3abc")))[2]
    assert [(field.name, field.meaning) for field in frame.fields[4:]] == [
        ("compressed", "yes"), ("length", "3 bytes follow"), ("compressed message", "3 bytes"),
    ]  # fmt: skip


def test_what_has_not_come_yet_is_unfinished():
    whole = PREFACE + calling("Send") + say(0, 1, prefixed(convert.to_proto(Send("bob", "hi")))[:9])
    frames = read(("up", whole + b"\0\0\x09\1"))
    assert frames[2].fields[-1].name == "unfinished" and frames[3].kind == "unfinished"
    assert read(("up", PREFACE[:10]))[0].kind == "unfinished"


def test_what_does_not_begin_like_http2_is_unreadable():
    assert [frame.kind for frame in read(("up", b"GET / HTTP/1.1\r\n\r\n"))] == ["unreadable"]


def test_after_a_header_that_cannot_be_read_no_index_is_trusted():
    frames = read(("down", say(1, 1, b"\xff\xff\xff\xff\xff\xff", flags=4) + say(1, 3, b"\x88", flags=4)))
    assert [frame.fields[-1].name for frame in frames] == ["unreadable", "header"]


@given(chunks=st.lists(st.tuples(st.sampled_from(["up", "down"]), st.binary(max_size=60)), max_size=6))
def test_any_tape_is_dissected_to_the_last_byte(chunks):
    found = read(*chunks)
    assert found.bytes_by_layer().bytes == sum(len(data) for _, data in chunks)


@given(kind=st.integers(0, 11), flags=st.integers(0, 255), payloads=st.lists(st.binary(max_size=40), max_size=5))
def test_any_frames_are_dissected_to_the_last_byte(kind, flags, payloads):
    data = PREFACE + calling("Stream") + b"".join(say(kind, 1, payload, flags) for payload in payloads)
    assert b"".join(frame.data for frame in read(("up", data))) == data


@given(data=st.binary(max_size=40), method=st.sampled_from(["Send", "DeleteMessages", "Stream", "Unread"]))
def test_any_message_is_dissected_to_the_last_byte(data, method):
    read(("up", PREFACE + calling(method) + say(0, 1, struct.pack(">BI", 0, len(data)) + data)))


@given(tag=TAGS, request=ANY_REQUEST, answer=ANY_ANSWER, cuts=st.lists(st.integers(1, 60), max_size=4))
def test_protobuf_fields_say_what_the_decoder_reads(tag, request, answer, cuts):
    up, down = prefixed(convert.to_stream_request(tag, request)), prefixed(convert.to_stream_response(tag, answer))
    asked = (
        PREFACE
        + calling("Stream")
        + b"".join(say(0, 1, up[a:b]) for a, b in zip([0, *sorted(cuts)], [*sorted(cuts), None]))
    )
    found = read(("up", asked), ("down", say(0, 1, down)))
    told = {field.name.rpartition(".")[2]: field.value for field in found[-1].fields if " of " not in field.name}
    for name in set(answer.__struct_fields__) & set(told) - {"length"}:
        assert told[name] == getattr(answer, name)
    assert found.bytes_by_layer().information == information(request) + information(answer)
    assert sum(len(frame.data) for frame in found) == len(asked) + 9 + len(down)


# ---- real conversations


def chat(protocol):
    """Two users, one sending to the other and to nobody; all of it taped."""
    with chatlab.serve(protocol) as server, relay(server) as tap:
        alice, bob = tap.connect(), tap.connect()
        alice.create_account("alice")
        bob.create_account("bob")
        alice.send("bob", "hi")
        assert bob.receive(timeout_s=DEADLINE_S).text == "hi"
        with pytest.raises(ChatError):
            alice.send("nobody", "hi")
        settled(tap, alice, bob)
        counted = tap.bytes_up + tap.bytes_down
        return tap.tape, counted, chatlab.resolve(protocol)


@pytest.fixture(scope="module", params=["grpc", "grpc-stream"])
def conversation(request):
    chunks, counted, implementation = chat(request.param)
    return chunks, counted, dissect_tape(chunks, implementation)


def test_the_fields_of_a_real_conversation_add_up_to_its_bytes(conversation):
    chunks, counted, found = conversation
    for frame in found:
        assert_tiles(frame)
    assert found.bytes_by_layer().bytes == counted == sum(len(chunk.data) for chunk in chunks)


def test_nothing_of_a_real_conversation_stays_unknown(conversation):
    names = {field.name for frame in conversation[2] for field in frame.fields}
    assert not names & {"unfinished", "unreadable", "unexplained", "header", "payload"}
    assert not any(name.startswith(("field ", "setting ")) for name in names)


def test_hyperframe_and_hpack_read_the_same(conversation):
    decoders = {}
    for frame in conversation[2]:
        if frame.kind == "preface":
            continue
        theirs, length = hyper.Frame.parse_frame_header(memoryview(frame.data[:9]))
        theirs.parse_body(memoryview(frame.data[9:]))
        assert (type(theirs).__name__.removesuffix("Frame").upper(), length) == (
            frame.kind.replace("_", ""),
            len(frame.data) - 9,
        )
        assert (theirs.stream_id or None) == frame.stream
        if frame.kind == "HEADERS":
            decoder = decoders.setdefault((frame.connection, frame.direction), Decoder())
            assert [(f.name, f.value) for f in frame.fields[4:] if f.name != "table size"] == decoder.decode(
                theirs.data
            )


def test_a_real_conversation_says_what_was_said(conversation):
    said = [frame.summary for frame in conversation[2] if frame.kind == "DATA"]
    assert any("to='bob' text='hi'" in line and "end" in line.lower() for line in said)
    assert any("sender='alice' text='hi'" in line and "arrived" in line for line in said)


def test_a_unary_call_and_its_answer_hold_the_information_of_their_messages():
    chunks, _, implementation = chat("grpc")
    found = dissect_tape(chunks, implementation)
    exchanges = found.by_exchange().values()
    sends = [each for each in exchanges if any(frame.summary.endswith("/chatlab.v1.Chat/Send") for frame in each)]
    accepted, refused = (group.bytes_by_layer().information for group in sends)
    assert accepted == information(Send("bob", "hi")) + information(Sent(1, True))
    text = "there is no account 'nobody'"
    assert refused == information(Send("nobody", "hi")) + information(Refused("NO_SUCH_ACCOUNT", text))
