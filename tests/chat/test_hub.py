"""Requests under the lock, outboxes, password checks that take their time, and what requests leave over."""

import pickle
import threading
import time

import pytest
from raw_client import DEADLINE_S, until

from chatlab.chat.hub import HASHING_THREADS, SERVER_FAILED, Hub, Outbox
from chatlab.chat.service import Chat
from chatlab.chat.storage import MemoryStore
from chatlab.chat.storage_sqlite import SqliteStore
from chatlab.chat.weight import NAME
from chatlab.messages import (
    Account,
    Acknowledge,
    Arrived,
    Balance,
    ChatError,
    Closed,
    CreateAccount,
    DeleteAccount,
    DeleteMessages,
    Deposit,
    Entered,
    Goodbye,
    Heard,
    Join,
    Joined,
    Left,
    Limits,
    LogIn,
    LogOut,
    Mail,
    Malformed,
    Ping,
    Pong,
    Refused,
    Said,
    Say,
    Send,
    Sent,
    Unread,
)
from chatlab.transport.hosting import Log


class Voice:
    """A session with an outbox of its own. `hears` waits for what comes next."""

    def __init__(self, hub, name=""):
        self.hub, self.tag, self._taken = hub, 0, []
        self._woken = threading.Event()
        self.outbox = Outbox(self._woken.set, hub.limits)
        self.session = hub.open_session(self.outbox, "(here)")
        if name:
            self.asks(CreateAccount(name))
            self.hears(1)

    def asks(self, *requests):
        """Ask without waiting; each request gets the next tag."""
        for request in requests:
            self.tag += 1
            self.hub.ask(self.session, self.tag, request)

    def hears(self, count: int):
        """The next messages of the outbox, with their tags."""
        deadline = time.monotonic() + DEADLINE_S
        while len(self._taken) < count:
            assert self._woken.wait(max(0, deadline - time.monotonic())), f"only {self._taken} came"
            self._woken.clear()
            self._taken += self.outbox.take()
        heard, self._taken = self._taken[:count], self._taken[count:]
        return heard

    def closes(self):
        self.hub.close_session(self.session)


@pytest.fixture
def hub():
    return Hub()


@pytest.fixture
def ada(hub):
    return Voice(hub, "ada")


@pytest.fixture
def bob(hub):
    return Voice(hub, "bob")


# ---- requests


def test_an_answer_carries_the_tag_of_its_request_whatever_the_tag_is(hub, ada):
    hub.ask(ada.session, "a tag", Ping())
    hub.ask(ada.session, None, Ping())
    assert ada.hears(2) == [("a tag", Pong()), (None, Pong())]


def test_a_refusal_is_an_answer(ada):
    ada.asks(Send("nobody", "hi"))
    assert ada.hears(1) == [(2, Refused("NO_SUCH_ACCOUNT", "there is no account 'nobody'"))]


def test_what_could_not_be_read_is_answered_in_its_place(ada):
    ada.asks(Ping(), Malformed("no such operation"), Ping())
    assert ada.hears(3) == [(2, Pong()), (3, Refused("MALFORMED", "no such operation")), (4, Pong())]


def test_when_an_answer_says_delivered_the_push_is_in_the_other_outbox(ada, bob):
    ada.asks(Send("bob", "hi"))
    assert ada.hears(1) == [(2, Sent(1, delivered=True))]
    assert len(bob.outbox) == 1
    assert bob.hears(1) == [(None, Arrived(1, "ada", "hi"))]


def test_a_push_comes_between_the_answers_and_displaces_none(ada, bob):
    bob.asks(Ping())
    ada.asks(Send("bob", "hi"))
    bob.asks(Ping())
    assert bob.hears(3) == [(2, Pong()), (None, Arrived(1, "ada", "hi")), (3, Pong())]


def test_a_message_to_oneself_is_answered_before_it_arrives(ada):
    ada.asks(Send("ada", "note"))
    assert [message for _, message in ada.hears(2)] == [Sent(1, True), Arrived(1, "ada", "note")]


