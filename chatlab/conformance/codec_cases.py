"""What every codec must hold to, case by case: the mistakes that chats of this kind have made, each tried on purpose.

A case gets a `CheckedCodec` codec and literal messages; there is no socket and no server here. Bytes are handed over as a
`Connection` would hand them over, which is how every server and client of ours reads.
"""

from collections.abc import Callable

from ..codecs.connection import Connection
from ..messages import (
    EVENTS,
    REPLIES,
    REQUESTS,
    Accounts,
    Arrived,
    DeleteAccount,
    DeleteMessages,
    Deposit,
    Heard,
    Joined,
    Mail,
    Message,
    ProtocolError,
    Say,
    Send,
    Withdraw,
)
from .report import Case, CaseFailed, case, clipped

CASES: list[Case] = []
EVERY = (*REQUESTS, *REPLIES, *EVENTS)
TOP = 2**63 - 1
TEXT_BYTES = 65536  # the longest text that a chat accepts

Tagged = tuple[int | None, Message]


class CheckedCodec:
    """A codec whose every answer is looked at before it is believed."""

    def __init__(self, codec):
        self.codec = codec
        self.name, self.preface = codec.name, getattr(codec, "preface", b"")

    def encode(self, tag: int | None, message: Message) -> bytes:
        frame = self._call(self.codec.encode, tag, message)
        if type(frame) is not bytes or not frame:
            raise CaseFailed(f"encode({tag}, {message!r})", frame, "encode returns one whole frame, as bytes.")
        return frame

    def frame_end(self, buffer: bytes, start: int, searched: int) -> int:
        end = self._call(self.codec.frame_end, buffer, start, searched)
        if type(end) is not int or end and end <= start:
            sent = f"frame_end of {clipped(repr(bytes(buffer)))} from {start}"
            raise CaseFailed(
                sent, end, "An end that lies not behind the start: a loop that reads so many bytes never advances."
            )
        return end

    def decode(self, frame: bytes) -> Tagged:
        pair = self._call(self.codec.decode, frame)
        if type(pair) is not tuple or len(pair) != 2:
            raise CaseFailed(frame, pair, "decode returns two things: the tag and the message.")
        return pair

    def _call(self, function: Callable, *given):
        try:
            return function(*given)
        except Exception as error:
            words = ", ".join(repr(bytes(each) if isinstance(each, bytearray) else each) for each in given)
            error.add_note(f"{getattr(function, '__name__', 'it')}({clipped(words)})")
            raise


def listener(codec: CheckedCodec, max_frame: int = 1 << 20) -> Connection:
    """A Connection that hears every message and has heard the preface already."""
    connection = Connection(codec, accepts=Message, max_frame=max_frame)
    connection.receive(codec.preface)
    return connection


# ---- messages to try --------------------------------------------------------------------------------------------


def filled(
    kind: type[Message], text: str | None = None, number: int | None = None, flag: bool = True, many: int = 2
) -> Message:
    """A message of this kind with every field filled: with these values, or with a different one in each field."""
    values = {}
    for place, (field, wanted) in enumerate(kind.__annotations__.items()):
        word, count = (f"{field}{place}" if text is None else text), (1000 + place if number is None else number)
        letter = Arrived(count, word, word, flag)
        value = {str: word, int: count, bool: flag}.get(wanted)
        if value is None:
            value = {tuple[int, ...]: (count,), tuple[str, ...]: (word,), tuple[Arrived, ...]: (letter,)}[wanted] * many
        values[field] = value
    return kind(**values)


def kinds_with(*wanted: type) -> list[type[Message]]:
    """The messages that have a field of one of these types, or a list of such."""
    inside = {
        str: (str, tuple[str, ...], tuple[Arrived, ...]),
        int: (int, tuple[int, ...], tuple[Arrived, ...]),
        bool: (bool,),
    }
    types = {each for kind in wanted for each in inside[kind]}
    return [kind for kind in EVERY if types & set(kind.__annotations__.values())]


