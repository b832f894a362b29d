"""Does it speak as it should? A codec, or a whole implementation, is tried case by case, and every case is reported.

A case is a function whose docstring is the rule that it tries; it says nothing when the rule holds and raises `CaseFailed`
when it does not. Whatever the tried code raises is that case's failure and never ours, and one failure hides no other.
The cases are in `codec_cases`, `framing_cases`, `chat_cases` and `robustness_cases`. Nothing here knows a socket: it sees a Codec or an Implementation.
"""

import ctypes
import threading
import time
import traceback
from collections.abc import Iterable
from dataclasses import replace

from ..display.progress import progress_bar
from ..messages import shorten
from ..transport import registry
from . import chat_cases, framing_cases, robustness_cases
from .chat_cases import STARTS
from .codec_cases import CheckedCodec
from .fixtures import ServerFixture
from .report import Case, CaseFailed, CaseSkipped, Report, Result, clipped

PATIENCE_S = 10.0  # for one case; ours need a fraction of a second
SERVER_CASES = [*chat_cases.CASES, *robustness_cases.CASES]
IMPATIENCE_S = 1.0  # for each case after the first that did not end


# ---- trying -----------------------------------------------------------------------------------------------------


def check(subject, only: str = "", patience_s: float = PATIENCE_S) -> Report:
    """Try a codec, an Implementation, or what the name of either stands for (`"text"`, `"module:NAME"`).

    A codec is tried by itself, and when nothing is wrong with it also in our servers, on both engines. `only` leaves
    out the cases whose name does not contain it. A case that has not ended after `patience_s` seconds fails. Raises
    `ValueError` or `TypeError` for what is neither, and `ValueError` where no case is called like `only`.
    """
    carried = registry.resolve(subject)
    codec = carried.codec
    spelling, behaving = (
        [each for each in cases if only in each.name] for cases in (framing_cases.CASES, SERVER_CASES)
    )
    if not behaving and (codec is None or not spelling):  # nothing tried would be nothing wrong
        raise ValueError(f"no case is called {shorten(only)}")
    engines = carried.engines if behaving else ()
    with progress_bar(len(spelling) * (codec is not None) + len(engines) * len(behaving), "checking", "cases") as bar:
        report = Report(str(carried.name), ())
        if codec is not None:
            report += _trial(spelling, CheckedCodec(codec), patience_s, bar)
        if not report.passed:
            return report + _all_skipped(behaving, "it is served when nothing is wrong with the codec by itself")
        for engine in engines:
            report += _served(behaving, carried, engine, patience_s, bar)
    return report


def _served(cases: list[Case], carried, engine: str, patience_s: float, bar) -> Report:
    verbs, where = carried.verbs, f" ({engine})"
    with ServerFixture(carried, engine) as stage:
        start = _trial([STARTS], stage, patience_s, bar, where=where)
        if start.results[0].outcome != "passed":
            why = start.results[0].got if start.skipped else "there is no server to try it on"
            return start + _all_skipped(cases, why, where)
        return start + _trial(cases, stage, patience_s, bar, verbs if verbs is None else frozenset(verbs), where)


def _all_skipped(cases: Iterable[Case], reason: str, where: str = "") -> Report:
    return Report("", tuple([Result(each.name + where, each.rule, "skipped", got=reason) for each in cases]))


def _trial(
    cases: Iterable[Case], subject, patience_s: float, bar, verbs: frozenset | None = None, where: str = ""
) -> Report:
    results = []
    for each in cases:
        missing = set() if verbs is None else each.verbs - verbs - {"create_account"}
        if missing:
            result = Result(each.name, each.rule, "skipped", got=f"it has no {' and no '.join(sorted(missing))}")
        else:
            result = _CaseThread(each, subject).result(patience_s)
            if result.got.startswith(_ENDLESS):
                patience_s = min(patience_s, IMPATIENCE_S)
        results.append(replace(result, case=result.case + where))
        bar.update()
    return Report("", tuple(results))


class _TooLong(BaseException):
    """Raised in the thread of a case that does not end, wherever it is just then."""


_ENDLESS = "no end within"


class _CaseThread(threading.Thread):
    """One case on a thread of its own, so that a loop without an end can be left, and its place be told."""

    def __init__(self, case: Case, subject):
        super().__init__(name="chatlab-check", daemon=True)
        self.case, self.subject = case, subject
        self.home = _home(subject)
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.case.try_it(self.subject)
        except BaseException as error:  # whatever the tried code raises, SystemExit included, is what we came to see
            self.error = error

    def result(self, patience_s: float) -> Result:
        self.start()
        self.join(patience_s)
        deadline = time.monotonic() + 1
        while self.is_alive() and time.monotonic() < deadline:
            # A loop written in Python can be interrupted like this; one in C cannot, and then its thread stays behind.
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self.ident), ctypes.py_object(_TooLong))
            self.join(0.1)
        case, error = self.case, self.error
        if self.is_alive() or isinstance(error, _TooLong):
            place = f", still {where(error, self.home)}" if error else ""
            return Result(case.name, case.rule, "failed", got=f"{_ENDLESS} {patience_s:g} s{place}", hint=ENDLESS_HINT)
        if error is None:
            return Result(case.name, case.rule, "passed")
        if isinstance(error, CaseSkipped):
            return Result(case.name, case.rule, "skipped", got=str(error))
        if isinstance(error, CaseFailed):
            return Result(case.name, case.rule, "failed", error.sent, error.got, error.hint or case.hint)
        got = f"{type(error).__name__}: {clipped(str(error))}, raised {where(error, self.home)}"
        return Result(case.name, case.rule, "failed", "; ".join(getattr(error, "__notes__", ())), got, case.hint)


def _home(subject) -> str:
    """The file of the tried code, as tracebacks name it; also where a notebook's cell is all the file there is."""
    tried = getattr(subject, "codec", None) or getattr(subject, "carried", subject)
    verb = getattr(type(tried), "encode", None) or getattr(type(tried), "serve", None)
    return getattr(getattr(verb, "__code__", None), "co_filename", "")


ENDLESS_HINT = "A loop that never ends: one that reads exactly n bytes, or looks for an end, must advance each time."


def where(error: BaseException, home: str) -> str:
    """The innermost place of the traceback that is in the tried file, or else the innermost of all."""
    places = traceback.extract_tb(error.__traceback__)
    place = [each for each in places if each.filename == home][-1:] or places[-1:]
    return f"in {place[0].name}, line {place[0].lineno}" if place else "somewhere"
