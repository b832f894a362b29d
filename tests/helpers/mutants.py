"""Good protocols with one mistake planted in each: those that chats like this one have really made.

`PLANTED` names, for each mistake, the case of `chatlab.check` that must catch it and words that its hint must hold.
"""

import json
import struct
import time
from typing import NamedTuple

import msgspec
from student_codec import MESSAGES, StudentCodec

from chatlab.codecs.binary import BinaryCodec
from chatlab.codecs.json_lines import JsonCodec
from chatlab.codecs.text import TextCodec
from chatlab.messages import Arrived, LogOut, Message, Ping, ProtocolError, Refused, Send


class Planted(NamedTuple):
    mistake: str
    codec: type
    case: str
    hint: str


PLANTED: list[Planted] = []


def planted(mistake: str, case: str, hint: str):
    """The decorated codec makes this mistake."""

    def add(codec):
        PLANTED.append(Planted(mistake, codec, case, hint))
        return codec

    return add


def body_of(message: Message) -> list:
    return [type(message).__name__, msgspec.to_builtins(message)]


# ---- framing ----------------------------------------------------------------------------------------------------


@planted(
    "1 one recv taken for one message, both merged", "many frames in one segment", "One recv taken for one message"
)
class AllThereIs(StudentCodec):
    def frame_end(self, buffer, start, searched):
        return len(buffer)


@planted("1 two requests in one segment, the second lost", "a frame ends where it ends", "from what follows the frame")
class LastLineEnd(TextCodec):
    def frame_end(self, buffer, start, searched):
        return buffer.rfind(b"\n") + 1


@planted("2 a split message kills the reader", "one byte at a time", "the parser fails on half a frame")
class FailsOnHalf(StudentCodec):
    def frame_end(self, buffer, start, searched):
        return start + 4 + struct.unpack_from(">I", buffer, start)[0]


@planted("2 the tail of a split message is dropped", "every cut in two", "its tail is dropped")
class TakesTheHalf(StudentCodec):
    def frame_end(self, buffer, start, searched):
        end = super().frame_end(buffer, start, searched)
        return min(end, len(buffer))


@planted("3 recv(1024) cuts a long message", "long messages in pieces", "recv(1024)")
class TenTwentyFour(StudentCodec):
    def frame_end(self, buffer, start, searched):
        return min(super().frame_end(buffer, start, searched), start + 1024)


@planted("5 a loop that does not advance the buffer", "many frames in one segment", "must advance")
class NeverAdvances(StudentCodec):
    def frame_end(self, buffer, start, searched):
        needed = int.from_bytes(buffer[start : start + 4], "big")
        while len(buffer) - start < 4 + needed or start > 0:
            pass
        return start + 4 + needed


@planted("5 an end that is the start", "long messages in pieces", "never advances")
class StaysAtTheStart(StudentCodec):
    def frame_end(self, buffer, start, searched):
        end = super().frame_end(buffer, start, searched)
        return end if 0 < end <= len(buffer) else start


@planted(
    "an end counted from the frame, not from the buffer",
    "a frame ends where it ends",
    "looked for from the wrong place",
)
class CountsFromTheFrame(StudentCodec):
    def frame_end(self, buffer, start, searched):
        end = super().frame_end(buffer, start, searched)
        return end and end - start


@planted("6 read exactly n: a fragment is an error", "a beginning is not a frame", "A fragment refused")
class WantsItAll(StudentCodec):
    def frame_end(self, buffer, start, searched):
        end = super().frame_end(buffer, start, searched)
        if not end or end > len(buffer):
            raise ProtocolError("the connection ended inside a frame")
        return end


@planted("7 parser state reset on each readable event", "one byte at a time", "starts afresh on each wake-up")
class StartsAfresh(StudentCodec):
    def frame_end(self, buffer, start, searched):
        return super().frame_end(buffer, searched, searched)


@planted("7 parser state kept in one place for all connections", "nothing is kept between frames", "Parser state")
class OneMemoryForAll(StudentCodec):
    needed = 0

    def frame_end(self, buffer, start, searched):
        if not self.needed and len(buffer) - start >= 4:
            self.needed = super().frame_end(buffer, start, searched) - start
        if self.needed and len(buffer) >= start + self.needed:
            end, self.needed = start + self.needed, 0
            return end
        return 0


