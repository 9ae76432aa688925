"""Measure how well the analysis recovers the planted skills and stages."""

from collections.abc import Mapping

import polars as pl

from advcluster_dagster.demo.simulation.profiles import profile_name
from advcluster_dagster.demo.simulation.questions import answerable_benchmarks
from advcluster_dagster.demo.simulation.trials import planted_slips
from advcluster_dagster.study.study import Study

Row = tuple[str, float | None, int, float | None, int]


def measure_recovery(study: Study, family: str, tables: Mapping[str, pl.DataFrame]) -> Row:
    """Agreement of taxonomy and first errors with the planted skills and stages.

    Args:
        study: A study whose smaller model of this family is simulated.
        family: Name of the family.
        tables: ``taxonomy_assignments``, ``advantage_corpus``, ``trace_pairs``, ``first_errors``, with partition
            columns.

    Returns:
        family; adjusted Rand index between cluster and planted skill over the kept advantages, in [-1, 1], None
        without a taxonomy; number of advantages compared; share of first errors with the planted stage, None without
        pairs; number of pairs compared. Advantages and pairs whose smaller trial has no planted slip are excluded.
    """
    # scikit-learn is slow to import, and only simulated studies are measured.
    from sklearn.metrics import adjusted_rand_score

    smaller = study.families[family].smaller
    model = profile_name(smaller.model, smaller.sampling)
    pairs = [
        planted_slips(model, benchmark, domain, study.seed, study.trials)
        for domain, names in answerable_benchmarks(study).items()
        for benchmark in names
    ]
    if not pairs:
        return family, None, 0, None, 0
    planted = pl.concat(pairs)
    frames = {name: frame.filter(family=family) for name, frame in tables.items() if "family" in frame.columns}
    slips = planted.select("question_id", "skill", smaller_trial="trial", planted_stage="stage")
    truth = frames["trace_pairs"].join(slips, on=["question_id", "smaller_trial"])
    truth = truth.select("pair_id", "skill", "planted_stage")
    pair_of = frames["advantage_corpus"].select("advantage_id", "pair_id")
    clustered = frames["taxonomy_assignments"].join(pair_of, on="advantage_id").join(truth, on="pair_id")
    errors = frames["first_errors"].join(truth, on="pair_id")
    index = float(adjusted_rand_score(clustered["skill"], clustered["cluster_id"])) if clustered.height else None
    accuracy = (errors["stage"] == errors["planted_stage"]).mean() if errors.height else None
    return family, index, clustered.height, None if accuracy is None else float(str(accuracy)), errors.height
