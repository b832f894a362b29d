"""Which bytes say it, in the text protocol: literal lines, and every message there and back."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import ANY_MESSAGE, TAGS, TEXTS

from chatlab.codecs.text import DECODERS, ENCODERS, TextCodec, escape, unescape
from chatlab.messages import (
    EVENTS,
    REPLIES,
    REQUESTS,
    Account,
    Accounts,
    Acknowledge,
    Arrived,
    Balance,
    Closed,
    CreateAccount,
    DeleteAccount,
    Deleted,
    DeleteMessages,
    Deposit,
    Done,
    Entered,
    Goodbye,
    Heard,
    Join,
    Joined,
    Leave,
    Left,
    ListAccounts,
    LoggedOut,
    LogIn,
    LogOut,
    Mail,
    Ping,
    Pong,
    ProtocolError,
    Refused,
    Said,
    Say,
    Send,
    Sent,
    Unread,
    ViewBalance,
    Withdraw,
)

text = TextCodec()


def said(line: str):
    """The message of one line typed by hand."""
    return text.decode(line.encode() + b"\n")[1]


LITERALLY = [
    (LogIn("123"), b"0|123"),
    (LogIn("ada", "sesame"), b"0|ada|sesame"),
    (CreateAccount("John"), b"1|John"),
    (CreateAccount("John", "a|b"), rb"1|John|a\pb"),
    (Deposit(50, "7"), b"2|7|50"),
    (Deposit(50, request_id="rent"), b"@rent|2||50"),
    (Withdraw(50, "7"), b"3|7|50"),
    (ViewBalance("7"), b"4|7"),
    (ListAccounts("a*", "ada", 10), b"5|a*|ada|10"),
    (Send("bob", "hi"), b"6|bob|hi"),
    (Send("bob", "a|b\nc\\d\re"), rb"6|bob|a\pb\nc\\d\re"),
    (Unread(3, 10), b"7|3|10"),
    (Acknowledge(3), b"8|3"),
    (DeleteMessages((1, 2, 5)), b"9|1|2|5"),
    (LogOut(), b"10"),
    (Join("den"), b"11|den"),
    (Say("héllo 🙂"), "12|héllo 🙂".encode()),
    (Leave(), b"13"),
    (Ping(), b"14"),
    (DeleteAccount(), b"15"),
    (Account(1, "John", 2, 3), b"account|1|John|2|3"),
    (Accounts(("ada", "bob"), next="bob"), b"accounts|bob|ada|bob"),
    (Accounts(()), b"accounts|"),
    (Sent(3, True), b"sent|3|yes"),
    (
        Mail((Arrived(1, "ada", "hi"), Arrived(2, "bob", "a|b", True)), more=True),
        rb"mail|yes|1|ada|no|hi|2|bob|yes|a\pb",
    ),
    (Mail(()), b"mail|no"),
    (Deleted(2), b"deleted|2"),
    (Closed(30), b"closed|30"),
    (Balance(70), b"balance|70"),
    (Joined("den", ("ada", "bob"), 2), b"joined|den|2|ada|bob"),
    (Said(4), b"said|4"),
    (Done(), b"done"),
    (Pong(), b"pong"),
    (Refused("NO_SUCH_ACCOUNT", "there is no account 'x'"), b"!|NO_SUCH_ACCOUNT|there is no account 'x'"),
    (Arrived(1, "ada", "hi"), b"arrived|1|ada|no|hi"),
    (Entered("den", "ada"), b"entered|den|ada"),
    (Left("den", "ada"), b"left|den|ada"),
    (Heard("den", "ada", "hi"), b"heard|den|ada|hi"),
    (LoggedOut("why"), b"logged_out|why"),
    (Goodbye("why"), b"goodbye|why"),
]


@pytest.mark.parametrize("message, line", LITERALLY, ids=lambda value: type(value).__name__)
def test_a_message_is_literally_this_line(message, line):
    assert text.encode(None, message) == line + b"\n"
    assert text.decode(line + b"\n") == (None, message)


def test_every_message_has_its_line_above_and_in_both_tables():
    everything = {*REQUESTS, *REPLIES, *EVENTS}
    assert {type(message) for message, _ in LITERALLY} == set(ENCODERS) == everything
    assert len(DECODERS) == len(everything)


@given(TAGS, ANY_MESSAGE)
def test_every_message_comes_back_as_it_went(tag, message):
    assert text.decode(text.encode(tag, message)) == (tag, message)


@given(TAGS, ANY_MESSAGE)
def test_a_line_ends_once_and_at_its_end(tag, message):
    line = text.encode(tag, message)
    assert line.endswith(b"\n") and line.count(b"\n") == 1 and b"\r" not in line
    assert text.frame_end(line, 0, 0) == len(line)


@given(TEXTS)
def test_a_field_holds_no_delimiter_and_comes_back(value):
    assert not set("|\n\r") & set(escape(value))
    assert unescape(escape(value)) == value


@given(TEXTS)
def test_a_field_at_most_doubles(value):
    assert len(escape(value).encode()) <= 2 * len(value.encode())


@pytest.mark.parametrize("field", [r"\x", r"1\2", "\\", r"C:\temp", "a\\\\\\"])
def test_a_backslash_before_any_other_character_stands_for_itself(field):
    assert unescape(field).count("\\") == field.replace("\\\\", "\\").count("\\")


def test_an_escaped_escape_is_not_escaped_again_on_the_way_back():
    assert unescape(r"\\n") == r"\n"
    assert unescape(r"\\\n") == "\\\n"


# ---- what a person may type


@pytest.mark.parametrize(
    "line, message",
    [
        ("1|John\r", CreateAccount("John")),
        (" 14 ", Ping()),
        ("5", ListAccounts("*", "", 100)),
        ("5|a*", ListAccounts("a*", "", 100)),
        ("5|a*||", ListAccounts("a*", "", 100)),
        ("7", Unread(0, 100)),
        ("7||5", Unread(0, 5)),
        ("4", ViewBalance()),
        ("11", Join()),
        ("2||50", Deposit(50)),
        ("6|bob|1|2||3", Send("bob", "1|2||3")),
        ("6|bob|", Send("bob", "")),
        (r"12|say \p or |, as you like", Say("say | or |, as you like")),
        ("12|", Say("")),
        ("9", DeleteMessages(())),
        ("1|José|", CreateAccount("José")),
        ("0|007", LogIn("007")),
        ("2|1|0050", Deposit(50, "1")),
    ],
)
def test_a_line_typed_by_hand_may_leave_out_or_be_generous(line, message):
    assert said(line) == message


def test_an_empty_field_that_is_sent_is_empty_and_not_the_default():
    assert said("5|") == ListAccounts("")
    assert said("12|") == Say("")


def test_tag_and_request_id_stand_before_the_operation_in_this_order():
    assert text.decode(b"#7|@rent|2||50\n") == (7, Deposit(50, request_id="rent"))
    assert text.encode(7, Deposit(50, request_id="a|b")) == b"#7|@a\\pb|2||50\n"
    with pytest.raises(ProtocolError, match="unknown operation"):
        text.decode(b"@rent|#7|2||50\n")


# ---- what cannot be read


@pytest.mark.parametrize(
    "line, wrong",
    [
        ("", "unknown operation ''"),
        ("hello", "unknown operation 'hello'; a line begins with a number from 0 to 15"),
        ("16", "unknown operation"),
        ("#7", "unknown operation"),
        ("@x", "unknown operation"),
        ("1", "1 needs a name"),
        ("6|bob", "6 needs a text"),
        ("6", "6 needs a recipient"),
        ("2|50", "2 needs the amount"),
        ("2||", "the amount is a whole number, not ''"),
        ("2||5.0", "the amount is a whole number, not '5.0'"),
        ("2||٣", "the amount is a whole number"),
        ("2||1_000", "the amount is a whole number"),
        ("2||+5", "the amount is a whole number"),
        ("2||--5", "the amount is a whole number"),
        ("2||9223372036854775808", "the amount"),
        ("2||" + "9" * 5000, "the amount"),
        ("9|1|x", "a message's number is a whole number, not 'x'"),
        ("1|a|b|c", "1 takes 2 fields, not 3"),
        ("14|now", "14 takes 0 fields, not 1"),
        ("@x|14", "14 takes no request id"),
        ("#0|14", "a tag is from 1 to"),
        ("#-1|14", "a tag is from 1 to"),
        ("#9223372036854775808|14", "a tag"),
        ("#x|14", "a tag is a whole number, not 'x'"),
    ],
)
def test_a_wrong_line_is_told_what_is_wrong_with_it(line, wrong):
    with pytest.raises(ProtocolError, match=wrong.replace("'", ".")) as caught:
        said(line)
    assert not caught.value.fatal


def test_an_error_knows_the_tag_of_its_line_where_that_could_be_read():
    with pytest.raises(ProtocolError) as caught:
        text.decode(b"#7|hello\n")
    assert caught.value.tag == 7


def test_a_line_that_is_not_utf_8_is_told_where():
    with pytest.raises(ProtocolError, match="byte 8 of it, 0xff") as caught:
        text.decode(b"6|bob|a\x20\xff\n")
    assert not caught.value.fatal


def test_an_error_quotes_no_more_than_forty_bytes():
    with pytest.raises(ProtocolError) as caught:
        said("x" * 10_000)
    assert len(caught.value.text) < 150


@given(st.binary(max_size=60))
@example(b"\xff\n")
@example(b"#|\n")
@example(b"@\n")
@example("#²|14\n".encode())
@example("2||²\n".encode())
def test_no_bytes_raise_anything_but_a_protocol_error(frame):
    try:
        text.decode(frame)
    except ProtocolError:
        pass


LIKE_LINES = st.lists(st.sampled_from([*DECODERS, "#7", "@x", "yes", "no", "7", "-1", "", "a", "\\"]), max_size=8).map(
    "|".join
)


@given(LIKE_LINES, st.sampled_from(["\n", "\r\n", ""]))
def test_nothing_that_looks_like_a_line_raises_anything_but_a_protocol_error(line, end):
    try:
        text.decode((line + end).encode())
    except ProtocolError:
        pass


FIELDS = st.sampled_from(["yes", "no", "7", "-1", "", "a", "\\", r"\p", "²", "9" * 20])


@given(st.sampled_from(list(DECODERS)), st.lists(FIELDS, max_size=5))
def test_the_short_way_to_read_frequent_lines_ends_where_the_long_way_does(word, fields):
    def outcome(line):
        try:
            return text.decode(line.encode())
        except ProtocolError as error:
            return error.text

    line = "|".join([word, *fields])
    assert outcome(line) == outcome(" " + line)  # a blank before the word: the short way does not know it
