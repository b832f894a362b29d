"""What every codec must hold to where bytes come in pieces, and from peers that are clumsy or hostile.

The cases go on where those of `codec_cases` end: there each message stood alone, here a stream is cut, joined, changed
and made up. Everything is read through a `Connection`, as every server and client of ours reads.
"""

import random
from collections.abc import Iterator

from ..codecs.interface import Tagged
from ..messages import (
    Account,
    Accounts,
    Arrived,
    Balance,
    DeleteAccount,
    Deleted,
    DeleteMessages,
    Deposit,
    Done,
    Heard,
    Leave,
    LogOut,
    Mail,
    Message,
    Ping,
    Pong,
    ProtocolError,
    Refused,
    Say,
    Send,
    Sent,
    Unread,
)
from .checked_codec import (
    EVERY_KIND,
    LARGEST,
    TEXT_BYTES,
    CheckedCodec,
    filled,
    kinds_with,
    listener,
    round_trip,
    same,
)
from .report import CaseFailed, CaseSkipped, case, clipped

# ---- a stream is not messages -----------------------------------------------------------------------------------


#: Plain messages, so that a framing case fails for its framing and not for a value that another case tries.
PLAIN: list[Tagged] = [
    (7, Send("bob", "hi there")),
    (None, Arrived(3, "ada", "hello")),
    (30, Accounts(("ann", "ben"), next="ben")),
    (8, Ping()),
    (None, Heard("den", "ada", "good morning")),
    (9, Sent(3, True)),
    (12, Deposit(70, "ada", "rent")),
    (1, Pong()),
]
#: Messages that a cut or a search may break although each of them is read well when it stands alone.
DIFFICULT: list[Tagged] = [
    (7, Send("bob", 'hi | "there"\n{')),
    (None, Arrived(3, "ada", "hé🙂}")),
    (None, Heard("den", "ada", "")),
    (300, Done()),
    (2**40, Say("\\")),
]

Stream = list[tuple[bytes, Tagged]]


def encoded(codec: CheckedCodec, messages: list[Tagged] = PLAIN) -> Stream:
    """Each frame, and what decode makes of it alone: whether that is right is for other cases to say."""
    frames = [codec.encode(tag, message) for tag, message in messages]
    return [(frame, codec.decode(frame)) for frame in frames]


def encoded_difficult(codec: CheckedCodec) -> Stream:
    """Those of the difficult messages that come back when they stand alone."""
    stream = []
    for tag, message in DIFFICULT:
        try:
            stream.append((round_trip(codec, tag, message), (tag, message)))
        except Exception:  # what is wrong with it is another case's question
            pass
    return stream


def joined(stream: Stream) -> bytes:
    return b"".join([frame for frame, _ in stream])


def expect_messages(codec: CheckedCodec, pieces: list[bytes], stream: Stream, sent: str) -> None:
    """Feed the pieces to a fresh Connection; `CaseFailed` where not exactly the messages of the stream come out."""
    connection, wanted = listener(codec), [tagged for _, tagged in stream]
    got = [tagged for piece in pieces for tagged in connection.receive(piece)]
    if connection.error is not None:
        connection.error.add_note(sent)
        raise connection.error
    if not same(got, wanted):
        unequal = (n for n, (one, other) in enumerate(zip(got, wanted)) if not same(one, other))
        place = next(unequal, min(len(got), len(wanted)))
        there = clipped(repr(got[place])) if place < len(got) else "missing"
        first = f"the first difference is number {place + 1}: {there}"
        cause = "the messages of a stream come out otherwise than each of them alone"
        raise CaseFailed(sent, f"{len(got)} messages of {len(wanted)}; {first}", cause=cause)


@case(
    "One recv taken for one message: two requests in one segment are merged, or the second is lost or waits for the "
    "next wake-up.",
)
def many_frames_in_one_segment(codec: CheckedCodec) -> None:
    """All frames that came in one piece come out of one wake-up, in order."""
    for stream in (
        encoded(codec),
        encoded(codec, [(7, filled(kind)) for kind in EVERY_KIND]),
        encoded_difficult(codec),
    ):
        expect_messages(codec, [joined(stream)], stream, f"{len(stream)} frames in one segment")


