"""Protocols by name: what a name, a "module:NAME", a codec or an Implementation stands for.

A protocol is resolved once, by the function that a user calls; from there on it is an `Implementation`, whose abilities
are declared. The names below are strings, so that looking one up loads no protocol that was not asked for.
"""

import importlib
import pickle
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ..codecs.interface import Codec
from ..messages import shorten
from .interface import ENGINES, Address, Endpoint, Engine, Implementation, ProtocolLike, ProtocolOrList

if TYPE_CHECKING:
    from ..chat.hub import Hub
    from .async_client import AsyncClient
    from .client import Client

#: What carries a bare codec; it is called with the codec.
CODEC_TRANSPORT = "chatlab.socket_impl:SocketImplementation"
#: The entry point group in which an installed package names protocols of its own.
ENTRY_POINTS = "chatlab.protocols"

_paths: dict[str, str] = {}
_ports: dict[str, int] = {}
#: What a protocol's name stands for, a "module:NAME" each.
PROTOCOLS: Mapping[str, str] = MappingProxyType(_paths)
#: The port at which a protocol is served and looked for by default, by `chatlab serve` and `chatlab chat` alike.
PORTS: Mapping[str, int] = MappingProxyType(_ports)


def register(name: str, path: str, port: int) -> None:
    """Make a protocol known by a name.

    `path` is the `"module:NAME"` of an Implementation, a codec, or a function or class that makes either.
    """
    _paths[name], _ports[name] = path, port


register("text", "chatlab.codecs.text:TextCodec", 2428)
register("json", "chatlab.codecs.json_lines:JsonCodec", 2431)
register("binary", "chatlab.codecs.binary:BinaryCodec", 2432)
register("protobuf", "chatlab.codecs.protobuf:ProtobufCodec", 2433)
register("grpc", "chatlab.grpc_impl:grpc_unary", 2429)
register("grpc-stream", "chatlab.grpc_impl:grpc_stream", 2430)


def resolve(protocol: "ProtocolLike") -> Implementation:
    """The Implementation for a protocol's name, a `"module:NAME"`, a codec, a transport, or a class of these.

    What a transport of a reader's own does not declare is filled in: no codec, all verbs, both engines. Raises
    `ValueError` for an unknown name and `TypeError` for an object that is none of these.

    >>> resolve("text")
    <text over sockets>
    """
    candidate: Any = _load(protocol) if isinstance(protocol, str) else protocol
    if isinstance(candidate, type) or (
        callable(candidate) and not _is_transport(candidate) and not _is_codec(candidate)
    ):
        candidate = candidate()
    if _is_transport(candidate):
        implementation: Implementation = candidate if _declares_all(candidate) else Adopted(candidate)
        return implementation
    if _is_codec(candidate):
        implementation = _load(CODEC_TRANSPORT)(candidate)
        return implementation
    raise TypeError(
        f"{candidate!r} is neither an Implementation (serve, connect) nor a Codec (encode, decode, frame_end)"
    )


def one_by_one(protocols: Iterable[ProtocolOrList]) -> tuple[ProtocolLike, ...]:
    """The protocols of a call that takes them side by side; a single list or tuple of them is understood too.

    Raises `ValueError` for a list that is not the only argument.
    """
    given: tuple[Any, ...] = tuple(protocols)
    if len(given) == 1 and isinstance(given[0], list | tuple | set | frozenset):
        return tuple(given[0])
    for protocol in given:
        if isinstance(protocol, list | tuple | set | frozenset):
            raise ValueError(
                f"protocols are given side by side, or as one list; {shorten(protocol)} is a list among others"
            )
    return given


class Adopted:
    """A transport of a reader's own with at least `serve` and `connect`; what it does not declare is filled in."""

    def __init__(self, original: Any):
        self.original = original
        self.name: str = getattr(original, "name", type(original).__name__)
        self.codec: Codec | None = getattr(original, "codec", None)
        verbs = getattr(original, "verbs", None)
        self.verbs: frozenset[str] | None = None if verbs is None else frozenset(verbs)
        self.engines: tuple[Engine, ...] = tuple(getattr(original, "engines", ENGINES))

    def __repr__(self) -> str:
        return repr(self.original)

    def __reduce__(self) -> tuple[Any, ...]:
        return Adopted, (self.original,)

    def serve(self, hub: "Hub", engine: Engine = "loop", host: str = "127.0.0.1", port: int = 0) -> Endpoint:
        endpoint: Endpoint = self.original.serve(hub, engine=engine, host=host, port=port)
        return endpoint

    def connect(self, address: Address) -> "Client":
        client: Client = self.original.connect(address)
        return client

    async def connect_async(self, address: Address) -> "AsyncClient":
        client: AsyncClient = await self.original.connect_async(address)
        return client


def as_given(subject: Implementation | Codec) -> object:
    """A transport of a reader's own without what `resolve` filled in; anything else as it is."""
    return subject.original if isinstance(subject, Adopted) else subject


def pack(implementation: Implementation) -> bytes:
    """Bytes from which another process loads the Implementation, with `unpack`.

    Raises `ValueError` where another process cannot import what it is made of.
    """
    for part in (as_given(implementation), implementation.codec):
        if type(part).__module__ == "__main__":
            raise ValueError(
                f"{type(part).__name__} is defined in this notebook or script, where another process cannot import it; "
                'write it to a file and name it "module:NAME"'
            )
    try:
        return pickle.dumps(implementation)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ValueError(
            f'{implementation!r} cannot be handed to another process: {error}; name it "module:NAME"'
        ) from error


def unpack(packed: bytes) -> Implementation:
    """The Implementation that another process of ours packed. Never for other bytes: unpickling can run any code."""
    implementation: Implementation = pickle.loads(packed)
    return implementation


def _is_transport(thing: Any) -> bool:
    return not isinstance(thing, type) and hasattr(thing, "serve") and hasattr(thing, "connect")


def _is_codec(thing: Any) -> bool:
    return not isinstance(thing, type) and all(hasattr(thing, verb) for verb in ("encode", "decode", "frame_end"))


def _declares_all(implementation: Any) -> bool:
    return all(hasattr(implementation, ability) for ability in ("name", "codec", "verbs", "engines"))


def _load(name: str) -> Any:
    path = PROTOCOLS.get(name, name)
    if ":" not in path:
        from importlib.metadata import entry_points  # as slow to load as a whole server, and rarely needed

        installed = {entry.name: entry for entry in entry_points(group=ENTRY_POINTS)}
        if name in installed:
            return installed[name].load()
        known = ", ".join([*PROTOCOLS, *installed])
        raise ValueError(f'no protocol is called {name!r}; there are {known}, and "module:NAME"')
    module, _, attribute = path.partition(":")
    return getattr(importlib.import_module(module), attribute)
