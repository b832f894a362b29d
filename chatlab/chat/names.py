"""Which names there may be, and which names match a pattern.

A name is shown to others, so it should look like nothing else: the rules follow PRECIS (RFC 8264, RFC 8265) and Unicode
Technical Standard 39, as far as Python's own `unicodedata` knows the properties of a character.

* The characters are those of the PRECIS IdentifierClass: letters, digits and combining marks of any script; of ASCII's
  punctuation only `_`, `.` and `-`. Not in it: compatibility forms (full-width letters, ligatures, superscripts), old
  Hangul letters, and characters that are invisible (*default-ignorable*).
* The name is kept in normalization form C. Case is preserved and compared: `ada` and `Ada` are two names.
* At most four nonspacing marks in a row, and none twice in a row (UTS 39, 5.4).
* Digits of one script only (UTS 39, 5.3), and no mixture of Latin, Greek, Cyrillic, Armenian and Cherokee letters: most
  look-alikes are among these. Left-to-right and right-to-left letters are not mixed either (RFC 5893).
* `you` and `server` are reserved, in any case: a terminal shows them for itself.

Not detected are look-alikes within one script (`l` and `I`) and names that are look-alikes as a whole (Cyrillic `оса`):
that takes the table of UTS 39. The id tells accounts apart.
"""

import re
import unicodedata
from collections.abc import Callable
from itertools import islice, pairwise

from ..messages import ChatError, shorten

MAX_NAME = 64  # characters, in normalization form C
MAX_PATTERN = 256  # characters
#: Normalization takes time that is quadratic in a run of combining marks, so it is never given more characters.
MAX_NORMALIZED = 256
RESERVED = {"you", "server"}

_PLAIN = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_LETTERS_AND_DIGITS = {"Ll", "Lu", "Lo", "Nd", "Lm", "Mn", "Mc"}  # RFC 8264, 9.1
_SCRIPTS = {"LATIN", "GREEK", "CYRILLIC", "ARMENIAN", "CHEROKEE"}
MAX_MARKS = 4  # in a row

#: Default_Ignorable_Code_Point of Unicode's DerivedCoreProperties, as ranges (first, last).
DEFAULT_IGNORABLE = (
    (0x00AD, 0x00AD), (0x034F, 0x034F), (0x061C, 0x061C), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F),
    (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF),
)  # fmt: skip
#: Old Hangul letters (RFC 8264, 9.9), and what RFC 8264, 9.6 disallows one by one.
DISALLOWED = (
    (0x1100, 0x11FF), (0xA960, 0xA97C), (0xD7B0, 0xD7FB),
    (0x0640, 0x0640), (0x07FA, 0x07FA), (0x302E, 0x302F), (0x3031, 0x3035), (0x303B, 0x303B),
)  # fmt: skip
ALLOWED = {"\u3007", "\u0f0b"}  # which RFC 8264, 9.6 allows one by one


def normalized(text: str) -> str:
    """The text in normalization form C. A text too long to be a name or a pattern is returned as it is."""
    return unicodedata.normalize("NFC", text) if len(text) <= MAX_NORMALIZED and not text.isascii() else text


def checked_name(name: str) -> str:
    """The name of an account in its normal form. Raises `ChatError` BAD_NAME that says what is wrong with it.

    >>> checked_name("Jose\\u0301") == "José"
    True
    """
    if not _PLAIN.fullmatch(name):
        name = _checked(name, "a name")
    if name.isdigit():
        raise _bad_name("a name", "must not be digits alone", name)
    if name.lower() in RESERVED:
        raise ChatError("BAD_NAME", f"the name {shorten(name)} is reserved")
    return name


def checked_room(name: str) -> str:
    """The name of a room in its normal form: like an account's, but it may be digits alone."""
    return name if _PLAIN.fullmatch(name) else _checked(name, "a room's name")