@planted("8 one frame taken per wake-up", "many frames in one segment", "waits for the next wake-up")
class OneAWakeUp(StudentCodec):
    def frame_end(self, buffer, start, searched):
        return 0 if start else super().frame_end(buffer, start, searched)


@planted("9 the first byte accepted as a whole frame", "a beginning is not a frame", "The first byte")
class FirstByte(StudentCodec):
    def frame_end(self, buffer, start, searched):
        return super().frame_end(buffer, start, searched) or start + 1

    def decode(self, frame):
        return (None, Ping()) if len(frame) < 4 else super().decode(frame)


@planted("10 JSON framed by counting braces", "quotes braces and backslashes in texts", "braces that are counted")
class CountsBraces(JsonCodec):
    def encode(self, tag, message):
        return super().encode(tag, message).rstrip()

    def frame_end(self, buffer, start, searched):
        depth = 0
        for at in range(start, len(buffer)):
            depth += {ord("{"): 1, ord("}"): -1}.get(buffer[at], 0)
            if not depth:
                return at + 1
        return 0


@planted("11 a quadratic re-scan for the end mark", "a long frame is searched once", "quadratic")
class SearchesAgain(JsonCodec):
    def frame_end(self, buffer, start, searched):
        return buffer.find(b"\n", start) + 1


@planted("11 a quadratic re-scan by trying to parse", "a long frame is searched once", "quadratic")
class ParsesAgain(JsonCodec):
    def frame_end(self, buffer, start, searched):
        end = bytes(buffer).find(b"\n", start) + 1
        try:
            json.loads(bytes(buffer[start:end]))
        except ValueError:
            pass
        return end


@planted("12 a checksum sent and never checked", "every byte matters", "checksum")
class Unchecked(TextCodec):
    def encode(self, tag, message):
        line = super().encode(tag, message)
        return line[:-1] + b"|%08x\n" % (sum(line) & 0xFFFFFFFF)

    def decode(self, frame):
        return super().decode(frame[:-10] + b"\n" if len(frame) > 9 else frame)


@planted(
    "13 no total length: an unknown operation loses sync", "an unknown operation can be stepped over", "No total length"
)
class NoTotal:
    """An operation, a tag, and as many values as that operation has, each with a length of its own."""

    name = "no total"
    kinds = list(MESSAGES.values())

    def encode(self, tag, message):
        values = [
            json.dumps(msgspec.to_builtins(getattr(message, name))).encode() for name in message.__struct_fields__
        ]
        head = bytes([self.kinds.index(type(message))]) + (tag or 0).to_bytes(8, "big")
        return head + b"".join([len(value).to_bytes(4, "big") + value for value in values])

    def _values(self, buffer, start):
        at = start + 9
        for name in self.kinds[buffer[start]].__struct_fields__:
            if len(buffer) < at + 4:
                return
            size = int.from_bytes(buffer[at : at + 4], "big")
            yield name, at + 4, at + 4 + size
            at += 4 + size

    def frame_end(self, buffer, start, searched):
        if buffer[start] >= len(self.kinds):
            return start + 1  # nobody knows how long it is; go on behind it
        wanted = len(self.kinds[buffer[start]].__struct_fields__)
        ends = [start + 9, *(end for _, _, end in self._values(buffer, start))]
        return ends[-1] if len(ends) > wanted and (wanted or len(buffer) >= start + 9) else 0

    def decode(self, frame):
        try:
            kind, tag = self.kinds[frame[0]], int.from_bytes(frame[1:9], "big")
            fields = {name: json.loads(frame[start:end]) for name, start, end in self._values(frame, 0)}
            if tag >= 2**63:
                raise ValueError("a tag of at most 63 bits")
            return tag or None, msgspec.convert(fields, kind)
        except (ValueError, IndexError, RecursionError) as error:
            raise ProtocolError(f"not a message: {error}", fatal=False) from error


