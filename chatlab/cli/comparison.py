"""`chatlab compare`: the whole comparison in one go, printed as tables and left in a folder as a report, pictures and data."""

import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from ..display import plots
from ..display.plots.rates import cost_by_clients, overview, rate_by_clients
from ..display.plots.style import figure
from ..display.plots.traffic import bytes_per_operation
from ..measurement.breakdown import CostBreakdown, cost_breakdown
from ..measurement.byte_counts import ByteTable, count_bytes
from ..measurement.code_complexity.complexity_table import Complexity, complexity
from ..measurement.load.wire_clients import wire_for
from ..measurement.load.workload import Workload
from ..measurement.rates import (
    CLIENTS,
    PROTOCOLS,
    QUICK_CLIENTS,
    QUICK_ROUNDS,
    QUICK_SECONDS,
    QUICK_WARM_UP_S,
    ROUNDS,
    compare,
    measure,
)
from ..measurement.results.environment import current_environment
from ..measurement.results.result import Result
from ..measurement.results.runs import Comparison
from ..measurement.saturation import MAX_ATTEMPTS, Attempt, Saturation, reject_reason
from ..transport.registry import resolve
from . import report
from .report_page import Section, page

SWEEP = (500, 1_000, 2_000, 4_000, 8_000, 16_000)  # requests a second that fall due
SWEPT = Workload(clients=4, rate=SWEEP[0], arrivals="poisson", seconds=0.6)
BOUND_MS = 50.0  # on the 99th percentile of the response times
LEFT_BEHIND = 0.9  # a server that does less than this share of what falls due is not tried with more
INTERRUPTED = "it was interrupted before"
RATES, LADDER = "the rates", "where the time goes"  # as it is told what failed


class Found(NamedTuple):
    """All that one comparison has found. `left_out` says of whom the open loop was not tried, or no further, and why."""

    counted: ByteTable
    compared: Comparison | None  #: None where it failed before a round was finished
    swept: Sequence[Saturation]
    left_out: Mapping[str, str]
    climbed: CostBreakdown | None
    code: Complexity
    interrupted: bool = False  #: before all of it was measured
    failed: Mapping[str, Exception] = MappingProxyType({})  #: what could not be measured to the end, and why


def main_comparison(
    protocols: Sequence[str] = PROTOCOLS,
    out_dir: str | Path = "comparison",
    quick: bool = False,
    seed: int = 0,
    rounds: int | None = None,
) -> list[Path]:
    """Count the bytes, measure the rates and where the time goes, print them, and write a report, pictures and data to the folder.

    An interrupt ends the measuring, and the report says so. Returns what was written, the report first. What fails (a worker
    is lost, a server dies, an answer is wrong) does not end it: the report has all that was measured, and says what is missing
    and why. Raises `RuntimeError` then, when all is written.
    """
    out = Path(out_dir)
    out.mkdir(parents=True, exist_ok=True)
    print(
        f"Comparing {', '.join(protocols)}: {'about half a minute' if quick else 'about two minutes'}.",
        end="\n\n",
        flush=True,
    )
    found = _measure_all(protocols, quick, seed, rounds)
    data = _write_data(out, found)
    pictures = _write_pictures(out, found)
    again = report.Reproduce({resolve(each).name: each for each in protocols}, _folders(protocols))
    all_again = again.command("compare", *protocols, *["--quick"] * quick, "--seed", f"{seed}")
    if rounds is not None:  # which the command line has no word for
        call = f"main_comparison({list(protocols)!r}, quick={quick!r}, seed={seed!r}, rounds={rounds!r})"
        all_again = again.call(call, of="chatlab.cli.comparison")
    report_file = out / "report.html"
    report_file.write_text(_report(found, data, all_again, again), encoding="utf-8")
    written = [report_file, *(out / name for name in data), *pictures]
    print(f"The report: {report_file}\nBeside it: {', '.join(path.name for path in written[1:])}", flush=True)
    if found.failed:
        raise RuntimeError(f"the report is partial: {'; '.join(_failures(found))}") from next(
            iter(found.failed.values())
        )
    return written


