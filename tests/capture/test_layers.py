"""Counted three ways, to the byte: what the relay taped, what the kernel sent, and the sum of the dissected fields."""

from contextlib import suppress

import pytest
from raw_client import DEADLINE_S, until

import chatlab
from chatlab.capture.layers import LAYERS
from chatlab.capture.tcp_info import tcp_bytes
from chatlab.capture.tcp_relay import relay
from chatlab.capture.traffic import Traffic
from chatlab.messages import ChatError

PROTOCOLS = ["text", "json", "binary", "protobuf", "grpc", "grpc-stream"]

VERBS = {
    "log in": lambda ann: (ann.log_out(), ann.log_in("ann")),
    "list": lambda ann: ann.list_accounts("a*"),
    "send": lambda ann: ann.send("ann", "hi"),
    "send much": lambda ann: ann.send("ann", "né" * 10_000),
    "receive": lambda ann: [ann.receive(DEADLINE_S), ann.receive(DEADLINE_S)],
    "unread": lambda ann: ann.unread(),
    "acknowledge": lambda ann: ann.acknowledge(1),
    "delete messages": lambda ann: ann.delete_messages([1, 300, 70_000]),
    "deposit": lambda ann: ann.deposit(300),
    "withdraw": lambda ann: ann.withdraw(1),
    "overdraw": lambda ann: overdraw(ann),
    "balance": lambda ann: ann.balance(),
    "join": lambda ann: ann.join(),
    "say": lambda ann: ann.say("hi | there\n"),
    "leave": lambda ann: ann.leave(),
    "ping": lambda ann: ann.ping(),
    "delete account": lambda ann: ann.delete_account(),
}


def overdraw(client):
    with pytest.raises(ChatError):
        client.withdraw(10**6)


@pytest.fixture(scope="module", params=PROTOCOLS)
def counted(request):
    """For each verb what the relay, the kernel and the fields have counted by then; and all the frames."""
    seen = {}
    with chatlab.serve(request.param, name=f"costs {request.param}") as server, relay(server) as tap:
        ann = tap.connect()
        ann.create_account("ann")
        for verb, act in VERBS.items():
            act(ann)
            counts = seen[verb] = []
            with suppress(AssertionError):  # for the test of this verb to tell
                until(lambda counts=counts: agree(tap, counts))
        frames = tap.frames
    return seen, frames


def agree(tap, counts) -> bool:
    """What is still on its way is counted at one end only, so this takes a moment to be true."""
    taped, kernel, frames = tap.traffic_since(), tcp_bytes(tap.address), tap.frames
    counts[:] = taped, kernel, fields_of(frames)
    return len(set(counts) - {None}) == 1


def fields_of(frames):
    return Traffic(
        *(sum(f.size for frame in frames.where(direction=way) for f in frame.fields) for way in ("up", "down"))
    )


@pytest.mark.parametrize("verb", VERBS)
def test_tape_kernel_and_fields_agree_to_the_byte(counted, verb):
    taped, kernel, fields = counted[0][verb]
    assert taped == fields and taped.up and taped.down
    if kernel is None:
        pytest.skip("this kernel has no TCP_INFO that tells the bytes")
    assert taped == kernel


def test_layers_add_up_to_the_bytes(counted):
    account = counted[1].bytes_by_layer()
    assert account.bytes == sum(len(frame.data) for frame in counted[1]) >= counted[0]["delete account"][0].total
    assert list(account.to_dict()) == list(LAYERS) and min(account) >= 0


@pytest.mark.parametrize("protocol", ["binary", "grpc-stream"])
def test_one_operation_is_what_passed_since_a_mark(protocol):
    with chatlab.serve(protocol, name=f"since {protocol}") as server, relay(server) as tap:
        ann = tap.connect()
        ann.create_account("ann")
        tap.wait_until_quiet(0.05)
        start = tap.position()
        ann.deposit(300)
        frames, passed = tap.frames.since(start), tap.traffic_since(start)
    assert (frames.bytes_by_layer().bytes, frames.bytes_by_layer().information) == (passed.total, 1 + 2 + 1 + 2)


def test_only_grpc_pays_for_http2(counted):
    frames = counted[1]
    assert bool(frames.bytes_by_layer().http2) == (frames[0].protocol == "http2")


def test_every_frame_was_understood(counted):
    kinds = {frame.kind for frame in counted[1]} | {field.name for frame in counted[1] for field in frame.fields}
    assert not kinds & {"unfinished", "unreadable", "payload", "frame", "header"}


def test_the_same_conversation_is_the_same_information_in_every_protocol():
    told = {}
    for protocol in PROTOCOLS:
        with chatlab.serve(protocol, name=f"information {protocol}") as server, relay(server) as tap:
            ann, bob = tap.connect(), tap.connect()
            ann.create_account("ann")
            bob.create_account("bob")
            ann.send("bob", "hi")
            bob.receive(DEADLINE_S)
            bob.ping()
            with pytest.raises(ChatError):
                ann.send("nobody", "hi")
            tap.wait_until_quiet(0.05)
            told[protocol] = tap.frames.bytes_by_layer().information
    assert len(set(told.values())) == 1, told


def test_without_connections_the_kernel_counts_nothing():
    assert tcp_bytes(("127.0.0.1", 1)) in (Traffic(), None)
