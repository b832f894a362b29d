"""What happened to each request of a measurement, raw: when it was due, sent, answered and heard.

Three times are told apart. The *response time* counts from when a request was due, as a user would count; the *service
time* from when it was sent; the *lateness* between the two is the generator's own. *End to end* is from the sender's
due time to the recipient's receipt. A request that was never sent, or never answered, has no such time: its age at the
end is a lower bound of it, and it is counted. Samples of several workers add up raw; percentiles are never averaged.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy

from .trial import COLUMNS, TrialResult
from .workload import OPERATIONS

if TYPE_CHECKING:
    import pandas

NEVER = -1
ALL_COLUMNS = (*COLUMNS, "operation")
TEXTS = (OPERATIONS.index("send"), OPERATIONS.index("say"))  # they are done only when they are heard, too

Array = numpy.ndarray[Any, Any]


@dataclass(frozen=True, repr=False)
class Samples:
    """One row for each request, in columns.

    `due`, `sent`, `answered` and `heard` are columns of int64, in ns after the start, `NEVER` where it did not happen;
    `operation` is a column of int8, indices of `OPERATIONS`. `end_ns` is when the generator stopped waiting. Where
    samples that ended at different times were added up, `ends` has the number of rows and the end of each part.
    """

    due: bytes
    sent: bytes
    answered: bytes
    heard: bytes
    operation: bytes
    end_ns: int
    ends: tuple[tuple[int, int], ...] = ()

    def __repr__(self) -> str:
        return f"<Samples of {len(self):,} requests>"

    def __len__(self) -> int:
        return len(self.operation)

    def __add__(self, other: "Samples") -> "Samples":
        due, sent, answered, heard, operation = (getattr(self, name) + getattr(other, name) for name in ALL_COLUMNS)
        parts = (*self._parts, *other._parts)
        ends = () if len({end_ns for _, end_ns in parts}) <= 1 else parts
        return Samples(due, sent, answered, heard, operation, max(self.end_ns, other.end_ns), ends)

    def column(self, name: str) -> Array:
        """One column as a numpy array, which cannot be written to."""
        return self._arrays[name]

    def where(self, rows: Array | slice) -> "Samples":
        """Some of the rows: a mask of booleans, or a slice."""
        due, sent, answered, heard, operation = (self.column(name)[rows].tobytes() for name in ALL_COLUMNS)
        ends = _run_lengths(self._ended_ns[rows]) if self.ends else ()
        return Samples(due, sent, answered, heard, operation, self.end_ns, ends)

    def only(self, operation: str) -> "Samples":
        """The rows of one operation."""
        return self.where(self.column("operation") == OPERATIONS.index(operation))

    @cached_property
    def _arrays(self) -> dict[str, Array]:
        arrays: dict[str, Array] = {name: numpy.frombuffer(getattr(self, name), numpy.int64) for name in COLUMNS}
        return arrays | {"operation": numpy.frombuffer(self.operation, numpy.int8)}

    @property
    def _parts(self) -> tuple[tuple[int, int], ...]:
        return self.ends or ((len(self), self.end_ns),)

    @property
    def _ended_ns(self) -> Array:
        """For each request, when its generator stopped waiting."""
        counts, ends_ns = zip(*self._parts)
        return numpy.repeat(numpy.array(ends_ns, numpy.int64), counts)

    # ---- times

    @cached_property
    def done_at_ns(self) -> Array:
        """When each request was done: answered and, if it was a text, heard by all; `NEVER` where it was not."""
        answered, heard = self.column("answered"), self.column("heard")
        is_text = numpy.isin(self.column("operation"), TEXTS)
        done = numpy.where(is_text, numpy.maximum(answered, heard), answered)
        return numpy.where((answered < 0) | is_text & (heard < 0), NEVER, done)

    @property
    def response_ns(self) -> Array:
        """From due to answered, of the requests that were answered."""
        return self._between("due", "answered")

    @property
    def service_ns(self) -> Array:
        """From sent to answered, of the requests that were answered."""
        return self._between("sent", "answered")

    @property
    def lateness_ns(self) -> Array:
        """From due to sent, of the requests that were sent."""
        return self._between("due", "sent")

    @property
    def end_to_end_ns(self) -> Array:
        """From due to heard by all who are to hear it, of the texts that were heard."""
        return self._between("due", "heard")

    def _between(self, first: str, last: str) -> Array:
        begin, end = self.column(first), self.column(last)
        happened = (begin >= 0) & (end >= 0)
        return end[happened] - begin[happened]

    @property
    def ages_ns(self) -> Array:
        """The ages at the end of requests that were not sent or not answered: lower bounds of their response times."""
        is_open = self.column("answered") < 0
        return (self._ended_ns - self.column("due"))[is_open]

    @property
    def bounded_response_ns(self) -> Array:
        """The response times, and the ages of what was not answered: a percentile of these is at least that."""
        return numpy.concatenate([self.response_ns, self.ages_ns])

    @property
    def bounded_response_in_order_ns(self) -> Array:
        """The same, in the order in which the requests were due, as the correlation of neighbours needs it."""
        due, answered = self.column("due"), self.column("answered")
        times = numpy.where(answered < 0, self._ended_ns, answered) - due
        return times[numpy.argsort(due, kind="stable")]

    # ---- counts

    @property
    def offered(self) -> int:
        """Requests that were due."""
        return len(self)

    @property
    def unsent(self) -> int:
        """Requests that were due and never sent."""
        return int((self.column("sent") < 0).sum())

    @property
    def attempted(self) -> int:
        """Requests that were sent."""
        return self.offered - self.unsent

    @property
    def completed(self) -> int:
        """Requests that were done."""
        return int((self.done_at_ns >= 0).sum())

    @property
    def unanswered(self) -> int:
        """Requests that were sent, and not done when the generator stopped waiting."""
        return self.attempted - self.completed

    def to_frame(self) -> "pandas.DataFrame":
        """A pandas DataFrame: a row for each request, times in seconds, missing where it did not happen."""
        import pandas

        times = {name: self.column(name) for name in COLUMNS}
        frame = pandas.DataFrame({f"{name}_s": pandas.Series(at).where(at >= 0) / 1e9 for name, at in times.items()})
        frame.insert(0, "operation", [OPERATIONS[number] for number in self.column("operation")])
        return frame


def percentile_ms(times_ns: Array, percent: float) -> float | None:
    """By nearest rank, in ms: a time that was measured, and not one between two. None of nothing.

    >>> percentile_ms(numpy.array([1_000_000, 2_000_000, 9_000_000]), 50)
    2.0
    """
    if not len(times_ns):
        return None
    return float(numpy.percentile(times_ns, percent, method="inverted_cdf")) / 1e6


def read_times(result: TrialResult) -> Samples:
    """A worker's columns as `Samples`: ns after its start, by a clock that stands still between its time slices."""
    idle_ns = _idle_before_ns(result)

    def since_start(column: bytes) -> bytes:
        at = numpy.frombuffer(column, numpy.int64)
        return numpy.where(at == 0, NEVER, at - result.start_ns - idle_ns).tobytes()

    due, sent, answered, heard = (since_start(getattr(result, name)) for name in COLUMNS)
    in_slices_ns = sum(ended - began for began, ended in result.slices)
    end_ns = in_slices_ns or max(result.end_ns, result.window_ns[1]) - result.start_ns
    return Samples(due, sent, answered, heard, result.operation, end_ns)


def _idle_before_ns(result: TrialResult) -> Array:
    """For each request, the time before it that lay between the worker's slices."""
    if not result.slices:
        return numpy.zeros((), numpy.int64)
    began, ended = numpy.array(result.slices, numpy.int64).T
    idle_before_slice = numpy.concatenate([[0], numpy.cumsum(began[1:] - ended[:-1])])
    slice_of = numpy.searchsorted(began, numpy.frombuffer(result.due, numpy.int64), side="right") - 1
    return idle_before_slice[slice_of]


def _run_lengths(values: Array) -> tuple[tuple[int, int], ...]:
    """How often each value is repeated, and the value."""
    if not len(values):
        return ()
    starts = numpy.flatnonzero(numpy.diff(values, prepend=values[0] - 1))
    counts = numpy.diff(starts, append=len(values))
    return tuple((int(count), int(value)) for count, value in zip(counts, values[starts]))
