"""What went wrong in chats like this one, tried on ours: each docstring is the mistake as somebody made it.

Every test runs on both engines, over real sockets, in the text protocol.
"""

import socket
import time

import pytest
from raw_client import DEADLINE_S, TEXT, ChatServer, RawClient, until

from chatlab.chat.service import Chat
from chatlab.messages import ChatError, ConnectionLost, Limits

pytestmark = pytest.mark.filterwarnings("error")

# ---- framing


def test_two_requests_in_one_segment_are_both_answered(chat_server):
    """One `recv` taken for one message: two requests in one segment, the second lost, or both merged."""
    ada = chat_server.raw()
    ada.send("1|ada", "14")
    assert ada.lines(2) == ["account|1|ada|0|0", "pong"]


def test_ten_requests_in_one_segment_are_answered_in_order_without_another_byte(chat_server):
    """One frame taken per wake-up, the rest stalls until the next."""
    ada = chat_server.raw("ada")
    ada.send(*[f"#{n}|2||1" for n in range(1, 11)])
    assert ada.lines(10) == [f"#{n}|balance|{n}" for n in range(1, 11)]


def test_one_byte_at_a_time_is_as_good_as_a_line(chat_server):
    """A message split over two segments kills the thread, or its tail is dropped; the first byte taken for a frame."""
    ada = chat_server.raw("ada")
    for byte in "6|ada|héllo 🙂\n".encode():
        ada.send_bytes(bytes([byte]))
    assert ada.lines(2) == ["sent|1|yes", "arrived|1|ada|no|héllo 🙂"]


def test_a_slow_and_a_fast_sender_do_not_mix(chat_server):
    """A push written while another line is half received; parser state reset on each readable event."""
    slow, fast = chat_server.raw("slow"), chat_server.raw("fast")
    slow.send_bytes(b"6|slow|ha")
    assert fast.ask("6|slow|in between") == "sent|1|yes"
    assert slow.line() == "arrived|1|fast|no|in between"
    slow.send_bytes(b"lf\n")
    assert slow.lines(2) == ["sent|2|yes", "arrived|2|slow|no|half"]


@pytest.mark.parametrize("size", [254, 255, 256, 998, 999, 1_000, 1_023, 1_024, 1_025, 4_096, 65_535, 65_536])
def test_a_text_of_any_length_up_to_the_limit_arrives_whole(chat_server, size):
    """`recv(1024)` cuts a long message and reads the rest as commands; a length field too narrow (255, 999, 65535)."""
    ada = chat_server.raw("ada")
    text = ("14 1,eve " * size)[:size]
    assert ada.ask(f"6|ada|{text}") == "sent|1|yes"
    assert ada.line() == f"arrived|1|ada|no|{text}"


def test_a_text_over_the_limit_is_refused_and_not_cut(chat_server):
    """Silent truncation to a fixed field."""
    ada = chat_server.raw("ada")
    assert ada.ask("6|ada|" + "x" * 65_537) == "!|TEXT_TOO_LONG|a text has at most 65536 bytes, not 65537"
    assert ada.ask("6|ada|" + "é" * 32_769) == "!|TEXT_TOO_LONG|a text has at most 65536 bytes, not 65538"
    assert ada.ask("7") == "mail|no"


def test_a_line_may_be_as_long_as_a_frame_and_no_longer(start_server):
    """No upper bound on a length that the peer sends."""
    chat_server = start_server(Limits(frame=1_000))
    ada, eve = chat_server.raw("ada"), chat_server.raw()
    assert ada.ask("6|ada|" + "x" * (1_000 - 7)) == "sent|1|yes"
    eve.send_bytes(b"6|ada|" + b"x" * (1_001 - 7) + b"\n")
    assert eve.rest() == ["goodbye|protocol error: a frame is longer than the limit of 1000 bytes"]


def sends_for_ever(raw, data: bytes):
    """Send until the server ends it; fails at the deadline if it never does."""
    raw.sock.settimeout(2)
    deadline = time.monotonic() + DEADLINE_S
    with pytest.raises(OSError):
        while time.monotonic() < deadline:
            raw.send_bytes(data)


