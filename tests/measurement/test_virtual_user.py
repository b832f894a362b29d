"""One simulated client: it is content with the truth and notices whatever is not. No network, no clock."""

import pytest

from chatlab.measurement.load.virtual_user import CYCLE, VerificationError, VirtualUser
from chatlab.measurement.load.workload import Workload
from chatlab.messages import (
    Accounts,
    Arrived,
    Balance,
    ChatError,
    Entered,
    Heard,
    ListAccounts,
    Ping,
    Pong,
    Refused,
    Said,
    Sent,
)

NAMES = ["ann", "bob", "cid", "dan"]


def users(in_order=True, **load):
    load = Workload(**{"clients": 2, "in_flight": 8} | load)
    peers = [VirtualUser(load, number, NAMES[: load.clients], in_order) for number in range(load.clients)]
    for each in peers:
        each.peers = peers
    return peers


def arrived(sender, n, number=None):
    return Arrived(n + 1 if number is None else number, sender.name, sender.steps[n].text)


def test_a_text_is_done_when_it_is_answered_and_heard():
    ann, bob = users()
    assert not ann.on_reply(ann.begin_request(1), Sent(1, True), 2)
    assert bob.on_event(arrived(ann, 0), 3) == (ann, True)
    assert (ann.due[0], ann.answered[0], ann.heard[0], ann.done) == (1, 2, 3, 1)


def test_a_text_may_be_heard_before_it_is_answered():
    ann, bob = users()
    n = ann.begin_request(1)
    assert bob.on_event(arrived(ann, 0), 2) == (ann, False) and ann.on_reply(n, Sent(1, True), 3)


@pytest.mark.parametrize(
    "sent", [Sent(2, True), Sent(1, False), Pong()], ids=["another number", "not delivered", "no Sent"]
)
def test_a_wrong_answer_is_noticed(sent):
    ann, _ = users()
    with pytest.raises(VerificationError, match="request 0, send, was answered by"):
        ann.on_reply(ann.begin_request(1), sent, 2)


@pytest.mark.parametrize("number, sender, change", [
    (2, "ann", str), (1, "bob", str), (1, "ann", str.swapcase), (1, "ann", lambda text: text[:-1]),
    (1, "ann", lambda text: "00000001" + text[8:]), (1, "ann", lambda text: "?"),
], ids=["a gap", "somebody else", "changed", "cut short", "another one", "nonsense"])  # fmt: skip
def test_a_wrong_text_is_noticed(number, sender, change):
    ann, bob = users()
    ann.begin_request(1)
    with pytest.raises(VerificationError):
        bob.on_event(Arrived(number, sender, change(ann.steps[0].text)), 2)


def test_a_text_that_comes_twice_is_noticed():
    ann, bob = users()
    ann.begin_request(1)
    bob.on_event(arrived(ann, 0), 2)
    with pytest.raises(VerificationError, match="not in flight to it"):
        bob.on_event(arrived(ann, 0, 2), 3)


def test_texts_that_overtake_each_other_are_noticed():
    ann, bob = users()
    ann.begin_request(1), ann.begin_request(2)
    with pytest.raises(VerificationError, match="before an earlier text"):
        bob.on_event(arrived(ann, 1, 1), 3)


def test_where_nothing_promises_an_order_texts_may_overtake_each_other():
    ann, bob = users(in_order=False)
    first, second = ann.begin_request(1), ann.begin_request(2)
    bob.on_event(arrived(ann, 1, 1), 3), bob.on_event(arrived(ann, 0, 2), 4)
    assert ann.on_reply(second, Sent(1, True), 5) and ann.on_reply(first, Sent(2, True), 6)


def test_without_an_order_the_numbers_still_have_to_agree():
    ann, bob = users(in_order=False)
    first, _ = ann.begin_request(1), ann.begin_request(2)
    bob.on_event(arrived(ann, 0, 1), 3)
    with pytest.raises(VerificationError):
        ann.on_reply(first, Sent(2, True), 4)