@case(
    "A message split over segments: the parser fails on half a frame, drops its tail, or starts afresh on each "
    "wake-up.",
)
def one_byte_at_a_time(codec: CheckedCodec) -> None:
    """A conversation that arrives byte by byte is the same conversation."""
    for stream in (encoded(codec), encoded_difficult(codec)):
        data = joined(stream)
        expect_messages(
            codec, [data[at : at + 1] for at in range(len(data))], stream, f"{len(data)} bytes, one at a time"
        )


@case("A message split over two segments kills the reader, or its tail is dropped.")
def every_cut_in_two(codec: CheckedCodec) -> None:
    """Wherever a conversation is cut in two, it is the same conversation."""
    for stream in (encoded(codec), encoded_difficult(codec)):
        data = joined(stream)
        for cut in range(1, len(data)):
            sent = f"{clipped(repr(data[:cut][-60:]))} and then {clipped(repr(data[cut:][:60]))}"
            expect_messages(codec, [data[:cut], data[cut:]], stream, sent)


@case("A buffer of fixed size: recv(1024) cuts a long message, and the rest is read as commands.")
def long_messages_in_pieces(codec: CheckedCodec) -> None:
    """Long messages in segments of 1000, 1024 or 4096 bytes, and cut at random, are the same messages."""
    stream = encoded(
        codec, [(7, Send("bob", "a long one " * 1500)), (8, Ping()), (None, Arrived(1, "ada", "x" * 6000)), (9, Pong())]
    )
    data, chance = joined(stream), random.Random(0)
    for size in (1000, 1024, 1460, 4096):
        expect_messages(
            codec, [data[at : at + size] for at in range(0, len(data), size)], stream, f"segments of {size} bytes"
        )
    for _ in range(20):
        cuts = sorted(chance.sample(range(1, len(data)), 12))
        pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)])]
        expect_messages(codec, pieces, stream, f"{len(pieces)} pieces, cut at random")


@case("The first byte, or the first bytes, accepted as a whole frame.")
def a_beginning_is_not_a_frame(codec: CheckedCodec) -> None:
    """As long as one byte of a frame is missing no message comes out."""
    for tag, message in PLAIN:
        frame = codec.encode(tag, message)
        for size in range(1, len(frame)):
            connection = listener(codec)
            sent = f"{frame[:size]!r}, the first {size} of {len(frame)} bytes"
            if got := connection.receive(frame[:size]):
                raise CaseFailed(sent, got)
            if connection.error:
                hint = "A fragment refused: who has received half a message must wait for the rest."
                raise CaseFailed(sent, f"ProtocolError: {connection.error}", hint)


@case("A frame's end that is looked for from the wrong place, or is taken from what follows the frame.")
def a_frame_ends_where_it_ends(codec: CheckedCodec) -> None:
    """Whatever stands before and after it in the buffer, a frame ends after its last byte, and never inside."""
    for tag, message in PLAIN:
        frame, before = codec.encode(tag, message), codec.encode(None, Say("before"))
        every_byte = [bytes([byte]) for byte in range(256)]
        for after in (b"", frame, before, *every_byte, b"\r\n\r\n", b"}}}", b'"', frame[:1], frame[:-1]):
            for ahead in (b"", before):
                buffer = bytearray(ahead + frame + after)
                end = codec.frame_end(buffer, len(ahead), len(ahead))
                if end != len(ahead) + len(frame):
                    sent = f"frame_end from {len(ahead)} of {clipped(repr(bytes(buffer)))}"
                    raise CaseFailed(sent, f"{end}, where the frame ends at {len(ahead) + len(frame)}")


