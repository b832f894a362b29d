"""The documents name what there is: paths, names of the code, the words of the glossary, the entries of the package."""

import re
from pathlib import Path

import pytest

import chatlab

ROOT = Path(__file__).resolve().parents[2]
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
PAGES = [
    ROOT / name
    for name in (
        "README.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "docs/architecture.md",
        "docs/measuring.md",
        "docs/limits.md",
    )
]
FOLDERS = ("chatlab", "tests", "docs", "tools", "notebooks", "benchmarks", ".ci", ".github")
EVERY_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


def spans(page: Path) -> list[str]:
    """What stands in backticks, outside blocks of code."""
    prose = re.sub(r"^ *```.*?^ *```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return re.findall(r"`([^`\n]+)`", prose)


@EVERY_PAGE
def test_the_paths_that_a_page_names_exist(page):
    named = [span for span in spans(page) if span.split("/")[0] in FOLDERS and "/" in span]
    assert [path for path in named if not (ROOT / path.split()[0].partition("::")[0]).exists()] == []


@EVERY_PAGE
def test_the_files_that_a_page_names_exist(page):
    named = [span for span in spans(page) if re.fullmatch(r"[\w/]+\.(py|md|ipynb|proto|toml|yml)", span)]
    assert [name for name in named if not (list(ROOT.rglob(name)) or list((ROOT / "chatlab").rglob(name)))] == []


@EVERY_PAGE
def test_what_a_page_takes_from_chatlab_is_public(page):
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(r"\bchatlab\.([a-z]\w*|[A-Z]\w*)\(", text))
    assert named - set(chatlab.__all__) == set()


def glossary() -> list[str]:
    table = ARCHITECTURE.partition("| word | meaning |")[2].partition("## ")[0]
    return [word for words in re.findall(r"^\| ([^|]+) \|", table, re.MULTILINE)[1:] for word in words.split(", ")]


def test_the_glossary_has_some_thirty_words_each_once():
    words = [word.strip() for word in glossary()]
    assert 30 <= len(words) <= 50 and len(set(words)) == len(words)


@pytest.mark.parametrize("word", [word.strip() for word in glossary()])
def test_a_word_of_the_glossary_is_used(word):
    """In the code, or in a document outside the glossary."""
    text = ARCHITECTURE.partition("## Components")[2] + "".join(
        path.read_text(encoding="utf-8")
        for path in [*(ROOT / "chatlab").rglob("*.py"), *(page for page in PAGES if page.name != "architecture.md")]
    )
    assert re.search(rf"\b{re.escape(word)}", text, re.IGNORECASE)


def test_the_architecture_describes_every_entry_of_the_package():
    table = ARCHITECTURE.partition("| entry | its question |")[2].partition("## ")[0]
    described = set(re.findall(r"`([\w.]+)/?`", table))
    entries = {
        path.name for path in (ROOT / "chatlab").iterdir() if not path.name.startswith("__") and path.suffix != ".typed"
    }
    assert entries <= described
