"""What every codec must hold to, case by case: the mistakes that chats of this kind have made, each tried on purpose.

A case gets a `CheckedCodec` and literal messages, each of which stands alone. How they are cut and joined in a stream
is for `framing_cases`.
"""

from ..messages import (
    EVENTS,
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
from .report import CaseFailed, case, clipped


def every_text(codec: CheckedCodec, texts: list[str]) -> None:
    """Each text in every text field of every message, alone and with neighbours."""
    for text in texts:
        for shape in (text, f"a{text}b", f"{text}b", f"a{text}", text + text):
            for kind in kinds_with(str):
                round_trip(codec, 7, filled(kind, text=shape))


# ---- values -----------------------------------------------------------------------------------------------------


@case("One of encode, decode or frame_end is missing or has another name.")
def has_what_a_codec_needs(codec: CheckedCodec) -> None:
    """A codec has a name, encode, decode and frame_end; a preface, where it has one, is bytes."""
    if type(codec.name) is not str or not codec.name:
        raise CaseFailed("name", codec.name, "The name is what users type: a text that is not empty.")
    if type(codec.preface) is not bytes:
        raise CaseFailed("preface", codec.preface, "The preface is bytes: what a client says first, once.")


@case("A message that nobody spelled, or fields that are read in another order than they were written.")
def every_message_comes_back(codec: CheckedCodec) -> None:
    """Each of the messages, with something different in each field, is read as it was written."""
    for kind in EVERY_KIND:
        round_trip(codec, 7 if kind not in EVENTS else None, filled(kind))


@case("A field that is left out or dropped when it is empty, so that what follows moves into its place.")
def empty_fields(codec: CheckedCodec) -> None:
    """Empty texts, zeros, no, empty lists: all come back as they are, in every combination with a full field."""
    for kind in EVERY_KIND:
        round_trip(codec, 7, filled(kind, text="", number=0, flag=False, many=0))
        round_trip(codec, 7, filled(kind, text="", number=0, flag=True, many=2))
        for field, wanted in kind.__annotations__.items():
            empty = {str: "", int: 0, bool: False}.get(wanted, ())
            round_trip(codec, 7, kind(**_fields(filled(kind)) | {field: empty}))


def _fields(message: Message) -> dict:
    return {name: getattr(message, name) for name in message.__struct_fields__}


@case("A delimiter in the body: it cuts the text there, or what follows is taken for another field.")
def delimiters_in_texts(codec: CheckedCodec) -> None:
    """No punctuation, space or tab in any text field changes where the field ends."""
    every_text(codec, [*"|,;:=&/~^#@!%$*+-.<>()?_`", " ", "\t", "||", "::", "--", "|-|", "%7C", "&amp;"])


@case("The end mark of a frame inside a text: it cuts the message, and the rest is read as a command.")
def line_ends_in_texts(codec: CheckedCodec) -> None:
    """No line end of any kind, and no end mark, inside a text ends the frame or is changed."""
    marks = ["\n", "\r", "\r\n", "\n\n", "\r\n\r\n", "\n.\n", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85"]
    marks += ["\u2028", "\u2029"]
    every_text(codec, [*marks, r"\n", "END", "EOF", "<EOF>", "<END>", "DONE", "STOP", "\x03", "\x04"])


@case(
    "A quote that changes the number of fields, braces that are counted also inside strings, or an escape undone "
    "wrongly.",
)
def quotes_braces_and_backslashes_in_texts(codec: CheckedCodec) -> None:
    """Quotes, braces, brackets and backslashes are characters like any other, also unpaired ones."""
    pieces = ["'", '"', "{", "}", "[", "]", "\\", '\\"', "\\\\", "\\'", '"}', '{"', '","', "\\u0041", "\\x41"]
    pieces += ["\\p", "\\r", "\\0", "}{", "'''"]
    every_text(codec, pieces)


@case("A NUL or another control character that ends or pads a field, or is stripped from it.")
def control_characters_in_texts(codec: CheckedCodec) -> None:
    """NUL, ESC and every other control character come back unchanged, also at the end of a field."""
    every_text(codec, [chr(number) for number in (*range(32), *range(127, 160))] + ["\x1b[2J", "\0\0\0"])


OTHER_LETTERS = ["é", "e\u0301", "ß", "中文", "🙂", "👩‍👩‍👧", "שלום", "\ufeff", "\uffff", "\U0010ffff", "İ", "ﬁ"]
OTHER_LETTERS += ["\u200b"]


@case("Bytes made with ASCII or Latin-1: a non-ASCII name is created, and then the reply fails.")
def every_script_in_every_direction(codec: CheckedCodec) -> None:
    """Requests, replies and events carry every letter, unchanged and not normalised."""
    every_text(codec, OTHER_LETTERS)


@case(
    'A text that is guessed to be something else: "0" read as a number or as true, "" and "null" as '
    "nothing, spaces trimmed.",
)
def texts_stay_texts(codec: CheckedCodec) -> None:
    """A text that looks like a number, a truth value, nothing, or like padding stays the text that it is."""
    looks = ["0", "1", "007", "-1", "+5", "1e3", "1.0", "1_000", "0x10", "٣", "true", "True", "false", "no", "yes"]
    looks += ["null", "None", "NaN"]
    every_text(codec, [*looks, "inf", " padded ", "  ", "()", "[]", "{}", "undefined"])


NUMBERS = sorted(
    {sign * (2**power + step) for power in (0, 7, 8, 15, 16, 31, 32, 53, 62) for step in (-1, 0, 1) for sign in (1, -1)}
    | {LARGEST, -LARGEST - 1}
)


@case("Integers that crash from 2**31 on, lose their last digits where they pass through a float, or their sign.")
def numbers_of_every_size(codec: CheckedCodec) -> None:
    """Whole numbers from -2**63 to 2**63 - 1 come back as they are, in every field and in lists."""
    for kind in kinds_with(int):
        for number in NUMBERS:
            round_trip(codec, 7, filled(kind, number=number))


@case('A yes that comes back as 1 (or as "True"), or a no that comes back as true because its text is not empty.')
def booleans_stay_booleans(codec: CheckedCodec) -> None:
    """True comes back as True and False as False, not as 1 and 0, also inside a list."""
    kinds: list[type[Message]] = [*kinds_with(bool), Mail]
    for kind in kinds:
        for flag in (True, False):
            round_trip(codec, 7, filled(kind, flag=flag))
    round_trip(codec, 7, Mail((Arrived(1, "ada", "hi", True), Arrived(2, "bob", "ho", False)), more=False))


TAGS = [None, 1, 2, 127, 128, 254, 255, 256, 257, 999, 1000, 65535, 65536, 2**31 - 1, 2**31, 2**32, 2**53 + 1, LARGEST]


@case("A request id (tag) that wraps or is cut: the answer then belongs to another question.")
def tags_of_every_size(codec: CheckedCodec) -> None:
    """A tag from 1 to 2**63 - 1, or none, comes back as it is, with every message."""
    for kind in EVERY_KIND:
        for tag in TAGS:
            round_trip(codec, tag, filled(kind))


@case("A list that ends at the first odd element, or whose count has too few digits or bits.")
def lists_of_every_length(codec: CheckedCodec) -> None:
    """No elements, one, a thousand, empty elements, elements with delimiters: every list comes back as it is."""
    texts = [(), ("",), ("", ""), ("a",), ("a", ""), ("", "a"), ("a|b", "c,d", "e;f", "[i]")]
    texts += [tuple(map(str, range(1000)))]
    for names in texts:
        round_trip(codec, 7, Accounts(names, next=""))
        round_trip(codec, 7, Accounts(names, next="z"))
        round_trip(codec, 7, Joined("den", names, len(names)))
    for numbers in [(), (0,), (1, 0, 1), (7, 300), tuple(range(127, 130)), tuple(range(1000)), (5,) * 256]:
        round_trip(codec, 7, DeleteMessages(numbers))
    for count in (0, 1, 2, 127, 128, 255, 256, 1000):
        letters = tuple([Arrived(number, "ada", f"t|{number}", number % 2 == 0) for number in range(count)])
        round_trip(codec, 7, Mail(letters, more=count % 2 == 1))


@case("A request id that is lost, or is mixed up with the text beside it.")
def request_ids(codec: CheckedCodec) -> None:
    """The request id of a request that may be repeated comes back; none stays none."""
    for request_id in ("", "rent-2024", "0", "7", "x" * 64, " "):
        for request in (
            Deposit(5, "", request_id),
            Withdraw(5, "7", request_id),
            Send("bob", "hi", request_id),
            Say("hi", request_id),
        ):
            round_trip(codec, 7, request)
            round_trip(codec, None, request)


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
    """As `round_trip`; a text that came back shorter, and without an error, is called what it is."""
    try:
        round_trip(codec, 7, message)
    except CaseFailed as wrong:
        if _shorter(message, codec.decode(codec.encode(7, message))[1]):
            wrong.hint = (
                "A silent truncation: the text comes back shorter than it was sent, as out of a field of a fixed size."
            )
        raise


def _shorter(sent: Message, got: Message) -> bool:
    pairs = [(getattr(sent, name), getattr(got, name, None)) for name in sent.__struct_fields__]
    return any(isinstance(one, str) and isinstance(other, str) and len(other) < len(one) for one, other in pairs)


@case("A length field too narrow for what it must hold, and unchecked: 255, 999 and 65535 are where they end.")
def texts_of_every_length(codec: CheckedCodec) -> None:
    """Texts of 0 to 65536 bytes come back whole: nothing is cut, refused or wrapped."""
    _sized(codec, "x")


@case("A length counted in characters and sent as bytes: the two differ as soon as somebody writes an é.")
def texts_of_every_length_beyond_ascii(codec: CheckedCodec) -> None:
    """Texts whose characters take two, three or four bytes come back whole at every length."""
    for letter in ("é", "中", "🙂"):
        _sized(codec, letter)


@case("A frame longer than its length field can tell, or fields of a fixed size that are together too long.")
def long_frames(codec: CheckedCodec) -> None:
    """Whole frames far over 65535 bytes come back: a page of mail, a thousand long names."""
    half = "x" * TEXT_BYTES
    round_trip(codec, 7, Mail((Arrived(1, "ada", half), Arrived(2, "bob", half)), more=True))
    round_trip(codec, 7, Accounts(tuple([f"{number:04}" + "n" * 240 for number in range(1000)]), next="z"))


@case("An unchecked length: a value too long for its field must be refused in words, never cut or crash.")
def what_does_not_fit_is_refused_in_words(codec: CheckedCodec) -> None:
    """A name of 65536 characters, far beyond what is allowed, comes back whole or encode raises ProtocolError."""
    for size in (65535, 65536, 100_000):
        for kind in kinds_with(str):
            try:
                round_trip(codec, 7, filled(kind, text="x" * size, many=1))
            except ProtocolError:
                pass


@case("An escape that a nested layer escapes again: 100 bytes become 372.")
def escapes_do_not_pile_up(codec: CheckedCodec) -> None:
    """A hundred quotes, backslashes or delimiters cost at most three hundred bytes more than an empty text."""
    for piece in (*"\"'\\|{}[]<>&%,;:\n\t", '\\"', "é", "🙂", "a"):
        text = piece * (100 // len(piece.encode()))
        grown = len(codec.encode(7, Send("bob", text))) - len(codec.encode(7, Send("bob", "")))
        if grown > 3 * 100 + 8:
            raise CaseFailed(
                f"{len(text.encode())} bytes of text, {piece!r} again and again", f"{grown} bytes of frame for them"
            )


# ---- injection --------------------------------------------------------------------------------------------------


@case("Injection: what stands in a text starts a new command with the sender's rights.")
def a_frame_inside_a_text_is_text(codec: CheckedCodec) -> None:
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


@case("Commands that are recognised inside chat text.")
def commands_in_a_text_are_text(codec: CheckedCodec) -> None:
    """Words that are commands elsewhere (/quit, LOGIN, exit, 15) mean nothing in a text, a name or a room."""
    words = "/quit /leave /list exit quit bye tata logout LOGIN DISCONNECT !DISCONNECT !quit close delete ping PING OK"
    numbers = "ERROR LogOut 15 10 0|ada 1|eve #7|14 @x|2||5 * __close__ None"
    every_text(codec, [*words.split(), *numbers.split()])


#: In the order in which they are tried: the plainest first, so that a mistake is reported by the case that shows it
#: best.
CASES = (
    has_what_a_codec_needs,
    every_message_comes_back,
    empty_fields,
    delimiters_in_texts,
    line_ends_in_texts,
    quotes_braces_and_backslashes_in_texts,
    control_characters_in_texts,
    every_script_in_every_direction,
    texts_stay_texts,
    numbers_of_every_size,
    booleans_stay_booleans,
    tags_of_every_size,
    lists_of_every_length,
    request_ids,
    texts_of_every_length,
    texts_of_every_length_beyond_ascii,
    long_frames,
    what_does_not_fit_is_refused_in_words,
    escapes_do_not_pile_up,
    a_frame_inside_a_text_is_text,
    commands_in_a_text_are_text,
)
