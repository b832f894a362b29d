"""A trace of a simulation: which text reached whom, and when."""

import unicodedata

import chatlab
from chatlab.capture.trace import Delivery, Trace, TraceEvent
from chatlab.messages import Account, Arrived, Heard, Say, Send, Sent


def sent(at_s, who, to, text, number):
    return (
        TraceEvent(at_s, who, "asked", Send(to, text)),
        TraceEvent(at_s + 0.001, who, "answered", Sent(number, True)),
    )


def test_a_text_that_was_sent_to_an_id_is_matched_with_its_arrival(no_background_output):
    with chatlab.serve("text") as server:
        ann, bob = server.users("ann", "bob")
        number = str(bob.account.id)
        scripts = {"ann": lambda me: me.send(number, "hi"), "bob": lambda me: me.receive(5)}
        ann.close(), bob.close()
    with chatlab.serve("text") as server:
        (delivery,) = chatlab.simulate(server, scripts).deliveries
    assert (delivery.sender, delivery.recipient, delivery.text) == ("ann", "bob", "hi")
    assert delivery.received_s is not None


def test_an_id_is_shown_by_its_name_even_if_nothing_was_received():
    trace = Trace(sent(0.1, "ann", "2", "hi", 1), {1: "ann", 2: "bob"})
    assert trace.deliveries == (Delivery("ann", "bob", "hi", 0.1, None),)


def test_a_name_in_another_normal_form_is_the_same_name():
    decomposed = unicodedata.normalize("NFD", "josé")
    arrived = TraceEvent(0.2, decomposed, "received", Arrived(1, "ann", "hi"))
    trace = Trace((*sent(0.1, "ann", decomposed, "hi", 1), arrived))
    assert trace.deliveries == (Delivery("ann", decomposed, "hi", 0.1, 0.2),)


def test_a_user_who_logs_in_to_another_account_receives_its_texts():
    events = (
        TraceEvent(0.0, "bob", "answered", Account(7, "carl", 0, 0)),
        *sent(0.1, "ann", "carl", "by name", 1),
        *sent(0.2, "ann", "7", "by id", 2),
        TraceEvent(0.3, "bob", "received", Arrived(1, "ann", "by name")),
        TraceEvent(0.4, "bob", "received", Arrived(2, "ann", "by id")),
        TraceEvent(0.5, "bob", "asked", Say("to all")),
        TraceEvent(0.6, "ann", "received", Heard("lobby", "carl", "to all")),
    )
    assert Trace(events, {1: "ann", 2: "bob"}).deliveries == (
        Delivery("ann", "bob", "by name", 0.1, 0.3),
        Delivery("ann", "bob", "by id", 0.2, 0.4),
        Delivery("bob", "ann", "to all", 0.5, 0.6),
    )
