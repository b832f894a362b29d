"""Who is let in, and who is caught: every protocol of ours passes every case, and every planted mistake is named.

Where a mistake cannot be made by a codec, because `Connection` does that work for it, it is planted in what carries:

    4   a sleep between sends             a client that sleeps
    1   one recv taken for one message    a Connection that believes it (besides two codecs that do)
    18  no upper bound on a length        Connection holds the limit; a codec can only keep the length to itself
    20  length and data in two writes     a client without the lock
"""

import code
import functools
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from external_adapter import Bazaar, CarelessBazaar
from mutants import PLANTED
from raw_client import until
from student_codec import StudentCodec

import chatlab
from chatlab import socket_impl
from chatlab.chat.service import Chat
from chatlab.codecs.connection import Connection
from chatlab.codecs.text import TextCodec
from chatlab.conformance import chat_cases, codec_cases, fixtures, framing_cases, robustness_cases, runner
from chatlab.conformance.fixtures import server_case
from chatlab.conformance.framing_cases import CountingBuffer
from chatlab.conformance.report import Case, CaseTimedOut, Result
from chatlab.conformance.runner import CODEC_CASES, SERVER_CASES
from chatlab.messages import Acknowledge, Arrived, Balance, Deleted, Done, Mail, ProtocolError, Sent
from chatlab.socket_impl import SocketImplementation
from chatlab.transport.client import Client
from chatlab.transport.socket_client import SocketTransport

HELPERS = Path(__file__).parents[1] / "helpers"
DOC = Path(__file__).parents[2] / "docs" / "bring_your_own.md"


# ---- ours pass --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "protocol", ["text", "json", "binary", "protobuf", "grpc", "grpc-stream", StudentCodec], ids=str
)
def test_every_protocol_of_ours_passes_every_case(protocol, cheap_hashes):
    report = chatlab.check(protocol)
    assert report.passed, str(report)
    assert {result.case for result in report.skipped} <= {"spans tile the frame"}
    served = [result for result in report.results if result.case.endswith(("(loop)", "(threads)"))]
    assert len(served) == 2 * (len(SERVER_CASES) + 1)


def test_a_foreign_server_is_tried_on_the_verbs_that_it_has():
    report = chatlab.check(Bazaar)
    assert report.passed, str(report)
    assert report["a message to oneself arrives (loop)"].outcome == "passed"
    assert report["a balance obeys its rules (loop)"].got == "it has no balance and no deposit and no withdraw"


def test_a_careless_foreign_server_is_caught(monkeypatch):
    monkeypatch.setattr(fixtures, "WAIT_S", 1.5)
    report = chatlab.check(CarelessBazaar)
    assert {result.case for result in report.failed} == {
        "every text arrives unchanged (loop)",
        "two log ins live side by side (loop)",
    }


# ---- planted mistakes are caught --------------------------------------------------------------------------------


@pytest.mark.parametrize("mistake", PLANTED, ids=lambda planted: planted.mistake)
def test_a_planted_mistake_is_caught_and_named(mistake):
    result = chatlab.check(mistake.codec, only=mistake.case, timeout_s=1.5)[mistake.case]
    assert result.outcome == "failed", result
    assert mistake.hint in result.hint, result
    assert result.got, result


def test_every_codec_case_catches_some_planted_mistake():
    """A case that nothing fails would prove nothing. Spans and the four names are tried below."""
    tried_below = {"has what a codec needs", "spans tile the frame"}
    assert {each.name for each in CODEC_CASES} - {planted.case for planted in PLANTED} == tried_below


def test_a_codec_without_a_name_and_spans_that_leave_a_hole_are_caught():
    class Nameless(StudentCodec):
        name = ""

    class Holes(TextCodec):
        def spans(self, frame):
            return super().spans(frame)[1:]

    assert "what users type" in chatlab.check(Nameless, only="needs")["has what a codec needs"].hint
    assert chatlab.check(Holes, only="spans").failed


class Sleeper(SocketTransport):
    def _send(self, request, tag, deadline):
        time.sleep(0.03)
        super()._send(request, tag, deadline)


class TwoWrites(SocketTransport):
    def _send(self, request, tag, deadline):
        frame = self._connection.send(tag, request)
        self._socket.sendall(frame[:4])
        time.sleep(0.0005)
        self._socket.sendall(frame[4:])


