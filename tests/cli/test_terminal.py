"""The terminal client: in real windows for what is seen, on plain lines for what each command does."""

import asyncio
import itertools

import pytest
from pty_terminal import DEADLINE_S, Window, served

from chatlab.cli import terminal
from chatlab.cli.screen import escape_control
from chatlab.cli.terminal import COMMANDS, EVENT_LINES
from chatlab.harness import serve
from chatlab.messages import EVENTS, Entered, Goodbye, Heard
from chatlab.transport.registry import resolve

# ---- real windows -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def host():
    """A server in a window, and the port of each protocol."""
    window, ports = served("text", "grpc", "grpc-stream")
    with window:
        yield window, ports


def joined(host, name: str, protocol: str = "text") -> Window:
    """The window of a user who is in the lobby."""
    window = Window("chat", "127.0.0.1", "--protocol", protocol, "--port", host[1][protocol])
    window.shows("CREATING NEW ID:", "Enter username:")
    window.enter(name)
    window.shows("Welcome to chat room. Enter 'tata' anytime to exit", "You:")
    return window


@pytest.mark.parametrize("protocol", ["text", "grpc", "grpc-stream"])
def test_two_windows_and_a_server_show_what_the_ancestor_showed(host, protocol):
    tesla_name, albert_name = f"tesla-{protocol}", f"albert-{protocol}"
    with joined(host, tesla_name, protocol) as tesla, joined(host, albert_name, protocol) as albert:
        tesla.shows(f"{albert_name} joined the conversation")
        tesla.enter("hello")
        albert.shows(f"{tesla_name}: hello")
        albert.enter("world")
        tesla.shows("You: hello", f"{albert_name}: world")
        albert.enter("tata")
        assert albert.ends() == 0
        assert albert.lines[-1] == "DISCONNECTED!!"
        tesla.shows(f"{albert_name} left the conversation")
        for what in "connected", "is offline":
            line = host[0].shows_part(f"{what}  [ {albert_name} ]")
            assert line.startswith("Client (127.0.0.1, ") and line.endswith(f") {what}  [ {albert_name} ]")


def test_what_others_say_appears_above_the_line_being_typed(host):
    with joined(host, "ada") as ada, joined(host, "bob") as bob:
        ada.shows("bob joined the conversation")
        ada.type("half a li")
        ada.shows("You: half a li")
        bob.enter("excuse me")
        lines = ada.shows("bob: excuse me", "You: half a li")
        assert lines[-2:] == ["bob: excuse me", "You: half a li"]
        ada.enter("ne")
        bob.shows("ada: half a line")
        assert ada.shows("You: half a line", "You:")[-3:] == ["bob: excuse me", "You: half a line", "You:"]


def test_a_flood_of_messages_harms_no_letter_of_the_line_being_typed(host):
    sentence = "the quick brown fox jumps over the lazy dog"
    port = int(host[1]["text"])
    with joined(host, "calm") as calm, resolve("text").connect(("127.0.0.1", port)) as flood:
        flood.create_account("flood")
        flood.join()
        for number, letter in enumerate(sentence * 2):
            flood.say(f"line {number}")
            calm.type(letter)
        lines = calm.shows(f"You: {sentence * 2}", f"flood: line {len(sentence) * 2 - 1}")
        said = [line for line in lines if line.startswith("flood: line")]
        assert said == [f"flood: line {number}" for number in range(len(sentence) * 2)][-len(said) :]
        assert lines[-1] == f"You: {sentence * 2}"


def test_what_is_typed_ahead_is_not_lost_and_not_shown_twice(host):
    with joined(host, "hasty") as hasty:
        hasty.type("one\rtwo\rthree\r")
        lines = hasty.until(lambda lines: lines[-1:] == ["You:"] and "You: three" in lines, "three lines and a prompt")
        assert lines[-4:] == ["You: one", "You: two", "You: three", "You:"]


