"""What the chat means, on values alone: two voices, no bytes and no sockets."""

import pytest

from chatlab.chat.service import MAX_NUMBER, MEMBERS_SHOWN, PAGE, STEP_BYTES, STEP_MESSAGES, Chat, Session
from chatlab.codecs.binary import BinaryCodec
from chatlab.codecs.json_lines import JsonCodec
from chatlab.codecs.protobuf import ProtobufCodec
from chatlab.codecs.text import TextCodec
from chatlab.messages import (
    Account,
    Accounts,
    Acknowledge,
    Arrived,
    Balance,
    ChatError,
    Closed,
    CreateAccount,
    DeleteAccount,
    Deleted,
    DeleteMessages,
    Deposit,
    Done,
    Entered,
    Heard,
    Join,
    Joined,
    Leave,
    Left,
    Limits,
    ListAccounts,
    LoggedOut,
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
    ViewBalance,
    Withdraw,
)


class ListeningSession(Session):
    """A session that keeps the events delivered to it."""

    def __init__(self):
        super().__init__()
        self.events = []


class Voice:
    """One client: `asks` gives the reply, `heard` the events delivered to it since it was last looked at."""

    def __init__(self, chat, name=""):
        self.chat, self.session = chat, ListeningSession()
        if name:
            self.asks(CreateAccount(name))

    def asks(self, request, **proof):
        try:
            if proof:
                reply, deliveries = self.chat.log_in(self.session, request, **proof)
            else:
                reply, deliveries = self.chat.handle(self.session, request)
        except ChatError as error:
            return Refused(error.code, error.text)
        for session, event in deliveries:
            session.events.append(event)
        return reply

    def is_refused(self, request):
        """The code of the refusal, or None."""
        return getattr(self.asks(request), "code", None)

    def departs(self):
        for session, event in self.chat.end_session(self.session):
            session.events.append(event)

    @property
    def heard(self):
        events, self.session.events = self.session.events, []
        return events


@pytest.fixture
def chat():
    return Chat()


@pytest.fixture
def ada(chat):
    return Voice(chat, "ada")


@pytest.fixture
def bob(chat):
    return Voice(chat, "bob")


@pytest.fixture
def stranger(chat):
    return Voice(chat)


# ---- accounts


def test_creating_an_account_logs_in_to_it(stranger):
    assert stranger.asks(CreateAccount("John")) == Account(1, "John")
    assert stranger.asks(ViewBalance()) == Balance(0)


def test_a_name_belongs_to_one_account(ada, stranger):
    assert stranger.is_refused(CreateAccount("ada")) == "NAME_TAKEN"


def test_names_that_look_the_same_are_the_same(chat, stranger):
    Voice(chat, "Jose\u0301")
    assert stranger.is_refused(CreateAccount("José")) == "NAME_TAKEN"
    assert stranger.asks(LogIn("Jose\u0301")).name == "José"


BAD_NAMES = [
    "",
    "x" * 65,
    "42",
    "٤٢",
    "a b",
    "a|b",
    "a\nb",
    "a\0",
    "*",
    "?",
    "a/b",
    "\u0301a",
    "a\u202eb",
    "🙂",
    "a" * 10**6,
]


@pytest.mark.parametrize("name", BAD_NAMES, ids=lambda name: ascii(name[:8]))
def test_a_name_may_not_be(stranger, name):
    assert stranger.is_refused(CreateAccount(name)) == "BAD_NAME"


def test_an_account_is_logged_in_to_by_name_or_by_id(ada, chat):
    assert Voice(chat).asks(LogIn("ada")) == Voice(chat).asks(LogIn("1")) == Account(1, "ada")


@pytest.mark.parametrize("account", ["nobody", "", "2", "0", "-1", "9" * 30, "ada ", "ADA", "*"])
def test_logging_in_needs_an_account_that_exists(ada, stranger, account):
    assert stranger.is_refused(LogIn(account)) == "NO_SUCH_ACCOUNT"


