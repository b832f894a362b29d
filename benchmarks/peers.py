"""Four systems that relay messages, as one pair of connections sees them: what each protocol costs to speak.

Every class has the same shape, so that what differs is the protocol: `command` starts the server, `greet` introduces
the two ends, `request` encodes one message, `answers` and `deliveries` count what came back to the two ends.
Requests are spelled beforehand and whatever comes back is compared with what must come, in runs, so the cost of one
message is that of a slice and a comparison. Nothing here measures.
"""

import re
import socket
import sys
from pathlib import Path

CYCLE = 4096  # requests spelled beforehand for each pair; then they repeat
RECEIVE_BYTES = 64 << 10
DIAL_S = 10.0


class Ring:
    """Frames of one width, spelled beforehand and repeating: any run of them is one slice."""

    def __init__(self, frame, longest_run: int):
        frames = [frame(n % CYCLE) for n in range(CYCLE + longest_run)]
        self.width = len(frames[0])
        self._bytes = b"".join(frames)
        assert len(self._bytes) == self.width * len(frames), "frames of a ring have one width"

    def run(self, start: int, count: int) -> bytes:
        at = start % CYCLE * self.width
        return self._bytes[at : at + count * self.width]


class Pair:
    """Two connections to one system, and how far the conversation over them has come. A system is a subclass.

    `promise` says what its price buys; `answers` and `deliveries` return how many of the bytes were whole frames.
    """

    name = promise = ""

    def __init__(self, port: int, number: int, in_flight: int, args):
        self.number, self.in_flight = number, in_flight
        self.acknowledge_every = args.acknowledge_every
        self.who = b"%03d" % number
        self.payloads = Ring(lambda n: (b"%s.%04d." % (self.who, n)).ljust(args.payload, b"x"), in_flight)
        self.requests = Ring(self.request, in_flight)
        self.sender, self.recipient = dial(port), dial(port)
        self.greet()
        self.sent = self.answered = self.delivered = 0
        self.going = True
        self._of_sender = self._of_recipient = b""  # what an unfinished frame has brought so far

    @property
    def done(self) -> int:
        return min(self.answered, self.delivered)

    def hear_sender(self) -> None:
        data = self._of_sender + received(self.sender)
        used = self.answers(data)
        self._of_sender = data[used:]
        self.go_on()

    def hear_recipient(self) -> None:
        data = self._of_recipient + received(self.recipient)
        used, thanks = self.deliveries(data)
        self._of_recipient = data[used:]
        if thanks:
            send(self.recipient, thanks)
        self.go_on()

    def go_on(self) -> None:
        """Send as many messages as are done and not yet replaced."""
        free = self.done + self.in_flight - self.sent
        if free and self.going:
            send(self.sender, self.requests.run(self.sent, free))
            self.sent += free

    def check(self, got: bytes, expected: bytes) -> None:
        if got != expected:
            raise AssertionError(f"{self.name}: pair {self.number} expected {expected[:80]} and got {got[:80]}")

    def close(self) -> None:
        self.sender.close()
        self.recipient.close()


# ---- the systems ------------------------------------------------------------------------------------------------


class ChatlabLoop(Pair):
    """Lines with tags, as our client sends them. `#1001|6|b000|text`, `#1001|sent|1|yes`, `arrived|1|a000|no|text`."""

    name, promise = "chatlab loop/text", "kept until acknowledged: {}, as one request, which is answered"
    engine = "loop"

    @classmethod
    def command(cls, port: int, folder: Path) -> list:
        return [sys.executable, "-c", SERVE, cls.engine, port]

    def request(self, n: int) -> bytes:
        return b"#%d|6|b%s|%s\n" % (1001 + n, self.who, self.payloads.run(n, 1))

    def greet(self) -> None:
        self.tags = Ring(lambda n: b"%d" % (1001 + n), self.in_flight)
        self._sent_line = re.compile(rb"#(\d+)\|sent\|\d+\|yes\n")
        self._line = re.compile(rb"arrived\|\d+\|a%s\|no\|(.*)\n|#1\|done\n" % self.who)
        self.acknowledged = 0
        introduce(self.sender, b"1|a%s\n" % self.who, b"account|")
        introduce(self.recipient, b"1|b%s\n" % self.who, b"account|")

    def answers(self, data: bytes) -> int:
        used = data.rfind(b"\n") + 1
        tags = self._sent_line.findall(data, 0, used)
        self.check_lines(data, used, tags)
        self.check(b"".join(tags), self.tags.run(self.answered, len(tags)))
        self.answered += len(tags)
        return used

    def deliveries(self, data: bytes) -> tuple[int, bytes]:
        used = data.rfind(b"\n") + 1
        found = self._line.findall(data, 0, used)
        self.check_lines(data, used, found)
        texts = [text for text in found if text]  # empty where an acknowledgement was answered
        self.check(b"".join(texts), self.payloads.run(self.delivered, len(texts)))
        self.delivered += len(texts)
        if self.delivered - self.acknowledged < self.acknowledge_every:
            return used, b""
        self.acknowledged = self.delivered
        return used, b"#1|8|%d\n" % self.acknowledged

    def check_lines(self, data: bytes, used: int, understood: list[bytes]) -> None:
        if data.count(b"\n", 0, used) != len(understood):
            raise AssertionError(f"{self.name}: pair {self.number} got a line that was not asked for: {data[:used]}")


