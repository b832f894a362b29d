"""gRPC in both styles on both engines: the same chat, and a session that lives exactly as long as its stream."""

import asyncio
import errno
import os
import queue
import re
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from hypothesis import given
from raw_client import DEADLINE_S, TEXT, ChatServer, in_a_loop, until
from strategies import ANY_ANSWER, ANY_MESSAGE, ANY_REQUEST, TAGS

from chatlab import grpc_impl, relay, serve
from chatlab.chat.hub import Hub
from chatlab.chat.service import Chat
from chatlab.messages import (
    CODES,
    EVENTS,
    REPLIES,
    REQUESTS,
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
    Mail,
    Ping,
    Sent,
)
from chatlab.proto import chat_pb2 as pb
from chatlab.proto import convert
from chatlab.proto.chat_pb2_grpc import ChatStub


class GrpcChatServer(ChatServer):
    """A chat server whose endpoint speaks gRPC."""

    def __init__(self, engine, style, limits=Limits(), port=0):
        self.engine, self.style, self.log, self._clients = engine, style, [], ExitStack()
        self.hub = Hub(Chat(limits=limits), limits, self.log.append)
        self.endpoint = style.serve(self.hub, engine=engine, port=port)
        self.address = self.endpoint.address

    def client(self, name="", password=""):
        client = self.style.connect(self.address)
        self._clients.callback(client.close)
        if name:
            client.create_account(name, password)
        return client

    def text_client(self):
        endpoint = TEXT.serve(self.hub)
        client = TEXT.connect(endpoint.address)
        self._clients.callback(endpoint.close)
        self._clients.callback(client.close)
        return client

    def channel(self):
        """What anybody's gRPC client has."""
        channel = grpc.insecure_channel(f"127.0.0.1:{self.address[1]}", [("grpc.use_local_subchannel_pool", 1)])
        self._clients.callback(channel.close)
        return channel

    @property
    def sessions(self):
        return len(self.hub._sessions)


@pytest.fixture(params=[grpc_impl.grpc_unary, grpc_impl.grpc_stream], ids=["grpc", "grpc-stream"])
def style(request):
    return request.param()


@pytest.fixture
def start_server(engine, style, no_background_output, fast_timeouts):
    chat_servers = []

    def start_server(*args, **options):
        chat_servers.append(GrpcChatServer(engine, style, *args, **options))
        return chat_servers[-1]

    yield start_server
    for chat_server in chat_servers:
        chat_server.__exit__()


# ---- the verbs


def test_every_verb_makes_the_round_trip(chat_server):
    ada, bob = chat_server.client("ada"), chat_server.client("bob")
    assert ada.list_accounts("*") == Accounts(("ada", "bob"))
    assert ada.send("bob", "hi") == Sent(1, True)
    assert bob.receive(DEADLINE_S) == Arrived(1, "ada", "hi")
    assert ada.join() == Joined("lobby", ("ada",), 1)
    assert bob.join() == Joined("lobby", ("ada", "bob"), 2)
    assert ada.receive(DEADLINE_S) == Entered("lobby", "bob")
    assert (ada.say("Grüße"), bob.receive(DEADLINE_S)) == (1, Heard("lobby", "ada", "Grüße"))
    assert (bob.leave(), ada.receive(DEADLINE_S)) == (None, Left("lobby", "bob"))
    assert (ada.deposit(9), ada.withdraw(4), ada.balance(), ada.ping()) == (9, 5, 5, None)
    assert bob.log_out() is None and ada.send("bob", "later") == Sent(2, False)
    assert bob.log_in("bob").unread == 1 and bob.unread() == Mail((Arrived(2, "ada", "later"),))
    assert bob.delete_messages([2]) == 1 and bob.acknowledge(2) is None
    assert ada.delete_account() == 5


def test_events_arrive_in_order(chat_server):
    ada, bob = chat_server.client("ada"), chat_server.client("bob")
    for number in range(300):
        ada.send("bob", str(number))
    assert [bob.receive(DEADLINE_S).text for _ in range(300)] == [str(number) for number in range(300)]


