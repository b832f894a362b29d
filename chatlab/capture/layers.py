r"""What frames cost, layer by layer: the information, and what is paid on each floor to carry it.

Every field of a dissected frame has a layer, and so many of its bytes are information; nothing is counted twice and
nothing is left out, so the layers of any frames add up to their bytes. Nothing here reads a byte.

**Information** is defined once, for every protocol: one byte for which message it is; the UTF-8 bytes of its strings;
for each whole number the fewest bytes that hold it (0 takes none, 1 to 255 one, a negative one has a sign bit). A yes
or no is less than a byte and counts nothing; so does a field that has its default. Tags, lengths and whatever else the
two sides need in order to talk are the cost, not the information. Never more than the bytes that carry it is counted
as information: what the other side knows already and is not sent (an indexed header) is not there to be counted.
"""

from collections.abc import Iterable
from typing import NamedTuple

from msgspec.structs import fields as fields_of

from .. import messages
from ..messages import Message

INFORMATION = "information"
ENCODING = "payload encoding"
FRAMING = "message framing"
HTTP2 = "HTTP/2 and HPACK"
TCP_IP = "TCP/IP headers, modelled"
LAYERS = (INFORMATION, ENCODING, FRAMING, HTTP2, TCP_IP)

#: The model: what IPv4 (20), TCP (20) and its timestamps (12) put before each segment, and what a segment holds.
SEGMENT_HEADERS = 52
SEGMENT = 1448


# ---- information ------------------------------------------------------------------------------------------------


def information(message: Message) -> int:
    """How many bytes of information a message is, however it is spelled: see above.

    >>> information(messages.Send("bob", "hi")), information(messages.Sent(300, delivered=True)), information(messages.Done())
    (6, 3, 1)
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
    """The bytes of information in one field of a message of this kind. `name` is as `spans` gives it."""
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
    return _DEFAULTS.get(kind, {}).get(field, _NO_SUCH_FIELD)


# ---- what it costs ----------------------------------------------------------------------------------------------


class LayerBytes(NamedTuple):
    """Bytes by layer. The first four are bytes of the tape; the last is a model beside it. Accounts add and subtract."""

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
        """The bytes of this layer and of all that are inside it: what somebody sees who measures there.

        >>> LayerBytes(6, 1, 2, 30, 52).up_to("message framing")
        9
        """
        return sum(self[: LAYERS.index(layer) + 1])

    def __add__(self, other: "LayerBytes") -> "LayerBytes":
        return LayerBytes(*map(sum, zip(self, other, strict=True)))

    def __sub__(self, other: "LayerBytes") -> "LayerBytes":
        return LayerBytes(*[mine - others for mine, others in zip(self, other, strict=True)])

    def to_dict(self) -> dict[str, int]:
        return dict(zip(LAYERS, self))


def bytes_by_layer(frames: Iterable) -> LayerBytes:
    """What the frames cost, layer by layer; together exactly their bytes, and TCP/IP headers by a model.

    The model: what arrived in one piece was written in one go, in segments of 1448 bytes behind 52 bytes of headers
    each (IPv4 20, TCP 20, timestamps 12). Handshakes and bare acknowledgements are not in it: they vary.
    """
    totals = dict.fromkeys(LAYERS, 0)
    pieces: dict[tuple, int] = {}
    for frame in frames:
        piece = frame.connection, frame.direction, frame.at_s
        pieces[piece] = pieces.get(piece, 0) + len(frame.data)
        for field in frame.fields:
            totals[INFORMATION] += field.information
            totals[field.layer] += field.size - field.information
    totals[TCP_IP] = sum(map(tcp_ip_overhead, pieces.values()))
    return LayerBytes(*totals.values())


def tcp_ip_overhead(size: int) -> int:
    """What the headers of as few segments as can hold so many bytes take, by the model.

    >>> tcp_ip_overhead(1), tcp_ip_overhead(1448), tcp_ip_overhead(1449), tcp_ip_overhead(0)
    (52, 52, 104, 0)
    """
    return SEGMENT_HEADERS * -(-size // SEGMENT)


def cost_in_words(account) -> str:
    """The layers of the bytes on the tape: `9 bytes = 6 information + 1 payload encoding + 2 message framing`."""
    parts = [f"{count} {layer}" for layer, count in list(account.to_dict().items())[:-1] if count]
    size = "1 byte" if account.bytes == 1 else f"{account.bytes} bytes"
    return f"{size} = {' + '.join(parts)}" if parts else "no bytes"
