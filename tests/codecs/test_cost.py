"""Nothing that a peer sends costs more than its bytes: decoding, carrying out and refusing take linear time.

Each frame is made twice, with one and with four parts of something hostile, and goes the whole way through a server:
the connection decodes it, the hub carries it out, and the connection encodes what comes of it. Four parts may take a
few times as long as one, and not sixteen times; times too short to matter are not compared.
"""

import time

import pytest

import chatlab
from chatlab.chat.hub import Hub, Outbox
from chatlab.codecs.connection import CLIENT_ACCEPTS, Connection
from chatlab.codecs.interface import preface_of
from chatlab.messages import REQUESTS, CreateAccount, DeleteMessages, Limits, Ping, Pong, Send

CODECS = [chatlab.resolve(name).codec for name in ("text", "json", "binary", "protobuf")]
PART = 16_000  # bytes
FRAMES = 500  # in a part, where it is made of frames
NEGLIGIBLE_S = 0.002
MAX_RATIO = 9  # for four times as many bytes

#: What a text field may be full of; each is repeated.
FILLINGS = {
    "letters": "a",
    "wildcards": "*?",
    "combining marks of two classes": "\u0301\u0316",
    "digits": "9",
    "separators and escapes": "|\\n\\p#@",
    "quotes and control characters": '"\\\x01',
    "characters of four bytes": "🙂",
    "Hangul in pieces": "\u1112\u1161\u11ab",
}


class Server:
    """Everything of a server but its sockets, with one client that is logged in and one that is not."""

    def __init__(self, codec):
        self.codec = codec
        self.hub = Hub(limits=Limits(outbox=10**6))
        self.sessions = [self.hub.open_session(Outbox(lambda: None, self.hub.limits)) for _ in range(2)]
        self.hub.ask(self.sessions[0], None, CreateAccount("ada"))
        self.hub.ask(self.sessions[0], None, Send("ada", "hi"))
        self.sessions[0].outbox.take()

    def process(self, data: bytes) -> int:
        """Take in what a client sends in one piece. Returns how many bytes are sent back."""
        sent = 0
        for session in self.sessions:
            connection = Connection(self.codec)
            for tag, request in connection.receive(preface_of(self.codec) + data):
                self.hub.ask(session, tag, request)
            sent += sum(len(connection.send(tag, message)) for tag, message in session.outbox.take())
        return sent


def seconds(process, data: bytes) -> float:
    """The processor time of the faster of two attempts."""
    fastest = float("inf")
    for _ in range(2):  # a busy machine may disturb one
        began = time.process_time()
        process(data)
        fastest = min(fastest, time.process_time() - began)
    return fastest


def assert_linear(codec, frame_of):
    """`frame_of(n)` is a frame with n parts."""
    one, four = frame_of(1), frame_of(4)
    assert 2 * len(one) < len(four) <= Limits().frame
    server = Server(codec)
    first = seconds(server.process, four)
    if first < NEGLIGIBLE_S:
        return
    for _ in range(3 if first < 0.1 else 1):
        ratio = seconds(server.process, four) / seconds(server.process, one)
        if ratio <= MAX_RATIO:
            return
    raise AssertionError(f"{len(four)} bytes take {ratio:.1f} times as long as {len(one)} bytes")


TEXT_FIELDS = [(kind, field) for kind in REQUESTS for field, of in kind.__annotations__.items() if of is str]
each_codec = pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.name)


@each_codec
@pytest.mark.parametrize("kind, field", TEXT_FIELDS, ids=[f"{kind.__name__}.{field}" for kind, field in TEXT_FIELDS])
def test_a_long_text_costs_time_in_proportion_to_its_length(codec, kind, field):
    others = {name: {str: "ada", int: 1}[of] for name, of in kind.__annotations__.items()}
    others |= {name: "" for name in ("password", "request_id") if name in others}
    for filling in FILLINGS.values():
        copies = PART // max(len(filling.encode()), *[len(c.encode("unicode_escape")) for c in filling])

        def frame_of(parts, text=filling * copies):
            return codec.encode(7, kind(**{**others, field: "a" + text * parts}))

        assert_linear(codec, frame_of)


@each_codec
def test_a_long_list_costs_time_in_proportion_to_its_length(codec):
    assert_linear(codec, lambda parts: codec.encode(7, DeleteMessages(tuple(range(10_000 * parts)))))


@each_codec
def test_many_short_requests_cost_time_in_proportion_to_their_number(codec):
    assert_linear(codec, lambda parts: codec.encode(None, Ping()) * FRAMES * parts)


@each_codec
def test_many_replies_cost_time_in_proportion_to_their_number(codec):
    """What only a server may send is refused, however much of it there is."""
    assert_linear(codec, lambda parts: codec.encode(None, Pong()) * FRAMES * parts)


