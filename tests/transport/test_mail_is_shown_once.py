"""What is accepted is shown exactly once to a client that lives, whatever happens to its connection, server or account.

Each test is a way in which a client could lose a message or show it twice; where it matters, in every protocol and for
the blocking and the async client.
"""

import asyncio
import contextlib
import sys
import threading
import time

import pytest
from raw_client import DEADLINE_S, TEXT, in_a_loop, until

import chatlab
from chatlab.chat.storage import MemoryStore
from chatlab.messages import Account, ConnectionLost
from chatlab.transport.read_state import ReadState
from chatlab.transport.serving import listen

PROTOCOLS = ("text", "grpc", "grpc-stream")
everywhere = pytest.mark.parametrize("protocol", PROTOCOLS)


@pytest.fixture
def store():
    return MemoryStore()


@pytest.fixture
def server(protocol, store):
    with chatlab.serve(protocol, store=store, name="mail") as server:
        yield server


def texts_in(store, name) -> list[str]:
    return [message.text for message in store.mail(store.by_name(name).id)]


def received(client, count) -> list[str]:
    return [client.receive(DEADLINE_S).text for _ in range(count)]


def nothing_comes(client) -> None:
    with pytest.raises(TimeoutError):
        client.receive(0)


# ---- a server that starts anew


def restarted(server, protocol):
    port = server.address[1]
    server.close()
    return chatlab.serve(protocol, port=port, name="mail, again")


@everywhere
def test_an_account_that_is_created_again_begins_with_nothing_shown(server, protocol):
    ann, ben = server.users("ann", "ben")
    for number in range(3):
        ann.send("ben", f"before {number}")
    received(ben, 3)
    with restarted(server, protocol):
        ben.create_account("ben")
        ann.create_account("ann")
        for number in range(3):
            ann.send("ben", f"after {number}")
        assert received(ben, 3) == ["after 0", "after 1", "after 2"]
        ann.close(), ben.close()


@everywhere
def test_a_mailbox_that_is_behind_what_was_acknowledged_is_another_mailbox(server, protocol):
    ann, ben = server.users("ann", "ben")
    for number in range(3):
        ann.send("ben", f"before {number}")
    received(ben, 3)
    ben.unread()
    ben.drain()
    with restarted(server, protocol) as again:
        others = again.users("ann", "ben")
        others[1].log_out()
        for number in range(3):
            others[0].send("ben", f"after {number}")
        ben.log_in("ben")
        assert [message.text for message in ben.unread().messages] == ["after 0", "after 1", "after 2"]
        ann.close(), ben.close()


def test_a_number_that_comes_again_after_a_log_in_to_an_empty_mailbox_is_of_another_mailbox():
    mailbox = ReadState()
    assert mailbox.arrive(1) and not mailbox.arrive(1)
    assert mailbox.log_in(Account(7, "ben", unread=1)) and not mailbox.arrive(1)
    assert mailbox.log_in(Account(7, "ben", unread=0)) and mailbox.arrive(1)


# ---- numbers that are still to be assigned


@everywhere
@pytest.mark.parametrize("ahead", [lambda ben: ben.acknowledge(1000), lambda ben: ben.delete_messages([2])])
def test_what_was_said_of_numbers_to_come_ends_with_the_log_in(server, store, ahead):
    ann, ben = server.users("ann", "ben")
    ann.send("ben", "one")
    received(ben, 1)
    ahead(ben)
    ben.log_out()
    ann.send("ben", "two")
    ben.log_in("ben")
    ann.send("ben", "three")
    assert received(ben, 1) == ["three"]
    assert [message.text for message in ben.unread().messages] == ["two"]
    ben.close()
    assert texts_in(store, "ben") == []


# ---- what a client acknowledges, and when


