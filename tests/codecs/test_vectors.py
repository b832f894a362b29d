"""The bytes of every protocol are what docs/vectors.json says, in both directions."""

import json
from pathlib import Path

import msgspec
import pytest

import chatlab
from chatlab import messages
from chatlab.messages import EVENTS, REPLIES, REQUESTS

CODECS = ("text", "json", "binary", "protobuf")
VECTORS = json.loads((Path(__file__).parents[2] / "docs" / "vectors.json").read_text())
CASES = [
    pytest.param(vector, codec, id=f"{codec}-{nth}-{vector['message']}")
    for codec in CODECS
    for nth, vector in enumerate(VECTORS)
]


def said(vector):
    return msgspec.convert(vector["fields"], getattr(messages, vector["message"]))


@pytest.mark.parametrize("vector, codec", CASES)
def test_the_message_is_spelled_like_this(vector, codec):
    spelled = chatlab.resolve(codec).codec.encode(vector["tag"], said(vector))
    assert spelled.hex(" ") == vector["bytes"][codec]


@pytest.mark.parametrize("vector, codec", CASES)
def test_these_bytes_are_read_as_the_message(vector, codec):
    frame = bytes.fromhex(vector["bytes"][codec])
    assert chatlab.resolve(codec).codec.decode(frame) == (vector["tag"], said(vector))


def test_every_message_is_in_the_vectors():
    assert {vector["message"] for vector in VECTORS} == {kind.__name__ for kind in REQUESTS + REPLIES + EVENTS}