def test_a_line_that_never_ends_is_cut_off(start_server):
    """A peer that sends for ever fills the server's memory."""
    chat_server = start_server(Limits(linger_s=0.1))
    ada = chat_server.raw("ada")
    sends_for_ever(chat_server.raw(), b"x" * (1 << 16))
    assert ada.ask("14") == "pong"


def test_whoever_sends_far_too_much_still_hears_why(chat_server):
    """The connection closed while the peer was still sending: the reset overtakes the reason."""
    eve = chat_server.raw()
    eve.send_bytes(b"x" * (2 << 20))
    assert eve.sock.recv(8, socket.MSG_PEEK) == b"goodbye|"
    for _ in range(20):
        eve.send_bytes(b"x" * (1 << 16))
    assert eve.rest() == ["goodbye|protocol error: a frame is longer than the limit of 1048576 bytes"]


@pytest.mark.parametrize(
    "line", ["99", "hello", "", "|", "|||", "6", "2||x", "#0|14", "@x|14", "14|now", "{}", "GET / HTTP/1.1"]
)
def test_after_an_unreadable_line_a_good_one_is_answered(chat_server, line):
    """No total length: an unknown operation loses sync for good."""
    ada = chat_server.raw()
    ada.send(line, "14")
    assert ada.line().startswith("!|MALFORMED|")
    assert ada.line() == "pong"


def test_bytes_that_are_no_utf_8_are_refused_and_the_next_line_is_heard(chat_server):
    """A decoding error kills the reader's thread and leaves a ghost on-line."""
    ada = chat_server.raw("ada")
    ada.send_bytes(b"6|ada|\xff\xfe\n14\n")
    assert ada.lines(2) == ["!|MALFORMED|a line is UTF-8; byte 6 of it, 0xff, is not", "pong"]


def test_a_tag_may_be_any_number_up_to_63_bits(chat_server):
    """A request id that wraps one too late; integers over 2^31 crash."""
    ada = chat_server.raw()
    tags = [1, 255, 256, 65_535, 65_536, 2**31, 2**32, 2**63 - 1]
    ada.send(*[f"#{tag}|14" for tag in tags])
    assert ada.lines(len(tags)) == [f"#{tag}|pong" for tag in tags]
    assert ada.ask(f"#{2**63}|14").startswith("!|MALFORMED|a tag")


def test_amounts_over_31_bits_are_numbers_like_others(chat_server):
    """Integers over 2^31 crash."""
    ada = chat_server.raw("ada")
    assert ada.ask(f"2||{2**62}") == f"balance|{2**62}"
    assert ada.ask(f"2||{2**63 - 1}").startswith("!|OVERFLOW|")
    assert ada.ask(f"2||{2**63}").startswith("!|MALFORMED|")
    assert ada.ask("2||-5").startswith("!|BAD_VALUE|")


def test_pushes_and_answers_never_interleave_within_a_line(chat_server):
    """Length and data in two writes from several threads, without a lock: frames interleave."""
    ada = chat_server.raw("ada")
    senders = [chat_server.raw(f"s{n}") for n in range(5)]
    for n, sender in enumerate(senders):
        sender.send(*[f"6|ada|{str(n) * 500}"] * 40)
    ada.send(*["14"] * 100)
    lines = ada.lines(300)
    assert lines.count("pong") == 100
    assert {line.rpartition("|")[2] for line in lines if line != "pong"} == {str(n) * 500 for n in range(5)}


def test_a_peer_that_ends_in_mid_line_is_told_and_the_line_is_not_carried_out(chat_server):
    """Half a withdrawal is carried out: `3||100` cut off is a valid `3||1`."""
    ada, other = chat_server.raw("ada"), chat_server.raw()
    ada.ask("2||100")
    ada.send_bytes(b"3||1")
    ada.end()
    assert ada.rest() == ["!|MALFORMED|the connection ended inside a frame; the first 4 bytes of it were ignored"]
    other.ask("0|ada")
    assert other.ask("4") == "balance|100"


# ---- injection