@case("A guess at an end that is not known yet.")
def a_known_end_does_not_change(codec: CheckedCodec) -> None:
    """Of an unfinished frame frame_end says 0 or where it will end; what it says does not change when more comes."""
    for tag, message in PLAIN:
        frame = codec.encode(tag, message)
        for size in range(1, len(frame)):
            end = codec.frame_end(bytearray(frame[:size]), 0, 0)
            if end not in (0, len(frame)):
                raise CaseFailed(f"frame_end of {frame[:size]!r}", f"{end}, where the frame ends at {len(frame)}")
            if not end and codec.frame_end(bytearray(frame), 0, size) != len(frame):
                raise CaseFailed(
                    f"frame_end of {frame!r}, searched already up to {size}", codec.frame_end(bytearray(frame), 0, size)
                )


@case(
    "Parser state that is kept in the codec: one object reads for every connection, so nothing may stay in it.",
)
def nothing_is_kept_between_frames(codec: CheckedCodec) -> None:
    """Two conversations, byte by byte in turns through one codec, do not mix; no bad frame spoils a good one."""
    streams = encoded(codec), encoded(codec, PLAIN[::-1])
    got: tuple[list[Tagged], list[Tagged]] = [], []
    connections, data = (listener(codec), listener(codec)), [*map(joined, streams)]
    for at in range(max(map(len, data))):
        for side in (0, 1):
            got[side].extend(connections[side].receive(data[side][at : at + 1]))
            codec.encode(5, Ping())
    for side, stream in enumerate(streams):
        if not same(got[side], [tagged for _, tagged in stream]):
            raise CaseFailed(
                "two conversations, byte by byte in turns",
                f"{len(got[side])} messages of {len(stream)}: {clipped(repr(got[side]))}",
            )
    for bad in _mutated(codec, 200, random.Random(1)):
        listener(codec).receive(bad)
        expect_messages(codec, data[:1], streams[0], f"after a bad frame {clipped(repr(bad))} on another connection")


@case("Bytes that depend on chance, time or on what was said before: a frame must depend on its message alone.")
def a_message_is_always_encoded_alike(codec: CheckedCodec) -> None:
    """The same message with the same tag is the same bytes, and exactly one frame."""
    for tag, message in PLAIN:
        one = codec.encode(tag, message)
        codec.encode(1, Send("eve", "something else"))
        if codec.encode(tag, message) != one:
            raise CaseFailed(
                message, f"{clipped(repr(one))}, and the second time {clipped(repr(codec.encode(tag, message)))}"
            )


# ---- the hostile and the clumsy peer ----------------------------------------------------------------------------


def _mutated(codec: CheckedCodec, count: int, chance: random.Random) -> Iterator[bytes]:
    """Frames with bytes changed, left out, put in, repeated or cut off."""
    frames = [codec.encode(7, filled(kind)) for kind in EVERY_KIND] + [codec.encode(*each) for each in PLAIN]
    for _ in range(count):
        frame = bytearray(chance.choice(frames))
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(frame) + 1)
            match chance.randrange(5):
                case 0 if at < len(frame):
                    frame[at] ^= 1 << chance.randrange(8)
                case 1:
                    del frame[at : at + chance.randint(1, 3)]
                case 2:
                    frame[at:at] = chance.randbytes(chance.randint(1, 3))
                case 3:
                    pieces = [b"\xff\xff", b"\0\0", b'"', b"|", b"9999", b"-1", b"\x80", b"{", b"\\"]
                    frame[at : at + 2] = chance.choice(pieces)
                case 4:
                    frame[at:] = chance.choice([b"", bytes(frame), b"\n"])
        yield bytes(frame)


def _survives(codec: CheckedCodec, garbage: bytes) -> None:
    """Nothing but ProtocolError comes of it, whatever is made of it is well typed, and reading it ends."""
    connection = listener(codec, max_frame=64 << 10)
    for piece in (garbage[:3], garbage[3:]):
        for tag, message in connection.receive(piece):
            if ill := ill_typed(tag, message):
                hint = "Values taken as they come: what decode returns must have the types that the message promises."
                raise CaseFailed(garbage, ill, hint)