def test_nothing_that_others_write_can_act_on_the_terminal(host):
    nasty = "a\x1b[2J\x1b[H\x1b]0;owned\x07\rYou: \u202eevil\u2028\x9b5n\nbob: forged\x7f"
    with joined(host, "cautious") as cautious, joined(host, "hostile", "grpc") as hostile:
        port = int(host[1]["text"])
        with resolve("text").connect(("127.0.0.1", port)) as other:
            other.log_in("hostile")
            other.send("cautious", nasty)
            other.join()
            other.say(nasty)
        shown = r"a\x1b[2J\x1b[H\x1b]0;owned\x07\rYou: \u202eevil\u2028\x9b5n"
        lines = cautious.shows(f"hostile (to you): {shown}", f"hostile: {shown}")
        assert lines[0] == "CREATING NEW ID:" and cautious.screen.title == ""
        assert lines.count(r"    bob: forged\x7f") == 2  # indented, so it is nobody's line
        hostile.enter("tata")
        hostile.ends()


def test_a_password_is_asked_when_it_is_needed_and_never_shown(host):
    words = ["chat", "127.0.0.1", "--port", host[1]["text"], "--name", "careful"]
    with Window(*words, "--password") as window:
        window.shows("Enter password:")
        window.enter("sesame")
        window.shows("Welcome to chat room. Enter 'tata' anytime to exit", "You:")
        window.enter("tata")
        assert window.ends() == 0 and "sesame" not in "".join(window.lines)
    with Window(*words) as window:
        window.shows("Enter password:")
        window.enter("wrong")
        window.shows(
            "Not done (WRONG_PASSWORD): that is not the password of 'careful'. Attempt again.", "Enter username:"
        )
        window.enter("careful")
        window.until(lambda lines: lines[-1].startswith("Enter password:"), "the password is asked again")
        window.enter("sesame")
        window.shows_part("You are careful, account")


@pytest.mark.parametrize("key", ["\x03", "\x04"], ids=["ctrl-c", "ctrl-d"])
@pytest.mark.parametrize("name", ["keys", ""], ids=["at-the-prompt", "at-the-question"])
def test_a_key_ends_it_and_leaves_the_terminal_as_it_was(host, key, name):
    with Window("chat", "127.0.0.1", "--port", host[1]["text"], *(["--name", name] if name else [])) as window:
        window.shows("You:" if name else "Enter username:")
        window.type(key)
        assert window.ends() == 0
        assert (window.lines[-1] == "DISCONNECTED!!") == (key == "\x04") and window.echoes()


def test_who_gives_a_name_is_not_told_of_a_new_id(host):
    with Window("chat", "127.0.0.1", "--port", host[1]["text"], "--name", "known") as window:
        window.shows("You:")
        assert "CREATING NEW ID:" not in window.lines


def test_what_is_pasted_is_one_text_and_keeps_its_lines(host):
    with joined(host, "author") as author, joined(host, "reader") as reader:
        author.shows("reader joined the conversation")
        author.type("\x1b[200~one\ntwo\nthree\x1b[201~\r")
        lines = reader.shows("author: one", "    two", "    three")
        assert lines[lines.index("author: one") :][:3] == ["author: one", "    two", "    three"]


def test_a_terminal_that_can_do_nothing_gets_plain_lines(host):
    with Window("chat", f"127.0.0.1:{host[1]['text']}", terminal="dumb") as window:
        window.shows("CREATING NEW ID:", "Enter username:")
        window.enter("plain")
        for typed in "hello", "tata":
            window.writes("You: ")  # the terminal shows what is typed at once, before the prompt if it comes too early
            window.enter(typed)
        assert window.ends() == 0
        assert window.lines.count("You: hello") == 1 and window.lines[-1] == "DISCONNECTED!!"
        assert b"\x1b" not in window.all_written


def test_a_script_can_wait_for_the_questions_as_they_are_written(host):
    with Window("chat", "127.0.0.1", "--port", host[1]["text"]) as window:
        for question, answer in ("Enter username: ", "scripted"), ("You: ", "hello"), ("You: ", "tata"):
            window.writes(question)
            window.enter(answer)
        window.writes("DISCONNECTED!!")


