"""What every implementation must hold to, case by case: real servers, real clients, and the ways in which chats fail.

A case gets a `Scenario`. Every wait is for something, with a deadline. Which protocol is spoken nobody here knows.
"""

import functools
import time

from ..messages import Arrived, ChatError, Deposit, Entered, Heard, Left, LoggedOut, ViewBalance, Withdraw
from ..transport import event_loop as loops
from ..transport.client import Client
from .fixtures import WAIT_S, at_once, chat_case, expect, expect_silence, next_event, refused, texts, until
from .report import Case, CaseFailed, clipped

CASES: list[Case] = []
_FIRST: list[Case] = []  # tried before all others, which without it are not

TRICKY = "a|b,c;d \"e\" 'f' {g} [h] \\ \n\r\t\0 <i> %s &amp; é 中文 🙂"

# ---- accounts ---------------------------------------------------------------------------------------------------


@chat_case(_FIRST, "The server does not start, does not say where it listens, or does not answer.", "")
def a_server_starts_and_answers(scene):
    """The server starts on a free port and a first account can be created."""
    ada = scene.new_client()
    name = scene.name("ada")
    expect("create_account: the name in the answer", ada.create_account(name).name, name)


(STARTS,) = _FIRST


@chat_case(
    CASES, "Only the blocking client was written, and those who measure use the async one.", "send receive async"
)
def an_async_client_speaks_too(scene):
    """What `connect_async` gives has the same verbs, awaited, and meets the others in the chat."""
    ada, name = scene.user("ada"), scene.name("bob")

    async def talk():
        bob = await scene.stage.carried.connect_async(scene.address)
        await bob.create_account(name)
        await bob.send(ada.name, "hi")
        await bob.send(name, "note")
        event = await bob.receive(timeout_s=WAIT_S)
        await bob.close()
        return event.text

    expect("a message to oneself by an async client", loops.run(talk(), timeout_s=2 * WAIT_S), "note")
    expect("a message from it", texts(ada, 1), ["hi"])


@chat_case(
    CASES, "A second account of the same name: the rule is enforced only in the client, or checked without a lock."
)
def names_are_unique(scene):
    """A name is given once, also when many ask for it at the same moment."""
    name, wins = scene.name("ada"), []

    def try_it(client):
        try:
            wins.append(client.create_account(name))
        except ChatError as error:
            expect("create_account of a name that is taken", error.code, "NAME_TAKEN")

    at_once(*[functools.partial(try_it, scene.new_client()) for _ in range(5)])
    expect("create_account of one name from five clients at once: accounts made", len(wins), 1)


@chat_case(
    CASES,
    "Names that cannot be told from numbers, or hold what a terminal obeys; or a refusal that quotes them raw.",
    "list_accounts",
)
def impossible_names_are_refused(scene):
    """Empty, spaces, digits alone, 65 letters, control characters: refused, in words that a terminal survives."""
    client = scene.new_client()
    for name in ("", "a b", "1234", "x" * 65, "a\nb", "\x1b[2J", "a|b", "../x", "a\0b"):
        error = refused("BAD_NAME", f"create_account({name!r})", client.create_account, name)
        if not error.text.isprintable():
            raise CaseFailed(f"create_account({name!r})", f"a refusal with control characters: {error.text!r}")
    client.create_account(scene.name("ada"))


@chat_case(
    CASES, "Replies made in ASCII: a non-ASCII name is created, and then the reply fails.", "list_accounts send receive"
)
def names_in_every_script(scene):
    """Names in any script are created, listed, written to, and shown as senders."""
    for base in ("Zoë", "Łukasz", "中文", "שלום"):
        one, other = scene.users(base, base)
        expect(f"list_accounts of one name, {base} and a number", one.list_accounts(one.name).names, (one.name,))
        one.send(other.name, f"hi {other.name}")
        event = next_event(other)
        expect(f"send as {base} and a number", (event.sender, event.text), (one.name, f"hi {other.name}"))


