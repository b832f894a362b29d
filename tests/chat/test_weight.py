"""What messages weigh."""

import pytest
from hypothesis import given
from strategies import ANY_MESSAGE

from chatlab.chat.hub import Outbox
from chatlab.chat.weight import text_weight, weight
from chatlab.messages import EVENTS, REPLIES, REQUESTS, Arrived, Limits, Message, Refused


def size(value) -> int:
    """The bytes of everything in a value that has no fixed size."""
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, tuple):
        return sum(8 + size(element) for element in value)
    if isinstance(value, Message):
        return sum(size(getattr(value, field)) for field in value.__struct_fields__)
    return 0


@given(ANY_MESSAGE)
def test_no_message_weighs_less_than_its_bytes(message):
    assert weight(message) >= size(message)


@pytest.mark.parametrize("letter", ["a", "é", "€", "🙂"])
def test_a_text_weighs_at_least_its_bytes_and_at_most_four_times_its_characters(letter):
    assert len(letter.encode()) * 10 <= text_weight(letter * 10) <= 40


def test_an_outbox_is_bounded_whatever_is_in_it():
    for kind in (*REQUESTS, *REPLIES, *EVENTS):
        fields = {name: _LONG[of] for name, of in kind.__annotations__.items() if of in _LONG}
        if not fields:
            continue  # of a fixed size
        fixed = {int: 1, bool: False}
        message = kind(**fields, **{name: fixed[of] for name, of in kind.__annotations__.items() if of in fixed})
        outbox = Outbox(lambda: None, Limits(outbox_bytes=100_000))
        for _ in range(101):
            outbox.put(None, message)
        assert outbox.overflowed, kind


_LONG = {str: "x" * 1_000, tuple[int, ...]: (1,) * 1_000, tuple[str, ...]: ("",) * 1_000}
_LONG[tuple[Arrived, ...]] = (Arrived(1, "", ""),) * 1_000


def test_a_refusal_weighs_too():
    assert weight(Refused("MALFORMED", "x" * 500)) >= 500