BODIES = [
    "a|b",
    "a\nb",
    "a\r\n14\r\nb",
    "a\0b",
    "'; DROP TABLE accounts; --",
    '{"a": ["b"',
    "6|bob|hi",
    "🙂🏳️‍🌈é",
    "\\",
    r"\n",
    r"\p\\p",
    "#7|14",
    "@x",
    "",
    " ",
    "\x1b[2J",
    "\u2028",
]


@pytest.mark.parametrize("body", BODIES, ids=ascii)
def test_a_body_is_only_a_body(chat_server, body):
    """A delimiter in the body cuts it, or starts a command with the sender's rights; a quote alters the field count."""
    ada, bob = chat_server.client("ada"), chat_server.client("bob")
    ada.send("bob", body)
    assert bob.receive(DEADLINE_S).text == body
    ada.join()
    bob.join()
    bob.say(body)
    ada.receive(DEADLINE_S)
    assert ada.receive(DEADLINE_S).text == body


def test_a_delimiter_typed_by_hand_in_the_last_field_is_text(chat_server):
    """A delimiter in the body cuts it."""
    ada = chat_server.raw("ada")
    assert ada.ask("6|ada|either|or") == "sent|1|yes"
    assert ada.line() == r"arrived|1|ada|no|either\por"


def test_an_escape_at_most_doubles_a_text(chat_server):
    """An escape that a nested layer escapes again (100 bytes become 372)."""
    ada = chat_server.raw("ada")
    ada.ask("6|ada|" + "\\\\" * 100)
    assert len(ada.line()) == len("arrived|1|ada|no|") + 200


def test_a_name_that_is_not_ascii_can_be_created_and_answered(chat_server):
    """Replies in ASCII, so a non-ASCII name is created and then the reply fails."""
    ada = chat_server.raw()
    assert ada.ask("1|Zoë数") == "account|1|Zoë数|0|0"
    assert ada.ask("5|Zo?*") == "accounts||Zoë数"


@pytest.mark.parametrize("name", ["a|b", "a\nb", "a\x1b[2Jb", "a b", "*", "1", "\u202eada", "a\0"], ids=ascii)
def test_a_name_cannot_hold_what_rewrites_a_terminal_a_log_or_a_line(chat_server, name):
    """Control characters that rewrite a terminal or a log line."""
    ada = chat_server.client()
    with pytest.raises(ChatError) as refusal:
        ada.create_account(name)
    assert refusal.value.code == "BAD_NAME"
    assert refusal.value.text.isprintable()
    assert chat_server.log == []


# ---- search


EVIL = [
    "(a+)+b",
    "[",
    "%",
    "*" * 256,
    "*" * 1_000,
    "*a" * 100 + "b",
    "?" * 200,
    r"\d+",
    "a{1000000}",
    "[!a]*",
    "*?" * 100,
]


@pytest.mark.timing
@pytest.mark.parametrize("pattern", EVIL, ids=lambda pattern: pattern[:8])
def test_a_search_delays_nobody_and_kills_no_thread(chat_server, pattern):
    """`(a+)+b` against 27 `a`s froze *every* client for nine seconds; `[` kills the thread and leaves a ghost."""
    ada, bob = chat_server.raw("a" * 64), chat_server.raw("bob")
    ada.send(*[f"5|{pattern}"] * 20)
    started = time.monotonic()
    assert bob.ask("14") == "pong"
    assert time.monotonic() - started < 2
    assert all(line[0] in "a!" for line in ada.lines(20))
    assert ada.ask("14") == "pong"


def test_ten_thousand_names_are_listed_in_pages_while_others_are_answered(chat_server):
    """An answer too long for one frame."""
    for n in range(10_000):
        chat_server.hub.chat.store.create(f"user-{n:05}-{'x' * 50}")
    ada, bob = chat_server.client("ada"), chat_server.raw("bob")
    names, after = [], ""
    while after or not names:
        page = ada.list_accounts("user-*", after, limit=1_000)
        names, after = names + list(page.names), page.next
        assert bob.ask("14") == "pong"
    assert len(names) == len(set(names)) == 10_000 and names == sorted(names)


# ---- mailboxes and deletion