@chat_case(CASES, "An account found by a wrong key, or a failure reported with success.", "log_in log_out send")
def logging_in_and_out(scene):
    """By name or by id; unknown names are refused; after log_out one speaks for nobody; the connection lives on."""
    ada = scene.user("ada")
    id, name = ada.account.id, ada.name
    refused("NO_SUCH_ACCOUNT", "log_in of a name that nobody has", scene.new_client().log_in, scene.name("nobody"))
    ada.log_out()
    refused("NOT_LOGGED_IN", "send after log_out", ada.send, name, "hi")
    expect("log_in by id: the name", ada.log_in(id).name, name)
    ada.log_out()
    expect("log_in by name: the id", ada.log_in(name).id, id)


@chat_case(CASES, "The sender is whoever the request says, or nobody at all: requests are believed before anybody logged in.",
           "log_in send unread deposit balance join")  # fmt: skip
def strangers_may_do_nothing(scene):
    """Who has not logged in can neither send, read, pay, look, nor join."""
    ada, new_client = scene.user("ada"), scene.new_client()
    for verb, *given in [("send", ada.name, "hi"), ("unread",), ("deposit", 5), ("balance",), ("join", "den")]:
        refused("NOT_LOGGED_IN", f"{verb} without log-in", getattr(new_client, verb), *given)


@chat_case(CASES, "A password that is not asked, or not compared with what was given.", "log_in passwords")
def passwords_are_checked(scene):
    """An account with a password opens with that password and with no other."""
    name, ada = scene.name("ada"), scene.new_client()
    ada.create_account(name, "sésame|\n")
    for wrong in ("", "sésame|"):
        refused("WRONG_PASSWORD", f"log_in with the password {wrong!r}", scene.new_client().log_in, name, wrong)
    expect("log_in with the right password: the name", scene.new_client().log_in(name, "sésame|\n").name, name)


# ---- search -----------------------------------------------------------------------------------------------------


ENDS = (".ab", "_ab", "-ab", ".aab", ".abc", ".AB")
#: Which of those ends a pattern finds.
MATCHES = {
    "*": ".ab _ab -ab .aab .abc .AB", ".ab": ".ab", "?ab": ".ab _ab -ab", "_ab": "_ab", "%": "", ".a*b": ".ab .aab",
    "[.]ab": "", ".ab*": ".ab .abc", "*ab": ".ab _ab -ab .aab", ".*": ".ab .aab .abc .AB", ".": "", "?": "",
    "*?c": ".abc", "(": "",
}  # fmt: skip


@chat_case(
    CASES,
    "A wildcard that means a regular expression, fnmatch, SQL LIKE or a substring: only * and ? are special.",
    "list_accounts",
)
def only_star_and_question_mark_are_wildcards(scene):
    """`*` is any run and `?` any one character; `.`, `[`, `%`, `_` and `(` stand for themselves."""
    base, client = scene.name("w"), scene.user("asker")
    for end in ENDS:
        scene.new_client().create_account(base + end)
    for pattern, wanted in MATCHES.items():
        found = sorted(name.removeprefix(base) for name in client.list_accounts(base + pattern).names)
        expect(f"list_accounts(base + {pattern!r}) where {' '.join(ENDS)} are there", found, sorted(wanted.split()))


@chat_case(
    CASES,
    "A pattern compiled as a regular expression: (a+)+b against a row of a's stops everybody for seconds.",
    "list_accounts",
)
def no_pattern_stops_the_others(scene):
    """A pattern made to explode is answered at once, and meanwhile the others are served."""
    for _ in range(3):
        scene.new_client().create_account(scene.name("a" * 40 + "c"))
    client, other = scene.users("asker", "other")
    start = time.monotonic()
    patterns = ["(a+)+b", "(a|aa)+$", "[", "(", "*" * 200, "*a" * 100 + "b", "?" * 250, "a*" * 100, "\\", "[!", "(?P<"]
    at_once(
        *[functools.partial(client.list_accounts, pattern) for pattern in patterns],
        *[functools.partial(other.list_accounts, "zzz*")] * 3,
    )
    if (took := time.monotonic() - start) > 2:
        raise CaseFailed(
            f"list_accounts of {', '.join(map(repr, patterns[:3]))} and others", f"all answered, after {took:.0f} s"
        )