@everywhere
def test_a_message_is_acknowledged_when_its_reader_comes_back_for_the_next(server, store):
    ann, ben = server.users("ann", "ben")
    ann.send("ben", "one")
    received(ben, 1)
    ben.ping()
    ben.drain()
    assert texts_in(store, "ben") == ["one"]
    nothing_comes(ben)
    ben.drain()
    assert texts_in(store, "ben") == []


@everywhere
def test_closing_leaves_exactly_what_was_not_shown(server, store):
    ann, ben = server.users("ann", "ben")
    for number in range(20):
        ann.send("ben", str(number))
    received(ben, 5)
    ben.close()
    assert texts_in(store, "ben") == [str(number) for number in range(5, 20)]


@everywhere
@pytest.mark.parametrize("end", [lambda ben: ben.close(), lambda ben: ben.log_out()], ids=["close", "log_out"])
def test_an_orderly_end_leaves_exactly_what_was_not_shown_also_above_a_gap(server, store, end):
    ann, ben = server.users("ann", "ben")
    ben.log_out()
    ann.send("ben", "waits")
    ben.log_in("ben")
    ann.send("ben", "is shown")
    assert received(ben, 1) == ["is shown"]
    end(ben)
    assert texts_in(store, "ben") == ["waits"]


@everywhere
def test_an_async_end_leaves_exactly_what_was_not_shown_also_above_a_gap(server, store):
    async def conversation():
        async with await server.connect_async() as ben:
            await ben.create_account("ben")
            await ben.log_out()
            ann.send("ben", "waits")
            await ben.log_in("ben")
            ann.send("ben", "is shown")
            ann.send("ben", "is not")
            assert (await ben.receive(DEADLINE_S)).text == "is shown"

    (ann,) = server.users("ann")
    in_a_loop(conversation())
    assert texts_in(store, "ben") == ["waits", "is not"]


# ---- a peer that reads slowly


@pytest.fixture
def impostor():
    """A listener, with the server's end of each connection in the hands of the test."""
    with listen("127.0.0.1", 0) as listener:
        yield listener


def test_a_time_out_covers_writing_too(impostor):
    with TEXT.connect(impostor.getsockname()) as client, impostor.accept()[0]:
        client.answer_timeout_s = 0.2
        started = time.monotonic()
        for _ in range(100):  # the server reads nothing, so the buffers fill up
            with pytest.raises(ConnectionLost):
                client.send("ann", "x" * 1_000_000)
            if client._inbox.lost is not None:
                break
        assert time.monotonic() - started < 8 and "has stopped reading" in str(client._inbox.lost)
        with pytest.raises(ConnectionLost, match="has stopped reading"):
            client.ping()


def test_a_message_is_received_in_time_although_the_server_does_not_read(impostor):
    with TEXT.connect(impostor.getsockname()) as client, impostor.accept()[0] as peer:
        logging_in = threading.Thread(target=client.log_in, args=("ben",))
        logging_in.start()
        peer.recv(100), peer.sendall(b"#1|account|1|ben|0|0\n")
        logging_in.join()
        client.answer_timeout_s = 0.5
        writing = threading.Thread(target=_send_until_lost, args=(client,))
        writing.start()
        time.sleep(0.1)  # and now it waits for room in the buffer
        for number in (1, 2, 3):
            peer.sendall(b"arrived|%d|ann|no|hi\n" % number)
            started = time.monotonic()
            assert client.receive(2).number == number
            assert time.monotonic() - started < 0.3
        writing.join()


def _send_until_lost(client):
    with contextlib.suppress(ConnectionLost):
        while True:
            client.send("ann", "x" * 1_000_000)


def test_a_wait_that_is_cancelled_has_taken_no_message(impostor):
    async def conversation():
        client = await TEXT.connect_async(impostor.getsockname())
        peer = impostor.accept()[0]
        logging_in = asyncio.ensure_future(client.log_in("ben"))
        await asyncio.sleep(0.05)
        peer.sendall(b"#1|account|1|ben|0|0\n")
        await logging_in
        seen = []
        for number in range(1, 101):
            peer.sendall(b"arrived|%d|ann|no|hi\n" % number)
            with contextlib.suppress(TimeoutError):
                seen.append((await asyncio.wait_for(client.receive(), number % 5 * 0.0001)).number)
        while len(seen) < 100:
            seen.append((await client.receive(DEADLINE_S)).number)
        assert seen == list(range(1, 101))
        peer.close()
        await client.close()

    in_a_loop(conversation())


