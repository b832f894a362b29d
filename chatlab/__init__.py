"""chatlab: how do programs talk to each other over a network, and what does it cost?

One chat service, written once; many ways to carry it; every byte explained; numbers that carry their own doubt. The
rooms of the package, from the ground up; imports run one way only (tests/project/test_import_rules.py has the table).

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

The names below are what a notebook types. Each is loaded when it is first used, so that `import chatlab` is light;
importing changes nothing outside chatlab. The messages of the chat are in `chatlab.messages`.
"""

from typing import TYPE_CHECKING

__version__ = "0.2.0"

__all__ = [
    "AsyncClient",
    "ByteTable",
    "ChatError",
    "ChatlabError",
    "Client",
    "Codec",
    "Comparison",
    "Complexity",
    "ConnectionLost",
    "CostBreakdown",
    "ExternalServer",
    "Limits",
    "MeasurementFailed",
    "ProtocolError",
    "Report",
    "Run",
    "Saturation",
    "Server",
    "SizeTable",
    "TextCodec",
    "Trace",
    "Workload",
    "__version__",
    "bytes_by_layer",
    "calibrate",
    "check",
    "check_exercise",
    "compare",
    "complexity",
    "connect",
    "cost_breakdown",
    "count_bytes",
    "count_overhead",
    "count_sizes",
    "dissect",
    "dissect_message",
    "dissect_tape",
    "information",
    "lua_dissector",
    "measure",
    "open_notebooks",
    "relay",
    "resolve",
    "saturate",
    "serve",
    "show",
    "side_by_side",
    "simulate",
    "stop_all",
    "tcp_bytes",
    "to_pcapng",
    "verify",
]

if TYPE_CHECKING:  # for static tools, which do not run the rest
    from . import capture as capture
    from . import chat as chat
    from . import codecs as codecs
    from . import conformance as conformance
    from . import display as display
    from . import measurement as measurement
    from . import messages as messages
    from . import transport as transport
    from .capture.dissection import dissect, dissect_message, dissect_tape
    from .capture.layers import bytes_by_layer, information
    from .capture.tcp_info import tcp_bytes
    from .capture.tcp_relay import relay
    from .capture.trace import Trace
    from .capture.wireshark import lua_dissector, to_pcapng
    from .cli.jupyter import open_notebooks
    from .codecs.interface import Codec
    from .codecs.text import TextCodec
    from .conformance.report import Report
    from .conformance.runner import check
    from .display.notebook import check_exercise, show, verify
    from .display.source_diff import side_by_side
    from .harness import Server, connect, serve, simulate, stop_all
    from .measurement.breakdown import CostBreakdown, cost_breakdown
    from .measurement.byte_counts import ByteTable, count_bytes
    from .measurement.calibration import calibrate
    from .measurement.code_complexity.complexity_table import Complexity, complexity
    from .measurement.errors import MeasurementFailed
    from .measurement.load.workload import Workload
    from .measurement.rates import compare, measure
    from .measurement.results.runs import Comparison, Run
    from .measurement.saturation import Saturation, saturate
    from .measurement.sizes import SizeTable, count_overhead, count_sizes
    from .messages import ChatError, ChatlabError, ConnectionLost, Limits, ProtocolError
    from .transport.async_client import AsyncClient
    from .transport.client import Client
    from .transport.external import ExternalServer
    from .transport.registry import resolve
else:
    #: Where each name is defined: as above, for a first use at run time. tests/test_public_face.py compares the two.
    _HOMES = {
        "capture.dissection": ("dissect", "dissect_message", "dissect_tape"),
        "capture.layers": ("bytes_by_layer", "information"),
        "capture.tcp_info": ("tcp_bytes",),
        "capture.tcp_relay": ("relay",),
        "capture.trace": ("Trace",),
        "capture.wireshark": ("lua_dissector", "to_pcapng"),
        "cli.jupyter": ("open_notebooks",),
        "codecs.interface": ("Codec",),
        "codecs.text": ("TextCodec",),
        "conformance.report": ("Report",),
        "conformance.runner": ("check",),
        "display.notebook": ("check_exercise", "show", "verify"),
        "display.source_diff": ("side_by_side",),
        "harness": ("Server", "connect", "serve", "simulate", "stop_all"),
        "measurement.breakdown": ("CostBreakdown", "cost_breakdown"),
        "measurement.byte_counts": ("ByteTable", "count_bytes"),
        "measurement.calibration": ("calibrate",),
        "measurement.code_complexity.complexity_table": ("Complexity", "complexity"),
        "measurement.errors": ("MeasurementFailed",),
        "measurement.load.workload": ("Workload",),
        "measurement.rates": ("compare", "measure"),
        "measurement.results.runs": ("Comparison", "Run"),
        "measurement.saturation": ("Saturation", "saturate"),
        "measurement.sizes": ("SizeTable", "count_overhead", "count_sizes"),
        "messages": ("ChatError", "ChatlabError", "ConnectionLost", "Limits", "ProtocolError"),
        "transport.async_client": ("AsyncClient",),
        "transport.client": ("Client",),
        "transport.external": ("ExternalServer",),
        "transport.registry": ("resolve",),
    }

    #: The rooms that can be asked for without an import of their own, as `chatlab.messages.Send` is.
    _ROOMS = ("messages", "chat", "codecs", "transport", "capture", "measurement", "display", "conformance")

    def __getattr__(name):
        from importlib import import_module

        for home, names in _HOMES.items():
            if name in names:
                value = globals()[name] = getattr(import_module(f".{home}", __name__), name)
                return value
        if name in _ROOMS:
            return import_module(f".{name}", __name__)
        import sys

        # Python itself adds "Did you mean ...?" to an uncaught error that knows its name and its object.
        raise AttributeError(
            f"chatlab has no {name!r}; dir(chatlab) lists what it has", name=name, obj=sys.modules[__name__]
        )

    def __dir__():
        return list(__all__)
