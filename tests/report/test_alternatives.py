"""Text alternatives of figures, from the tables they are drawn from."""

import polars as pl

from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.report.alternatives import alternative_texts
from advcluster_dagster.report.data import ReportData
from advcluster_dagster.study.study import Study

STUDY = Study.model_validate(
    {
        "study": "s",
        "families": {"f": {role: {"model": role, "provider": "imported"} for role in ("larger", "smaller")}},
        "domains": {"math": ["a"], "law": ["b"]},
    }
)


def data_of(**tables: list[dict[str, object]]) -> ReportData:
    frames = {}
    for name, rows in tables.items():
        schema = TABLES[name].schema
        full = [{column: row.get(column) for column in schema} | {"family": "f"} for row in rows]
        frames[name] = pl.DataFrame(full, schema=schema)
    return ReportData(STUDY, frames)


def test_each_figure_says_what_it_shows() -> None:
    data = data_of(
        accuracy_summary=[
            {"level": "domain", "domain": domain, "role": role, "mean_accuracy": mean}
            for domain, role, mean in (("math", "larger", 80.0), ("math", "smaller", 50.0), ("law", "larger", 60.0))
        ],
        pass_rate_table=[{"domain": "math", "question_id": str(n)} for n in range(5)],
        analysis_question_set=[{"domain": "math", "question_id": "1"}],
        final_taxonomy=[
            {"cluster_id": 0, "tag": "Checking Sums", "pca_dim": 4, "n_clusters": 2},
            {"cluster_id": 1, "tag": None, "pca_dim": 4, "n_clusters": 2},
        ],
        candidate_clusterings=[
            {"pca_dim": 4, "n_clusters": 2, "davies_bouldin": 0.9, "silhouette": 0.25},
            {"pca_dim": 8, "n_clusters": 2, "davies_bouldin": 1.4, "silhouette": 0.11},
        ],
        domain_distribution=[
            {"cluster_id": 0, "domain": "math", "row_share": 0.75},
            {"cluster_id": 0, "domain": "law", "row_share": 0.25},
            {"cluster_id": 1, "domain": "math", "row_share": 0.4},
            {"cluster_id": 1, "domain": "law", "row_share": 0.6},
        ],
        # The median of 1, 2 and 4 is 2; the question whose EDI is above 0.5 is not in the figure.
        error_dispersion=[
            {"domain": "math", "question_id": str(n), "edi": edi, "mean_depth": depth}
            for n, (edi, depth) in enumerate(((0.0, 1.0), (0.1, 2.0), (0.2, 4.0), (0.9, 5.0)))
        ],
    )
    assert alternative_texts(data, "f") == {
        "accuracy": "Bars of both models' accuracies by domain; the larger against the smaller: math 80.0 against 50.0 "
        "%, law 60.0 against \u2014 %.",
        "pass_rates": "Scatter of both models' pass rates over 5 questions: in 1 the larger model is ahead by at least "
        "0.6.",
        "sweep": "Davies-Bouldin index and silhouette over the number of clusters, one line per PCA dimension. "
        "The chosen d' = 4, K = 2 has an index of 0.90 and a silhouette of 0.25.",
        "heatmap": "Heatmap of the shares of each cluster by domain; the largest share of each: Checking Sums 75 % in "
        "math, cluster 1 60 % in law.",
        "depths": "Violins of the questions' mean first-error depth by domain; medians of 1 to 5: math 2.0.",
    }


def test_a_family_without_anything_is_described_without_numbers() -> None:
    texts = alternative_texts(data_of(), "f")
    assert texts["heatmap"] == "Heatmap of the shares of each cluster by domain."
    assert texts["accuracy"] == "Bars of both models' accuracies by domain."
    assert "over 0 questions: in 0 the larger" in texts["pass_rates"]