GARBAGE = {
    "text": [b"x", b"|", b"\\", b"#"],
    "json": [b"[", b"{", b'{"a":', b'"a":1,', b"9", b"\\u0041", b"\xff"],
    "binary": [b"\x80", b"\xff", b"\x00"],
    "protobuf": [b"\x00\x00\x00", b"\xff"],
}
BAD_FRAMES = {
    "text": [b"\n", b"#1|\n", b"\xff\n", b"9|1\n@x|"],
    "json": [b"\n", b"{}\n", b"\xff\n", b'{"op":"Ping","tag":"x"}\n'],
    "binary": [b"\x01\x3f", b"\x02\x4e\x80", b"\x01\x01"],
    "protobuf": [b"\x00\x00\x00\x00\x00", b"\x00\x00\x00\x00\x02\x08\x01", b"\x00\x00\x00\x00\x01\xff"],
}


@pytest.mark.parametrize("codec, piece", [(codec, piece) for codec in CODECS for piece in GARBAGE[codec.name]])
def test_garbage_costs_time_in_proportion_to_its_length(codec, piece):
    assert_linear(codec, lambda parts: piece * (PART // len(piece)) * parts)


@pytest.mark.parametrize("codec, frame", [(codec, frame) for codec in CODECS for frame in BAD_FRAMES[codec.name]])
def test_many_bad_frames_cost_time_in_proportion_to_their_number(codec, frame):
    assert_linear(codec, lambda parts: frame * FRAMES * parts)


BODIES = {
    "a varint": b"\xff",
    "varints in their longest form": b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00",
    "the largest number": b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    "empty texts": b"\x00",
    "groups of protobuf": b"\x0b",
    "unknown fields": b"\x98\x06\x01",
}


@pytest.mark.parametrize("codec", CODECS[2:], ids=lambda codec: codec.name)
@pytest.mark.parametrize("body", BODIES.values(), ids=list(BODIES))
@pytest.mark.parametrize("number", range(34))
def test_a_body_of_garbage_costs_time_in_proportion_to_its_length(codec, body, number):
    """For every message of the binary protocol, tagged; and for the fields of the same numbers in protobuf."""

    def frame_of(parts):
        content = body * (PART // len(body)) * parts
        if codec.name == "binary":
            content = bytes((0x40 | number,)) + content
            return chatlab.codecs.binary.varint(len(content)) + content
        content = bytes(((number % 15) << 3 | 2,)) + chatlab.codecs.binary.varint(len(content)) + content
        return b"\0" + len(content).to_bytes(4, "big") + content

    assert_linear(codec, frame_of)


JSON_LINES = {
    "unknown keys": lambda n: "".join(f'"k{at}":1,' for at in range(n // 10)),
    "one long key": lambda n: f'"{"k" * n}":1,',
    "the same key": lambda n: '"text":"a",' * (n // 11),
    "a long number": lambda n: f'"amount":{"9" * n},',
    "many long numbers": lambda n: '"numbers":[' + ("9" * 4_000 + ",") * (n // 4_000) + "1],",
    "nested arrays": lambda n: '"x":' + "[" * n + "]" * n + ",",
    "nested objects": lambda n: '"x":' + '{"a":' * (n // 6) + "1" + "}" * (n // 6) + ",",
    "lone surrogates": lambda n: '"text":"' + "\\ud800" * (n // 6) + '",',
    "blanks": lambda n: " " * n,
}


@pytest.mark.parametrize("inside", JSON_LINES.values(), ids=list(JSON_LINES))
def test_a_hostile_line_of_json_costs_time_in_proportion_to_its_length(inside):
    assert_linear(CODECS[1], lambda parts: b'{"op":"Send",%b"tag":7}\n' % inside(PART * parts).encode())


def test_a_refusal_is_short_however_long_the_request_was():
    for codec in CODECS:
        server = Server(codec)
        for kind, field in TEXT_FIELDS:
            others = {name: {str: "ada", int: 1}[of] for name, of in kind.__annotations__.items()}
            server.process(codec.encode(7, kind(**{**others, field: "x" * 300_000})))
            assert all(len(session.outbox) == 0 for session in server.sessions)
    for inside in JSON_LINES.values():
        connection = Connection(CODECS[1])
        ((_, malformed),) = connection.receive(b'{"op":"Send",%b"tag":7}\n' % inside(300_000).encode())
        assert len(malformed.text) <= 401


def test_an_error_of_any_codec_is_cut_where_it_is_too_long():
    class Chatty(type(CODECS[0])):
        def decode(self, frame):
            raise chatlab.ProtocolError("no: " + frame.decode(), fatal=False)

    ((_, malformed),) = Connection(Chatty()).receive(b"x" * 100_000 + b"\n")
    assert len(malformed.text) == 401
    client = Connection(Chatty(), CLIENT_ACCEPTS)
    assert client.receive(b"x" * 100_000 + b"\n") == [] and len(client.error.text) == 401