@chat_case(CASES, "A list that comes in one piece, or whose pages overlap or leave names out.", "list_accounts paging")
def names_come_in_pages(scene):
    """Page after page, each name comes once, in order, and no page is longer than asked."""
    base = scene.name("p")
    names = [f"{base}.{number:02}" for number in range(23)]
    for name in reversed(names):
        scene.new_client().create_account(name)
    client, got, after = scene.user("asker"), [], ""
    for _ in range(100):
        page = client.list_accounts(f"{base}.*", after, 5)
        expect(
            f"list_accounts(after={after.removeprefix(base)!r}, limit=5): at most five names",
            len(page.names) <= 5,
            True,
        )
        got += page.names
        after = page.next
        if not after:
            break
    expect("all the pages", [name.removeprefix(base) for name in got], [name.removeprefix(base) for name in names])


# ---- messages ---------------------------------------------------------------------------------------------------


@chat_case(CASES, "An unknown recipient that is silently accepted, or a failure text with status success.", "send")
def an_unknown_recipient_is_refused(scene):
    """A message to nobody is refused, and the connection lives on."""
    ada, bob = scene.users("ada", "bob")
    refused("NO_SUCH_ACCOUNT", "send to nobody", ada.send, scene.name("nobody"), "hi")
    ada.send(bob.name, "hi")


@chat_case(
    CASES, "A push that waits for a poll, goes to the wrong connection, or carries another sender.", "send receive"
)
def who_is_on_line_is_told_at_once(scene):
    """A message to somebody on-line is pushed, with its sender's name and its text."""
    ada, bob = scene.users("ada", "bob")
    ada.send(bob.name, "hi")
    event = next_event(bob)
    expect("send to somebody on-line", (event.sender, event.text), (ada.name, "hi"))
    expect_silence(bob, "one message")
    expect_silence(ada, "a message to somebody else")


@chat_case(CASES, "A message to oneself that is acknowledged and never delivered.", "send receive")
def a_message_to_oneself_arrives(scene):
    """Who writes to the own name gets the message."""
    ada = scene.user("ada")
    ada.send(ada.name, "note")
    event = next_event(ada)
    expect("send to oneself", (event.sender, event.text), (ada.name, "note"))


@chat_case(CASES, "Mail for somebody off-line that is lost, or emptied before it was shown.", "send log_in unread")
def mail_waits_for_who_is_off_line(scene):
    """What was sent to somebody off-line is counted at log-in, shown in order, once, and then gone."""
    ada, bob = scene.users("ada", "bob")
    bob.close()
    off_line(ada, bob.name)
    sent = [f"letter {number}" for number in range(5)]
    for text in sent:
        ada.send(bob.name, text)
    with scene.new_client() as back:
        account = back.log_in(bob.name)
        mail = [m for m in unread(back) if m.text != "?"]
        expect("unread of what came while off-line", [m.text for m in mail], sent)
        expect("the senders", {m.sender for m in mail}, {ada.name})
        if account.unread < 5:
            raise CaseFailed("five letters to somebody off-line, then log_in", f"unread={account.unread}")
        expect("unread once more", unread(back), [])
    expect("log_in once more: unread", scene.login_as(bob.name).account.unread, 0)


def off_line(sender: Client, name: str) -> None:
    """Wait until a message to that name is no longer pushed. Leaves some "?" in the mailbox."""
    until(
        lambda: not sender.send(name, "?").delivered,
        f"send to {name.rstrip('0123456789')}, whose client is gone",
        "still said to be on-line",
    )