class Carried(SocketImplementation):
    """Our servers with another client, or another chat behind the door."""

    transport, chat, engines = SocketTransport, Chat, ("loop",)

    def __init__(self):
        super().__init__(StudentCodec())

    def serve(self, hub, **options):
        hub.chat = self.chat(limits=hub.limits)
        return super().serve(hub, **options)

    def connect(self, address):
        return Client(self.name, address, functools.partial(self.transport, self.codec))


def caught(what: type, case: str, **planted) -> Result:
    """The case's result for an implementation in which something is planted."""
    carried = type(what.__name__, (Carried,), planted)()
    return chatlab.check(carried, only=case)[f"{case} (loop)"]


@pytest.fixture
def soon_certain(monkeypatch):
    """What does not come is not waited for as long as with somebody's real server."""
    monkeypatch.setattr(fixtures, "WAIT_S", 0.5)


def test_a_sleep_between_sends_is_caught():
    assert "A sleep between sends" in caught(Sleeper, "no answer waits for a timer", transport=Sleeper).hint


def test_length_and_data_in_two_writes_without_a_lock_are_caught():
    result = caught(TwoWrites, "frames do not interleave", transport=TwoWrites)
    assert result.outcome == "failed" and "two writes" in result.hint


class OneRecv(Connection):
    def receive(self, data):
        end = self.codec.frame_end(data, 0, 0)
        return [self._read(bytes(data[:end]))] if 0 < end <= len(data) else []


@pytest.mark.parametrize("case", ["many requests in one segment", "one byte in each segment"])
def test_one_recv_taken_for_one_message_is_caught_in_a_server(monkeypatch, soon_certain, case):
    monkeypatch.setattr(socket_impl, "Connection", OneRecv)
    monkeypatch.setattr("chatlab.transport.socket_client.CLOSE_TIMEOUT_S", 0.1)
    carried = Carried()
    carried.engines = ("threads",)
    result = chatlab.check(carried, only=case)[f"{case} (threads)"]
    assert result.outcome == "failed" and ("in one segment" in result.hint or "One recv" in result.hint)


# ---- planted in what the chat means -----------------------------------------------------------------------------


class AcceptsAnybody(Chat):
    def send(self, session, request):
        return (Sent(1), []) if self._lookup(request.to) is None else super().send(session, request)


class NotToOneself(Chat):
    def send(self, session, request):
        reply, posts = super().send(session, request)
        return reply, [(other, event) for other, event in posts if other is not session]


class SecondStealsThePlace(Chat):
    def send(self, session, request):
        reply, posts = super().send(session, request)
        return reply, posts[-1:]


class NeverOffLine(Chat):
    def end_session(self, session):
        return []


class Overdrawn(Chat):
    def withdraw(self, session, request):
        after = self.store.balance(session.id) - request.amount
        self.store.set_balance(session.id, after)
        return Balance(after), []


class TwiceIsTwice(Chat):
    def _idempotent(self, session, request, act):
        return act(session, request)


class EmptiesAtPush(Chat):
    def send(self, session, request):
        reply, posts = super().send(session, request)
        if reply.delivered:
            self.store.acknowledge(self._find(request.to).id, reply.number)
        return reply, posts


class NeverEmpties(Chat):
    def acknowledge(self, session, request: Acknowledge):
        return Done(), []


class OpenMailboxes(Chat):
    def delete_messages(self, session, request):
        everybody = [self.store.by_name(name).id for name in self.store.names("", "")]
        return Deleted(sum(self.store.remove(id, request.numbers) for id in everybody)), []


class SearchesByRegex(Chat):
    def list_accounts(self, session, request):
        import re

        names = [
            name
            for name in self.store.names("", "")
            if re.fullmatch(request.pattern.replace("*", ".*").replace("?", "."), name)
        ]
        return super().list_accounts(session, request)[0].__class__(tuple(names)), []


class AnyName(Chat):
    def create_account(self, session, request, password_hash=""):
        return self._welcome(session, self.store.create(request.name, password_hash)), []


class SpeaksForAnybody(Chat):
    def _must_own(self, session, account):
        pass


