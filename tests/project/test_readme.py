"""The README's promises that a machine can hold it to: its first example runs, and both maps name every room that there is."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import chatlab

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
ROOMS = sorted(
    path.name if path.suffix else f"{path.name}/"
    for path in (ROOT / "chatlab").iterdir()
    if not path.name.startswith("__") and (path.suffix == ".py" or (path / "__init__.py").exists())
)


def test_the_first_example_is_short_runs_and_prints_what_it_says():
    example = re.search(r"```python\n(.*?)```", README, re.DOTALL)[1]
    assert len(example.strip().splitlines()) <= 15
    done = subprocess.run([sys.executable, "-c", example], capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")
    first, *table = done.stdout.splitlines()
    assert f"# {first}\n" in example
    assert len([line for line in table if line.startswith("send 2 characters")]) == 1


@pytest.mark.parametrize("room", ROOMS)
def test_both_maps_name_every_room(room):
    house = README.partition("## The house")[2].partition("## Where to read first")[0]
    assert f"`{room}`" in house
    stem = re.escape(room.removesuffix(".py"))
    assert re.search(rf"(?<!\w){stem}(?!\w)", chatlab.__doc__)


PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "benchmarks" / "README.md"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_links_to_in_the_repository_is_there(page):
    prose = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", prose)
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert missing == []
