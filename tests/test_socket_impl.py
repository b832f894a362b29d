"""Both servers and both clients, over real sockets on this machine. Every test runs on both engines."""

import asyncio
import itertools
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from raw_client import DEADLINE_S, TEXT, ChatServer, RawClient, in_a_loop, until

import chatlab
from chatlab.codecs.connection import Connection
from chatlab.codecs.text import TextCodec
from chatlab.messages import (
    Account,
    Accounts,
    Arrived,
    ChatError,
    ConnectionLost,
    Entered,
    Goodbye,
    Heard,
    Joined,
    Left,
    Limits,
    LoggedOut,
    Mail,
    Said,
    Send,
    Sent,
)
from chatlab.transport.serving import listen

# ---- the blocking client


def test_every_verb_returns_what_it_is_about(chat_server):
    ada, bob = chat_server.client(), chat_server.client("bob")
    assert ada.create_account("ada") == Account(2, "ada")
    assert ada.list_accounts("*a*") == Accounts(("ada",))
    assert ada.send("bob", "hi") == Sent(1, delivered=True)
    assert bob.receive(1) == Arrived(1, "ada", "hi")
    assert bob.unread() == Mail(())
    assert (ada.deposit(100), ada.withdraw(30), ada.balance()) == (100, 70, 70)
    assert ada.join() == Joined("lobby", ("ada",), 1)
    assert ada.say("hello?") == 0
    assert (ada.leave(), ada.ping(), ada.acknowledge(0), ada.log_out()) == (None, None, None, None)
    assert ada.log_in(2) == Account(2, "ada")
    assert ada.delete_messages([1, 2]) == 0
    assert ada.delete_account() == 70


def test_a_refusal_is_raised_where_it_was_asked_and_the_connection_lives(chat_server):
    ada = chat_server.client("ada")
    with pytest.raises(ChatError) as refusal:
        ada.send("nobody", "hi")
    assert refusal.value.code == "NO_SUCH_ACCOUNT"
    ada.ping()


def test_events_come_in_the_order_in_which_the_server_announced_them(chat_server):
    ada, bob = chat_server.client("ada"), chat_server.client("bob")
    ada.join()
    bob.join()
    bob.say("one")
    bob.send("ada", "two")
    bob.leave()
    heard = [ada.receive(1) for _ in range(4)]
    assert heard == [
        Entered("lobby", "bob"),
        Heard("lobby", "bob", "one"),
        Arrived(1, "bob", "two"),
        Left("lobby", "bob"),
    ]


def test_waiting_for_an_event_has_a_deadline(chat_server):
    with pytest.raises(TimeoutError, match="no event within 0.01 s"):
        chat_server.client("ada").receive(timeout_s=0.01)