def test_a_session_speaks_for_one_account_at_a_time(ada, bob):
    assert ada.is_refused(LogIn("bob")) == "ALREADY_LOGGED_IN"
    assert ada.is_refused(CreateAccount("eve")) == "ALREADY_LOGGED_IN"
    assert ada.asks(LogIn("ada")) == Account(1, "ada")


def test_whoever_logged_out_may_log_in_to_another_account(ada, bob):
    assert ada.asks(LogOut()) == Done()
    assert ada.asks(LogIn("bob")).name == "bob"


NEED_AN_ACCOUNT = [
    LogOut(), ListAccounts(), Send("ada", "hi"), Unread(), Acknowledge(1), DeleteMessages((1,)), DeleteAccount(),
    Deposit(1), Withdraw(1), ViewBalance(), Join(), Say("hi"), Leave(),
]  # fmt: skip


@pytest.mark.parametrize("request_", NEED_AN_ACCOUNT, ids=lambda r: type(r).__name__)
def test_a_stranger_may_only_log_in_create_an_account_and_ping(ada, stranger, request_):
    assert stranger.is_refused(request_) == "NOT_LOGGED_IN"
    assert stranger.asks(Ping()) == Pong()


def test_what_could_not_be_read_is_refused_with_the_reason(stranger):
    assert stranger.asks(Malformed("no such operation")) == Refused("MALFORMED", "no such operation")


# ---- passwords


def test_a_password_must_be_proven_by_the_stored_hash(chat, stranger):
    chat.create_account(Session(), CreateAccount("ada", "sesame"), password_hash="hash of sesame")
    assert stranger.asks(LogIn("ada", "wrong"), password_hash="").code == "WRONG_PASSWORD"
    assert stranger.asks(LogIn("ada", "sesame"), password_hash="hash of sesame") == Account(1, "ada")


def test_an_account_with_a_password_is_not_opened_without(chat, stranger):
    chat.create_account(Session(), CreateAccount("ada", "sesame"), password_hash="hash of sesame")
    assert stranger.is_refused(LogIn("ada")) == "WRONG_PASSWORD"


def test_the_service_takes_no_password_that_nobody_hashed(stranger):
    with pytest.raises(TypeError, match="hash the password"):
        stranger.asks(CreateAccount("ada", "sesame"))


def test_a_server_may_demand_passwords():
    stranger = Voice(Chat(password_required=True))
    assert stranger.is_refused(CreateAccount("ada")) == "PASSWORD_REQUIRED"


# ---- search


@pytest.fixture
def library(chat):
    for name in ["ab", "abc", "aXc", "b.c", "bc", "c"]:
        Voice(chat, name)
    reader = Voice(chat, "zz-reader")
    return lambda *arguments: reader.asks(ListAccounts(*arguments))


@pytest.mark.parametrize(
    "pattern, names",
    [
        ("*", ("ab", "abc", "aXc", "b.c", "bc", "c", "zz-reader")),
        ("a*", ("aXc", "ab", "abc")),
        ("a?c", ("aXc", "abc")),
        ("*c", ("aXc", "abc", "b.c", "bc", "c")),
        ("*b*c", ("abc", "b.c", "bc")),
        ("b.c", ("b.c",)),
        ("??", ("ab", "bc")),
        ("b", ()),
        ("", ()),
        ("[a-z]*", ()),
        ("a%", ()),
        ("a_c", ()),
        ("(a+)+b", ()),
    ],
)
def test_star_and_question_mark_are_the_only_wildcards(library, pattern, names):
    assert library(pattern) == Accounts(tuple(sorted(names)))


def test_a_search_comes_in_pages_that_join_without_gap_or_overlap(library):
    first = library("*c", "", 3)
    assert first == Accounts(("aXc", "abc", "b.c"), next="b.c")
    assert library("*c", first.next, 3) == Accounts(("bc", "c"))


@pytest.mark.parametrize("limit", [0, -1, PAGE + 1, 2**63])
def test_a_page_has_one_to_a_thousand_entries(ada, limit):
    assert ada.is_refused(ListAccounts(limit=limit)) == "BAD_VALUE"
    assert ada.is_refused(Unread(limit=limit)) == "BAD_VALUE"


