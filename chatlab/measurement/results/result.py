"""What every result can do: be printed, shown in a notebook, saved and loaded."""

from pathlib import Path

import msgspec

from ...display.tables import Table


class Result:
    """How every result is printed, shown in a notebook, saved and loaded."""

    def table(self) -> Table:
        """The result as rows and columns of text, with its notes."""
        raise NotImplementedError

    def __str__(self) -> str:
        return self.table().text()

    def _repr_html_(self) -> str:
        return self.table().html()

    def save(self, path: str | Path) -> Path:
        """Write it to a file as JSON, which `load` reads. Returns the path.

        Raises `TypeError` for a Parquet file: only a Run or a Comparison has the rows for one.
        """
        path = Path(path)
        if is_parquet(path):
            raise TypeError(
                f"a Parquet file has a row for each request, and a {type(self).__name__} has none: save it as .json"
            )
        return write_json(self, path)

    @classmethod
    def load(cls, path: str | Path):
        """The result that was saved there, equal to what it was. Raises `ValueError` where the file holds something else."""
        return decoded(cls, Path(path), Path(path).read_bytes())


def available_keys(*names) -> str:
    """What a place of a table is asked by, for whoever has asked by something else."""
    return " with ".join(" or ".join(map(repr, each)) for each in names)


FORMAT = 3  # of saved files; raised when a field changes its meaning


class _Head(msgspec.Struct):
    """What every file begins with: a foreign or a newer one is told by it, before the rest is read."""

    chatlab: str
    format: int


def write_json(result: Result, path: Path) -> Path:
    path.write_bytes(msgspec.json.format(encoded(result), indent=1) + b"\n")
    return path


def is_parquet(path: Path) -> bool:
    return path.suffix.lower() == ".parquet"


def encoded(result: Result) -> bytes:
    return msgspec.json.encode({"chatlab": type(result).__name__, "format": FORMAT, "result": result})


def decoded(kind: type[Result], path: Path, data: bytes) -> Result:
    try:
        head = msgspec.json.decode(data, type=_Head)
        if head.format > FORMAT:
            raise ValueError(
                f"{path} was saved by a newer chatlab: it is in format {head.format}, and this one reads format {FORMAT}"
            )
        if (head.chatlab, head.format) != (kind.__name__, FORMAT):
            raise ValueError(
                f"{path} holds a {head.chatlab} in format {head.format}, not a {kind.__name__} in format {FORMAT}"
            )
        return msgspec.convert(msgspec.json.decode(data).get("result"), kind)
    except msgspec.DecodeError as error:
        raise not_ours(path, error) from error


def not_ours(path: Path, why: object) -> ValueError:
    return ValueError(f"{path} is not a result that chatlab has saved: {why}")
