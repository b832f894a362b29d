"""What every chat server must do, whatever protocol carries it: accounts, search, messages, balances and rooms.

A case gets a `Scenario`. Every wait is for something, with a deadline. Nothing here knows which protocol is spoken.
"""

import functools

from ..messages import Account, ChatError, Deposit, Entered, Heard, Left, LoggedOut, ViewBalance, Withdraw
from ..transport import event_loop
from ..transport.client import Client
from .fixtures import Scenario, expect, expect_refused, server_case
from .report import CaseFailed, clipped

TRICKY = "a|b,c;d \"e\" 'f' {g} [h] \\ \n\r\t\0 <i> %s &amp; é 中文 🙂"

# ---- accounts ---------------------------------------------------------------------------------------------------


@server_case("The server does not start, does not say where it listens, or does not answer.", "")
def a_server_starts_and_answers(scenario: Scenario) -> None:
    """The server starts on a free port and a first account can be created."""
    ada = scenario.new_client()
    name = scenario.name("ada")
    expect("create_account: the name in the answer", ada.create_account(name).name, name)


@server_case("Only the blocking client was written, and those who measure use the async one.", "send receive async")
def an_async_client_works_too(scenario: Scenario) -> None:
    """What `connect_async` gives has the same verbs, awaited, and meets the others in the chat."""
    ada, name = scenario.user("ada"), scenario.name("bob")

    async def talk() -> str:
        bob = await scenario.implementation.connect_async(scenario.address)
        await bob.create_account(name)
        await bob.send(ada.name, "hi")
        await bob.send(name, "note")
        event = await bob.receive(timeout_s=scenario.wait_s)
        await bob.close()
        return str(getattr(event, "text", event))

    expect("a message to oneself by an async client", event_loop.run(talk(), timeout_s=2 * scenario.wait_s), "note")
    expect("a message from it", scenario.texts(ada, 1), ["hi"])


@server_case("A second account of the same name: the rule is enforced only in the client, or checked without a lock.")
def names_are_unique(scenario: Scenario) -> None:
    """A name is given once, also when many ask for it at the same moment."""
    name = scenario.name("ada")
    accounts: list[Account] = []

    def create(client: Client) -> None:
        try:
            accounts.append(client.create_account(name))
        except ChatError as error:
            expect("create_account of a name that is taken", error.code, "NAME_TAKEN")

    scenario.concurrently(*[functools.partial(create, scenario.new_client()) for _ in range(5)])
    expect("create_account of one name from five clients at once: accounts made", len(accounts), 1)


@server_case(
    "Names that cannot be told from numbers, or hold what a terminal obeys; or a refusal that quotes them raw.",
    "list_accounts",
)
def impossible_names_are_refused(scenario: Scenario) -> None:
    """Empty, spaces, digits alone, 65 letters, control characters: refused, in words that a terminal survives."""
    client = scenario.new_client()
    for name in ("", "a b", "1234", "x" * 65, "a\nb", "\x1b[2J", "a|b", "../x", "a\0b"):
        error = expect_refused("BAD_NAME", f"create_account({name!r})", client.create_account, name)
        if not error.text.isprintable():
            raise CaseFailed(f"create_account({name!r})", f"a refusal with control characters: {error.text!r}")
    client.create_account(scenario.name("ada"))


@server_case(
    "Replies made in ASCII: a non-ASCII name is created, and then the reply fails.", "list_accounts send receive"
)
def names_in_every_script(scenario: Scenario) -> None:
    """Names in any script are created, listed, written to, and shown as senders."""
    for base in ("Zoë", "Łukasz", "中文", "שלום"):
        one, other = scenario.users(base, base)
        expect(f"list_accounts of one name, {base} and a number", one.list_accounts(one.name).names, (one.name,))
        one.send(other.name, f"hi {other.name}")
        event = scenario.next_message(other)
        expect(f"send as {base} and a number", (event.sender, event.text), (one.name, f"hi {other.name}"))


