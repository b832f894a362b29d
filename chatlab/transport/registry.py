"""Protocols by name: what a name, a "module:NAME", a codec or an Implementation stands for."""

import importlib

from ..messages import cut
from .interface import Implementation

#: What a protocol's name stands for: the "module:NAME" of an Implementation, a codec, or a maker of either.
PROTOCOLS: dict[str, str] = {}
#: The "module:NAME" of what carries a bare codec; it is called with the codec.
CARRIER: list[str] = []
#: The port at which a protocol is served and looked for where none is named, by `chatlab serve` and `chatlab chat` alike.
PORTS: dict[str, int] = {}


# ---- protocols by name ------------------------------------------------------------------------------------------


def implementation(protocol) -> Implementation:
    """The Implementation that a protocol's name, a `"module:NAME"`, a codec or an Implementation stands for.

    Raises `ValueError` for a name that nobody knows and `TypeError` for an object that is none of these.
    """
    found = _load(protocol) if isinstance(protocol, str) else protocol
    if isinstance(found, type) or not _carries(found) and not _spells(found) and callable(found):
        found = found()
    if _carries(found):
        return found
    if _spells(found):
        return _load(CARRIER[0])(found)
    raise TypeError(
        f"{protocol!r} is neither an Implementation (serve, connect) nor a Codec (encode, decode, frame_end)"
    )


def _carries(thing) -> bool:
    return not isinstance(thing, type) and hasattr(thing, "serve") and hasattr(thing, "connect")


def _spells(thing) -> bool:
    return not isinstance(thing, type) and all(hasattr(thing, verb) for verb in ("encode", "decode", "frame_end"))


def _load(name: str):
    path = PROTOCOLS.get(name, name)
    module, colon, attribute = path.partition(":")
    if not colon:
        raise ValueError(f'no protocol is called {name!r}; there are {", ".join(PROTOCOLS)}, and "module:NAME"')
    return getattr(importlib.import_module(module), attribute)


def check_protocols(verb: str, protocols: tuple) -> None:
    """Raises `ValueError` for a list where its members were to be given one by one, as `verb` takes them."""
    for each in protocols:
        if isinstance(each, list | tuple | set | frozenset):
            meant = ", ".join(
                f'"{one}"' if isinstance(one, str) else getattr(one, "__name__", repr(one)) for one in each
            )
            raise ValueError(f"a protocol is not {cut(each)}; did you mean {verb}({meant})?")


def portable(protocol) -> str:
    """What another process can load the protocol by. Raises `ValueError` for what lives only in this one."""
    if isinstance(protocol, str):
        return protocol
    made = protocol if isinstance(protocol, type) else type(protocol)
    if made.__module__ == "__main__":
        raise ValueError(
            f"{made.__name__} is defined in this notebook or script, where another process cannot import it; "
            'write it to a file and name it "module:NAME"'
        )
    return f"{made.__module__}:{made.__qualname__}"