def test_who_vanishes_in_mid_delivery_finds_the_mail_later(chat_server):
    """Emptied before the send succeeds (mail lost); "delivered" stored before the send is tried."""
    ada, bob = chat_server.client("ada"), chat_server.raw("bob")
    for n in range(50):
        ada.send("bob", f"{n} {'x' * 50_000}")
    bob.reset()
    with chat_server.client() as again:
        until(lambda: repr(chat_server.hub).startswith("<Hub of 2 sessions"))
        assert again.log_in("bob").unread == 50
        texts, page = [], again.unread(limit=10)
        while page.messages:
            texts += [message.text.split()[0] for message in page.messages]
            page = again.unread(after=page.messages[-1].number, limit=10)
        assert texts == [str(n) for n in range(50)]


def test_what_was_shown_is_not_shown_again_after_a_lost_connection(start_server):
    """Never emptied (redelivered for ever); "read" marked at push."""
    first = start_server()
    ada, bob = first.client("ada"), first.client("bob")
    for text in ("one", "two", "three"):
        ada.send("bob", text)
    assert bob.receive(1).text == "one"
    first.endpoint.close()
    start_server(chat=first.hub.chat, port=first.address[1])
    bob.log_in("bob")
    ada.log_in("ada")
    ada.send("bob", "four")
    assert [m.text for m in bob.unread().messages] == ["two", "three", "four"]
    with pytest.raises(TimeoutError):  # the push of "four" is known already
        bob.receive(0.1)
    bob.close()
    assert first.hub.chat.store.unread(2) == 0


def test_another_program_of_the_same_user_is_shown_only_what_the_first_was_not(chat_server):
    """Never emptied (redelivered for ever)."""
    ada, bob = chat_server.client("ada"), chat_server.client("bob")
    for text in ("one", "two", "three"):
        ada.send("bob", text)
    assert [bob.receive(1).text, bob.receive(1).text] == ["one", "two"]
    bob.close()
    again = chat_server.client()
    assert again.log_in("bob").unread == 1
    assert [m.text for m in again.unread().messages] == ["three"]


def test_an_acknowledgement_never_drops_mail_that_was_not_shown(chat_server):
    """Emptied before it was seen: what was pushed to a full screen is gone."""
    ada, bob = chat_server.client("ada"), chat_server.client("bob")
    for n in range(1, 6):
        ada.send("bob", str(n))
    assert [bob.receive(1).text for _ in range(2)] == ["1", "2"]
    bob.ping()
    assert [letter.text for letter in chat_server.hub.chat.store.mail(2)][-3:] == ["3", "4", "5"]


def test_what_waited_for_one_account_does_not_count_as_shown_to_the_next(chat_server):
    """Overwritten by a guard on the wrong table: message 1 of one mailbox acknowledged as message 1 of another."""
    ada, both = chat_server.client("ada"), chat_server.client("bob")
    ada.send("bob", "for bob")
    both.log_out()
    both.create_account("eve")
    ada.send("eve", "for eve")
    assert both.receive(1).text == "for eve"
    both.close()
    assert [letter.text for letter in chat_server.hub.chat.store.mail(2)] == ["for bob"]


def test_who_was_logged_out_without_noticing_takes_nothing_along(chat_server):
    """The same, where the account was deleted by another connection."""
    ada, both, owner = chat_server.client("ada"), chat_server.client("bob"), chat_server.client()
    ada.send("bob", "for bob")
    owner.log_in("bob")
    owner.delete_account()
    both.create_account("eve")
    ada.send("eve", "for eve")
    assert both.receive(1).text == "for eve"


def test_a_mailbox_is_readable_only_by_its_owner(chat_server):
    """Readable by anyone."""
    ada, eve = chat_server.raw("ada"), chat_server.raw("eve")
    ada.ask("6|ada|private")
    assert eve.ask("7") == "mail|no"
    assert eve.ask("9|1") == "deleted|0"
    assert chat_server.raw().ask("7").startswith("!|NOT_LOGGED_IN|")


def test_create_delete_create_inherits_nothing(chat_server):
    """Inherited by the next owner of the name; name burned by accident."""
    ada = chat_server.raw("ada")
    ada.send("6|ada|private", "2||50", "15", "1|ada", "7", "4")
    lines = ada.lines(7)
    assert lines[3:] == ["closed|50", "account|2|ada|0|0", "mail|no", "balance|0"]


