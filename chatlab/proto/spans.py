"""Which bytes of a protobuf message say what: every byte belongs to a key, a length or a value, by the field's name.

The wire format is read here by hand, next to the descriptors: the library says what a message holds, not where. It is
shown, not judged: what the descriptor does not know is a field of its number, and where nothing more can be read the
rest is called unreadable. Nothing is raised, whatever the bytes.
"""

import struct

from google.protobuf.descriptor import Descriptor, FieldDescriptor

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
_FIXED = {FIXED64: 8, FIXED32: 4}
_KINDS = {
    FieldDescriptor.TYPE_DOUBLE: (FIXED64, "<d"), FieldDescriptor.TYPE_FLOAT: (FIXED32, "<f"),
    FieldDescriptor.TYPE_FIXED64: (FIXED64, "<Q"), FieldDescriptor.TYPE_SFIXED64: (FIXED64, "<q"),
    FieldDescriptor.TYPE_FIXED32: (FIXED32, "<I"), FieldDescriptor.TYPE_SFIXED32: (FIXED32, "<i"),
    FieldDescriptor.TYPE_STRING: (LENGTH, ""), FieldDescriptor.TYPE_BYTES: (LENGTH, ""),
    FieldDescriptor.TYPE_MESSAGE: (LENGTH, ""),
}  # fmt: skip
_UNSIGNED = {FieldDescriptor.TYPE_UINT32, FieldDescriptor.TYPE_UINT64, FieldDescriptor.TYPE_ENUM}
_ZIGZAG = {FieldDescriptor.TYPE_SINT32, FieldDescriptor.TYPE_SINT64}
MAX_DEPTH = 100  # as the library has it


def spans(data: bytes, message: Descriptor | None, start: int = 0) -> list[tuple[int, int, str, object]]:
    """(start, end, name, value) for every byte of `data` from `start` on, without gaps.

    A field of a nested message is named with its path, as `send.to`; an element of a list with its index.

    >>> from chatlab.proto.chat_pb2 import Send
    >>> spans(b"\\n\\x03bob", Send.DESCRIPTOR)
    [(0, 1, 'key of to', 'field 1, length and bytes'), (1, 2, 'length of to', 3), (2, 5, 'to', 'bob')]
    """
    walk = _Walk(data)
    walk.message(start, len(data), message, "", 0)
    return walk.spans


class _Walk:
    def __init__(self, data: bytes):
        self.data = data
        self.spans: list[tuple[int, int, str, object]] = []

    def note(self, start: int, end: int, name: str, value: object) -> None:
        if start < end:
            self.spans.append((start, end, name, value))

    def message(self, at: int, end: int, message: Descriptor | None, path: str, depth: int) -> None:
        counts: dict[int, int] = {}
        while at < end:
            try:
                at = self.field(at, end, message, path, counts, depth)
            except ValueError as error:
                self.note(at, end, "unreadable", str(error))
                return

    def field(self, start: int, end: int, message: Descriptor | None, path: str, counts: dict, depth: int) -> int:
        """Note one field. Raises `ValueError`, and has noted nothing then."""
        key, at = _varint(self.data, start, end)
        number, wire = key >> 3, key & 7
        field = message.fields_by_number.get(number) if message else None
        packed = field is not None and wire == LENGTH and _is_list(field) and _wire(field) != LENGTH
        if field is not None and wire != _wire(field) and not packed:
            field = None
        name = path + (field.name if field else f"field {number}")
        if field is not None and _is_list(field) and not packed:
            counts[number] = counts.get(number, -1) + 1
            name = f"{name}[{counts[number]}]"
        if wire == VARINT:
            value, stop = _varint(self.data, at, end)
            self.note(start, at, f"key of {name}", f"field {number}, a varint")
            self.note(at, stop, name, _number(value, field))
            return stop
        if wire in _FIXED:
            stop = _within(at + _FIXED[wire], end)
            self.note(start, at, f"key of {name}", f"field {number}, {_FIXED[wire]} bytes")
            self.note(at, stop, name, _fixed(self.data[at:stop], field))
            return stop
        if wire != LENGTH:
            raise ValueError(f"wire type {wire} is none of proto3")
        size, begin = _varint(self.data, at, end)
        stop = _within(begin + size, end)
        self.note(start, at, f"key of {name}", f"field {number}, length and bytes")
        self.note(at, begin, f"length of {name}", size)
        self.inside(begin, stop, field, name, packed, counts, depth)
        return stop

    def inside(
        self, at: int, end: int, field: FieldDescriptor | None, name: str, packed: bool, counts, depth: int
    ) -> None:
        if packed:
            self.elements(at, end, field, name, counts)
        elif field is not None and field.type == FieldDescriptor.TYPE_MESSAGE and depth < MAX_DEPTH:
            self.message(at, end, field.message_type, f"{name}.", depth + 1)
        elif field is not None and field.type == FieldDescriptor.TYPE_STRING:
            self.note(at, end, name, self.data[at:end].decode("utf-8", "replace"))
        else:
            self.note(at, end, name, self.data[at:end])

    def elements(self, at: int, end: int, field: FieldDescriptor, name: str, counts: dict) -> None:
        wire = _wire(field)
        while at < end:
            index = counts[field.number] = counts.get(field.number, -1) + 1
            try:
                if wire == VARINT:
                    value, stop = _varint(self.data, at, end)
                    value = _number(value, field)
                else:
                    stop = _within(at + _FIXED[wire], end)
                    value = _fixed(self.data[at:stop], field)
            except ValueError as error:
                self.note(at, end, "unreadable", str(error))
                return
            self.note(at, stop, f"{name}[{index}]", value)
            at = stop


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    number = 0
    for shift in range(0, 70, 7):
        if at >= end:
            raise ValueError("it ends inside a varint")
        digit = data[at]
        at += 1
        number |= (digit & 0x7F) << shift
        if digit < 0x80:
            return number & 0xFFFF_FFFF_FFFF_FFFF, at
    raise ValueError("a varint has at most 10 bytes")


def _within(at: int, end: int) -> int:
    if at > end:
        raise ValueError(f"{at - end} bytes are missing")
    return at


def _is_list(field: FieldDescriptor) -> bool:
    repeated = getattr(field, "is_repeated", None)  # the newer name; the older one is on its way out
    return field.label == FieldDescriptor.LABEL_REPEATED if repeated is None else repeated


def _wire(field: FieldDescriptor) -> int:
    return _KINDS.get(field.type, (VARINT, ""))[0]


def _number(value: int, field: FieldDescriptor | None) -> int | bool:
    if field is None or field.type in _UNSIGNED:
        return value
    if field.type == FieldDescriptor.TYPE_BOOL:
        return bool(value)
    if field.type in _ZIGZAG:
        return value >> 1 ^ -(value & 1)
    return value if value < 2**63 else value - 2**64


def _fixed(raw: bytes, field: FieldDescriptor | None):
    return raw if field is None else struct.unpack(_KINDS[field.type][1], raw)[0]
