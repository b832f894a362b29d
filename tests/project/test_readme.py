"""What a machine can check of the README: its example runs, its map names every entry, its links lead somewhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import chatlab

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
NOTEBOOKS = (ROOT / "notebooks" / "README.md").read_text(encoding="utf-8")
ENTRIES = sorted(
    path.name if path.suffix else f"{path.name}/"
    for path in (ROOT / "chatlab").iterdir()
    if not path.name.startswith("__") and (path.suffix == ".py" or (path / "__init__.py").exists())
)
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "benchmarks" / "README.md",
    ROOT / "notebooks" / "README.md",
]


def first_example() -> str:
    return re.search(r"```python\n(.*?)```", README, re.DOTALL)[1]


def is_as_announced(output: list[str]) -> bool:
    """The example's comment says what the first `print` shows; the table follows."""
    return f"# {output[0]}\n" in first_example() and sum(line.startswith("send 2 characters") for line in output) == 1


def test_the_first_example_is_short_runs_and_prints_what_it_says():
    assert len(first_example().strip().splitlines()) <= 15
    done = subprocess.run([sys.executable, "-c", first_example()], capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")
    assert is_as_announced(done.stdout.splitlines())


def test_the_first_example_can_be_pasted_into_the_plain_python_prompt():
    """`-i` reads a pipe as it reads a terminal: line by line, where an empty line ends a block."""
    command = [sys.executable, "-i", "-q", "-c", "import sys; sys.ps1 = sys.ps2 = ''"]
    done = subprocess.run(command, input=first_example(), capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert (done.returncode, done.stderr.strip()) == (0, "")
    shown = done.stdout.splitlines()  # the prompt also shows what each call in the block returns
    assert is_as_announced(shown[[line.startswith("Arrived(") for line in shown].index(True) :])


@pytest.mark.parametrize("entry", ENTRIES)
def test_both_maps_name_every_entry_of_the_package(entry):
    house = README.partition("## The house")[2].partition("## Where to read first")[0]
    assert f"`{entry}`" in house
    stem = re.escape(entry.removesuffix(".py"))
    assert re.search(rf"(?<!\w){stem}(?!\w)", chatlab.__doc__)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_what_a_page_links_to_in_the_repository_is_there(page):
    prose = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", prose)
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert missing == []


def test_the_notebooks_readme_lists_every_notebook_in_order():
    assert re.findall(r"\| \[`(\w+)`\]", NOTEBOOKS) == [
        path.stem for path in sorted((ROOT / "notebooks").glob("*.ipynb"))
    ]


def test_the_commands_of_the_readme_exist():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"^make ([a-z]+)", README, re.MULTILINE)) <= targets
