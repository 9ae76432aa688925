"""The error of a file that cannot be imported."""

from typing import Any

from advcluster_dagster.errors import AdvClusterError


class ImportFileError(AdvClusterError, ValueError):
    """A file that cannot be imported; one line that names the file, the place in it, the field and what is allowed."""


def shown(value: Any) -> str:
    """A value in one short line of printable characters."""
    text = ascii(value[:60] if isinstance(value, str) else value)
    return text if len(text) <= 80 else f"{text[:77]}..."