def test_tab_completes_a_command(host):
    with joined(host, "lazy") as lazy:
        lazy.type("/bal\t")
        lazy.shows("You: /balance")
        lazy.enter("")
        lazy.shows("Your balance is 0 credits.")


@pytest.mark.parametrize("protocol", ["text", "grpc"])
def test_a_lost_connection_is_explained_and_a_log_in_mends_it(protocol):
    with serve(protocol, port=0) as server:
        port = server.address[1]
        window = Window("chat", "127.0.0.1", "--protocol", protocol, "--port", str(port), "--name", "ada")
        window.shows("You:")
    with window:
        window.shows("The connection is lost: the server stops.")
        window.shows("/login ada connects again, /quit leaves. The server keeps unread mail while it runs.", "You:")
        window.enter("anybody?")
        window.shows("No answer: the server stops. Nothing was sent.")
        with serve(protocol, port=port) as server:
            (bob,) = server.users("bob")
            bob.join()
            window.enter("/login ada")
            assert bob.receive(DEADLINE_S) == Entered("lobby", "ada")
            window.shows("In lobby: ada, bob", "You:")
            window.enter("here again")
            assert bob.receive(DEADLINE_S) == Heard("lobby", "ada", "here again")


# ---- plain lines ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server():
    with serve("text", "grpc") as server:
        yield server


@pytest.fixture
def talk(server, tmp_path, monkeypatch, capsys):
    """Runs the client on these lines of standard input and returns the lines that it writes after the greeting."""

    def talk(*lines: str, name: str = "tesla", protocol: str = "text") -> list[str]:
        typed = tmp_path / "typed"
        typed.write_text("".join(f"{line}\n" for line in (name, *lines)))
        dial = resolve(protocol).connect_async(server.addresses[protocol])
        with typed.open() as stdin:
            monkeypatch.setattr("sys.stdin", stdin)
            assert asyncio.run(asyncio.wait_for(terminal.chat(dial), 20)) == 0
        written = capsys.readouterr().out.splitlines()
        assert written[:2] == ["CREATING NEW ID:", f"Enter username: {name}"] and written[-1] == "DISCONNECTED!!"
        return [line for line in written[2:-1] if line != "You: "]

    return talk


numbers = itertools.count(1)


@pytest.fixture
def friend(server):
    """Somebody else, on-line in the lobby, with a name of their own in each test."""
    (client,) = server.users(f"friend-{next(numbers)}")
    client.join()
    yield client
    client.close()


def test_plain_lines_are_the_lines_of_a_window(talk):
    welcome, who, *said = talk("hi", "tata", name="nikola")
    assert welcome == "Welcome to chat room. Enter 'tata' anytime to exit"
    assert who.startswith("You are nikola, a new account, number ")
    assert said == ["You: hi", "You: tata"]


def test_the_end_of_input_is_a_tata(talk):
    assert talk("hi")[-1] == "You: hi"


@pytest.mark.parametrize("protocol", ["text", "grpc"])
def test_what_is_typed_is_said_in_the_room(talk, friend, protocol):
    talk("hi", "//etc", "", "ein Gruß 🎈", protocol=protocol)
    heard = [friend.receive(5) for _ in range(5)]
    assert [getattr(event, "text", type(event).__name__) for event in heard] == [
        "Entered",
        "hi",
        "/etc",
        "ein Gruß 🎈",
        "Left",
    ]


def test_who_is_here_already_is_told_at_the_door(talk, friend):
    assert f"In lobby: {friend.name}, tesla" in talk()


def test_a_name_that_exists_is_logged_in_again(talk):
    talk(name="again")
    assert any(
        line.startswith("You are again, account ") and line.endswith(", as before.") for line in talk(name="again")
    )


def test_an_account_can_be_entered_by_its_number(talk, friend):
    assert f"You are {friend.name}, account {friend.account.id}, as before." in talk(name=str(friend.account.id))


def test_a_name_that_is_none_is_asked_for_again(talk):
    lines = talk("proper", "tata", name="not a name")
    assert lines[0].startswith("Not done (BAD_NAME): a name is 1 to 64 letters, digits or _ . -")
    assert lines[1] == "Enter username: proper"