class OnePage(Chat):
    def unread(self, session, request):
        return Mail(tuple([Arrived(m.number, m.sender, m.text) for m in self.store.mail(session.id)])), []


@pytest.mark.parametrize(
    "chat, case",
    [
        (AcceptsAnybody, "an unknown recipient is refused"),
        (NotToOneself, "a message to oneself arrives"),
        (SecondStealsThePlace, "two log ins live side by side"),
        (NeverOffLine, "a vanished client goes offline"),
        (Overdrawn, "a balance obeys its rules"),
        (TwiceIsTwice, "a repeated request is done once"),
        (EmptiesAtPush, "what was not shown is delivered again"),
        (NeverEmpties, "each message is shown once and in order"),
        (OpenMailboxes, "the mailbox of another user stays closed"),
        (SearchesByRegex, "only star and question mark are wildcards"),
        (AnyName, "impossible names are refused"),
        (SpeaksForAnybody, "the balance of another user stays closed"),
        (OnePage, "mail comes in pages"),
    ],
)
def test_a_mistake_in_what_the_chat_means_is_caught(soon_certain, chat, case):
    result = caught(chat, case, chat=chat)
    assert result.outcome == "failed" and result.hint, result


# ---- the report -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", [codec_cases, framing_cases, chat_cases, robustness_cases])
def test_every_case_of_a_file_is_in_its_list(module):
    cases = {value for value in vars(module).values() if isinstance(value, Case)}
    assert cases - {chat_cases.a_server_starts_and_answers} == set(module.CASES)
    assert len(set(module.CASES)) == len(module.CASES)


def test_one_failure_hides_no_other():
    class Two(StudentCodec):
        def encode(self, tag, message):
            return super().encode((tag and tag % 256) or None, message)

        def decode(self, frame):
            tag, message = super().decode(frame)
            if hasattr(message, "text"):
                raise KeyError("text")
            return tag, message

    report = chatlab.check(Two, timeout_s=5.0)
    assert {"tags of every size", "every message comes back", "garbage is a protocol error"} <= {
        r.case for r in report.failed
    }
    assert not report.passed and len(report.results) == len(CODEC_CASES) + len(SERVER_CASES)
    assert report["a balance obeys its rules"].outcome == "skipped"


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, MemoryError, RecursionError, AssertionError])
def test_whatever_a_codec_raises_is_a_failure_of_the_case(error):
    class Raises(StudentCodec):
        def encode(self, tag, message):
            raise error("boo")

    report = chatlab.check(Raises)
    assert report["every message comes back"].got.startswith(f"{error.__name__}: boo, raised in encode, line ")


def test_a_failure_tells_what_was_sent_what_came_back_and_a_hint():
    class Cuts(StudentCodec):
        def encode(self, tag, message):
            return super().encode(tag and tag % 1000, message)

    assert str(chatlab.check(Cuts, only="long frames")) == "student: 1 of 1 cases passed\n✓ long frames"
    told = str(chatlab.check(Cuts, only="tags")["tags of every size"]).splitlines()
    assert told[0] == "✗ tags of every size"
    assert told[1] == "    rule: A tag from 1 to 2**63 - 1, or none, comes back as it is, with every message."
    assert told[2].startswith('    sent: decode(b\'\\x00\\x00\\x00>["LogIn", 0, ')
    assert told[3].startswith(
        "    got: ProtocolError: not a message: a tag is a whole number from 1, not 0, raised in decode, line "
    )
    assert told[4] == "    hint: A request id (tag) that wraps or is cut: the answer then belongs to another question."


def test_a_mistake_in_a_value_is_no_mistake_in_the_framing():
    report = chatlab.check(WrapsTags)
    assert [result.case for result in report.failed] == ["tags of every size"]


class WrapsTags(StudentCodec):
    def encode(self, tag, message):
        return super().encode(tag and (tag - 1) % 1000 + 1, message)


def test_a_report_reads_the_same_each_time():
    first, second = (chatlab.check(TextCodec, only="in texts") for _ in range(2))
    assert first == second and repr(first) == repr(second) == "text: 4 of 4 cases passed"
    assert str(first).splitlines()[1] == "✓ delimiters in texts"
    assert "text: 4 of 4 cases passed" in first._repr_html_()