def same(one: object, other: object) -> bool:
    """Equal in value and in type, all the way down: True is not 1."""
    if type(one) is not type(other):
        return False
    if isinstance(one, Message):
        return all(same(getattr(one, name), getattr(other, name)) for name in one.__struct_fields__)
    if isinstance(one, (tuple, list)):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def difference(sent: Message, got: object) -> tuple[str, str]:
    """Where the two differ, in words."""
    if type(got) is not type(sent):
        return clipped(repr(sent)), clipped(repr(got))
    fields = [name for name in sent.__struct_fields__ if not same(getattr(sent, name), getattr(got, name))]
    said, heard = ([f"{name}={clipped(repr(getattr(m, name)), 100)}" for name in fields] for m in (sent, got))
    return f"{type(sent).__name__} with {', '.join(said)}", f"{', '.join(heard)}"


def there_and_back(codec: CheckedCodec, tag: int | None, message: Message, hint: str = "") -> bytes:
    """Encode, find the end, decode; `CaseFailed` where it is not what was sent. Returns the frame."""
    frame = codec.encode(tag, message)
    end = codec.frame_end(frame, 0, 0)
    if end != len(frame):
        got = f"frame_end says {end}, the frame has {len(frame)} bytes: {clipped(repr(frame))}"
        raise CaseFailed(message, got, hint)
    got_tag, got = codec.decode(frame)
    if not same(got, message):
        raise CaseFailed(*difference(message, got), hint)
    if not same(got_tag, tag):
        raise CaseFailed(f"tag {tag}", f"tag {got_tag!r}", hint)
    return frame


def every_text(codec: CheckedCodec, texts: list[str]) -> None:
    """Each text in every text field of every message, alone and with neighbours."""
    for text in texts:
        for shape in (text, f"a{text}b", f"{text}b", f"a{text}", text + text):
            for kind in kinds_with(str):
                there_and_back(codec, 7, filled(kind, text=shape))


# ---- values -----------------------------------------------------------------------------------------------------


@case(CASES, "One of encode, decode or frame_end is missing or has another name.")
def offers_what_a_codec_offers(codec):
    """A codec has a name, encode, decode and frame_end; a preface, where it has one, is bytes."""
    if type(codec.name) is not str or not codec.name:
        raise CaseFailed("name", codec.name, "The name is what users type: a text that is not empty.")
    if type(codec.preface) is not bytes:
        raise CaseFailed("preface", codec.preface, "The preface is bytes: what a client says first, once.")


@case(CASES, "A message that nobody spelled, or fields that are read in another order than they were written.")
def every_message_comes_back(codec):
    """Each of the messages, with something different in each field, is read as it was written."""
    for kind in EVERY:
        there_and_back(codec, 7 if kind not in EVENTS else None, filled(kind))


@case(CASES, "A field that is left out or dropped when it is empty, so that what follows moves into its place.")
def empty_fields(codec):
    """Empty texts, zeros, no, empty lists: all come back as they are, in every combination with a full field."""
    for kind in EVERY:
        there_and_back(codec, 7, filled(kind, text="", number=0, flag=False, many=0))
        there_and_back(codec, 7, filled(kind, text="", number=0, flag=True, many=2))
        for field, wanted in kind.__annotations__.items():
            empty = {str: "", int: 0, bool: False}.get(wanted, ())
            there_and_back(codec, 7, kind(**_fields(filled(kind)) | {field: empty}))


def _fields(message: Message) -> dict:
    return {name: getattr(message, name) for name in message.__struct_fields__}


@case(CASES, "A delimiter in the body: it cuts the text there, or what follows is taken for another field.")
def delimiters_in_texts(codec):
    """No punctuation, space or tab in any text field changes where the field ends."""
    every_text(codec, [*"|,;:=&/~^#@!%$*+-.<>()?_`", " ", "\t", "||", "::", "--", "|-|", "%7C", "&amp;"])