def test_everybody_sees_one_order(hub):
    voices = [Voice(hub, f"v{n}") for n in range(4)]
    for voice in voices:
        voice.asks(Join())
    speakers = [
        threading.Thread(target=v.asks, args=[Say(f"{n}")] * 1 + [Say(f"{n}-{m}") for m in range(50)])
        for n, v in enumerate(voices)
    ]
    for speaker in speakers:
        speaker.start()
    for speaker in speakers:
        speaker.join(DEADLINE_S)
    heard = [[m.text for _, m in v.outbox.take() if isinstance(m, Heard)] for v in voices]
    for n, one in enumerate(heard):
        for other in heard[n + 1 :]:
            assert [text for text in one if text in other] == [text for text in other if text in one]


def test_concurrent_deposits_all_count(hub, ada):
    second = Voice(hub)
    second.asks(LogIn("ada"))
    depositors = [threading.Thread(target=v.asks, args=[Deposit(1)] * 500) for v in (ada, second)]
    for depositor in depositors:
        depositor.start()
    for depositor in depositors:
        depositor.join(DEADLINE_S)
    assert hub.chat.store.balance(1) == 1_000


def test_a_name_asked_for_by_many_at_once_goes_to_one(hub):
    voices = [Voice(hub) for _ in range(20)]
    rivals = [threading.Thread(target=v.asks, args=[CreateAccount("ada")]) for v in voices]
    for rival in rivals:
        rival.start()
    replies = [v.hears(1)[0][1] for v in voices]
    assert sorted(type(reply).__name__ for reply in replies) == ["Account"] + ["Refused"] * 19


def test_a_request_id_holds_against_a_repeat_on_another_connection(hub, ada):
    ada.asks(Deposit(5, request_id="rent"))
    ada.closes()
    again = Voice(hub)
    again.asks(LogIn("ada"), Deposit(5, request_id="rent"))
    assert again.hears(2)[1] == (2, Balance(5))


# ---- sessions


def test_a_session_that_closes_leaves_its_room_and_the_line(hub, ada, bob):
    ada.asks(Join())
    bob.asks(Join())
    bob.closes()
    assert [m for _, m in ada.hears(3)] == [Joined("lobby", ("ada",), 1), Entered("lobby", "bob"), Left("lobby", "bob")]
    ada.asks(Send("bob", "hi"), Say("alone"))
    assert [m for _, m in ada.hears(2)] == [Sent(1, delivered=False), Said(0)]


def test_closing_twice_is_fine(ada):
    ada.closes()
    ada.closes()


def test_closing_one_connection_of_an_account_leaves_the_other_on_line(hub, ada, bob):
    second = Voice(hub)
    second.asks(LogIn("bob"))
    second.closes()
    ada.asks(Send("bob", "hi"))
    assert ada.hears(1) == [(2, Sent(1, delivered=True))]
    assert bob.hears(1) == [(None, Arrived(1, "ada", "hi"))]


def test_the_number_of_sessions_is_bounded():
    hub = Hub(limits=Limits(sessions=2))
    first = Voice(hub)
    Voice(hub)
    with pytest.raises(ChatError) as refusal:
        Voice(hub)
    assert refusal.value.code == "SERVER_FULL"
    first.closes()
    Voice(hub)


def test_a_session_that_ends_gets_all_its_answers_first(ada):
    ada.asks(Ping())
    ada.hub.finish_session(ada.session)
    assert ada.outbox.closed
    assert ada.hears(1) == [(2, Pong())]


def test_what_is_asked_after_the_goodbye_is_not_carried_out(hub, ada):
    ada.outbox.end("the server stops")
    ada.asks(Deposit(5), CreateAccount("eve", "sesame"))
    assert hub.chat.store.balance(1) == 0
    assert ada.session.pending is None


def test_the_log_tells_who_came_and_who_went():
    log = Log()
    hub = Hub(log=log)
    ada = Voice(hub, "tesla")
    ada.closes()
    assert list(log) == ["Client (here) connected  [ tesla ]", "Client (here) is offline  [ tesla ]"]


def test_the_log_keeps_only_its_last_lines():
    log = Log(lines=2)
    for line in "abc":
        log(line)
    assert list(log) == ["b", "c"] and repr(log) == "<Log of 2 lines; print() it>"


# ---- outboxes


