"""The lab as a reader meets it: opened by `make lab` or `chatlab lab`, and run in a real browser."""

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import nbformat
import pytest
from raw_client import until

import chatlab

ROOT = Path(chatlab.__file__).resolve().parent.parent
FIRST = "00_start_here.ipynb"
DEADLINE_S = 60.0


# ---- how it is started ------------------------------------------------------------------------------------------


@pytest.fixture
def lab(tmp_path):
    """Runs `chatlab lab` with a JupyterLab that only says how it was started."""
    (tmp_path / "jupyterlab").mkdir()
    (tmp_path / "jupyterlab/__init__.py").touch()
    (tmp_path / "jupyterlab/__main__.py").write_text("import sys\nprint(*sys.argv[1:], sep='\\n')\nsys.exit(7)\n")

    def lab(*words, root=ROOT, **environment):
        own = {**os.environ, "PYTHONPATH": f"{tmp_path}:{root}", "JUPYTER_TOKEN": "sesame", **environment}
        command = [sys.executable, "-m", "chatlab", "lab", *words]
        return subprocess.run(command, cwd=tmp_path, env=own, capture_output=True, text=True, timeout=DEADLINE_S)

    return lab


def test_it_opens_the_notebooks_of_the_checkout_for_this_machine_only(lab):
    done = lab("--no-browser", "--port", "9123")
    assert {
        "--ServerApp.ip=127.0.0.1",
        "--ServerApp.port=9123",
        f"--ServerApp.root_dir={ROOT}",
        f"--LabApp.default_url=/lab/tree/notebooks/{FIRST}",
        "--no-browser",
    } <= set(done.stdout.splitlines())
    assert (done.returncode, done.stderr) == (7, "")


def test_without_a_browser_it_says_which_address_to_open(lab):
    done = lab("--port", "9123", DISPLAY="", WAYLAND_DISPLAY="", BROWSER="")
    assert f"    http://127.0.0.1:9123/lab/tree/notebooks/{FIRST}?token=sesame" in done.stdout.splitlines()
    assert "--no-browser" in done.stdout.splitlines()


def test_the_printed_address_works_with_any_token(lab):
    done = lab("--port", "9123", "--no-browser", JUPYTER_TOKEN="a&b#c d")
    assert f"    http://127.0.0.1:9123/lab/tree/notebooks/{FIRST}?token=a%26b%23c%20d" in done.stdout.splitlines()
    assert "--ServerApp.base_url=/" in done.stdout.splitlines()


def test_an_empty_token_is_none(lab):
    done = lab("--port", "9123", "--no-browser", JUPYTER_TOKEN="")
    assert re.search(r"\?token=[0-9a-f]{32}$", done.stdout, re.MULTILINE)


def test_with_a_browser_it_leaves_it_to_jupyterlab_to_open_a_window(lab):
    done = lab(BROWSER="true")
    assert done.stdout.startswith("Opening http://127.0.0.1:8") and "--no-browser" not in done.stdout.splitlines()


def test_a_port_that_somebody_has_is_passed_over(lab):
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        port = lab_port(lab())
        taken.bind(("127.0.0.1", port))
        taken.listen()
        assert lab_port(lab()) > port


def lab_port(done) -> int:
    return next(
        int(word.partition("=")[2]) for word in done.stdout.splitlines() if word.startswith("--ServerApp.port=")
    )


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="we are not root")
def test_it_starts_for_root_too_as_in_a_container(lab):
    assert "--allow-root" in lab().stdout.splitlines()


def test_it_copies_the_notebooks_out_of_an_installed_package(lab, tmp_path):
    site = tmp_path / "site"
    (site / "chatlab").mkdir(parents=True)
    for source in (ROOT / "chatlab").rglob("*.py"):
        target = site / "chatlab" / source.relative_to(ROOT / "chatlab")
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(source.read_bytes())
    (site / "chatlab/notebooks").mkdir()
    (site / "chatlab/notebooks/00_start_here.ipynb").write_text("{}")
    done = lab(root=site)
    assert f"--ServerApp.root_dir={tmp_path / 'chatlab-notebooks'}" in done.stdout.splitlines()
    assert (tmp_path / "chatlab-notebooks/00_start_here.ipynb").read_text() == "{}"


