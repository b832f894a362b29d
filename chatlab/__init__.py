"""chatlab: how do programs talk to each other over a network, and what does it cost?

One chat service, written once; many ways to carry it; every byte explained; numbers that carry their own doubt.
The house, from the ground up; imports run one way only (tests/project/test_import_rules.py has the table).

    messages         what can be asked, answered, announced, refused?
    chat/            what does it do?
    codecs/          which bytes say it, where does a frame end?
    proto/           the same messages as a gRPC contract
    transport/       what is a client, an endpoint, an implementation?
    socket_impl      the servers over TCP
    grpc_impl        the servers over gRPC
    harness          serve, connect, simulate from a cell
    capture/         what passed?
    measurement/     how much, how fast, how sure?
    conformance/     does it speak as it should?
    display/         how does a value look?
    cli/             parse, call, print

What a notebook types is below; each name is loaded when it is first used, so `import chatlab` is light.
"""

import difflib
import importlib
import os
import sys
import types

# gRPC's core writes to stderr from threads of its own, which in a notebook lands in whatever cell runs just then. It
# looks for this variable when it is loaded, so no module of ours may load it before.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

__version__ = "0.1.0"

_HOMES = {'harness': ['serve', 'connect', 'stop_all', 'simulate'], 'transport.registry': ['resolve', 'PROTOCOLS', 'PORTS'], 'messages': ['ChatError', 'ProtocolError', 'ConnectionLost', 'CODES', 'Limits', 'Message', 'Request', 'Reply', 'Event', 'CreateAccount', 'LogIn', 'LogOut', 'ListAccounts', 'Send', 'Unread', 'Acknowledge', 'DeleteMessages', 'DeleteAccount', 'Deposit', 'Withdraw', 'ViewBalance', 'Join', 'Say', 'Leave', 'Ping', 'Account', 'Accounts', 'Sent', 'Mail', 'Deleted', 'Closed', 'Balance', 'Joined', 'Said', 'Done', 'Pong', 'Refused', 'Arrived', 'Entered', 'Left', 'Heard', 'LoggedOut', 'Goodbye'], 'chat.service': ['Chat', 'Session'], 'chat.storage': ['MemoryStore'], 'chat.hub': ['Hub', 'Outbox'], 'codecs.interface': ['Codec'], 'codecs.text': ['TextCodec'], 'codecs.connection': ['Connection'], 'capture.dissection': ['dissect_message', 'dissect', 'dissect_tape'], 'capture.fields': ['Field', 'Frame', 'Frames'], 'capture.layers': ['bytes_by_layer', 'information', 'LAYERS'], 'capture.wireshark': ['to_pcapng', 'lua_dissector'], 'capture.tcp_relay': ['relay', 'Relay'], 'capture.traffic': ['Chunk', 'Traffic'], 'measurement.load.workload': ['Workload'], 'measurement.byte_counts': ['count_bytes', 'ByteTable'], 'measurement.sizes': ['count_sizes', 'count_overhead', 'SizeTable'], 'capture.tcp_info': ['tcp_bytes'], 'measurement.rates': ['measure', 'compare'], 'measurement.calibration': ['calibrate'], 'measurement.testbed': ['MeasurementFailed'], 'measurement.saturation': ['saturate', 'Saturation'], 'measurement.breakdown': ['cost_breakdown', 'CostBreakdown'], 'measurement.code_complexity.tables': ['complexity', 'Complexity'], 'capture.trace': ['Trace'], 'measurement.results.runs': ['Run', 'Comparison'], 'conformance.runner': ['check'], 'conformance.report': ['Report'], 'transport.external': ['ExternalServer'], 'cli.jupyter': ['open_notebooks'], 'display.notebook': ['verify', 'check_exercise', 'show'], 'display.source_diff': ['side_by_side']}  # fmt: skip


class _Map(types.ModuleType):
    """This package. Importing a file called relay.py or measure.py must not hide the function of that name."""

    def __setattr__(self, name, value):
        if not (isinstance(value, types.ModuleType) and name in _HOME_OF):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Map
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}
__all__ = list(_HOME_OF)


def __getattr__(name: str):
    if name not in _HOME_OF:
        near = " or ".join(difflib.get_close_matches(name, __all__, cutoff=0.7))
        raise AttributeError(
            f"chatlab has no {name!r}; {f'did you mean {near}? ' if near else ''}dir(chatlab) lists what it has"
        )
    value = getattr(importlib.import_module(f".{_HOME_OF[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__():
    return [*globals(), *__all__]