def test_an_outbox_wakes_its_writer_once_until_it_is_emptied():
    woken = []
    outbox = Outbox(lambda: woken.append("woken"))
    outbox.put(1, Pong())
    outbox.put(2, Pong())
    assert woken == ["woken"]
    assert outbox.take() == [(1, Pong()), (2, Pong())]
    outbox.put(3, Pong())
    assert woken == ["woken"] * 2


def test_an_outbox_over_its_count_says_goodbye_and_takes_nothing_more():
    outbox = Outbox(lambda: None, Limits(outbox=3))
    for tag in range(4):
        outbox.put(tag, Pong())
    ((tag, last),) = outbox.take()
    assert outbox.overflowed and outbox.closed
    assert tag is None and "too slowly: 4 messages" in last.reason and "mail is kept" in last.reason
    outbox.put(5, Pong())
    assert outbox.take() == []


def test_an_outbox_may_hold_exactly_its_limits():
    outbox = Outbox(lambda: None, Limits(outbox=3, outbox_bytes=3 * (NAME + 10)))
    for n in range(3):
        outbox.put(None, Arrived(n, "ada", "x" * 10))
    assert not outbox.overflowed and len(outbox) == 3


def test_an_outbox_is_bounded_in_the_text_it_holds_too():
    outbox = Outbox(lambda: None, Limits(outbox_bytes=3 * (NAME + 10)))
    for n in range(3):
        outbox.put(None, Arrived(n, "ada", "x" * 11))
    assert outbox.overflowed and repr(outbox) == "<Outbox overflowed, 1 waiting>"


def test_pages_of_mail_weigh_what_their_texts_weigh(hub, ada):
    ada.asks(*[Send("ada", "x" * 60_000)] * 2)
    ada.hears(4)
    ada.asks(*[Unread()] * 500)
    assert ada.outbox.overflowed


def test_after_the_end_nothing_is_put():
    outbox = Outbox(lambda: None)
    outbox.put(1, Pong())
    outbox.end("enough")
    outbox.put(2, Pong())
    outbox.end("really")
    assert outbox.take() == [(1, Pong()), (None, Goodbye("enough"))]


def test_a_slow_listener_is_sent_away_and_harms_nobody_else():
    hub = Hub(limits=Limits(outbox=10))
    ada, slow, eve = Voice(hub, "ada"), Voice(hub, "slow"), Voice(hub, "eve")
    for voice in (ada, slow, eve):
        voice.asks(Join())
    for _ in range(20):
        ada.asks(Say("hi"))
        ada.outbox.take(), eve.outbox.take()
    assert slow.outbox.overflowed and not ada.outbox.closed and not eve.outbox.closed


def test_the_mail_of_an_overflowed_session_is_kept():
    hub = Hub(limits=Limits(outbox=10))
    ada, slow = Voice(hub, "ada"), Voice(hub, "slow")
    for n in range(20):
        ada.asks(Send("slow", str(n)))
        ada.hears(1)
    assert slow.outbox.overflowed
    slow.closes()
    again = Voice(hub)
    again.asks(LogIn("slow"), Unread())
    assert [m.text for m in again.hears(2)[1][1].messages] == [str(n) for n in range(20)]


# ---- passwords


def test_a_password_is_hashed_checked_and_never_stored(hub):
    ada, thief = Voice(hub), Voice(hub)
    ada.asks(CreateAccount("ada", "sesame"), LogOut(), LogIn("ada", "sesame"))
    assert [m for _, m in ada.hears(3)][::2] == [Account(1, "ada")] * 2
    thief.asks(LogIn("ada", "wrong"), LogIn("ada"))
    assert [m.code for _, m in thief.hears(2)] == ["WRONG_PASSWORD"] * 2
    password_hash = hub.chat.store.by_name("ada").password_hash
    assert password_hash.startswith("$argon2id$") and "sesame" not in password_hash


def test_the_hash_is_not_the_password(hub):
    ada, thief = Voice(hub), Voice(hub)
    ada.asks(CreateAccount("ada", "sesame"))
    ada.hears(1)
    thief.asks(LogIn("ada", hub.chat.store.by_name("ada").password_hash))
    assert thief.hears(1)[0][1].code == "WRONG_PASSWORD"


