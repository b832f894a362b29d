"""Every plot. The only home of matplotlib, which is loaded when the first one is drawn."""

from .breakdown import breakdown_bars
from .frame import annotated_bytes
from .latency import latency_distribution, percentiles, throughput_latency, time_series
from .rates import cost_by_clients, overview, rate_by_clients
from .sequence import space_time
from .server import server_over_time
from .style import PROTOCOL_STYLE, Style, figure, style_of
from .traffic import bytes_per_operation, overhead_by_information, stacked_layers

__all__ = [
    "PROTOCOL_STYLE", "Style", "annotated_bytes", "breakdown_bars", "bytes_per_operation", "cost_by_clients", "figure",
    "latency_distribution", "overhead_by_information", "overview", "percentiles", "rate_by_clients", "server_over_time",
    "space_time", "stacked_layers", "style_of", "throughput_latency", "time_series",
]  # fmt: skip
