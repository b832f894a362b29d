"""Does it speak as it should? A codec, or a whole implementation, is tried case by case, and every case is reported.

A case is a function whose docstring is the rule that it tries; it says nothing when the rule holds and raises `Wrong`
when it does not. Whatever the tried code raises is that case's failure and never ours, and one failure hides no other.
The cases are in `codec_cases`, `framing_cases` and `server_cases`. Nothing here knows a socket: it sees a Codec or an Implementation.
"""

import ctypes
import inspect
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import groupby

from . import harness

PATIENCE_S = 10.0  # for one case; ours need a fraction of a second
IMPATIENCE_S = 1.0  # for each case after the first that did not end


class Wrong(Exception):
    """The rule of a case does not hold. `sent` and `got` are values or words; `hint` overrides the case's own."""

    def __init__(self, sent, got, hint: str = ""):
        super().__init__(sent, got, hint)
        self.sent, self.got, self.hint = in_words(sent), in_words(got), hint


class NotTried(Exception):
    """The case does not apply; the text says why."""


@dataclass(frozen=True)
class Case:
    """One rule and the function that tries it. `verbs` are the client's verbs that it needs."""

    name: str
    rule: str
    hint: str
    try_it: Callable[[object], None]
    verbs: frozenset[str] = frozenset()


def case(cases: list[Case], hint: str, verbs: str = ""):
    """Add the decorated function to `cases`; its name is the case's name, its docstring the rule."""

    def add(function):
        rule = " ".join(inspect.getdoc(function).split())
        cases.append(Case(function.__name__.replace("_", " "), rule, hint, function, frozenset(verbs.split())))
        return function

    return add


# ---- what was found out -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Result:
    """One case: "passed", "failed" or "skipped"; of a failure, what was sent, what came back and the likely mistake."""

    case: str
    rule: str
    outcome: str
    sent: str = ""
    got: str = ""
    hint: str = ""

    def __str__(self):
        if self.outcome == "failed":
            lines = {"rule": self.rule, "sent": self.sent, "got": self.got, "hint": self.hint}
            return "\n".join([f"✗ {self.case}", *(f"    {what}: {words}" for what, words in lines.items() if words)])
        return f"✓ {self.case}" if self.outcome == "passed" else f"- {self.case}: not tried, {self.got}"


@dataclass(frozen=True)
class Report:
    """What `check` found out: every case, in order. `print` shows all of them, the `repr` those that failed.

    Reports add up; `report["name of a case"]` is its `Result`.
    """

    subject: str
    results: tuple[Result, ...]

    @property
    def passed(self) -> bool:
        """Whether no case failed."""
        return not self.failed

    @property
    def failed(self) -> tuple[Result, ...]:
        return tuple([result for result in self.results if result.outcome == "failed"])

    @property
    def skipped(self) -> tuple[Result, ...]:
        return tuple([result for result in self.results if result.outcome == "skipped"])

    @property
    def headline(self) -> str:
        tried = len(self.results) - len(self.skipped)
        skipped = f", {len(self.skipped)} not tried" if self.skipped else ""
        return f"{self.subject}: {tried - len(self.failed)} of {tried} cases passed{skipped}"

    def __getitem__(self, name: str) -> Result:
        for result in self.results:
            if result.case == name:
                return result
        raise KeyError(f"no case is called {name!r}")

    def __add__(self, other: "Report") -> "Report":
        return replace(self, results=self.results + other.results)

    def __repr__(self):
        return "\n".join([self.headline, *map(str, self.failed)])

    def __str__(self):
        lines = [self.headline]
        for reason, group in groupby(self.results, lambda result: result.got if result.outcome == "skipped" else None):
            results = tuple(group)
            if reason is not None and len(results) > 3:
                lines.append(f"- {len(results)} cases: not tried, {reason} ({', '.join(result.case for result in results)})")
            else:
                lines += map(str, results)
        return "\n".join(lines)

    def _repr_html_(self):
        from .reporting import as_html

        return as_html(self)


# ---- trying -----------------------------------------------------------------------------------------------------


def check(subject, only: str = "", patience_s: float = PATIENCE_S) -> Report:
    """Try a codec, an Implementation, or what the name of either stands for (`"text"`, `"module:NAME"`).

    A codec is tried by itself, and when nothing is wrong with it also in our servers, on both engines. `only` leaves
    out the cases whose name does not contain it. A case that has not ended after `patience_s` seconds fails. Raises
    `ValueError` or `TypeError` for what is neither.
    """
    from . import framing_cases, server_cases
    from .codec_cases import Watched

    carried = harness.implementation(subject)
    codec = getattr(carried, "codec", None)
    spelling, behaving = ([each for each in cases if only in each.name] for cases in (framing_cases.CASES, server_cases.CASES))
    report = Report(str(carried.name), ())
    if codec is not None:
        report += _trial(spelling, Watched(codec), patience_s)
    if not report.passed:
        return report + _all_skipped(behaving, "it is served when nothing is wrong with the codec by itself")
    for engine in getattr(carried, "engines", harness.ENGINES) if behaving else ():
        report += _served(behaving, carried, engine, patience_s)
    return report


def _served(cases: list[Case], carried, engine: str, patience_s: float) -> Report:
    from .server_cases import STARTS, Stage

    verbs, where = getattr(carried, "verbs", None), f" ({engine})"
    with Stage(carried, engine) as stage:
        start = _trial([STARTS], stage, patience_s, where=where)
        if start.results[0].outcome != "passed":
            why = start.results[0].got if start.skipped else "there is no server to try it on"
            return start + _all_skipped(cases, why, where)
        return start + _trial(cases, stage, patience_s, verbs if verbs is None else frozenset(verbs), where)


def _all_skipped(cases: Iterable[Case], reason: str, where: str = "") -> Report:
    return Report("", tuple([Result(each.name + where, each.rule, "skipped", got=reason) for each in cases]))


def _trial(cases: Iterable[Case], subject, patience_s: float, verbs: frozenset | None = None, where: str = "") -> Report:
    results = []
    for each in cases:
        missing = set() if verbs is None else each.verbs - verbs - {"create_account"}
        if missing:
            result = Result(each.name, each.rule, "skipped", got=f"it has no {' and no '.join(sorted(missing))}")
        else:
            result = _Trying(each, subject).result(patience_s)
            if result.got.startswith(_ENDLESS):
                patience_s = min(patience_s, IMPATIENCE_S)
        results.append(replace(result, case=result.case + where))
    return Report("", tuple(results))


class _TooLong(BaseException):
    """Raised in the thread of a case that does not end, wherever it is just then."""


_ENDLESS = "no end within"


class _Trying(threading.Thread):
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
        if isinstance(error, NotTried):
            return Result(case.name, case.rule, "skipped", got=str(error))
        if isinstance(error, Wrong):
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


# ---- values in words --------------------------------------------------------------------------------------------


def in_words(value: object) -> str:
    """The value as a report shows it: words as they are, everything else as its cut repr."""
    return value if isinstance(value, str) else clipped(repr(value))


def clipped(text: str, limit: int = 160) -> str:
    """The text with its middle left out where it is long, and how long it was.

    >>> clipped("abcdefgh" * 10, limit=12)
    'abcdefgh … efgh (80 characters)'
    """
    if len(text) <= limit:
        return text
    return f"{text[: limit * 2 // 3]} … {text[-limit // 3 :]} ({len(text)} characters)"
