"""How wide a text is in a terminal: a Chinese character or an emoji takes two cells, a combining accent none."""

import unicodedata

_JOINER, _EMOJI_STYLE = "\N{ZERO WIDTH JOINER}", "\N{VARIATION SELECTOR-16}"


def width(text: str) -> int:
    """The number of terminal cells that a line of text takes.

    >>> width("abc"), width("名前"), width("e\\u0301"), width("👍🏽"), width("❤️"), width("👩‍💻")
    (3, 4, 1, 2, 2, 2)
    """
    if text.isascii():
        return len(text)
    cells = 0
    before = ""
    for character in text:
        if character == _EMOJI_STYLE and _cells(before) == 1:
            cells += 1  # a narrow symbol that is shown as an emoji
        elif before != _JOINER and not _is_skin_tone(character):
            cells += _cells(character)
        before = character
    return cells


def _is_skin_tone(character: str) -> bool:
    return "\N{EMOJI MODIFIER FITZPATRICK TYPE-1-2}" <= character <= "\N{EMOJI MODIFIER FITZPATRICK TYPE-6}"


def _cells(character: str) -> int:
    if not character or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


def pad(text: str, cells: int, side: str = "<") -> str:
    """The text with spaces up to so many cells; `side` is "<" for a text at the left, ">" for one at the right.

    >>> pad("名前", 6) + "|" + pad("7", 3, ">")
    '名前  |  7'
    """
    spaces = " " * (cells - width(text))
    return spaces + text if side == ">" else text + spaces


def columns(lines: list[tuple[str, ...]], sides: list[str]) -> list[str]:
    """Lines of cells as lines of text in which each column is as wide as its widest cell."""
    widths = [max(width(line[i]) for line in lines) for i in range(len(sides))]
    return [
        "  ".join(pad(text, cells, side) for text, cells, side in zip(line, widths, sides)).rstrip() for line in lines
    ]