@case(CASES, "The end mark of a frame inside a text: it cuts the message, and the rest is read as a command.")
def line_ends_in_texts(codec):
    """No line end of any kind, and no end mark, inside a text ends the frame or is changed."""
    marks = [
        "\n",
        "\r",
        "\r\n",
        "\n\n",
        "\r\n\r\n",
        "\n.\n",
        "\x0b",
        "\x0c",
        "\x1c",
        "\x1d",
        "\x1e",
        "\x85",
        "\u2028",
        "\u2029",
    ]
    every_text(codec, [*marks, r"\n", "END", "EOF", "<EOF>", "<END>", "DONE", "STOP", "\x03", "\x04"])


@case(
    CASES,
    "A quote that changes the number of fields, braces that are counted also inside strings, or an escape undone wrongly.",
)
def quotes_braces_and_backslashes_in_texts(codec):
    """Quotes, braces, brackets and backslashes are characters like any other, also unpaired ones."""
    pieces = [
        "'",
        '"',
        "{",
        "}",
        "[",
        "]",
        "\\",
        '\\"',
        "\\\\",
        "\\'",
        '"}',
        '{"',
        '","',
        "\\u0041",
        "\\x41",
        "\\p",
        "\\r",
        "\\0",
        "}{",
        "'''",
    ]
    every_text(codec, pieces)


@case(CASES, "A NUL or another control character that ends or pads a field, or is stripped from it.")
def control_characters_in_texts(codec):
    """NUL, ESC and every other control character come back unchanged, also at the end of a field."""
    every_text(codec, [chr(number) for number in (*range(32), *range(127, 160))] + ["\x1b[2J", "\0\0\0"])


OTHER_LETTERS = [
    "é",
    "e\u0301",
    "ß",
    "中文",
    "🙂",
    "👩‍👩‍👧",
    "שלום",
    "\ufeff",
    "\uffff",
    "\U0010ffff",
    "İ",
    "ﬁ",
    "\u200b",
]


@case(CASES, "Bytes made with ASCII or Latin-1: a non-ASCII name is created, and then the reply fails.")
def every_script_in_every_direction(codec):
    """Requests, replies and events carry every letter, unchanged and not normalised."""
    every_text(codec, OTHER_LETTERS)


@case(
    CASES,
    'A text that is guessed to be something else: "0" read as a number or as true, "" and "null" as nothing, spaces trimmed.',
)
def texts_stay_texts(codec):
    """A text that looks like a number, a truth value, nothing, or like padding stays the text that it is."""
    looks = [
        "0",
        "1",
        "007",
        "-1",
        "+5",
        "1e3",
        "1.0",
        "1_000",
        "0x10",
        "٣",
        "true",
        "True",
        "false",
        "no",
        "yes",
        "null",
        "None",
        "NaN",
    ]
    every_text(codec, [*looks, "inf", " padded ", "  ", "()", "[]", "{}", "undefined"])


NUMBERS = sorted(
    {sign * (2**power + step) for power in (0, 7, 8, 15, 16, 31, 32, 53, 62) for step in (-1, 0, 1) for sign in (1, -1)}
    | {TOP, -TOP - 1}
)


@case(
    CASES, "Integers that crash from 2**31 on, lose their last digits where they pass through a float, or their sign."
)
def numbers_of_every_size(codec):
    """Whole numbers from -2**63 to 2**63 - 1 come back as they are, in every field and in lists."""
    for kind in kinds_with(int):
        for number in NUMBERS:
            there_and_back(codec, 7, filled(kind, number=number))


@case(
    CASES, 'A yes that comes back as 1 (or as "True"), or a no that comes back as true because its text is not empty.'
)
def yes_and_no_stay_yes_and_no(codec):
    """True comes back as True and False as False, not as 1 and 0, also inside a list."""
    for kind in (*kinds_with(bool), Mail):
        for flag in (True, False):
            there_and_back(codec, 7, filled(kind, flag=flag))
    there_and_back(codec, 7, Mail((Arrived(1, "ada", "hi", True), Arrived(2, "bob", "ho", False)), more=False))