def test_a_pattern_has_a_length_limit(ada):
    assert ada.is_refused(ListAccounts("*" * 257)) == "BAD_VALUE"


def test_a_pattern_that_is_compared_at_every_place_is_cut_into_shorter_pages(chat, ada):
    for number in range(200):
        chat.store.create(f"{'a' * 60}{number:03d}")
    plain, slow = ada.asks(ListAccounts("*zz*")), ada.asks(ListAccounts("*" + "?" * 30 + "z*"))
    assert plain.next == "" and "" < slow.next < "a" * 60 + "100"


def test_a_search_that_finds_little_is_cut_into_pages_too(chat, ada):
    for n in range(3_000):
        chat.store.create(f"n{n}-{'x' * 50}")
    page = ada.asks(ListAccounts("*y"))
    assert page.names == () and page.next
    names, asked = [], 0
    while page.next:
        page, asked = ada.asks(ListAccounts("*-x*x", page.next, PAGE)), asked + 1
        names += page.names
    assert len(names) == len(set(names)) and asked < 20


# ---- mail


def test_a_message_to_somebody_on_line_is_pushed_at_once(ada, bob):
    assert ada.asks(Send("bob", "hi")) == Sent(1, delivered=True)
    assert bob.heard == [Arrived(1, "ada", "hi")]


def test_a_message_to_somebody_off_line_waits_in_the_mailbox(ada, bob, chat):
    bob.departs()
    assert ada.asks(Send("bob", "hi")) == Sent(1, delivered=False)
    again = Voice(chat)
    assert again.asks(LogIn("bob")) == Account(2, "bob", unread=1)
    assert again.asks(Unread()) == Mail((Arrived(1, "ada", "hi"),))


def test_a_message_that_was_pushed_stays_until_it_is_acknowledged(ada, bob):
    ada.asks(Send("bob", "hi"))
    assert bob.asks(Unread()) == Mail((Arrived(1, "ada", "hi"),))
    assert bob.asks(Acknowledge(1)) == Done()
    assert bob.asks(Unread()) == Mail(())


def test_a_log_in_tells_what_is_unread_and_what_was_acknowledged(ada, bob, chat):
    for text in ("one", "two", "three"):
        ada.asks(Send("bob", text))
    bob.asks(Acknowledge(1))
    assert Voice(chat).asks(LogIn("bob")) == Account(2, "bob", unread=2, acknowledged=1)


def test_a_message_to_nobody_is_refused(ada):
    assert ada.is_refused(Send("nobody", "hi")) == "NO_SUCH_ACCOUNT"


def test_a_message_to_oneself_arrives_like_any_other(ada):
    assert ada.asks(Send("ada", "note")) == Sent(1, delivered=True)
    assert ada.heard == [Arrived(1, "ada", "note")]


def test_a_message_may_be_sent_to_an_id(ada, bob):
    ada.asks(Send("2", "hi"))
    assert bob.heard == [Arrived(1, "ada", "hi")]


def test_every_connection_of_an_account_gets_the_push(ada, bob, chat):
    second = Voice(chat)
    second.asks(LogIn("bob"))
    ada.asks(Send("bob", "hi"))
    assert bob.heard == second.heard == [Arrived(1, "ada", "hi")]


