"""Table schemas and their validation."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

import polars as pl

from advcluster_dagster.errors import AdvClusterError

DataType: TypeAlias = pl.DataType | type[pl.DataType]
PartitionLevel = Literal["study", "domain", "family", "family_domain"]

PARTITION_COLUMNS: dict[PartitionLevel, tuple[str, ...]] = {
    "study": (),
    "domain": ("domain",),
    "family": ("family",),
    "family_domain": ("family", "domain"),
}


class ContractError(AdvClusterError, ValueError):
    """A frame violates its contract; the message names the table, the columns and the fault in one line."""

    def __init__(self, table: str, fault: str) -> None:
        super().__init__(f"table {table}: {fault}")
        self.table = table


@dataclass(frozen=True)
class Column:
    """A column; ``minimum`` and ``maximum`` are inclusive, ``allowed`` lists the values of an enumeration."""

    name: str
    dtype: DataType
    description: str
    is_nullable: bool = False
    minimum: float | None = None
    maximum: float | None = None
    allowed: tuple[str, ...] | None = None

    @property
    def constraint(self) -> str:
        """The allowed values in words; empty if every value of the type is allowed."""
        if self.allowed is not None:
            return "one of " + ", ".join(self.allowed)
        if self.minimum is not None and self.maximum is not None:
            return f"{self.minimum:g} to {self.maximum:g}"
        if self.minimum is not None:
            return f"at least {self.minimum:g}"
        return f"at most {self.maximum:g}" if self.maximum is not None else ""


@dataclass(frozen=True)
class Table:
    """A table; the step that writes it may write others as well and have another name.

    ``columns`` excludes the partition columns. ``key`` names the columns that identify a row within a partition.
    ``section`` names the section of the study file that turns the table on; None if every study has it.

    Raises:
        ValueError: the key is empty or not among the columns.
    """

    name: str
    level: PartitionLevel
    description: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    section: str | None = None

    def __post_init__(self) -> None:
        unknown = {*self.key} - {column.name for column in self.all_columns}
        if not self.key or unknown:
            raise ValueError(
                f"table {self.name}: key is {self.key}; name at least one of its columns. For one row per domain,"
                " choose the level family and the key domain"
            )

    @property
    def partition_columns(self) -> tuple[str, ...]:
        """Names of the columns that are constant within a partition: family, domain, both or none."""
        return PARTITION_COLUMNS[self.level]

    @property
    def all_columns(self) -> tuple[Column, ...]:
        """Partition columns, then declared columns; a declared column replaces the partition column of its name."""
        declared = {column.name for column in self.columns}
        partition = (
            Column(name, pl.String(), f"The {name} of the partition.")
            for name in self.partition_columns
            if name not in declared
        )
        return (*partition, *self.columns)

    @property
    def own_schema(self) -> pl.Schema:
        """Names and types of the declared columns, without the partition columns, which are added on writing."""
        return pl.Schema({column.name: column.dtype for column in self.columns})

    @property
    def schema(self) -> pl.Schema:
        """Column names and types in order."""
        return pl.Schema({column.name: column.dtype for column in self.all_columns})

    def empty(self) -> pl.DataFrame:
        """An empty frame with this table's schema."""
        return pl.DataFrame(schema=self.schema)

    def conform(self, frame: pl.LazyFrame, partition: dict[str, str]) -> pl.LazyFrame:
        """Add the partition columns, put columns in declared order and cast types where that is lossless.

        Raises:
            ContractError: columns are missing or unknown, or a type cannot be cast.
        """
        given = frame.collect_schema()
        frame = frame.with_columns(
            pl.lit(value, dtype=pl.String).alias(name) for name, value in partition.items() if name not in given
        )
        given = frame.collect_schema()
        missing = [name for name in self.schema if name not in given]
        unknown = [name for name in given if name not in self.schema]
        if missing or unknown:
            raise ContractError(self.name, f"missing columns {missing}, unknown columns {unknown}")
        return frame.select(self._cast(name, given[name], dtype) for name, dtype in self.schema.items())

    def faults(self, frame: pl.LazyFrame, partition: dict[str, str] | None = None) -> list[str]:
        """Contract violations in a conforming frame, one line each; empty if there are none.

        Nulls, ranges and enumerations are counted in one streaming pass, duplicate keys in another. If a partition
        is given, the partition columns must equal its values.
        """
        rules = [*self._rules(), *((f"{k} is not {v}", pl.col(k) != v) for k, v in (partition or {}).items())]
        problems = []
        if rules:
            counts = frame.select(expression.sum().alias(str(i)) for i, (_, expression) in enumerate(rules))
            row = counts.collect(engine="streaming").row(0)
            problems = [f"{text} in {n} rows" for (text, _), n in zip(rules, row, strict=True) if n]
        key = [*(name for name in self.partition_columns if name not in self.key), *self.key]
        if key:
            repeated = (frame.group_by(key).len().filter(pl.col("len") > 1).select(pl.len(), pl.first(*key))).collect(
                engine="streaming"
            )
            if n_repeated := repeated.item(0, 0):
                problems.append(
                    f"key ({', '.join(self.key)}) has {n_repeated} duplicated values, first {repeated.row(0)[1:]}"
                )
        return problems

    def check(self, frame: pl.LazyFrame, partition: dict[str, str] | None = None) -> None:
        """Raise if the content has faults, see :meth:`faults`.

        Raises:
            ContractError: the frame has faults; the message lists them.
        """
        if problems := self.faults(frame, partition):
            raise ContractError(self.name, "; ".join(problems))

    def _cast(self, name: str, given: DataType, expected: DataType) -> pl.Expr:
        if given == expected or _is_fixed_size(given, expected):
            return pl.col(name)
        if given == pl.Null or (given.is_numeric() and expected.is_integer() and given.is_integer()):
            return pl.col(name).cast(expected)
        if given.is_numeric() and expected == pl.Float64:
            return pl.col(name).cast(expected)
        if isinstance(given, pl.List) and isinstance(expected, pl.List) and given.inner == pl.Null:
            return pl.col(name).cast(expected)
        raise ContractError(self.name, f"column {name} has type {given}, expected {expected}")

    def _rules(self) -> Iterator[tuple[str, pl.Expr]]:
        """Yield each rule's violation in words and the expression that is true for rows that violate it."""
        for column in self.all_columns:
            value = pl.col(column.name)
            if not column.is_nullable:
                yield f"{column.name} is null", value.is_null()
            if column.dtype in (pl.Float64, pl.Float32):
                yield f"{column.name} is not a finite number", value.is_finite().not_().fill_null(False)
            if column.minimum is not None:
                yield f"{column.name} is below {column.minimum:g}", (value < column.minimum).fill_null(False)
            if column.maximum is not None:
                yield f"{column.name} is above {column.maximum:g}", (value > column.maximum).fill_null(False)
            if column.allowed is not None:
                yield (
                    f"{column.name} is not one of {', '.join(column.allowed)}",
                    value.is_in(column.allowed).not_().fill_null(False),
                )


def _is_fixed_size(given: DataType, expected: DataType) -> bool:
    """Whether ``given`` is a fixed-size array of the expected list type; the file keeps the fixed width."""
    return isinstance(given, pl.Array) and isinstance(expected, pl.List) and given.inner == expected.inner