@planted(
    "14 length counted in characters, sent as bytes", "texts of every length beyond ascii", "counted in characters"
)
class CountsCharacters(StudentCodec):
    def encode(self, tag, message):
        name, fields = body_of(message)
        body = json.dumps([name, tag, fields], ensure_ascii=False)
        return len(body).to_bytes(4, "big") + body.encode()


class Narrow(StudentCodec):
    """A length of `digits` digits, of which the rest is lost."""

    digits = 2

    def encode(self, tag, message):
        body = super().encode(tag, message)[4:]
        return (b"%0*d" % (self.digits, len(body)))[-self.digits :] + body

    def frame_end(self, buffer, start, searched):
        head = bytes(buffer[start : start + self.digits])
        if len(head) < self.digits:
            return 0
        if not head.isdigit():
            raise ProtocolError(f"a length is {self.digits} digits, not {head!r}")
        return start + self.digits + int(head)

    def decode(self, frame):
        return super().decode(b"1234" + frame[self.digits :])


@planted("15 a length field that ends at 999", "texts of every length", "length field too narrow")
class ThreeDigits(Narrow):
    digits = 3


@planted("15 a length field that ends at 255, wraps", "texts of every length", "length field too narrow")
class OneByte(StudentCodec):
    def encode(self, tag, message):
        body = super().encode(tag, message)[4:]
        return bytes([len(body) % 256]) + body

    def frame_end(self, buffer, start, searched):
        return start + 1 + buffer[start]

    def decode(self, frame):
        return super().decode(b"1234" + frame[1:])


@planted("15 a length field that ends at 65535, crashes", "texts of every length", "length field too narrow")
class TwoBytes(OneByte):
    def encode(self, tag, message):
        body = StudentCodec.encode(self, tag, message)[4:]
        return struct.pack(">H", len(body)) + body

    def frame_end(self, buffer, start, searched):
        return start + 2 + int.from_bytes(buffer[start : start + 2], "big") if len(buffer) >= start + 2 else 0

    def decode(self, frame):
        return StudentCodec.decode(self, b"12" + frame)


@planted("16 silent truncation to a fixed field", "texts of every length", "silent truncation")
class FixedField(StudentCodec):
    def encode(self, tag, message):
        texts = {name: getattr(message, name) for name in message.__struct_fields__}
        cut = {name: value[:255] if isinstance(value, str) else value for name, value in texts.items()}
        return super().encode(tag, type(message)(**cut))


@planted("17 a request id that wraps", "tags of every size", "wraps")
class WrappingTag(StudentCodec):
    def encode(self, tag, message):
        return super().encode(tag and (tag % 256 or 256), message)


@planted("17 a request id that wraps one too late", "tags of every size", "wraps")
class WrapsOneTooLate(StudentCodec):
    def encode(self, tag, message):
        return super().encode(tag if tag is None or tag < 65537 else 1, message)


@planted(
    "18 no upper bound on a length: waited for", "an absurd length is refused before it is buffered", "No upper bound"
)
class WaitsForItAll(StudentCodec):
    def frame_end(self, buffer, start, searched):
        end = super().frame_end(buffer, start, searched)
        return end if end <= len(buffer) else 0


# ---- types ------------------------------------------------------------------------------------------------------


@planted("19 True comes back as 1", "booleans stay booleans", "comes back as 1")
class OneForTrue(JsonCodec):
    def decode(self, frame):
        tag, message = super().decode(frame)
        flags = [name for name, kind in type(message).__annotations__.items() if kind is bool]
        values = {name: getattr(message, name) for name in message.__struct_fields__}
        return tag, type(message)(**values | {name: int(values[name]) for name in flags})


@planted('19 a no comes back as true: "False" is not empty', "booleans stay booleans", "its text is not empty")
class FullIsTrue(JsonCodec):
    def decode(self, frame):
        tag, message = super().decode(frame)
        return tag, msgspec.structs.replace(message, returned=bool(str(message.returned))) if type(
            message
        ) is Arrived else message


@planted('19 "0" comes back as something else', "texts stay texts", '"0" read as a number')
class GuessesNumbers(StudentCodec):
    def decode(self, frame):
        tag, message = super().decode(frame)
        values = {name: getattr(message, name) for name in message.__struct_fields__}
        guessed = {
            name: str(int(v)) if isinstance(v, str) and v.isascii() and v.isdigit() and len(v) < 20 else v
            for name, v in values.items()
        }
        return tag, type(message)(**guessed)


