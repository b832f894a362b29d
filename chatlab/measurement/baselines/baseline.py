"""Baseline servers by kind and protocol, as Implementations."""

from ...codecs.interface import Codec
from ...transport.registry import implementation
from .grpc_servers import _GrpcLoopDoor, _GrpcMirrorDoor, _GrpcThreadDoor
from .socket_servers import Echoed, _Echo, _LoopDoor, _Mirrored, _say_back, _ThreadDoor
from .stub_chat import Mirror

SOCKET_KINDS, GRPC_KINDS = ("echo", "raw", "frames", "answers", "mirror"), ("answers", "bytes", "messages", "mirror")
KINDS = tuple(dict.fromkeys(SOCKET_KINDS + GRPC_KINDS))


def __getattr__(name: str):
    """`echo:PROTOCOL`, `answers:PROTOCOL` and so on, for whoever loads an Implementation by its name."""
    kind, colon, protocol = name.partition(":")
    if not colon or kind not in KINDS:
        raise AttributeError(f"there is no {name!r} here; there is {', '.join(f'{each}:PROTOCOL' for each in KINDS)}")
    return Null(kind, protocol)


class Null:
    """A server that does nothing, in the place of a protocol's. Clients are the protocol's own."""

    def __init__(self, kind: str, protocol: str):
        self.kind, self._carried = kind, implementation(protocol)
        self.name = self._carried.name
        codec: Codec | None = getattr(self._carried, "codec", None)
        if codec is None and kind not in GRPC_KINDS:
            raise ValueError(f"{self.name} has no frames of ours to echo; its null server answers")
        if codec is not None and kind not in SOCKET_KINDS:
            raise ValueError(f"{kind} is what gRPC does with a call, and {self.name} is not carried by gRPC")
        if kind == "raw" and getattr(codec, "preface", b""):
            raise ValueError(f"an echo of {self.name} begins with its preface, which no answer does")
        if codec is not None:
            self.codec = Echoed(codec) if kind in ("raw", "frames") else codec
        self.connect, self.connect_async = self._carried.connect, self._carried.connect_async

    def __repr__(self):
        return f"<a null server of {self.name}: {self.kind}>"

    def serve(self, hub, engine: str = "loop", host: str = "127.0.0.1", port: int = 0):
        """A door with nothing behind it, on either engine; with a mirror behind it, on a loop."""
        codec: Codec | None = getattr(self._carried, "codec", None)
        if self.kind == "mirror":
            if engine != "loop":
                raise ValueError(f"a mirror is served by a loop, not by {engine!r}")
            mirror = Mirror()
            return (
                _GrpcMirrorDoor(mirror, host, port)
                if codec is None
                else _LoopDoor(lambda: _Mirrored(mirror, codec), host, port)
            )
        if codec is None:
            return {"loop": _GrpcLoopDoor, "threads": _GrpcThreadDoor}[engine](self.kind, host, port)
        if engine == "loop":
            return _LoopDoor(lambda: _Echo(_say_back(self.kind, codec)), host, port)
        return _ThreadDoor(lambda: _say_back(self.kind, codec), host, port)