TAGS = [None, 1, 2, 127, 128, 254, 255, 256, 257, 999, 1000, 65535, 65536, 2**31 - 1, 2**31, 2**32, 2**53 + 1, TOP]


@case(CASES, "A request id (tag) that wraps or is cut: the answer then belongs to another question.")
def tags_of_every_size(codec):
    """A tag from 1 to 2**63 - 1, or none, comes back as it is, with every message."""
    for kind in EVERY:
        for tag in TAGS:
            there_and_back(codec, tag, filled(kind))


@case(CASES, "A list that ends at the first odd element, or whose count has too few digits or bits.")
def lists_of_every_length(codec):
    """No elements, one, a thousand, empty elements, elements with delimiters: every list comes back as it is."""
    texts = [
        (),
        ("",),
        ("", ""),
        ("a",),
        ("a", ""),
        ("", "a"),
        ("a|b", "c,d", "e;f", "[i]"),
        tuple(map(str, range(1000))),
    ]
    for names in texts:
        there_and_back(codec, 7, Accounts(names, next=""))
        there_and_back(codec, 7, Accounts(names, next="z"))
        there_and_back(codec, 7, Joined("den", names, len(names)))
    for numbers in [(), (0,), (1, 0, 1), (7, 300), tuple(range(127, 130)), tuple(range(1000)), (5,) * 256]:
        there_and_back(codec, 7, DeleteMessages(numbers))
    for count in (0, 1, 2, 127, 128, 255, 256, 1000):
        letters = tuple([Arrived(number, "ada", f"t|{number}", number % 2 == 0) for number in range(count)])
        there_and_back(codec, 7, Mail(letters, more=count % 2 == 1))


@case(CASES, "A request id that is lost, or is mixed up with the text beside it.")
def request_ids(codec):
    """The request id of a request that may be repeated comes back; none stays none."""
    for request_id in ("", "rent-2024", "0", "7", "x" * 64, " "):
        for request in (
            Deposit(5, "", request_id),
            Withdraw(5, "7", request_id),
            Send("bob", "hi", request_id),
            Say("hi", request_id),
        ):
            there_and_back(codec, 7, request)
            there_and_back(codec, None, request)


# ---- lengths ----------------------------------------------------------------------------------------------------

SIZES = (0, 1, 2, 126, 127, 128, 129, 254, 255, 256, 257, 511, 512, 998, 999, 1000, 1001, 1023, 1024, 1025, 4095, 4096)