def test_the_same_password_is_stored_differently_each_time(hub):
    voices = [Voice(hub), Voice(hub)]
    for voice, name in zip(voices, ("ada", "bob")):
        voice.asks(CreateAccount(name, "sesame"))
        voice.hears(1)
    assert hub.chat.store.by_name("ada").password_hash != hub.chat.store.by_name("bob").password_hash


def test_a_password_for_nobody_is_refused_as_nobody(hub):
    thief = Voice(hub)
    thief.asks(LogIn("nobody", "sesame"))
    assert thief.hears(1)[0][1].code == "NO_SUCH_ACCOUNT"


def test_while_passwords_are_hashed_the_others_are_answered(hub, ada):
    slow = [Voice(hub) for _ in range(6)]
    for n, voice in enumerate(slow):
        voice.asks(CreateAccount(f"slow{n}", "sesame"))
    ada.asks(Ping())
    assert len(ada.outbox) == 1  # answered before `ask` returned
    assert any(not voice.outbox for voice in slow)
    assert [voice.hears(1)[0][1].name for voice in slow] == [f"slow{n}" for n in range(6)]


def test_what_is_asked_behind_a_log_in_is_answered_behind_it(hub):
    ada = Voice(hub)
    ada.asks(CreateAccount("ada", "sesame"), Ping(), Deposit(5), LogOut(), LogIn("ada", "sesame"), Deposit(5))
    answers = ada.hears(6)
    assert [tag for tag, _ in answers] == [1, 2, 3, 4, 5, 6]
    assert answers[5] == (6, Balance(10))


def test_an_end_waits_for_the_log_in_before_it(hub):
    ada = Voice(hub)
    ada.asks(CreateAccount("ada", "sesame"), Ping())
    hub.finish_session(ada.session)
    assert not ada.outbox.closed
    assert ada.hears(2) == [(1, Account(1, "ada")), (2, Pong())]


def test_whoever_is_gone_when_the_hash_is_ready_is_not_logged_in(hub, ada):
    ghost = Voice(hub)
    ghost.asks(CreateAccount("ghost", "sesame"), Ping())
    ghost.closes()
    later = Voice(hub)  # hashed behind the ghost's, so when it is answered the ghost's is done
    later.asks(CreateAccount("later", "x"), CreateAccount("later", "x"))
    later.hears(2)
    ada.asks(Send("ghost", "hi"))
    assert ada.hears(1)[0][1].code == "NO_SUCH_ACCOUNT"
    assert ghost.outbox.take() == []


def test_not_everything_may_be_asked_while_a_log_in_is_checked():
    hub = Hub(limits=Limits(outbox=10))
    ada = Voice(hub)
    ada.asks(CreateAccount("ada", "sesame"), *[Ping()] * 11)
    assert ada.hears(1) == [(None, Goodbye("you asked too much while a log-in was being checked"))]


class Hashing:
    """Stands in for the password hashing of a hub: counts, and holds the hashing threads while it is told to."""

    def __init__(self, monkeypatch):
        self.passwords, self.go_on, self.started = [], threading.Event(), threading.Semaphore(0)
        monkeypatch.setattr("chatlab.chat.hub.hash_password", self.hash)
        monkeypatch.setattr("chatlab.chat.hub.fits_password", lambda stored, password: stored == self.hash(password))

    def hash(self, password):
        self.passwords.append(password)
        self.started.release()
        assert self.go_on.wait(DEADLINE_S)
        return f"hash of {password}"


@pytest.fixture
def hashing(monkeypatch):
    hashing = Hashing(monkeypatch)
    yield hashing
    hashing.go_on.set()


def test_nothing_is_hashed_where_the_answer_does_not_depend_on_it(hub, ada, hashing):
    stranger = Voice(hub)
    refused = [CreateAccount("a b", "x"), CreateAccount("ada", "x"), LogIn("nobody", "x"), LogIn("ada", "x" * 10_000)]
    stranger.asks(*refused, LogIn("ada", "x"), CreateAccount("eve", "x"))
    answers = [getattr(message, "code", "") for _, message in stranger.outbox.take()]
    assert answers == ["BAD_NAME", "NAME_TAKEN", "NO_SUCH_ACCOUNT", "BAD_VALUE", "", "ALREADY_LOGGED_IN"]
    assert hashing.passwords == []