def unread(client: Client, limit: int = 100) -> list[Arrived]:
    """All pages of the unread mail."""
    mail, after = [], 0
    for _ in range(1000):
        page = client.unread(after, limit)
        mail += page.messages
        if not page.more or not page.messages:
            return mail
        after = page.messages[-1].number
    raise CaseFailed("unread, page after page", "a thousand pages, and still more")


@chat_case(
    CASES, "Redelivered for ever, shown twice, or in another order than it was sent.", "send receive log_in unread"
)
def each_message_is_shown_once_and_in_order(scene):
    """Two senders, a hundred messages, a recipient who leaves and comes back: each is shown once, in its sender's order."""
    ada, eve, bob = scene.users("ada", "eve", "bob")
    send = lambda who, low, high: [who.send(bob.name, f"{number}") for number in range(low, high)]  # noqa: E731
    at_once(lambda: send(ada, 0, 25), lambda: send(eve, 0, 25))
    seen = [next_event(bob) for _ in range(50)]
    bob.close()
    at_once(lambda: send(ada, 25, 50), lambda: send(eve, 25, 50))
    seen += unread(scene.login_as(bob.name))
    for who in (ada, eve):
        expect(
            "a hundred messages by two senders; those of one",
            [int(m.text) for m in seen if m.sender == who.name],
            list(range(50)),
        )


@chat_case(
    CASES,
    "Mail dropped when it was pushed, not when it was shown: what a lost connection swallowed never comes again.",
    "send receive log_in unread",
)
def what_was_not_shown_comes_again(scene):
    """A recipient whose connection breaks before the messages were shown finds them at the next log-in."""
    ada, path = scene.user("ada"), scene.path()
    bob = scene.user("bob", path.address)
    path.stall()
    sent = [f"{number}" for number in range(10)]
    for text in sent:
        ada.send(bob.name, text)
    path.cut()
    expect(
        "ten messages into a connection that broke, then log_in and unread",
        [m.text for m in unread(scene.login_as(bob.name))],
        sent,
    )


@chat_case(
    CASES,
    "A page that is longer than asked, or pages that overlap or leave something out.",
    "send log_in unread paging",
)
def mail_comes_in_pages(scene):
    """The user says how many messages to read at a time, and each is shown once."""
    ada, bob = scene.users("ada", "bob")
    name, sent = bob.name, [f"{number}" for number in range(23)]
    bob.close()
    for text in sent:
        ada.send(name, text)
    bob = scene.login_as(name)
    page = bob.unread(limit=10)
    expect("unread(limit=10) of 23: messages, more", (len(page.messages), page.more), (10, True))
    rest = unread(bob, limit=10)
    expect("all the pages", [m.text for m in (*page.messages, *rest)], sent)


@chat_case(
    CASES,
    "A delimiter, quote, control character or letter in the body that the transport takes for its own.",
    "send receive",
)
def every_text_arrives_unchanged(scene):
    """Empty, long, multi-line, non-ASCII, command-like texts arrive as they were sent, one message each."""
    ada, bob = scene.users("ada", "bob")
    sent = [
        "",
        TRICKY,
        "\n",
        "a\r\nb",
        "0",
        "true",
        "{}",
        '"',
        "\\",
        "/quit",
        "15",
        "#7|15",
        " padded ",
        "🙂" * 100,
        "x" * 5000,
        "\0",
    ]
    for text in sent:
        ada.send(bob.name, text)
    for text, got in zip(sent, texts(bob, len(sent))):
        expect(f"the text {clipped(text, 60)!r}", got, text)
    expect_silence(bob, f"{len(sent)} messages")


@chat_case(
    CASES,
    "A buffer of fixed size, or a length field too narrow, for the longest text; a text too long that ends the connection.",
    "send receive big_texts",
)
def the_longest_text_arrives(scene):
    """A text of 65536 bytes arrives whole, in ASCII and not; a longer one is refused and the connection lives."""
    ada, bob = scene.users("ada", "bob")
    for text in ("x" * 65536, "é" * 32768, "🙂" * 16384, '"' * 65536):
        ada.send(bob.name, text)
        expect(f"a text of 65536 bytes, {text[:1]!r} again and again", texts(bob, 1)[0], text)
    refused("TEXT_TOO_LONG", "a text of 65537 bytes", ada.send, bob.name, "x" * 65537)
    refused("TEXT_TOO_LONG", "32769 times é", ada.send, bob.name, "é" * 32769)
    ada.send(bob.name, "still here")
    expect("a message after a refusal", texts(bob, 1), ["still here"])