def test_answers_out_of_order_are_noticed():
    ann, _ = users()
    _, second = ann.begin_request(1), ann.begin_request(2)
    with pytest.raises(VerificationError, match="before an earlier request"):
        ann.on_reply(second, Sent(1, True), 3)


def test_an_answer_that_comes_twice_is_noticed():
    ann, _ = users()
    n = ann.begin_request(1)
    ann.on_reply(n, Sent(1, True), 2)
    with pytest.raises(VerificationError, match="answered twice"):
        ann.on_reply(n, Sent(1, True), 3)


def test_a_text_that_was_accepted_and_never_came_is_lost():
    ann, bob = users()
    ann.on_reply(ann.begin_request(1), Sent(1, True), 2)
    bob.verify_all_delivered({0, 1})
    with pytest.raises(VerificationError, match="was accepted, and never delivered to bob"):
        ann.verify_all_delivered({0, 1})


def test_a_text_that_may_still_be_on_its_way_is_not_known_to_be_lost():
    ann, _ = users()
    ann.on_reply(ann.begin_request(1), Sent(1, True), 2)
    ann.verify_all_delivered({0})
    assert ann.undelivered() == [(ann.steps[0].text, {1})] and ann.has_pending


def test_a_text_that_nobody_answered_is_not_known_to_be_lost():
    ann, _ = users()
    ann.begin_request(1)
    ann.verify_all_delivered({0, 1})
    assert ann.has_pending and ann.answered[0] == 0


def test_a_refusal_is_an_error():
    ann, _ = users()
    with pytest.raises(ChatError, match="TEXT_TOO_LONG"):
        ann.on_reply(ann.begin_request(1), Refused("TEXT_TOO_LONG", "no"), 2)


@pytest.mark.parametrize("operation, right, wrong", [
    ("ping", Pong(), Balance(1)), ("balance", Balance(100), Balance(101)),
    ("search", Accounts(("ann", "bob")), Accounts(("ann", "cid"))), ("search", Accounts(("ann",), "ann"), Accounts(())),
])  # fmt: skip
def test_each_operation_has_its_right_answer(operation, right, wrong):
    ann, _ = users(operations=operation)
    assert ann.on_reply(ann.begin_request(1), right, 2)
    with pytest.raises(VerificationError, match=f"request 1, {operation}, was answered by"):
        ann.on_reply(ann.begin_request(3), wrong, 4)


def test_a_search_asks_for_what_all_names_begin_with():
    load = Workload(clients=2, operations="search")
    assert VirtualUser(load, 0, ["w1c000", "w1c001"], True).requests[0] == ListAccounts("w1c00*", limit=10)


def test_what_is_said_in_a_room_is_done_when_all_have_heard_it():
    ann, bob, cid = users(clients=3, rooms=1, operations="say")
    ann.on_reply(ann.begin_request(1), Said(2), 2)
    heard = Heard("r", "ann", ann.steps[0].text)
    assert bob.on_event(Entered("r", "cid"), 0) is None
    assert bob.on_event(heard, 3) == (ann, False) and cid.on_event(heard, 4) == (ann, True)
    assert ann.heard[0] == 4


def test_whoever_is_alone_in_a_room_is_heard_by_nobody():
    (ann,) = users(clients=1, rooms=1, operations="say")
    assert ann.on_reply(ann.begin_request(1), Said(0), 2)


def test_what_comes_from_another_room_is_noticed():
    ann, *_, dan = users(clients=4, rooms=2, operations="say")
    ann.begin_request(1)
    with pytest.raises(VerificationError, match="another room"):
        dan.on_event(Heard("r", "ann", ann.steps[0].text), 2)


def test_a_script_goes_round_and_never_asks_what_is_still_on_its_way():
    ann, _ = users(operations="ping")
    for n in range(CYCLE):
        ann.begin_request(n)
    assert ann.window_full and ann.requests[ann.next_index] == Ping()
    ann.on_reply(0, Pong(), 1)
    assert not ann.window_full
