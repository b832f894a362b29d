"""Which bytes say a message, and where a frame ends; no I/O."""

from .binary import BinaryCodec
from .connection import Connection
from .interface import AnnotatedCodec, BatchCodec, Codec
from .json_lines import JsonCodec
from .protobuf import ProtobufCodec
from .text import TextCodec

__all__ = [
    "AnnotatedCodec",
    "BatchCodec",
    "BinaryCodec",
    "Codec",
    "Connection",
    "JsonCodec",
    "ProtobufCodec",
    "TextCodec",
]