def test_an_unknown_recipient_is_an_error_and_says_so(chat_server):
    """Unknown recipient silently accepted; failure text with status "success"."""
    assert chat_server.raw("ada").ask("6|nobody|hi") == "!|NO_SUCH_ACCOUNT|there is no account 'nobody'"


def test_an_account_is_deleted_only_by_its_owner(chat_server):
    """Anonymous deletion of somebody who is on-line; one user able to delete another's account."""
    chat_server.raw("ada")
    assert chat_server.raw().ask("15").startswith("!|NOT_LOGGED_IN|")
    assert chat_server.raw("eve").ask("15|ada").startswith("!|MALFORMED|")
    assert chat_server.raw("bob").ask("5") == "accounts||ada|bob|eve"


def test_unread_mail_of_a_deleted_account_goes_back_to_its_sender(chat_server):
    """Delete without written semantics for unread mail."""
    ada, bob = chat_server.raw("ada"), chat_server.raw("bob")
    ada.ask("6|bob|hi")
    bob.send("15")
    assert ada.line() == "arrived|1|bob|yes|hi"


def test_a_message_to_oneself_is_delivered_and_not_only_accepted(chat_server):
    """A message to oneself acknowledged but not delivered."""
    ada = chat_server.raw("ada")
    ada.send("6|ada|note")
    assert ada.lines(2) == ["sent|1|yes", "arrived|1|ada|no|note"]


# ---- sessions, concurrency, liveness


def test_nobody_speaks_or_pays_in_anothers_name(chat_server):
    """Sender's name taken from the request (spoofing)."""
    ada, eve = chat_server.raw("ada"), chat_server.raw("eve")
    ada.ask("2|1|100")
    assert eve.ask("3|1|100") == "!|NOT_YOUR_ACCOUNT|'1' is not the account you are logged in to"
    assert eve.ask("4|ada").startswith("!|NOT_YOUR_ACCOUNT|")
    eve.send("6|ada|from bob, honestly")
    assert ada.line().startswith("arrived|1|eve|")


def test_a_dead_client_is_off_line_and_hurts_no_sender(chat_server):
    """A dead client still "on-line", so that the *sender's* thread dies."""
    ada, bob = chat_server.raw("ada"), chat_server.raw("bob")
    bob.reset()
    until(lambda: chat_server.log[-1].endswith("is offline  [ bob ]"))
    assert ada.ask("6|bob|hi") == "sent|1|no"


def test_a_sender_survives_a_recipient_that_dies_between_two_messages(chat_server):
    """A dead client still "on-line", so that the *sender's* thread dies."""
    ada, bob = chat_server.raw("ada"), chat_server.raw("bob")
    bob.reset()
    ada.send(*["6|bob|hi"] * 100)
    assert [line.split("|")[1] for line in ada.lines(100)] == [str(n) for n in range(1, 101)]


def test_after_the_second_log_in_closes_the_first_is_still_on_line(chat_server):
    """A second login overwrites the socket; when it closes it removes the first's entry, or steals its pushes."""
    ada, bob, second = chat_server.raw("ada"), chat_server.raw("bob"), chat_server.raw()
    second.ask("0|bob")
    ada.ask("6|bob|both")
    assert bob.line() == second.line() == "arrived|1|ada|no|both"
    second.close()
    until(lambda: "offline" in chat_server.log[-1])
    assert ada.ask("6|bob|one") == "sent|2|yes"
    assert bob.line() == "arrived|2|ada|no|one"


@pytest.mark.timing
def test_fifty_silent_connections_stop_nobody(chat_server):
    """Accept loop waits for a byte from the newcomer: one silent connection stops all logins."""
    for _ in range(50):
        chat_server.raw()
    started = time.monotonic()
    assert chat_server.raw("ada").ask("14") == "pong"
    assert time.monotonic() - started < 2


def test_fifty_half_lines_stop_nobody(chat_server):
    """The same, where each has sent a first byte."""
    for _ in range(50):
        chat_server.raw().send_bytes(b"1|")
    assert chat_server.raw("ada").ask("14") == "pong"


