"""Opens the first notebook in JupyterLab, or says which address to open where there is no browser.

The port and the token are chosen here, so that the address is known, and said, before JupyterLab's own log begins.
"""

import os
import secrets
import socket
import sys
import webbrowser
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
START = "notebooks/00_start_here.ipynb"
HOST = "127.0.0.1"


def free_port(first: int = 8888, last: int = 8987) -> int:
    """The first port that nobody listens on; the usual one stays the same from day to day, so bookmarks hold."""
    for port in range(first, last + 1):
        with socket.socket() as probe:
            if os.name != "nt":  # there it would let two programs share the port
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    sys.exit(f"No free port between {first} and {last}; name one: make lab PORT=...")


def has_browser() -> bool:
    """Whether a window can open here. A browser that runs in the terminal would only get in the way."""
    if sys.platform.startswith("linux"):
        if not any(os.environ.get(name) for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY")):
            return False
    try:
        webbrowser.get()
    except webbrowser.Error:
        return False
    return True


def main(port: int) -> None:
    os.chdir(ROOT)
    token = os.environ.setdefault("JUPYTER_TOKEN", secrets.token_hex(16))
    notebook = START if Path(START).exists() else "notebooks"
    options = [
        f"--ServerApp.ip={HOST}",
        f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0",  # another port would make the address below a lie
        f"--ServerApp.root_dir={ROOT}",  # naming the notebook instead would shut the reader into its folder
        f"--LabApp.default_url=/lab/tree/{notebook}",
        "--log-level=WARN",
    ]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        options.append("--allow-root")
    address = f"http://{HOST}:{port}/lab/tree/{notebook}?token={token}"
    if has_browser():
        print(f"Opening {address}\nIf no window appears, open that address yourself. Ctrl-C ends it.", flush=True)
    else:
        options.append("--no-browser")
        print(
            f"No browser here. Open this address in one:\n\n    {address}\n\n"
            f"If this machine is far away, first run on yours: ssh -L {port}:{HOST}:{port} USER@THIS-MACHINE\n"
            "Ctrl-C ends it.",
            flush=True,
        )
    os.execv(sys.executable, [sys.executable, "-m", "jupyterlab", *options])


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else free_port())
