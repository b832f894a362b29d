"""The skeleton of a report: a self-contained HTML page made of sections."""

import base64
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from chatlab import __version__

from ..display import html
from ..display.plots.style import figure
from ..display.tables import Table
from ..measurement.results.result import Result


@dataclass(frozen=True)
class Section:
    """A part of the page: its title, its HTML, and in HTML where its numbers come from."""

    title: str
    body: str
    origin: str = ""

    @property
    def anchor(self) -> str:
        return "-".join("".join(c if c.isalnum() else " " for c in self.title.lower()).split())


def page(title: str, sections: Sequence[Section], warnings: Iterable[str] = (), at: datetime | None = None) -> str:
    """The whole page. The warnings stand above everything; `at` is when it was written, now by default."""
    at = at or datetime.now(UTC)
    written = f"chatlab {__version__}, written on {at.day} {at:%B %Y at %H:%M} {at.tzname()}"
    links = [html.element("li", html.link(f"#{section.anchor}", section.title)) for section in sections]
    contents = html.element("nav", html.element("ol", "".join(links)), aria_label="sections")
    head = (
        '\n<meta charset="utf-8"/>\n<meta name="viewport" content="width=device-width, initial-scale=1"/>\n'
        f"{html.element('title', html.escape(title))}\n{html.element('style', _STYLE)}\n"
    )
    header = html.element("header", html.element("h1", html.escape(title)) + html.paragraph(written, "faint"))
    above = "".join(html.paragraph(warning, "warning") for warning in warnings)
    main = html.element("main", f"\n{header}\n{above}{contents}\n{''.join(map(_section, sections))}")
    body = html.element("body", f"\n{main}\n")
    whole = html.element("html", f"\n{html.element('head', head)}\n{body}\n", lang="en")
    return f"<!DOCTYPE html>\n{whole}\n"


def _section(section: Section) -> str:
    origin = html.element("p", f"Origin: {section.origin}", class_="origin") if section.origin else ""
    title = html.element("h2", html.escape(section.title))
    return html.element("section", title + section.body + origin, id=section.anchor) + "\n"


NO_BREAK = "\N{NO-BREAK SPACE}"


def unbroken(text: str) -> str:
    """Intervals and percents stay on one line."""
    return text.replace(" … ", f"{NO_BREAK}…{NO_BREAK}").replace(" %", f"{NO_BREAK}%")


def wide_table(result: Result | Table) -> str:
    """A table that scrolls where the page is narrower."""
    table = result if isinstance(result, Table) else result.table()
    return html.element("div", table.html(), class_="wide", role="region", tabindex="0", aria_label="table")


def picture(draw: Callable[..., Any], result: object) -> str:
    """The plot as an image in the page, with its sentence for readers who cannot see it."""
    made, file = figure(draw, result), io.BytesIO()
    made.savefig(file, format="svg", bbox_inches="tight", metadata={"Date": None})
    data = base64.b64encode(file.getvalue()).decode()
    return html.element(
        "figure", html.image(f"data:image/svg+xml;base64,{data}", getattr(made.axes[0], "sentence", ""))
    )


def file_link(file: str) -> str:
    """A link to a file beside the page."""
    return html.link(quote(file), file)


_STYLE = """
:root { color-scheme: light dark;
  --ink: #1c1c1c; --faint: #5c5c5c; --line: #d4d4d4; --paper: #ffffff; --link: #00539b; --warn: #fff3d6; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8e8e8; --faint: #a8a8a8; --line: #444444; --paper: #161616; --link: #7db9f0; --warn: #4a3800; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif;
  --jp-content-font-color2: var(--faint); --jp-border-color2: var(--line); }
main { max-width: 64rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0; }
.faint, .origin { color: var(--faint); font-size: 0.875rem; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 0.75rem; padding-top: 0.5rem; border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.5rem 0 0.5rem; }
nav ol { display: flex; flex-wrap: wrap; gap: 0.25rem 1.25rem; list-style: none; margin: 0; padding: 0;
  font-size: 0.9rem; } nav li { margin: 0; }
a { color: var(--link); overflow-wrap: anywhere; }
ul { padding-left: 1.2rem; } ul ul { margin: 0; } ul ul li { margin: 0.1rem 0; } li { margin: 0.4rem 0; }
code { font-size: 0.85em; overflow-wrap: anywhere; }
.warning { background: var(--warn); border-left: 4px solid #d99a00; padding: 0.6rem 0.9rem; }
.wide { overflow-x: auto; margin: 1rem 0; font-size: 0.84rem; font-variant-numeric: tabular-nums; }
.wide table { min-width: 44rem; } .wide caption { padding: 0.25rem 0; }
.wide th { vertical-align: bottom; } .wide td, .wide tbody th { vertical-align: top; }
.wide tbody th { font-weight: 500; white-space: nowrap; }
.wide > div { max-width: 56rem; margin-top: 0.35rem; position: sticky; left: 0; }
figure { margin: 1.25rem 0; padding: 0.75rem; background: #ffffff; border: 1px solid var(--line); border-radius: 6px; }
img { display: block; width: 100%; max-width: 46rem; height: auto; margin: 0 auto; }
@media screen and (prefers-color-scheme: dark) { /* white paper becomes dark, and each colour keeps its hue */
  figure { background: var(--paper); } img { filter: invert(0.914) hue-rotate(180deg); }
}
dl { display: grid; grid-template-columns: minmax(7rem, max-content) 1fr; gap: 0.4rem 1.25rem; margin: 0; }
dt { font-weight: 600; } dd { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 700px) {
  .wide::before { content: "This table scrolls sideways."; display: block; color: var(--faint); position: sticky;
    left: 0; }
  .wide th[scope="row"] { position: sticky; left: 0; z-index: 1; background: var(--paper) !important; }
  .wide th[scope="row"]:first-child { min-width: 5rem; max-width: 5rem; white-space: normal; }
  .wide th[scope="row"] + th[scope="row"] { left: 5rem; }
}
@media (max-width: 600px) {
  dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: 0.6rem; } figure { padding: 0.25rem; }
}
@media print {
  :root { color-scheme: light;
    --ink: #000000; --faint: #444444; --line: #bbbbbb; --paper: #ffffff; --link: #000000; --warn: #eeeeee; }
  body { font-size: 10pt; } main { max-width: none; padding: 0; } nav { display: none; }
  .wide { overflow: visible; font-size: 7pt; } .wide table { min-width: 0; }
  .wide td, .wide th { padding: 1px 4px !important; white-space: normal !important; }
  figure, tr, li, dd { break-inside: avoid; } h2, h3, caption { break-after: avoid; }
}
"""
