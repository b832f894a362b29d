"""What an installed chatlab is: its name on an index, its version, what its wheel holds, what it says to install."""

import os
import re
import subprocess
import sys
import tomllib
from email import message_from_string
from pathlib import Path

import pytest

import chatlab

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
TOLD_TO_INSTALL = re.compile(r"""pip install ["'`]?([\w.-]+)(?:\[([\w,]+)\])?""")
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("chatlab/**/*.py"), *ROOT.glob("notebooks/*.ipynb")]


def test_the_name_on_the_index_is_ours_and_the_import_name_stays():
    assert PROJECT["name"] == "chatlab-protocols"
    assert PROJECT["scripts"]["chatlab"].startswith("chatlab.")


def test_nobody_is_told_to_install_the_package_of_others_that_is_called_chatlab():
    told = [match for page in PAGES for match in TOLD_TO_INSTALL.findall(page.read_text(encoding="utf-8"))]
    assert told and "chatlab" not in {name for name, _ in told}
    extras = {extra for name, given in told if name == PROJECT["name"] for extra in given.split(",") if extra}
    assert extras <= set(PROJECT["optional-dependencies"])


def test_the_version_is_written_once_and_cited_as_it_is():
    assert "version" not in PROJECT and "version" in PROJECT["dynamic"]
    cited = re.search(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)
    assert cited[1] == chatlab.__version__


# ---- a real wheel, installed where nothing of the checkout lies ------------------------------------------------------


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder into which our wheel was installed."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "--retries=1"]
    built = subprocess.run(
        [*pip, "wheel", "--no-deps", "-w", folder, ROOT], capture_output=True, text=True, timeout=300
    )
    if "connection broken by" in built.stderr or "from versions: none" in built.stderr:
        pytest.skip("pip reaches no package index, and so no hatchling")
    assert built.returncode == 0, built.stderr
    (wheel,) = folder.glob("chatlab_protocols-*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", folder / "site", wheel], check=True, timeout=300)
    return folder / "site"


def run(site: Path, *words: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(site)}
    return subprocess.run(
        [sys.executable, *words],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        cwd=site.parent,
        env=environment,
    ).stdout


@pytest.mark.slow
@pytest.mark.xdist_group("wheel")
def test_a_wheel_brings_its_types_notebooks_documentation_and_vectors(site):
    held = {path.relative_to(site / "chatlab").as_posix() for path in (site / "chatlab").rglob("*") if path.is_file()}
    beside = [*ROOT.glob("docs/*.md"), ROOT / "docs/vectors.json", *ROOT.glob("notebooks/*.ipynb")]
    assert {"py.typed", "proto/chat.proto", *(path.relative_to(ROOT).as_posix() for path in beside)} <= held


@pytest.mark.slow
@pytest.mark.xdist_group("wheel")
def test_the_installed_command_tells_its_version_and_where_the_documentation_is(site):
    assert run(site, "-m", "chatlab", "--version").strip() == f"chatlab {chatlab.__version__}"
    folder = re.search(r"documentation: (.*)", run(site, "-m", "chatlab", "--help"))[1]
    assert Path(folder) == site / "chatlab/docs" and (Path(folder) / "protocol.md").exists()


@pytest.mark.slow
@pytest.mark.xdist_group("wheel")
def test_the_package_page_has_our_version_and_a_readme_without_relative_links(site):
    (path,) = site.glob("chatlab_protocols-*.dist-info/METADATA")
    metadata = message_from_string(path.read_text(encoding="utf-8"))
    assert metadata["Version"] == chatlab.__version__ and metadata.get_all("Project-URL")
    links = re.findall(r"\]\(([^)\s]+)\)", metadata.get_payload())
    assert links and all(link.startswith(("https://", "#")) for link in links)