def test_nothing_is_hashed_for_a_client_that_is_gone(hub, hashing):
    busy = [Voice(hub) for _ in range(HASHING_THREADS)]
    for n, voice in enumerate(busy):
        voice.asks(CreateAccount(f"busy{n}", "busy"))
        assert hashing.started.acquire(timeout=DEADLINE_S)
    for n in range(300):
        ghost = Voice(hub)
        ghost.asks(CreateAccount(f"ghost{n}", "ghost"))
        assert len(ghost.outbox) == 0, "the places of those who left are free again"
        ghost.closes()
    later = Voice(hub)
    later.asks(CreateAccount("later", "later"))
    hashing.go_on.set()
    assert later.hears(1)[0][1].name == "later"
    assert hashing.passwords == ["busy"] * HASHING_THREADS + ["later"]


def test_the_passwords_that_wait_to_be_checked_are_bounded(hashing):
    hub = Hub(limits=Limits(password_checks=3))
    voices = [Voice(hub) for _ in range(4)]
    for n, voice in enumerate(voices):
        voice.asks(CreateAccount(f"v{n}", "sesame"), Ping())
    late = voices.pop()
    assert late.hears(2) == [
        (1, Refused("SERVER_FULL", "3 passwords wait to be checked; try again later")),
        (2, Pong()),
    ]
    hashing.go_on.set()
    assert [voice.hears(2)[0][1].name for voice in voices] == ["v0", "v1", "v2"]
    late.asks(CreateAccount("late", "sesame"))
    assert late.hears(1)[0][1].name == "late"


def test_many_requests_behind_a_check_are_answered_in_order_and_leave_the_lock_to_others(hub, ada, hashing):
    voice = Voice(hub)
    voice.asks(CreateAccount("bob", "sesame"), *[Deposit(1) for _ in range(500)])
    hashing.go_on.set()
    answers = voice.hears(501)
    assert answers[1:] == [(n + 1, Balance(n)) for n in range(1, 501)]
    voice.asks(Deposit(1))
    assert voice.hears(1) == [(502, Balance(501))]


def test_whoever_is_sent_away_while_a_password_is_hashed_is_not_logged_in(hub, ada, hashing):
    voice = Voice(hub)
    voice.asks(CreateAccount("bob", "sesame"))
    voice.outbox.end("the server stops")
    hashing.go_on.set()
    later = Voice(hub)
    later.asks(CreateAccount("bob", "sesame"))
    assert later.hears(1)[0][1].name == "bob"


def test_a_server_that_demands_passwords_says_so():
    hub = Hub(Chat(password_required=True))
    ada = Voice(hub)
    ada.asks(CreateAccount("ada"), CreateAccount("ada", "sesame"))
    assert [type(m).__name__ for _, m in ada.hears(2)] == ["Refused", "Account"]


@pytest.mark.parametrize("password", ["", "guessed"])
def test_a_server_that_demands_passwords_lets_nobody_log_in_to_an_account_without(password):
    store = MemoryStore()
    store.create("ada")
    thief = Voice(Hub(Chat(store, password_required=True)))
    thief.asks(LogIn("ada", password))
    ((_, refused),) = thief.hears(1)
    assert refused == Refused("PASSWORD_REQUIRED", "'ada' has no password, and this server demands one")


def test_a_hub_shows_itself(hub, ada):
    ada.asks(Acknowledge(1))
    assert repr(hub) == "<Hub of 1 sessions, <Chat: <MemoryStore of 1 accounts>, 1 on-line, 0 rooms>>"
    assert repr(ada.outbox) == "<Outbox open, 1 waiting>"


# ---- what goes wrong


class FullStore(MemoryStore):
    """A disk with no room left for mail."""

    def put(self, *letter, **options):
        raise OSError(28, "No space left on device")


def test_where_the_store_fails_the_session_is_told_and_the_others_go_on():
    log = []
    hub = Hub(Chat(FullStore()), log=log.append)
    ada, bob = Voice(hub, "ada"), Voice(hub, "bob")
    ada.asks(Send("bob", "hi"))
    assert ada.hears(1) == [(None, Goodbye(SERVER_FAILED))]
    bob.asks(Ping())
    assert bob.hears(1) == [(2, Pong())]
    assert any("No space left on device" in line for line in log)