@pytest.mark.parametrize("letter", ["a", "é", "€", "🙂"])
def test_a_text_is_limited_in_bytes_and_not_in_characters(letter):
    chat = Chat(limits=Limits(text=120))
    ada = Voice(chat, "ada")
    fitting = letter * (120 // len(letter.encode()))
    assert ada.asks(Send("ada", fitting)) == Sent(1, True)
    assert ada.is_refused(Send("ada", fitting + letter)) == "TEXT_TOO_LONG"


@pytest.mark.parametrize(
    "text", ["", " ", "a|b", "a\nb", "a\r\nb", "a\0b", "'\"`", "{[(", r"\n\p\\", "🙂🏳️‍🌈", "6|bob|hi"]
)
def test_a_text_is_kept_exactly(ada, text):
    ada.asks(Send("ada", text))
    assert ada.heard == [Arrived(1, "ada", text)]


def test_a_mailbox_is_bounded_and_nothing_in_it_is_lost():
    chat = Chat(limits=Limits(mailbox=2))
    ada, bob = Voice(chat, "ada"), Voice(chat, "bob")
    assert [ada.asks(Send("bob", text)).number for text in "xy"] == [1, 2]
    assert ada.is_refused(Send("bob", "z")) == "MAILBOX_FULL"
    bob.asks(Acknowledge(1))
    assert ada.asks(Send("bob", "z")) == Sent(3, True)


def test_the_mailbox_comes_in_pages(ada):
    for n in range(1, 6):
        ada.asks(Send("ada", str(n)))
    page = ada.asks(Unread(limit=2))
    assert page.more and [m.text for m in page.messages] == ["1", "2"]
    page = ada.asks(Unread(after=2, limit=3))
    assert not page.more and [m.text for m in page.messages] == ["3", "4", "5"]


def test_a_page_of_long_texts_is_shorter_but_never_empty():
    ada = Voice(Chat(limits=Limits(text=10**6)), "ada")
    for _ in range(3):
        ada.asks(Send("ada", "x" * (Limits().frame // 6)))
    assert ada.asks(Unread()).more
    assert len(ada.asks(Unread()).messages) == 1


def test_messages_are_deleted_one_by_one_or_as_a_set(ada):
    for text in "wxyz":
        ada.asks(Send("ada", text))
    assert ada.asks(DeleteMessages((2, 4, 99))) == Deleted(2)
    assert [m.text for m in ada.asks(Unread()).messages] == ["w", "y"]
    assert ada.is_refused(DeleteMessages(tuple(range(PAGE + 1)))) == "BAD_VALUE"


def test_nobody_reaches_into_a_foreign_mailbox(ada, bob):
    ada.asks(Send("bob", "private"))
    assert ada.asks(Unread()) == Mail(())
    assert ada.asks(DeleteMessages((1,))) == Deleted(0)
    ada.asks(Acknowledge(1))
    assert len(bob.asks(Unread()).messages) == 1


def test_a_mailbox_is_bounded_in_the_bytes_of_its_texts_too():
    ada = Voice(Chat(limits=Limits(mailbox_bytes=100)), "ada")
    assert [ada.is_refused(Send("ada", "x" * 60)) for _ in range(3)] == [None, None, "MAILBOX_FULL"]
    ada.asks(Acknowledge(1))
    assert ada.asks(Send("ada", "x")) == Sent(3, True)


def test_all_mailboxes_together_are_bounded_too(chat):
    chat = Chat(limits=Limits(mail_bytes=100))
    ada, bob = Voice(chat, "ada"), Voice(chat, "bob")
    assert [ada.is_refused(Send(name, "x" * 60)) for name in ("ada", "bob", "ada")] == [None, None, "MAILBOX_FULL"]
    bob.asks(DeleteMessages((1,)))
    assert ada.asks(Send("ada", "x")) == Sent(2, True)


LONG_NAME = "\U00020000" * 64  # of four bytes each


@pytest.mark.parametrize("text", ["", "x", "\x01" * 300, '"' * 500, "\\|\n" * 100, "🙂" * 100], ids=ascii)
@pytest.mark.parametrize(
    "codec", [TextCodec(), JsonCodec(), BinaryCodec(), ProtobufCodec()], ids=lambda codec: codec.name
)
def test_a_page_of_mail_fits_a_frame_whatever_is_in_it(codec, text):
    sender = Voice(Chat(), LONG_NAME)
    for _ in range(PAGE):
        sender.asks(Send(LONG_NAME, text))
    shown, page = 0, sender.asks(Unread(limit=PAGE))
    while page.more:
        shown += len(page.messages)
        assert len(codec.encode(2**62, page)) <= Limits().frame
        page = sender.asks(Unread(page.messages[-1].number, PAGE))
    assert shown + len(page.messages) == PAGE


@pytest.mark.parametrize("frame", [1_000, 10_000])
def test_a_page_of_names_fits_a_frame(frame):
    chat = Chat(limits=Limits(frame=frame))
    reader = Voice(chat, "reader")
    for n in range(100):
        chat.store.create(f"{LONG_NAME[:-3]}{n:03}")
    names, page = [], reader.asks(ListAccounts(limit=PAGE))
    while True:
        assert len(JsonCodec().encode(2**62, page)) <= frame
        names += page.names
        if not page.next:
            break
        page = reader.asks(ListAccounts("*", page.next, PAGE))
    assert len(names) == 101


# ---- how many accounts


def test_the_accounts_of_a_server_are_bounded():
    chat = Chat(limits=Limits(accounts=2))
    ada, _ = Voice(chat, "ada"), Voice(chat, "bob")
    assert Voice(chat).asks(CreateAccount("eve")) == Refused(
        "SERVER_FULL", "the server has 2 accounts and takes no more"
    )
    ada.asks(DeleteAccount())
    assert Voice(chat).asks(CreateAccount("eve")).name == "eve"


def test_one_connection_creates_a_bounded_number_of_accounts():
    chat = Chat(limits=Limits(session_accounts=2))
    greedy = Voice(chat)
    for name in ("a", "b"):
        greedy.asks(CreateAccount(name))
        greedy.asks(LogOut())
    assert greedy.asks(CreateAccount("c")) == Refused("SERVER_FULL", "one connection may create 2 accounts")
    greedy.asks(LogIn("b"))
    greedy.asks(DeleteAccount())
    assert greedy.asks(CreateAccount("c")).name == "c"


# ---- deleting an account


def test_a_deleted_account_is_paid_out_and_gone(ada, stranger):
    ada.asks(Deposit(30))
    assert ada.asks(DeleteAccount()) == Closed(paid_out=30)
    assert ada.is_refused(ViewBalance()) == "NOT_LOGGED_IN"
    assert stranger.is_refused(LogIn("ada")) == "NO_SUCH_ACCOUNT"


def test_unread_mail_goes_back_to_its_sender_as_a_notice(ada, bob):
    ada.asks(Send("bob", "hi"))
    bob.asks(DeleteAccount())
    assert ada.heard == [Arrived(1, "bob", "hi", returned=True)]
    assert ada.asks(Unread()) == Mail((Arrived(1, "bob", "hi", returned=True),))


def test_mail_that_was_acknowledged_does_not_go_back(ada, bob):
    ada.asks(Send("bob", "hi"))
    bob.asks(Acknowledge(1))
    bob.asks(DeleteAccount())
    assert ada.heard == []


def test_a_notice_is_not_returned_again(ada, bob, chat):
    ada.asks(Send("bob", "hi"))
    bob.asks(DeleteAccount())
    ada.asks(DeleteAccount())
    assert chat.store.by_name("ada") is None


def test_mail_of_a_vanished_sender_goes_to_nobody_of_the_same_name(ada, bob, chat):
    ada.asks(Send("bob", "hi"))
    ada.asks(DeleteAccount())
    heir = Voice(chat, "ada")
    bob.asks(DeleteAccount())
    assert heir.heard == []


def test_the_name_is_free_again_and_its_next_owner_inherits_nothing(ada, stranger):
    ada.asks(Deposit(30, request_id="once"))
    ada.asks(Send("ada", "private"))
    ada.asks(DeleteAccount())
    assert stranger.asks(CreateAccount("ada")) == Account(2, "ada")
    assert stranger.asks(Deposit(5, request_id="once")) == Balance(5)
    assert stranger.asks(Unread()) == Mail(())


def test_the_other_connections_of_a_deleted_account_are_logged_out(ada, chat):
    second = Voice(chat)
    second.asks(LogIn("ada"))
    ada.asks(DeleteAccount())
    assert [type(event) for event in second.heard] == [LoggedOut]
    assert second.is_refused(ViewBalance()) == "NOT_LOGGED_IN"
    assert second.asks(CreateAccount("eve")).name == "eve"


def test_a_deleted_account_leaves_its_room(ada, bob):
    ada.asks(Join())
    bob.asks(Join())
    bob.asks(DeleteAccount())
    assert ada.heard == [Entered("lobby", "bob"), Left("lobby", "bob")]


def finish(chat) -> int:
    """Do what is left to do. Returns in how many steps."""
    steps = 0
    while chat.unfinished:
        deliveries, _ = chat.step()
        assert len(deliveries) <= STEP_MESSAGES
        for session, event in deliveries:
            session.events.append(event)
        steps += 1
        assert steps < 10_000
    return steps


def test_a_large_mailbox_is_returned_in_steps_and_in_order(ada, bob, chat):
    for n in range(1_000):
        ada.asks(Send("bob", str(n)))
    assert bob.asks(DeleteAccount()) == Closed(0)
    assert 0 < len(ada.heard) <= STEP_MESSAGES, "the first step is taken at once"
    assert finish(chat) >= 1_000 // STEP_MESSAGES - 1
    numbers, texts, after = [], [], 0
    while page := ada.asks(Unread(after, PAGE)).messages:
        numbers += [message.number for message in page]
        texts += [message.text for message in page if message.returned]
        after = numbers[-1]
    assert texts == [str(n) for n in range(1_000)] and numbers == list(range(1, 1_001))


def test_long_messages_are_returned_a_few_at_a_time(ada, bob, chat):
    for _ in range(20):
        ada.asks(Send("bob", "x" * 60_000))
    bob.asks(DeleteAccount())
    assert len(ada.heard) <= 2 + STEP_BYTES // 60_000
    finish(chat)
    assert len(chat.store.deleted()) == 0 and chat.store.unread(1) == 20


def test_the_name_is_free_before_all_mail_is_returned(ada, bob, chat, stranger):
    for n in range(500):
        ada.asks(Send("bob", str(n)))
    bob.asks(DeleteAccount())
    heir = stranger.asks(CreateAccount("bob"))
    assert (heir.id, heir.unread) == (3, 0)
    finish(chat)
    assert stranger.asks(Unread()) == Mail(()) and len(ada.heard) == 500


def test_a_returned_message_that_finds_a_full_mailbox_is_dropped():
    chat = Chat(limits=Limits(mailbox=3))
    ada, bob = Voice(chat, "ada"), Voice(chat, "bob")
    for n in range(3):
        ada.asks(Send("bob", str(n)))
    ada.asks(Send("ada", "a")), ada.asks(Send("ada", "b"))
    bob.asks(DeleteAccount())
    finish(chat)
    assert [message.text for message in ada.asks(Unread()).messages] == ["a", "b", "0"]
    assert chat.store.deleted() == []


def test_whoever_reads_slowly_gets_returned_messages_later_and_nobody_waits_for_that(ada, bob, chat):
    eve = Voice(chat, "eve")
    for n in range(300):
        ada.asks(Send("bob", f"ada {n}")), eve.asks(Send("bob", f"eve {n}"))
    chat.has_room = lambda session, count, weight: session is not ada.session or count <= room
    room = 10
    bob.asks(DeleteAccount())
    while len(eve.session.events) < 300:
        for session, event in chat.step()[0]:
            session.events.append(event)
        room = 0
    assert [event.text for event in ada.heard] == [f"ada {n}" for n in range(10)]
    for _ in range(10):
        assert chat.step()[0] == []
    room = 1_000
    finish(chat)
    assert [event.text for event in ada.heard] == [f"ada {n}" for n in range(10, 300)]
    assert [event.number for event in eve.heard] == list(range(1, 301))


def test_work_that_is_left_over_is_announced(ada, bob, chat):
    announced = []
    chat.on_unfinished = lambda: announced.append(chat.unfinished)
    for n in range(2 * STEP_MESSAGES):
        ada.asks(Send("bob", str(n)))
    ada.asks(DeleteAccount())
    assert announced == []
    bob.asks(DeleteAccount())
    assert announced == [1]


# ---- balance


def test_deposit_and_withdraw_answer_the_new_balance(ada):
    assert ada.asks(Deposit(100)) == Balance(100)
    assert ada.asks(Withdraw(30)) == Balance(70)
    assert ada.asks(ViewBalance()) == Balance(70)


def test_more_than_there_is_cannot_be_taken(ada):
    ada.asks(Deposit(10))
    assert ada.is_refused(Withdraw(11)) == "OVERDRAFT"
    assert ada.asks(ViewBalance()) == Balance(10)


@pytest.mark.parametrize("amount", [0, -1, -(2**63), MAX_NUMBER + 1])
@pytest.mark.parametrize("move", [Deposit, Withdraw])
def test_an_amount_is_positive_and_fits_sixty_three_bits(ada, move, amount):
    ada.asks(Deposit(10))
    assert ada.is_refused(move(amount)) == "BAD_VALUE"
    assert ada.asks(ViewBalance()) == Balance(10)


def test_a_balance_never_passes_its_largest_number(ada):
    assert ada.asks(Deposit(MAX_NUMBER)) == Balance(MAX_NUMBER)
    assert ada.is_refused(Deposit(1)) == "OVERFLOW"
    assert ada.asks(Withdraw(MAX_NUMBER)) == Balance(0)


@pytest.mark.parametrize("request_", [Deposit(1, "bob"), Withdraw(1, "2"), ViewBalance("bob")])
def test_a_balance_is_touched_only_by_its_owner(ada, bob, request_):
    bob.asks(Deposit(10))
    assert ada.is_refused(request_) == "NOT_YOUR_ACCOUNT"
    assert bob.asks(ViewBalance()) == Balance(10)


def test_the_own_account_may_be_named_or_numbered(ada):
    assert ada.asks(Deposit(5, "ada")) == ada.asks(ViewBalance("1")) == ada.asks(ViewBalance()) == Balance(5)


def test_a_repeat_with_the_same_request_id_gets_the_first_answer_and_does_nothing(ada, bob):
    assert ada.asks(Deposit(5, request_id="rent")) == ada.asks(Deposit(5, request_id="rent")) == Balance(5)
    assert ada.asks(Send("bob", "hi", "a")) == ada.asks(Send("bob", "hi", "a")) == Sent(1, True)
    assert bob.heard == [Arrived(1, "ada", "hi")]


def test_a_repeat_is_known_on_another_connection(ada, chat):
    ada.asks(Deposit(5, request_id="rent"))
    again = Voice(chat)
    again.asks(LogIn("ada"))
    assert again.asks(Deposit(5, request_id="rent")) == Balance(5)


def test_a_request_id_stands_for_one_request(ada):
    ada.asks(Deposit(5, request_id="rent"))
    assert ada.is_refused(Deposit(6, request_id="rent")) == "REQUEST_ID_REUSED"
    assert ada.is_refused(Withdraw(5, request_id="rent")) == "REQUEST_ID_REUSED"


def test_a_request_id_is_the_accounts_own(ada, bob):
    ada.asks(Deposit(5, request_id="rent"))
    assert bob.asks(Deposit(7, request_id="rent")) == Balance(7)


def test_a_refused_request_may_be_tried_again_under_its_id(ada):
    assert ada.is_refused(Withdraw(5, request_id="rent")) == "OVERDRAFT"
    ada.asks(Deposit(5))
    assert ada.asks(Withdraw(5, request_id="rent")) == Balance(0)


def test_what_is_said_with_a_request_id_is_answered_again_after_the_connection_was_lost(ada, bob, chat):
    ada.asks(Join()), bob.asks(Join())
    assert ada.asks(Say("hi", request_id="once")) == Said(1)
    ada.departs()
    again = Voice(chat)
    again.asks(LogIn("ada"))
    assert again.asks(Say("hi", request_id="once")) == Said(1)
    assert again.is_refused(Say("hi")) == "NOT_IN_ROOM"
    assert again.is_refused(Say("other", request_id="once")) == "REQUEST_ID_REUSED"
    assert [event for event in bob.heard if isinstance(event, Heard)] == [Heard("lobby", "ada", "hi")]


def test_of_a_request_with_an_id_only_a_fingerprint_is_kept(ada, chat):
    ada.asks(Send("ada", "x" * 60_000, request_id="long"))
    fingerprint, reply = chat.store.saved_reply(1, "long")
    assert len(fingerprint) == 16 and reply == Sent(1, True)


def test_a_request_id_has_a_length_limit(ada):
    assert ada.is_refused(Deposit(5, request_id="x" * 65)) == "BAD_VALUE"


# ---- rooms


def test_who_joins_is_told_who_is_there_and_those_are_told_who_joined(ada, bob):
    assert ada.asks(Join()) == Joined("lobby", ("ada",), 1)
    assert bob.asks(Join()) == Joined("lobby", ("ada", "bob"), 2)
    assert ada.heard == [Entered("lobby", "bob")]
    assert bob.heard == []


def test_everybody_else_in_the_room_hears(ada, bob, chat):
    eve = Voice(chat, "eve")
    for voice in (ada, bob):
        voice.asks(Join("den"))
    bob.heard, ada.heard
    assert ada.asks(Say("hi")) == Said(1)
    assert (ada.heard, bob.heard, eve.heard) == ([], [Heard("den", "ada", "hi")], [])


def test_nobody_speaks_in_a_room_without_joining_it(ada):
    assert ada.is_refused(Say("hi")) == "NOT_IN_ROOM"
    assert ada.is_refused(Leave()) == "NOT_IN_ROOM"


def test_who_leaves_is_announced_and_hears_no_more(ada, bob):
    ada.asks(Join())
    bob.asks(Join())
    assert bob.asks(Leave()) == Done()
    assert ada.heard == [Entered("lobby", "bob"), Left("lobby", "bob")]
    assert ada.asks(Say("alone")) == Said(0)


@pytest.mark.parametrize("go", [lambda v: v.asks(Join("attic")), lambda v: v.asks(LogOut()), lambda v: v.departs()])
def test_moving_on_logging_out_and_vanishing_all_leave_the_room(ada, bob, go):
    ada.asks(Join())
    bob.asks(Join())
    go(bob)
    assert ada.heard[-1] == Left("lobby", "bob")


def test_joining_the_same_room_again_announces_nothing(ada, bob):
    ada.asks(Join())
    bob.asks(Join())
    assert bob.asks(Join()) == Joined("lobby", ("ada", "bob"), 2)
    assert len(ada.heard) == 1


def test_an_account_with_two_connections_is_in_the_room_once(ada, bob, chat):
    second = Voice(chat)
    second.asks(LogIn("bob"))
    for voice in (ada, bob, second):
        joined = voice.asks(Join())
    assert joined.count == 2
    bob.departs()
    assert ada.heard == [Entered("lobby", "bob")]
    second.departs()
    assert ada.heard == [Left("lobby", "bob")]


def test_a_rooms_name_follows_the_rule_for_names_but_may_be_digits(ada):
    assert ada.asks(Join("42")).room == "42"
    assert ada.is_refused(Join("a b")) == "BAD_NAME"


def test_only_the_first_hundred_members_are_listed_but_all_are_counted(chat):
    for n in range(MEMBERS_SHOWN + 1):
        voice = Voice(chat, f"u{n:03}")
        joined = voice.asks(Join())
    assert joined.count == MEMBERS_SHOWN + 1
    assert joined.members == tuple(f"u{n:03}" for n in range(MEMBERS_SHOWN))


def test_a_text_said_in_a_room_has_the_limit_of_any_text():
    ada = Voice(Chat(limits=Limits(text=3)), "ada")
    ada.asks(Join())
    assert ada.asks(Say("abc")) == Said(0)
    assert ada.is_refused(Say("abcd")) == "TEXT_TOO_LONG"


def test_an_empty_chat_holds_nothing_of_those_who_left(ada, bob, chat):
    for voice in (ada, bob):
        voice.asks(Join())
        voice.departs()
    assert repr(chat) == "<Chat: <MemoryStore of 2 accounts>, 0 on-line, 0 rooms>"
