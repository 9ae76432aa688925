"""Faults of a home's files as failures of a Dagster step.

Here: one context manager for IO managers. Not here: the faults (faults), those of the steps themselves (assets).
"""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from advcluster_dagster.storage.faults import StorageError


@contextmanager
def faults_in_one_line() -> Iterator[None]:
    """Turn a fault of the home's files into a failure of one line, without its traceback."""
    try:
        yield
    except StorageError as error:
        raise dg.Failure(str(error), allow_retries=False) from None