def _sized(codec: CheckedCodec, letter: str) -> None:
    for size in SIZES:
        for kind in kinds_with(str):
            _comes_back_whole(codec, filled(kind, text=letter * size))
    for size in (9999, 10000, 16383, 16384, 32767, 32768, 65535, TEXT_BYTES):
        text = letter * (size // len(letter.encode()))
        for message in (
            Send("bob", text),
            Say(text),
            Arrived(1, "ada", text),
            Heard("den", "ada", text),
            Mail((Arrived(1, "ada", text),)),
        ):
            _comes_back_whole(codec, message)


def _comes_back_whole(codec: CheckedCodec, message: Message) -> None:
    """As `there_and_back`; a text that came back shorter, and without an error, is called what it is."""
    try:
        there_and_back(codec, 7, message)
    except CaseFailed as wrong:
        if _shorter(message, codec.decode(codec.encode(7, message))[1]):
            wrong.hint = (
                "A silent truncation: the text comes back shorter than it was sent, as out of a field of a fixed size."
            )
        raise


def _shorter(sent: Message, got: Message) -> bool:
    pairs = [(getattr(sent, name), getattr(got, name, None)) for name in sent.__struct_fields__]
    return any(isinstance(one, str) and isinstance(other, str) and len(other) < len(one) for one, other in pairs)


@case(CASES, "A length field too narrow for what it must hold, and unchecked: 255, 999 and 65535 are where they end.")
def texts_of_every_length(codec):
    """Texts of 0 to 65536 bytes come back whole: nothing is cut, refused or wrapped."""
    _sized(codec, "x")


@case(CASES, "A length counted in characters and sent as bytes: the two differ as soon as somebody writes an é.")
def texts_of_every_length_beyond_ascii(codec):
    """Texts whose characters take two, three or four bytes come back whole at every length."""
    for letter in ("é", "中", "🙂"):
        _sized(codec, letter)


@case(CASES, "A frame longer than its length field can tell, or fields of a fixed size that are together too long.")
def long_frames(codec):
    """Whole frames far over 65535 bytes come back: a page of mail, a thousand long names."""
    half = "x" * TEXT_BYTES
    there_and_back(codec, 7, Mail((Arrived(1, "ada", half), Arrived(2, "bob", half)), more=True))
    there_and_back(codec, 7, Accounts(tuple([f"{number:04}" + "n" * 240 for number in range(1000)]), next="z"))


@case(CASES, "An unchecked length: a value too long for its field must be refused in words, never cut or crash.")
def what_does_not_fit_is_refused_in_words(codec):
    """A name of 65536 characters, far beyond what is allowed, comes back whole or encode raises ProtocolError."""
    for size in (65535, 65536, 100_000):
        for kind in kinds_with(str):
            try:
                there_and_back(codec, 7, filled(kind, text="x" * size, many=1))
            except ProtocolError:
                pass


@case(CASES, "An escape that a nested layer escapes again: 100 bytes become 372.")
def escapes_do_not_pile_up(codec):
    """A hundred quotes, backslashes or delimiters cost at most three hundred bytes more than an empty text."""
    for piece in (*"\"'\\|{}[]<>&%,;:\n\t", '\\"', "é", "🙂", "a"):
        text = piece * (100 // len(piece.encode()))
        grown = len(codec.encode(7, Send("bob", text))) - len(codec.encode(7, Send("bob", "")))
        if grown > 3 * 100 + 8:
            raise CaseFailed(
                f"{len(text.encode())} bytes of text, {piece!r} again and again", f"{grown} bytes of frame for them"
            )


# ---- injection --------------------------------------------------------------------------------------------------


@case(CASES, "Injection: what stands in a text starts a new command with the sender's rights.")
def a_frame_inside_a_text_is_text(codec):
    """A text that holds whole frames of this very codec arrives as one message, and as that text."""
    frames = [
        codec.encode(tag, m)
        for tag in (None, 7)
        for m in (Deposit(1000), DeleteAccount(), Send("eve", "boo"), Arrived(1, "eve", "boo"))
    ]
    for frame in frames:
        for inner in {frame.decode("latin-1"), frame.decode("utf-8", "ignore")}:
            for text in (inner, f"hi{inner}", f"hi{inner}{inner}", inner.strip(), inner[-1:] + inner, f"\n{inner}\n"):
                _arrives_alone(codec, Send("bob", text))
                _arrives_alone(codec, Heard("den", text, text))


def _arrives_alone(codec: CheckedCodec, message: Message) -> None:
    got = listener(codec).receive(codec.encode(7, message))
    if len(got) != 1 or not same(got[0], (7, message)):
        raise CaseFailed(message, f"{len(got)} messages: {clipped(repr(got))}")


@case(CASES, "Commands that are recognised inside chat text.")
def commands_in_a_text_are_text(codec):
    """Words that are commands elsewhere (/quit, LOGIN, exit, 15) mean nothing in a text, a name or a room."""
    words = "/quit /leave /list exit quit bye tata logout LOGIN DISCONNECT !DISCONNECT !quit close delete ping PING OK ERROR LogOut"
    numbers = "15 10 0|ada 1|eve #7|14 @x|2||5 * __close__ None"
    every_text(codec, [*words.split(), *numbers.split()])
