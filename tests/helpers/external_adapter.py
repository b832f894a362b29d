"""The adapter for the server beside it: a foreign chat, brought in so that it can be served, checked and counted."""

import sys
from pathlib import Path

from chatlab import ExternalServer, ProtocolError
from chatlab.messages import Account, Arrived, CreateAccount, LogIn, Pong, Refused, Send, Sent

SAYS = {
    CreateAccount: lambda r: ("hello", r.name),
    LogIn: lambda r: ("back", r.account),
    Send: lambda r: ("to", r.to, r.text),
}
MEANS = {
    "welcome": lambda name: Account(1, name),
    "sent": lambda when: Sent(0, delivered=when == "now"),
    "taken": lambda name: Refused("NAME_TAKEN", name),
    "unknown": lambda name: Refused("NO_SUCH_ACCOUNT", name),
}


class Bazaar(ExternalServer):
    name = "bazaar"
    command = [sys.executable, str(Path(__file__).with_name("external_server.py")), "{port}"]
    port_pattern = r"open at (\d+)"
    verbs = "create_account log_in send receive async fixed_port"

    def encode(self, request):
        body = "\t".join(SAYS[type(request)](request)).encode()
        return b"%04d" % len(body) + body

    def frame_end(self, buffer, start, searched):
        return start + 4 + int(buffer[start : start + 4]) if len(buffer) >= start + 4 else 0

    def decode(self, frame, asked):
        kind, first, rest = frame[4:].decode().split("\t", 2)
        if kind == "msg":
            return Arrived(0, first, rest)
        if first not in MEANS:
            raise ProtocolError(f"no answer is called {first}")
        return MEANS[first](rest)


class CarelessBazaar(Bazaar):
    name = "careless bazaar"
    command = [*Bazaar.command, "careless"]


class ForkingBazaar(ExternalServer):
    """A server with a process for each connection, which takes 2 ms of the processor for each ping."""

    name = "forking bazaar"
    command = [sys.executable, str(Path(__file__).with_name("forking_server.py")), "{port}"]
    verbs = "create_account ping async fixed_port"

    def encode(self, request):
        return b"hello\n" if isinstance(request, CreateAccount) else b"ping\n"

    def decode(self, frame, asked):
        return Account(1, asked.name) if isinstance(asked, CreateAccount) else Pong()
