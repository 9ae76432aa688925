"""Streaming hash of a table's values, independent of the file format."""

import hashlib

import polars as pl


class ContentHash:
    """sha256 over the values of a table; equal for equal rows in equal order.

    Independent of chunking, compression, file layout and library version: each column hashes its validity, lengths
    (strings, lists) and values (little-endian, nulls as zero) separately; the result is the hash of column names, types
    and these hashes.
    """

    def __init__(self, schema: pl.Schema) -> None:
        self._columns = {name: _ColumnHash(dtype) for name, dtype in schema.items()}

    def update(self, frame: pl.DataFrame) -> None:
        """Add the next rows."""
        for name, column in self._columns.items():
            column.update(frame.get_column(name).rechunk())

    def hexdigest(self) -> str:
        """Return the hash of the rows so far, 64 hex digits."""
        total = hashlib.sha256()
        for name, column in self._columns.items():
            total.update(f"{name}:{column.digest()};".encode())
        return total.hexdigest()


class _ColumnHash:
    def __init__(self, dtype: pl.DataType) -> None:
        self._is_list = isinstance(dtype, pl.List | pl.Array)
        self._validity, self._lengths, self._values = (hashlib.sha256() for _ in range(3))
        inner = dtype.inner if isinstance(dtype, pl.List | pl.Array) else None
        self._inner = _ColumnHash(inner) if isinstance(inner, pl.DataType) else None
        self._dtype = "list" if self._is_list else str(dtype)

    def update(self, values: pl.Series) -> None:
        has_nulls = values.null_count() > 0
        self._validity.update(values.is_null().to_numpy().tobytes() if has_nulls else bytes(len(values)))
        if self._inner is not None:
            lists = values.cast(pl.List(values.dtype.inner)) if isinstance(values.dtype, pl.Array) else values
            self._lengths.update(lists.list.len().fill_null(0).cast(pl.Int64).to_numpy().tobytes())
            self._inner.update(lists.drop_nulls().list.explode(keep_nulls=False, empty_as_null=False).rechunk())
        elif values.dtype == pl.String:
            filled = values.fill_null("") if has_nulls else values
            self._lengths.update(filled.str.len_bytes().cast(pl.Int64).to_numpy().tobytes())
            self._values.update("".join(filled).encode())
        else:
            self._values.update(_as_numbers(values, has_nulls).to_numpy().tobytes())

    def digest(self) -> str:
        own = f"{self._validity.hexdigest()}{self._lengths.hexdigest()}{self._values.hexdigest()}"
        return f"{self._dtype}({own}{self._inner.digest() if self._inner else ''})"


def _as_numbers(values: pl.Series, has_nulls: bool) -> pl.Series:
    filled = values.fill_null(False if values.dtype == pl.Boolean else 0) if has_nulls else values
    return filled.cast(pl.UInt8) if values.dtype == pl.Boolean else filled


def frame_hash(frame: pl.DataFrame) -> str:
    """Return the content hash of a frame, 64 hex digits."""
    content = ContentHash(frame.schema)
    content.update(frame)
    return content.hexdigest()