class ChatlabThreads(ChatlabLoop):
    name, promise = "chatlab threads/text", "the same, with two threads for each connection"
    engine = "threads"


class Redis(Pair):
    """PUBLISH and SUBSCRIBE, without persistence. Every frame has one width, so counting is dividing."""

    name, promise = "Redis", "handed to whoever is subscribed, then forgotten"

    @staticmethod
    def command(port: int, folder: Path) -> list:
        options = {"--port": port, "--bind": "127.0.0.1", "--save": "", "--appendonly": "no", "--dir": folder}
        return ["redis-server", *(word for option in options.items() for word in option)]

    def request(self, n: int) -> bytes:
        return bulk(b"PUBLISH", b"b" + self.who, self.payloads.run(n, 1))

    def greet(self) -> None:
        self.pushes = Ring(lambda n: bulk(b"message", b"b" + self.who, self.payloads.run(n, 1)), self.in_flight)
        introduce(self.recipient, bulk(b"SUBSCRIBE", b"b" + self.who), b"*3\r\n$9\r\nsubscribe")

    def answers(self, data: bytes) -> int:
        count = len(data) // 4
        self.check(data[: count * 4], b":1\r\n" * count)
        self.answered += count
        return count * 4

    def deliveries(self, data: bytes) -> tuple[int, bytes]:
        count = len(data) // self.pushes.width
        used = count * self.pushes.width
        self.check(data[:used], self.pushes.run(self.delivered, count))
        self.delivered += count
        return used, b""


class Mosquitto(Pair):
    """MQTT 3.1.1 at QoS 1: both ends acknowledge every single message, a batch of them in one write."""

    name, promise = "Mosquitto QoS 1", "kept until acknowledged, every one by itself"

    @staticmethod
    def command(port: int, folder: Path) -> list:
        config = folder / "mosquitto.conf"
        config.write_text(
            f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nlog_dest none\nsys_interval 0\n"
            "max_inflight_messages 0\nmax_queued_messages 0\nset_tcp_nodelay true\n"
        )
        return ["mosquitto", "-c", config]

    def request(self, n: int) -> bytes:
        topic = b"b" + self.who
        return packet(0x32, field(topic) + (1 + n).to_bytes(2) + self.payloads.run(n, 1))

    def greet(self) -> None:
        topic = b"b" + self.who
        self.pubacks = Ring(lambda n: b"\x40\x02" + (1 + n).to_bytes(2), self.in_flight)
        opening = re.escape(self.request(0)[: -self.payloads.width - 2])
        self._publish = re.compile(opening + rb"(..)(.{%d})" % self.payloads.width, re.DOTALL)
        for end, name in (self.sender, b"a" + self.who), (self.recipient, topic):
            introduce(end, packet(0x10, field(b"MQTT") + b"\x04\x02\x00\x00" + field(name)), b"\x20\x02\x00\x00")
        introduce(self.recipient, packet(0x82, b"\x00\x01" + field(topic) + b"\x01"), b"\x90\x03\x00\x01\x01")

    def answers(self, data: bytes) -> int:
        count = len(data) // 4
        self.check(data[: count * 4], self.pubacks.run(self.answered, count))
        self.answered += count
        return count * 4

    def deliveries(self, data: bytes) -> tuple[int, bytes]:
        count = len(data) // self.requests.width
        pushes = self._publish.findall(data, 0, count * self.requests.width)
        self.check(b"".join([text for _, text in pushes]), self.payloads.run(self.delivered, count))
        self.delivered += count
        return count * self.requests.width, b"".join([b"\x40\x02" + id for id, _ in pushes])


SYSTEMS = {"loop": ChatlabLoop, "threads": ChatlabThreads, "redis": Redis, "mosquitto": Mosquitto}

SERVE = """
import sys
from chatlab import resolve
from chatlab.chat.hub import Hub

resolve("text").serve(Hub(), sys.argv[1], port=int(sys.argv[2]))
sys.stdin.read()
"""


def bulk(*words: bytes) -> bytes:
    """A Redis array of strings: a command, and a pushed message too."""
    return b"*%d\r\n" % len(words) + b"".join([b"$%d\r\n%s\r\n" % (len(word), word) for word in words])


def field(text: bytes) -> bytes:
    return len(text).to_bytes(2) + text


def packet(kind: int, body: bytes) -> bytes:
    """An MQTT packet; its length is spelled in digits of 7 bits, the lowest first."""
    digits, rest = bytearray(), len(body)
    while rest > 127:
        digits.append(rest & 127 | 128)
        rest >>= 7
    return bytes([kind, *digits, rest]) + body


# ---- sockets ----------------------------------------------------------------------------------------------------


def dial(port: int) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port), timeout=DIAL_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def introduce(sock: socket.socket, words: bytes, expected: bytes) -> None:
    sock.sendall(words)
    answer = sock.recv(RECEIVE_BYTES)
    if not answer.startswith(expected):
        raise AssertionError(f"a server greeted with {answer!r}, not {expected!r}")


def received(sock: socket.socket) -> bytes:
    data = sock.recv(RECEIVE_BYTES)
    if not data:
        raise ConnectionError("a server closed a connection")
    return data


def send(sock: socket.socket, data: bytes) -> None:
    if sock.send(data) != len(data):
        raise BufferError("a socket took only a part: so much in flight is more than this generator can drive")
