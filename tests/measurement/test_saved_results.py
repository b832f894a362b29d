"""Files: a result comes back equal, raw samples and all, from JSON and from Parquet; what is none of ours is named."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas
import pyarrow
import pyarrow.parquet
import pytest
from sample_results import HERE, a_comparison, a_run, a_table, sampled, served

import chatlab
from chatlab.measurement.load.workload import Workload
from chatlab.measurement.results.result import FORMAT
from chatlab.measurement.results.runs import Comparison, Run


def a_sampled_comparison():
    return Comparison(tuple(sampled(run, 10 * n) for n, run in enumerate(a_comparison().runs, 1)), HERE)


RESULTS = pytest.mark.parametrize(
    "result", [a_run(), sampled(a_run()), a_sampled_comparison()], ids=["bare run", "run", "comparison"]
)
ENDINGS = pytest.mark.parametrize("ending", ["json", "parquet", "PARQUET"])


@RESULTS
@ENDINGS
def test_a_result_comes_back_equal_with_its_samples(result, ending, tmp_path):
    assert type(result).load(result.save(tmp_path / f"result.{ending}")) == result


@ENDINGS
def test_what_was_measured_comes_back_equal(ending, tmp_path):
    load = Workload(clients=3, messages=10, rooms=1, operations={"say": 1, "send": 1, "search": 1, "ping": 1})
    run = chatlab.measure("text", load, rounds=2)
    assert Run.load(run.save(tmp_path / f"run.{ending}")) == run


def test_a_round_whose_samples_are_none_at_all_stays_one(tmp_path):
    empty = served(1).where(slice(0))
    run = replace(a_run(), rounds=tuple(replace(each, samples=empty) for each in a_run().rounds))
    assert Run.load(run.save(tmp_path / "run.parquet")) == run


def test_in_parquet_each_request_is_a_row_that_others_can_read(tmp_path):
    frame = pandas.read_parquet(sampled(a_run()).save(tmp_path / "run.parquet"))
    assert list(frame.columns) == "run clients round protocol operation due_ns sent_ns answered_ns heard_ns".split()
    assert frame["round"].value_counts().to_dict() == {2: 50, 3: 50}
    assert set(frame["operation"]) == {"ping"} and set(frame["protocol"]) == {"text"}


def test_what_did_not_happen_is_null_in_parquet(tmp_path):
    frame = pandas.read_parquet(sampled(a_run()).save(tmp_path / "run.parquet"))
    assert frame["answered_ns"].isna().sum() == 2 and frame["heard_ns"].isna().all()


def test_a_parquet_file_carries_environment_versions_and_workload(tmp_path):
    path = sampled(a_run()).save(tmp_path / "run.parquet")
    told = json.loads(pyarrow.parquet.read_schema(path).metadata[b"chatlab"])
    assert told["result"]["environment"]["packages"] == [["grpcio", "1.85.1"]]
    assert told["result"]["workload"]["seed"] == 0


def test_a_table_of_bytes_has_no_rows_for_parquet(tmp_path):
    with pytest.raises(TypeError, match=r"a ByteTable has none: save it as \.json"):
        a_table().save(tmp_path / "bytes.parquet")


@ENDINGS
def test_another_kind_of_result_is_named(ending, tmp_path):
    path = a_run().save(tmp_path / f"run.{ending}")
    with pytest.raises(ValueError, match=f"holds a Run in format {FORMAT}, not a Comparison in format {FORMAT}"):
        Comparison.load(path)


def as_newer(path):
    """The file as a later chatlab would have written it."""
    if path.suffix == ".json":
        path.write_text(path.read_text().replace(f'"format": {FORMAT}', f'"format": {FORMAT + 1}'))
    else:
        table = pyarrow.parquet.read_table(path)
        told = table.schema.metadata[b"chatlab"].replace(b'"format":%d' % FORMAT, b'"format":%d' % (FORMAT + 1))
        pyarrow.parquet.write_table(table.replace_schema_metadata({"chatlab": told}), path)
    return path


@pytest.mark.parametrize("ending", ["json", "parquet"])
def test_a_newer_file_says_that_it_is_newer(ending, tmp_path):
    with pytest.raises(
        ValueError, match=f"saved by a newer chatlab: it is in format {FORMAT + 1}, and this one reads format {FORMAT}"
    ):
        Run.load(as_newer(a_run().save(tmp_path / f"run.{ending}")))


@pytest.mark.parametrize("ending", ["json", "parquet"])
@pytest.mark.parametrize("content", [
    b"", b"hello", b"{}", b'{"chatlab": "Run", "format": %d}' % FORMAT, b"PAR1 and no end", b"PAR1\0\0\0\0PAR1",
])  # fmt: skip
def test_what_is_no_result_is_told_so(content, ending, tmp_path):
    path = tmp_path / f"letter.{ending}"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"letter.{ending} is not a result that chatlab has saved: "):
        Run.load(path)


def test_half_a_parquet_file_is_told_so(tmp_path):
    path = sampled(a_run()).save(tmp_path / "half.parquet")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] + whole[-8:])
    with pytest.raises(ValueError, match="half.parquet is not a result that chatlab has saved: "):
        Run.load(path)


def test_a_parquet_file_of_somebody_else_is_told_so(tmp_path):
    pandas.DataFrame({"x": [1, 2]}).to_parquet(tmp_path / "x.parquet")
    with pytest.raises(ValueError, match='its metadata has no key "chatlab"'):
        Run.load(tmp_path / "x.parquet")


def test_a_parquet_file_with_other_columns_is_told_so(tmp_path):
    path = sampled(a_run()).save(tmp_path / "run.parquet")
    pyarrow.parquet.write_table(pyarrow.parquet.read_table(path).drop_columns("heard_ns"), path)
    with pytest.raises(ValueError, match="its columns are run, clients, round"):
        Run.load(path)


@ENDINGS
def test_a_file_that_is_not_there_is_just_that(ending, tmp_path):
    with pytest.raises(FileNotFoundError):
        Run.load(tmp_path / f"nothing.{ending}")


def test_without_pyarrow_it_says_what_to_install(tmp_path):
    program = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from sample_results import a_run\n"
        f"try: a_run().save({str(tmp_path / 'run.parquet')!r})\n"
        "except ModuleNotFoundError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=Path(__file__).parents[1] / "helpers",
        env=os.environ | {"PYTHONPATH": str(Path(chatlab.__file__).parents[1])},
    )
    assert (
        done.stdout == "Parquet files take pyarrow, which is not installed: pip install 'chatlab-protocols[parquet]'\n"
    ), done.stderr
