"""Every byte of a frame has a name, the names are those of the messages, and only ProtocolError is ever raised."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import ANY_MESSAGE, TAGS

from chatlab.capture.dissection import dissect, dissect_tape
from chatlab.capture.fields import Field, Frames, fill_gaps, place_fragments
from chatlab.capture.layers import LayerBytes, bytes_by_layer, information
from chatlab.codecs.binary import BinaryCodec
from chatlab.codecs.json_lines import JsonCodec
from chatlab.codecs.protobuf import ProtobufCodec
from chatlab.codecs.text import TextCodec
from chatlab.messages import Arrived, Mail, Ping, Pong, ProtocolError, Send, Sent

CODECS = [TextCodec(), JsonCodec(), BinaryCodec(), ProtobufCodec()]
each_codec = pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.name)


class Plain:
    """A codec that does not say which bytes mean what."""

    name = "plain"

    def __init__(self):
        self.encode, self.decode, self.frame_end = CODECS[0].encode, CODECS[0].decode, CODECS[0].frame_end


def tape(*chunks):
    return [(float(number), 1, direction, data) for number, (direction, data) in enumerate(chunks)]


def assert_tiles(fields, size):
    assert [field.start for field in fields] == [0, *(field.end for field in fields[:-1])]
    assert fields[-1].end == size and all(field.start < field.end for field in fields)


def attributes(message, around=""):
    """Every string, number and yes-or-no of a message, by the name that a span gives it."""
    for name in message.__struct_fields__:
        value = getattr(message, name)
        for index, element in enumerate(value if isinstance(value, tuple) else ()):
            if isinstance(element, Arrived):
                yield from attributes(element, f"{name}[{index}] ")
            else:
                yield f"{name}[{index}]", element
        if not isinstance(value, tuple):
            yield around + name, value


# ---- one frame


@each_codec
@given(tag=TAGS, message=ANY_MESSAGE)
def test_fields_tile_every_frame(codec, tag, message):
    frame = codec.encode(tag, message)
    assert_tiles(dissect(codec, frame), len(frame))


@each_codec
@given(tag=TAGS, message=ANY_MESSAGE)
def test_fields_say_what_the_decoder_reads(codec, tag, message):
    frame = codec.encode(tag, message)
    read_tag, read = codec.decode(frame)
    said = {field.name: field.value for field in dissect(codec, frame)}
    assert said.get("message") == type(read).__name__
    assert said.get("tag") == read_tag
    for name, value in attributes(read):
        assert name not in said or (said[name], type(said[name])) == (value, type(value)), name


@each_codec
@given(tag=TAGS, message=ANY_MESSAGE)
def test_what_no_field_says_is_empty_or_a_default(codec, tag, message):
    frame = codec.encode(tag, message)
    said = {field.name for field in dissect(codec, frame)}
    shortest = {name: value for name, value in attributes(codec.decode(frame)[1]) if name not in said}
    assert all(value in ("", 0, "*", "lobby", 100) or value is True for value in shortest.values()), shortest


@given(message=ANY_MESSAGE)
def test_a_field_of_text_holds_the_text(message):
    frame = JsonCodec().encode(None, message)
    for start, end, name, value in JsonCodec().spans(frame):
        if isinstance(value, str) and value.isascii() and value.isalnum() and not name.startswith("key of "):
            assert frame[start:end].decode() == value


@pytest.mark.parametrize(
    "frame", [b"{ }", b'{"op":"Ping","x":' + b"[" * 100_000, b'{"op":"Ping","x":"\xff"}\n', b"", b"\0"]
)
@each_codec
def test_what_cannot_be_read_is_a_protocol_error(codec, frame):
    try:
        assert_tiles(dissect(codec, frame), len(frame))
    except ProtocolError:
        pass


@each_codec
@given(data=st.binary(max_size=80))
def test_arbitrary_bytes_raise_nothing_but_protocol_errors(codec, data):
    try:
        assert_tiles(dissect(codec, data), len(data))
    except ProtocolError:
        pass


@each_codec
@given(tag=TAGS, message=ANY_MESSAGE, place=st.floats(0, 1), byte=st.integers(0, 255))
def test_a_damaged_frame_is_tiled_or_a_protocol_error(codec, tag, message, place, byte):
    frame = bytearray(codec.encode(tag, message))
    frame[int(place * (len(frame) - 1))] = byte
    try:
        assert_tiles(dissect(codec, bytes(frame)), len(frame))
    except ProtocolError:
        pass


@pytest.mark.parametrize("line", [b" 6 |bob|a|b|c\r\n", b"5||x\n", b"@|6|bob|x\n", b"#007|14", b"5\n", b"7||\r\n"])
def test_a_line_typed_by_hand_is_tiled_too(line):
    assert_tiles(dissect(TextCodec(), line), len(line))


def test_json_in_another_order_and_with_spaces_is_tiled_too():
    line = b'{ "messages":[ {"text":"a\\nb", "number":3,"sender" : "bob"}] , "tag" : 7 , "op":"Mail", "more":true }\r\n'
    fields = dissect(JsonCodec(), line)
    assert_tiles(fields, len(line))
    assert {"tag": 7, "messages[0] text": "a\nb", "messages[0] number": 3, "more": True}.items() <= {
        f.name: f.value for f in fields
    }.items()


def test_a_codec_without_spans_gets_a_plain_view():
    (field,) = dissect(Plain(), b"6|bob|hi\n")
    assert field == Field(0, 9, "frame", Send("bob", "hi"), "Send to='bob' text='hi'", "payload encoding", 6)


def test_bytes_that_a_readers_codec_does_not_name_are_named_so():
    codec = Plain()
    codec.spans = lambda frame: [(2, 5, "to", "bob")]
    assert [(f.name, f.information) for f in dissect(codec, b"6|bob|hi\n")] == [
        ("without a name", 0),
        ("to", 3),
        ("without a name", 0),
    ]


# ---- a tape


@each_codec
@given(data=st.data(), asked=st.lists(ANY_MESSAGE, max_size=6))
def test_a_tape_cut_anywhere_gives_the_same_frames(codec, data, asked):
    frames = [codec.encode(number + 1, message) for number, message in enumerate(asked)]
    stream = getattr(codec, "preface", b"") + b"".join(frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)])]
    found = dissect_tape(tape(*(("up", piece) for piece in pieces)), codec)
    assert [frame.data for frame in found if frame.kind != "preface"] == frames
    assert b"".join(frame.data for frame in found) == stream
    assert [frame.offset for frame in found] == [sum(len(f.data) for f in found[:n]) for n in range(len(found))]


@each_codec
@given(chunks=st.lists(st.tuples(st.sampled_from(["up", "down"]), st.binary(max_size=40)), max_size=8))
def test_any_tape_is_dissected_to_the_last_byte(codec, chunks):
    found = dissect_tape(tape(*chunks), codec)
    for direction in ("up", "down"):
        assert b"".join(f.data for f in found if f.direction == direction) == b"".join(
            d for way, d in chunks if way == direction
        )
    for frame in found:
        assert_tiles(frame.fields, len(frame.data))
    assert bytes_by_layer(found).bytes == sum(len(data) for _, data in chunks)


def test_a_conversation_is_told_frame_by_frame():
    chunks = ("up", b"CLB\1\x03\x4e"), ("up", b"\x81\x02"), ("down", b"\x03\x59\x81\x01"), ("down", b"\x09\x1c")
    found = dissect_tape(tape(*chunks), BinaryCodec())
    assert [(f.at_s, f.kind, f.stream) for f in found] == [
        (0.0, "preface", None), (1.0, "Ping", 257), (2.0, "Done", 129), (3.0, "unfinished", None),
    ]  # fmt: skip


def test_what_a_peer_says_after_nonsense_is_unreadable():
    found = dissect_tape(tape(("up", b"GET / HTTP/1.1\r\n\r\n"), ("up", b"more")), BinaryCodec())
    assert [(f.kind, len(f.data)) for f in found] == [("unreadable", 22)]
    assert "binary begins with" in found[0].summary


def test_a_frame_that_cannot_be_read_does_not_hide_the_next():
    found = dissect_tape(tape(("up", b"99|x\n14\n")), TextCodec())
    assert [frame.kind for frame in found] == ["unreadable", "Ping"]


def test_a_tape_is_not_read_as_just_anything():
    with pytest.raises(TypeError, match="with a codec"):
        dissect_tape([], 7)


class Stranger:
    """An Implementation with a protocol of its own."""

    name = "stranger"
    serve = connect = None


def test_a_protocol_that_nobody_knows_is_shown_chunk_by_chunk():
    found = dissect_tape(tape(("down", b"hello"), ("up", b"EHLO me"), ("down", b"250")), Stranger())
    assert [(f.kind, f.direction, f.offset, f.summary) for f in found] == [
        ("chunk", "down", 0, "'hello'"), ("chunk", "up", 0, "'EHLO me'"), ("chunk", "down", 5, "'250'"),
    ]  # fmt: skip
    assert found.bytes_by_layer().bytes == 15


def test_an_implementation_that_speaks_http2_is_read_as_http2():
    found = dissect_tape(tape(("up", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")), Stranger())
    assert [(frame.protocol, frame.kind) for frame in found] == [("http2", "preface")]


def test_frames_are_grouped_by_question_and_answer():
    found = dissect_tape(tape(("up", b"#1|14\n#2|14\n"), ("down", b"#1|pong\n#2|pong\n")), TextCodec())
    assert [[f.kind for f in group] for group in found.by_exchange().values()] == [["Ping", "Pong"]] * 2
    assert isinstance(found[:1] + found[1:], Frames)


# ---- what it costs


@each_codec
@given(tag=TAGS, message=ANY_MESSAGE)
def test_layers_add_up_to_the_bytes_of_a_frame(codec, tag, message):
    frame = codec.encode(tag, message)
    found = dissect_tape([(0.0, 1, "down", frame)], codec)
    assert found.bytes_by_layer().bytes == len(frame) and min(found.bytes_by_layer()) >= 0


@each_codec
@given(tag=TAGS, message=ANY_MESSAGE)
def test_information_is_the_same_in_every_codec(codec, tag, message):
    found = dissect_tape([(0.0, 1, "down", codec.encode(tag, message))], codec)
    assert found.bytes_by_layer().information == information(codec.decode(codec.encode(tag, message))[1])


def test_the_account_of_one_send():
    frame = dissect_tape([(0.0, 1, "down", BinaryCodec().encode(7, Send("bob", "hi")))], BinaryCodec())
    assert frame.bytes_by_layer() == LayerBytes(information=6, encoding=1, framing=2, http2=0, tcp_ip=52)


def test_a_long_write_is_several_segments_in_the_model():
    frames = [
        dissect_tape([(0.0, 1, "up", TextCodec().encode(1, Send("bob", "x" * size)))], TextCodec())
        for size in (1, 1438, 1439)
    ]
    assert [found.bytes_by_layer().tcp_ip for found in frames] == [52, 52, 104]


def test_information_counts_what_is_said_and_not_how():
    assert [information(m) for m in (Ping(), Pong(), Sent(0), Sent(256), Send("bob", "né", "r1"))] == [1, 1, 1, 3, 9]
    assert information(Mail((Arrived(3, "al", "hi"), Arrived(300, "al", "", True)), True)) == 1 + 5 + 4


# ---- pieces


def test_a_field_that_lies_in_two_pieces_has_a_part_in_each():
    first, second = [], []
    place_fragments(
        [Field(0, 2, "a"), Field(2, 6, "b", information=3), Field(6, 7, "c")], [(first, 9, 13), (second, 0, 3)]
    )
    assert first == [Field(9, 11, "a"), Field(11, 13, "part of b", information=2)]
    assert second == [Field(0, 2, "part of b", information=1), Field(2, 3, "c")]


def test_what_nobody_named_gets_a_name():
    assert [field[:3] for field in fill_gaps([Field(2, 3, "a")], 5, "rest", "layer")] == [
        (0, 2, "rest"),
        (2, 3, "a"),
        (3, 5, "rest"),
    ]
