"""AdvCluster on Dagster: where a larger language model beats its smaller sibling, why, and what fails first.

Two logs in, findings out:

    >>> from advcluster_dagster import compare
    >>> print(compare("logs/large", "logs/small"))  # doctest: +SKIP

A study that was run before, with all its tables:

    >>> from advcluster_dagster import open_study
    >>> open_study("demo").table("paired_accuracies")  # doctest: +SKIP
"""

import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from advcluster_dagster.api.comparison import CompareError, Comparison, compare
    from advcluster_dagster.api.evidence import Cluster, Pair
    from advcluster_dagster.api.studies import RunFailedError, Study, open_study
    from advcluster_dagster.errors import AdvClusterError

__all__ = [
    "AdvClusterError",
    "Cluster",
    "CompareError",
    "Comparison",
    "Pair",
    "RunFailedError",
    "Study",
    "compare",
    "open_study",
]

#: Where each public name is; loaded when it is first used, so that ``advcluster --help`` waits for nothing.
_MODULES = {
    "AdvClusterError": "errors",
    "Cluster": "api.evidence",
    "CompareError": "api.comparison",
    "Comparison": "api.comparison",
    "Pair": "api.evidence",
    "RunFailedError": "api.studies",
    "Study": "api.studies",
    "compare": "api.comparison",
    "open_study": "api.studies",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__


# Dagster calls its handlers of logs beta, and says so in every process that executes a step; we use them knowingly.
warnings.filterwarnings("ignore", "Handling yaml-defined logging")