@server_case("An account found by a wrong key, or a failure reported with success.", "log_in log_out send")
def logging_in_and_out(scenario: Scenario) -> None:
    """By name or by id; unknown names are refused; after log_out nothing is done in the old name; the connection lives
    on."""
    ada, name = scenario.new_client(), scenario.name("ada")
    number = ada.create_account(name).id
    expect_refused(
        "NO_SUCH_ACCOUNT", "log_in of a name that no account has", scenario.new_client().log_in, scenario.name("nobody")
    )
    ada.log_out()
    expect_refused("NOT_LOGGED_IN", "send after log_out", ada.send, name, "hi")
    expect("log_in by id: the name", ada.log_in(number).name, name)
    ada.log_out()
    expect("log_in by name: the id", ada.log_in(name).id, number)


@server_case(
    "The sender is taken from the request, or is nobody: requests are believed before anyone has logged in.",
    "log_in send unread deposit balance join",
)
def nothing_is_allowed_before_log_in(scenario: Scenario) -> None:
    """Without a log-in nothing can be sent, read, paid or looked at, and no room joined."""
    ada, client = scenario.user("ada"), scenario.new_client()
    expect_refused("NOT_LOGGED_IN", "send without log-in", client.send, ada.name, "hi")
    expect_refused("NOT_LOGGED_IN", "unread without log-in", client.unread)
    expect_refused("NOT_LOGGED_IN", "deposit without log-in", client.deposit, 5)
    expect_refused("NOT_LOGGED_IN", "balance without log-in", client.balance)
    expect_refused("NOT_LOGGED_IN", "join without log-in", client.join, "den")


@server_case("A password that is not asked, or not compared with what was given.", "log_in passwords")
def passwords_are_checked(scenario: Scenario) -> None:
    """An account with a password opens with that password and with no other."""
    name, ada = scenario.name("ada"), scenario.new_client()
    ada.create_account(name, "sésame| ok")
    for wrong in ("", "sésame|"):
        expect_refused(
            "WRONG_PASSWORD", f"log_in with the password {wrong!r}", scenario.new_client().log_in, name, wrong
        )
    expect("log_in with the right password: the name", scenario.new_client().log_in(name, "sésame| ok").name, name)


# ---- search -----------------------------------------------------------------------------------------------------


ENDS = (".ab", "_ab", "-ab", ".aab", ".abc", ".AB")
#: Which of those ends a pattern finds.
MATCHES = {
    "*": ".ab _ab -ab .aab .abc .AB", ".ab": ".ab", "?ab": ".ab _ab -ab", "_ab": "_ab", "%": "", ".a*b": ".ab .aab",
    "[.]ab": "", ".ab*": ".ab .abc", "*ab": ".ab _ab -ab .aab", ".*": ".ab .aab .abc .AB", ".": "", "?": "",
    "*?c": ".abc", "(": "",
}  # fmt: skip


@server_case(
    "A wildcard that means a regular expression, fnmatch, SQL LIKE or a substring: only * and ? are special.",
    "list_accounts",
)
def only_star_and_question_mark_are_wildcards(scenario: Scenario) -> None:
    """`*` is any run and `?` any one character; `.`, `[`, `%`, `_` and `(` stand for themselves."""
    base, client = scenario.name("w"), scenario.user("asker")
    for end in ENDS:
        scenario.new_client().create_account(base + end)
    for pattern, wanted in MATCHES.items():
        found = sorted(name.removeprefix(base) for name in client.list_accounts(base + pattern).names)
        expect(f"list_accounts(base + {pattern!r}) where {' '.join(ENDS)} are there", found, sorted(wanted.split()))


@server_case("A list that comes in one piece, or whose pages overlap or leave names out.", "list_accounts paging")
def names_come_in_pages(scenario: Scenario) -> None:
    """Page after page, each name comes once, in order, and no page is longer than asked."""
    base = scenario.name("p")
    names = [f"{base}.{number:02}" for number in range(23)]
    for name in reversed(names):
        scenario.new_client().create_account(name)
    client, after = scenario.user("asker"), ""
    got: list[str] = []
    for _ in range(100):
        page = client.list_accounts(f"{base}.*", after, 5)
        sent = f"list_accounts(after={after.removeprefix(base)!r}, limit=5): at most five names"
        expect(sent, len(page.names) <= 5, True)
        got += page.names
        after = page.next
        if not after:
            break
    expect("all the pages", [name.removeprefix(base) for name in got], [name.removeprefix(base) for name in names])