def test_what_was_written_in_a_copy_stays(tmp_path):
    copy = chatlab.open_notebooks(tmp_path / "mine")
    (copy / FIRST).write_text("mine")
    assert (chatlab.open_notebooks(copy) / FIRST).read_text() == "mine"


def test_it_says_what_to_install():
    program = "import sys; sys.modules['jupyterlab'] = None; from chatlab.cli.main import main; main(['lab'])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, timeout=DEADLINE_S)
    assert done.returncode == 1
    assert (
        done.stderr
        == 'chatlab lab: JupyterLab is not installed; pip install "chatlab-protocols[notebooks]" brings it\n'
    )


# ---- in a browser -----------------------------------------------------------------------------------------------

COUNTS = "[...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')].map(each => each.innerText.trim())"
IMAGES = "[...document.querySelectorAll('.jp-OutputArea img')].filter(each => each.naturalWidth > 300).length"
COMPLAINTS = """[...document.querySelectorAll('.jp-OutputArea-output')].filter(
    each => /error|stderr/.test(each.dataset.mimeType)).map(each => each.innerText)"""


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="finds what is left of a program as only Linux tells")
def test_a_reader_runs_the_first_notebook_from_the_menu(tmp_path):
    """From the address that `chatlab lab` says to the last cell's number, on the page of a browser; and all ends with
    it."""
    pytest.importorskip("jupyterlab", reason="JupyterLab is not installed")
    browser = pytest.importorskip("browser", reason="websocket-client, which JupyterLab brings, is not installed")
    if browser.CHROMIUM is None:
        pytest.skip("no Chromium is installed")
    ours = (ROOT / "notebooks" / FIRST).read_bytes()
    cells = [cell for cell in nbformat.reads(ours, as_version=4).cells if cell.cell_type == "code"]
    command = [sys.executable, "-m", "chatlab", "lab", tmp_path / "notebooks", "--no-browser"]

    with browser.Program(*command, **_of_a_newcomer(tmp_path)) as lab, browser.Browser(tmp_path / "profile") as page:
        address = lab.says(r"http://\S+")
        until(lambda: _listens(urlsplit(address)), lab.left_s)
        page.open(address)
        page.until("document.querySelector('.jp-Notebook-ExecutionIndicator[data-status=idle]') != null")
        page.press(".lm-MenuBar-item", "Edit")
        page.press(".lm-Menu-itemLabel", "Clear Outputs of All Cells")
        page.until(f"{COUNTS}.every(each => each == '[ ]:') && {IMAGES} == 0")
        page.press(".lm-MenuBar-item", "Run")
        page.press(".lm-Menu-itemLabel", "Run All Cells")
        page.until(f"{COUNTS}.every(each => /\\d/.test(each))")

        assert page.evaluate(COUNTS) == [f"[{number}]:" for number in range(1, len(cells) + 1)]
        assert page.evaluate(COMPLAINTS) == []
        page.until(f"{IMAGES} == 2")
        assert (ROOT / "notebooks" / FIRST).read_bytes() == ours

        lab.end()
        until(lambda: not lab.family(), lab.left_s)


def _listens(address) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((address.hostname, address.port)) == 0


def _of_a_newcomer(home: Path) -> dict[str, str]:
    """The environment of somebody who never used JupyterLab, except that all cells are to be on the page at once."""
    settings = home / "settings/@jupyterlab/notebook-extension/tracker.jupyterlab-settings"
    settings.parent.mkdir(parents=True)
    settings.write_text(json.dumps({"windowingMode": "none"}))
    own = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "IPYTHONDIR": "ipython",
    }
    own |= {"JUPYTERLAB_SETTINGS_DIR": "settings", "JUPYTERLAB_WORKSPACES_DIR": "workspaces"}
    return {"CI": "1", **{name: str(home / folder) for name, folder in own.items()}}
