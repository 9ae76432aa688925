"""AdvCluster on Dagster: where and why a larger language model outperforms its smaller sibling, and what fails first.

Compare two logs:

    >>> from advcluster_dagster import compare
    >>> print(compare("logs/large", "logs/small"))  # doctest: +SKIP

Open the tables of a completed study:

    >>> from advcluster_dagster import open_study
    >>> open_study("demo").table("paired_accuracies")  # doctest: +SKIP
"""

import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from advcluster_dagster.api.comparison import Comparison, compare
    from advcluster_dagster.api.comparison_study import CompareError
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

#: Module of each public name; imported on first use, to keep ``advcluster --help`` fast.
_MODULES = {
    "AdvClusterError": "errors",
    "Cluster": "api.evidence",
    "CompareError": "api.comparison_study",
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


# Dagster warns in every step process that its log handlers are beta; we accept that.
warnings.filterwarnings("ignore", "Handling yaml-defined logging")
