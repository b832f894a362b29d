"""The chat in a terminal: what is typed goes to the client, what the client hears is shown above the line being typed.

It looks like the ancestor of this project, and knows nothing of sockets, codecs or gRPC. One loop does everything, so
the keyboard and the network take turns. Where standard input or output is no terminal, the same lines are read and
written plainly, for scripts.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import NamedTuple

from ..messages import (
    Account,
    Arrived,
    ChatError,
    ChatlabError,
    ConnectionLost,
    Entered,
    Heard,
    Joined,
    Left,
    LoggedOut,
    Message,
)
from ..transport.async_client import AsyncClient
from .screen import NOTE, PLAIN, PRIVATE, PROMPT, TROUBLE, Interrupted, Screen, screen

CREATING = "CREATING NEW ID:"
ASK_NAME = "Enter username: "
ASK_PASSWORD = "Enter password: "
WELCOME = "Welcome to chat room. Enter 'tata' anytime to exit"
EXIT_COMMAND = "tata"
GONE = "DISCONNECTED!!"

LOBBY = "lobby"
UNREAD_AT_ONCE = 20

#: What to do about a refusal, where its text alone does not say it.
ADVICE = {
    "NO_SUCH_ACCOUNT": "/search lists the names there are.",
    "WRONG_PASSWORD": "Attempt again.",
    "NOT_LOGGED_IN": "/login NAME does both.",
    "ALREADY_LOGGED_IN": "First /logout.",
    "TEXT_TOO_LONG": "Send it in pieces.",
    "FRAME_TOO_LONG": "Send it in pieces.",
    "OVERDRAFT": "/balance shows what there is.",
    "NOT_IN_ROOM": "/join ROOM; /join alone enters the lobby.",
    "MAILBOX_FULL": "Attempt again when they have read some of it.",
    "NO_SESSION": "/login NAME opens one.",
}


# ---- one user ---------------------------------------------------------------------------------------------------


class _Misused(ChatlabError):
    """The command is not used like that."""


class Terminal:
    """One user at one screen."""

    def __init__(self, client: AsyncClient, screen: Screen):
        self.client, self.screen = client, screen
        self.room = ""
        self.lost = False
        self.refused = False  #: the last name that was tried
        self._listening: asyncio.Task[None] | None = None
        # Shown by `on_message` and not by the task that awaits `receive`: there is no moment at which an event was
        # taken, but could still be lost because the task that would show it is cancelled.
        client.on_message = self._hear

    async def run(self, name: str = "", with_password: bool = False) -> int:
        """The whole talk, from the greeting to the goodbye; the exit code, 1 where the user never got in."""
        farewell = GONE
        try:
            await self._greet(name, with_password)
            while True:
                await self._obey(await self.screen.ask(PROMPT))
        except Interrupted:
            farewell = ""
        except EOFError:
            pass
        finally:
            await self._part(farewell)
        return 1 if self.lost or self.refused else 0

    async def _greet(self, name: str, with_password: bool) -> None:
        entered = bool(name) and await self._enter(name, with_password, WELCOME)
        if not entered and not name:
            self.screen.show(CREATING)
        while not entered:
            name = (await self.screen.ask(ASK_NAME)).strip()
            if name == EXIT_COMMAND:
                raise EOFError
            entered = bool(name) and await self._enter(name, with_password, WELCOME)

    async def _obey(self, line: str) -> None:
        if line.strip() == EXIT_COMMAND:
            raise EOFError
        if not line.strip():
            return
        had_lost = self.lost
        try:
            if line.startswith("/") and not line.startswith("//"):
                await self._command(*line[1:].split(maxsplit=1))
            else:
                await self.client.say(line.removeprefix("/"))
        except ChatError as refused:
            self._explain(refused)
        except ConnectionLost as lost:
            result = "Nothing was sent" if had_lost else "It may or may not have been done"
            self.screen.show(f"No answer: {lost}. {result}.", TROUBLE)
            self._lose()

    async def _command(self, name: str = "", rest: str = "") -> None:
        command = COMMANDS.get(name)
        if command is None:
            self.screen.show(f"There is no command /{name}; /help lists them. //{name} says it as text.", TROUBLE)
            return
        try:
            await command.act(self, rest.strip())
        except _Misused as misused:
            self.screen.show(f"{misused}Usage: {_usage(name)}", TROUBLE)

    # ---- what is heard

    def _listen(self) -> None:
        if self._listening is None or self._listening.done():
            self._listening = asyncio.create_task(self._receive())

    async def _receive(self) -> None:
        try:
            while True:
                await self.client.receive()
        except ConnectionLost as lost:
            self.screen.show(f"The connection is lost: {lost}.", TROUBLE)
            self._lose()

    def _hear(self, what: str, event: Message) -> None:
        line_of = EVENT_LINES.get(type(event))
        if what == "received" and line_of is not None:
            text, style = line_of(event)
            self.screen.show(text, style)

    def _lose(self) -> None:
        if not self.lost:
            again = f"/login {self.client.name or 'NAME'}"
            self.screen.show(
                f"{again} connects again, /quit leaves. The server keeps unread mail while it runs.", TROUBLE
            )
        self.lost = True

    def _explain(self, refused: ChatError) -> None:
        why = refused.text if refused.text.endswith(".") else f"{refused.text}."
        self.screen.show(f"Not done ({refused.code}): {why} {ADVICE.get(refused.code, '')}".rstrip(), TROUBLE)

    async def _part(self, farewell: str) -> None:
        """Show what has arrived already, then hang up."""
        if self._listening is not None:
            self._listening.cancel()
            with suppress(asyncio.CancelledError):
                await self._listening
            with suppress(TimeoutError, ConnectionLost):
                while True:
                    await self.client.receive(timeout_s=0)
        await self.client.close()
        if farewell:
            self.screen.show(farewell)

    # ---- coming and going

    async def _enter(self, name: str, with_password: bool = False, greeting: str = "") -> bool:
        """Log in as `name`, whose account is created if there is none; whether it went well."""
        password = await self.screen.ask(ASK_PASSWORD, hidden=True) if with_password else ""
        try:
            account, is_new = await self._account(name, password)
        except ChatError as refused:
            if refused.code in ("WRONG_PASSWORD", "PASSWORD_REQUIRED") and not with_password:
                return await self._enter(name, True, greeting)
            self._explain(refused)
            self.refused = True
            return False
        self.lost = self.refused = False
        if greeting:
            self.screen.show(greeting)
        which = f"a new account, number {account.id}" if is_new else f"account {account.id}, as before"
        self.screen.show(f"You are {account.name}, {which}.", NOTE)
        if account.unread:
            count = f"{account.unread} unread message{'s' * (account.unread != 1)}"
            self.screen.show(f"{count}; /unread shows {'them' if account.unread != 1 else 'it'}", NOTE)
        self._listen()
        await self._join(self.room or LOBBY)
        return True

    async def _account(self, name: str, password: str) -> tuple[Account, bool]:
        if not name.isdecimal():  # a number is an account's id, never a name
            try:
                return await self.client.create_account(name, password), True
            except ChatError as refused:
                if refused.code != "NAME_TAKEN":
                    raise
        return await self.client.log_in(name, password), False

    async def _log_in(self, name: str) -> None:
        if not name:
            raise _Misused
        await self._enter(name)

    async def _log_out(self, rest: str) -> None:
        await self.client.log_out()
        self.screen.show("Logged out. /login NAME logs in.", NOTE)

    async def _delete_account(self, rest: str) -> None:
        name = self.client.name
        if not name:
            raise ChatError("NOT_LOGGED_IN")
        typed = await self.screen.ask(f"This cannot be undone. Type {name} to delete the account: ")
        if typed.strip() != name:
            self.screen.show("Nothing was deleted.", NOTE)
            return
        paid_out = await self.client.delete_account()
        self.screen.show(
            f"The account {name} is gone, its unread mail went back, {paid_out} credits were paid out.", NOTE
        )
        self.screen.show("/login NAME opens another, /quit leaves.", NOTE)

    async def _quit(self, rest: str) -> None:
        raise EOFError

    # ---- rooms

    async def _join(self, room: str) -> None:
        joined = await self.client.join(room or LOBBY)
        self.room = joined.room
        if joined.count > 1 or room not in ("", LOBBY):
            self._show_members(joined)

    async def _leave(self, rest: str) -> None:
        await self.client.leave()
        self.screen.show(f"You left {self.room}. /join ROOM enters another.", NOTE)
        self.room = ""

    async def _who(self, rest: str) -> None:
        if not self.room:
            raise ChatError("NOT_IN_ROOM")
        self._show_members(await self.client.join(self.room))  # to join the room one is in changes nothing

    def _show_members(self, joined: Joined) -> None:
        more = f" and {joined.count - len(joined.members)} more" if joined.count > len(joined.members) else ""
        self.screen.show(f"In {joined.room}: {', '.join(joined.members)}{more}", NOTE)

    # ---- mail

    async def _msg(self, rest: str) -> None:
        to, _, text = rest.partition(" ")
        if not text.strip():
            raise _Misused
        sent = await self.client.send(to, text)
        if not sent.delivered:
            self.screen.show(f"{to} is not here now; the message waits in the mailbox, as number {sent.number}.", NOTE)

    async def _unread(self, rest: str) -> None:
        mail = await self.client.unread(limit=_whole(rest) if rest else UNREAD_AT_ONCE)
        for message in mail.messages:
            text, style = _arrived(message)
            self.screen.show(f"{message.number}. {text}", style)
        if mail.more:
            self.screen.show("There is more; /unread shows it.", NOTE)
        elif not mail.messages:
            self.screen.show("No unread messages.", NOTE)

    async def _acknowledge(self, rest: str) -> None:
        number = _whole(rest)
        await self.client.acknowledge(number)
        self.screen.show(f"Mail up to number {number} counts as read.", NOTE)

    async def _delete(self, rest: str) -> None:
        numbers = [_whole(word) for word in rest.replace(",", " ").split()]
        if not numbers:
            raise _Misused
        count = await self.client.delete_messages(numbers)
        self.screen.show(f"{count} message{'s' * (count != 1)} deleted.", NOTE)

    # ---- credits, and the rest

    async def _deposit(self, rest: str) -> None:
        self._show_balance(await self.client.deposit(_whole(rest)))

    async def _withdraw(self, rest: str) -> None:
        self._show_balance(await self.client.withdraw(_whole(rest)))

    async def _balance(self, rest: str) -> None:
        self._show_balance(await self.client.balance())

    def _show_balance(self, amount: int) -> None:
        self.screen.show(f"Your balance is {amount} credit{'s' * (amount != 1)}.", NOTE)

    async def _search(self, rest: str) -> None:
        pattern, _, after = rest.partition(" ")
        page = await self.client.list_accounts(pattern or "*", after.strip())
        self.screen.show(", ".join(page.names) or "No such name.", NOTE)
        if page.next:
            self.screen.show(f"There may be more: /search {pattern or '*'} {page.next}", NOTE)

    async def _ping(self, rest: str) -> None:
        asked = time.perf_counter()
        await self.client.ping()
        self.screen.show(f"The server answered after {(time.perf_counter() - asked) * 1e3:.1f} ms.", NOTE)

    async def _help(self, rest: str) -> None:
        width = max(len(_usage(name)) for name in COMMANDS)
        self.screen.show("Whatever you type is said in the room, except for:", NOTE)
        for name, command in COMMANDS.items():
            self.screen.show(f"  {_usage(name):{width}}  {command.what}", NOTE)
        self.screen.show(f"  {'//text':{width}}  say /text", NOTE)


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise _Misused(f"{text} is not a whole number. " if text else "") from None


def _arrived(message: Arrived) -> tuple[str, str]:
    if message.returned:
        return f"returned to you, the account {message.sender} is gone: {message.text}", PRIVATE
    return f"{message.sender} (to you): {message.text}", PRIVATE


#: The line that shows an event, and its style. A Goodbye has none: the loss of the connection that follows says why.
EVENT_LINES = {
    Arrived: _arrived,
    Heard: lambda event: (f"{event.sender}: {event.text}", PLAIN),
    Entered: lambda event: (f"{event.name} joined the conversation", NOTE),
    Left: lambda event: (f"{event.name} left the conversation", NOTE),
    LoggedOut: lambda event: (f"You were logged out: {event.reason}. /login NAME logs in again.", TROUBLE),
}


class Command(NamedTuple):
    """What is typed after its name, what it does in words, and what does it."""

    arguments: str
    what: str
    act: Callable[[Terminal, str], Awaitable[None]]


COMMANDS = {
    "help": Command("", "show this list", Terminal._help),
    "who": Command("", "who is in the room", Terminal._who),
    "join": Command("[ROOM]", "enter a room and leave the one before", Terminal._join),
    "leave": Command("", "leave the room", Terminal._leave),
    "search": Command("[PATTERN [AFTER]]", "find names: * is any run, ? any one character", Terminal._search),
    "msg": Command("NAME TEXT", "send a message to one person, here or away", Terminal._msg),
    "unread": Command("[COUNT]", "show the oldest mail that was not shown yet", Terminal._unread),
    "ack": Command("NUMBER", "count mail up to that number as read", Terminal._acknowledge),
    "delete": Command("NUMBER...", "delete messages from your mailbox", Terminal._delete),
    "balance": Command("", "show your balance", Terminal._balance),
    "deposit": Command("AMOUNT", "add credits", Terminal._deposit),
    "withdraw": Command("AMOUNT", "take credits", Terminal._withdraw),
    "ping": Command("", "ask whether the server is there", Terminal._ping),
    "login": Command("NAME", "log in, again or for the first time", Terminal._log_in),
    "logout": Command("", "stop being who you are, stay connected", Terminal._log_out),
    "delete-account": Command("", "delete your account; asks first", Terminal._delete_account),
    "quit": Command("", "the same as tata", Terminal._quit),
}


def _usage(name: str) -> str:
    return f"/{name} {COMMANDS[name].arguments}".rstrip()


async def chat(dial: Awaitable[AsyncClient], name: str = "", with_password: bool = False) -> int:
    """Connect, then talk until the user leaves; the exit code. Raises `ConnectionLost` where no server answers."""
    client = await dial
    with screen([f"/{name}" for name in COMMANDS]) as here:
        return await Terminal(client, here).run(name, with_password)