# ---- an account that changes under a client


def test_an_acknowledgement_belongs_to_its_log_in(monkeypatch, store):
    """One thread has computed an acknowledgement for ben, and meanwhile another logs out and in as ann."""
    pending = ReadState.pending_acknowledgement

    def slowly(mailbox, at_least=1):
        request = pending(mailbox, at_least)
        time.sleep(0.05 if request else 0)
        return request

    with chatlab.serve("text", store=store, name="mail") as server:
        ben, eve = server.users("ben", "eve")
        server.users("ann")[0].close()
        for number in range(20):
            eve.send("ann", str(number))
        for number in range(10):
            eve.send("ben", str(number))
        received(ben, 10)
        monkeypatch.setattr(ReadState, "pending_acknowledgement", slowly)
        receiving = threading.Thread(target=nothing_comes, args=(ben,))
        receiving.start()
        time.sleep(0.01)
        ben.log_out()
        ben.log_in("ann")
        receiving.join()
        assert len(texts_in(store, "ann")) == 20


def test_the_first_messages_of_a_new_account_are_kept_where_the_server_ended_the_one_before(impostor):
    with TEXT.connect(impostor.getsockname()) as client, impostor.accept()[0] as peer:
        creating = threading.Thread(target=client.create_account, args=("bob",))
        creating.start()
        peer.recv(100), peer.sendall(b"#1|account|1|bob|0|0\narrived|1|ann|no|for bob\n")
        creating.join()
        creating = threading.Thread(target=client.create_account, args=("eve",))
        creating.start()
        assert peer.recv(100) == b"#2|1|eve\n"
        peer.sendall(b"logged_out|gone\n#2|account|2|eve|0|0\narrived|1|ann|no|for eve\narrived|2|ann|no|again\n")
        creating.join()
        assert received(client, 2) == ["for eve", "again"]
        nothing_comes(client)
        assert peer.recv(100) == b"#3|8|2\n"


@everywhere
def test_whoever_waits_gets_the_first_message_of_an_account_that_another_thread_creates(server, store):
    ann, both, owner = *server.users("ann", "bob"), server.connect()
    for round_ in range(10):
        seen = []
        waiting = threading.Thread(target=lambda seen=seen: seen.extend(received(both, 3)))
        both.log_out()
        waiting.start()
        both.create_account(f"eve{round_}")
        for number in range(3):
            ann.send(f"eve{round_}", str(number))
        waiting.join(DEADLINE_S)
        assert seen == ["0", "1", "2"]
        nothing_comes(both)
        both.drain()
        assert texts_in(store, f"eve{round_}") == []
    owner.close()


# ---- threads


@everywhere
def test_receive_and_unread_on_two_threads_show_each_message_once(server):
    count = 1_000 if server.name and "text" in server.addresses else 200
    ann, ben = server.users("ann", "ben")
    seen, ended = [], threading.Event()

    def receive():
        while True:
            try:
                seen.append(ben.receive(0.2).number)
            except TimeoutError:
                if ended.is_set():
                    return

    def page():
        while not ended.is_set():
            seen.extend(message.number for message in ben.unread(limit=10).messages)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=task) for task in (receive, page)]
        for thread in threads:
            thread.start()
        for number in range(count):
            ann.send("ben", str(number))
        until(lambda: len(seen) >= count)
        ended.set()
        for thread in threads:
            thread.join(DEADLINE_S)
    finally:
        sys.setswitchinterval(interval)
    assert sorted(seen) == list(range(1, count + 1))
