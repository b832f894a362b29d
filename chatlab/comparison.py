"""`chatlab compare`: the whole comparison in one go, printed as tables and left in a folder as a report, pictures and data."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from . import plots, report
from .complexity import Complexity, complexity
from .counting import count_bytes
from .environment import environment
from .harness import implementation
from .ladder import Ladder, ladder
from .load.wires import wire_for
from .load.workload import Workload
from .measure import PROTOCOLS, ROUNDS, compare, measure
from .plots import bytes_per_operation, cost_by_clients, figure, overview, rate_by_clients
from .results import ByteTable, Comparison
from .saturation import TRIES, Saturation, Try, why_not

SWEEP = (500, 1_000, 2_000, 4_000, 8_000, 16_000)  # requests a second that fall due
SWEPT = Workload(clients=4, rate=SWEEP[0], arrivals="poisson", seconds=0.6)
BOUND_MS = 50.0  # on the 99th percentile of the response times
LEFT_BEHIND = 0.9  # a server that does less than this share of what falls due is not tried with more
INTERRUPTED = "it was interrupted before"


class Found(NamedTuple):
    """All that one comparison has found. `left_out` says of whom the open loop was not tried, or no further, and why."""

    counted: ByteTable
    compared: Comparison
    swept: Sequence[Saturation]
    left_out: Mapping[str, str]
    climbed: Ladder | None
    code: Complexity
    interrupted: bool = False  #: before all of it was measured


def main_comparison(
    protocols: Sequence[str] = PROTOCOLS, out_dir: str | Path = "comparison", quick: bool = False, seed: int = 0, rounds: int = ROUNDS
) -> list[Path]:
    """Count the bytes, measure the rates and where the time goes, print them, and write a report, pictures and data to the folder.

    An interrupt ends the measuring, and the report says so. Returns what was written, the report first.
    """
    out = Path(out_dir)
    out.mkdir(parents=True, exist_ok=True)
    print(f"Comparing {', '.join(protocols)}: {'about half a minute' if quick else 'about two minutes'}.", end="\n\n", flush=True)
    found = _measure_all(protocols, quick, seed, rounds)
    data = _write_data(out, found)
    pictures = _write_pictures(out, found)
    again = shlex.join(["chatlab", "compare", *protocols, *["--quick"] * quick, "--seed", f"{seed}"])
    if rounds != ROUNDS:  # which the command line has no word for
        again = f"chatlab.comparison.main_comparison({list(protocols)!r}, quick={quick!r}, seed={seed!r}, rounds={rounds!r})"
    page = out / "report.html"
    page.write_text(_report(found, data, again), encoding="utf-8")
    written = [page, *(out / name for name in data), *pictures]
    print(f"The report: {page}\nBeside it: {', '.join(path.name for path in written[1:])}")
    return written


def _measure_all(protocols: Sequence[str], quick: bool, seed: int, rounds: int) -> Found:
    counted = _told(count_bytes(*protocols))
    compared = _told(compare(protocols, Workload(seed=seed), rounds=rounds, quick=quick))
    climbed, interrupted = (None, True) if compared.partial else _climb(protocols, quick, seed)
    if quick:
        swept, left_out = [], dict.fromkeys(compared.protocols, "a quick comparison does not try it")
    elif interrupted:
        swept, left_out = [], dict.fromkeys(compared.protocols, INTERRUPTED)
    else:
        swept, left_out = _sweep(protocols, seed)
    interrupted = interrupted or INTERRUPTED in left_out.values()
    return Found(counted, compared, swept, left_out, climbed, _told(complexity(*protocols)), interrupted)


def _told(result):
    print(result, end="\n\n", flush=True)
    return result


def _report(found: Found, data: Mapping[str, str], again: str) -> str:
    """Its sections, in order. Another one is another line."""
    counted, compared, climbed = found.counted, found.compared, found.climbed
    rates = [name for name in data if name.startswith("rates.")]
    sections = [
        report.summary(counted, compared, climbed),
        report.bytes_on_the_wire(counted, "bytes.json"),
        report.rates(compared, rates),
        *([] if climbed is None else [report.where_time_goes(climbed, "ladder.json")]),
        report.response_times(compared, rates),
        report.under_load(found.swept, found.left_out, [name for name in data if name.startswith("sweep-")]),
        report.how_much_code(found.code, "code.json"),
        report.method(compared),
        report.environment(compared),
        report.limits(compared),
        report.raw_data(data, again),
    ]
    partial = found.interrupted or compared.partial or climbed is not None and climbed.partial
    warnings = ["Partial: it was interrupted, so some numbers rest on fewer rounds than others, or are missing."] * partial
    if compared.environment.warning:
        warnings.append(f"Careful: {compared.environment.warning}.")
    return report.page(f"One chat, carried by {', '.join(counted.protocols)}", sections, warnings)


# ---- where the time goes ----------------------------------------------------------------------------------------


def _climb(protocols: Sequence[str], quick: bool, seed: int) -> tuple[Ladder | None, bool]:
    """The ladders of those that have one, None where nobody has or nothing was measured; and whether it was interrupted."""
    climbable = [protocol for protocol in protocols if _is_spoken_lightly(protocol)]
    if not climbable:
        return None, False
    try:
        climbed = _told(ladder(climbable, seed=seed, quick=quick))
    except KeyboardInterrupt:
        return None, True
    return climbed, climbed.partial


def _is_spoken_lightly(protocol: str) -> bool:
    try:
        return wire_for(implementation(protocol)) is not None
    except ValueError:
        return False


# ---- response times over the rate -------------------------------------------------------------------------------


def _sweep(protocols: Sequence[str], seed: int) -> tuple[list[Saturation], dict[str, str]]:
    """What each protocol's server does with each rate; and who is left out or cut short, and why."""
    found, left_out = [], {}
    for protocol in protocols:
        name, tries = implementation(protocol).name, []
        if INTERRUPTED in left_out.values():
            left_out[name] = INTERRUPTED
            continue
        try:
            for each in _tries(protocol, replace(SWEPT, seed=seed)):
                tries.append(each)
        except (RuntimeError, ValueError) as error:
            left_out[name] = str(error)
        except KeyboardInterrupt:
            left_out[name] = INTERRUPTED
        if tries:
            found.append(Saturation(name, replace(SWEPT, seed=seed), BOUND_MS, tuple(tries), environment(), name in left_out))
    return found, left_out