def _folders(protocols: Sequence[str]) -> tuple[str, ...]:
    """Where the modules of each "module:NAME" are that is not installed: whoever repeats the measurement has to find them."""
    installed = {Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    names = [each for each in protocols if isinstance(each, str) and ":" in each]
    roots = {each.partition(":")[0].partition(".")[0] for each in names} - {"chatlab"}
    homes = [
        next(iter(getattr(sys.modules[root], "__path__", ())), None) or sys.modules[root].__file__
        for root in sorted(roots)
    ]
    return tuple(
        dict.fromkeys(str(folder) for home in homes if (folder := Path(home).resolve().parent) not in installed)
    )


def _measure_all(protocols: Sequence[str], quick: bool, seed: int, rounds: int | None) -> Found:
    counted, failed = _told(count_bytes(*protocols)), {}
    clients = QUICK_CLIENTS if quick else CLIENTS
    load = Workload(seed=seed, seconds=QUICK_SECONDS, warm_up_s=QUICK_WARM_UP_S) if quick else Workload(seed=seed)
    rounds = (QUICK_ROUNDS if quick else ROUNDS) if rounds is None else rounds
    compared = _tried(RATES, lambda: compare(*protocols, workload=load, clients=clients, rounds=rounds), failed)
    was_interrupted = compared is not None and compared.partial and not failed
    climbed, interrupted = (None, True) if was_interrupted else _climb(protocols, quick, seed, failed)
    if quick:
        swept, left_out = [], dict.fromkeys(counted.protocols, "a quick comparison does not try it")
    elif interrupted:
        swept, left_out = [], dict.fromkeys(counted.protocols, INTERRUPTED)
    else:
        swept, left_out = _sweep(protocols, seed, failed)
    interrupted = interrupted or INTERRUPTED in left_out.values()
    return Found(counted, compared, swept, left_out, climbed, _told(complexity(*protocols)), interrupted, failed)


def _told(result):
    print(result, end="\n\n", flush=True)
    return result


def _tried(what: str, measure: Callable[[], Result], failed: dict[str, Exception]):
    """What was measured; where it failed, what was finished by then, or None, and `failed` has the error."""
    try:
        return _told(measure())
    except (RuntimeError, OSError) as error:
        failed[what] = error
        print(_sentence(_failure(what, error)), end="\n\n", flush=True)
        partial_result = getattr(error, "partial_result", None)
        return None if partial_result is None else _told(partial_result)


def _failures(found: Found) -> list[str]:
    return [_failure(what, error) for what, error in found.failed.items()]


def _failure(what: str, error: Exception) -> str:
    return f"{what} could not be measured to the end: {str(error).rstrip('.')}"


def _sentence(told: str) -> str:
    return f"{told[0].upper()}{told[1:]}."


def _report(found: Found, data: Mapping[str, str], all_again: str, again: report.Reproduce = report.Reproduce()) -> str:
    """Its sections, in order. Another one is another line."""
    counted, compared, climbed = found.counted, found.compared, found.climbed
    rates = [name for name in data if name.startswith("rates.")]
    where = (counted if compared is None else compared).environment
    sections = [
        report.summary(counted, compared, climbed),
        report.bytes_on_the_wire(counted, "bytes.json", again),
        report.missing(report.RATES, _why(found, RATES)) if compared is None else report.rates(compared, rates),
        *_time_section(found, again),
        report.missing(report.TIMES, _why(found, RATES))
        if compared is None
        else report.response_times(compared, rates),
        report.under_load(found.swept, found.left_out, [name for name in data if name.startswith("sweep-")]),
        report.how_much_code(found.code, "code.json", again),
        *([] if compared is None else [report.method(compared)]),
        report.environment(where),
        *([] if compared is None else [report.limits(compared)]),
        report.raw_data(data, all_again),
    ]
    warnings = [f"Careful: {where.warning}."] * bool(where.warning)
    return page(f"One chat, carried by {', '.join(counted.protocols)}", sections, _what_is_partial(found) + warnings)


def _time_section(found: Found, again: report.Reproduce) -> list[Section]:
    """None where nobody has a ladder, or it was interrupted before."""
    if found.climbed is not None:
        return [report.where_time_goes(found.climbed, "ladder.json", again)]
    return [report.missing(report.LADDER, _why(found, LADDER))] if LADDER in found.failed else []


def _why(found: Found, what: str) -> str:
    return _sentence(_failure(what, found.failed[what]))


def _what_is_partial(found: Found) -> list[str]:
    """What stands above everything, where not all was measured."""
    told = [f"Partial: {each}." for each in _failures(found)]
    parts = [part for part in (found.compared, found.climbed) if part is not None]
    if found.interrupted or not told and any(part.partial for part in parts):
        told.append("Partial: it was interrupted.")
    unmeasured = (
        ()
        if found.compared is None
        else [name for name in found.counted.protocols if name not in found.compared.protocols]
    )
    if told and unmeasured:
        told.append(f"Partial: there are no rates of {' and '.join(unmeasured)}.")
    return told[:-1] + [f"{each} Some numbers rest on fewer rounds than others, or are missing." for each in told[-1:]]


# ---- where the time goes ----------------------------------------------------------------------------------------


def _climb(
    protocols: Sequence[str], quick: bool, seed: int, failed: dict[str, Exception]
) -> tuple[CostBreakdown | None, bool]:
    """The ladders of those that have one, None where nobody has or nothing was measured; and whether it was interrupted."""
    climbable = [protocol for protocol in protocols if _is_spoken_lightly(protocol)]
    if not climbable:
        return None, False
    try:
        climbed = _tried(LADDER, lambda: cost_breakdown(climbable, seed=seed, quick=quick), failed)
    except KeyboardInterrupt:
        return None, True
    return climbed, climbed is not None and climbed.partial and LADDER not in failed


def _is_spoken_lightly(protocol: str) -> bool:
    try:
        return wire_for(resolve(protocol)) is not None
    except ValueError:
        return False


# ---- response times over the rate -------------------------------------------------------------------------------


def _sweep(
    protocols: Sequence[str], seed: int, failed: dict[str, Exception]
) -> tuple[list[Saturation], dict[str, str]]:
    """What each protocol's server does with each rate; and who is left out or cut short, and why. Who is not spoken by a
    light generator has not failed."""
    found, left_out = [], {}
    for protocol in protocols:
        name, attempts = resolve(protocol).name, []
        if INTERRUPTED in left_out.values():
            left_out[name] = INTERRUPTED
            continue
        try:
            wire_for(resolve(protocol))  # or nobody could ask it anything
            for each in _tries(protocol, replace(SWEPT, seed=seed)):
                attempts.append(each)
        except ValueError as error:
            left_out[name] = str(error)
        except (RuntimeError, OSError) as error:
            failed[f"the open loop of {name}"] = error
            left_out[name] = str(error)
        except KeyboardInterrupt:
            left_out[name] = INTERRUPTED
        if attempts:
            found.append(
                Saturation(name, replace(SWEPT, seed=seed), BOUND_MS, tuple(attempts), current_environment(), name in left_out)
            )
    return found, left_out


def _tries(protocol: str, load: Workload) -> Iterator[Attempt]:
    """Each rate, the lowest first, until the server is left behind; once more where it was the generator that was late."""
    for rate in SWEEP:
        for _ in range(MAX_ATTEMPTS):
            run = measure(protocol, replace(load, rate=rate), generator="light")
            yield Attempt(rate, run, reject_reason(run, BOUND_MS))
            if not run.generator_limited:
                break
        if run.rate.median < LEFT_BEHIND * rate:
            return


# ---- files ------------------------------------------------------------------------------------------------------


def _write_data(out: Path, found: Found) -> dict[str, str]:
    """All that was measured, raw. Returns the files' names, and a word on each."""
    written = {found.counted.save(out / "bytes.json").name: "the table of bytes."}
    if found.compared is not None:
        written |= _write_rates(out, found.compared)
    if found.climbed is not None:
        written[found.climbed.save(out / "ladder.json").name] = "where the time goes: every round of every stage."
    for number, each in enumerate(found.swept, 1):
        name = "".join(c if c.isalnum() or c in "-_" else "_" for c in each.protocol)
        written[each.save(out / f"sweep-{number}-{name}.json").name] = (
            f"response times of {each.protocol} over the rate."
        )
    written[found.code.save(out / "code.json").name] = "lines, branches and names of each piece of code."
    return written


def _write_rates(out: Path, compared: Comparison) -> dict[str, str]:
    written = {compared.save(out / "rates.json").name: "every round of the comparison, with the times of each request."}
    try:
        written[compared.save(out / "rates.parquet").name] = (
            "the same as a table with a row for each request, for pandas and others; the rest is in its metadata."
        )
    except ModuleNotFoundError as error:
        print(f"No rates.parquet: {error}")
    return written


def _write_pictures(out: Path, found: Found) -> list[Path]:
    counted, compared = found.counted, found.compared
    pictures = {"bytes.png": figure(bytes_per_operation, counted)}
    if compared is not None:
        pictures = {"comparison.png": overview(counted, compared), **pictures}
        pictures |= {"rates.png": figure(rate_by_clients, compared), "cost.png": figure(cost_by_clients, compared)}
    if found.climbed is not None:
        pictures["ladder.png"] = figure(plots.breakdown_bars, found.climbed)
    for name, picture in pictures.items():
        picture.savefig(out / name, bbox_inches="tight", facecolor="white")
    return [out / name for name in pictures]