# ---- messages ---------------------------------------------------------------------------------------------------


@server_case("An unknown recipient that is silently accepted, or a failure text with status success.", "send")
def an_unknown_recipient_is_refused(scenario: Scenario) -> None:
    """A message to an unknown name is refused, and the connection lives on."""
    ada, bob = scenario.users("ada", "bob")
    expect_refused("NO_SUCH_ACCOUNT", "send to an unknown name", ada.send, scenario.name("nobody"), "hi")
    ada.send(bob.name, "hi")


@server_case("A push that waits for a poll, goes to the wrong connection, or carries another sender.", "send receive")
def a_message_to_someone_online_is_pushed(scenario: Scenario) -> None:
    """A message to someone online is pushed, with its sender's name and its text."""
    ada, bob = scenario.users("ada", "bob")
    ada.send(bob.name, "hi")
    event = scenario.next_message(bob)
    expect("send to someone online", (event.sender, event.text), (ada.name, "hi"))
    scenario.expect_silence(bob, "one message")
    scenario.expect_silence(ada, "a message to someone else")


@server_case("A message to oneself that is acknowledged and never delivered.", "send receive")
def a_message_to_oneself_arrives(scenario: Scenario) -> None:
    """A message to the own name arrives."""
    ada = scenario.user("ada")
    ada.send(ada.name, "note")
    event = scenario.next_message(ada)
    expect("send to oneself", (event.sender, event.text), (ada.name, "note"))


@server_case("Mail for someone offline that is lost, or emptied before it was shown.", "send log_in unread")
def mail_waits_for_someone_offline(scenario: Scenario) -> None:
    """What was sent to someone offline is counted at log-in, shown in order, once, and then gone."""
    ada, bob = scenario.users("ada", "bob")
    bob.close()
    scenario.wait_until_offline(ada, bob.name)
    sent = [f"letter {number}" for number in range(5)]
    for text in sent:
        ada.send(bob.name, text)
    with scenario.new_client() as back:
        account = back.log_in(bob.name)
        mail = [m for m in scenario.all_unread(back) if m.text != "?"]
        expect("unread of what came while offline", [m.text for m in mail], sent)
        expect("the senders", {m.sender for m in mail}, {ada.name})
        if account.unread < 5:
            raise CaseFailed("five letters to someone offline, then log_in", f"unread={account.unread}")
        expect("unread once more", scenario.all_unread(back), [])
    expect("log_in once more: unread", scenario.new_client().log_in(bob.name).unread, 0)


@server_case("Redelivered for ever, shown twice, or in another order than it was sent.", "send receive log_in unread")
def each_message_is_shown_once_and_in_order(scenario: Scenario) -> None:
    """Two senders, and a recipient who leaves and comes back: each message is shown once, in its sender's order."""
    ada, eve, bob = scenario.users("ada", "eve", "bob")

    def send(client: Client, first: int, end: int) -> None:
        for number in range(first, end):
            client.send(bob.name, f"{number}")

    scenario.concurrently(lambda: send(ada, 0, 25), lambda: send(eve, 0, 25))
    seen = [scenario.next_message(bob) for _ in range(50)]
    bob.close()
    scenario.concurrently(lambda: send(ada, 25, 50), lambda: send(eve, 25, 50))
    seen += scenario.all_unread(scenario.log_in_as(bob.name))
    for sender in (ada, eve):
        numbers = [int(message.text) for message in seen if message.sender == sender.name]
        expect("a hundred messages by two senders; those of one", numbers, list(range(50)))


