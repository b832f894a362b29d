"""Bytes in, messages out, however they are cut."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import ANY_ANSWER, ANY_REQUEST, TAGS

from chatlab.codecs.connection import CLIENT_ACCEPTS, SERVER_ACCEPTS, Connection
from chatlab.codecs.text import TextCodec
from chatlab.messages import Balance, CreateAccount, Join, Malformed, Ping, Pong, ProtocolError, Say


def server(**limits):
    return Connection(TextCodec(), SERVER_ACCEPTS, **limits)


def client():
    return Connection(TextCodec(), CLIENT_ACCEPTS)


def feed(connection, stream: bytes, cuts=()):
    """All messages of a stream that arrives in the pieces between the cuts."""
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    return [m for start, end in zip(edges, edges[1:]) for m in connection.receive(stream[start:end])]


def test_a_message_waits_until_its_last_byte():
    connection = server()
    assert connection.receive(b"1|Jo") == []
    assert connection.receive(b"hn") == []
    assert connection.receive(b"\n") == [(None, CreateAccount("John"))]


def test_all_messages_of_one_piece_come_out_at_once_and_in_order():
    assert server().receive(b"#1|14\n#2|1|John\n14\n1|") == [(1, Ping()), (2, CreateAccount("John")), (None, Ping())]


@given(st.lists(st.tuples(TAGS, ANY_REQUEST), max_size=8), st.lists(st.integers(0, 400), max_size=20))
def test_however_requests_are_cut_the_same_messages_come_out(said, cuts):
    stream = b"".join(client().send(tag, request) for tag, request in said)
    assert feed(server(), stream, cuts) == said


@given(st.lists(st.tuples(TAGS, ANY_ANSWER), max_size=8), st.lists(st.integers(0, 400), max_size=20))
def test_however_answers_are_cut_the_same_messages_come_out(said, cuts):
    stream = b"".join(server().send(tag, answer) for tag, answer in said)
    assert feed(client(), stream, cuts) == said


@given(st.lists(st.binary(max_size=12), max_size=6), st.lists(st.integers(0, 80), max_size=10))
def test_however_nonsense_is_cut_it_is_refused_in_the_same_way(lines, cuts):
    stream = b"\n".join(lines)
    assert feed(server(), stream, cuts) == server().receive(stream)


STREAM = "6|bob|a\\pb\\n|🙂\r\n#7|hello\n\n\xff14\n14\n".encode()


@pytest.mark.parametrize("at", range(len(STREAM)))
def test_a_stream_may_be_split_at_every_offset(at):
    assert feed(server(), STREAM, [at]) == server().receive(STREAM)


def test_one_byte_at_a_time_is_as_good_as_all_at_once():
    assert feed(server(), STREAM, range(len(STREAM))) == server().receive(STREAM)


def test_what_cannot_be_read_is_stepped_over_in_its_place():
    first, wrong, last = server().receive(b"#1|14\n#2|hello\n#3|14\n")
    assert (first, last) == ((1, Ping()), (3, Ping()))
    assert wrong[0] == 2 and isinstance(wrong[1], Malformed) and "'hello'" in wrong[1].text


def test_a_frame_may_have_the_limit_and_not_a_byte_more():
    assert server(max_frame=10).receive(b"12|123456\n") == [(None, Say("123456"))]
    connection = server(max_frame=10)
    assert connection.receive(b"14\n12|1234567\n14\n") == [(None, Ping())]
    assert "longer than the limit of 10 bytes" in connection.error.text


def test_a_frame_that_never_ends_is_not_waited_for():
    connection = server(max_frame=10)
    assert connection.receive(b"12|1234567") == [] and connection.error is None
    assert connection.receive(b"8") == [] and connection.error is not None


def test_after_an_error_nothing_is_heard_and_nothing_is_kept():
    connection = server(max_frame=10)
    connection.receive(b"x" * 100)
    assert connection.receive(b"14\n") == []
    assert "limit" in repr(connection) and len(repr(connection)) < 200


def test_a_frame_that_would_be_too_long_is_not_sent():
    with pytest.raises(ProtocolError, match="over the limit") as caught:
        Connection(TextCodec(), CLIENT_ACCEPTS, max_frame=10).send(3, Say("x" * 10))
    assert (caught.value.tag, caught.value.fatal) == (3, False)


def test_a_server_takes_no_answers_and_a_client_no_requests():
    for end, line in [(server(), b"pong\n"), (client(), b"14\n")]:
        assert end.receive(line) == []
        assert "does not accept" in end.error.text


def test_a_client_does_not_step_over_nonsense():
    connection = client()
    assert connection.receive(b"#1|pong\n#2|oops\n#3|pong\n") == [(1, Pong())]
    assert "unknown operation" in connection.error.text


def test_a_line_without_its_end_is_never_carried_out():
    connection = server()
    connection.receive(b"2||10")
    ((tag, refusal),) = connection.end()
    assert tag is None and isinstance(refusal, Malformed) and "first 5 bytes" in refusal.text


def test_an_end_between_frames_is_no_error():
    connection = client()
    connection.receive(b"balance|10\n")
    assert connection.end() == [] and connection.error is None


def test_an_answer_that_breaks_off_is_an_error_and_not_an_answer():
    connection = client()
    assert connection.receive(b"balance|10") == [] == connection.end()
    assert "inside a frame" in connection.error.text


def test_a_connection_counts_its_frames_and_shows_what_it_waits_for():
    connection = server()
    connection.receive(b"14\n14\n11")
    connection.send(None, Pong())
    assert repr(connection) == "<Connection over text: 2 in, 1 out, 2 bytes of an unfinished frame>"


def test_a_long_line_in_many_pieces_takes_time_in_proportion_to_its_length():
    connection, piece = server(max_frame=1 << 24), b"x" * 1024
    connection.receive(b"12|")
    started = time.thread_time()
    for _ in range(8_000):
        connection.receive(piece)
    assert time.thread_time() - started < 1
    assert connection.receive(b"\n") == [(None, Say("x" * 8_192_000))]


def test_many_short_lines_in_one_piece_take_time_in_proportion_to_their_number():
    connection = server()
    started = time.thread_time()
    assert len(connection.receive(b"11|a\n" + b"14\n" * 50_000)) == 50_001
    assert time.thread_time() - started < 2


def test_two_connections_share_nothing():
    one, other = server(), server()
    one.receive(b"11|")
    assert other.receive(b"den\n")[0] != (None, Join("den"))
    assert client().receive(b"balance|1\n") == [(None, Balance(1))]


class Loud(TextCodec):
    def encode(self, tag, message):
        return super().encode(tag, message).upper()


class Deaf(TextCodec):
    def decode(self, frame):
        return None, Ping()


def test_a_codec_that_spells_one_message_anew_is_asked_for_each_of_many():
    assert Connection(Loud()).send_all([(1, Pong()), (2, Pong())]) == b"#1|PONG\n#2|PONG\n"


def test_a_codec_that_reads_one_message_anew_is_asked_for_each_of_many():
    assert Connection(Deaf()).receive(b"1|ann\n2|ann|3\n") == [(None, Ping())] * 2


@given(st.lists(st.tuples(TAGS, ANY_ANSWER), max_size=8))
def test_messages_spelled_at_once_are_the_bytes_of_each_by_itself(said):
    assert server().send_all(said) == b"".join(server().send(tag, answer) for tag, answer in said)
