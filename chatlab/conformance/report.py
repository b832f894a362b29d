"""What a case of the suite is, and what a report says: a rule, what was tried, and how it looks as text and as HTML.

Nothing here tries anything. A case raises `CaseFailed` where its rule does not hold, and `CaseSkipped` where it does
not apply.
"""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from ..display import html
from ..messages import ChatlabError

_MARKS = {"passed": "✓ passed", "failed": "✗ failed", "skipped": "- not tried"}


class CaseFailed(ChatlabError):
    """The rule of a case does not hold.

    `sent` and `got` are values or words, `hint` overrides the case's own, and failures of the same `cause` are reported
    together.
    """

    def __init__(self, sent: object, got: object, hint: str = "", cause: str = ""):
        super().__init__(sent, got, hint)
        self.sent, self.got, self.hint, self.cause = in_words(sent), in_words(got), hint, cause


class CaseTimedOut(CaseFailed):
    """Something took longer than it may: a failure, unless the machine has become slower meanwhile."""


class CaseSkipped(ChatlabError):
    """The case does not apply; the text says why."""


@dataclass(frozen=True)
class Case:
    """One rule and the function that tries it. `verbs` are the client's verbs that it needs."""

    name: str
    rule: str
    hint: str
    run: Callable[[Any], None]
    verbs: frozenset[str] = frozenset()


def case(hint: str, verbs: str = "") -> Callable[[Callable[[Any], None]], Case]:
    """Make the decorated function a case: its name is the case's name, its docstring the rule."""

    def decorate(function: Callable[[Any], None]) -> Case:
        rule = " ".join((inspect.getdoc(function) or "").split())
        return Case(function.__name__.replace("_", " "), rule, hint, function, frozenset(verbs.split()))

    return decorate


@dataclass(frozen=True)
class Result:
    """One case: "passed", "failed" or "skipped"; of a failure, what was sent, what came back and the likely mistake."""

    case: str
    rule: str
    outcome: str
    sent: str = ""
    got: str = ""
    hint: str = ""
    cause: str = ""  #: what it has in common with other failures, where that is known

    def __str__(self) -> str:
        if self.outcome == "failed":
            return _failure_text((self,))
        return f"✓ {self.case}" if self.outcome == "passed" else f"- {self.case}: not tried, {self.got}"


@dataclass(frozen=True)
class Report:
    """What `check` found out: every case, in order. `print` shows all of them, the `repr` those that failed.

    Failures with one cause are shown as one: the first of them in full, the others by name. Reports add up;
    `report["name of a case"]` is its `Result`.
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

    @property
    def causes(self) -> tuple[tuple[Result, ...], ...]:
        """The failures, those of one cause together, in the order of the first of each."""
        groups: dict[str, list[Result]] = {}
        for result in self.failed:
            groups.setdefault(result.cause or result.case, []).append(result)
        return tuple(map(tuple, groups.values()))

    def __getitem__(self, name: str) -> Result:
        for result in self.results:
            if result.case == name:
                return result
        raise KeyError(f"no case is called {name!r}")

    def __add__(self, other: "Report") -> "Report":
        return replace(self, results=self.results + other.results)

    def __repr__(self) -> str:
        return "\n".join([self.headline, *map(_failure_text, self.causes)])

    def __str__(self) -> str:
        return "\n".join([self.headline, *self._lines()])

    def _lines(self) -> Iterator[str]:
        """Every case in its order; failures of one cause at the first of them, many that were not tried in one line."""
        first_of = {group[0]: group for group in self.causes}
        skipped: dict[str, list[Result]] = {}
        for result in self.skipped:
            skipped.setdefault(result.got, []).append(result)
        for result in self.results:
            together = skipped.get(result.got, []) if result.outcome == "skipped" else []
            if result.outcome == "failed":
                if result in first_of:
                    yield _failure_text(first_of[result])
            elif len(together) <= 3:
                yield str(result)
            elif result == together[0]:
                names = ", ".join(other.case for other in together)
                yield f"- {len(together)} cases: not tried, {result.got} ({names})"

    def _repr_html_(self) -> str:
        return _as_html(self)


def _failure_text(group: tuple[Result, ...]) -> str:
    """The first failure in full, and the names of those with the same cause."""
    lines = [f"{what}: {words}" for what, words in _details(group) if words]
    return "\n    ".join([f"✗ {group[0].case}", *lines])


def _details(group: tuple[Result, ...]) -> list[tuple[str, str]]:
    first, *others = group
    also = f"{len(others)} more for the same cause: {', '.join(other.case for other in others)}" if others else ""
    return [("rule", first.rule), ("sent", first.sent), ("got", first.got), ("hint", first.hint), ("and", also)]


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


# ---- a report in a notebook
# --------------------------------------------------------------------------------------------


def _as_html(report: Report) -> str:
    """What failed, in full, and every case, folded away; where a page's styles are stripped, two plain tables."""
    failed = [html.row([_cell(group[0].case), _cell(_in_lines(group))]) for group in report.causes]
    every = [
        html.row([_cell(_MARKS[result.outcome]), _cell(result.case), _cell(_remark(result))])
        for result in report.results
    ]
    headline = html.element("p", html.element("b", html.escape(report.headline)))
    return headline + (html.table(failed) if failed else "") + html.details("every case", html.table(every))


def _in_lines(group: tuple[Result, ...]) -> str:
    return "\n".join(f"{what}: {words}" for what, words in _details(group) if words)


def _remark(result: Result) -> str:
    return result.got if result.outcome == "skipped" else result.rule


def _cell(text: str) -> str:
    style = "text-align: left; vertical-align: top; white-space: pre-wrap; overflow-wrap: anywhere; padding: 2px 8px"
    return html.cell(html.escape(text), f"{style}; border-top: 1px solid var(--jp-border-color2, #bbb)")