def test_where_a_password_cannot_be_hashed_the_session_is_told(hub, monkeypatch):
    def no_memory(password):
        raise MemoryError("argon2 wants 64 MiB")

    monkeypatch.setattr("chatlab.chat.hub.hash_password", no_memory)
    voice = Voice(hub)
    voice.asks(CreateAccount("ada", "secret"), Ping())
    assert voice.hears(1) == [(None, Goodbye(SERVER_FAILED))]


def test_what_waits_for_a_slow_hash_is_bounded_in_its_text_too(monkeypatch):
    hashing = threading.Event()
    monkeypatch.setattr("chatlab.chat.hub.hash_password", lambda password: hashing.wait(DEADLINE_S) and "")
    voice = Voice(Hub(limits=Limits(outbox_bytes=1_000)))
    voice.asks(CreateAccount("ada", "secret"), *[Send("ada", "x" * 400)] * 3)
    assert [type(message) for _, message in voice.hears(1)] == [Goodbye]
    hashing.set()


@pytest.fixture
def sqlite(tmp_path):
    store = SqliteStore(str(tmp_path / "chat.db"), pickle.dumps, pickle.loads)
    yield store
    store.close()


@pytest.fixture
def failing(sqlite, monkeypatch):
    """A hub whose store fails at the commit, as on a full disk, while `fails` is true."""
    hub = Hub(Chat(sqlite))
    real, hub.fails = sqlite.commit, False

    def commit():
        if hub.fails:
            raise OSError(28, "No space left on device")
        real()

    monkeypatch.setattr(sqlite, "commit", commit)
    hub._commit = commit
    return hub


def test_an_account_that_cannot_be_deleted_is_as_before_with_all_its_sessions(failing):
    ada, bob, second = Voice(failing, "ada"), Voice(failing, "bob"), Voice(failing)
    second.asks(LogIn("bob"), Join())
    ada.asks(Join(), Send("bob", "hi"), Deposit(5))
    ada.outbox.take(), second.outbox.take(), bob.outbox.take()
    failing.fails = True
    bob.asks(DeleteAccount())
    assert bob.hears(1) == [(None, Goodbye(SERVER_FAILED))]
    failing.fails = False
    assert ada.outbox.take() == second.outbox.take() == []
    assert failing.chat.store.deleted() == []
    ada.asks(Say("still there?"), Send("bob", "again"))
    assert [message for _, message in ada.hears(2)] == [Said(1), Sent(2, True)]
    second.asks(Unread())
    pages = [message for _, message in second.hears(3) if isinstance(message, Mail)]
    assert [letter.text for letter in pages[0].messages] == ["hi", "again"]


def test_an_account_that_cannot_be_created_is_not_logged_in_to(failing):
    ada = Voice(failing)
    failing.fails = True
    ada.asks(CreateAccount("ada"))
    assert ada.hears(1) == [(None, Goodbye(SERVER_FAILED))]
    failing.fails = False
    assert repr(failing.chat) == f"<Chat: {failing.chat.store!r}, 0 on-line, 0 rooms>"
    assert Voice(failing, "ada").session.id == 1


def test_on_a_full_disk_nothing_is_half_done(sqlite):
    hub = Hub(Chat(sqlite))
    ada, bob = Voice(hub, "ada"), Voice(hub, "bob")
    pages = sqlite._db.execute("pragma page_count").fetchone()[0]
    sqlite._db.execute(f"pragma max_page_count = {pages + 5}")
    sent = 0
    while True:
        ada.asks(Send("bob", "x" * 1_000, request_id=str(sent)))
        ((_, answer),) = ada.hears(1)
        if answer == Goodbye(SERVER_FAILED):
            break
        assert answer == Sent(sent + 1, True)
        sent += 1
    again = Voice(hub)
    again.asks(LogIn("bob"))
    assert again.hears(1)[0][1].unread == sent == len(bob.outbox) > 0
    assert sqlite.mail_bytes == 1_000 * sent


# ---- what requests leave over