def test_tata_ends_it_at_the_first_question_too(talk):
    assert talk(name="tata") == []


def test_a_message_to_oneself_arrives(talk):
    assert "narcissus (to you): hello me" in talk("/msg narcissus hello me", name="narcissus")


def test_msg_to_somebody_away_says_that_it_waits(talk):
    talk(name="absent")
    assert talk("/msg absent  call me")[-1] == "absent is not here now; the message waits in the mailbox, as number 1."
    assert "1 unread message; /unread shows it" in talk(name="absent")


def test_msg_to_nobody_says_what_to_do(talk):
    assert talk("/msg nobody hi")[-1] == (
        "Not done (NO_SUCH_ACCOUNT): there is no account 'nobody'. /search lists the names there are."
    )


def test_unread_mail_is_announced_and_shown_in_portions(talk, friend):
    talk(name="reader")
    for text in "one", "two", "three":
        friend.send("reader", text)
    lines = talk("/unread 2", "/unread", "/unread", name="reader")
    assert "3 unread messages; /unread shows them" in lines
    mail = [f"{number}. {friend.name} (to you): {text}" for number, text in enumerate(("one", "two", "three"), 1)]
    assert lines[-8:] == [
        "You: /unread 2", *mail[:2], "There is more; /unread shows it.",
        "You: /unread", mail[2],
        "You: /unread", "No unread messages.",
    ]  # fmt: skip


def test_ack_counts_mail_as_read(talk, friend):
    talk(name="busy")
    for text in "one", "two", "three":
        friend.send("busy", text)
    lines = talk("/ack 2", "/unread", name="busy")
    assert lines[-3:] == ["Mail up to number 2 counts as read.", "You: /unread", f"3. {friend.name} (to you): three"]


def test_delete_takes_a_set_of_messages(talk, friend):
    talk(name="tidy")
    for text in "one", "two", "three":
        friend.send("tidy", text)
    lines = talk("/delete 1, 3 77", "/unread", name="tidy")
    assert lines[-3:] == ["2 messages deleted.", "You: /unread", f"2. {friend.name} (to you): two"]


def test_credits_come_and_go(talk):
    lines = talk("/deposit 7", "/withdraw 6", "/balance", "/withdraw 2", name="croesus")
    assert [line for line in lines[2:] if not line.startswith("You: ")] == [
        "Your balance is 7 credits.",
        "Your balance is 1 credit.",
        "Your balance is 1 credit.",
        "Not done (OVERDRAFT): the balance is 1, too low to withdraw 2. /balance shows what there is.",
    ]


def test_search_lists_names_and_tells_how_to_go_on(talk, server):
    for client in server.users(*[f"many{number:03}" for number in range(101)]):
        client.close()
    lines = talk("/search many00?", "/search many*", "/search many* many099", "/search nobody*")
    assert lines[-8] == ", ".join(f"many{number:03}" for number in range(10))
    assert lines[-4:] == ["You: /search many* many099", "many100", "You: /search nobody*", "No such name."]
    assert lines[-5] == "There may be more: /search many* many099"


def test_join_leave_and_who_tell_where_one_is(talk):
    lines = talk("/join attic", "/who", "/leave", "hello?", "/who", "/join", "/who", name="mover")
    assert lines[2:] == [
        "You: /join attic", "In attic: mover",
        "You: /who", "In attic: mover",
        "You: /leave", "You left attic. /join ROOM enters another.",
        "You: hello?", "Not done (NOT_IN_ROOM): Join a room first. /join ROOM; /join alone enters the lobby.",
        "You: /who", "Not done (NOT_IN_ROOM): Join a room first. /join ROOM; /join alone enters the lobby.",
        "You: /join",
        "You: /who", "In lobby: mover",
    ]  # fmt: skip


def test_ping_tells_how_long_the_answer_took(talk):
    line = talk("/ping")[-1]
    assert line.startswith("The server answered after ") and line.endswith(" ms.")


