import polars as pl
import pytest

from advcluster_dagster.contracts.registry import TABLES

TRACES = (
    "question_id trial benchmark model response finish_reason prompt_tokens completion_tokens engine sampling "
    "recorded_correct"
)

#: Table, partition level, key, columns without the partition columns: the names people query by.
PUBLISHED_NAMES = {
    "benchmark_questions": (
        "domain",
        "question_id",
        "question_id benchmark question prompt answer answer_type answer_context source source_revision",
    ),
    "larger_traces": ("family_domain", "question_id trial", TRACES),
    "smaller_traces": ("family_domain", "question_id trial", TRACES),
    "graded_trials": (
        "family_domain",
        "question_id role trial",
        "question_id role trial benchmark model prediction verdict is_correct grader grader_version",
    ),
    "grading_panel": (
        "family_domain",
        "question_id prediction",
        "question_id prediction answer symbolic_verdict n_votes n_same is_same",
    ),
    "grading_disagreements": (
        "family_domain",
        "question_id role trial",
        "question_id role trial answer prediction recorded_correct is_correct verdict",
    ),
    "pass_rate_table": (
        "family_domain",
        "question_id",
        "question_id benchmark larger_n_trials larger_n_scored larger_n_correct larger_pass_rate smaller_n_trials "
        "smaller_n_scored smaller_n_correct smaller_pass_rate pass_rate_gap",
    ),
    "benchmark_accuracy": (
        "family_domain",
        "benchmark role",
        "benchmark role model n_questions n_trials mean_accuracy std_accuracy",
    ),
    "accuracy_summary": ("family", "level domain role", "level domain role mean_accuracy std_accuracy"),
    "analysis_question_set": (
        "family_domain",
        "question_id",
        "question_id benchmark larger_pass_rate smaller_pass_rate pass_rate_gap n_more_correct",
    ),
    "trace_pairs": ("family_domain", "pair_id", "pair_id question_id pair_index larger_trial smaller_trial"),
    "advantage_corpus": (
        "family_domain",
        "advantage_id",
        "advantage_id pair_id question_id position advantage evidence rule_violations extractor prompt_hash",
    ),
    "first_errors": ("family_domain", "pair_id", "pair_id question_id stage depth description"),
    "extraction_failures": ("family_domain", "pair_id", "pair_id reason detail raw_reply"),
    "advantage_embeddings": ("family_domain", "advantage_id", "advantage_id embedding embedder"),
    "deduplicated_advantages": ("family_domain", "advantage_id", "advantage_id is_kept duplicate_of similarity"),
    "candidate_clusterings": (
        "family",
        "pca_dim n_clusters",
        "pca_dim n_clusters davies_bouldin silhouette explained_variance is_retained",
    ),
    "cluster_assignments": (
        "family",
        "pca_dim n_clusters advantage_id",
        "pca_dim n_clusters advantage_id cluster_id",
    ),
    "cluster_summaries": (
        "family",
        "pca_dim n_clusters cluster_id",
        "pca_dim n_clusters cluster_id size tag definition shown_ids",
    ),
    "candidate_reviews": (
        "family",
        "pca_dim n_clusters review",
        "pca_dim n_clusters review distinctness granularity interpretability balance resolution total",
    ),
    "final_taxonomy": (
        "family",
        "cluster_id",
        "cluster_id tag definition size pca_dim n_clusters kind main_domain domain_entropy",
    ),
    "taxonomy_assignments": ("family", "advantage_id", "advantage_id domain cluster_id"),
    "domain_distribution": ("family", "cluster_id domain", "cluster_id domain n_advantages row_share column_share"),
    "coverage_assignments": ("family", "advantage_id", "advantage_id domain cluster_id distance is_outside"),
    "taxonomy_coverage": (
        "family",
        "cluster_id",
        "taxonomy cluster_id tag n_training n_new n_outside outside_share reach",
    ),
    "taxonomy_changes": (
        "family",
        "change_index",
        "change_index change old_cluster_id old_tag new_cluster_id new_tag centre_distance n_shared old_share "
        "new_share",
    ),
    "error_dispersion": (
        "family_domain",
        "question_id",
        "question_id n_errors n_depth_1 n_depth_2 n_depth_3 n_depth_4 n_depth_5 entropy max_entropy edi mean_depth",
    ),
    "edi_summary": ("family_domain", "model", "model n_questions n_undefined mean_edi std_edi"),
}


def test_tables_are_the_published_ones():
    assert set(TABLES) == set(PUBLISHED_NAMES)


@pytest.mark.parametrize("name", PUBLISHED_NAMES)
def test_names_are_the_published_ones(name):
    level, key, columns = PUBLISHED_NAMES[name]
    table = TABLES[name]
    assert table.name == name
    assert table.level == level
    assert table.key == tuple(key.split())
    assert sorted(column.name for column in table.columns) == sorted(columns.split())


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_declarations_are_sound(table):
    names = [column.name for column in table.all_columns]
    assert len(names) == len(set(names))
    required = {column.name for column in table.all_columns if not column.is_nullable}
    assert {*table.key, *table.partition_columns} <= required
    assert table.key
    for text in (table.description, *(column.description for column in table.all_columns)):
        assert text.strip().endswith(".")


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_tables_without_rows_keep_their_contract(table):
    partition = dict.fromkeys(table.partition_columns, "x")
    table.check(table.conform(table.empty().lazy(), partition), partition)


def test_a_name_has_one_type_everywhere():
    types: dict[str, set[pl.DataType]] = {}
    for table in TABLES.values():
        for name, dtype in table.schema.items():
            types.setdefault(name, set()).add(dtype)
    assert {name: dtypes for name, dtypes in types.items() if len(dtypes) > 1} == {}


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_names_tell_their_kind(table):
    for column in table.all_columns:
        if column.name.startswith("n_"):
            assert column.dtype == pl.Int64
            assert column.minimum is not None
        if column.name.startswith(("is_", "has_")):
            assert column.dtype == pl.Boolean
        if column.name.endswith(("_rate", "_share")):
            assert column.dtype == pl.Float64
            assert (column.minimum, column.maximum) == (0, 1)