def ill_typed(tag: object, message: Message) -> str:
    """What has another type than it should have, in words; empty where all is well."""
    if tag is not None and (type(tag) is not int or not 1 <= tag <= LARGEST):
        return f"the tag {tag!r}"
    if not isinstance(message, Message):
        return clipped(repr(message))
    element = {tuple[int, ...]: int, tuple[str, ...]: str, tuple[Arrived, ...]: Arrived}
    for field, wanted in type(message).__annotations__.items():
        value = getattr(message, field)
        inside = element.get(wanted)
        if inside is None:
            is_right = type(value) is wanted
        else:
            is_right = type(value) is tuple and all(type(item) is inside for item in value)
        if not is_right:
            return f"{type(message).__name__} with {field}={clipped(repr(value), 60)}"
        if inside is Arrived and any(ill_typed(None, letter) for letter in value):
            return clipped(repr(message))
    return ""


GARBAGE = [
    *(b"\0", b"\xff" * 40, b"\0" * 40, b"\n", b"\r\n\r\n", b"#\n", b"-1\n", b"|||||\n", b"a" * 3000),
    *(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    *(b"{}\n", b"[]\n", b"null\n", b"5\n", b'"x"\n', b"1e999\n", b"9" * 5_000 + b"\n"),
    *(b"[" * 50_000 + b"\n", b'{"a":' * 20_000 + b"\n"),
    *(b"\xc3\x28\n", b"\xed\xa0\x80\n", b"\x80" * 12, b"\x7f\xff\xff\xff"),
]


@case(
    "A KeyError, IndexError, UnicodeDecodeError or struct.error that gets out of decode or frame_end kills the "
    "connection's reader.",
)
def garbage_is_a_protocol_error(codec: CheckedCodec) -> None:
    """Whatever bytes arrive, frame_end and decode raise only ProtocolError, and what they return is well typed."""
    chance = random.Random(0)
    for garbage in GARBAGE:
        _survives(codec, garbage)
    for _ in range(300):
        _survives(codec, chance.randbytes(chance.randint(1, 60)))
    for frame in _mutated(codec, 1500, chance):
        _survives(codec, frame)
    for kind in kinds_with(str):
        frame = codec.encode(7, filled(kind, text="bob"))
        for letters in (b"\xff\xffb", b"\xc3\x28b", b"\xed\xa0\x80"):
            _survives(codec, frame.replace(b"bob", letters))


#: As many bytes of JSON, but of another type; where a frame holds the first, one of the others takes its place.
OF_ANOTHER_TYPE = {
    b'"bob"': [b"12345", b"false", b"null ", b"[[]] ", b"{}   "],
    b"12345": [b'"123"', b"1.345", b"false", b"null ", b"[123]", b"12e45"],
    b"77777": [b'"777"', b"7.777", b"false", b"[777]", b"-7777"],
    b"true": [b'"tr"', b"1   ", b"null"],
}


@case(
    "Values taken as they come: a number where a text belongs, or nothing at all, goes on into the chat and breaks it "
    "there.",
)
def a_wrong_type_is_refused(codec: CheckedCodec) -> None:
    """A number in a text's place, a list in a number's place and the like are refused, not handed on."""
    for kind in (Send, Say, Deposit, Unread, Balance, Account, Arrived, Deleted, DeleteMessages, Accounts, Refused):
        frame = codec.encode(77777, filled(kind, text="bob", number=12345))
        for old, news in OF_ANOTHER_TYPE.items():
            for new in news:
                if old in frame:
                    _survives(codec, frame.replace(old, new, 1))


@case("No total length: after an operation that it does not know the reader is out of step for good.")
def an_unknown_operation_can_be_stepped_over(codec: CheckedCodec) -> None:
    """After a frame of an unknown operation the next frames are read, or the connection ends with a reason."""
    places = _places_of_the_operation(codec)
    if not places:
        raise CaseSkipped("no byte could be found that says which message it is")
    good: list[Tagged] = [(tag, Send("bob", f"still here {tag}")) for tag in (11, 12, 13)]
    for place in places:
        for byte in b"\xfe~z":
            frame = bytearray(codec.encode(None, Send("bob", "hi there")))
            if place >= len(frame):
                continue
            frame[place] = byte
            connection = listener(codec)
            got = connection.receive(bytes(frame) + joined(encoded(codec, good)))
            if connection.error is None and (len(got) != 4 or not same(got[1:], good)):
                raise CaseFailed(
                    f"{bytes(frame)!r}, then three good frames", f"{len(got)} messages: {clipped(repr(got))}"
                )


def _places_of_the_operation(codec: CheckedCodec) -> set[int]:
    """Where messages without a field differ: those bytes say which message it is."""
    frames = [codec.encode(None, kind()) for kind in (LogOut, Leave, Ping, Done, Pong, DeleteAccount)]
    pairs = [(one, other) for one in frames for other in frames if len(one) == len(other)]
    return {at for one, other in pairs for at in range(len(one)) if one[at] != other[at]}


@case(
    "A byte that is never read: a checksum that is sent and not checked, a version that is not compared, padding.",
)
def every_byte_matters(codec: CheckedCodec) -> None:
    """If any one byte of a frame is changed the message changes or is refused: no byte is sent for nothing."""
    messages = [
        Send("bob", "hi there", "rent"),
        Arrived(70000, "ada", "hi", True),
        Deposit(70000, "ada", "rent"),
        Account(70000, "ada", 5, 4),
        Ping(),
    ]
    for message in messages:
        frame = codec.encode(70007, message)
        for at in range(len(frame)):
            if all(_reads_the_same(codec, frame, at, mask, (70007, message)) for mask in (0x01, 0x12, 0x80, 0xFF)):
                raise CaseFailed(
                    f"{frame!r} with byte {at} ({frame[at : at + 1]!r}) changed to anything",
                    f"{message!r}, as if nothing had happened",
                )


def _reads_the_same(codec: CheckedCodec, frame: bytes, at: int, mask: int, wanted: Tagged) -> bool:
    changed = frame[:at] + bytes([frame[at] ^ mask]) + frame[at + 1 :]
    try:
        return codec.frame_end(changed + frame, 0, 0) == len(frame) and same(codec.decode(changed), wanted)
    except Exception:  # refused, somehow: how, is another case's question
        return False


@case("No upper bound on a length that the peer sends: it is read, believed, and waited for.")
def an_absurd_length_is_refused_before_it_is_buffered(codec: CheckedCodec) -> None:
    """The end is known as soon as a length was read, so an absurd one is refused at once and never waited for."""
    limit = 4096
    for head in _absurd_heads(codec):
        connection = listener(codec, max_frame=limit)
        connection.receive(head)
        for _ in range(3 * limit // 512):
            connection.receive(b"x" * 512)  # where nothing ends, Connection ends the conversation at the limit
        for filler in (b"x", b"\0"):
            _known_at_once(codec, head, filler * 70_000)


def _absurd_heads(codec: CheckedCodec) -> Iterator[bytes]:
    frame = codec.encode(None, Send("bob", "hi"))
    for size in range(1, 9):
        for at in range(0, 9 - size):
            for byte in (b"\xff", b"9", b"\x7f"):
                yield frame[:at] + byte * size + frame[at + size : 10]


def _known_at_once(codec: CheckedCodec, head: bytes, filler: bytes) -> None:
    """An end found in nothing but filler was known from the head; then it must be returned for the head alone."""
    try:
        end = codec.frame_end(head + filler, 0, 0)
        if end > len(head) + 300 and codec.frame_end((head + filler)[: end - 1], 0, 0) != end:
            raise CaseFailed(
                f"{head!r} and then filler", f"the end at {end} is known only when all its bytes are there"
            )
    except ProtocolError:
        pass


class CountingBuffer(bytearray):
    """A buffer that counts how many of its bytes are looked at."""

    seen = 0
    most = 1 << 62

    def look(self, count: int) -> None:
        self.seen += count
        if self.seen > self.most:
            raise CaseFailed(
                f"one frame of {len(self)} bytes so far, in pieces",
                f"{self.seen} bytes looked at: those at the front again and again",
            )

    def __getitem__(self, key):
        part = super().__getitem__(key)
        self.look(len(part) if isinstance(key, slice) else 1)
        return part

    def __iter__(self):
        for byte in super().__iter__():
            self.look(1)
            yield byte

    def __bytes__(self):
        self.look(len(self))
        return bytes(memoryview(self))

    def __contains__(self, part):
        self.look(len(self))
        return super().__contains__(part)


def _counting(name: str):
    """The method of bytearray, which looks at all bytes."""
    plain = getattr(bytearray, name)

    def method(self, *given, **named):
        self.look(len(self))
        return plain(self, *given, **named)

    return method


def _searching(name: str):
    """The method of bytearray, which looks at the bytes between its bounds, and not beyond what it finds."""
    plain, find = getattr(bytearray, name), bytearray.rfind if name.startswith("r") else bytearray.find

    def method(self, part, *bounds):
        start, end, _ = slice(*(*bounds, None, None)[:2]).indices(len(self))
        place = -1 if name == "count" else find(self, part, start, end)
        if place >= 0:
            start, end = (place, end) if name.startswith("r") else (start, place + 1)
        self.look(max(0, end - start))
        return plain(self, part, *bounds)

    return method


for _name in [
    "split",
    "rsplit",
    "splitlines",
    "partition",
    "rpartition",
    "decode",
    "strip",
    "rstrip",
    "replace",
    "translate",
]:
    setattr(CountingBuffer, _name, _counting(_name))
for _name in ["find", "index", "rfind", "rindex", "count"]:
    setattr(CountingBuffer, _name, _searching(_name))


@case("A quadratic re-scan: the whole buffer is searched from its first byte after each piece that arrives.")
def a_long_frame_is_searched_once(codec: CheckedCodec) -> None:
    """The bytes of a frame that arrives in pieces are looked at a few times, not again for each piece."""
    half = "x" * TEXT_BYTES
    frame = codec.encode(7, Mail((Arrived(1, "ada", half), Arrived(2, "bob", half))))
    buffer, searched = CountingBuffer(), 0
    buffer.most = 12 * len(frame)
    for at in range(0, len(frame), 512):
        buffer += frame[at : at + 512]
        codec.codec.frame_end(buffer, 0, searched)  # not as a CheckedCodec, which would look at the bytes itself
        codec.steps += 1
        searched = len(buffer)


@case("Spans that leave a gap or overlap: they must tile the frame.")
def spans_tile_the_frame(codec: CheckedCodec) -> None:
    """Where a codec has spans, they follow each other from the first byte to the last."""
    for kind in EVERY_KIND:
        frame = codec.encode(7, filled(kind))
        at = 0
        for start, end, name, _ in codec.spans(frame):
            if start != at or end <= start:
                raise CaseFailed(frame, f"the field {name} from {start} to {end}, where {at} comes next")
            at = end
        if at != len(frame):
            raise CaseFailed(frame, f"spans up to {at} of {len(frame)} bytes")


CASES = (
    many_frames_in_one_segment,
    one_byte_at_a_time,
    every_cut_in_two,
    long_messages_in_pieces,
    a_beginning_is_not_a_frame,
    a_frame_ends_where_it_ends,
    a_known_end_does_not_change,
    nothing_is_kept_between_frames,
    a_message_is_always_encoded_alike,
    garbage_is_a_protocol_error,
    a_wrong_type_is_refused,
    an_unknown_operation_can_be_stepped_over,
    every_byte_matters,
    an_absurd_length_is_refused_before_it_is_buffered,
    a_long_frame_is_searched_once,
    spans_tile_the_frame,
)
