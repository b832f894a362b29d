"""What a case of the suite is, and what a report says: a rule, what was tried, and how it looks as text and as HTML.

Nothing here tries anything. A case raises `CaseFailed` where its rule does not hold and `CaseSkipped` where it does not apply.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from html import escape
from itertools import groupby

from ..messages import ChatlabError

_MARKS = {"passed": "✓ passed", "failed": "✗ failed", "skipped": "- not tried"}


class CaseFailed(ChatlabError):
    """The rule of a case does not hold. `sent` and `got` are values or words; `hint` overrides the case's own."""

    def __init__(self, sent, got, hint: str = ""):
        super().__init__(sent, got, hint)
        self.sent, self.got, self.hint = in_words(sent), in_words(got), hint


class CaseSkipped(ChatlabError):
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
                lines.append(
                    f"- {len(results)} cases: not tried, {reason} ({', '.join(result.case for result in results)})"
                )
            else:
                lines += map(str, results)
        return "\n".join(lines)

    def _repr_html_(self):
        return _as_html(self)


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


# ---- a report in a notebook --------------------------------------------------------------------------------------------


def _as_html(report: Report) -> str:
    """What failed, in full, and every case to be unfolded; where a page's styles are taken away, two plain tables."""
    failed = "".join(f"<tr>{_cell(result.case)}{_cell(_said_of(result))}</tr>" for result in report.failed)
    every = "".join(f"<tr>{_cell(_MARKS[r.outcome])}{_cell(r.case)}{_cell(_remark(r))}</tr>" for r in report.results)
    table = '<table style="border-collapse: collapse">'
    wrong = f"{table}{failed}</table>" if failed else ""
    return f"<p><b>{escape(report.headline)}</b></p>{wrong}<details><summary>every case</summary>{table}{every}</table></details>"


def _said_of(result: Result) -> str:
    said = {"rule": result.rule, "sent": result.sent, "got": result.got, "hint": result.hint}
    return "\n".join(f"{what}: {words}" for what, words in said.items() if words)


def _remark(result: Result) -> str:
    return result.got if result.outcome == "skipped" else result.rule


def _cell(text: str) -> str:
    style = "text-align: left; vertical-align: top; white-space: pre-wrap; overflow-wrap: anywhere; padding: 2px 8px"
    return f'<td style="{style}; border-top: 1px solid var(--jp-border-color2, #bbb)">{escape(text)}</td>'