@chat_case(
    CASES,
    "Mail that anyone can read or delete: the mailbox is chosen by the request and not by who asks.",
    "send delete_messages unread log_in",
)
def a_foreign_mailbox_stays_closed(scene):
    """Deleting and acknowledging numbers of somebody else's mail does nothing to it."""
    ada, bob, eve = scene.users("ada", "bob", "eve")
    name = bob.name
    bob.close()
    off_line(ada, name)
    number = ada.send(name, "secret").number
    expect("eve deletes the numbers of bob's mail: how many were deleted", eve.delete_messages(range(1, number + 1)), 0)
    expect("eve's unread mail", unread(eve), [])
    expect("bob's last letter", [m.text for m in unread(scene.login_as(name))][-1:], ["secret"])


@chat_case(CASES, "A deletion that deletes more, less or others than asked.", "send log_in delete_messages unread")
def messages_are_deleted_by_number(scene):
    """The numbers that are there are deleted and counted; the others are passed over; the rest stays."""
    ada, bob = scene.users("ada", "bob")
    name = bob.name
    bob.close()
    off_line(ada, name)
    numbers = [ada.send(name, f"letter {n}").number for n in range(4)]
    bob = scene.login_as(name)
    expect(
        "delete two that are there and one that is not",
        bob.delete_messages([numbers[0], numbers[2], numbers[3] + 1000]),
        2,
    )
    expect("delete them again", bob.delete_messages([numbers[0], numbers[2]]), 0)
    expect("unread after it", [m.text for m in unread(bob) if m.text != "?"], ["letter 1", "letter 3"])


@chat_case(CASES, "What happens to unread mail and to the name of a deleted account was never decided: mail is lost, or inherited.",
           "send receive delete_account deposit balance log_in unread")  # fmt: skip
def a_deleted_account_is_gone(scene):
    """The balance is paid out, unread mail goes back as a notice, the name is free, and a newcomer inherits nothing."""
    ada, bob = scene.users("ada", "bob")
    name, path = bob.name, scene.path()
    bob.deposit(30)
    bob.close()
    ada.send(name, "are you there?")
    bob = scene.new_client(path.address)
    bob.log_in(name)
    second = scene.login_as(name)
    expect("delete_account with 30 credits: paid out", bob.delete_account(), 30)
    notice = next_event(ada)
    expect(
        "the unread message: sender, text, returned",
        (notice.sender, notice.text, notice.returned),
        (name, "are you there?", True),
    )
    next_event(second, LoggedOut)
    refused("NO_SUCH_ACCOUNT", "send to the deleted account", ada.send, name, "hello?")
    heir = scene.new_client()
    expect("create_account of the free name: unread", heir.create_account(name).unread, 0)
    expect("the newcomer's balance", heir.balance(), 0)
    expect("the newcomer's mail", unread(heir), [])


# ---- balances ---------------------------------------------------------------------------------------------------


@chat_case(
    CASES,
    "No rule against overdraft, negative or huge amounts: or something was changed although it was refused.",
    "deposit withdraw balance",
)
def a_balance_obeys_its_rules(scene):
    """Deposits and withdrawals add up; overdraft, zero, negative amounts and overflow are refused and change nothing."""
    ada = scene.user("ada")
    expect("deposit(100), withdraw(30), balance()", (ada.deposit(100), ada.withdraw(30), ada.balance()), (100, 70, 70))
    refused("OVERDRAFT", "withdraw(71) from 70", ada.withdraw, 71)
    for amount in (0, -1, -(2**63)):
        refused("BAD_VALUE", f"deposit({amount})", ada.deposit, amount)
        refused("BAD_VALUE", f"withdraw({amount})", ada.withdraw, amount)
    refused("OVERFLOW", "deposit(2**63 - 1) to 70", ada.deposit, 2**63 - 1)
    expect("balance() after refusals only", ada.balance(), 70)
    expect("deposit(2**53 + 1): not through a float", ada.deposit(2**53 + 1), 2**53 + 71)


