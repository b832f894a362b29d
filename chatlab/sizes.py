"""What does it cost to say little, and what to say much? The same operation in several sizes, layer by layer.

Counted as `counting.py` counts: at the socket, in steady state, with a fresh server for every number; and then taken
apart, so that each byte is in one layer. What TCP and IP add is a model: each way in as few segments as hold it.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack

from .dissect.costs import Account
from .counting import Operation, Scene, agreed, count_in, mail_waits, missing
from .environment import environment
from .harness import PROTOCOLS, check_protocols, implementation
from .messages import Unread
from .progress import progress
from .results import SizeRow, SizeTable

MANY = 100
PROSE = "All human beings are born free and equal in dignity and rights. They are endowed with reason and con"
GREEK = "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην α"
AWKWARD = 'yes|no|"maybe"\\\n' * 6 + "why?"

#: What is said in each size. The three in the middle have 100 bytes each, so that only their characters differ.
TEXTS = {"empty": "", "small": "hi", "medium": PROSE, "non-ASCII": GREEK, "awkward": AWKWARD, "large": PROSE * 100}
MANY_IDS = "many ids"
SIZES = (*TEXTS, MANY_IDS)


def _big(text: str) -> str:
    """The verb, so to speak, that a text takes which not every foreign server can carry."""
    return " big_texts" if len(text) > 5_000 else ""


def _sends(text: str) -> Operation:
    return Operation("send", lambda s: s.ann.send("bob", text), prepare=lambda s: s.bob.log_out(), verbs=f"send log_out{_big(text)}")


def _pushes(text: str) -> Operation:
    return Operation("push", lambda s: s.ann.send("bob", text), watched="bob", verbs=f"send receive{_big(text)}")


def _reads(*texts: str) -> Operation:
    # By itself, without its acknowledgement.
    verbs = "unread send log_out log_in"
    return Operation("unread", lambda s: s.ann._exchange(Unread()), prepare=lambda s: mail_waits(s, texts), verbs=verbs)


def _deletes(numbers: Iterable[int]) -> Operation:
    return Operation("delete_messages", lambda s: s.ann.delete_messages(tuple(numbers)), verbs="delete_messages")


def _finds(pattern: str, *names: str) -> Operation:
    def others_come(scene: Scene) -> None:
        with scene.server.connect() as guest:
            for name in names:
                guest.create_account(name)
                guest.log_out()

    return Operation("list_accounts", lambda s: s.ann.list_accounts(pattern), prepare=others_come, verbs="list_accounts log_out")


def _deposits(amount: int) -> Operation:
    def deposit(scene: Scene) -> None:
        scene.ann.deposit(amount)

    return Operation("deposit", deposit, prepare=deposit, before=lambda s: s.ann.withdraw(amount), verbs="deposit withdraw")


def _operations() -> Iterator[tuple[str, Operation]]:
    yield "empty", Operation("ping", lambda s: s.ann.ping(), verbs="ping")
    for size, amount in {"small": 7, "medium": 1_000, "large": 10**12}.items():
        yield size, _deposits(amount)
    for act in (_sends, _pushes):
        for size, text in TEXTS.items():
            yield size, act(text)
    for size, text in TEXTS.items():
        yield size, _reads(*[text] if text else [])
    yield MANY_IDS, _reads(*["hi"] * MANY)
    for size, numbers in {"empty": (), "small": (7,), MANY_IDS: range(1001, 1001 + MANY)}.items():
        yield size, _deletes(numbers)
    names = [f"member{number:03}" for number in range(MANY)]
    for size, pattern, found in (("empty", "z*", []), ("small", "a*", []), ("non-ASCII", "Ζ*", ["Ζωή"]), (MANY_IDS, "m*", names)):
        yield size, _finds(pattern, *found)


#: (size, operation): "empty" is nothing in it, "many ids" a hundred of what it takes or gives.
OPERATIONS = tuple(_operations())


def count_sizes(*protocols, operations: Iterable[tuple[str, Operation]] = OPERATIONS) -> SizeTable:
    """Count every operation in every size that it comes in, for each protocol (all that chatlab brings, if none is named).

    Operations for which a server lacks a verb are left out. Raises `Restless` for a protocol that talks unasked, so that
    nothing can be counted exactly.
    """
    check_protocols("count_sizes", protocols)
    protocols, operations = protocols or tuple(PROTOCOLS), tuple(operations)
    rows = []
    with progress(len(protocols) * len(operations), "counting bytes", "operations") as bar:
        for protocol in protocols:
            for size, operation in operations:
                if not missing(protocol, operation.verbs.split()):
                    rows.append(_row(protocol, size, operation))
                bar.update()
    return SizeTable(tuple(rows), environment())


def count_overhead(*protocols, sizes: Iterable[int] = (1, 10, 30, 100, 300, 1_000, 3_000, 10_000), text_of=None) -> SizeTable:
    """Count a `send` of so many characters, for each protocol. `text_of(size)` is the text; by default lines of forty.

    Much beyond 10 000, gRPC begins to save up what it says about flow control, and there is no steady state to count.
    """
    text_of = text_of or in_lines
    return count_sizes(*protocols, operations=[(f"{size:,}", _sends(text_of(size))) for size in sizes])


def in_lines(size: int, width: int = 40) -> str:
    """So many characters in lines of forty, as a poem or a program has them.

    >>> in_lines(5, width=3)
    'xx\\nxx'
    """
    return (("x" * (width - 1) + "\n") * (size // width + 1))[:size]


def _row(protocol, size: str, operation: Operation) -> SizeRow:
    carried = implementation(protocol)
    # A codec spells a message the same every time; gRPC joins frames where they happen to meet, so there two servers must agree.
    is_certain = hasattr(carried, "codec")
    up, down = _layers(protocol, operation) if is_certain else agreed(lambda: _layers(protocol, operation))
    return SizeRow(carried.name, operation.name, size, up, down)


def _layers(protocol, operation: Operation) -> tuple[Account, Account]:
    with ExitStack() as stack:
        scene = Scene(protocol, stack)
        count_in(scene, operation)
        return scene.users[operation.watched].layers()
