"""Turn faults of a home's files into failures of a Dagster step."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from advcluster_dagster.storage.faults import StorageError


@contextmanager
def faults_in_one_line() -> Iterator[None]:
    """Turn a fault of the home's files into a one-line failure without traceback."""
    try:
        yield
    except StorageError as error:
        raise dg.Failure(str(error), allow_retries=False) from None
