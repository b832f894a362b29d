"""How a report of the conformance cases looks in a notebook: what failed, in full, and every case to be unfolded."""

from html import escape

_MARKS = {"passed": "✓ passed", "failed": "✗ failed", "skipped": "- not tried"}


def as_html(report) -> str:
    """A `conformance.Report`. Where a page's styles are taken away it is still two plain tables."""
    failed = "".join(f"<tr>{_cell(result.case)}{_cell(_said_of(result))}</tr>" for result in report.failed)
    every = "".join(f"<tr>{_cell(_MARKS[r.outcome])}{_cell(r.case)}{_cell(_remark(r))}</tr>" for r in report.results)
    table = '<table style="border-collapse: collapse">'
    wrong = f"{table}{failed}</table>" if failed else ""
    return f"<p><b>{escape(report.headline)}</b></p>{wrong}<details><summary>every case</summary>{table}{every}</table></details>"


def _said_of(result) -> str:
    said = {"rule": result.rule, "sent": result.sent, "got": result.got, "hint": result.hint}
    return "\n".join(f"{what}: {words}" for what, words in said.items() if words)


def _remark(result) -> str:
    return result.got if result.outcome == "skipped" else result.rule


def _cell(text: str) -> str:
    style = "text-align: left; vertical-align: top; white-space: pre-wrap; overflow-wrap: anywhere; padding: 2px 8px"
    return f'<td style="{style}; border-top: 1px solid var(--jp-border-color2, #bbb)">{escape(text)}</td>'
