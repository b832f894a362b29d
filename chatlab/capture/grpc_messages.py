r"""gRPC inside HTTP/2: the prefix of a message, its protobuf fields by name, and what the headers say instead of it.

    00 00 00 00 09      not compressed, 9 bytes follow
    0a 03 62 6f 62      `to` is bob
    12 02 68 69         `text` is hi

A message may span several DATA frames, and a frame may hold several messages. The type of a message follows from the
`:path` of its stream. No bytes make this raise anything.
"""

import struct
from typing import Protocol
from urllib.parse import unquote

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import Descriptor, MethodDescriptor

from ..codecs.interface import Span
from ..proto import chat_pb2
from ..proto.spans import spans as spans_of
from .fields import Field, describe, place_fragments, summary_line
from .layers import ENCODING, FRAMING, information_of, minimal_size

_POOL = descriptor_pool.Default()
assert chat_pb2.DESCRIPTOR  # importing it has put our service into the pool

PREFIX = 5  # 1 byte: compressed or not; 4 bytes: length


def method_of(path: str) -> MethodDescriptor | None:
    """The method that a `:path` such as /chatlab.v1.Chat/Send calls, or None if its descriptor is not known."""
    try:
        return _POOL.FindMethodByName(path.strip("/").replace("/", "."))
    except (KeyError, ValueError):
        return None


def with_information(lines: list[Field], method: MethodDescriptor | None, direction: str) -> list[Field]:
    """The header lines, with the information that they hold.

    In a unary call headers say what otherwise the message says: which one it is, and why it was refused.
    """
    if method is None or method.server_streaming or method.client_streaming:
        return lines
    known = {":path": 1} if direction == "up" else {"grpc-status": 1}
    if any(line.name == "grpc-status" and line.value != "0" for line in lines):
        known |= {line.name: minimal_size(line.value) for line in lines if line.name == "code"}
        known |= {line.name: minimal_size(unquote(str(line.value))) for line in lines if line.name == "grpc-message"}
    return [line._replace(information=min(line.size, known.get(line.name, 0))) for line in lines]


class FrameDraft(Protocol):
    """A DATA frame whose fields are still being found."""

    data: bytes
    fields: list[Field]
    summary: list[str]


class MessageReader:
    """Reassembles the gRPC messages of one direction of a stream, and labels their bytes in the frames that held them.

    A fragment is (the draft of its frame, start, end).
    """

    def __init__(self) -> None:
        self.buffer = bytearray()
        self.fragments: list[tuple[FrameDraft, int, int]] = []
        self.lost = False

    def add(self, draft: FrameDraft, start: int, end: int, method: MethodDescriptor | None, direction: str) -> None:
        self.buffer += draft.data[start:end]
        self.fragments.append((draft, start, end))
        while len(self.buffer) >= PREFIX and not self.lost:
            flag, size = struct.unpack_from(">BI", self.buffer)
            self.lost = flag > 1
            if self.lost or len(self.buffer) < PREFIX + size:
                return
            message = bytes(self.buffer[: PREFIX + size])
            del self.buffer[: PREFIX + size]
            fragments = self._take(PREFIX + size)
            fields, summary = _message(message, method, direction)
            place_fragments(fields, [(draft.fields, start, end) for draft, start, end in fragments])
            fragments[-1][0].summary.append(summary)
            for draft, _, _ in fragments[:-1]:
                is_first = draft is fragments[0][0]
                draft.summary.append("the beginning of a message" if is_first else "more of a message")

    def _take(self, size: int) -> list[tuple[FrameDraft, int, int]]:
        """Remove the first `size` bytes, as fragments."""
        taken = []
        while size:
            draft, start, end = self.fragments[0]
            stop = min(end, start + size)
            taken.append((draft, start, stop))
            size -= stop - start
            if stop == end:
                self.fragments.pop(0)
            else:
                self.fragments[0] = draft, stop, end
        return taken


def _message(data: bytes, method: MethodDescriptor | None, direction: str) -> tuple[list[Field], str]:
    """The fields of one gRPC message, its prefix included, and a summary."""
    compressed, size = struct.unpack_from(">BI", data)
    prefix = [
        Field(0, 1, "compressed", bool(compressed), "yes" if compressed else "no", FRAMING),
        Field(1, PREFIX, "length", size, describe("length", size), FRAMING),
    ]
    kind = None if method is None else method.input_type if direction == "up" else method.output_type
    if compressed:
        field = Field(PREFIX, len(data), "compressed message", None, f"{size} bytes", ENCODING)
        return [*prefix, field][: len(prefix) + bool(size)], "compressed"
    spans = spans_of(data, kind, PREFIX)
    return prefix + [_field(kind, *span) for span in spans], _summary(kind, spans)


def _summary(kind: Descriptor | None, spans: list[Span]) -> str:
    """As `Send to='bob'`; of a message inside another, such as the stream's, as `StreamRequest send tag=7 to='bob'`."""
    names = [kind.name] if kind else ["message"]
    names += [path[7:] for _, _, path, _ in spans if path.startswith("key of ") and kind and _is_choice(kind, path[7:])]
    inside = f"{names[-1]}."
    values = [(path.removeprefix(inside), value) for *_, path, value in spans if " of " not in path]
    return summary_line(" ".join(names), values)


def _field(kind: Descriptor | None, start: int, end: int, path: str, value: object) -> Field:
    meaning = describe(path, value)
    if path.endswith(" of tag") or path == "tag":
        return Field(start, end, path, value, meaning, FRAMING)
    label, of, inner = path.rpartition(" of ")
    if of:
        which = label == "key" and kind is not None and _is_choice(kind, inner)
        return Field(start, end, path, value, "which message" if which else meaning, ENCODING, int(which))
    return Field(start, end, path, value, meaning, ENCODING, min(end - start, _information(kind, path, value)))


def _is_choice(kind: Descriptor, path: str) -> bool:
    """Whether a field says which message it is: one of a `oneof` whose members are messages."""
    field = kind.fields_by_name.get(path)
    return field is not None and field.containing_oneof is not None and field.message_type is not None


def _information(kind: Descriptor | None, path: str, value: object) -> int:
    """The information in a field, whose path says in which (nested) message it is."""
    *around, name = path.split(".")
    for step in around:
        field = kind and kind.fields_by_name.get(step.partition("[")[0])
        kind = field and field.message_type
    return information_of(kind.name, name, value) if kind else 0
