"""Runs and comparisons as Parquet files: a row for each request, which any reader of Parquet can read.

A file holds all of a result, so that it comes back equal: environment, versions and workload are the value of the key
"chatlab" in its metadata, and the columns are the raw samples. Times are in ns after the start of their round, null
where it did not happen. A result is anything with `all_runs()` and `with_runs()`: a Run or a Comparison.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..load.samples import NEVER, Samples
from ..load.workload import OPERATIONS
from .result import decoded, encoded, not_ours

if TYPE_CHECKING:
    from .runs import Round, Run, SampledResult

    AnySampled = TypeVar("AnySampled", bound=SampledResult)

TIMES = ("due", "sent", "answered", "heard")

#: What a round's samples are replaced by, given the number of the run, that of the round, and the samples.
ReplaceSamples = Callable[[int, int, Samples], Samples]


def write_parquet(result: "SampledResult", path: Path) -> Path:
    """Write the file. Raises `ModuleNotFoundError` where pyarrow is not installed."""
    pyarrow = _pyarrow()
    schema = _schema(pyarrow)
    tables = [schema.empty_table()]
    for run_number, run in enumerate(result.all_runs(), 1):
        for round_number, measured in enumerate(run.rounds, 1):
            if measured.samples is not None:
                tables.append(_rows(pyarrow, schema, run_number, run, round_number, measured.samples))
    rest = encoded(_with_samples(result, lambda run, number, samples: _with_columns(samples, [b""] * 4, b"")))
    table = pyarrow.concat_tables(tables).replace_schema_metadata({"chatlab": rest})
    pyarrow.parquet.write_table(table, path, compression="zstd")
    return path


def read_parquet(kind: "type[AnySampled]", path: Path, data: bytes) -> "AnySampled":
    """The result that is in the file's bytes.

    Raises `ValueError` for another file, and `ModuleNotFoundError` where pyarrow is not installed.
    """
    pyarrow = _pyarrow()
    try:
        table = pyarrow.parquet.read_table(pyarrow.BufferReader(data))
    except (pyarrow.ArrowInvalid, OSError) as error:  # no file is opened: an OSError, too, is about what is in it
        raise not_ours(path, error) from error
    if b"chatlab" not in (table.schema.metadata or {}):
        raise not_ours(path, 'its metadata has no key "chatlab"')
    result = decoded(kind, path, table.schema.metadata[b"chatlab"])
    if not table.schema.equals(_schema(pyarrow)):
        raise not_ours(path, f"its columns are {', '.join(table.column_names)}")
    columns = {name: table[f"{name}_ns"].fill_null(NEVER).to_numpy() for name in TIMES}
    operations = pyarrow.compute.index_in(table["operation"], pyarrow.array(OPERATIONS)).to_numpy().astype("int8")
    runs, rounds = table["run"].to_numpy(), table["round"].to_numpy()

    def samples_of(run_number: int, round_number: int, empty: Samples) -> Samples:
        here = (runs == run_number) & (rounds == round_number)
        return _with_columns(empty, [columns[name][here].tobytes() for name in TIMES], operations[here].tobytes())

    return _with_samples(result, samples_of)


def _with_columns(samples: Samples, times: list[bytes], operation: bytes) -> Samples:
    """The samples with other rows: columns of the `TIMES`, and one of operations."""
    due, sent, answered, heard = times
    return replace(samples, due=due, sent=sent, answered=answered, heard=heard, operation=operation)


def _pyarrow() -> Any:
    try:
        import pyarrow.compute
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "Parquet files take pyarrow, which is not installed: pip install 'chatlab-protocols[parquet]'"
        ) from error
    return pyarrow


def _schema(pyarrow: Any) -> Any:
    numbers = {name: pyarrow.int16() for name in ("run", "clients", "round")}
    texts = {name: pyarrow.string() for name in ("protocol", "operation")}
    times = {f"{name}_ns": pyarrow.int64() for name in TIMES}
    return pyarrow.schema(numbers | texts | times)


def _rows(pyarrow: Any, schema: Any, run_number: int, run: "Run", round_number: int, samples: Samples) -> Any:
    """The requests of one round, as a pyarrow table."""
    same = {"run": run_number, "clients": run.workload.clients, "round": round_number, "protocol": run.protocol}
    columns = {
        name: pyarrow.repeat(pyarrow.scalar(value, schema.field(name).type), len(samples))
        for name, value in same.items()
    }
    operations = pyarrow.DictionaryArray.from_arrays(samples.column("operation"), OPERATIONS)
    columns["operation"] = operations.cast(pyarrow.string())
    for name in TIMES:
        times = samples.column(name)
        columns[f"{name}_ns"] = pyarrow.array(times, mask=times == NEVER)
    return pyarrow.table(columns, schema=schema)


def _with_samples(result: "AnySampled", replace_samples: ReplaceSamples) -> "AnySampled":
    """The result with other samples in each round that has any."""

    def changed(run_number: int, round_number: int, measured: "Round") -> "Round":
        if measured.samples is None:
            return measured
        return replace(measured, samples=replace_samples(run_number, round_number, measured.samples))

    runs = tuple(
        replace(run, rounds=tuple(changed(number, n, measured) for n, measured in enumerate(run.rounds, 1)))
        for number, run in enumerate(result.all_runs(), 1)
    )
    return result.with_runs(runs)
