"""Which bytes say a message, and where a frame ends; no I/O."""

from .binary import BinaryCodec
from .connection import Connection
from .interface import BatchCodec, Codec
from .json_lines import JsonCodec
from .protobuf import ProtobufCodec
from .text import TextCodec

__all__ = ["BinaryCodec", "Codec", "Connection", "JsonCodec", "ProtobufCodec", "BatchCodec", "TextCodec"]
