"""The frame of every measurement: it notes the state of the machine, and keeps what is done when it ends early."""

import contextlib
from collections.abc import Callable, Iterator
from typing import TypeVar

from .errors import MeasurementFailed
from .results.environment import Environment, cpu_ticks, current_environment, load_average, stolen_share
from .results.result import Result

AnyResult = TypeVar("AnyResult", bound=Result)


class MeasurementContext:
    """One call of `measure`, `compare`, `saturate` or `cost_breakdown`.

    It is made before the first process starts, so that the load average is that of the machine without them. Whatever
    is measured is measured inside `measuring`; `conclude` then hands out the result.
    """

    def __init__(self) -> None:
        self._ticks, self._load = cpu_ticks(), load_average()
        self._failure: MeasurementFailed | None = None
        self.ended_early = False

    @contextlib.contextmanager
    def measuring(self, has_results: Callable[[], bool]) -> Iterator[None]:
        """A block that an interrupt or a failure ends early, if there are results by then; else the error is raised."""
        try:
            yield
        except (KeyboardInterrupt, MeasurementFailed) as error:
            if not has_results():
                raise
            self.ended_early = True
            self._failure = error if isinstance(error, MeasurementFailed) else None

    def environment(self, pinned: str) -> Environment:
        """The machine: its load before the measurement, and which share of its processors the host has taken since."""
        return current_environment(pinned, self._load, stolen_share(self._ticks, cpu_ticks()))

    def conclude(self, result: AnyResult) -> AnyResult:
        """The result; after a failure, the error is raised with the result as its `partial_result`."""
        if self._failure is None:
            return result
        self._failure.partial_result = result
        self._failure.add_note("What was measured before is the error's partial_result.")
        raise self._failure
