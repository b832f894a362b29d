"""Does it speak as it should? A codec, or a whole implementation, is tried case by case, and every case is reported.

A case is a function whose docstring is the rule that it tries; it returns when the rule holds and raises `CaseFailed`
when it does not. Whatever the tried code raises is that case's failure and never ours, and one failure hides no other.
Nothing here knows a socket: it is given a Codec or an Implementation.
"""

import ctypes
import threading
import time
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from ..codecs.interface import Codec
from ..display.progress import progress_bar
from ..messages import ConnectionLost, shorten
from ..transport import registry
from ..transport.interface import Engine, Implementation, ProtocolLike
from . import chat_cases, codec_cases, framing_cases, robustness_cases
from .checked_codec import CheckedCodec
from .fixtures import ServerFixture
from .report import Case, CaseFailed, CaseSkipped, CaseTimedOut, Report, Result, clipped

CODEC_CASES = (*codec_cases.CASES, *framing_cases.CASES)
SERVER_CASES = (*chat_cases.CASES, *robustness_cases.CASES)
TIMEOUT_S = 10.0  # for one call of a codec, or from message to message; ours need a fraction of a second
SHORT_TIMEOUT_S = 1.0  # for each case after the first that did not end
ENDLESS_HINT = "A loop that never ends: one that reads exactly n bytes, or looks for an end, must advance each time."


# ---- trying -----------------------------------------------------------------------------------------------------


def check(subject: "ProtocolLike", only: str = "", timeout_s: float = TIMEOUT_S) -> Report:
    """Try a codec, an Implementation, or what the name of either stands for (`"text"`, `"module:NAME"`).

    A codec is tried by itself, and when nothing is wrong with it also in our servers, on both engines. `only` leaves
    out the cases whose name does not contain it. A codec fails a case when a single call of it takes longer than
    `timeout_s` seconds; a server when no message is sent or received for so long, or for as much longer as it is slow
    on this machine. Raises `ValueError` or `TypeError` for what is neither, and `ValueError` where no case's name
    contains `only`.

    >>> import chatlab
    >>> chatlab.check("text", only="in texts")
    text: 4 of 4 cases passed
    """
    implementation = registry.resolve(subject)
    codec = implementation.codec
    codec_cases = [case for case in CODEC_CASES if only in case.name] if codec is not None else []
    server_cases = [case for case in SERVER_CASES if only in case.name]
    if not codec_cases and not server_cases:  # nothing tried would be nothing wrong
        raise ValueError(f"no case is called {shorten(only)}")
    engines = implementation.engines if server_cases else ()
    report = Report(str(implementation.name), ())
    with progress_bar(len(codec_cases) + len(engines) * len(server_cases), "checking", "cases") as bar:
        if codec is not None:
            report += _try_codec(codec, codec_cases, timeout_s, bar)
        if not report.passed:
            return report + _all_skipped(server_cases, "it is served when nothing is wrong with the codec by itself")
        for engine in engines:
            report += _try_server(implementation, engine, server_cases, timeout_s, bar)
    return report


def _try_codec(codec: Codec, cases: Iterable[Case], timeout_s: float, bar: Any) -> Report:
    checked, results = CheckedCodec(codec), []
    for case in cases:
        result, ended = _CaseThread(case, checked, _file_of(codec)).outcome(timeout_s)
        if not ended:
            timeout_s = min(timeout_s, SHORT_TIMEOUT_S)
        results.append(result)
        bar.update()
    return Report("", tuple(results))


def _try_server(
    implementation: Implementation, engine: Engine, cases: list[Case], timeout_s: float, bar: Any
) -> Report:
    with ServerFixture(implementation, engine) as fixture, _named_after(engine) as results:
        start = _try_case(chat_cases.a_server_starts_and_answers, fixture, timeout_s)
        results.append(start)
        if start.outcome != "passed":
            why = start.got if start.outcome == "skipped" else "there is no server to try it on"
            results += _all_skipped(cases, why).results
        else:
            fixture.measure_pace()
            for case in cases:
                results.append(_try_case(case, fixture, timeout_s))
                bar.update()
    return Report("", tuple(results))


