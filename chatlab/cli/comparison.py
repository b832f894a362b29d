"""`chatlab compare`: measures everything in one go, prints it as tables, and leaves a report, pictures and data in a
folder."""

import sysconfig
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from ..display import plots
from ..display.plots.rates import cost_by_clients, overview, rate_by_clients
from ..display.plots.style import figure
from ..display.plots.traffic import bytes_per_operation
from ..measurement.breakdown import CostBreakdown, cost_breakdown
from ..measurement.byte_counts import ByteTable, count_bytes
from ..measurement.code_complexity.complexity_table import Complexity, complexity
from ..measurement.load.wire_clients import check_wire_client, has_wire_client
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
from .fitted_table import print_table
from .report_page import Section, page

SWEEP = (500, 1_000, 2_000, 4_000, 8_000, 16_000)  # requests a second that fall due
SWEPT = Workload(clients=4, rate=SWEEP[0], arrivals="poisson", seconds=0.6)
BOUND_MS = 50.0  # on the 99th percentile of the response times
LEFT_BEHIND = 0.9  # a server that does less than this share of what falls due is not tried with more
INTERRUPTED = "it was interrupted before"
RATES, BREAKDOWN = "the rates", "where the time goes"  # the names of what failed

R = TypeVar("R", bound=Result)


@dataclass
class ComparisonResults:
    """Everything that one comparison has measured; None and empty where it was interrupted or failed before."""

    byte_table: ByteTable
    code: Complexity
    comparison: Comparison | None = None
    breakdown: CostBreakdown | None = None
    saturations: list[Saturation] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)  #: protocols without (all of) the open loop, and why
    interrupted: bool = False  #: before everything was measured
    errors: dict[str, Exception] = field(default_factory=dict)  #: what could not be measured to the end, and why

    @property
    def failures(self) -> list[str]:
        return [failure(what, error) for what, error in self.errors.items()]


def run_comparison(
    protocols: Sequence[Any] = PROTOCOLS,
    out_dir: str | Path = "comparison",
    quick: bool = False,
    seed: int = 0,
    rounds: int | None = None,
) -> list[Path]:
    """Measure bytes, rates, where the time goes, and code; print it, and write a report, pictures and data to the
    folder.

    Returns the files that were written, the report first. An interrupt ends the measuring, and the report says so. What
    fails (a worker is lost, a server dies, an answer is wrong) does not end it either: the report has everything that
    was measured, and says what is missing and why. Raises `RuntimeError` then, once all is written, and `OSError`
    before anything is measured where the folder cannot be written.
    """
    out = _writable_folder(out_dir)
    _say(f"Comparing {', '.join(map(str, protocols))}: {'about half a minute' if quick else 'about two minutes'}.")
    results = measure_all(protocols, quick, seed, rounds)
    print(f"\n{report.summary_text(results.byte_table, results.comparison, results.breakdown)}\n")
    for result in (results.byte_table, results.comparison, results.breakdown, results.code):
        if result is not None:
            print_table(result.table())
    data = write_data(out, results)
    pictures = write_pictures(out, results)
    reproduce = report.Reproduce({resolve(given).name: given for given in protocols}, module_folders(protocols))
    whole = reproduce.command("compare", *protocols, *["--quick"] * quick, "--seed", f"{seed}")
    if rounds is not None:  # which the command line has no word for
        call = f"run_comparison({list(protocols)!r}, quick={quick!r}, seed={seed!r}, rounds={rounds!r})"
        whole = reproduce.call(call, of="chatlab.cli.comparison")
    report_file = out / "report.html"
    report_file.write_text(report_html(results, data, whole, reproduce), encoding="utf-8")
    written = [report_file, *(out / name for name in data), *pictures]
    _say(f"The report: {report_file}\nBeside it: {', '.join(path.name for path in written[1:])}")
    if results.errors:
        raise RuntimeError(f"the report is partial: {'; '.join(results.failures)}") from next(
            iter(results.errors.values())
        )
    return written


def _say(text: str) -> None:
    print(text, flush=True)


def _writable_folder(out_dir: str | Path) -> Path:
    """The folder, made where it does not exist. Raises `OSError` where nothing can be written into it."""
    out = Path(out_dir)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=out):
        return out


