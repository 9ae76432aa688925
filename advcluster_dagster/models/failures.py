"""Summarise failed model calls in one line: number, reasons and the server's messages."""

from collections import Counter
from collections.abc import Iterable

from advcluster_dagster.printable import one_line

_MOST_REASONS = 4
_MOST_DETAILS = 3
_MOST_DETAIL = 300


def failure_reasons(failures: Iterable[tuple[str, str]]) -> str:
    """Reasons by frequency, each with its most frequent details, such as ``bad_request (12): no such field``.

    At most four reasons with three details each are listed, the rest is counted.

    Args:
        failures: (reason, detail) of each failure; the detail may be "".

    Returns:
        One line without control characters; "" without failures.
    """
    by_reason: dict[str, Counter[str]] = {}
    for reason, detail in failures:
        by_reason.setdefault(reason, Counter())[one_line(detail)[:_MOST_DETAIL]] += 1
    ranked = sorted(by_reason.items(), key=lambda item: -item[1].total())
    parts = [_reason_line(reason, details) for reason, details in ranked[:_MOST_REASONS]]
    n_more = sum(details.total() for _, details in ranked[_MOST_REASONS:])
    return "; ".join([*parts, *([f"for other reasons ({n_more})"] if n_more else [])])


def _reason_line(reason: str, details: Counter[str]) -> str:
    count = f"{reason} ({details.total()})"
    if len(details) == 1:
        return f"{count}: {detail}" if (detail := next(iter(details))) else count
    shown = [f"{detail or 'no detail'} ({n_calls})" for detail, n_calls in details.most_common(_MOST_DETAILS)]
    n_more = details.total() - sum(n_calls for _, n_calls in details.most_common(_MOST_DETAILS))
    return f"{count}: {', '.join([*shown, *([f'others ({n_more})'] if n_more else [])])}"