def test_many_threads_may_share_a_client(chat_server):
    ada = chat_server.client("ada")
    threads = [threading.Thread(target=lambda: [ada.deposit(1) for _ in range(50)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert ada.balance() == 400


def test_a_client_that_closes_has_all_it_asked_carried_out(chat_server):
    ada = chat_server.client("ada")
    ada.join()
    with chat_server.client("bob") as bob:
        bob.join()
    assert [ada.receive(1), ada.receive(1)] == [Entered("lobby", "bob"), Left("lobby", "bob")]


def test_nobody_at_the_address_is_a_lost_connection():
    with listen("127.0.0.1", 0) as listener:
        address = listener.getsockname()
    with pytest.raises(ConnectionLost, match="cannot connect to 127.0.0.1:"):
        TEXT.connect(address)


def test_when_the_server_stops_its_clients_are_told_why(chat_server):
    ada = chat_server.client("ada")
    chat_server.endpoint.close()
    assert ada.receive(1) == Goodbye("the server stops")
    with pytest.raises(ConnectionLost, match="the server stops"):
        ada.receive(1)
    with pytest.raises(ConnectionLost):
        ada.ping()


@pytest.fixture
def aside():
    """Runs a call that waits, on a thread of its own: `.result(5)` is what came of it."""
    with ThreadPoolExecutor() as threads:
        yield threads.submit


@pytest.fixture
def impostor():
    """A client, and the server's end of its connection in the hands of the test."""
    with listen("127.0.0.1", 0) as listener, TEXT.connect(listener.getsockname()) as client:
        client.answer_timeout_s = DEADLINE_S
        server_side = listener.accept()[0]
        yield client, server_side, listener
        server_side.close()


def test_a_call_that_waits_when_the_connection_breaks_is_lost_and_not_refused(impostor, aside):
    client, server, _ = impostor
    asking = aside(client.ping)
    assert server.recv(100) == b"#1|14\n"
    server.close()
    with pytest.raises(ConnectionLost):
        asking.result(5)


def test_an_answer_that_never_comes_is_not_waited_for_for_ever(impostor):
    client, _, _ = impostor
    client.answer_timeout_s = 0.05
    with pytest.raises(ConnectionLost, match="no answer within 0.05 s"):
        client.ping()


def test_an_answer_that_comes_too_late_is_not_taken_for_the_next(impostor, aside):
    client, server, _ = impostor
    client.answer_timeout_s = 0.05
    with pytest.raises(ConnectionLost):
        client.balance()
    client.answer_timeout_s = DEADLINE_S
    asking = aside(client.balance)
    until(lambda: server.recv(100, socket.MSG_PEEK) == b"#1|4|\n#2|4|\n")
    server.sendall(b"#1|balance|7\n#2|balance|8\n")
    assert asking.result(5) == 8


def test_answers_find_their_callers_in_whatever_order_they_come(impostor, aside):
    client, server, _ = impostor
    first = aside(client.balance)
    assert server.recv(100) == b"#1|4|\n"
    second = aside(client.balance)
    assert server.recv(100) == b"#2|4|\n"
    server.sendall(b"#2|balance|20\n#1|balance|10\n")
    assert (first.result(5), second.result(5)) == (10, 20)


def test_a_server_that_talks_nonsense_is_told_apart_from_one_that_is_gone(impostor):
    client, server, _ = impostor
    server.sendall(b"220 mail.example.org ESMTP\n")
    with pytest.raises(ConnectionLost, match="the server sent nonsense"):
        client.receive(5)


def test_the_end_of_an_old_connection_does_not_end_the_new_one(impostor, aside):
    client, old, listener = impostor
    old.sendall(b"!|SERVER_FULL|try again\n")
    with pytest.raises(ConnectionLost, match="SERVER_FULL"):
        client.receive(5)
    logging_in = aside(client.log_in, "ada")
    new = listener.accept()[0]
    assert new.recv(100) == b"#1|0|ada\n"
    old.close()
    new.sendall(b"#1|account|1|ada|0|0\n")
    assert logging_in.result(5) == Account(1, "ada")
    new.sendall(b"arrived|1|bob|no|hi\n")
    assert client.receive(5).text == "hi"
    new.close()


def test_a_log_in_after_a_lost_connection_connects_again(start_server):
    first = start_server()
    ada = first.client("ada")
    first.endpoint.close()
    with pytest.raises(ConnectionLost):
        ada.ping()
    start_server(chat=first.hub.chat, port=first.address[1])
    assert ada.log_in("ada") == Account(1, "ada")
    ada.ping()


def test_a_value_of_the_wrong_type_never_reaches_the_wire(chat_server):
    ada = chat_server.client("ada")
    with pytest.raises(TypeError, match="amount is a whole number"):
        ada.deposit("5")
    with pytest.raises(TypeError, match="text is a string"):
        ada.send("ada", b"hi")
    with pytest.raises(ChatError, match="signed 64-bit integer"):
        ada.deposit(2**63)


def test_half_a_character_is_refused_before_it_is_sent(chat_server):
    with pytest.raises(ChatError, match="lone surrogate"):
        chat_server.client("ada").send("ada", "\ud83d")


def test_a_request_over_the_frame_limit_is_refused_and_the_connection_lives(chat_server):
    ada = chat_server.client("ada")
    with pytest.raises(ChatError) as refusal:
        ada.send("ada", "x" * (1 << 20))
    assert refusal.value.code == "FRAME_TOO_LONG"
    ada.ping()


# ---- the async client


def test_the_async_client_has_the_same_verbs_and_the_same_results(chat_server):
    async def chat():
        ada, bob = await TEXT.connect_async(chat_server.address), await TEXT.connect_async(chat_server.address)
        async with ada, bob:
            await ada.create_account("ada")
            await bob.create_account("bob")
            assert await ada.send("bob", "hi") == Sent(1, delivered=True)
            assert await bob.receive(1) == Arrived(1, "ada", "hi")
            assert await bob.deposit(5) == 5
            with pytest.raises(ChatError) as refusal:
                await ada.send("nobody", "hi")
            assert refusal.value.code == "NO_SUCH_ACCOUNT"

    in_a_loop(chat())


def test_many_requests_of_an_async_client_are_under_way_at_once(chat_server):
    async def chat():
        async with await TEXT.connect_async(chat_server.address) as ada:
            await ada.create_account("ada")
            balances = await asyncio.gather(*[ada.deposit(1) for _ in range(200)])
            assert balances == list(range(1, 201))

    in_a_loop(chat())


def test_an_async_wait_for_an_event_has_a_deadline(chat_server):
    async def chat():
        async with await TEXT.connect_async(chat_server.address) as ada:
            with pytest.raises(TimeoutError):
                await ada.receive(0.01)
            await ada.ping()

    in_a_loop(chat())


def test_an_async_call_that_is_cancelled_harms_no_other(chat_server):
    async def chat():
        async with await TEXT.connect_async(chat_server.address) as ada:
            await ada.create_account("ada")
            asking = asyncio.ensure_future(ada.deposit(5))
            await asyncio.sleep(0)
            asking.cancel()
            assert await ada.balance() in (0, 5)

    in_a_loop(chat())


def test_an_async_client_is_told_that_the_server_stopped_and_connects_again(start_server):
    first = start_server()

    async def chat():
        async with await TEXT.connect_async(first.address) as ada:
            await ada.create_account("ada")
            await asyncio.to_thread(first.endpoint.close)
            assert await ada.receive(1) == Goodbye("the server stops")
            with pytest.raises(ConnectionLost):
                await ada.ping()
            await asyncio.to_thread(start_server, chat=first.hub.chat, port=first.address[1])
            assert await ada.log_in("ada") == Account(1, "ada")

    in_a_loop(chat())


def test_an_async_client_that_nobody_answers_is_lost():
    with listen("127.0.0.1", 0) as listener:
        address = listener.getsockname()
    with pytest.raises(ConnectionLost, match="cannot connect to 127.0.0.1:"):
        in_a_loop(TEXT.connect_async(address))


# ---- servers


def test_two_endpoints_lead_to_one_chat(no_background_output):
    with ChatServer("threads") as one:
        other = TEXT.serve(one.hub, engine="loop")
        ada = one.client("ada")
        with TEXT.connect(other.address) as bob:
            bob.create_account("bob")
            ada.send("bob", "through the other endpoint")
            assert bob.receive(1).text == "through the other endpoint"
            bob.send("ada", "and back")
            assert ada.receive(1).text == "and back"
        other.close()


def test_a_server_on_a_taken_port_says_which(chat_server):
    with pytest.raises(OSError, match=f"cannot listen at 127.0.0.1, port {chat_server.address[1]}"):
        ChatServer(chat_server.engine, port=chat_server.address[1])


def test_closing_a_endpoint_twice_is_fine(chat_server):
    chat_server.endpoint.close()
    chat_server.endpoint.close()


def test_nothing_of_a_server_is_left_when_its_endpoint_is_closed(start_server):
    before = set(threading.enumerate())
    chat_server = start_server()
    clients = [chat_server.raw(f"u{n}") for n in range(10)]
    chat_server.endpoint.close()
    assert [client.rest() for client in clients] == [["goodbye|the server stops"]] * 10
    left = {thread for thread in set(threading.enumerate()) - before if thread.name != "chatlab-loop"}
    assert not left
    assert repr(chat_server.hub).startswith("<Hub of 0 sessions")


@pytest.mark.timing
def test_a_endpoint_closes_soon_although_a_peer_does_not_read(start_server):
    chat_server = start_server(Limits(linger_s=0.1))
    stuck, ada = chat_server.raw("stuck", receive_buffer=4096), chat_server.client("ada")
    for _ in range(300):
        ada.send("stuck", "x" * 60_000)
    started = time.monotonic()
    chat_server.endpoint.close()
    assert time.monotonic() - started < 2
    assert stuck.sock.fileno() > 0


def test_a_server_still_answers_in_a_process_with_many_open_files(engine, no_background_output):
    files = [socket.socket() for _ in range(1_100)]
    try:
        with ChatServer(engine) as chat_server:
            chat_server.client("ada").ping()
    finally:
        for file in files:
            file.close()


def test_the_log_tells_who_came_and_who_went(chat_server):
    with chat_server.client("tesla"):
        assert "connected  [ tesla ]" in chat_server.log[-1]
    until(lambda: "offline  [ tesla ]" in chat_server.log[-1])
    assert chat_server.log[-1].startswith("Client (127.0.0.1, ")


def test_a_server_shows_how_many_clients_it_has(chat_server):
    chat_server.raw("ada")
    chat_server.raw("bob")
    assert repr(chat_server.endpoint).endswith("Server over text, 2 clients>")


def test_a_deleted_accounts_other_connection_is_told_and_may_start_again(chat_server):
    ada, second = chat_server.client("ada"), chat_server.client()
    second.log_in("ada")
    ada.delete_account()
    assert isinstance(second.receive(1), LoggedOut)
    assert second.create_account("eve").name == "eve"


def test_the_server_listens_on_ipv6_too(engine, no_background_output):
    from chatlab.chat.hub import Hub

    try:
        endpoint = TEXT.serve(Hub(), engine=engine, host="::1")
    except OSError:
        pytest.skip("this machine has no IPv6")
    with TEXT.connect(endpoint.address) as ada:
        ada.create_account("ada")
    endpoint.close()


def test_a_raw_line_and_a_client_are_the_same_to_the_server(chat_server):
    ada, bob = RawClient(chat_server.address), chat_server.client("bob")
    assert ada.ask("1|ada") == "account|2|ada|0|0"
    bob.send("ada", "hi")
    assert ada.line() == "arrived|1|bob|no|hi"
    ada.close()


@pytest.mark.parametrize("served, spoken", list(itertools.permutations(["text", "json", "binary", "protobuf"], 2)))
def test_a_client_at_the_wrong_endpoint_is_told_at_once(engine, served, spoken):
    with chatlab.serve(served, engine=engine, name="wrong endpoint") as server:
        with (
            chatlab.connect(*server.address, spoken) as client,
            pytest.raises(ConnectionLost, match=f"does it speak {spoken}"),
        ):
            client.ping()


def test_a_preface_at_a_endpoint_of_lines_is_told_apart_from_typing():
    server = Connection(TextCodec())
    assert server.receive(b"CL") == server.receive(b"B\x01") == []
    assert str(server.error) == "CLB, version 1, is another protocol; this port speaks text"


@pytest.mark.parametrize("protocol, mark", [("text", "CLT"), ("json", "CLJ"), ("binary", "CLB"), ("protobuf", "CLP")])
def test_a_client_of_a_newer_version_is_told_which_version_is_spoken_here(protocol, mark):
    with chatlab.serve(protocol, name="newer") as server, socket.create_connection(server.address) as newcomer:
        newcomer.sendall(mark.encode() + b"\x02and whatever comes then")
        told = newcomer.makefile("rb").read().decode(errors="replace")
    assert f"you speak version 2 of {protocol}; this server speaks version 1" in told


def test_a_thread_server_without_threads_refuses_and_lives_on(monkeypatch):
    start = threading.Thread.start

    def no_more(thread):
        if thread.name == "chatlab-reader" and failing:
            failing.pop()
            raise RuntimeError("can't start new thread")
        start(thread)

    failing = [True]
    monkeypatch.setattr(threading.Thread, "start", no_more)
    with ChatServer("threads") as chat_server:
        assert chat_server.raw().rest() == ["!|SERVER_FULL|the server has no more threads; try again later"]
        assert chat_server.raw().ask("14") == "pong"
        assert any("a newcomer was refused" in line for line in chat_server.log)


# ---- a codec with a mistake in it


class NoWord(TextCodec):
    """It cannot say `Said`, and cannot read a message to nobody."""

    name = "no word"

    def encode(self, tag, message):
        if isinstance(message, Said):
            raise KeyError("no word for Said")
        return super().encode(tag, message)

    def decode(self, frame):
        tag, message = super().decode(frame)
        if message == Send("", ""):
            raise IndexError("whom?")
        return tag, message


@pytest.mark.parametrize("engine", ["threads", "loop"])
def test_a_codec_that_cannot_say_something_to_one_client_leaves_the_others_their_answers(engine, capfd):
    with chatlab.serve(NoWord, engine=engine, name="no word") as server:
        ann, ben, cora = server.users("ann", "ben", "cora")
        for each in (ann, ben, cora):
            each.join()
        with pytest.raises(ConnectionLost):
            ann.say("hello")
        assert [until_heard(each) for each in (ben, cora)] == ["hello", "hello"]
        ben.ping()
        assert "the codec failed: KeyError" in str(server.log)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("engine", ["threads", "loop"])
def test_a_codec_that_fails_to_read_ends_that_session_alone(engine, capfd):
    with chatlab.serve(NoWord, engine=engine, name="no word") as server:
        ann, ben = server.users("ann", "ben")
        with pytest.raises(ConnectionLost, match="the server failed"):
            ann.send("", "")
        ben.ping()
        assert ben.send("ann", "are you there?").delivered is False
    assert capfd.readouterr() == ("", "")


def until_heard(client):
    while not isinstance(event := client.receive(DEADLINE_S), Heard):
        pass
    return event.text