def test_a_hanging_codec_is_left_and_its_place_is_told():
    class Hangs(StudentCodec):
        def decode(self, frame):
            while True:
                pass

    start = time.monotonic()
    result = chatlab.check(Hangs, only="every message comes back", timeout_s=0.5)["every message comes back"]
    assert result.got.startswith("no end within 0.5 s, still in decode, line ") and "must advance" in result.hint
    assert time.monotonic() - start < 5


def test_a_slow_codec_is_no_hanging_one():
    class Slow(StudentCodec):
        def decode(self, frame):
            time.sleep(0.002)
            return super().decode(frame)

    start = time.monotonic()
    report = chatlab.check(Slow, only="tags of every size", timeout_s=0.5)
    assert report.passed, report
    assert time.monotonic() - start > 0.5


def test_a_search_up_to_a_bound_is_no_search_of_the_whole_buffer():
    class Netstring(StudentCodec):
        def encode(self, tag, message):
            body = super().encode(tag, message)[4:]
            return b"%d:%b," % (len(body), body)

        def frame_end(self, buffer, start, searched):
            colon = buffer.find(b":", start, start + 9)
            if (colon < 0 and len(buffer) > start + 8) or (
                not buffer[start : max(colon, start)].isdigit() and colon >= 0
            ):
                raise ProtocolError("a netstring begins with its length")
            return colon + 2 + int(buffer[start:colon]) if colon >= 0 else 0

        def decode(self, frame):
            return super().decode(b"1234" + frame[frame.index(b":") + 1 : -1])

    assert chatlab.check(Netstring, only="searched once").passed


@pytest.mark.parametrize(
    "look, looked_at",
    [
        (lambda b: b.find(b"x", 2, 5), 3),
        (lambda b: b.find(b"x", -4, -1), 3),
        (lambda b: b.find(b":"), 3),
        (lambda b: b.rfind(b":"), 8),
        (lambda b: b.find(b"x", 7, 3), 0),
        (lambda b: b.count(b":", 5), 5),
        (lambda b: b.find(b"x", None, 100), 10),
        (lambda b: b.split(), 10),
    ],
)
def test_only_bytes_that_are_looked_at_are_counted(look, looked_at):
    buffer = CountingBuffer(b"aa:aaaaaaa")
    look(buffer)
    assert buffer.seen == looked_at


def test_what_is_neither_a_codec_nor_an_implementation_is_said_at_once():
    with pytest.raises(TypeError, match="neither an Implementation"):
        chatlab.check(object())
    with pytest.raises(ValueError, match="no protocol is called 'morse'"):
        chatlab.check("morse")


def test_cases_that_nobody_knows_are_no_success():
    with pytest.raises(ValueError, match="no case is called 'typo'"):
        chatlab.check("text", only="typo")


class Laborious(StudentCodec):
    """Right, and slow: it looks at each byte in Python, many times."""

    def encode(self, tag, message):
        return self._worked_on(super().encode(tag, message))

    def decode(self, frame):
        return super().decode(self._worked_on(frame))

    def _worked_on(self, frame):
        for _ in range(3):
            sum(byte & 1 for byte in frame)
        return frame


@pytest.mark.timing
@pytest.mark.slow
def test_a_slow_but_correct_codec_passes_on_a_busy_machine(monkeypatch):
    """With so little time for everything, that without a measure of its pace it would fail."""
    monkeypatch.setattr(fixtures, "WAIT_S", 0.2)
    implementation = SocketImplementation(Laborious())
    implementation.engines = ("loop",)
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(4)]
    try:
        for only in "a slow reader", "no answer waits", "no pattern", "frames do not":
            report = chatlab.check(implementation, only=only, timeout_s=1)
            assert report.passed, report
    finally:
        for process in busy:
            process.kill()
            process.wait()


def test_a_failure_that_came_too_late_is_tried_again_where_the_machine_became_slower(monkeypatch):
    paces = iter([1.0, 3.0, 3.0])
    tries = []

    def measure_pace(fixture):
        before, fixture.slowness = fixture.slowness, next(paces)
        return fixture.slowness >= 2 * before

    @server_case("Too slow.", "")
    def comes_late(scenario):
        """It comes in time."""
        tries.append(scenario.wait_s)
        if scenario.wait_s < 2 * fixtures.WAIT_S:
            raise CaseTimedOut("a question", "no answer")

    monkeypatch.setattr(fixtures.ServerFixture, "measure_pace", measure_pace)
    monkeypatch.setattr(runner, "SERVER_CASES", (comes_late,))
    assert chatlab.check(Carried(), only="comes late").passed
    assert tries == [fixtures.WAIT_S, 3 * fixtures.WAIT_S]


