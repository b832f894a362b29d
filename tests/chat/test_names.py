"""Which names are allowed, and which a pattern matches."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatlab.chat.names import DEFAULT_IGNORABLE, MAX_MARKS, checked_name, checked_room, matcher, normalized
from chatlab.messages import ChatError


def is_refused(name):
    """What is said against the name, or an empty string."""
    try:
        checked_name(name)
    except ChatError as error:
        assert error.code == "BAD_NAME"
        return error.text
    return ""


@pytest.mark.parametrize("name", ["a", "x" * 64, "Ünï-çødé_1.5", "数学", "1a", "-", "नमस्ते"])
def test_a_name_may_be(name):
    assert checked_name(name) == name


@pytest.mark.parametrize("name", ["Ελένη", "Ирина", "דוד", "شريفة", "안녕", "ひらがな", "〇〇七"])
def test_a_name_may_be_of_any_script(name):
    assert checked_name(name) == name


@pytest.mark.parametrize("name, why", [
    ("", "at least one character"),
    ("x" * 65, "at most 64 characters, not 65"),
    ("42", "digits alone"),
    ("٤٢", "digits alone"),
    ("a b", "a name is 1 to 64 letters, digits or _ . -; 'a b' is not"),
    ("a|b", "'a|b' is not"),
    ("🙂", "must not contain '🙂'"),
    ("\u0301a", "begin with a combining mark"),
    ("a\u202eb", "U+202E"),
])  # fmt: skip
def test_a_refused_name_is_told_why(name, why):
    assert why in is_refused(name)


def test_no_name_holds_an_invisible_character():
    for first, last in DEFAULT_IGNORABLE:
        for code in {first, last, (first + last) // 2}:
            assert is_refused(chr(code)) and is_refused(f"ada{chr(code)}"), f"U+{code:04X}"


@pytest.mark.parametrize("name", ["\u3164", "\u115f", "ada\ufe0f", "ada\u034f", "\uffa0\uffa0", "a\u00adb", "a\u200bb"])
def test_a_name_that_looks_like_nothing_or_like_another_is_refused(name):
    assert is_refused(name)


@pytest.mark.parametrize("name", ["ａｄａ", "x²", "ﬁn", "Ⅷ", "ﾊﾝｶｸ", "ªb"])
def test_a_compatibility_form_is_refused(name):
    assert "must not contain" in is_refused(name)


def test_old_hangul_letters_are_refused_and_syllables_in_pieces_are_composed():
    assert checked_name("\u1112\u1161\u11ab") == "한"
    assert is_refused("\u1112\u1112")


def test_few_combining_marks_are_allowed_in_a_row_and_none_twice():
    marks = "".join(map(chr, range(0x0316, 0x0316 + MAX_MARKS + 1)))
    assert checked_name("a" + marks[:-1])
    assert is_refused("a" + marks) and is_refused("a\u0316\u0316")


@pytest.mark.parametrize("name", ["раypal", "αdmin", "1٢a", "adaדוד", "ada٢"])
def test_scripts_digits_and_directions_are_not_mixed(name):
    assert "must not mix" in is_refused(name)


@pytest.mark.parametrize("name", ["you", "You", "YOU", "server", "Server"])
def test_what_a_terminal_says_for_itself_is_no_name(name):
    assert is_refused(name) == f"the name '{name}' is reserved"
    assert checked_room(name) == name


def test_a_room_may_be_digits_alone():
    assert checked_room("42") == "42"


@given(st.text())
def test_a_name_is_allowed_as_it_is_or_in_its_normal_form_or_refused(name):
    try:
        assert checked_name(checked_name(name)) == checked_name(name)
    except ChatError as error:
        assert error.code == "BAD_NAME"


def test_what_is_too_long_for_a_name_is_not_normalized():
    long = "a" + "\u0301\u0316" * 200
    assert normalized(long) is long
    assert normalized("e\u0301") == "é"


@given(st.text("ab*?", max_size=8), st.text("ab", max_size=8))
def test_a_pattern_matches_what_a_slow_and_simple_matcher_matches(pattern, name):
    def fits(p, n):
        if p[:1] == "*":
            return fits(p[1:], n) or (n != "" and fits(p, n[1:]))
        return p == n == "" or (p != "" and n != "" and p[0] in ("?", n[0]) and fits(p[1:], n[1:]))

    assert matcher(pattern)(name) == fits(pattern, name)


@pytest.mark.parametrize("pattern", ["(a+)+b", "*a" * 100 + "b", "*?" * 128, "?" * 256, "*" * 256, "*a?" * 80 + "*b"])
def test_no_pattern_explodes(pattern):
    fits, name = matcher(pattern), "a" * 64
    started = time.perf_counter()
    for _ in range(100):
        fits(name)
    assert time.perf_counter() - started < 0.5
