"""What a message weighs: an upper bound of the bytes of its fields, in UTF-8 and in memory, that is cheap to compute.

Outboxes, mailboxes and everything else that is bounded in bytes weigh with these functions.
"""

from collections.abc import Callable
from typing import Any

from ..messages import EVENTS, REPLIES, REQUESTS, Arrived, Malformed, Message

ELEMENT = 64  # bytes that one element of a list takes beside its text
NAME = 256  # and the name of an account at most


def text_weight(text: str) -> int:
    """A bound of a text's bytes. Python knows whether a text is ASCII without looking at it.

    >>> text_weight("abc"), text_weight("añc")
    (3, 12)
    """
    return len(text) if text.isascii() else 4 * len(text)


def frame_weight(text: str) -> int:
    """A bound of a text's bytes in a frame of any of our protocols: JSON takes six bytes for a control character."""
    return 6 * len(text)


def weight(message: Message) -> int:
    """A bound of the bytes of everything in a message that has no fixed size."""
    weigh = WEIGHTS.get(type(message))
    return 0 if weigh is None else weigh(message)


def arrived_weight(message: Arrived) -> int:
    return NAME + text_weight(message.text)


#: How a field weighs, by its type; fields of other types have a fixed size.
_FIELD_WEIGHTS: dict[Any, Callable[[Any], int]] = {
    str: text_weight,
    tuple[int, ...]: lambda numbers: ELEMENT * len(numbers),
    tuple[str, ...]: lambda texts: sum([ELEMENT + text_weight(text) for text in texts]),
    tuple[Arrived, ...]: lambda messages: sum([ELEMENT + arrived_weight(message) for message in messages]),
}


def _weigher(kind: type[Message]) -> Callable[[Any], int] | None:
    fields = [(name, _FIELD_WEIGHTS[of]) for name, of in kind.__annotations__.items() if of in _FIELD_WEIGHTS]
    if not fields:
        return None
    return lambda message: sum([weigh(getattr(message, name)) for name, weigh in fields])


#: The types of messages that have no fixed size, and how they weigh.
WEIGHTS: dict[type[Message], Callable[[Any], int]] = {
    kind: weigh for kind in (*REQUESTS, Malformed, *REPLIES, *EVENTS) if (weigh := _weigher(kind)) is not None
}
WEIGHTS[Arrived] = arrived_weight
