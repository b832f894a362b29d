"""How a client's connection ends, and what is left of it: the error, the waiting calls, and the next connection."""

import asyncio
import threading
import time

import pytest
from raw_client import DEADLINE_S, TEXT, in_a_loop, until

import chatlab
from chatlab.codecs.text import TextCodec
from chatlab.messages import Arrived, Balance, ConnectionLost
from chatlab.transport.serving import listen

everywhere = pytest.mark.parametrize("protocol", ["text", "grpc", "grpc-stream"])


@pytest.fixture
def server(protocol):
    with chatlab.serve(protocol, name="ends") as server:
        yield server


@everywhere
def test_the_end_of_a_connection_ends_its_own_waiters_only(server):
    (ada,) = server.users("ada")
    for number in range(1, 31):
        errors = []
        waiting = [threading.Thread(target=_note_error, args=(errors, ada.receive, DEADLINE_S)) for _ in range(3)]
        for thread in waiting:
            thread.start()
        until(lambda: len(ada._changed._waiters) == 3)
        threading.Thread(target=ada.transport.abort).start()
        until(lambda: ada._inbox.lost is not None)
        ada.log_in("ada")
        ada.send("ada", "hi")
        assert ada.receive(DEADLINE_S) == Arrived(number, "ada", "hi")
        for thread in waiting:
            thread.join(DEADLINE_S)
        assert [str(error) for error in errors] == ["the connection is closed"] * 3


@everywhere
def test_the_end_of_an_async_connection_ends_its_own_waiters_only(server):
    async def conversation():
        async with await server.connect_async() as ada:
            await ada.create_account("ada")
            for number in range(1, 11):
                waiting = [asyncio.ensure_future(ada.receive(DEADLINE_S)) for _ in range(3)]
                await asyncio.sleep(0)
                await ada.transport.abort()
                await ada.log_in("ada")
                await ada.send("ada", "hi")
                assert await ada.receive(DEADLINE_S) == Arrived(number, "ada", "hi")
                errors = await asyncio.gather(*waiting, return_exceptions=True)
                assert [str(error) for error in errors] == ["the connection is closed"] * 3

    in_a_loop(conversation())


@everywhere
def test_a_call_after_the_end_is_lost_at_once_and_a_log_in_connects_again(server):
    (ada,) = server.users("ada")
    ada.transport.abort("the test ends it")
    for verb in (ada.ping, ada.balance, ada.receive):
        with pytest.raises(ConnectionLost, match="the test ends it"):
            verb()
    assert ada.name == "ada"
    assert ada.log_in("ada").id == 1


def _note_error(errors, verb, *args):
    try:
        verb(*args)
    except ConnectionLost as lost:
        errors.append(lost)


# ---- a codec or a server with a mistake


class NoBalance(TextCodec):
    """A codec with a mistake in it, which shows on the client's side only."""

    name = "no balance"

    def decode(self, frame):
        tag, message = super().decode(frame)
        if isinstance(message, Balance):
            raise AttributeError("amonut")
        return tag, message


FAILED = "the codec no balance could not read what the server sent: AttributeError: amonut"


def test_a_codec_that_raises_ends_the_connection_at_once_with_its_error():
    with chatlab.serve(NoBalance, name="mistake") as server:
        (ada,) = server.users("ada")
        started = time.monotonic()
        for verb in (ada.balance, ada.ping, ada.receive):
            with pytest.raises(ConnectionLost, match=FAILED):
                verb()
        assert time.monotonic() - started < 5
        assert ada.log_in("ada").name == "ada"
        ada.ping()


def test_a_codec_that_raises_ends_an_async_connection_at_once_with_its_error():
    async def conversation(server):
        async with await server.connect_async() as ada:
            await ada.create_account("ada")
            for verb in (ada.balance, ada.ping, ada.receive):
                with pytest.raises(ConnectionLost, match=FAILED):
                    await asyncio.wait_for(verb(), 5)
            assert (await ada.log_in("ada")).name == "ada"
            await ada.ping()

    with chatlab.serve(NoBalance, name="mistake") as server:
        in_a_loop(conversation(server))


WRONG = "the server does not speak the protocol as it should: it answered Unread with Done"


def test_an_answer_of_the_wrong_kind_ends_the_connection_in_words():
    with listen("127.0.0.1", 0) as listener, TEXT.connect(listener.getsockname()) as client:
        with listener.accept()[0] as server:
            threading.Timer(0.05, server.sendall, [b"#1|done\n"]).start()
            for verb in (client.unread, client.ping, client.receive):
                with pytest.raises(ConnectionLost, match=WRONG):
                    verb()


def test_an_answer_of_the_wrong_kind_ends_an_async_connection_in_words():
    async def conversation(listener):
        async with await TEXT.connect_async(listener.getsockname()) as client:
            with listener.accept()[0] as server:
                asyncio.get_running_loop().call_later(0.05, server.sendall, b"#1|done\n")
                for verb in (client.unread, client.ping, client.receive):
                    with pytest.raises(ConnectionLost, match=WRONG):
                        await verb()

    with listen("127.0.0.1", 0) as listener:
        in_a_loop(conversation(listener))
