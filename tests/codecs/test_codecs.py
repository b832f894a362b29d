"""What holds for every spelling of ours: nothing is lost, nothing but `ProtocolError` is raised, cuts do not matter."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import ANY_ANSWER, ANY_MESSAGE, ANY_REQUEST, TAGS

import chatlab
from chatlab.codecs.connection import CLIENT_ACCEPTS, SERVER_ACCEPTS, Connection
from chatlab.codecs.json_lines import JsonCodec
from chatlab.messages import Message, ProtocolError, Send

CODECS = [chatlab.resolve(name).codec for name in ("text", "json", "binary", "protobuf")]
each_codec = pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.name)
CONVERSATIONS = st.tuples(st.just(SERVER_ACCEPTS), st.lists(st.tuples(TAGS, ANY_REQUEST), max_size=8)) | st.tuples(
    st.just(CLIENT_ACCEPTS), st.lists(st.tuples(TAGS, ANY_ANSWER), max_size=8)
)


@each_codec
@given(tag=TAGS, message=ANY_MESSAGE)
def test_what_is_spelled_is_read_back(codec, tag, message):
    frame = codec.encode(tag, message)
    assert codec.decode(frame) == (tag, message)
    assert codec.frame_end(frame, 0, 0) == len(frame)


@each_codec
@settings(max_examples=400)
@given(data=st.binary(max_size=60))
def test_any_bytes_are_a_message_or_a_protocol_error(codec, data):
    try:
        assert isinstance(codec.decode(data or b"\n")[1], Message)
    except ProtocolError:
        pass


@each_codec
@settings(max_examples=300)
@given(tag=TAGS, message=ANY_MESSAGE, at=st.integers(0, 200), bit=st.integers(0, 7))
def test_a_frame_with_a_flipped_bit_is_a_message_or_a_protocol_error(codec, tag, message, at, bit):
    frame = bytearray(codec.encode(tag, message))
    frame[at % len(frame)] ^= 1 << bit
    try:
        assert isinstance(codec.decode(bytes(frame))[1], Message)
    except ProtocolError:
        pass


@each_codec
@given(conversation=CONVERSATIONS, cuts=st.lists(st.integers(0, 2000), max_size=12))
def test_a_stream_cut_anywhere_says_the_same(codec, conversation, cuts):
    accepts, said = conversation
    teller = Connection(codec, CLIENT_ACCEPTS if accepts is SERVER_ACCEPTS else SERVER_ACCEPTS)
    stream = b"".join(teller.send(tag, message) for tag, message in said)
    places = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    listener = Connection(codec, accepts)
    heard = [each for a, b in zip(places, places[1:]) for each in listener.receive(stream[a:b])]
    assert heard == said


@each_codec
@settings(max_examples=200)
@given(data=st.lists(st.binary(max_size=80), max_size=6))
def test_a_connection_swallows_any_bytes(codec, data):
    listener = Connection(codec, SERVER_ACCEPTS, max_frame=100)
    for piece in data:
        listener.receive(getattr(codec, "preface", b"") + piece)
        assert len(listener._buffer) <= 100


@each_codec
def test_a_frame_at_the_limit_passes_and_one_byte_more_is_refused(codec):
    size = len(codec.encode(1, Send("bob", "x" * 500)))
    assert Connection(codec, CLIENT_ACCEPTS, max_frame=size).send(1, Send("bob", "x" * 500))
    with pytest.raises(ProtocolError, match="over the limit"):
        Connection(codec, CLIENT_ACCEPTS, max_frame=size - 1).send(1, Send("bob", "x" * 500))


@pytest.mark.parametrize("codec", CODECS[2:], ids=lambda codec: codec.name)
def test_a_peer_of_a_newer_version_is_told_which_version_is_spoken(codec):
    server = Connection(codec, SERVER_ACCEPTS)
    assert server.receive(codec.preface[:-1] + b"\x02" + b"whatever it says") == []
    assert str(server.error) == f"you speak version 2 of {codec.name}; this server speaks version 1"


@pytest.mark.parametrize("codec", CODECS[2:], ids=lambda codec: codec.name)
def test_a_preface_may_arrive_byte_by_byte(codec):
    client, server = Connection(codec, CLIENT_ACCEPTS), Connection(codec, SERVER_ACCEPTS)
    stream = client.send(1, Send("bob", "hi")) + client.send(2, Send("bob", "ho"))
    heard = [each for at in range(len(stream)) for each in server.receive(stream[at : at + 1])]
    assert heard == [(1, Send("bob", "hi")), (2, Send("bob", "ho"))]


@pytest.mark.parametrize(
    "line", [b'{"op":"Ping","tag":7,"mood":1}\n', b'{"op":"Send","tag":7,"to":"a","text":"b","mood":[1]}\n']
)
def test_json_refuses_a_key_that_nobody_knows_by_its_name(line):
    with pytest.raises(ProtocolError, match="has no 'mood' in version 1") as refused:
        JsonCodec().decode(line)
    assert (refused.value.tag, refused.value.fatal) == (7, False)


@pytest.mark.parametrize("line", [
    b'{"op":"Deposit","tag":7,"amount":1180591620717411303424}\n',
    b'{"op":"DeleteMessages","tag":7,"numbers":[1,1180591620717411303424]}\n',
    b'{"op":"Mail","tag":7,"messages":[{"number":1180591620717411303424,"sender":"a","text":"b"}]}\n',
])  # fmt: skip
def test_json_refuses_a_number_that_other_protocols_cannot_hold(line):
    with pytest.raises(ProtocolError, match="is a signed 64-bit integer, not 1180591620717411303424") as refused:
        JsonCodec().decode(line)
    assert (refused.value.tag, refused.value.fatal) == (7, False)


def test_json_refuses_half_a_character_under_its_tag():
    with pytest.raises(ProtocolError, match=r"^a text holds a lone surrogate, '\\ud800'$") as refused:
        JsonCodec().decode(rb'{"op":"Send","tag":7,"to":"bob","text":"hi \ud800"}' + b"\n")
    assert (refused.value.tag, refused.value.fatal) == (7, False)


def test_json_reads_a_character_in_two_halves():
    line = rb'{"op":"Send","tag":7,"to":"bob","text":"\ud83d\ude42"}' + b"\n"
    assert JsonCodec().decode(line) == (7, Send("bob", "\U0001f642"))


def test_json_refuses_an_unknown_key_inside_a_letter_too():
    line = b'{"op":"Mail","messages":[{"number":1,"sender":"a","text":"b","mood":2}]}'
    with pytest.raises(ProtocolError, match="unknown field `mood`"):
        JsonCodec().decode(line)