@planted("19 integers over 2**31 crash", "numbers of every size", "crash from 2**31")
class ThirtyTwoBits(StudentCodec):
    def encode(self, tag, message):
        for value in msgspec.structs.astuple(message):
            struct.pack(">i", value) if type(value) is int else None
        return super().encode(tag, message)


@planted("19 integers pass through a float", "numbers of every size", "through a float")
class Floats(StudentCodec):
    def encode(self, tag, message):
        values = {name: getattr(message, name) for name in message.__struct_fields__}
        rounded = {name: int(float(v)) if type(v) is int else v for name, v in values.items()}
        return super().encode(tag, type(message)(**rounded))


@planted("19 a negative number loses its sign", "numbers of every size", "or their sign")
class Unsigned(StudentCodec):
    def encode(self, tag, message):
        values = {name: getattr(message, name) for name in message.__struct_fields__}
        return super().encode(
            tag, type(message)(**{name: abs(v) if type(v) is int else v for name, v in values.items()})
        )


@planted("19 values taken as they come", "a wrong type is refused", "Values taken as they come")
class NoTypes(StudentCodec):
    def decode(self, frame):
        try:
            name, tag, fields = json.loads(frame[4:])
            message = MESSAGES[name](**fields)
            message = msgspec.structs.replace(
                message, **{k: tuple(v) for k, v in fields.items() if isinstance(v, list)}
            )
            if name == "Mail":
                message = type(message)(tuple([Arrived(**letter) for letter in message.messages]), message.more)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise ProtocolError(f"not a message: {error}", fatal=False) from error
        return tag, message


@planted("nonsense gets out as another exception", "garbage is a protocol error", "kills the connection's reader")
class KeyErrorGetsOut(StudentCodec):
    def decode(self, frame):
        name, tag, fields = json.loads(frame[4:])
        return tag, msgspec.convert(fields, MESSAGES[name])


@planted("a list that ends at its first empty element", "lists of every length", "A list that ends")
class ListsEnd(StudentCodec):
    def encode(self, tag, message):
        names = getattr(message, "names", None)
        return super().encode(
            tag, msgspec.structs.replace(message, names=tuple(filter(None, names))) if names else message
        )


@planted("an empty field that vanishes", "empty fields", "when it is empty")
class EmptyVanishes(TextCodec):
    def encode(self, tag, message):
        line = super().encode(tag, message)
        while b"||" in line:
            line = line.replace(b"||", b"|")
        return line


# ---- injection --------------------------------------------------------------------------------------------------


class Lines(StudentCodec):
    """One line for a message, `|` between the fields, nothing escaped. How it begins, all too often."""

    def spell(self, value: str) -> str:
        return value

    def encode(self, tag, message):
        values = msgspec.to_builtins(message)
        words = [
            type(message).__name__,
            str(tag or ""),
            *(f"{name}={self.spell(str(value))}" for name, value in values.items()),
        ]
        return ("|".join(words) + "\n").encode()

    def frame_end(self, buffer, start, searched):
        return buffer.find(b"\n", searched) + 1

    def decode(self, frame):
        try:
            name, tag, *fields = frame.decode().rstrip("\n").split("|")
            values = dict(field.split("=", 1) for field in fields)
            lists = {key: eval(value) for key, value in values.items() if value[:1] == "["}  # as seen, alas
            return int(tag) if tag else None, msgspec.convert(values | lists, MESSAGES[name], strict=False)
        except Exception as error:
            raise ProtocolError(f"not a message: {error}", fatal=False) from error


@planted("a delimiter in the body cuts it", "delimiters in texts", "A delimiter in the body")
class RawDelimiter(Lines):
    def spell(self, value):
        return value.replace("\n", "\\n")


@planted("an end mark in the body ends the message", "line ends in texts", "The end mark of a frame inside a text")
class RawLineEnd(Lines):
    def spell(self, value):
        return value.replace("|", "\\p")


