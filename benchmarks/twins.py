"""The text protocol under other names: once as it is, and once with a tenth more work in the server for each message.

They exist to be compared with it: what `instrument.py` must find in them is known beforehand.
"""

import os
import time

from chatlab.codecs.text import TextCodec
from chatlab.messages import Send

BURN = "CHATLAB_BURN_NS"  # how much longer the server takes to read a Send; its processes inherit it


class Twin(TextCodec):
    """Text, and nothing else."""

    name = "twin"


class Slower(TextCodec):
    """Text whose server computes something useless before it understands a Send. No client ever reads one."""

    name = "slower"

    def __init__(self):
        self._burn_ns = int(os.environ.get(BURN, "0"))

    def decode(self, frame: bytes):
        tag, message = super().decode(frame)
        if type(message) is Send:
            end = time.thread_time_ns() + self._burn_ns
            while time.thread_time_ns() < end:
                pass
        return tag, message
