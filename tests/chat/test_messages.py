"""What can be said: values, their lists, their errors."""

import re

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatlab import messages
from chatlab.messages import (
    CODES,
    EVENTS,
    REPLIES,
    REQUESTS,
    ChatError,
    ConnectionLost,
    Event,
    Limits,
    Malformed,
    ProtocolError,
    Reply,
    Request,
    Send,
    shorten,
)


def test_two_messages_that_say_the_same_are_equal():
    assert Send("bob", "hi") == Send("bob", "hi")
    assert Send("bob", "hi") != Send("bob", "hi", request_id="again")


def test_a_message_never_changes():
    with pytest.raises(AttributeError):
        Send("bob", "hi").text = "bye"


@pytest.mark.parametrize("kind, listed", [(Request, (*REQUESTS, Malformed)), (Reply, REPLIES), (Event, EVENTS)])
def test_every_message_is_in_its_list_once(kind, listed):
    assert set(kind.__subclasses__()) == set(listed)
    assert len(set(listed)) == len(listed)


@pytest.mark.parametrize("request_type", REQUESTS, ids=lambda kind: kind.__name__)
def test_every_request_says_which_reply_answers_it(request_type):
    (reply,) = re.findall(r"Answered by `(\w+)`", request_type.__doc__)
    assert issubclass(getattr(messages, reply), Reply)


def test_every_message_says_in_a_sentence_what_it_means():
    for kind in REQUESTS + REPLIES + EVENTS:
        assert kind.__doc__.strip()[0].isupper() and kind.__doc__.strip().endswith("."), kind


@pytest.mark.parametrize("code", CODES)
def test_every_code_is_carried_by_a_grpc_status_and_explained_in_a_sentence(code):
    assert CODES[code].status in grpc.StatusCode.__members__
    assert re.fullmatch(r"[A-Z][^\n]*\.", CODES[code].sentence)


def test_a_refusal_without_a_text_of_its_own_says_what_its_code_means():
    assert str(ChatError("NOT_IN_ROOM")) == "NOT_IN_ROOM: Join a room first."
    assert ChatError("BAD_NAME", "no").text == "no"


def test_a_refusal_has_a_code_of_the_table():
    with pytest.raises(KeyError):
        ChatError("OOPS")


def test_the_three_families_of_errors_are_not_taken_for_one_another():
    assert issubclass(ConnectionLost, OSError)
    assert not issubclass(ConnectionLost, ChatError | ProtocolError)
    assert not issubclass(ProtocolError, ChatError | OSError)


def test_no_limit_is_optional():
    assert all(getattr(Limits(), name) > 0 for name in Limits.__struct_fields__)


@given(st.text() | st.binary())
def test_a_wrong_text_is_quoted_and_cut_to_forty_bytes(value):
    quoted = shorten(value)
    assert quoted[0] == quoted[-1] and quoted[0] in "'\""
    assert len(eval(quoted).removesuffix("…").encode("utf-8", "replace")) <= 40


@given(st.integers() | st.floats() | st.booleans() | st.none() | st.lists(st.text()))
def test_what_is_no_text_stands_without_quotes_cut_to_forty_bytes(value):
    assert (
        repr(value).startswith(shorten(value).removesuffix("…"))
        and len(shorten(value).removesuffix("…").encode()) <= 40
    )


def test_a_number_and_its_digits_as_text_are_told_apart():
    assert (shorten(80000), shorten("80000")) == ("80000", "'80000'")


def test_a_quoted_value_cannot_rewrite_a_terminal_or_a_log():
    assert shorten("\x1b[2J\r\n\u202e") == r"'\x1b[2J\r\n\u202e'"
