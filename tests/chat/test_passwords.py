"""Passwords as they are prepared and hashed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatlab.chat.passwords import MAX_PASSWORD, checked_password, fits_password, hash_password
from chatlab.messages import ChatError


@pytest.mark.usefixtures("cheap_hashes")
@pytest.mark.parametrize("typed", ["s\u00e9same", "se\u0301same"])
@pytest.mark.parametrize("stored", ["s\u00e9same", "se\u0301same"])
def test_a_password_fits_however_its_characters_are_composed(stored, typed):
    assert fits_password(hash_password(stored), typed)


@pytest.mark.usefixtures("cheap_hashes")
@pytest.mark.parametrize("space", ["\u00a0", "\u2003", "\u3000"])
def test_every_kind_of_space_is_the_same_space(space):
    assert fits_password(hash_password("open sesame"), f"open{space}sesame")


@pytest.mark.usefixtures("cheap_hashes")
@pytest.mark.parametrize("other", ["Sesame", "sesame ", "\uff53esame", ""])
def test_case_width_and_every_character_count(other):
    assert not fits_password(hash_password("sesame"), other)


@pytest.mark.parametrize("password", ["a\nb", "\0", "\x7f", "👩‍💻☕️"])
def test_any_character_may_be_part_of_a_password(password):
    assert checked_password(password) == password


def test_a_password_has_a_length_limit():
    assert checked_password("x" * MAX_PASSWORD)
    with pytest.raises(ChatError, match=f"at most {MAX_PASSWORD} characters, not {MAX_PASSWORD + 1}"):
        checked_password("x" * (MAX_PASSWORD + 1))


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=64))
def test_a_prepared_password_is_prepared_for_good(password):
    assert checked_password(checked_password(password)) == checked_password(password)