def test_whoever_never_completes_a_first_line_is_told_and_closed(start_server):
    """Silent connections collect for ever."""
    chat_server = start_server(Limits(first_frame_s=0.2))
    silent, slow, ada = chat_server.raw(), chat_server.raw(), chat_server.raw("ada")
    slow.send_bytes(b"14")
    assert silent.rest() == ["goodbye|no complete request within 0.2 s"]
    assert slow.rest()[-1] == "goodbye|no complete request within 0.2 s"
    assert ada.ask("14") == "pong"


def test_one_member_that_does_not_read_holds_up_nobody_in_the_room(chat_server):
    """A slow reader blocks a broadcast after about 3 MB."""
    ada = chat_server.raw("ada")
    others = [chat_server.raw(f"m{n}") for n in range(8)]
    stuck = chat_server.raw("stuck", receive_buffer=4_096)
    for member in (ada, *others, stuck):
        assert member.ask("11").startswith("joined|lobby|")
    for member in (ada, *others):
        while "stuck" not in member.line():
            pass
    text = "x" * 50_000
    for n in range(100):
        assert ada.ask(f"12|{n} {text}") == "said|9"
        for other in others:
            assert other.line().startswith(f"heard|lobby|ada|{n} ")


def test_who_reads_too_slowly_is_sent_away_with_a_reason_and_the_mail_is_kept(start_server):
    """A slow reader: memory grows without bound, or its mail is thrown away."""
    chat_server = start_server(Limits(outbox=50, linger_s=DEADLINE_S))
    ada, slow = chat_server.client("ada"), chat_server.raw("slow", receive_buffer=4_096)
    sent = 0
    while not any("slow" in line and "offline" in line for line in chat_server.log) and sent < 1_000:
        delivered = ada.send("slow", "x" * 60_000).delivered
        sent += 1
        if len(chat_server.hub.chat._online) == 2 and sent >= 300:
            break
    assert delivered
    lines = slow.rest()
    assert lines[-1].startswith("goodbye|you read too slowly: ") and lines[-1].endswith("your mail is kept")
    with chat_server.client() as again:
        assert again.log_in("slow").unread == sent


def test_a_storm_of_pushes_hides_no_answer(chat_server):
    """A push written while a reply is pending makes the reply vanish."""
    ada, bob = chat_server.client("ada"), chat_server.client("bob")
    storm = chat_server.raw()
    storm.ask("0|bob")
    storm.send(*["6|ada|hi"] * 1_000)
    assert [ada.deposit(1) for _ in range(100)] == list(range(1, 101))
    assert [ada.receive(DEADLINE_S).number for _ in range(1_000)] == list(range(1, 1_001))
    assert bob.name == "bob"


def test_a_server_starts_again_on_the_same_port_at_once(start_server):
    """No `SO_REUSEADDR`: restart fails. Fixed ports and addresses."""
    chat_server = start_server()
    ada = chat_server.client("ada")
    chat_server.endpoint.close()
    again = start_server(port=chat_server.address[1])
    assert again.address == chat_server.address
    assert ada.create_account("ada").id == 1


def test_two_servers_share_nothing(start_server):
    """Mutable default arguments."""
    one, other = start_server(), start_server()
    one.raw("ada")
    assert other.raw().ask("0|ada").startswith("!|NO_SUCH_ACCOUNT|")
    assert other.raw().ask("1|ada") == "account|1|ada|0|0"


def test_an_unclean_exit_leaves_nobody_logged_in_nor_in_a_room(chat_server):
    """An unclean exit leaving a user "logged in" for ever."""
    ada, bob = chat_server.raw("ada"), chat_server.raw("bob")
    ada.ask("11")
    bob.ask("11")
    assert ada.line() == "entered|lobby|bob"
    bob.reset()
    assert ada.line() == "left|lobby|bob"
    assert bob is not ada and chat_server.raw().ask("0|bob") == "account|2|bob|0|0"