@server_case(
    "Mail dropped when it was pushed, not when it was shown: what a lost connection swallowed never comes again.",
    "send receive log_in unread",
)
def what_was_not_shown_is_delivered_again(scenario: Scenario) -> None:
    """A recipient whose connection breaks before the messages were shown finds them at the next log-in."""
    ada, link = scenario.user("ada"), scenario.link()
    bob = scenario.user("bob", link.address)
    link.stall()
    sent = [f"{number}" for number in range(10)]
    for text in sent:
        ada.send(bob.name, text)
    link.reset()
    expect(
        "ten messages into a connection that broke, then log_in and unread",
        [m.text for m in scenario.all_unread(scenario.log_in_as(bob.name))],
        sent,
    )


@server_case(
    "A page that is longer than asked, or pages that overlap or leave something out.",
    "send log_in unread paging",
)
def mail_comes_in_pages(scenario: Scenario) -> None:
    """The user says how many messages to read at a time, and each is shown once."""
    ada, bob = scenario.users("ada", "bob")
    name, sent = bob.name, [f"{number}" for number in range(23)]
    bob.close()
    for text in sent:
        ada.send(name, text)
    bob = scenario.log_in_as(name)
    page = bob.unread(limit=10)
    expect("unread(limit=10) of 23: messages, more", (len(page.messages), page.more), (10, True))
    rest = scenario.all_unread(bob, limit=10)
    expect("all the pages", [m.text for m in (*page.messages, *rest)], sent)


@server_case(
    "A delimiter, quote, control character or letter in the body that the transport takes for its own.",
    "send receive",
)
def every_text_arrives_unchanged(scenario: Scenario) -> None:
    """Empty, long, multi-line, non-ASCII, command-like texts arrive as they were sent, one message each."""
    ada, bob = scenario.users("ada", "bob")
    sent = ["", TRICKY, "\n", "a\r\nb", "0", "true", "{}", '"', "\\", "/quit", "15", "#7|15", " padded ", "\0"]
    sent += ["🙂" * 100, "x" * 5000]
    for text in sent:
        ada.send(bob.name, text)
    for text, got in zip(sent, scenario.texts(bob, len(sent))):
        expect(f"the text {clipped(text, 60)!r}", got, text)
    scenario.expect_silence(bob, f"{len(sent)} messages")


@server_case(
    "A buffer of fixed size, or a length field too narrow, for the longest text; a text too long that ends the "
    "connection.",
    "send receive big_texts",
)
def the_longest_text_arrives(scenario: Scenario) -> None:
    """A text of 65536 bytes arrives whole, in ASCII and not; a longer one is refused and the connection lives."""
    ada, bob = scenario.users("ada", "bob")
    for text in ("x" * 65536, "é" * 32768, "🙂" * 16384, '"' * 65536):
        ada.send(bob.name, text)
        expect(f"a text of 65536 bytes, {text[:1]!r} again and again", scenario.texts(bob, 1)[0], text)
    expect_refused("TEXT_TOO_LONG", "a text of 65537 bytes", ada.send, bob.name, "x" * 65537)
    expect_refused("TEXT_TOO_LONG", "32769 times é", ada.send, bob.name, "é" * 32769)
    ada.send(bob.name, "still here")
    expect("a message after a refusal", scenario.texts(bob, 1), ["still here"])


@server_case(
    "Mail that anyone can read or delete: the mailbox is chosen by the request and not by who asks.",
    "send delete_messages unread log_in",
)
def the_mailbox_of_another_user_stays_closed(scenario: Scenario) -> None:
    """Deleting and acknowledging numbers of someone else's mail does nothing to it."""
    ada, bob, eve = scenario.users("ada", "bob", "eve")
    name = bob.name
    bob.close()
    scenario.wait_until_offline(ada, name)
    number = ada.send(name, "secret").number
    expect("eve deletes the numbers of bob's mail: how many were deleted", eve.delete_messages(range(1, number + 1)), 0)
    expect("eve's unread mail", scenario.all_unread(eve), [])
    expect("bob's last letter", [m.text for m in scenario.all_unread(scenario.log_in_as(name))][-1:], ["secret"])