@contextmanager
def _named_after(engine: Engine) -> Iterator[list[Result]]:
    """Results whose cases bear the name of the engine, in the end."""
    results: list[Result] = []
    yield results
    results[:] = [replace(result, case=f"{result.case} ({engine})") for result in results]


def _try_case(case: Case, fixture: ServerFixture, timeout_s: float) -> Result:
    """A case of a server; tried again where it came too late and the machine has become slower meanwhile."""
    verbs = fixture.implementation.verbs
    missing = set() if verbs is None else case.verbs - verbs - {"create_account"}
    if missing:
        return Result(case.name, case.rule, "skipped", got=f"it has no {' and no '.join(sorted(missing))}")
    while True:
        thread = _CaseThread(case, fixture, _file_of(fixture.implementation.codec or fixture.implementation))
        result, ended = thread.outcome(timeout_s * fixture.slowness)
        too_late = not ended or isinstance(thread.error, CaseTimedOut | ConnectionLost | TimeoutError)
        if not too_late or not fixture.measure_pace():
            return result


def _all_skipped(cases: Iterable[Case], reason: str) -> Report:
    return Report("", tuple([Result(case.name, case.rule, "skipped", got=reason) for case in cases]))


class _Interrupted(BaseException):
    """Raised in the thread of a case that does not end, wherever it is just then."""


class _CaseThread(threading.Thread):
    """One case on a thread of its own, so that a loop without an end can be left, and its place be reported."""

    def __init__(self, case: Case, subject: CheckedCodec | ServerFixture, file: str):
        super().__init__(name="chatlab-check", daemon=True)
        self.case, self.subject, self.file = case, subject, file
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.case.run(self.subject)
        except BaseException as error:  # whatever the tried code raises, SystemExit included, is what we came to see
            self.error = error

    def outcome(self, timeout_s: float) -> tuple[Result, bool]:
        """What came of it, and whether it ended by itself."""
        self.start()
        self._wait(timeout_s)
        has_ended = not self.is_alive()
        deadline = time.monotonic() + 1
        while self.is_alive() and time.monotonic() < deadline:
            # A loop written in Python can be interrupted like this; one in C cannot, and then its thread stays behind.
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self.ident or 0), ctypes.py_object(_Interrupted))
            self.join(0.1)
        case, error = self.case, self.error
        if not has_ended or isinstance(error, _Interrupted):
            place = f", still {place_of(error, self.file)}" if error else ""
            got = f"no end within {timeout_s:g} s{place}"
            return Result(case.name, case.rule, "failed", got=got, hint=ENDLESS_HINT, cause=f"no end{place}"), False
        if error is None:
            return Result(case.name, case.rule, "passed"), True
        if isinstance(error, CaseSkipped):
            return Result(case.name, case.rule, "skipped", got=str(error)), True
        if isinstance(error, CaseFailed):
            hint = error.hint or case.hint
            return Result(case.name, case.rule, "failed", error.sent, error.got, hint, error.cause), True
        place = f"raised {place_of(error, self.file)}"
        got = f"{type(error).__name__}: {clipped(str(error))}, {place}"
        sent = "; ".join(getattr(error, "__notes__", ()))
        return Result(case.name, case.rule, "failed", sent, got, case.hint, cause=place), True

    def _wait(self, timeout_s: float) -> None:
        """Until it has ended, or nothing has happened for so long: what is slow is not endless."""
        steps, deadline = -1, 0.0
        while self.is_alive():
            if self.subject.steps != steps:
                steps, deadline = self.subject.steps, time.monotonic() + timeout_s
            if (left := deadline - time.monotonic()) <= 0:
                return
            self.join(min(left, 0.1))


def _file_of(tried: Codec | Implementation) -> str:
    """The file of the tried code, as tracebacks name it; also where a notebook's cell is all the file there is."""
    kind = type(registry.as_given(tried))
    verb = getattr(kind, "encode", None) or getattr(kind, "serve", None)
    return getattr(getattr(verb, "__code__", None), "co_filename", "")


def place_of(error: BaseException, file: str) -> str:
    """The innermost place of the traceback that is in that file, or else the innermost of all."""
    places = traceback.extract_tb(error.__traceback__)
    place = [frame for frame in places if frame.filename == file][-1:] or places[-1:]
    return f"in {place[0].name}, line {place[0].lineno}" if place else "somewhere"
