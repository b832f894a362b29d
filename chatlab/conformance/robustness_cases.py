"""Rules for servers in hostile networks: pieces, floods, nonsense, silence, slow readers."""

import socket
import struct
import time
from contextlib import ExitStack

from ..messages import ConnectionLost, Heard
from .chat_cases import off_line, unread
from .fixtures import WAIT_S, at_once, chat_case, expect, next_event, texts
from .report import Case, CaseFailed

CASES: list[Case] = []

# ---- connections ------------------------------------------------------------------------------------------------


@chat_case(CASES, "A dead client still on-line: nobody noticed that it left.", "send log_in unread")
def who_vanishes_goes_off_line(scene):
    """A client whose connection breaks without a word is soon off-line, and its mail waits."""
    ada, path = scene.user("ada"), scene.path()
    bob = scene.user("bob", path.address)
    name = bob.name
    path.cut()
    off_line(ada, name)
    ada.send(name, "later")
    expect("the mail of who vanished", [m.text for m in unread(scene.login_as(name))][-1:], ["later"])


@chat_case(
    CASES,
    "One recv taken for one message, or a read loop that fails on a fragment: any fragmented client is disconnected.",
    "send receive",
)
def one_byte_in_each_segment(scene):
    """Over a path that passes on one byte at a time everything works as before."""
    path = scene.path(chop=True)
    ada, bob = scene.user("ada", path.address), scene.user("bob", path.address)
    for text in ("hi", "é|\n🙂"):
        ada.send(bob.name, text)
        bob.send(ada.name, text)
    expect("two messages each way, one byte at a time", (texts(bob, 2), texts(ada, 2)), (["hi", "é|\n🙂"],) * 2)


@chat_case(
    CASES,
    "Two requests in one segment: the second is lost, waits for the next wake-up, or both are merged.",
    "send receive",
)
def many_requests_in_one_segment(scene):
    """Requests of several threads of one client, gathered into one segment, are all answered, each by its own answer."""
    path = scene.path(gather_s=0.02)
    ada, bob = scene.user("ada", path.address), scene.user("bob", path.address)
    numbers: list[int] = []
    at_once(*[lambda n=n: [numbers.append(ada.send(bob.name, f"{n}.{m}").number) for m in range(3)] for n in range(6)])
    if any(numbers):  # a foreign server may number nothing
        expect("18 requests by six threads: different numbers in the answers", len(set(numbers)), 18)
    expect("the texts", sorted(texts(bob, 18)), sorted(f"{n}.{m}" for n in range(6) for m in range(3)))


@chat_case(
    CASES,
    "Length and data in two writes, or two threads that write at once without a lock: frames interleave.",
    "send receive",
)
def frames_do_not_interleave(scene):
    """Long messages sent by many threads at once, answers and pushes crossing each other, stay whole."""
    ada, bob = scene.users("ada", "bob")
    sizes = [1, 70, 2000, 9000]
    tasks = [
        lambda c=c, o=o, n=n: [c.send(o.name, f"{n}" * size) for size in sizes]
        for c, o in ((ada, bob), (bob, ada))
        for n in range(5)
    ]
    at_once(*tasks)
    wanted = sorted(f"{n}" * size for n in range(5) for size in sizes)
    for client in (ada, bob):
        got = sorted(texts(client, len(wanted)))
        expect("twenty messages of 1 to 9000 bytes, by five threads", [len(t) for t in got], [len(t) for t in wanted])
        expect("whether each is whole", got == wanted, True)


@chat_case(CASES, "A push that is written while a reply is pending makes the reply vanish.", "send receive")
def pushes_and_replies_do_not_meet(scene):
    """Under a storm of pushes every request is still answered, and no push is lost."""
    ada, bob, eve = scene.users("ada", "bob", "eve")
    at_once(
        *[lambda c=c: [c.send(bob.name, f"{n}") for n in range(40)] for c in (ada, eve)],
        lambda: [bob.send(eve.name, f"{n}") for n in range(40)],
    )
    expect("80 pushes during 40 requests", len(texts(bob, 80)), 80)
    expect("the 40 messages sent meanwhile", texts(eve, 40), [f"{n}" for n in range(40)])