@server_case("A deletion that deletes more, less or others than asked.", "send log_in delete_messages unread")
def messages_are_deleted_by_number(scenario: Scenario) -> None:
    """The numbers that are there are deleted and counted; the others are passed over; the rest stays."""
    ada, bob = scenario.users("ada", "bob")
    name = bob.name
    bob.close()
    scenario.wait_until_offline(ada, name)
    numbers = [ada.send(name, f"letter {n}").number for n in range(4)]
    bob = scenario.log_in_as(name)
    deleted = bob.delete_messages([numbers[0], numbers[2], numbers[3] + 1000])
    expect("delete two that are there and one that is not", deleted, 2)
    expect("delete them again", bob.delete_messages([numbers[0], numbers[2]]), 0)
    expect("unread after it", [m.text for m in scenario.all_unread(bob) if m.text != "?"], ["letter 1", "letter 3"])


@server_case(
    "What happens to unread mail and to the name of a deleted account was never decided: mail is lost, or inherited.",
    "send receive delete_account deposit balance log_in unread",
)
def a_deleted_account_is_gone(scenario: Scenario) -> None:
    """The balance is paid out, unread mail goes back as a notice, the name is free, and a newcomer inherits nothing."""
    ada, bob = scenario.users("ada", "bob")
    name, link = bob.name, scenario.link()
    bob.deposit(30)
    bob.close()
    ada.send(name, "are you there?")
    bob = scenario.new_client(link.address)
    bob.log_in(name)
    second = scenario.log_in_as(name)
    expect("delete_account with 30 credits: paid out", bob.delete_account(), 30)
    notice = scenario.next_message(ada)
    got = (notice.sender, notice.text, notice.returned)
    expect("the unread message: sender, text, returned", got, (name, "are you there?", True))
    scenario.next_event(second, LoggedOut)
    expect_refused("NO_SUCH_ACCOUNT", "send to the deleted account", ada.send, name, "hello?")
    heir = scenario.new_client()
    expect("create_account of the free name: unread", heir.create_account(name).unread, 0)
    expect("the newcomer's balance", heir.balance(), 0)
    expect("the newcomer's mail", scenario.all_unread(heir), [])


# ---- balances ---------------------------------------------------------------------------------------------------


@server_case(
    "No rule against overdraft, negative or huge amounts: or something was changed although it was refused.",
    "deposit withdraw balance",
)
def a_balance_obeys_its_rules(scenario: Scenario) -> None:
    """Amounts add up; overdraft, zero, negative amounts and overflow are refused and change nothing."""
    ada = scenario.user("ada")
    expect("deposit(100), withdraw(30), balance()", (ada.deposit(100), ada.withdraw(30), ada.balance()), (100, 70, 70))
    expect_refused("OVERDRAFT", "withdraw(71) from 70", ada.withdraw, 71)
    for amount in (0, -1, -(2**63)):
        expect_refused("BAD_VALUE", f"deposit({amount})", ada.deposit, amount)
        expect_refused("BAD_VALUE", f"withdraw({amount})", ada.withdraw, amount)
    expect_refused("OVERFLOW", "deposit(2**63 - 1) to 70", ada.deposit, 2**63 - 1)
    expect("balance() after refusals only", ada.balance(), 70)
    expect("deposit(2**53 + 1): not through a float", ada.deposit(2**53 + 1), 2**53 + 71)


@server_case(
    "The account is taken from the request, and not from who asks: anyone can empty it.",
    "deposit withdraw balance foreign_balance",
)
def the_balance_of_another_user_stays_closed(scenario: Scenario) -> None:
    """Only the owner deposits, withdraws and looks."""
    ada, eve = scenario.new_client(), scenario.user("eve")
    number = ada.create_account(scenario.name("ada")).id
    ada.deposit(50)
    by_name = Deposit(5, ada.name), Withdraw(5, ada.name), ViewBalance(ada.name)
    for request in (*by_name, Withdraw(5, str(number))):
        expect_refused("NOT_YOUR_ACCOUNT", f"{type(request).__name__} of ada's account, by eve", eve.ask, request)
    expect("ada's balance after it", ada.balance(), 50)