def test_failures_of_one_cause_are_reported_together_with_one_hint():
    class NoBody(StudentCodec):
        def decode(self, frame):
            tag, message = super().decode(frame)
            return tag, message.body

    report = chatlab.check(NoBody)
    assert len(report.failed) > 10 and len(report.causes) < 5
    _first, *others = report.causes[0]
    for text in str(report), repr(report):
        assert text.count("hint: ") == len(report.causes)
        assert f"    and: {len(others)} more for the same cause: " in text and all(each.case in text for each in others)
    assert report._repr_html_().count("hint: ") == len(report.causes)


def test_a_server_that_does_not_start_is_one_failure_and_no_crash():
    class NoServer(Carried):
        def serve(self, hub, **options):
            raise OSError("no port for you")

    report = chatlab.check(NoServer(), only="oneself")
    assert report["a server starts and answers (loop)"].got.startswith("OSError: no port for you")
    assert report["a message to oneself arrives (loop)"].got == "there is no server to try it on"


# ---- a reader's own protocol, everywhere ------------------------------------------------------------------------


def test_a_readers_codec_is_one_small_file():
    assert len((HELPERS / "student_codec.py").read_text().splitlines()) < 40
    adapter = (HELPERS / "external_adapter.py").read_text()
    assert len(adapter[adapter.index("SAYS") : adapter.index("class Careless")].splitlines()) <= 40


@pytest.mark.parametrize("where", ["thread", "process"])
def test_a_readers_codec_is_served_like_ours(where):
    with chatlab.serve("student_codec:StudentCodec", where=where) as server:
        trace = chatlab.simulate(
            server, {"ada": lambda c: c.send("bob", "hi"), "bob": lambda c: c.receive(timeout_s=5)}
        )
    assert [delivery.text for delivery in trace.deliveries] == ["hi"]


def test_a_readers_codec_goes_through_a_relay():
    with chatlab.serve(StudentCodec) as server, chatlab.relay(server) as relay:
        relay.connect().create_account("ada")
        frame = StudentCodec().encode(1, chatlab.messages.CreateAccount("ada"))
        assert b"".join(chunk.data for chunk in relay.tape if chunk.direction == "up") == frame


def test_a_foreign_server_is_served_and_taped_like_ours():
    with chatlab.serve(Bazaar) as server, chatlab.relay(server) as relay:
        _ada, bob = server.users("ada", "bob")
        eve = relay.connect()
        eve.create_account("eve")
        eve.send("bob", "hi\tthere")
        assert bob.receive(timeout_s=5).text == "hi\tthere"
        assert [chunk.data for chunk in relay.tape if chunk.direction == "up"] == [
            b"0009hello\teve",
            b"0015to\tbob\thi\tthere",
        ]
        assert "bazaar open at" in str(server.log)


def test_a_foreign_server_that_says_nothing_is_an_oserror():
    class Mute(Bazaar):
        name, command = "mute", [sys.executable, "-c", "print('no')"]

    with pytest.raises(OSError, match="mute did not print its port; its last line was 'no'"):
        chatlab.serve(Mute)


def test_a_verb_that_a_foreign_server_lacks_is_refused_by_name():
    with chatlab.serve(Bazaar) as server:
        [ada] = server.users("ada")
        with pytest.raises(chatlab.ChatError, match="BAD_VALUE: bazaar has no list_accounts"):
            ada.list_accounts("*")


def test_the_program_ends_with_its_door():
    server = chatlab.serve(Bazaar)
    ada = server.connect()
    ada.create_account("ada")
    server.close()
    with pytest.raises(chatlab.ConnectionLost):
        chatlab.connect(*ada.address, protocol=Bazaar)