def test_one_can_log_out_and_be_somebody_else(talk):
    lines = talk("/login other", "/logout", "hello?", "/login other", "/who", name="first")
    assert "Not done (ALREADY_LOGGED_IN): this connection is logged in as first; log out first. First /logout." in lines
    assert "Not done (NOT_LOGGED_IN): Create an account or log in first. /login NAME does both." in lines
    assert lines[-1] == "In lobby: other"


def test_an_account_is_deleted_only_when_its_name_is_typed(talk):
    lines = talk("/deposit 3", "/delete-account", "yes", "/delete-account", "mortal", "/balance", name="mortal")
    question = "This cannot be undone. Type mortal to delete the account: "
    assert lines[-9:-1] == [
        "You: /delete-account", f"{question}yes", "Nothing was deleted.",
        "You: /delete-account", f"{question}mortal",
        "The account mortal is gone, its unread mail went back, 3 credits were paid out.",
        "/login NAME opens another, /quit leaves.",
        "You: /balance",
    ]  # fmt: skip
    assert lines[-1].startswith("Not done (NOT_LOGGED_IN)")


def test_mail_that_came_back_says_whose_account_is_gone(talk, server):
    doomed, writer = server.users("doomed", "writer")
    doomed.close()
    writer.send("doomed", "too late")
    writer.close()
    talk("/delete-account", "doomed", name="doomed")
    assert talk("/unread", name="writer")[-1] == "1. returned to you, the account doomed is gone: too late"


def test_quit_is_tata(talk):
    assert talk("/quit", "never said")[-1] == "You: /quit"


def test_help_lists_every_command_in_eighty_columns(talk):
    lines = talk("/help")
    for name in COMMANDS:
        assert any(line.startswith(f"  /{name} ") for line in lines)
    assert all(len(line) <= 80 for line in lines)


def test_a_command_that_is_none_says_so(talk):
    assert talk("/frobnicate now")[-1] == (
        "There is no command /frobnicate; /help lists them. //frobnicate says it as text."
    )


@pytest.mark.parametrize(
    "line, answer",
    [
        ("/msg", "Usage: /msg NAME TEXT"),
        ("/msg bob", "Usage: /msg NAME TEXT"),
        ("/ack", "Usage: /ack NUMBER"),
        ("/ack two", "two is not a whole number. Usage: /ack NUMBER"),
        ("/delete", "Usage: /delete NUMBER..."),
        ("/delete 1 x", "x is not a whole number. Usage: /delete NUMBER..."),
        ("/unread all", "all is not a whole number. Usage: /unread [COUNT]"),
        ("/deposit 1.5", "1.5 is not a whole number. Usage: /deposit AMOUNT"),
        ("/withdraw", "Usage: /withdraw AMOUNT"),
        ("/login", "Usage: /login NAME"),
        ("/deposit -1", "Not done (BAD_VALUE): an amount is a whole number from 1 to 9223372036854775807, not -1."),
        ("/join a b", "Not done (BAD_NAME): a room's name is 1 to 64 letters, digits or _ . -; 'a b' is not."),
    ],
)
def test_a_misused_command_says_how_it_is_used(talk, line, answer):
    assert talk(line)[-1] == answer


# ---- what may reach a terminal ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["plain", "Größe", "日本語　全角", "👩‍👩‍👧", "می‌خواهم", "no\u00a0break", "back\\slash"]
)
def test_harmless_text_is_shown_as_it_is(text):
    assert escape_control(text) == text


@pytest.mark.parametrize(
    "code", [*range(32), *range(0x7F, 0xA0), 0x061C, 0x200E, 0x2028, 0x202E, 0x2066, 0xFEFF, 0xE0001, 0xD800]
)
def test_a_character_that_acts_on_a_terminal_is_written_as_its_escape(code):
    shown = escape_control(f"a{chr(code)}b")
    assert shown.isascii() and shown.isprintable() and shown == f"a{chr(code)}b".encode("unicode_escape").decode()


def test_every_event_is_told_but_the_goodbye():
    assert set(EVENT_LINES) == set(EVENTS) - {Goodbye}
