"""What frames cost, layer by layer: the information, and what each layer adds in order to carry it.

Every byte of a dissected frame is either information or a cost of its field's layer. Nothing is counted twice or left
out, so the layers of any frames add up to their bytes. Nothing here reads a byte.

**Information** is defined once, for every protocol: one byte for the kind of message; the UTF-8 bytes of its strings;
for each integer the fewest bytes that hold it (0 takes none, 1 to 255 one; negative numbers need a sign bit). A boolean
is less than a byte and counts as nothing, and so does a field that has its default. Tags, lengths and everything else
that the two sides need in order to talk are cost. Information is never more than the bytes that carry it: what is not
sent because the other side knows it already (an indexed header) is not counted.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import fields as fields_of

from .. import messages
from ..messages import Message

if TYPE_CHECKING:
    from .fields import Frame

INFORMATION = "information"
ENCODING = "payload encoding"
FRAMING = "message framing"
HTTP2 = "HTTP/2 and HPACK"
TCP_IP = "TCP/IP headers, modelled"
LAYERS = (INFORMATION, ENCODING, FRAMING, HTTP2, TCP_IP)

#: The model of TCP/IP: headers of IPv4 (20), TCP (20) and its timestamps (12) before each segment, and what it holds.
SEGMENT_HEADERS = 52
SEGMENT = 1448


# ---- information ------------------------------------------------------------------------------------------------


def information(message: Message) -> int:
    """The bytes of information in a message, whatever the codec: see the module's definition.

    >>> information(messages.Send("bob", "hi")), information(messages.Sent(300, delivered=True))
    (6, 3)
    """
    return 1 + _of_fields(message)


def _of_fields(message: Message) -> int:
    kind = type(message).__name__
    total = 0
    for field in fields_of(type(message)):
        value = getattr(message, field.name)
        for element in value if isinstance(value, tuple) else (value,):
            total += _of_fields(element) if isinstance(element, Message) else information_of(kind, field.name, element)
    return total


def information_of(kind: str, name: str, value: object) -> int:
    """The bytes of information in one field of a message of this kind; `name` is the one that `spans` gives it."""
    if name == "message":
        return 1
    around, _, inner = name.rpartition(" ")
    if around.endswith("]") and " " not in around:  # of an element of a list, which is a letter
        kind, name = "Arrived", inner
    field = name.partition("[")[0]
    default = default_of(kind, field)
    if default is _NO_SUCH_FIELD or value == default:
        return 0
    return minimal_size(value)


def minimal_size(value: object) -> int:
    """The fewest bytes that hold a string or a whole number.

    >>> [minimal_size(value) for value in ("", "é", 0, 255, 256, -1, -129, True)]
    [0, 2, 0, 1, 2, 1, 2, 0]
    """
    if isinstance(value, str):
        return len(value.encode("utf-8", "replace"))
    if not isinstance(value, int) or isinstance(value, bool):
        return 0
    return (value.bit_length() + 7) // 8 if value >= 0 else ((~value).bit_length() + 8) // 8


_NO_SUCH_FIELD = object()
_DEFAULTS = {
    kind.__name__: {field.name: field.default for field in fields_of(kind)}
    for kind in (*messages.REQUESTS, *messages.REPLIES, *messages.EVENTS)
}


def default_of(kind: str, field: str) -> object:
    """The default of a field of a kind of message."""
    return _DEFAULTS.get(kind, {}).get(field, _NO_SUCH_FIELD)


# ---- what it costs ----------------------------------------------------------------------------------------------


class LayerBytes(NamedTuple):
    """Bytes by layer. The first four were on the tape; the last is modelled. They add and subtract."""

    information: int = 0
    encoding: int = 0
    framing: int = 0
    http2: int = 0
    tcp_ip: int = 0

    @property
    def bytes(self) -> int:
        """What was on the tape: every layer but the modelled one."""
        return self.information + self.encoding + self.framing + self.http2

    @property
    def overhead(self) -> int:
        """What was on the tape and is not information."""
        return self.bytes - self.information

    def up_to(self, layer: str) -> int:
        """The bytes of this layer and of all inside it: what a measurement at this layer sees.

        >>> LayerBytes(6, 1, 2, 30, 52).up_to("message framing")
        9
        """
        return sum(self[: LAYERS.index(layer) + 1])

    def __add__(self, other: "LayerBytes") -> "LayerBytes":  # type: ignore[override]  # adds, where a tuple appends
        return LayerBytes(*map(sum, zip(self, other, strict=True)))

    def __sub__(self, other: "LayerBytes") -> "LayerBytes":
        return LayerBytes(*[left - right for left, right in zip(self, other, strict=True)])

    def to_dict(self) -> dict[str, int]:
        return dict(zip(LAYERS, self))


def bytes_by_layer(frames: "Iterable[Frame]") -> LayerBytes:
    """What the frames cost, layer by layer; together exactly their bytes, and TCP/IP headers by a model.

    The model: frames that were complete at the same moment were written at once, in segments of 1448 bytes with 52
    bytes of headers each (IPv4 20, TCP 20, timestamps 12). Handshakes and pure acknowledgements are left out, because
    they vary.
    """
    totals = dict.fromkeys(LAYERS, 0)
    writes: dict[tuple[int, str, float], int] = {}
    for frame in frames:
        write = frame.connection, frame.direction, frame.at_s
        writes[write] = writes.get(write, 0) + len(frame.data)
        for field in frame.fields:
            totals[INFORMATION] += field.information
            totals[field.layer] += field.size - field.information
    totals[TCP_IP] = sum(map(tcp_ip_overhead, writes.values()))
    return LayerBytes(*totals.values())


def tcp_ip_overhead(size: int) -> int:
    """The bytes of TCP/IP headers for a write of this size, by the model of `bytes_by_layer`.

    >>> tcp_ip_overhead(1), tcp_ip_overhead(1448), tcp_ip_overhead(1449), tcp_ip_overhead(0)
    (52, 52, 104, 0)
    """
    return SEGMENT_HEADERS * -(-size // SEGMENT)


def describe_cost(cost: LayerBytes) -> str:
    """The bytes on the tape by layer: `9 bytes = 6 information + 1 payload encoding + 2 message framing`."""
    parts = [f"{count} {layer}" for layer, count in list(cost.to_dict().items())[:-1] if count]
    size = "1 byte" if cost.bytes == 1 else f"{cost.bytes} bytes"
    return f"{size} = {' + '.join(parts)}" if parts else "no bytes"
