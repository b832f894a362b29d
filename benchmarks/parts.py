"""What the parts of relaying a message cost, in one process and without a network: parse, carry out, spell.

    python benchmarks/parts.py

Each part handles sixteen messages at a time, as a server does that is kept busy; told is the quietest of many turns.
"""

import time

from chatlab.chat.hub import Hub, Outbox
from chatlab.codecs.connection import Connection
from chatlab.codecs.text import TextCodec
from chatlab.messages import Acknowledge, CreateAccount
from chatlab.socket_impl import encode_batch

BATCH, TURNS = 16, 2_000


def quietest_us(act) -> float:
    """Microseconds of a message in the quietest turn."""
    best = float("inf")
    for _ in range(TURNS):
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
    answers, events = run()
    print(f"parse the request          {quietest_us(lambda: server.receive(data)):5.2f} µs")
    print(f"carry it out, acknowledge  {quietest_us(run):5.2f} µs")
    print(f"spell the answer           {quietest_us(lambda: encode_batch(server, answers)):5.2f} µs")
    print(f"spell the event            {quietest_us(lambda: encode_batch(server, events)):5.2f} µs")


if __name__ == "__main__":
    main()