@server_case(
    "An operation that happens twice when it is repeated, or a request id that another user's request can meet.",
    "deposit withdraw balance request_ids",
)
def a_repeated_request_is_done_once(scenario: Scenario) -> None:
    """A repeated request id gets the first answer and nothing is done again; another user's id is another id."""
    ada, eve = scenario.users("ada", "eve")
    expect("deposit(100, request_id='r|1') twice", (ada.deposit(100, "r|1"), ada.deposit(100, "r|1")), (100, 100))
    balances = (ada.withdraw(10, "r2"), ada.withdraw(10, "r2"), ada.balance())
    expect("withdraw(10, request_id='r2') twice", balances, (90, 90, 90))
    expect("the same request id by another user", eve.deposit(7, "r|1"), 7)
    expect_refused("REQUEST_ID_REUSED", "another amount with the same request id", ada.deposit, 5, "r|1")
    expect("deposit(1) twice without one", (ada.deposit(1), ada.deposit(1)), (91, 92))


# ---- rooms ------------------------------------------------------------------------------------------------------


@server_case(
    "Somebody in the room who does not hear, someone outside who does, or a sender who hears the own words.",
    "join say leave receive",
)
def a_room_hears_what_is_said(scenario: Scenario) -> None:
    """Everybody else in the room hears what is said, and who comes and goes; nobody outside does."""
    ada, bob, eve = scenario.users("ada", "bob", "eve")
    room = scenario.name("den")
    expect_refused("NOT_IN_ROOM", "say outside of a room", ada.say, "hi")
    ada.join(room)
    expect("join, the second: members", bob.join(room).members, tuple(sorted((ada.name, bob.name))))
    expect("who comes", scenario.next_event(ada, Entered).name, bob.name)
    expect("say to one other: heard by", ada.say(TRICKY), 1)
    event = scenario.next_event(bob, Heard)
    expect("what is heard", (event.sender, event.text), (ada.name, TRICKY))
    bob.leave()
    expect("who goes", scenario.next_event(ada, Left).name, bob.name)
    expect("say to an empty room: heard by", ada.say("anybody?"), 0)
    for client in (ada, bob, eve):
        scenario.expect_silence(client, "who should hear nothing", Heard)


@server_case(
    "A second log-in overwrites the first one's place: when it closes it takes the first's pushes along.",
    "log_in send receive",
)
def two_log_ins_live_side_by_side(scenario: Scenario) -> None:
    """Both connections of one account get each message; when the second closes the first still gets them."""
    ada, first = scenario.users("ada", "bob")
    second = scenario.log_in_as(first.name)
    ada.send(first.name, "to both")
    expect(
        "two connections of one account",
        (scenario.texts(first, 1), scenario.texts(second, 1)),
        (["to both"], ["to both"]),
    )
    second.close()
    ada.send(first.name, "to the first")
    expect("after the second has closed", scenario.texts(first, 1), ["to the first"])


CASES = (
    an_async_client_works_too,
    names_are_unique,
    impossible_names_are_refused,
    names_in_every_script,
    logging_in_and_out,
    nothing_is_allowed_before_log_in,
    passwords_are_checked,
    only_star_and_question_mark_are_wildcards,
    names_come_in_pages,
    an_unknown_recipient_is_refused,
    a_message_to_someone_online_is_pushed,
    a_message_to_oneself_arrives,
    mail_waits_for_someone_offline,
    each_message_is_shown_once_and_in_order,
    what_was_not_shown_is_delivered_again,
    mail_comes_in_pages,
    every_text_arrives_unchanged,
    the_longest_text_arrives,
    the_mailbox_of_another_user_stays_closed,
    messages_are_deleted_by_number,
    a_deleted_account_is_gone,
    a_balance_obeys_its_rules,
    the_balance_of_another_user_stays_closed,
    a_repeated_request_is_done_once,
    a_room_hears_what_is_said,
    two_log_ins_live_side_by_side,
)
