"""The notebooks, open in JupyterLab; and where no browser can open, the address to type into one.

The port and the token are chosen here, so that the address is known, and said, before JupyterLab's own log begins. Only
this machine may connect: whoever reaches JupyterLab runs programs as you.
"""

import os
import runpy
import secrets
import shutil
import socket
import sys
import webbrowser
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn
from urllib.parse import quote

FIRST = "00_start_here.ipynb"
COPY = "chatlab-notebooks"
HOST = "127.0.0.1"
PORTS = range(8888, 8988)
PACKAGE = Path(__file__).resolve().parents[1]
IS_CHECKOUT = (PACKAGE.parent / "pyproject.toml").exists()


def open_notebooks(folder: str | Path | None = None) -> Path:
    """The folder of the notebooks: a copy in `folder`, made where it holds none yet, to be changed as you like.

    Without a folder it is the checkout's own, and that of an installed chatlab is called `chatlab-notebooks`. Raises
    `FileNotFoundError` where this chatlab was installed without its notebooks.
    """
    ours = (PACKAGE.parent if IS_CHECKOUT else PACKAGE) / "notebooks"
    if folder is None and IS_CHECKOUT:
        return ours
    if not ours.is_dir():
        raise FileNotFoundError("this chatlab was installed without its notebooks")
    folder = Path(folder or COPY).resolve()
    if not any(folder.glob("*.ipynb")):
        shutil.copytree(
            ours, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".ipynb_checkpoints", "results")
        )
    return folder


def open_lab(folder: str | Path | None = None, port: int | None = None, browser: bool = True) -> NoReturn:
    """Become a JupyterLab that shows the first notebook of `open_notebooks(folder)`; this process ends with it.

    Raises `ImportError` without JupyterLab, and `OSError` without notebooks or without a free port.
    """
    if find_spec("jupyterlab") is None:
        raise ImportError('JupyterLab is not installed; pip install "chatlab-protocols[notebooks]" brings it')
    notebooks = open_notebooks(folder)
    # The whole checkout, where it is one: JupyterLab shuts its reader into this folder, and package and docs lie
    # beside.
    root = PACKAGE.parent if notebooks.parent == PACKAGE.parent else notebooks
    start = "/".join(["/lab/tree", *notebooks.relative_to(root).parts, *[FIRST] * (notebooks / FIRST).exists()])
    port = port or _free_port()
    token = os.environ.get("JUPYTER_TOKEN") or secrets.token_hex(16)  # an empty one would be no token to JupyterLab
    os.environ["JUPYTER_TOKEN"] = token
    browser = browser and _has_browser()
    _announce(f"http://{HOST}:{port}{start}?token={quote(token, safe='')}", port, browser)
    words = [f"--ServerApp.ip={HOST}", f"--ServerApp.port={port}"]
    words += ["--ServerApp.port_retries=0"]  # another port would make the address a lie
    words += ["--ServerApp.base_url=/"]  # as would one of the user's own configuration
    words += [f"--ServerApp.root_dir={root}", f"--LabApp.default_url={start}", "--log-level=WARN"]
    words += ["--no-browser"] * (not browser) + ["--allow-root"] * (hasattr(os, "geteuid") and os.geteuid() == 0)
    _become_jupyterlab(words)


def _become_jupyterlab(words: list[str]) -> NoReturn:
    sys.argv[1:] = words
    code: int | None = 0
    try:
        runpy.run_module("jupyterlab", run_name="__main__")
    except SystemExit as end:
        if not isinstance(end.code, int | None):
            raise
        code = end.code
    sys.stdout.flush()
    sys.stderr.flush()
    # Its kernels have ended; but Python would wait for its idle threads, which are never ended (jupyterlab issue
    # 10442).
    os._exit(code or 0)


def _free_port() -> int:
    """The first port that nobody listens on; the usual one stays the same from day to day, so bookmarks hold."""
    for port in PORTS:
        with socket.socket() as probe:
            if os.name != "nt":  # there it would let two programs share the port
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise OSError(f"no port is free between {PORTS[0]} and {PORTS[-1]}; --port N names another")


def _has_browser() -> bool:
    """Whether a window can open here. A browser that runs in the terminal would only get in the way."""
    if sys.platform.startswith("linux"):
        if not any(os.environ.get(name) for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY")):
            return False
    try:
        webbrowser.get()
    except webbrowser.Error:
        return False
    return True


def _announce(address: str, port: int, browser: bool) -> None:
    if browser:
        print(f"Opening {address}\nIf no window appears, open that address yourself. Ctrl-C ends it.", flush=True)
        return
    print(
        f"Open this address in a browser:\n\n    {address}\n\n"
        f"If this machine is far away, first run on yours: ssh -L {port}:{HOST}:{port} USER@THIS-MACHINE\n"
        "Ctrl-C ends it.",
        flush=True,
    )