@chat_case(
    CASES,
    "A pool of threads that the subscribers use up, or an accept loop that serves one client at a time.",
    "send receive",
)
def many_clients_at_once(scene):
    """Forty connected clients, each with its pushes open, are all served."""
    clients = [scene.user("m") for _ in range(40)]
    for client, neighbour in zip(clients, [*clients[1:], clients[0]]):
        client.send(neighbour.name, client.name)
    for client, neighbour in zip([*clients[1:], clients[0]], clients):
        expect("forty clients, each to the next", texts(client, 1), [neighbour.name])


@chat_case(
    CASES, "An accept loop that waits for the newcomer's first byte: one silent connection stops all.", "send receive"
)
def silent_connections_stop_nobody(scene):
    """Twenty connections that never say a word do not keep others from coming in."""
    with ExitStack() as silent:
        for _ in range(20):
            silent.enter_context(socket.create_connection(scene.address))
        ada, bob = scene.users("ada", "bob")
        ada.send(bob.name, "hi")
        expect("a message beside twenty silent connections", texts(bob, 1), ["hi"])


@chat_case(CASES, "Nonsense from one peer that stops the server, or everybody else.", "send receive")
def nonsense_hurts_nobody_else(scene):
    """Whatever bytes a peer sends, half a frame and a reset included, the others are served as before."""
    ada, bob = scene.users("ada", "bob")
    for nonsense in (
        b"\xff" * 100,
        b"\0" * 100,
        b"GET / HTTP/1.1\r\n\r\n",
        b"\n" * 50,
        b"{" * 1000 + b"\n",
        b"\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"99999999999\n",
        b"1",
    ):
        with socket.create_connection(scene.address) as peer:
            peer.sendall(nonsense)
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        ada.send(bob.name, "hi")
        expect(f"a message after somebody sent {nonsense[:20]!r}", texts(bob, 1), ["hi"])


@chat_case(
    CASES,
    "A slow reader that blocks the sender: after some megabytes the broadcast stands still for everybody.",
    "join say receive big_texts",
)
def a_slow_reader_stalls_nobody(scene):
    """While one member of a room reads nothing the others hear six megabytes in time."""
    path, room = scene.path(), scene.name("den")
    ada, bob, slow = scene.user("ada"), scene.user("bob"), scene.user("slow", path.address)
    for client in (ada, bob, slow):
        client.join(room)
    path.stall()
    start = time.monotonic()
    for number in range(100):
        ada.say(f"{number:60000}")
    heard = [int(next_event(bob, Heard).text) for _ in range(100)]
    expect("a hundred sayings of 60000 bytes, beside somebody who reads nothing", heard, list(range(100)))
    if (took := time.monotonic() - start) > WAIT_S:
        raise CaseFailed(
            "a hundred sayings of 60000 bytes, beside somebody who reads nothing", f"they took {took:.0f} s"
        )
    path.cut()  # before the slow client is closed, or it would wait for the server's last word


@chat_case(CASES, "A sleep between sends or answers as the fix for messages that stick together.", "send")
def no_answer_waits_for_the_clock(scene):
    """The quickest of twenty answers comes within 20 ms: nothing sleeps, polls or waits for a delayed acknowledgement."""
    ada, bob = scene.users("ada", "bob")
    took = []
    for number in range(20):
        start = time.perf_counter()
        ada.send(bob.name, f"{number}")
        took.append(time.perf_counter() - start)
        if len(took) >= 5 and min(took) < 0.02:
            return
    raise CaseFailed("twenty times send", f"the quickest answer took {min(took) * 1000:.0f} ms")


@chat_case(
    CASES, "A client that waits for ever, or answers as if nothing had happened, when the connection is over.", "send"
)
def a_lost_connection_is_said_to_be_lost(scene):
    """After its connection broke every verb of a client raises ConnectionLost, at once."""
    path = scene.path()
    ada = scene.user("ada", path.address)
    path.cut()
    for _ in range(2):
        try:
            answer = ada.send(ada.name, "hi")
        except ConnectionLost:
            continue
        raise CaseFailed("send over a connection that broke", answer)


@chat_case(
    CASES,
    "The port is not free when the server has closed, or a restart fails: a fixed port, or no SO_REUSEADDR.",
    "fixed_port",
)
def a_server_starts_again_on_its_port(scene):
    """A server that is closed can be started again at once on the same port."""
    with scene.stage.serve() as server:
        port = server.address[1]
        server.connect().create_account(scene.name("ada"))
    with scene.stage.serve(port) as server:
        expect("the port", server.address[1], port)
        server.connect().create_account(scene.name("ada"))
