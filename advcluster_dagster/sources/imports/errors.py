"""Error for files that cannot be imported."""

from typing import Any

from advcluster_dagster.errors import AdvClusterError


class ImportFileError(AdvClusterError, ValueError):
    """A file cannot be imported; the one-line message names the file, position, field and what is allowed."""


def shown(value: Any) -> str:
    """Format a value as a short line of printable characters."""
    text = ascii(value[:60] if isinstance(value, str) else value)
    return text if len(text) <= 80 else f"{text[:77]}..."
