"""Turn exceptions of a step into Dagster failures whose first line is the cause."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import duckdb
import polars as pl
import pyarrow as pa

import advcluster_dagster
from advcluster_dagster.contracts.table import ContractError
from advcluster_dagster.errors import AdvClusterError
from advcluster_dagster.pipeline.step import Step
from advcluster_dagster.storage.faults import DamagedFileError, StorageError
from advcluster_dagster.storage.table_files import content_fault

_PACKAGE = Path(advcluster_dagster.__file__).parent


class BrokenContract(dg.Failure):
    """A computed table violates its contract; nothing was published."""

    def __init__(self, error: ContractError) -> None:
        super().__init__(str(error), allow_retries=False)
        self.table = error.table


@contextmanager
def storage_failures() -> Iterator[None]:
    """Turn a fault of the home's files into a one-line failure; other exceptions pass."""
    try:
        yield
    except StorageError as error:
        raise dg.Failure(str(error), allow_retries=False) from None


@contextmanager
def dagster_failures() -> Iterator[None]:
    """Turn exceptions into Dagster failures whose first line is the cause.

    The message of an :class:`AdvClusterError` is that line, without traceback. Any other exception is a fault of the
    program: the line gives its type, message and place in the package, and the traceback is kept as the cause.
    """
    try:
        yield
    except ContractError as error:
        raise BrokenContract(error) from None
    except AdvClusterError as error:
        raise dg.Failure(str(error), allow_retries=False) from None
    except Exception as error:
        raise dg.Failure(fault_line(error)) from error
    except BaseException as error:
        if isinstance(error, GeneratorExit):
            raise
        # A stop signal. Dagster would otherwise retry the step, at a cost.
        raise dg.Failure("stopped by a signal; completed work is kept; run it again", allow_retries=False) from None


def fault_line(error: Exception) -> str:
    """Type, message and innermost place in the package of an unexpected exception."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).is_relative_to(_PACKAGE) and frame.name != dagster_failures.__name__
    ]
    place = f" at {Path(frames[-1].filename).relative_to(_PACKAGE.parent)}:{frames[-1].lineno}" if frames else ""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}{f': {text}' if text else ''}{place} (a fault of the program: please report it)"


@contextmanager
def damaged_inputs_named(step: Step) -> Iterator[None]:
    """Name the damaged file when a step fails because an input cannot be read.

    Raises:
        DamagedFileError: replaces the error of the library that read the file.
    """
    try:
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, pa.ArrowException, duckdb.Error) as error:
        for path in (path for table in step.recipe.upstream for path in step.paths_of(table)):
            if fault := content_fault(path):
                raise DamagedFileError(fault) from error
        raise