@chat_case(
    CASES,
    "A foreign balance: the account is taken from the request, and not from who asks.",
    "deposit withdraw balance foreign_balance",
)
def a_foreign_balance_is_not_touched(scene):
    """Only the owner deposits, withdraws and looks."""
    ada, eve = scene.users("ada", "eve")
    ada.deposit(50)
    for request in (
        Deposit(5, ada.name),
        Withdraw(5, ada.name),
        ViewBalance(ada.name),
        Withdraw(5, str(ada.account.id)),
    ):
        refused("NOT_YOUR_ACCOUNT", f"{type(request).__name__} of ada's account, by eve", eve.ask, request)
    expect("ada's balance after it", ada.balance(), 50)


@chat_case(
    CASES,
    "An operation that happens twice when it is repeated, or a request id that another user's request can meet.",
    "deposit withdraw balance request_ids",
)
def a_repeated_request_is_done_once(scene):
    """A request with the same request id gets the first answer and is not done again; another user's id is another id."""
    ada, eve = scene.users("ada", "eve")
    expect("deposit(100, request_id='r|1') twice", (ada.deposit(100, "r|1"), ada.deposit(100, "r|1")), (100, 100))
    expect(
        "withdraw(10, request_id='r2') twice",
        (ada.withdraw(10, "r2"), ada.withdraw(10, "r2"), ada.balance()),
        (90, 90, 90),
    )
    expect("the same request id by another user", eve.deposit(7, "r|1"), 7)
    refused("REQUEST_ID_REUSED", "another amount with the same request id", ada.deposit, 5, "r|1")
    expect("deposit(1) twice without one", (ada.deposit(1), ada.deposit(1)), (91, 92))


# ---- rooms ------------------------------------------------------------------------------------------------------


@chat_case(
    CASES,
    "Somebody in the room who does not hear, somebody outside who does, or a sender who hears the own words.",
    "join say leave receive",
)
def a_room_hears_what_is_said(scene):
    """Everybody else in the room hears what is said, and who comes and goes; nobody outside does."""
    ada, bob, eve = scene.users("ada", "bob", "eve")
    room = scene.name("den")
    refused("NOT_IN_ROOM", "say outside of a room", ada.say, "hi")
    ada.join(room)
    expect("join, the second: members", bob.join(room).members, tuple(sorted((ada.name, bob.name))))
    expect("who comes", next_event(ada, Entered).name, bob.name)
    expect("say to one other: heard by", ada.say(TRICKY), 1)
    event = next_event(bob, Heard)
    expect("what is heard", (event.sender, event.text), (ada.name, TRICKY))
    bob.leave()
    expect("who goes", next_event(ada, Left).name, bob.name)
    expect("say to an empty room: heard by", ada.say("anybody?"), 0)
    for client in (ada, bob, eve):
        expect_silence(client, "who should hear nothing", Heard)


@chat_case(
    CASES,
    "A second log-in overwrites the first one's place: when it closes it takes the first's pushes along.",
    "log_in send receive",
)
def two_log_ins_live_side_by_side(scene):
    """Both connections of one account get each message; when the second closes the first still gets them."""
    ada, first = scene.users("ada", "bob")
    second = scene.login_as(first.name)
    ada.send(first.name, "to both")
    expect("two connections of one account", (texts(first, 1), texts(second, 1)), (["to both"], ["to both"]))
    second.close()
    ada.send(first.name, "to the first")
    expect("after the second has closed", texts(first, 1), ["to the first"])
