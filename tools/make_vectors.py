"""Writes docs/vectors.json: messages, and the bytes that say them in each of our protocols.

Whoever writes the chat in another language checks against it; so do our own tests. A byte that changes here is a
change of a protocol, so the file is written by hand of this command only: python tools/make_vectors.py
"""

import json
from pathlib import Path

import msgspec

import chatlab
from chatlab.messages import (
    EVENTS,
    REPLIES,
    REQUESTS,
    Account,
    Accounts,
    Acknowledge,
    Arrived,
    Balance,
    Closed,
    CreateAccount,
    DeleteAccount,
    Deleted,
    DeleteMessages,
    Deposit,
    Done,
    Entered,
    Goodbye,
    Heard,
    Join,
    Joined,
    Leave,
    Left,
    ListAccounts,
    LoggedOut,
    LogIn,
    LogOut,
    Mail,
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

OUT = Path(__file__).parent.parent / "docs" / "vectors.json"
CODECS = ("text", "json", "binary", "protobuf")

SAID = [
    (None, LogIn("1")),
    (1, LogIn("José", "open sesame")),
    (None, CreateAccount("John")),
    (2, CreateAccount("zoë", "pass|word\n")),
    (3, Deposit(50)),
    (4, Deposit(2**63 - 1, "1", "rent")),
    (127, Withdraw(20, "John")),
    (128, Withdraw(-5)),
    (255, ViewBalance()),
    (256, ListAccounts()),
    (257, ListAccounts("jo*n?", "alice", 5)),
    (7, Send("bob", "hi")),
    (None, Send("bob", 'a|b\\c\r\n\0"{}é🙂')),
    (8, Send("bob", "", "@twice")),
    (9, Send("bob", "x" * 130)),
    (10, Unread()),
    (11, Unread(300, 1)),
    (12, Acknowledge(300)),
    (13, DeleteMessages(())),
    (14, DeleteMessages((1, 2, 300))),
    (15, LogOut()),
    (16, Join()),
    (17, Join("room.1")),
    (18, Say("hello, everybody")),
    (19, Leave()),
    (20, Ping()),
    (2**63 - 1, DeleteAccount()),
    (1, Account(1, "John")),
    (2, Account(300, "zoë", 3, 17)),
    (3, Accounts(())),
    (4, Accounts(("alice", "bob"), "bob")),
    (5, Sent(1)),
    (None, Sent(300, True)),
    (6, Mail(())),
    (7, Mail((Arrived(1, "alice", "a|b"), Arrived(2, "bob", "", True)), True)),
    (8, Deleted(2)),
    (9, Closed(0)),
    (10, Balance(2**63 - 1)),
    (11, Joined("lobby", ("alice", "bob"), 2)),
    (12, Said(0)),
    (13, Done()),
    (14, Pong()),
    (15, Refused("NO_SUCH_ACCOUNT", "nobody is called 'Zoë|'")),
    (None, Arrived(1, "alice", "hi")),
    (None, Arrived(300, "bob", "line 1\nline 2", True)),
    (None, Entered("lobby", "bob")),
    (None, Left("lobby", "bob")),
    (None, Heard("lobby", "bob", "hi | there")),
    (None, LoggedOut("the account bob was deleted")),
    (None, Goodbye("the server stops")),
]


def vectors() -> list[dict]:
    codecs = {name: codec for name in CODECS if (codec := chatlab.resolve(name).codec) is not None}
    return [
        {
            "message": type(message).__name__,
            "fields": {name: msgspec.to_builtins(getattr(message, name)) for name in message.__struct_fields__},
            "tag": tag,
            "bytes": {name: codec.encode(tag, message).hex(" ") for name, codec in codecs.items()},
        }
        for tag, message in SAID
    ]


def main() -> None:
    said = {type(message) for _, message in SAID}
    assert said == {*REQUESTS, *REPLIES, *EVENTS}, "every message is in the vectors"
    lines = ",\n".join(json.dumps(vector, ensure_ascii=False) for vector in vectors())
    OUT.write_text(f"[\n{lines}\n]\n")
    print(f"{len(SAID)} messages in {len(CODECS)} protocols: {OUT.relative_to(OUT.parent.parent)}")


if __name__ == "__main__":
    main()
