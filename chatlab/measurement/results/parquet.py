"""Results as files, chosen by the ending: `.parquet` has a row for each request, whatever else is JSON as a whole.

Both hold all of a result, so that it comes back equal: environment, versions and workload too. In a Parquet file these
are the value of the key "chatlab" in its metadata; its columns are the raw samples, which any reader of Parquet can read.
Times are in ns after the start of their round, null where it did not happen.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .runs import Comparison, Round, Run

from dataclasses import replace
from pathlib import Path

from ..load.samples import NEVER, Samples
from ..load.workload import OPERATIONS
from .result import decoded, encoded, not_ours

TIMES = ("due", "sent", "answered", "heard")


# ---- Parquet ----------------------------------------------------------------------------------------------------


def _pyarrow():
    try:
        import pyarrow.compute
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "Parquet files take pyarrow, which is not installed: pip install 'chatlab-protocols[parquet]'"
        ) from error
    return pyarrow


def _schema(pyarrow):
    numbers = {name: pyarrow.int16() for name in ("run", "clients", "round")}
    texts = {name: pyarrow.string() for name in ("protocol", "operation")}
    times = {f"{name}_ns": pyarrow.int64() for name in TIMES}
    return pyarrow.schema(numbers | texts | times)


def write_parquet(result: "Run | Comparison", path: Path) -> Path:
    pyarrow = _pyarrow()
    schema = _schema(pyarrow)
    parts = [schema.empty_table()]
    for number, run in enumerate(_runs_of(result), 1):
        parts += [
            _rows(pyarrow, schema, number, run, n, each.samples)
            for n, each in enumerate(run.rounds, 1)
            if each.samples is not None
        ]
    nothing = dict.fromkeys((*TIMES, "operation"), b"")
    rest = encoded(_with_samples(result, lambda run, n, samples: replace(samples, **nothing)))
    table = pyarrow.concat_tables(parts).replace_schema_metadata({"chatlab": rest})
    pyarrow.parquet.write_table(table, path, compression="zstd")
    return path


def _rows(pyarrow, schema, number: int, run: "Run", round_number: int, samples: Samples):
    """The requests of one round."""
    same = {"run": number, "clients": run.workload.clients, "round": round_number, "protocol": run.protocol}
    columns = {
        name: pyarrow.repeat(pyarrow.scalar(value, schema.field(name).type), len(samples))
        for name, value in same.items()
    }
    columns["operation"] = pyarrow.DictionaryArray.from_arrays(samples.column("operation"), OPERATIONS).cast(
        pyarrow.string()
    )
    for name in TIMES:
        times = samples.column(name)
        columns[f"{name}_ns"] = pyarrow.array(times, mask=times == NEVER)
    return pyarrow.table(columns, schema=schema)


def read_parquet(kind: "type[Run] | type[Comparison]", path: Path, data: bytes):
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

    def samples_of(run: int, round_number: int, empty: Samples) -> Samples:
        there = (runs == run) & (rounds == round_number)
        times = {name: columns[name][there].tobytes() for name in TIMES}
        return replace(empty, operation=operations[there].tobytes(), **times)

    return _with_samples(result, samples_of)


def _runs_of(result: "Run | Comparison") -> "tuple[Run, ...]":
    return getattr(result, "runs", None) or (result,)


def _with_samples(result: "Run | Comparison", samples_of) -> "Run | Comparison":
    """The result with other samples, where it has any: what `samples_of` makes of the run's and the round's number, and those."""

    def changed(number: int, n: int, each: "Round") -> "Round":
        return each if each.samples is None else replace(each, samples=samples_of(number, n, each.samples))

    runs = tuple(
        replace(run, rounds=tuple(changed(number, n, each) for n, each in enumerate(run.rounds, 1)))
        for number, run in enumerate(_runs_of(result), 1)
    )
    return replace(result, runs=runs) if hasattr(result, "runs") else runs[0]
