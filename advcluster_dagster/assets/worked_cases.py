"""The step that picks one worked case per cluster (as in paper figure 1)."""

import numpy as np
import polars as pl

from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.pipeline.declare import table_step
from advcluster_dagster.pipeline.step import Step
from advcluster_dagster.science.semantic_clustering.corpus import stack_vectors
from advcluster_dagster.science.semantic_clustering.worked_cases import nearest_members
from advcluster_dagster.science.semantic_clustering.worked_cases import worked_cases as with_excerpts

_QUESTION = ["domain", "question_id"]


@table_step("semantic_clustering", kinds=("polars",))
def worked_cases(
    step: Step,
    taxonomy_assignments: pl.DataFrame,
    advantage_corpus: pl.DataFrame,
    evidence_checks: pl.DataFrame,
    advantage_embeddings: pl.DataFrame,
    trace_pairs: pl.DataFrame,
    first_errors: pl.DataFrame,
    benchmark_questions: pl.DataFrame,
    larger_traces: pl.LazyFrame,
    smaller_traces: pl.LazyFrame,
) -> pl.DataFrame:
    """Of each cluster, the member nearest to its centre whose quotes occur in both traces, with excerpts of them."""
    if taxonomy_assignments.is_empty():
        return pl.DataFrame(schema=TABLES["worked_cases"].own_schema)
    both = (pl.col("is_in_larger") & pl.col("is_in_smaller")).fill_null(False)
    members = (
        taxonomy_assignments.select("advantage_id", "cluster_id")
        .join(advantage_embeddings.select("advantage_id", "embedding"), on="advantage_id", maintain_order="left")
        .join(evidence_checks.select("advantage_id", is_eligible=both), on="advantage_id", maintain_order="left")
    )
    chosen = nearest_members(members, stack_vectors(members["embedding"]).astype(np.float64))
    cases = (
        chosen.join(advantage_corpus, on="advantage_id", maintain_order="left")
        .join(trace_pairs.drop(*_QUESTION, "family", strict=False), on="pair_id", maintain_order="left")
        .join(first_errors.select("pair_id", "stage"), on="pair_id", how="left", maintain_order="left")
        .join(benchmark_questions.select(*_QUESTION, "question"), on=_QUESTION, maintain_order="left")
    )
    for role, traces in (("larger", larger_traces), ("smaller", smaller_traces)):
        keys = [*_QUESTION, f"{role}_trial"]
        columns = {keys[-1]: "trial", f"{role}_response": "response"}
        responses = traces.select(*_QUESTION, **{new: pl.col(old) for new, old in columns.items()})
        needed = responses.join(cases.lazy().select(keys).unique(), on=keys, how="semi").collect()
        cases = cases.join(needed, on=keys, how="left", maintain_order="left")
    return with_excerpts(cases)


STEPS = (worked_cases,)
