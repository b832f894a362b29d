"""What happened to each request of a measurement, raw: when it was due, asked, answered and heard.

Three times are told apart. The *response time* counts from when a request was due, as a user would count; the *service
time* from when it was asked; the *lateness* lies between the two and is the generator's own. *End to end* is from the
sender's due time to the recipient's receipt. What was never asked, or never answered, has no such time: its age at the
end is a lower bound of it, and it is counted. Samples of several workers add up raw; percentiles are never averaged.
"""

from dataclasses import dataclass

from .trial import TrialResult
from .workload import OPERATIONS

NEVER = -1
OF_TEXTS = (OPERATIONS.index("send"), OPERATIONS.index("say"))  # they are done when they are heard, too


@dataclass(frozen=True, repr=False)
class Samples:
    """Columns of int64, in ns after the start, `NEVER` where it did not happen; `operation` is a column of int8.

    `end_ns` is when the generator stopped waiting.
    """

    due: bytes
    sent: bytes
    answered: bytes
    heard: bytes
    operation: bytes
    end_ns: int

    def __repr__(self):
        return f"<Samples of {len(self):,} requests>"

    def __len__(self):
        return len(self.operation)

    def __add__(self, other: "Samples") -> "Samples":
        columns = [
            getattr(self, name) + getattr(other, name) for name in ("due", "sent", "answered", "heard", "operation")
        ]
        return Samples(*columns, max(self.end_ns, other.end_ns))

    def column(self, name: str):
        """One column as a numpy array, which cannot be written to."""
        import numpy

        return numpy.frombuffer(getattr(self, name), numpy.int8 if name == "operation" else numpy.int64)

    def where(self, mask) -> "Samples":
        """Those where the mask is true."""
        columns = [self.column(name)[mask].tobytes() for name in ("due", "sent", "answered", "heard", "operation")]
        return Samples(*columns, self.end_ns)

    def only(self, operation: str) -> "Samples":
        """Those of one operation."""
        return self.where(self.column("operation") == OPERATIONS.index(operation))

    # ---- times

    @property
    def done_at_ns(self):
        """When each was done: answered and, if it was a text, heard by all; `NEVER` where it was not."""
        import numpy

        answered, heard = self.column("answered"), self.column("heard")
        of_text = numpy.isin(self.column("operation"), OF_TEXTS)
        done = numpy.where(of_text, numpy.maximum(answered, heard), answered)
        return numpy.where((answered < 0) | of_text & (heard < 0), NEVER, done)

    @property
    def response_ns(self):
        """From due to answered, of those that were answered."""
        return self._between("due", "answered")

    @property
    def service_ns(self):
        """From asked to answered, of those that were answered."""
        return self._between("sent", "answered")

    @property
    def lateness_ns(self):
        """From due to asked, of those that were asked: the generator's own."""
        return self._between("due", "sent")

    @property
    def end_to_end_ns(self):
        """From due to heard by all who are to hear it, of texts that were heard."""
        return self._between("due", "heard")

    def _between(self, first: str, last: str):
        a, b = self.column(first), self.column(last)
        there = (a >= 0) & (b >= 0)
        return b[there] - a[there]

    @property
    def ages_ns(self):
        """Of those that were not asked or not answered: how old they were at the end, a lower bound of their response time."""
        return self.end_ns - self.column("due")[self.column("answered") < 0]

    @property
    def bounded_response_ns(self):
        """The response times, and for what was not answered its age: a percentile of these is at least that."""
        import numpy

        return numpy.concatenate([self.response_ns, self.ages_ns])

    @property
    def bounded_response_in_order_ns(self):
        """The same, in the order in which they were due: whoever asks how alike neighbours are needs that."""
        import numpy

        due, answered = self.column("due"), self.column("answered")
        times = numpy.where(answered < 0, self.end_ns, answered) - due
        return times[numpy.argsort(due, kind="stable")]

    # ---- counts

    @property
    def offered(self) -> int:
        """Requests that were due."""
        return len(self)

    @property
    def unsent(self) -> int:
        """Of those, the ones that the generator did not get round to asking."""
        return int((self.column("sent") < 0).sum())

    @property
    def attempted(self) -> int:
        return self.offered - self.unsent

    @property
    def completed(self) -> int:
        return int((self.done_at_ns >= 0).sum())

    @property
    def unanswered(self) -> int:
        """Asked, and not done when the generator stopped waiting."""
        return self.attempted - self.completed

    def to_frame(self):
        """A pandas DataFrame: a row for each request, times in seconds, missing where it did not happen."""
        import pandas

        times = {name: self.column(name) for name in ("due", "sent", "answered", "heard")}
        frame = pandas.DataFrame({f"{name}_s": pandas.Series(at).where(at >= 0) / 1e9 for name, at in times.items()})
        frame.insert(0, "operation", [OPERATIONS[number] for number in self.column("operation")])
        return frame


def percentile_ms(times_ns, percent: float) -> float | None:
    """By nearest rank, in ms: a time that was measured, and not one between two. None of nothing.

    >>> import numpy
    >>> percentile_ms(numpy.array([1_000_000, 2_000_000, 9_000_000]), 50)
    2.0
    """
    import numpy

    if not len(times_ns):
        return None
    return float(numpy.percentile(times_ns, percent, method="inverted_cdf")) / 1e6


def read_times(told: TrialResult):
    """A worker's raw columns as `Samples`, in ns after the start by its own clock, which stands still out of its turns."""
    import numpy

    from .samples import NEVER, Samples

    passed_over = _passed_over(told)

    def since_start(column: bytes) -> bytes:
        at = numpy.frombuffer(column, numpy.int64)
        return numpy.where(at == 0, NEVER, at - told.start_ns - passed_over).tobytes()

    columns = [since_start(getattr(told, name)) for name in ("due", "sent", "answered", "heard")]
    end_ns = sum(ended - began for began, ended in told.turns) or max(told.over_ns, told.marks_ns[1]) - told.start_ns
    return Samples(*columns, told.operation, end_ns)


def _passed_over(told: TrialResult):
    """The time before each request in which the load was the others', and which counts for nobody."""
    import numpy

    if not told.turns:
        return 0
    began, ended = numpy.array(told.turns, numpy.int64).T
    before = numpy.concatenate([[0], numpy.cumsum(began[1:] - ended[:-1])])
    turn = numpy.searchsorted(began, numpy.frombuffer(told.due, numpy.int64), side="right") - 1
    return before[turn]
