"""Which characters a picture can show: by matplotlib's own font, by one of the system's, or else by a stand-in.

Names and texts in a plot are a user's, in any script. A character that no font has is drawn as an empty box, once for
what a reader sees as one character, and matplotlib has nothing to warn of.
"""

import unicodedata
from functools import cache
from typing import Any

STAND_IN = "\N{WHITE VERTICAL RECTANGLE}"
#: Fonts that have what matplotlib's own lacks, as common systems come with them. Colour fonts cannot be drawn.
FALLBACKS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Noto Sans JP", "Source Han Sans SC", "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei", "Droid Sans Fallback", "Microsoft YaHei", "Yu Gothic", "Malgun Gothic", "PingFang SC",
    "Hiragino Sans", "Apple SD Gothic Neo", "Arial Unicode MS", "Noto Sans Devanagari", "Noto Sans Thai", "Noto Sans",
    "Noto Emoji", "Symbola", "Segoe UI Emoji", "Segoe UI Symbol",
)  # fmt: skip
_JOINER = "\N{ZERO WIDTH JOINER}"


def drawable(text: str, family: str = "") -> tuple[str, dict[str, Any]]:
    """The text as it can be drawn, and the properties of a matplotlib Text that draw it.

    What stands in it is never read as a formula, whatever dollars it has. `family` is matplotlib's default font, or
    another, such as "monospace".
    """
    look: dict[str, Any] = {"parse_math": False}
    if family:
        look["fontfamily"] = family
    if text.isascii() and text.isprintable():
        return text, look
    drawn, fonts = [], []
    before = ""
    for character in text:
        font = _font_of(character, family)
        is_part = before == _JOINER or unicodedata.category(character) in ("Mn", "Me", "Cf") or _is_skin_tone(character)
        if font is not None:
            drawn.append(character)
            fonts.append(font)
        elif not is_part:
            drawn.append(STAND_IN)
        before = character
    if fallbacks := dict.fromkeys(font for font in fonts if font):
        look["fontfamily"] = [*_default_families(family), *fallbacks]
    return "".join(drawn), look


@cache
def _font_of(character: str, family: str) -> str | None:
    """The fallback that has the character: empty if none is needed, None if there is none."""
    if character == "\n":
        return ""
    if not character.isprintable() and not character.isspace():
        return None
    for name in ("", *_installed_fallbacks()):
        if _has(name or family, character):
            return name
    return None


def _has(family: str, character: str) -> bool:
    from matplotlib import font_manager

    properties = font_manager.FontProperties(family=family or None)
    font = font_manager.get_font(font_manager.findfont(properties))
    return font.get_char_index(ord(character)) != 0


@cache
def _installed_fallbacks() -> tuple[str, ...]:
    from matplotlib import font_manager

    installed = {font.name for font in font_manager.fontManager.ttflist}
    return tuple(name for name in FALLBACKS if name in installed)


def _default_families(family: str) -> list[str]:
    if family:
        return [family]
    from matplotlib import rcParams

    return list(rcParams["font.family"])


def _is_skin_tone(character: str) -> bool:
    return "\N{EMOJI MODIFIER FITZPATRICK TYPE-1-2}" <= character <= "\N{EMOJI MODIFIER FITZPATRICK TYPE-6}"