def _checked(name: str, what: str) -> str:
    name = normalized(name)
    if not name:
        raise ChatError("BAD_NAME", f"{what} has at least one character")
    if len(name) > MAX_NAME:
        raise ChatError("BAD_NAME", f"{what} has at most {MAX_NAME} characters, not {len(name)}")
    for character in name:
        if not _is_allowed(character):
            if character.isascii():
                rule = f"{what} is 1 to {MAX_NAME} letters, digits or _ . -"
                raise ChatError("BAD_NAME", f"{rule}; {shorten(name)} is not")
            raise _bad_name(what, f"must not contain {shorten(character)} (U+{ord(character):04X})", name)
    if unicodedata.category(name[0])[0] == "M":
        raise _bad_name(what, "must not begin with a combining mark", name)
    if _has_many_marks(name):
        raise _bad_name(what, f"must not have {MAX_MARKS + 1} combining marks in a row, or one twice in a row", name)
    if _mixes_digits(name) or _mixes_scripts(name) or _mixes_directions(name):
        raise _bad_name(what, "must not mix scripts that look alike, digits of two scripts, or directions", name)
    return name


def _bad_name(what: str, rule: str, name: str) -> ChatError:
    return ChatError("BAD_NAME", f"{what} {rule}: {shorten(name)}")


def _is_allowed(character: str) -> bool:
    if character.isascii():
        return character.isalnum() or character in "_.-"
    if character in ALLOWED:
        return True
    code = ord(character)
    return (
        unicodedata.category(character) in _LETTERS_AND_DIGITS
        and not any(first <= code <= last for first, last in DEFAULT_IGNORABLE)
        and not any(first <= code <= last for first, last in DISALLOWED)
        and unicodedata.normalize("NFKC", character) == character
    )


def _has_many_marks(name: str) -> bool:
    marks = [unicodedata.category(character) == "Mn" for character in name]
    run = 0
    for is_mark in marks:
        run = run + 1 if is_mark else 0
        if run > MAX_MARKS:
            return True
    return any(one == other and is_mark for (one, other), is_mark in zip(pairwise(name), marks))


def _mixes_digits(name: str) -> bool:
    digits = [character for character in name if unicodedata.category(character) == "Nd"]
    return len({ord(digit) - unicodedata.decimal(digit) for digit in digits}) > 1


def _mixes_scripts(name: str) -> bool:
    letters = [character for character in name if character.isalpha()]
    return len({unicodedata.name(letter, "").partition(" ")[0] for letter in letters} & _SCRIPTS) > 1


def _mixes_directions(name: str) -> bool:
    directions = {unicodedata.bidirectional(character) for character in name}
    return bool(directions & {"R", "AL", "AN"}) and "L" in directions


def matcher(pattern: str) -> Callable[[str], bool]:
    """A test for names. `*` stands for any run of characters, `?` for any one; nothing else is special.

    Never a regular expression, so no pattern can make it explode: the pieces between the stars are looked for once
    each, from left to right, in linear space and at most len(name) * len(pattern) steps.

    >>> fits = matcher("a*?c")
    >>> fits("abc"), fits("a[c"), fits("ac")
    (True, True, False)
    """
    first, *rest = pattern.split("*")
    if not rest:
        return lambda name: len(name) == len(first) and _fits(first, name, 0)
    *middle, last = rest
    middle = [piece for piece in middle if piece]
    shortest = len(first) + len(last) + sum(map(len, middle))

    def fits(name: str) -> bool:
        end = len(name) - len(last)
        if len(name) < shortest or not _fits(first, name, 0) or not _fits(last, name, end):
            return False
        at = len(first)
        for piece in middle:
            at = _find(piece, name, at, end)
            if at < 0:
                return False
            at += len(piece)
        return True

    return fits


def _fits(piece: str, name: str, at: int) -> bool:
    if "?" not in piece:
        return name.startswith(piece, at)
    return all(p in ("?", c) for p, c in zip(piece, islice(name, at, None)))


def _find(piece: str, name: str, start: int, end: int) -> int:
    if "?" not in piece:
        return name.find(piece, start, end)
    return next((at for at in range(start, end - len(piece) + 1) if _fits(piece, name, at)), -1)
