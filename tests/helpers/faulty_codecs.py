"""Codecs whose server does not tell the truth, for tests of those who must notice: each lies about the sixth message.

And `Codecless`, a truthful protocol of which nobody knows how it is spelled.
"""

from msgspec.structs import replace

from chatlab.codecs.text import TextCodec
from chatlab.messages import Arrived, Done, Sent
from chatlab.transport.registry import resolve


class WrongNumber(TextCodec):
    name = "wrong number"

    def encode(self, tag, message):
        if isinstance(message, Sent) and message.number == 6:
            message = replace(message, number=7)
        return super().encode(tag, message)


class WrongText(TextCodec):
    name = "wrong text"

    def encode(self, tag, message):
        if isinstance(message, Arrived) and message.number == 6:
            message = replace(message, text=message.text.swapcase())
        return super().encode(tag, message)


class Forgetful(TextCodec):
    """What it forgets to push it replaces by an acknowledgement's answer, so that frames keep their order."""

    name = "forgetful"

    def encode(self, tag, message):
        if isinstance(message, Arrived) and message.number >= 6:
            return super().encode(1 << 20, Done())
        return super().encode(tag, message)


class Codecless:
    name = "codecless"

    def __init__(self):
        text = resolve("text")
        self.serve, self.connect, self.connect_async = text.serve, text.connect, text.connect_async
