"""What every result can do: be printed, shown in a notebook, saved and loaded."""

from collections.abc import Iterable
from pathlib import Path
from typing import Self, TypeVar

import msgspec

from ...display.tables import Table


class Result:
    """A measured value. Subclasses are frozen dataclasses that make their own `table()`.

    Their `repr` does not change from run to run, so that a notebook's output stays as it is; the numbers are in the
    fields, in `to_frame()`, in the table that `print` and a notebook show, and in the plot.
    """

    def table(self) -> Table:
        """The result as rows and columns of text, with its notes."""
        raise NotImplementedError

    def __str__(self) -> str:
        return self.table().text()

    def _repr_html_(self) -> str:
        return self.table().html()

    def save(self, path: str | Path) -> Path:
        """Write it to a `.json` file, which `load` reads. Returns the path.

        Raises `ValueError` for another ending, and `TypeError` for a Parquet file: only a Run or a Comparison has the
        rows for one.
        """
        path = Path(path)
        if is_parquet(path):
            raise TypeError(
                f"a Parquet file has a row for each request, and a {type(self).__name__} has none: save it as .json"
            )
        return write_json(self, path)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """The result that was saved there, equal to what it was. Raises `ValueError` for any other file."""
        return decoded(cls, Path(path), Path(path).read_bytes())


AnyResult = TypeVar("AnyResult", bound=Result)

FORMAT = 3  # of saved files; raised when a field changes its name or its meaning


class _Head(msgspec.Struct):
    """What every file begins with: it is read before the rest, to recognize other files and newer ones."""

    chatlab: str
    format: int


def write_json(result: Result, path: Path) -> Path:
    """Write a `.json` file. Raises `ValueError` for an ending that promises another format."""
    if path.suffix.lower() not in (".json", ""):
        raise ValueError(
            f"a {type(result).__name__} is saved as .json, not as {path.suffix}; "
            f"to_frame() is a DataFrame, whose to_csv and others write a table"
        )
    path.write_bytes(msgspec.json.format(encoded(result), indent=1) + b"\n")
    return path


def is_parquet(path: Path) -> bool:
    return path.suffix.lower() == ".parquet"


def encoded(result: Result) -> bytes:
    """A result as JSON, with its kind and the version of the format."""
    return msgspec.json.encode({"chatlab": type(result).__name__, "format": FORMAT, "result": result})


def decoded(kind: type[AnyResult], path: Path, data: bytes) -> AnyResult:
    """The result of that kind which `encoded` wrote. Raises `ValueError`, which names the file, for anything else."""
    try:
        head = msgspec.json.decode(data, type=_Head)
        if head.format > FORMAT:
            raise ValueError(
                f"{path} was saved by a newer chatlab: it is in format {head.format}, "
                f"and this one reads format {FORMAT}"
            )
        if (head.chatlab, head.format) != (kind.__name__, FORMAT):
            raise ValueError(
                f"{path} holds a {head.chatlab} in format {head.format}, not a {kind.__name__} in format {FORMAT}"
            )
        return msgspec.convert(msgspec.json.decode(data).get("result"), kind)
    except msgspec.DecodeError as error:
        raise not_ours(path, error) from error


def not_ours(path: Path, why: object) -> ValueError:
    """The error for a file that holds no result, or a damaged one."""
    return ValueError(f"{path} is not a result that chatlab has saved: {why}")


def available_keys(*names: Iterable[object]) -> str:
    """The keys that a table has, for the message of a KeyError."""
    return " with ".join(" or ".join(map(repr, alternatives)) for alternatives in names)


def plural(count: int, noun: str) -> str:
    """A count with its noun.

    >>> plural(1, "round"), plural(3, "round")
    ('1 round', '3 rounds')
    """
    return f"{count} {noun}{'s'[: count != 1]}"
