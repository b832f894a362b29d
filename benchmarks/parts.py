"""What the parts of relaying a message cost, in one process and without a network: decode, carry out, encode.

    python benchmarks/parts.py

Each part handles sixteen messages at a time, as a busy server does. Printed is the fastest of many repetitions.
"""

import time

from chatlab.chat.hub import Hub, Outbox
from chatlab.codecs.connection import Connection
from chatlab.codecs.text import TextCodec
from chatlab.messages import Acknowledge, CreateAccount
from chatlab.socket_impl import encode_batch

BATCH, REPETITIONS = 16, 2_000


def fastest_us(act) -> float:
    """Microseconds for each message, in the fastest repetition."""
    best = float("inf")
    for _ in range(REPETITIONS):
        began = time.perf_counter_ns()
        act()
        best = min(best, time.perf_counter_ns() - began)
    return best / 1000 / BATCH


def main() -> None:
    hub, outboxes = Hub(), [Outbox(lambda: None), Outbox(lambda: None)]
    ann, ben = (hub.open_session(outbox) for outbox in outboxes)
    for name, session in (("ann", ann), ("ben", ben)):
        hub.ask(session, 1, CreateAccount(name))
    server = Connection(TextCodec())
    data = b"".join(b"#%d|6|ben|%s\n" % (100 + n, b"x" * 32) for n in range(BATCH))
    requests = server.receive(data)

    def run():
        hub.ask_all(ann, requests)
        hub.ask(ben, 1, Acknowledge(2**62))
        return [outbox.take() for outbox in outboxes]

    run()
    replies, events = run()
    print(f"decode the request         {fastest_us(lambda: server.receive(data)):5.2f} µs")
    print(f"carry it out, acknowledge  {fastest_us(run):5.2f} µs")
    print(f"encode the reply           {fastest_us(lambda: encode_batch(server, replies)):5.2f} µs")
    print(f"encode the event           {fastest_us(lambda: encode_batch(server, events)):5.2f} µs")


if __name__ == "__main__":
    main()
