"""The pieces of HTML that tables, hex views, source diffs and reports are made of. Nothing else writes tags.

Colours and fonts are the page's own (JupyterLab's, VS Code's, or the report's), so what is built of them can be read on
light and on dark pages; where a page's styles are stripped, as on GitHub, plain tables and lists are left.

A parameter named `text` is escaped; one named `content` is HTML already.
"""

from collections.abc import Iterable, Mapping
from html import escape

__all__ = [
    "FAINT", "INK", "LINE", "MONOSPACE", "cell", "code", "definition_list", "details", "element", "escape", "image",
    "link", "list_of", "paragraph", "row", "styled", "table", "with_breaks",
]  # fmt: skip

INK = "var(--jp-content-font-color0, var(--vscode-foreground, inherit))"
FAINT = "var(--jp-content-font-color2, var(--vscode-descriptionForeground, inherit))"
LINE = "var(--jp-border-color2, var(--vscode-panel-border, rgba(128, 128, 128, 0.4)))"
MONOSPACE = "var(--jp-code-font-family, var(--vscode-editor-font-family, monospace))"


def element(tag: str, content: str = "", **attributes: str | None) -> str:
    """An element. Attributes that are None are left out; an underscore in a name stands for a hyphen.

    >>> element("td", escape("a < b"), scope="row", aria_label=None, style="color: red")
    '<td scope="row" style="color: red">a &lt; b</td>'
    """
    given = (
        f' {name.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for name, value in attributes.items()
        if value is not None
    )
    return f"<{tag}{''.join(given)}>{content}</{tag}>"


def with_breaks(text: str) -> str:
    """Text whose line ends are line breaks."""
    return escape(text).replace("\n", "<br>")


def styled(**properties: str) -> str:
    """The value of a `style` attribute. Properties that are empty are left out.

    >>> styled(text_align="left", border_top="", color="red")
    'text-align: left; color: red'
    """
    return "; ".join(f"{name.replace('_', '-')}: {value}" for name, value in properties.items() if value)


# ---- tables -----------------------------------------------------------------------------------------------------


def cell(content: str, style: str, head_of: str | None = None) -> str:
    """A cell, which is a head if it is the head of a "row" or a "col"."""
    return element("th" if head_of else "td", content, scope=head_of, style=style)


def row(cells: Iterable[str], style: str | None = None) -> str:
    return element("tr", "".join(cells), style=style)


def table(rows: Iterable[str], heads: str = "", caption: str = "", style: str = "border-collapse: collapse") -> str:
    """A table of rows. With `heads`, which is a row too, it has a head and a body; `caption` is a whole element."""
    body = "".join(rows)
    if heads:
        body = element("thead", heads) + element("tbody", body)
    return element("table", caption + body, style=style)


# ---- the rest of a page -----------------------------------------------------------------------------------------


def paragraph(text: str, kind: str | None = None) -> str:
    """A paragraph; `kind` is its CSS class."""
    return element("p", escape(text), class_=kind)


def list_of(contents: Iterable[str]) -> str:
    """A bulleted list."""
    return element("ul", "".join(element("li", content) for content in contents))


def definition_list(facts: Mapping[str, str]) -> str:
    """Names and what they mean, as text."""
    return element("dl", "".join(element("dt", escape(name)) + element("dd", escape(facts[name])) for name in facts))


def details(summary: str, content: str) -> str:
    """Something that is folded away until its summary, a text, is clicked."""
    return element("details", element("summary", escape(summary)) + content)


def code(text: str) -> str:
    return element("code", escape(text))


def link(address: str, text: str) -> str:
    return element("a", escape(text), href=address)


def image(address: str, text: str) -> str:
    """A picture; the text stands for it where it cannot be seen."""
    return f'<img src="{escape(address)}" alt="{escape(text)}"/>'
