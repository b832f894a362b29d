r"""gRPC inside HTTP/2: the prefix of a message, its protobuf fields by name, and what the headers say in its place.

    00 00 00 00 09      not compressed, 9 bytes follow
    0a 03 62 6f 62      `to` is bob
    12 02 68 69         `text` is hi

A message may span DATA frames and a frame may hold several messages. What it is, only the `:path` of its stream tells.
Nothing is raised, whatever the bytes.
"""

import struct
from urllib.parse import unquote

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import Descriptor, MethodDescriptor

from ..proto import chat_pb2
from ..proto import spans as walk
from .fields import Field, in_words, lay, summed_up
from .layers import ENCODING, FRAMING, information_of, minimal_size

_POOL = descriptor_pool.Default()
assert chat_pb2.DESCRIPTOR  # importing it has put our service into the pool

PREFIX = 5  # 1 byte: compressed or not; 4 bytes: length


def method_of(path: str) -> MethodDescriptor | None:
    """The method that a `:path` like /chatlab.v1.Chat/Send calls, where its description is known."""
    try:
        return _POOL.FindMethodByName(path.strip("/").replace("/", "."))
    except (KeyError, ValueError):
        return None


def with_information(lines: list[Field], method: MethodDescriptor | None, direction: str) -> list[Field]:
    """In a unary call the headers say what elsewhere the message says: which one it is, and why it was refused."""
    if method is None or method.server_streaming or method.client_streaming:
        return lines
    says = {":path": 1} if direction == "up" else {"grpc-status": 1}
    if any(line.name == "grpc-status" and line.value != "0" for line in lines):
        says |= {line.name: minimal_size(line.value) for line in lines if line.name == "code"}
        says |= {line.name: minimal_size(unquote(line.value)) for line in lines if line.name == "grpc-message"}
    return [line._replace(information=min(line.size, says.get(line.name, 0))) for line in lines]


class Incoming:
    """What has come of the gRPC messages on one stream in one direction. A piece is (the draft of its frame, start, end)."""

    def __init__(self):
        self.held = bytearray()
        self.pieces: list[tuple] = []
        self.lost = False

    def add(self, draft, start: int, end: int, method: MethodDescriptor | None, direction: str) -> None:
        self.held += draft.data[start:end]
        self.pieces.append((draft, start, end))
        while len(self.held) >= PREFIX and not self.lost:
            flag, size = struct.unpack_from(">BI", self.held)
            self.lost = flag > 1
            if self.lost or len(self.held) < PREFIX + size:
                return
            message = bytes(self.held[: PREFIX + size])
            del self.held[: PREFIX + size]
            pieces = self.taken(PREFIX + size)
            fields, summary = _message(message, method, direction)
            lay(fields, [(draft.fields, start, end) for draft, start, end in pieces])
            pieces[-1][0].said.append(summary)
            for draft, _, _ in pieces[:-1]:
                draft.said.append("the beginning of a message" if draft is pieces[0][0] else "more of a message")

    def taken(self, size: int) -> list[tuple]:
        """The first `size` bytes, as pieces; they are held no longer."""
        taken = []
        while size:
            draft, start, end = self.pieces[0]
            cut_at = min(end, start + size)
            taken.append((draft, start, cut_at))
            size -= cut_at - start
            if cut_at == end:
                self.pieces.pop(0)
            else:
                self.pieces[0] = draft, cut_at, end
        return taken


def _message(data: bytes, method: MethodDescriptor | None, direction: str) -> tuple[list[Field], str]:
    """The fields of one gRPC message, its prefix included, and a line that sums it up."""
    compressed, size = struct.unpack_from(">BI", data)
    prefix = [
        Field(0, 1, "compressed", bool(compressed), "yes" if compressed else "no", FRAMING),
        Field(1, PREFIX, "length", size, in_words("length", size), FRAMING),
    ]
    kind = None if method is None else method.input_type if direction == "up" else method.output_type
    if compressed:
        field = Field(PREFIX, len(data), "compressed message", None, f"{size} bytes", ENCODING)
        return [*prefix, field][: len(prefix) + bool(size)], "compressed"
    spans = walk.spans(data, kind, PREFIX)
    return prefix + [_field(kind, *span) for span in spans], _summary(kind, spans)


def _summary(kind: Descriptor | None, spans: list[tuple]) -> str:
    """As `Send to='bob'`; of a message inside an `Ask` or the like, as `Ask send tag=7 to='bob'`."""
    names = [kind.name] if kind else ["message"]
    names += [path[7:] for _, _, path, _ in spans if path.startswith("key of ") and kind and _is_choice(kind, path[7:])]
    inside = f"{names[-1]}."
    return summed_up(
        " ".join(names), [(path.removeprefix(inside), value) for *_, path, value in spans if " of " not in path]
    )


def _field(kind: Descriptor | None, start: int, end: int, path: str, value: object) -> Field:
    meaning = in_words(path, value)
    if path.endswith(" of tag") or path == "tag":
        return Field(start, end, path, value, meaning, FRAMING)
    label, of, inner = path.rpartition(" of ")
    if of:
        which = label == "key" and kind is not None and _is_choice(kind, inner)
        return Field(start, end, path, value, "which message" if which else meaning, ENCODING, int(which))
    return Field(start, end, path, value, meaning, ENCODING, min(end - start, _information(kind, path, value)))


def _is_choice(kind: Descriptor, path: str) -> bool:
    """Whether a field says which message it is: that of `Ask`, `Told` and `Event`, where one of many is chosen."""
    field = kind.fields_by_name.get(path)
    return field is not None and field.containing_oneof is not None and field.message_type is not None


def _information(kind: Descriptor | None, path: str, value: object) -> int:
    """The names on the way to a field tell the message that it is a field of."""
    *around, name = path.split(".")
    for step in around:
        field = kind and kind.fields_by_name.get(step.partition("[")[0])
        kind = field and field.message_type
    return information_of(kind.name, name, value) if kind else 0