WRONG = {
    "unknown": lambda one: one.send("名前", "hi"),
    "long": lambda one: one.send("ada", "é" * 40_000),
    "overdraft": lambda one: one.withdraw(10**12),
    "negative": lambda one: one.deposit(-1),
    "64 bits": lambda one: one.deposit(2**63),
    "page": lambda one: one.list_accounts(limit=0),
    "log-in": lambda one: one.log_in("eve"),
    "say": lambda one: one.say("hi"),
    "room": lambda one: one.join("a b"),
    "name": lambda one: (one.delete_account(), one.create_account("é\n%41")),
    "many": lambda one: one.delete_messages(range(2_000)),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_call_is_refused_as_over_text(chat_server, wrong):
    chat_server.client("eve")
    refused = []
    for ada in chat_server.text_client(), chat_server.client():
        ada.create_account("ada")
        with pytest.raises(ChatError) as error:
            WRONG[wrong](ada)
        refused.append(error.value.args)
        if ada.account:
            ada.delete_account()
    assert refused[0] == refused[1]


def test_a_refusal_brings_its_code_and_a_text_that_is_not_ascii(chat_server):
    with pytest.raises(ChatError) as refused:
        chat_server.client("ada").send("名前", "hi")
    assert refused.value.args == ("NO_SUCH_ACCOUNT", "there is no account '名前'")


def test_a_password_is_checked_outside_the_turn(chat_server, cheap_hashes):
    chat_server.client("ada", "sësame").close()
    ada = chat_server.client()
    with pytest.raises(ChatError, match="WRONG_PASSWORD"):
        ada.log_in("ada", "sesame")
    assert ada.log_in("ada", "sësame").name == "ada"


def test_a_client_that_vanishes_while_its_password_is_hashed_is_not_logged_in(chat_server, monkeypatch):
    hashing, gone = threading.Event(), threading.Event()

    def slow_hash(password):
        hashing.set()
        assert gone.wait(DEADLINE_S)
        return "hash"

    monkeypatch.setattr("chatlab.chat.hub.hash_password", slow_hash)
    ada = chat_server.client()

    def ask():
        with pytest.raises(ConnectionLost):
            ada.create_account("ada", "secret")

    asking = threading.Thread(target=ask)
    asking.start()
    assert hashing.wait(DEADLINE_S)
    ada.transport.abort()
    until(lambda: not chat_server.sessions)
    gone.set()
    asking.join()
    assert chat_server.client("bob").send("bob", "to myself") == Sent(1, True)
    assert len(chat_server.hub.chat._online) == 1


def test_both_styles_and_both_protocols_meet_in_one_chat(chat_server):
    ada, bob = grpc_impl.grpc_unary().connect(chat_server.address), grpc_impl.grpc_stream().connect(chat_server.address)
    eve = chat_server.text_client()
    for one, name in (ada, "ada"), (bob, "bob"), (eve, "eve"):
        one.create_account(name)
    for one, other in (ada, "bob"), (bob, "eve"), (eve, "ada"):
        one.send(other, f"hi {other}")
    assert [one.receive(DEADLINE_S).text for one in (ada, bob, eve)] == ["hi ada", "hi bob", "hi eve"]
    ada.close(), bob.close()


def test_one_client_serves_many_threads(chat_server):
    ada = chat_server.client("ada")
    threads = [threading.Thread(target=lambda: [ada.deposit(1) for _ in range(20)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ada.balance() == 160


# ---- sessions


def test_the_log_names_peers_as_sockets_do(chat_server):
    chat_server.client("ada").close()
    assert re.fullmatch(r"Client \(127\.0\.0\.1, \d+\) connected  \[ ada \]", chat_server.log[0])
    assert re.fullmatch(r"Client \(127\.0\.0\.1, \d+\) is offline  \[ ada \]", chat_server.log[1])


def test_when_close_returns_the_server_has_forgotten(chat_server):
    chat_server.client("ada").close()
    assert chat_server.sessions == 0


def test_close_carries_out_what_was_acknowledged(chat_server):
    ada, bob = chat_server.client("ada"), chat_server.client("bob")
    for number in range(100):
        ada.send("bob", str(number))
    for _ in range(100):
        bob.receive(DEADLINE_S)
    bob.close()
    assert chat_server.client().log_in("bob").unread == 0


def test_log_out_does_not_overtake_an_acknowledgement(chat_server):
    ada, bob = chat_server.client("ada"), chat_server.client("bob")
    for number in range(20):
        ada.send("bob", str(number))
        bob.receive(DEADLINE_S)
        bob.log_out()
        assert bob.log_in("bob").unread == 0


def test_an_event_never_follows_its_reader_into_another_account(chat_server):
    ada, bob = chat_server.client("ada"), chat_server.client("bob")
    came, hand_up = threading.Event(), ada.transport._on_event
    ada.transport._on_event = lambda event: (came.wait(DEADLINE_S), hand_up(event))
    bob.send("ada", "late")
    threading.Timer(0.05, came.set).start()
    ada.log_out()
    assert came.is_set() and not ada.events_waiting


def test_an_unclean_exit_takes_the_session_off_line(chat_server):
    ada, bob = chat_server.client("ada"), chat_server.client("bob")
    ada.join(), bob.join()
    ada.receive(DEADLINE_S)
    bob.transport.abort()
    assert ada.receive(DEADLINE_S) == Left("lobby", "bob")
    assert ada.send("bob", "are you there?") == Sent(1, False)


def test_a_lost_connection_is_made_again_by_a_log_in(chat_server):
    ada = chat_server.client("ada")
    ada.transport.abort()
    with pytest.raises(ConnectionLost):
        ada.receive(DEADLINE_S)
    assert ada.log_in("ada").name == "ada"
    assert ada.send("ada", "hi") == Sent(1, True)
    assert ada.receive(DEADLINE_S) == Arrived(1, "ada", "hi")


def test_64_subscribers_leave_room_for_calls(chat_server):
    clients = [chat_server.client() for _ in range(64)]
    clients[0].create_account("ada")
    for client in clients:
        client.ping()
    assert chat_server.sessions == 64


def test_a_session_too_many_is_refused_at_once_and_clearly(start_server):
    chat_server = start_server(Limits(streams=3, sessions=3))
    clients = [chat_server.client() for _ in range(3)]
    with pytest.raises(ConnectionLost, match="SERVER_FULL: the server has .*3 sessions and takes no more"):
        chat_server.client()
    clients[0].close()
    chat_server.client("ada")


@pytest.mark.parametrize("metadata", [(), (("session", "guessed"),)])
def test_no_token_is_refused(chat_server, metadata):
    with pytest.raises(grpc.RpcError) as refused:
        ChatStub(chat_server.channel()).Ping(pb.Ping(), metadata=metadata)
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert dict(refused.value.trailing_metadata())["code"] == "NO_SESSION"
    assert refused.value.details() == CODES["NO_SESSION"].sentence


def test_a_silent_newcomer_is_sent_away(start_server):
    ada = start_server(Limits(first_frame_s=0.05)).client()
    assert ada.receive(DEADLINE_S) == Goodbye("no complete request within 0.05 s")
    with pytest.raises(ConnectionLost, match="no complete request"):
        ada.receive(DEADLINE_S)


@pytest.mark.parametrize("way", ["Events", "Stream"])
def test_a_reader_that_stalls_is_cut_and_stops_nobody(start_server, way):
    chat_server = start_server(Limits(outbox=50, linger_s=0.05))
    stalled = _never_read(ChatStub(chat_server.channel()), way)
    ada, bob = chat_server.client("ada"), chat_server.client("bob")
    ada.join(), bob.join()
    until(lambda: len(chat_server.hub.chat._rooms["lobby"]) == 3)
    while chat_server.sessions == 3:
        ada.say("x" * 60_000)
        while not isinstance(bob.receive(DEADLINE_S), Heard):
            pass
    with pytest.raises(grpc.RpcError) as cut:
        for _ in stalled:
            pass
    assert cut.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)


def _never_read(stub, way):
    """A session in the lobby that does not read what it is told."""
    if way == "Stream":
        requests = queue.SimpleQueue()
        requests.put(pb.StreamRequest(create_account=pb.CreateAccount(name="stalled")))
        requests.put(pb.StreamRequest(join=pb.Join()))
        stream = stub.Stream(iter(requests.get, None))
        stream.add_callback(lambda: requests.put(None))
        return stream
    stream = stub.Events(pb.Subscribe())
    session = [pair for pair in stream.initial_metadata() if pair[0] == "session"]
    stub.CreateAccount(pb.CreateAccount(name="stalled"), metadata=session)
    stub.Join(pb.Join(), metadata=session)
    return stream


def test_a_endpoint_closes_though_somebody_does_not_read(start_server):
    chat_server = start_server(Limits(linger_s=0.05))
    stalled = _never_read(ChatStub(chat_server.channel()), "Stream")
    ada = chat_server.client("ada")
    ada.join()
    for _ in range(200):
        ada.say("x" * 60_000)
    chat_server.endpoint.close()
    assert chat_server.sessions == 0
    stalled.cancel()


def test_a_stream_request_that_says_nothing_known_is_refused_under_its_tag(chat_server):
    told = ChatStub(chat_server.channel()).Stream(
        iter([pb.StreamRequest(tag=7), pb.StreamRequest(tag=8, ping=pb.Ping())])
    )
    first, second = [convert.from_stream_response(one) for one in told]
    assert (first[0], first[1].code) == (7, "MALFORMED")
    assert second[0] == 8


# ---- limits, ends and interrupts


def test_an_oversize_request_is_refused_and_the_connection_lives(chat_server):
    ada = chat_server.client("ada")
    with pytest.raises(ChatError) as refused:
        ada.send("ada", "x" * (2 << 20))
    assert refused.value.code == "FRAME_TOO_LONG"
    ada.ping()


def test_an_oversize_request_for_a_smaller_server_says_so_too(start_server, style):
    ada = start_server(Limits(frame=2_000)).client("ada")
    with pytest.raises((ChatError, ConnectionLost), match="FRAME_TOO_LONG.*larger than max"):
        ada.send("ada", "x" * 3_000)
    if style.name == "grpc":
        ada.ping()


def test_an_answer_that_fits_no_frame_is_refused(start_server):
    ada = start_server(Limits(frame=2_000)).client("a" * 60)
    ada.send("1", "x" * 1_960)  # which fits, but in the answer the sender has a long name
    with pytest.raises(ChatError, match="FRAME_TOO_LONG: the answer does not fit"):
        ada.unread()
    ada.ping()


def test_a_server_that_stops_says_goodbye(chat_server):
    ada = chat_server.client("ada")
    chat_server.endpoint.close()
    assert ada.receive(DEADLINE_S) == Goodbye("the server stops")
    for _ in range(2):  # and whoever asks once more hears the same
        with pytest.raises(ConnectionLost, match="the server stops"):
            ada.receive(DEADLINE_S)
    with pytest.raises(ConnectionLost, match="the server stops"):
        ada.ping()


def test_a_port_is_free_again_at_once(chat_server, start_server):
    chat_server.client("ada")
    chat_server.endpoint.close()
    start_server(port=chat_server.address[1]).client("bob")


def test_a_port_in_use_is_named_as_by_sockets(chat_server, style, engine):
    for implementation in TEXT, style:
        with pytest.raises(OSError) as error:
            implementation.serve(chat_server.hub, engine=engine, port=chat_server.address[1])
        assert error.value.errno == errno.EADDRINUSE
        assert (
            error.value.strerror == f"cannot listen at 127.0.0.1, port {chat_server.address[1]}: Address already in use"
        )


def test_where_nobody_listens_nobody_answers(chat_server, style):
    chat_server.endpoint.close()
    with pytest.raises(ConnectionLost, match=f"cannot connect to 127.0.0.1:{chat_server.address[1]}: "):
        style.connect(chat_server.address)


def test_an_interrupted_call_leaves_the_client_usable(chat_server):
    ada = chat_server.client("ada")
    with chat_server.hub._lock:
        interrupting = threading.Timer(0.1, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT))
        interrupting.start()
        with pytest.raises(KeyboardInterrupt):
            ada.ping()
    assert ada.deposit(3) == 3


def test_the_process_ends_though_nobody_closed_anything(engine, style):
    make = {"grpc": "grpc_unary", "grpc-stream": "grpc_stream"}[style.name]
    script = f"""
from chatlab import grpc_impl
from chatlab.chat.hub import Hub
style = grpc_impl.{make}()
ada = style.connect(style.serve(Hub(), engine={engine!r}).address)
ada.create_account("ada")
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=4 * DEADLINE_S)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_the_header_of_a_deadline_is_the_same_at_any_moment():
    with serve("grpc") as server, relay(server) as tap, tap.connect() as client:
        for _ in range(100):
            client.ping()
        fields = [field for frame in tap.frames.where(direction="up") for field in frame.fields]
    assert {field.value for field in fields if field.name == "grpc-timeout"} == {"30S"}


# ---- in an event loop


def test_an_async_client_has_the_same_verbs(chat_server, style):
    async def conversation():
        async with (
            await style.connect_async(chat_server.address) as ada,
            await style.connect_async(chat_server.address) as bob,
        ):
            await ada.create_account("ada")
            await bob.create_account("bob", "secret")
            sent = await asyncio.gather(*[ada.send("bob", str(number)) for number in range(50)])
            assert sorted(reply.number for reply in sent) == list(range(1, 51))
            assert [(await bob.receive(DEADLINE_S)).number for _ in range(50)] == list(range(1, 51))
            with pytest.raises(ChatError, match="NO_SUCH_ACCOUNT: there is no account '名前'"):
                await ada.send("名前", "hi")
        return chat_server.sessions

    assert in_a_loop(conversation()) == 0
    assert chat_server.client().log_in("bob", "secret").unread == 0


def test_a_cancelled_verb_leaves_the_async_client_usable(chat_server, style):
    async def conversation():
        async with await style.connect_async(chat_server.address) as ada:
            await ada.create_account("ada")
            with chat_server.hub._lock:
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(ada.ping(), 0.05)
            assert await ada.deposit(3) == 3

    in_a_loop(conversation())


def test_an_async_client_hears_of_the_end(chat_server, style):
    async def conversation():
        ada = await style.connect_async(chat_server.address)
        await ada.create_account("ada")
        await asyncio.to_thread(chat_server.endpoint.close)
        assert await ada.receive(DEADLINE_S) == Goodbye("the server stops")
        with pytest.raises(ConnectionLost, match="the server stops"):
            await ada.receive(DEADLINE_S)
        with pytest.raises(ConnectionLost, match="the server stops"):
            await ada.ping()
        with pytest.raises(ConnectionLost, match="cannot connect to"):
            await ada.log_in("ada")
        await ada.close()

    in_a_loop(conversation())


def test_closing_an_async_client_ends_its_calls_as_lost(chat_server, style):
    async def conversation():
        ada = await style.connect_async(chat_server.address)
        with chat_server.hub._lock:
            asking = asyncio.ensure_future(ada.ping())
            await asyncio.sleep(0)
            await ada.transport.abort()
            with pytest.raises(ConnectionLost):
                await asking

    in_a_loop(conversation())


# ---- what comes with a gRPC server


def test_reflection_lists_the_chat(chat_server):
    assert "chatlab.v1.Chat" in ProtoReflectionDescriptorDatabase(chat_server.channel()).get_services()


def test_health_says_serving(chat_server):
    stub = health_pb2_grpc.HealthStub(chat_server.channel())
    for service in "", "chatlab.v1.Chat":
        answer = stub.Check(health_pb2.HealthCheckRequest(service=service))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


# ---- chat.proto and messages.py


@given(ANY_MESSAGE)
def test_every_message_goes_across_and_back(message):
    proto = convert.to_proto(message)
    assert convert.from_proto(type(proto).FromString(proto.SerializeToString())) == message


@given(TAGS, ANY_REQUEST)
def test_every_request_goes_into_a_stream_request(tag, request):
    assert convert.from_stream_request(
        pb.StreamRequest.FromString(convert.to_stream_request(tag, request).SerializeToString())
    ) == (tag, request)


@given(TAGS, ANY_ANSWER)
def test_every_reply_and_event_goes_into_a_stream_response(tag, message):
    assert convert.from_stream_response(
        pb.StreamResponse.FromString(convert.to_stream_response(tag, message).SerializeToString())
    ) == (tag, message)


def test_every_event_goes_into_an_event():
    for kind in EVENTS:
        event = kind(*[{str: "", int: 0, bool: False}[field] for field in kind.__annotations__.values()])
        assert convert.from_event(convert.to_event(event)) == event


@pytest.mark.parametrize("message", REQUESTS + REPLIES + EVENTS)
def test_a_message_and_its_namesake_have_the_same_fields(message):
    assert [field.name for field in getattr(pb, message.__name__).DESCRIPTOR.fields] == list(message.__struct_fields__)


@pytest.mark.parametrize("request_", REQUESTS)
def test_a_call_answers_what_its_request_says(request_):
    call = pb.DESCRIPTOR.services_by_name["Chat"].methods_by_name[request_.__name__]
    assert (call.input_type.name, call.output_type.name) == (request_.__name__, _answer_to(request_))


def _answer_to(request_):
    return re.search(r"Answered by `(\w+)`", request_.__doc__)[1]


def test_what_is_left_out_has_its_default():
    assert convert.from_proto(pb.ListAccounts()) == REQUESTS[5]()
    assert convert.to_proto(Ping()).ByteSize() == 0


# ---- how loudly gRPC's core writes to stderr


FIRST_SIGHT_OF_GRPC = """
import importlib, os, sys
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "grpc":
            print(os.environ.get("GRPC_VERBOSITY"))
sys.meta_path.insert(0, Watch())
importlib.import_module(sys.argv[1])
"""


@pytest.mark.parametrize("module", ["grpc_impl", "transport.grpc_client", "transport.grpc_serving"])
@pytest.mark.parametrize("users, then", [({}, "NONE"), ({"GRPC_VERBOSITY": "DEBUG"}, "DEBUG")])
def test_grpc_is_told_to_be_quiet_before_it_is_imported_unless_the_user_wants_otherwise(module, users, then):
    environment = {name: value for name, value in os.environ.items() if name != "GRPC_VERBOSITY"} | users
    program = [sys.executable, "-c", FIRST_SIGHT_OF_GRPC, f"chatlab.{module}"]
    done = subprocess.run(program, capture_output=True, text=True, timeout=4 * DEADLINE_S, env=environment, check=True)
    assert done.stdout.split() == [then]