def fill(voice, recipient, count):
    """Send so many messages, and read the answers."""
    for _ in range(count // 100):
        voice.asks(*[Send(recipient, "x")] * 100)
        voice.hears(100)


def delete(hub, name):
    """Log in to an account and delete it."""
    voice = Voice(hub)
    voice.asks(LogIn(name), DeleteAccount())
    assert voice.hears(2)[1] == (2, Closed(0))


def unread(hub, name):
    """How many messages are in the mailbox."""
    voice = Voice(hub)
    voice.asks(LogIn(name))
    return voice.hears(1)[0][1].unread


def test_a_large_mailbox_is_returned_and_its_sender_is_not_sent_away():
    hub = Hub(limits=Limits(outbox=200))
    ada, bob, eve = Voice(hub, "ada"), Voice(hub, "bob"), Voice(hub, "eve")
    bob.closes()
    fill(ada, "bob", 1_000)
    delete(hub, "bob")
    until(lambda: len(ada.outbox) == 100)  # half of what it may hold
    eve.asks(Send("ada", "hi"), Ping())
    assert eve.hears(2)[1] == (3, Pong())
    assert not ada.outbox.closed
    assert [message.number for _, message in ada.hears(1_001)] == list(range(1, 1_002))
    until(lambda: hub.chat.unfinished == 0)


def test_a_sender_who_reads_nothing_is_not_sent_away_and_keeps_nobody_else_waiting():
    hub = Hub(limits=Limits(outbox=200))
    deaf, bob, eve = Voice(hub, "deaf"), Voice(hub, "bob"), Voice(hub, "eve")
    bob.closes()
    fill(deaf, "bob", 500)
    fill(eve, "bob", 500)
    delete(hub, "bob")
    assert len(eve.hears(500)) == 500
    assert not deaf.outbox.closed and hub.chat.unfinished == 1
    deaf.closes()
    until(lambda: hub.chat.unfinished == 0)
    assert unread(hub, "deaf") == 500


def test_mail_that_was_being_returned_when_the_server_stopped_is_returned_after_its_start(tmp_path):
    def new_hub():
        return Hub(Chat(SqliteStore(str(tmp_path / "chat.db"), pickle.dumps, pickle.loads)))

    hub = new_hub()
    ada, bob = Voice(hub, "ada"), Voice(hub, "bob")
    bob.closes()
    fill(ada, "bob", 500)
    ada.closes()
    hub._closed = True  # so that nothing but the first step is done
    delete(hub, "bob")
    hub.close()
    hub.chat.store.close()
    hub = new_hub()
    until(lambda: hub.chat.unfinished == 0)
    assert unread(hub, "ada") == 500
    hub.close()
    hub.chat.store.close()


def test_where_returning_mail_fails_the_log_says_so_and_it_is_tried_again(failing):
    lines = []
    failing.log = lines.append
    ada, bob, other = Voice(failing, "ada"), Voice(failing, "bob"), Voice(failing, "other")
    fill(ada, "bob", 500)
    with failing._lock:  # the housekeeping waits for it
        failing.chat.delete_account(bob.session, DeleteAccount())
        failing.fails = True
    until(lambda: any("The server failed while it returned or deleted mail" in line for line in lines))
    failing.fails = False
    other.asks(DeleteAccount())
    until(lambda: failing.chat.unfinished == 0)
    assert unread(failing, "ada") == 500


@pytest.mark.parametrize("request_", [Acknowledge(300), DeleteMessages(tuple(range(1, 301)))])
def test_what_a_store_leaves_behind_is_removed_soon(sqlite, request_):
    hub = Hub(Chat(sqlite))
    ada = Voice(hub, "ada")
    ada.asks(*[Send("ada", "x" * 10_000)] * 300)
    ada.outbox.take()
    ada.asks(request_)
    until(lambda: hub.chat.unfinished == 0)
    with hub._lock:
        assert sqlite._one("select count(*) from texts")[0] == 0
    hub.close()


def test_a_closed_hub_has_no_threads_left():
    hub = Hub()
    voice = Voice(hub)
    voice.asks(CreateAccount("ada", "sesame"))
    voice.hears(1)
    assert any(thread.is_alive() for thread in hub._hashing._threads)
    hub.close()
    until(lambda: not any(thread.is_alive() for thread in hub._hashing._threads))