def test_a_half_closed_client_still_gets_its_replies(chat_server):
    """`printf '...' | nc`: the end of input taken for the end of the conversation."""
    ada = chat_server.raw()
    ada.send("1|ada|sesame", "2||5", "4", "6|ada|note")
    ada.end()
    assert ada.rest() == ["account|1|ada|0|0", "balance|5", "balance|5", "sent|1|yes", "arrived|1|ada|no|note"]


def test_a_half_closed_client_gets_a_thousand_replies(chat_server):
    """The same, with more replies than one buffer holds."""
    ada = chat_server.raw("ada")
    ada.send(*["2||1"] * 1_000)
    ada.end()
    assert ada.rest() == [f"balance|{n}" for n in range(1, 1_001)]


def test_who_finds_no_place_is_told_and_may_come_later(start_server):
    """The limit reached: the newcomer hangs, or is cut off without a word."""
    chat_server = start_server(Limits(sessions=2))
    ada, _ = chat_server.raw("ada"), chat_server.raw("bob")
    third = chat_server.raw()
    third.send("1|eve")
    assert third.rest() == ["!|SERVER_FULL|the server has 2 sessions and takes no more"]
    with pytest.raises(ConnectionLost, match="SERVER_FULL"):
        TEXT.connect(chat_server.address).ping()
    ada.close()
    until(lambda: "offline" in chat_server.log[-1])
    assert chat_server.raw().ask("1|eve") == "account|3|eve|0|0"


def test_a_client_that_asks_and_never_reads_is_closed_and_not_served_for_ever(start_server):
    """Answers pile up in the server for a peer that only writes."""
    chat_server = start_server(Limits(outbox=100, linger_s=0.1))
    greedy, ada = chat_server.raw("greedy", receive_buffer=4_096), chat_server.raw("ada")
    for n in range(1_000):
        chat_server.hub.chat.store.create(f"u{n:04}-{'x' * 50}")
    sends_for_ever(greedy, b"5|*||1000\n" * 100)
    assert ada.ask("14") == "pong"


@pytest.mark.timing
def test_a_password_typed_wrong_by_many_delays_nobody(chat_server):
    """A login must not stall the others: a slow hash inside the lock."""
    chat_server.raw().ask("1|ada|sesame")
    thieves = [chat_server.raw() for _ in range(4)]
    for thief in thieves:
        thief.send("0|ada|wrong")
    bob = chat_server.raw("bob")
    started = time.monotonic()
    for _ in range(20):
        bob.ask("14")
    assert time.monotonic() - started < 2
    assert {thief.line() for thief in thieves} == {"!|WRONG_PASSWORD|that is not the password of 'ada'"}


def test_a_password_is_in_no_log_and_in_no_answer(chat_server, cheap_hashes):
    """Passwords in logs; plaintext in a pickle."""
    ada = chat_server.raw()
    answers = [ada.ask("1|ada|sesame"), ada.ask("10"), ada.ask("0|ada|sesame-or-so"), ada.ask("0|ada|sesame")]
    assert not [line for line in answers + chat_server.log if "sesame" in line]


def test_many_clients_come_and_go_and_none_is_left(chat_server):
    """A dead client's entry, thread or file kept for ever."""
    for n in range(100):
        client = RawClient(chat_server.address)
        client.send(f"1|u{n}", "11")
        if n % 2:
            client.reset()
        else:
            client.line()
            client.close()
    until(lambda: repr(chat_server.hub).startswith("<Hub of 0 sessions"))
    assert repr(chat_server.hub).endswith("0 on-line, 0 rooms>>")
    until(lambda: repr(chat_server.endpoint).endswith(" 0 clients>"))


def test_a_client_that_pipelines_slow_searches_lets_the_others_in_between(engine):
    """A flood of expensive requests in one segment holds up everybody else."""
    chat = Chat()
    for number in range(5_000):
        chat.store.create(f"user{number}")
    with ChatServer(engine, chat=chat) as chat_server:
        flood, other = chat_server.raw("ann"), chat_server.client("ben")
        flood.send(*["5|*y"] * 500)
        flood.line()
        other.send("ann", "me too")
        heard = flood.lines(500)  # in the order of turns
        assert heard.index("arrived|1|ben|no|me too") < 450
