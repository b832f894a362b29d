"""A table says the same in text and in HTML, and its columns are straight whatever is in them."""

import re
from pathlib import Path

import pytest

from chatlab.display import html
from chatlab.display.tables import Table
from chatlab.display.text_width import pad, width

TABLE = Table("A <title>", ("name", "bytes"), (("a<b", "1 .. 2"), ("", "30")), ("a & b",))


def test_a_table_as_text():
    assert TABLE.text().splitlines() == [
        "A <title>",
        "────────────",
        "name   bytes",
        "────────────",
        "a<b   1 .. 2",
        "          30",
        "────────────",
        "a & b",
    ]


def test_a_table_is_printed_as_text_and_shown_as_html():
    assert str(TABLE) == TABLE.text() and TABLE._repr_html_() == TABLE.html()


def test_a_table_as_html_escapes_what_it_holds_and_keeps_intervals_on_one_line():
    shown = TABLE.html()
    assert "A &lt;title&gt;" in shown and "a&lt;b" in shown and "a &amp; b" in shown
    assert "1\N{NO-BREAK SPACE}..\N{NO-BREAK SPACE}2" in shown
    assert shown.count('scope="col"') == 2 and shown.count('scope="row"') == 2


@pytest.mark.parametrize(
    "text, cells",
    [
        ("", 0),
        ("abc", 3),
        ("名前", 4),
        ("ｆｕｌｌ", 8),
        ("é", 1),
        ("e\u0301", 1),
        ("🙂", 2),
        ("👩‍💻", 2),
        ("❤️", 2),
        ("👍🏽", 2),
        ("🇩🇪", 2),
    ],
)
def test_a_text_is_as_wide_as_the_cells_of_a_terminal_that_it_takes(text, cells):
    assert width(text) == cells and width(pad(text, 10)) == 10


def test_columns_are_straight_whatever_script_and_emoji_they_hold():
    rows = (("ann", "1"), ("名前", "10"), ("🙂🙂🙂🙂", "100"), ("noe\u0308l", "1000"))
    lines = Table("names", ("user", "texts"), rows).text().splitlines()
    assert len({width(line) for line in lines[1:-1]}) == 1


def test_an_element_escapes_its_attributes_and_leaves_out_those_that_are_none():
    assert html.element("p", "<b>", class_='"', aria_label="a", id=None) == '<p class="&quot;" aria-label="a"><b></p>'


def test_no_other_file_writes_cells_or_escapes_html():
    package = Path(html.__file__).parents[1]
    markup = re.compile(r"</?(td|th|tr|table|li|ul|details|caption)\b|from html import|^import html")
    files = [path for path in package.rglob("*.py") if markup.search(path.read_text("utf-8"))]
    assert [path.relative_to(package).as_posix() for path in files] == ["display/html.py"]
