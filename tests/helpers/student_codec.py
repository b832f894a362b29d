"""A reader's own protocol: four bytes of length, then a JSON list of the message's name, its tag, and its fields.

00 00 00 28 ["Send", 7, {"to": "bob", "text": "hi"}]
"""

import json

import msgspec

from chatlab.messages import EVENTS, REPLIES, REQUESTS, ProtocolError

MESSAGES = {message.__name__: message for message in REQUESTS + REPLIES + EVENTS}


class StudentCodec:
    name = "student"

    def encode(self, tag, message):
        body = json.dumps([type(message).__name__, tag, msgspec.to_builtins(message)]).encode()
        return len(body).to_bytes(4, "big") + body

    def frame_end(self, buffer, start, searched):
        if len(buffer) < start + 4:
            return 0
        return start + 4 + int.from_bytes(buffer[start : start + 4], "big")

    def decode(self, frame):
        try:
            name, tag, fields = json.loads(frame[4:])
            if tag is not None and (type(tag) is not int or not 1 <= tag < 2**63):
                raise ValueError(f"a tag is a whole number from 1, not {tag!r}")
            return tag, msgspec.convert(fields, MESSAGES[name])
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise ProtocolError(f"not a message: {error}", fatal=False) from error