def module_folders(protocols: Sequence[Any]) -> tuple[str, ...]:
    """The folders of the modules of each "module:NAME" that is not installed: a repetition has to find them."""
    installed = {Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    names = [protocol for protocol in protocols if isinstance(protocol, str) and ":" in protocol]
    roots = {name.partition(":")[0].partition(".")[0] for name in names} - {"chatlab"}
    specs = [spec for root in sorted(roots) if (spec := find_spec(root)) is not None]
    homes = [next(iter(spec.submodule_search_locations or ()), spec.origin) for spec in specs]
    folders = [Path(home).resolve().parent for home in homes if home]
    return tuple(dict.fromkeys(str(folder) for folder in folders if folder not in installed))


# ---- measuring --------------------------------------------------------------------------------------------------


def measure_all(protocols: Sequence[Any], quick: bool, seed: int, rounds: int | None) -> ComparisonResults:
    """Everything in its order. From the first second on a line says what is being measured."""
    steps = iter(range(1, 6))

    def step(what: str) -> None:
        _say(f"  {next(steps)}/{4 if quick else 5}  {what} ...")

    step("counting code")
    code = complexity(*protocols)
    step("counting bytes")
    results = ComparisonResults(count_bytes(*protocols), code)
    names = results.byte_table.protocols
    clients = QUICK_CLIENTS if quick else CLIENTS
    load = Workload(seed=seed, seconds=QUICK_SECONDS, warm_up_s=QUICK_WARM_UP_S) if quick else Workload(seed=seed)
    rounds = (QUICK_ROUNDS if quick else ROUNDS) if rounds is None else rounds
    step("rates and costs: calibrating, then comparing in interleaved rounds")
    results.comparison = _attempt(
        results, RATES, lambda: compare(*protocols, workload=load, clients=clients, rounds=rounds)
    )
    results.interrupted = results.comparison is not None and results.comparison.partial and not results.errors
    if not results.interrupted:
        step("where the time goes")
        measure_breakdown(results, protocols, quick, seed)
    if quick:
        results.left_out = dict.fromkeys(names, "a quick comparison does not try it")
    elif results.interrupted:
        results.left_out = dict.fromkeys(names, INTERRUPTED)
    else:
        step("response times over the rate")
        measure_saturations(results, protocols, seed)
    results.interrupted = results.interrupted or INTERRUPTED in results.left_out.values()
    return results


def _attempt(results: ComparisonResults, what: str, measure: Callable[[], R]) -> R | None:
    """What was measured; where it failed, what was finished by then, or None, and the error is kept."""
    try:
        return measure()
    except (RuntimeError, OSError) as error:
        results.errors[what] = error
        _say(sentence(failure(what, error)))
        partial_result: R | None = getattr(error, "partial_result", None)
        return partial_result


def failure(what: str, error: Exception) -> str:
    return f"{what} could not be measured to the end: {str(error).rstrip('.')}"


def sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def measure_breakdown(results: ComparisonResults, protocols: Sequence[Any], quick: bool, seed: int) -> None:
    """The costs of those protocols that the light generator speaks."""
    spoken = [protocol for protocol in protocols if has_wire_client(resolve(protocol))]
    if not spoken:
        return
    try:
        results.breakdown = _attempt(results, BREAKDOWN, lambda: cost_breakdown(*spoken, seed=seed, quick=quick))
    except KeyboardInterrupt:
        results.interrupted = True
    else:
        partial = results.breakdown is not None and results.breakdown.partial
        results.interrupted = partial and BREAKDOWN not in results.errors


def measure_saturations(results: ComparisonResults, protocols: Sequence[Any], seed: int) -> None:
    """What each protocol's server does at each rate. A protocol that the light generator does not speak has not
    failed."""
    for protocol in protocols:
        name = resolve(protocol).name
        attempts: list[Attempt] = []
        if INTERRUPTED in results.left_out.values():
            results.left_out[name] = INTERRUPTED
            continue
        try:
            check_wire_client(resolve(protocol))
            for attempt in attempts_of(protocol, replace(SWEPT, seed=seed)):
                attempts.append(attempt)
        except ValueError as error:
            results.left_out[name] = str(error)
        except (RuntimeError, OSError) as error:
            results.errors[f"the open loop of {name}"] = error
            results.left_out[name] = str(error)
        except KeyboardInterrupt:
            results.left_out[name] = INTERRUPTED
        if attempts:
            load, partial = replace(SWEPT, seed=seed), name in results.left_out
            results.saturations.append(
                Saturation(name, load, BOUND_MS, tuple(attempts), current_environment(), partial)
            )


def attempts_of(protocol: Any, load: Workload) -> Iterator[Attempt]:
    """Each rate, the lowest first, until the server is left behind; again where the generator was late."""
    for rate in SWEEP:
        for _ in range(MAX_ATTEMPTS):
            run = measure(protocol, replace(load, rate=rate), generator="light")
            yield Attempt(rate, run, reject_reason(run, BOUND_MS))
            if not run.generator_limited:
                break
        if run.rate.median < LEFT_BEHIND * rate:
            return


# ---- the report -------------------------------------------------------------------------------------------------


def report_html(
    results: ComparisonResults,
    data: Mapping[str, str],
    whole: str,
    reproduce: report.Reproduce = report.Reproduce(),
) -> str:
    """The page. `data` are the files beside it, `whole` is the command that measures all of it again."""
    byte_table, comparison = results.byte_table, results.comparison
    where = (byte_table if comparison is None else comparison).environment
    saturation_files = [name for name in data if name.startswith("sweep-")]
    sections = [
        report.summary(byte_table, comparison, results.breakdown),
        report.bytes_on_the_wire(byte_table, "bytes.json", reproduce),
        _of_rates(results, report.RATES, report.rates, data),
        *_breakdown_section(results, reproduce),
        _of_rates(results, report.TIMES, report.response_times, data),
        report.under_load(results.saturations, results.left_out, saturation_files),
        report.how_much_code(results.code, "code.json", reproduce),
        *([] if comparison is None else [report.method(comparison)]),
        report.environment(where),
        *([] if comparison is None else [report.limits(comparison)]),
        report.raw_data(data, whole),
    ]
    warnings = [*partial_warnings(results), *[f"Careful: {where.warning}."] * bool(where.warning)]
    return page(f"One chat, carried by {', '.join(byte_table.protocols)}", sections, warnings)


def _of_rates(
    results: ComparisonResults,
    title: str,
    section: Callable[[Comparison, Sequence[str]], Section],
    data: Mapping[str, str],
) -> Section:
    """A section of the comparison; where there is none, one that says why."""
    if results.comparison is None:
        return report.missing(title, sentence(failure(RATES, results.errors[RATES])))
    return section(results.comparison, [name for name in data if name.startswith("rates.")])


def _breakdown_section(results: ComparisonResults, reproduce: report.Reproduce) -> list[Section]:
    """None where no protocol has a breakdown, or it was interrupted before."""
    if results.breakdown is not None:
        return [report.where_time_goes(results.breakdown, "breakdown.json", reproduce)]
    if BREAKDOWN in results.errors:
        return [report.missing(report.BREAKDOWN, sentence(failure(BREAKDOWN, results.errors[BREAKDOWN])))]
    return []


def partial_warnings(results: ComparisonResults) -> list[str]:
    """What stands above everything, where not all was measured."""
    warnings = [f"Partial: {text}." for text in results.failures]
    parts = [part for part in (results.comparison, results.breakdown) if part is not None]
    if results.interrupted or (not warnings and any(part.partial for part in parts)):
        warnings.append("Partial: it was interrupted.")
    measured = results.byte_table.protocols if results.comparison is None else results.comparison.protocols
    unmeasured = [name for name in results.byte_table.protocols if name not in measured]
    if warnings and unmeasured:
        warnings.append(f"Partial: there are no rates of {' and '.join(unmeasured)}.")
    if warnings:
        warnings[-1] += " Some numbers rest on fewer rounds than others, or are missing."
    return warnings


# ---- files ------------------------------------------------------------------------------------------------------


def write_data(out: Path, results: ComparisonResults) -> dict[str, str]:
    """Write all that was measured, raw. Returns the files' names, and what each holds."""
    written = {results.byte_table.save(out / "bytes.json").name: "the table of bytes."}
    if results.comparison is not None:
        written |= _write_rates(out, results.comparison)
    if results.breakdown is not None:
        file = results.breakdown.save(out / "breakdown.json")
        written[file.name] = "where the time goes: every round of every stage."
    for number, saturation in enumerate(results.saturations, 1):
        name = "".join(c if c.isalnum() or c in "-_" else "_" for c in saturation.protocol)
        file = saturation.save(out / f"sweep-{number}-{name}.json")
        written[file.name] = f"response times of {saturation.protocol} over the rate."
    written[results.code.save(out / "code.json").name] = "lines, branches and names of each piece of code."
    return written


def _write_rates(out: Path, comparison: Comparison) -> dict[str, str]:
    file = comparison.save(out / "rates.json")
    written = {file.name: "every round of the comparison, with the times of each request."}
    try:
        written[comparison.save(out / "rates.parquet").name] = (
            "the same as a table with a row for each request, for pandas and others; the rest is in its metadata."
        )
    except ModuleNotFoundError as error:
        print(f"No rates.parquet: {error}")
    return written


def write_pictures(out: Path, results: ComparisonResults) -> list[Path]:
    byte_table, comparison = results.byte_table, results.comparison
    pictures = {"bytes.png": figure(bytes_per_operation, byte_table)}
    if comparison is not None:
        pictures = {"comparison.png": overview(byte_table, comparison), **pictures}
        pictures |= {"rates.png": figure(rate_by_clients, comparison), "cost.png": figure(cost_by_clients, comparison)}
    if results.breakdown is not None:
        pictures["breakdown.png"] = figure(plots.breakdown_bars, results.breakdown)
    for name, picture in pictures.items():
        picture.savefig(out / name, bbox_inches="tight", facecolor="white")
    return [out / name for name in pictures]
