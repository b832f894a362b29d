"""`chatlab compare`: the whole comparison in one go, printed as tables and left in a folder as pictures and data."""

from collections.abc import Sequence
from pathlib import Path

from .counting import count_bytes
from .load.workload import Workload
from .measure import PROTOCOLS, ROUNDS, compare
from .plots import bytes_per_operation, cost_by_clients, figure, overview, rate_by_clients


def main_comparison(
    protocols: Sequence[str] = PROTOCOLS, out_dir: str | Path = "comparison", quick: bool = False, seed: int = 0, rounds: int = ROUNDS
) -> list[Path]:
    """Count the bytes, measure the rates, print both, and write pictures and data to the folder. Returns what it wrote."""
    out = Path(out_dir)
    out.mkdir(parents=True, exist_ok=True)
    counted = count_bytes(*protocols)
    print(counted, end="\n\n", flush=True)
    compared = compare(protocols, Workload(seed=seed), rounds=rounds, quick=quick)
    print(compared, end="\n\n")
    written = [counted.save(out / "bytes.json"), compared.save(out / "rates.json")]
    pictures = {
        "comparison.png": overview(counted, compared),
        "bytes.png": figure(bytes_per_operation, counted),
        "rates.png": figure(rate_by_clients, compared),
        "cost.png": figure(cost_by_clients, compared),
    }
    for name, picture in pictures.items():
        picture.savefig(out / name, bbox_inches="tight", facecolor="white")
        written.append(out / name)
    print("Written: " + ", ".join(str(path) for path in written))
    return written