def _tries(protocol: str, load: Workload) -> Iterator[Try]:
    """Each rate, the lowest first, until the server is left behind; once more where it was the generator that was late."""
    for rate in SWEEP:
        for _ in range(TRIES):
            run = measure(protocol, replace(load, rate=rate), generator="light")
            yield Try(rate, run, why_not(run, BOUND_MS))
            if not run.generator_limited:
                break
        if run.rate.median < LEFT_BEHIND * rate:
            return


# ---- files ------------------------------------------------------------------------------------------------------


def _write_data(out: Path, found: Found) -> dict[str, str]:
    """All that was measured, raw. Returns the files' names, and a word on each."""
    compared = found.compared
    written = {found.counted.save(out / "bytes.json").name: "the table of bytes."}
    written[compared.save(out / "rates.json").name] = "every round of the comparison, with the times of each request."
    try:
        written[compared.save(out / "rates.parquet").name] = (
            "the same as a table with a row for each request, for pandas and others; the rest is in its metadata."
        )
    except ModuleNotFoundError as error:
        print(f"No rates.parquet: {error}")
    if found.climbed is not None:
        written[found.climbed.save(out / "ladder.json").name] = "where the time goes: every round of every rung."
    for number, each in enumerate(found.swept, 1):
        name = "".join(c if c.isalnum() or c in "-_" else "_" for c in each.protocol)
        written[each.save(out / f"sweep-{number}-{name}.json").name] = f"response times of {each.protocol} over the rate."
    written[found.code.save(out / "code.json").name] = "lines, branches and names of each piece of code."
    return written


def _write_pictures(out: Path, found: Found) -> list[Path]:
    pictures = {
        "comparison.png": overview(found.counted, found.compared),
        "bytes.png": figure(bytes_per_operation, found.counted),
        "rates.png": figure(rate_by_clients, found.compared),
        "cost.png": figure(cost_by_clients, found.compared),
    }
    if found.climbed is not None:
        pictures["ladder.png"] = figure(plots.ladder, found.climbed)
    for name, picture in pictures.items():
        picture.savefig(out / name, bbox_inches="tight", facecolor="white")
    return [out / name for name in pictures]
