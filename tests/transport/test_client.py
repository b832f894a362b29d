"""What a client remembers of what was read, without any connection."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import chatlab
from chatlab.messages import Arrived, ChatError, DeleteMessages, Deposit, Send, checked
from chatlab.transport.read_state import ReadState


def test_the_floor_rises_over_what_was_shown_without_a_gap():
    mailbox = ReadState(acknowledged=3)
    for number in (4, 6, 7):
        mailbox.add(number)
    assert mailbox.read_up_to == 4 and 6 in mailbox and 5 not in mailbox
    mailbox.add(5)
    assert mailbox.read_up_to == 7


def test_a_number_missing_from_the_mailbox_is_no_gap():
    mailbox = ReadState()
    mailbox.add_page(0, (Arrived(2, "bob", "hi"), Arrived(5, "bob", "hi")))
    assert mailbox.read_up_to == 5


def test_a_page_from_further_up_says_nothing_of_what_is_below_it():
    mailbox = ReadState()
    mailbox.add_page(3, (Arrived(4, "bob", "hi"),))
    assert mailbox.read_up_to == 0 and 4 in mailbox and 3 not in mailbox


@given(st.integers(0, 5), st.lists(st.integers(1, 12), max_size=20))
def test_the_floor_never_passes_a_number_that_was_not_shown(floor, numbers):
    mailbox = ReadState(acknowledged=floor)
    for number in numbers:
        mailbox.add(number)
    assert all(number in numbers for number in range(floor + 1, mailbox.read_up_to + 1))
    assert all(number in mailbox for number in numbers)
    assert mailbox.read_up_to + 1 not in numbers


def test_a_number_acknowledged_before_it_is_given_hides_no_message():
    mailbox = ReadState()
    mailbox.acknowledge(1000)
    assert mailbox.read_up_to == 0 and 1 not in mailbox


def test_what_was_acknowledged_unseen_is_no_gap_when_the_next_arrives():
    mailbox = ReadState()
    mailbox.acknowledge(10)
    mailbox.arrive(11)
    assert mailbox.read_up_to == 11


def test_a_number_deleted_before_it_is_given_hides_no_message():
    mailbox = ReadState()
    mailbox.delete([1, 2, 3], count=0)
    for number in (1, 2, 3):
        assert number not in mailbox
        mailbox.arrive(number)
    assert mailbox.read_up_to == 3


def test_what_was_deleted_unseen_is_no_gap_when_the_next_arrives():
    mailbox = ReadState()
    mailbox.delete([1, 3], count=1)  # one of them was there: 1, as it turns out
    mailbox.arrive(2)
    assert mailbox.read_up_to == 2 and 3 not in mailbox


def test_a_page_from_further_up_does_not_hide_what_was_deleted_before_it_was_there():
    mailbox = ReadState()
    mailbox.delete([8], count=0)
    mailbox.add_page(9, (Arrived(10, "bob", "hi"),))
    assert 8 not in mailbox


@pytest.mark.parametrize("protocol", ["text", "grpc", "grpc-stream"])
def test_mail_that_comes_after_its_number_was_deleted_or_acknowledged_is_shown(protocol):
    with chatlab.serve(protocol, name="too early") as server:
        ann, ben = server.users("ann", "ben")
        ben.delete_messages([1, 2, 3])
        ben.acknowledge(1000)
        for text in ("one", "two", "three", "four"):
            ann.send("ben", text)
        assert [ben.receive(10).text for _ in range(4)] == ["one", "two", "three", "four"]


@pytest.mark.parametrize("request_", [Send("bob", "hi"), Deposit(2**63 - 1), DeleteMessages((1, -(2**63)))])
def test_what_fits_every_wire_passes(request_):
    assert checked(request_) is request_


@pytest.mark.parametrize(
    "request_", [Send(7, "hi"), Send("bob", None), Deposit(True), Deposit(1.0), DeleteMessages(("1",))]
)
def test_a_value_of_another_type_is_a_mistake_in_the_program(request_):
    with pytest.raises(TypeError):
        checked(request_)


@pytest.mark.parametrize("request_", [Deposit(2**63), DeleteMessages((2**63,)), Send("bob", "\udc00")])
def test_a_value_that_fits_no_wire_is_refused(request_):
    with pytest.raises(ChatError, match="BAD_VALUE"):
        checked(request_)


@pytest.mark.parametrize("numbers", [5, "5", ["5"], [1.5]])
def test_messages_to_delete_that_are_no_list_of_numbers_are_refused_in_words(numbers):
    with chatlab.serve("text", name="numbers") as server, server.connect() as client:
        with pytest.raises(TypeError, match="numbers is a list of whole numbers"):
            client.delete_messages(numbers)


def test_a_time_to_wait_that_is_no_number_is_refused_in_words():
    with chatlab.serve("text", name="waiting") as server, server.connect() as client:
        with pytest.raises(TypeError, match="timeout_s is a number of seconds, or None, not '1'"):
            client.receive("1")


@pytest.mark.parametrize("timeout_s", [-1, float("nan"), float("inf")])
def test_a_time_to_wait_that_nobody_can_wait_is_refused_in_words(timeout_s):
    with chatlab.serve("text", name="waiting") as server, server.connect() as client:
        with pytest.raises(ValueError, match=f"seconds from 0 on, or None to wait for ever, not {timeout_s}"):
            client.receive(timeout_s)


def test_of_a_list_with_a_wrong_number_that_number_is_named():
    with chatlab.serve("text", name="numbers") as server, server.connect() as client:
        with pytest.raises(TypeError, match="numbers is a list of whole numbers, and holds '12' of type str"):
            client.delete_messages([11, "12"])
