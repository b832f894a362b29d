"""One script, carried in every way: what each user asked, was answered and heard must be equal, word for word.

Each protocol is the others' oracle, each engine the other's, and a server in a process of its own is that of one in a
thread. The scripts take turns by what they hear; where somebody is away and hears nothing, by a flag.
"""

from functools import cache
from threading import Event

import pytest

import chatlab
from chatlab.messages import Arrived, ChatError, Entered, Heard, Left

PATIENCE_S = 10.0


class Flags:
    """What one script waits for and another script brings about."""

    def __init__(self):
        self.dora_is_away, self.dora_has_mail, self.carla_has_mail = Event(), Event(), Event()


def refused(verb, *args, **options):
    try:
        verb(*args, **options)
    except ChatError:
        return  # which one, the transcript says
    raise AssertionError(f"{verb.__name__}{args} was not refused")


def hear(me, *kinds):
    for kind in kinds:
        event = me.receive(PATIENCE_S)
        assert type(event) is kind, f"{me.name} heard {event}"


def ada(me, flags):
    refused(me.create_account, "ada")
    refused(me.log_in, "bert")
    refused(me.send, "nobody", "are you there?")
    me.ping()
    me.list_accounts("*")
    me.list_accounts("b?rt")
    me.list_accounts("*", after="ada", limit=1)
    me.deposit(100)
    me.withdraw(30, request_id="rent")
    me.withdraw(30, request_id="rent")  # the same one
    refused(me.deposit, 7, request_id="rent")
    refused(me.withdraw, 1_000)
    refused(me.deposit, -5)
    refused(me.deposit, 2**63 - 1)
    me.balance()
    me.send("ada", "note to self")
    hear(me, Arrived)
    me.send("bert", "erste Zeile\nzweite | mit \\ Strich\r\n")
    me.send("bert", "Grüße, 你好, שלום, 🙂, \0 and #7|")
    me.send("bert", "")
    me.send("bert", "once", request_id="a")
    me.send("bert", "once", request_id="a")
    hear(me, Arrived)  # bert has it all
    refused(me.send, "bert", "x" * 70_000)
    refused(me.say, "in no room")
    me.join("café")
    me.send("bert", "come in")
    hear(me, Entered)
    me.say("welcome | all")
    hear(me, Heard, Left)
    me.leave()
    flags.dora_is_away.wait(PATIENCE_S)
    me.send("dora", "one for later")
    me.send("dora", "and another")
    flags.dora_has_mail.set()
    me.send("carla", "you will not read this")
    flags.carla_has_mail.set()
    hear(me, Arrived)  # it came back
    me.acknowledge(3)
    me.log_out()
    refused(me.balance)
    refused(me.unread)
    me.log_in("ada")
    me.delete_messages([98, 99])
    me.delete_account()
    refused(me.log_in, "ada")


def bert(me, flags):
    hear(me, *[Arrived] * 4)
    me.send("ada", "four, in order")
    hear(me, Arrived)
    me.join("café")
    hear(me, Heard)
    me.say("thank you, ẞ")
    me.leave()
    me.unread(after=99)


def carla(me, flags):
    """Deletes her account with a message in it that nobody has shown her."""
    me.deposit(5)
    flags.carla_has_mail.wait(PATIENCE_S)
    me.delete_account()
    refused(me.balance)
    me.create_account("carla")  # a newcomer, who inherits nothing
    me.balance()
    me.unread()


def dora(me, flags):
    """Is away while her mail comes, and reads it in pages."""
    me.log_out()
    refused(me.create_account, "ada")
    flags.dora_is_away.set()
    flags.dora_has_mail.wait(PATIENCE_S)
    me.log_in("dora")
    me.unread(limit=1)
    me.unread(after=1)
    me.acknowledge(2)
    me.unread()
    me.list_accounts("d*")


@cache
def transcript(protocol, engine, where):
    flags = Flags()
    scripts = {each.__name__: lambda me, each=each: each(me, flags) for each in (ada, bert, carla, dora)}
    with chatlab.serve(protocol, engine=engine, where=where, name="of the transcripts") as server:
        return chatlab.simulate(server, scripts).transcript()


WAYS = [(p, e, w) for p in ("text", "grpc", "grpc-stream") for e in ("threads", "loop") for w in ("thread", "process")]


@pytest.mark.parametrize("way", WAYS[1:], ids="-".join)
def test_the_transcript_is_equal(way):
    assert transcript(*way) == transcript(*WAYS[0])


@pytest.mark.parametrize("protocol", ["json", "binary", "protobuf"])
def test_the_transcript_is_equal_in_every_spelling(protocol):
    assert transcript(protocol, "loop", "thread") == transcript(*WAYS[0])


def test_users_of_different_protocols_share_one_transcript():
    flags = Flags()
    scripts = {each.__name__: lambda me, each=each: each(me, flags) for each in (ada, bert, carla, dora)}
    speak = {"ada": "grpc", "bert": "text", "carla": "grpc-stream", "dora": "grpc"}
    with chatlab.serve("text", "grpc", "grpc-stream", name="of the transcripts") as server:
        assert chatlab.simulate(server, scripts, protocol=speak).transcript() == transcript(*WAYS[0])


def test_the_transcript_says_what_the_script_is_about():
    said = "\n".join(line for lines in transcript(*WAYS[0]).values() for line in lines)
    of_accounts = "NAME_TAKEN ALREADY_LOGGED_IN NO_SUCH_ACCOUNT NOT_LOGGED_IN"
    of_what_they_do = "OVERDRAFT OVERFLOW REQUEST_ID_REUSED TEXT_TOO_LONG NOT_IN_ROOM"
    assert [code for code in f"{of_accounts} {of_what_they_do}".split() if code not in said] == []
    assert "returned=True" in said and "Mail(messages=(Arrived(number=1, sender='ada'" in said
