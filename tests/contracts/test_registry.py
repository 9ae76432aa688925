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
        "question_id benchmark question prompt answer answer_type answer_context source source_revision source_key",
    ),
    "larger_traces": ("family_domain", "question_id trial", TRACES),
    "smaller_traces": ("family_domain", "question_id trial", TRACES),
    "graded_trials": (
        "family_domain",
        "question_id role trial",
        "question_id benchmark role trial model prediction verdict is_correct grader grader_version",
    ),
    "grading_panel": (
        "family_domain",
        "question_id prediction",
        "question_id prediction answer symbolic_verdict n_votes n_same is_same",
    ),
    "panel_votes": (
        "family_domain",
        "question_id prediction judge",
        "question_id prediction judge is_same",
    ),
    "panel_agreements": (
        "family_domain",
        "judge_a judge_b",
        "judge_a judge_b n_pairs share kappa absolute_error",
    ),
    "grading_disagreements": (
        "family_domain",
        "question_id role trial",
        "question_id role trial answer prediction recorded_correct is_correct verdict",
    ),
    "pass_rate_table": (
        "family_domain",
        "question_id",
        "question_id benchmark larger_n_trials larger_n_scored larger_n_correct larger_pass_rate "
        "smaller_n_trials smaller_n_scored smaller_n_correct smaller_pass_rate pass_rate_gap",
    ),
    "benchmark_accuracy": (
        "family_domain",
        "benchmark role",
        "benchmark role model n_questions n_trials mean_accuracy std_accuracy",
    ),
    "accuracy_summary": (
        "family",
        "level domain role",
        "level domain role mean_accuracy std_accuracy",
    ),
    "analysis_question_set": (
        "family_domain",
        "question_id",
        "question_id benchmark larger_pass_rate smaller_pass_rate pass_rate_gap n_more_correct",
    ),
    "question_statistics": (
        "family_domain",
        "question_id",
        "question_id benchmark source_key is_selected larger_low larger_high smaller_low "
        "smaller_high gap_mean gap_low gap_high gap_positive_probability gap_reached_probability "
        "half_gap_probability p_value larger_variation smaller_variation",
    ),
    "pass_at_k_rates": (
        "family_domain",
        "benchmark role k",
        "benchmark role k mean low high n_questions reaches_larger",
    ),
    "majority_votes": (
        "family_domain",
        "benchmark role k",
        "benchmark role k mean low high n_questions tie_share hard_solved_share easy_broken_share",
    ),
    "gap_tests": (
        "family",
        "domain question_id",
        "domain question_id p_value q_value is_discovery",
    ),
    "selection_reliabilities": (
        "family",
        "domain",
        "domain n_pool n_kept observed_gap estimated_gap false_keep_share half_false_keep_share "
        "no_gap_share expected_missed n_discoveries",
    ),
    "paired_accuracies": (
        "family",
        "level domain benchmark task_format",
        "level domain benchmark task_format n_questions n_keys larger_mean smaller_mean "
        "difference standard_error difference_low difference_high p_value larger_low larger_high "
        "smaller_low smaller_high correlation n_larger_better n_ties n_smaller_better "
        "trial_variance_share detectable_difference",
    ),
    "split_half_gaps": (
        "family",
        "domain",
        "domain n_questions n_keys expected_selected selected_gap replicated_gap replicated_low replicated_high",
    ),
    "trace_pairs": (
        "family_domain",
        "pair_id",
        "pair_id question_id pair_index larger_trial smaller_trial smaller_verdict",
    ),
    "advantage_corpus": (
        "family_domain",
        "advantage_id",
        "advantage_id pair_id question_id position advantage evidence larger_quote smaller_quote "
        "rule_violations extractor prompt_hash",
    ),
    "first_errors": (
        "family_domain",
        "pair_id",
        "pair_id question_id stage depth description quote",
    ),
    "extraction_failures": (
        "family_domain",
        "pair_id",
        "pair_id reason detail raw_reply",
    ),
    "evidence_checks": (
        "family_domain",
        "advantage_id",
        "advantage_id n_quotes is_in_larger is_in_smaller is_supported failure_position",
    ),
    "advantage_embeddings": (
        "family_domain",
        "advantage_id",
        "advantage_id embedding embedder",
    ),
    "deduplicated_advantages": (
        "family_domain",
        "advantage_id",
        "advantage_id is_kept duplicate_of similarity",
    ),
    "candidate_clusterings": (
        "family",
        "pca_dim n_clusters",
        "pca_dim n_clusters davies_bouldin silhouette explained_variance is_retained inertia "
        "multistart_ari index_null_mean index_z",
    ),
    "cluster_assignments": (
        "family",
        "pca_dim n_clusters advantage_id",
        "pca_dim n_clusters advantage_id cluster_id",
    ),
    "candidate_stabilities": (
        "family",
        "pca_dim n_clusters kind",
        "pca_dim n_clusters kind n_replicates ari_mean ari_std ari_low ari_high out_ari_mean",
    ),
    "cluster_stabilities": (
        "family",
        "pca_dim n_clusters cluster_id",
        "pca_dim n_clusters cluster_id mean_jaccard jaccard_low recovered_share n_questions "
        "n_keys top_question_share verdict",
    ),
    "choice_stabilities": (
        "family",
        "pca_dim n_clusters",
        "pca_dim n_clusters n_replicates retained_share best_index_share",
    ),
    "cluster_summaries": (
        "family",
        "pca_dim n_clusters cluster_id",
        "pca_dim n_clusters cluster_id size tag definition shown_ids other_ids",
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
    "taxonomy_assignments": (
        "family",
        "advantage_id",
        "advantage_id domain cluster_id",
    ),
    "domain_distribution": (
        "family",
        "cluster_id domain",
        "cluster_id domain n_advantages row_share column_share",
    ),
    "domain_shares": (
        "family",
        "cluster_id domain",
        "cluster_id domain n_advantages n_questions expected_share lift standard_share "
        "standard_low standard_high p_value q_value",
    ),
    "coverage_assignments": (
        "family",
        "advantage_id",
        "advantage_id domain cluster_id distance is_outside",
    ),
    "taxonomy_coverage": (
        "family",
        "cluster_id",
        "taxonomy cluster_id tag n_training n_new n_outside outside_share reach",
    ),
    "taxonomy_changes": (
        "family",
        "change_index",
        "change_index change old_cluster_id old_tag new_cluster_id new_tag centre_distance "
        "n_shared old_share new_share",
    ),
    "error_dispersion": (
        "family_domain",
        "question_id",
        "question_id n_errors n_depth_1 n_depth_2 n_depth_3 n_depth_4 n_depth_5 entropy "
        "max_entropy edi mean_depth n_pairs_same concentration",
    ),
    "edi_summary": (
        "family_domain",
        "model",
        "model n_questions n_undefined mean_edi std_edi",
    ),
    "dispersion_tests": (
        "family",
        "domain",
        "domain n_questions n_left_out n_min n_max mean_edi edi_low edi_high null_mean_edi "
        "null_low null_high p_value ratio within_agreement between_agreement kappa kappa_low "
        "kappa_high mutual_information information_p_value n_errors",
    ),
    "stage_shares": (
        "family",
        "domain stage",
        "domain stage n_errors n_questions pair_share question_share low high lead lead_low lead_high",
    ),
    "themes": (
        "study",
        "theme_id",
        "theme_id name definition n_clusters n_advantages agreement",
    ),
    "theme_members": (
        "study",
        "family cluster_id",
        "family cluster_id theme_id support",
    ),
    "theme_tests": (
        "study",
        "theme family domain basis",
        "theme family domain basis n_advantages n_belonging share low high n_keys",
    ),
    "shared_patterns": (
        "study",
        "pattern_id",
        "pattern_id members name similarity is_in_all has_several_of_one",
    ),
    "pattern_matches": (
        "study",
        "family_a cluster_a family_b cluster_b",
        "family_a cluster_a family_b cluster_b centroid_cosine definition_cosine member_share_ab "
        "member_share_ba similarity is_match",
    ),
    "published_matches": (
        "study",
        "family cluster_id",
        "family cluster_id published_family published_cluster published_tag similarity null_similarity is_match",
    ),
    "worked_cases": (
        "family",
        "cluster_id",
        "cluster_id advantage_id domain question_id question stage larger_excerpt larger_start larger_end "
        "smaller_excerpt smaller_start smaller_end",
    ),
    "name_checks": (
        "family",
        "check cluster_id",
        "check cluster_id n_advantages n_right share chance_share kappa is_unseen",
    ),
    "sensitivities": (
        "family",
        "setting value",
        "setting value n_questions n_descriptions ari",
    ),
    "trace_costs": (
        "family_domain",
        "question_id role trial",
        "question_id benchmark role trial prompt_tokens completion_tokens flops flops_published cost "
        "is_estimated "
        "is_truncated is_correct",
    ),
    "compute_summaries": (
        "family",
        "domain benchmark task_format role",
        "domain benchmark task_format role n_questions n_unpaired n_keys n_trials n_scored "
        "n_without_tokens accuracy accuracy_truncated_dropped accuracy_truncated_right tokens_mean "
        "tokens_correct tokens_wrong flops_mean cost_mean truncated_share token_factor gain "
        "length_effect length_effect_low length_effect_high n_length_questions length_effect_finished "
        "length_effect_finished_low length_effect_finished_high n_finished_questions",
    ),
    "budget_curves": (
        "family",
        "domain role strategy k token_limit",
        "domain role strategy k token_limit length_percentile n_questions n_keys n_without_tokens "
        "accuracy low high flops tokens cost is_efficient is_efficient_tokens is_efficient_unaided "
        "is_efficient_unaided_tokens",
    ),
    "budget_matches": (
        "family",
        "domain strategy",
        "domain strategy outcome k largest_k larger_accuracy larger_low larger_high smaller_accuracy "
        "flops_ratio tokens_ratio cost_ratio",
    ),
    "trace_ratings": (
        "family_domain",
        "question_id role trial dimension generation",
        "question_id role trial dimension generation score justification deductions is_truncated",
    ),
    "trace_qualities": (
        "family_domain",
        "question_id role trial dimension",
        "question_id role trial dimension mean_score sd n_generations",
    ),
    "quality_deltas": (
        "family_domain",
        "pair_id dimension",
        "pair_id dimension question_id source_key larger_score smaller_score delta",
    ),
    "delta_summaries": (
        "family",
        "domain dimension",
        "domain dimension n_pairs n_unrated n_questions n_keys mean_delta low high share_positive "
        "gap_correlation reliability verdict_correlation n_mixed length_correlation",
    ),
    "delta_overlaps": (
        "family",
        "dimension_a dimension_b k",
        "dimension_a dimension_b k n_pairs n_shared overlap_share chance_share n_tied",
    ),
    "rating_calibrations": (
        "family",
        "check dimension",
        "check dimension estimate low high n n_keys threshold is_passed",
    ),
    "preference_pairs": (
        "family",
        "preference_id",
        "preference_id question_id source_key benchmark domain scheme combination chosen_role "
        "chosen_trial rejected_role rejected_trial pair_id delta delta_factuality delta_strategy "
        "delta_step_coherence delta_computational_precision delta_signal_to_noise clusters "
        "first_error_stage chosen_tokens rejected_tokens is_exported reason_left_out",
    ),
    "preference_selections": (
        "family",
        "selection preference_id",
        "selection preference_id domain rank",
    ),
    "held_out_matches": (
        "family",
        "question_id held_out_id",
        "question_id held_out_id relation how",
    ),
}


def test_tables_are_the_published_ones():
    assert set(TABLES) == set(PUBLISHED_NAMES), "name the table, its level, key and columns in PUBLISHED_NAMES above"


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
