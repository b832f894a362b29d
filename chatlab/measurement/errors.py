"""The errors of measuring and counting, one for each thing that a reader can do about them."""

from typing import TYPE_CHECKING

from ..messages import ChatlabError

if TYPE_CHECKING:
    from .results.result import Result


class MeasurementFailed(ChatlabError, RuntimeError):
    """A load worker or the server failed: a wrong reply, a lost connection, or a process that died.

    `partial_result` is what was measured before: a partial `Run`, `Comparison`, `Saturation` or `CostBreakdown`, or
    None where no round was finished.
    """

    partial_result: "Result | None" = None


class NoProgress(MeasurementFailed):
    """No request completed, although the duration was doubled twice. The machine is probably overloaded."""


class NotQuiescent(ChatlabError, RuntimeError):
    """Bytes keep passing that no request caused, or not the same bytes each time, so that no exact count exists."""