def test_a_program_behind_a_shell_ends_with_its_door():
    class Shelled(Bazaar):
        command = ["sh", "-c", f"{sys.executable} {HELPERS / 'external_server.py'} {{port}}; true"]

    server = chatlab.serve(Shelled)
    address = server.address
    server.close()
    with pytest.raises(chatlab.ConnectionLost):
        chatlab.connect(*address, protocol=Bazaar)


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="a system without process groups")
def test_a_program_behind_a_shell_ends_when_we_are_killed():
    cell = f"import sys; sys.path.insert(0, {str(HELPERS)!r}); import chatlab, external_adapter as bazaar\n"
    cell += "class Shelled(bazaar.Bazaar): command = ['sh', '-c', ' '.join(bazaar.Bazaar.command) + '; true']\n"
    cell += "print(chatlab.serve(Shelled).address[1], flush=True); sys.stdin.read()"
    kernel = subprocess.Popen([sys.executable, "-c", cell], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with kernel:
        port = int(kernel.stdout.readline())
        kernel.kill()
    until(lambda: socket.socket().connect_ex(("127.0.0.1", port)) != 0)


def test_of_what_a_program_says_its_door_keeps_the_last_line():
    class Chatty(Bazaar):
        command = [sys.executable, "-c", "for n in range(500): print('line', n)"]

    with pytest.raises(OSError, match="its last line was 'line 499'"):
        chatlab.serve(Chatty)


def test_a_verb_that_nobody_knows_is_refused_when_the_adapter_is_written():
    with pytest.raises(
        ValueError, match="Hasty.verbs has 'create_acount'; known are acknowledge, async, balance, .*withdraw"
    ):
        type("Hasty", (Bazaar,), {"verbs": "create_acount send"})


@pytest.mark.parametrize("command", [[], "./bazaar {port}"])
def test_a_foreign_server_is_started_by_a_list_of_words(command):
    with pytest.raises(ValueError, match="bazaar is started by its command, a list of words, not by"):
        chatlab.serve(type("Commandless", (Bazaar,), {"command": command}))


# ---- the page ---------------------------------------------------------------------------------------------------


def blocks(language: str) -> list[str]:
    return [part.split("```")[0] for part in DOC.read_text().split(f"```{language}\n")[1:]]


def test_the_page_shows_the_very_files():
    codec, adapter = blocks("python")[0], next(block for block in blocks("python") if "class Bazaar" in block)
    assert codec == (HELPERS / "student_codec.py").read_text()
    assert adapter[adapter.index("SAYS") :].strip() in (HELPERS / "external_adapter.py").read_text()


def test_the_pages_adapter_works_as_it_is_pasted():
    names = {"__name__": "pasted", "__file__": str(HELPERS / "pasted.py")}
    exec(next(block for block in blocks("python") if "class Bazaar" in block), names)
    with chatlab.serve(names["Bazaar"]) as server:
        assert server.connect().create_account("ada").name == "ada"


def test_what_the_page_types_works_and_prints_what_it_says(capsys, monkeypatch):
    monkeypatch.chdir(HELPERS)
    console = code.InteractiveConsole()
    for block in blocks("pycon"):
        for step in block.split(">>> ")[1:]:
            lines = step.rstrip("\n").split("\n")
            typed = [lines[0], *(line.removeprefix("... ") for line in lines[1:] if line.startswith("... "))]
            wanted = [line for line in lines[1:] if not line.startswith("... ")]
            for line in typed:
                console.push(line)
            if lines[0].startswith("class"):
                console.push("")
            said = capsys.readouterr()
            assert (said.out.strip(), said.err) == ("\n".join(wanted).strip(), "")


def test_the_command_line_checks_a_module_of_the_readers(tmp_path):
    (tmp_path / "mine.py").write_text((HELPERS / "student_codec.py").read_text())
    done = subprocess.run(
        [sys.executable, "-m", "chatlab", "check", "mine:StudentCodec", "--only", "in texts"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "student: 4 of 4 cases passed",
        "✓ delimiters in texts",
        "✓ line ends in texts",
        "✓ quotes braces and backslashes in texts",
        "✓ control characters in texts",
    ]


def test_the_command_line_fails_where_a_case_fails():
    words = [sys.executable, "-m", "chatlab", "check", "mutants:WrappingTag", "--only", "tags"]
    done = subprocess.run(words, cwd=HELPERS, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "✗ tags of every size" in done.stdout and not done.stderr