@planted(
    "a text starts a new command", "a frame inside a text is text", "starts a new command with the sender's rights"
)
class RunsTheText(Lines):
    pass


@planted(
    "commands recognised inside chat text",
    "commands in a text are text",
    "Commands that are recognised inside chat text",
)
class ObeysTexts(StudentCodec):
    def decode(self, frame):
        tag, message = super().decode(frame)
        return tag, LogOut() if isinstance(message, Send) and message.text.startswith("/quit") else message


@planted("an escape that a nested layer escapes again", "escapes do not pile up", "a nested layer escapes again")
class JsonInJson(StudentCodec):
    def encode(self, tag, message):
        name, fields = body_of(message)
        body = json.dumps([name, tag, json.dumps(fields)]).encode()
        return len(body).to_bytes(4, "big") + body

    def decode(self, frame):
        try:
            name, tag, fields = json.loads(frame[4:])
            body = json.dumps([name, tag, json.loads(fields)]).encode()
        except (ValueError, TypeError, RecursionError) as error:
            raise ProtocolError(f"not a message: {error}", fatal=False) from error
        return super().decode(b"1234" + body)


@planted(
    "a quote that changes the field count",
    "quotes braces and backslashes in texts",
    "A quote that changes the number of fields",
)
class RawQuotes(Lines):
    def encode(self, tag, message):
        fields = ", ".join(f'"{name}": {self.quoted(value)}' for name, value in msgspec.to_builtins(message).items())
        return (f'["{type(message).__name__}", {json.dumps(tag)}, {{{fields}}}]\n').encode()

    def quoted(self, value):
        return f'"{value}"' if isinstance(value, str) else json.dumps(value)

    def decode(self, frame):
        return StudentCodec.decode(self, b"1234" + frame)


@planted("replies in ASCII", "every script in every direction", "Bytes made with ASCII")
class AsciiReplies(TextCodec):
    def encode(self, tag, message):
        frame = super().encode(tag, message)
        return frame.decode().encode("ascii") if isinstance(message, Refused) else frame


@planted("control characters are stripped", "control characters in texts", "NUL or another control character")
class StripsControls(StudentCodec):
    def decode(self, frame):
        tag, message = super().decode(frame)
        return tag, msgspec.structs.replace(message, text=message.text.rstrip("\0")) if hasattr(
            message, "text"
        ) else message


# ---- others -----------------------------------------------------------------------------------------------------


@planted("a message that nobody spelled", "every message comes back", "A message that nobody spelled")
class OneMissing(StudentCodec):
    def decode(self, frame):
        if frame[4:].startswith(b'["LoggedOut"'):
            raise ProtocolError("unknown message LoggedOut", fatal=False)
        return super().decode(frame)


@planted("bytes that depend on the time", "a message is always encoded alike", "depend on chance, time")
class Clocked(JsonCodec):
    def encode(self, tag, message):
        return super().encode(tag, message)[:-2] + b',"at":%d}\n' % time.perf_counter_ns()


@planted("a request id that is lost", "request ids", "A request id that is lost")
class LosesRequestIds(BinaryCodec):
    def encode(self, tag, message):
        return super().encode(
            tag, msgspec.structs.replace(message, request_id="") if hasattr(message, "request_id") else message
        )


@planted("a length so far, taken for the end", "a known end does not change", "A guess at an end")
class GuessesTheEnd(TextCodec):
    def frame_end(self, buffer, start, searched):
        return buffer.find(b"\n", searched) + 1 or len(buffer) + 1


@planted("a frame too long for its length field", "long frames", "A frame longer than its length field can tell")
class SeventeenBits(StudentCodec):
    def encode(self, tag, message):
        frame = super().encode(tag, message)
        return (len(frame) - 4 & 0x1FFFF).to_bytes(4, "big") + frame[4:]


@planted(
    "too long crashes instead of being refused", "what does not fit is refused in words", "must be refused in words"
)
class LongNamesCrash(StudentCodec):
    def encode(self, tag, message):
        for name in message.__struct_fields__:
            if isinstance(getattr(message, name), str) and name != "text":
                struct.pack(">H", len(getattr(message, name)))
        return super().encode(tag, message)
