"""Each model on small inputs with results computed by hand."""

import math

import polars as pl
import pytest

from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.storage.column_lineage import column_lineage
from advcluster_dagster.storage.home import shipped
from advcluster_dagster.storage.sql_models import schema_yml, sql_models

MODELS = sql_models()
PLACE = {"family": "f", "domain": "math"}


def graded(outcomes, role="larger", benchmark="b", place=PLACE):
    """Rows of ``graded_trials`` from the trials per question as text: 1 correct, 0 wrong, - not graded."""
    verdicts = {"1": True, "0": False, "-": None}
    return [
        {**place, "question_id": question, "benchmark": benchmark, "role": role, "trial": trial, "model": f"m-{role}",
         "is_correct": verdicts[mark]}
        for question, marks in outcomes.items()
        for trial, mark in enumerate(marks)
    ]  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_without_rows_there_are_no_rows_and_the_contracts_columns(run, name):
    rows = run(MODELS[name])
    assert rows.is_empty()
    assert TABLES[name].conform(rows.lazy(), {}).collect().schema == TABLES[name].schema


def test_every_model_is_a_table_of_the_contracts():
    assert set(MODELS) <= set(TABLES)


@pytest.mark.parametrize("name", MODELS)
def test_every_model_says_what_it_is(name):
    assert MODELS[name].description.endswith(".")


@pytest.mark.parametrize("stage", sorted(path.name for path in (shipped("dbt_like_sql") / "models").iterdir()))
def test_schema_files_are_those_of_the_contracts(stage):
    path = shipped("dbt_like_sql") / "models" / stage / "schema.yml"
    assert path.read_text(encoding="utf-8") == schema_yml(stage)


# pass_rate_table


def pass_rates(run, larger, smaller):
    rows = [*graded(larger, "larger"), *graded(smaller, "smaller")]
    table = run(MODELS["pass_rate_table"], graded_trials=rows)
    TABLES["pass_rate_table"].check(TABLES["pass_rate_table"].conform(table.lazy(), {}))
    return {row["question_id"]: row for row in table.to_dicts()}


def test_pass_rates_and_their_gap(run):
    # q: larger 3 of 4, smaller 1 of 4: 0.75 - 0.25 = 0.5. r: smaller is better: 0 - 1 = -1.
    rates = pass_rates(run, {"q": "1101", "r": "00"}, {"q": "0100", "r": "11"})
    assert rates["q"] == {
        **PLACE, "question_id": "q", "benchmark": "b",
        "larger_n_trials": 4, "larger_n_scored": 4, "larger_n_correct": 3, "larger_pass_rate": 0.75,
        "smaller_n_trials": 4, "smaller_n_scored": 4, "smaller_n_correct": 1, "smaller_pass_rate": 0.25,
        "pass_rate_gap": 0.5,
    }  # fmt: skip
    assert rates["r"]["pass_rate_gap"] == -1


def test_trials_that_could_not_be_graded_count_in_no_rate(run):
    # Larger: 4 trials, 3 scored, 2 correct: 2/3. Smaller: 1 of 2: 1/2. Gap 2/3 - 1/2 = 1/6.
    row = pass_rates(run, {"q": "1-10"}, {"q": "01"})["q"]
    assert (row["larger_n_trials"], row["larger_n_scored"], row["larger_n_correct"]) == (4, 3, 2)
    assert row["larger_pass_rate"] == pytest.approx(2 / 3)
    assert row["pass_rate_gap"] == pytest.approx(1 / 6)


@pytest.mark.parametrize(("larger", "smaller"), [("--", "10"), ("10", "--"), ("--", "--")])
def test_a_rate_over_nothing_scored_is_null_and_so_is_the_gap(run, larger, smaller):
    row = pass_rates(run, {"q": larger}, {"q": smaller})["q"]
    assert row["larger_pass_rate"] == (None if larger == "--" else 0.5)
    assert row["smaller_pass_rate"] == (None if smaller == "--" else 0.5)
    assert row["pass_rate_gap"] is None


def test_a_question_of_one_model_only_has_no_gap(run):
    rates = pass_rates(run, {"q": "11"}, {"r": "1"})
    assert (rates["q"]["smaller_n_trials"], rates["q"]["smaller_pass_rate"]) == (0, None)
    assert (rates["r"]["larger_n_trials"], rates["r"]["larger_pass_rate"]) == (0, None)
    assert rates["q"]["pass_rate_gap"] is None


# benchmark_accuracy


def accuracies(run, rows):
    table = run(MODELS["benchmark_accuracy"], graded_trials=rows)
    TABLES["benchmark_accuracy"].check(TABLES["benchmark_accuracy"].conform(table.lazy(), {}))
    return {(row["benchmark"], row["role"]): row for row in table.to_dicts()}


def test_mean_and_sample_deviation_over_trials(run):
    # Trial 0 answers q and r correctly: 100 %. Trial 1 only q: 50 %. Trial 2 neither: 0 %.
    # Mean 50; squared deviations 2500 + 0 + 2500, over n - 1 = 2: variance 2500, deviation 50.
    row = accuracies(run, graded({"q": "110", "r": "100"}))["b", "larger"]
    assert row == {
        **PLACE, "benchmark": "b", "role": "larger", "model": "m-larger",
        "n_questions": 2, "n_trials": 3, "mean_accuracy": 50, "std_accuracy": 50,
    }  # fmt: skip


def test_a_trial_is_measured_over_its_scored_questions(run):
    # Trial 0: q correct, r not graded: 1 of 1 = 100 %. Trial 1: q wrong, r correct: 50 %. Mean 75, deviation
    # sqrt((25^2 + 25^2) / 1) = 35.36. Question s has no scored trial and is not counted.
    row = accuracies(run, graded({"q": "10", "r": "-1", "s": "--"}))["b", "larger"]
    assert (row["n_questions"], row["n_trials"]) == (2, 2)
    assert row["mean_accuracy"] == 75
    assert row["std_accuracy"] == pytest.approx(math.sqrt(1250))


def test_a_trial_without_scored_questions_is_no_trial(run):
    # Trial 1 has no scored question: one trial of 100 % remains, without a deviation.
    row = accuracies(run, graded({"q": "1-", "r": "1-"}))["b", "larger"]
    assert (row["n_trials"], row["mean_accuracy"], row["std_accuracy"]) == (1, 100, None)


def test_one_trial_has_no_deviation_and_none_scored_no_mean(run):
    by_role = accuracies(run, [*graded({"q": "1", "r": "0"}), *graded({"q": "--"}, "smaller")])
    assert (by_role["b", "larger"]["mean_accuracy"], by_role["b", "larger"]["std_accuracy"]) == (50, None)
    smaller = by_role["b", "smaller"]
    assert (smaller["n_questions"], smaller["n_trials"]) == (0, 0)
    assert (smaller["mean_accuracy"], smaller["std_accuracy"]) == (None, None)


def test_equal_trials_deviate_by_zero(run):
    assert accuracies(run, graded({"q": "111", "r": "000"}))["b", "larger"]["std_accuracy"] == 0


def test_benchmarks_and_roles_are_kept_apart(run):
    rows = [
        *graded({"q": "11"}),
        *graded({"r": "00"}, benchmark="c"),
        *graded({"q": "10"}, "smaller"),
        *graded({"r": "11"}, "smaller", benchmark="c"),
    ]
    means = {key: row["mean_accuracy"] for key, row in accuracies(run, rows).items()}
    assert means == {("b", "larger"): 100, ("c", "larger"): 0, ("b", "smaller"): 50, ("c", "smaller"): 100}


# accuracy_summary

#: The paper's rows of the domains and of the family, percent, mean and deviation (tables 5 to 8).
PAPER = {
    "Qwen3-8B": ([(64.33, 2.47), (55.55, 16.17), (62.17, 2.14), (55.34, 0.57)], (59.35, 5.34)),
    "Qwen3-32B": ([(68.43, 1.53), (62.93, 16.64), (73.15, 1.68), (58.61, 0.66)], (65.78, 5.13)),
    "GPT-OSS-20B": ([(62.12, 2.94), (62.89, 2.09), (50.61, 2.72), (62.43, 0.66)], (59.51, 2.10)),
    "GPT-OSS-120B": ([(71.16, 1.48), (64.66, 2.11), (67.99, 2.71), (63.74, 0.63)], (66.89, 1.73)),
}


@pytest.mark.parametrize("model", PAPER)
def test_the_papers_domains_give_its_family_rows(run, model):
    # Qwen3-8B: (64.33 + 55.55 + 62.17 + 55.34) / 4 = 237.39 / 4 = 59.3475; the other rows likewise. The inputs are
    # rounded to 2 decimals, so a half may round either way.
    domains, (mean, deviation) = PAPER[model]
    rows = [
        {"family": "f", "domain": f"d{i}", "benchmark": "b", "role": "smaller", "mean_accuracy": m, "std_accuracy": s}
        for i, (m, s) in enumerate(domains)
    ]
    summary_rows = run(MODELS["accuracy_summary"], benchmark_accuracy=rows)
    (family,) = summary_rows.filter(level="family").to_dicts()
    assert (family["domain"], family["role"]) == ("all", "smaller")
    assert family["mean_accuracy"] == pytest.approx(mean, abs=0.0051)
    assert family["std_accuracy"] == pytest.approx(deviation, abs=0.0051)
    assert summary_rows.filter(level="domain").select("mean_accuracy", "std_accuracy").rows() == domains


def test_a_domain_is_the_plain_mean_of_its_benchmarks(run):
    # Means 80 and 60 give 70, whatever the numbers of questions; deviations 4 and null give 4. Family: (70 + 30) / 2.
    rows = [
        {**PLACE, "benchmark": "b", "role": "larger", "n_questions": 1, "mean_accuracy": 80.0, "std_accuracy": 4.0},
        {**PLACE, "benchmark": "c", "role": "larger", "n_questions": 99, "mean_accuracy": 60.0, "std_accuracy": None},
        {"family": "f", "domain": "law", "benchmark": "e", "role": "larger", "mean_accuracy": 30.0},
        {"family": "f", "domain": "law", "benchmark": "e", "role": "smaller"},
    ]
    summary_rows = run(MODELS["accuracy_summary"], benchmark_accuracy=rows)
    assert summary_rows.select("level", "domain", "role", "mean_accuracy", "std_accuracy").rows() == [
        ("domain", "law", "larger", 30, None),
        ("domain", "law", "smaller", None, None),
        ("domain", "math", "larger", 70, 4),
        ("family", "all", "larger", 50, 4),
        ("family", "all", "smaller", None, None),
    ]


# grading_disagreements

QUESTION = {"domain": PLACE["domain"], "question_id": "q", "answer": "12"}


def test_only_verdicts_that_differ_are_disagreements(run):
    # Trial: recorded/computed  0: right/right  1: right/wrong  2: wrong/right  3: none/right  4: right/not graded
    recorded = [True, True, False, None, True]
    traces = [{**PLACE, "question_id": "q", "trial": i, "recorded_correct": r} for i, r in enumerate(recorded)]
    trials = [{**row, "prediction": f"p{row['trial']}"} for row in graded({"q": "1011-"})]
    disagreements = run(
        MODELS["grading_disagreements"], graded_trials=trials, larger_traces=traces, benchmark_questions=[QUESTION]
    )
    columns = ("question_id", "role", "trial", "answer", "prediction", "recorded_correct", "is_correct")
    assert disagreements.select(columns).rows() == [
        ("q", "larger", 1, "12", "p1", True, False),
        ("q", "larger", 2, "12", "p2", False, True),
    ]


def test_each_role_is_held_against_its_own_traces(run):
    larger = [{**PLACE, "question_id": "q", "trial": 0, "recorded_correct": True}]
    smaller = [{**PLACE, "question_id": "q", "trial": 0, "recorded_correct": False}]
    disagreements = run(
        MODELS["grading_disagreements"],
        graded_trials=[*graded({"q": "1"}), *graded({"q": "1"}, "smaller")],
        larger_traces=larger,
        smaller_traces=smaller,
        benchmark_questions=[QUESTION],
    )
    assert disagreements.select("role", "recorded_correct").rows() == [("smaller", False)]


# taxonomy_assignments


def assignment(advantage, cluster, pca_dim=4, n_clusters=2, family="f"):
    candidate = {"family": family, "pca_dim": pca_dim, "n_clusters": n_clusters}
    return {**candidate, "advantage_id": advantage, "cluster_id": cluster}


def test_only_the_chosen_candidate_is_assigned(run):
    # (4, 2) is chosen; (8, 2) and (4, 3) assign the same descriptions to other clusters. Another family chose (8, 2).
    assignments = [
        assignment("a", 0), assignment("b", 1), assignment("a", 1, pca_dim=8), assignment("b", 0, pca_dim=8),
        assignment("a", 2, n_clusters=3), assignment("b", 2, n_clusters=3),
        assignment("a", 1, pca_dim=8, family="g"), assignment("a", 0, family="g"),
    ]  # fmt: skip
    taxonomy = [
        {"family": family, "cluster_id": cluster, "pca_dim": pca_dim, "n_clusters": 2}
        for family, pca_dim in (("f", 4), ("g", 8))
        for cluster in (0, 1)
    ]
    corpus = [
        {"family": family, "domain": domain, "advantage_id": advantage}
        for family, domain, advantage in (
            ("f", "math", "a"),
            ("f", "law", "b"),
            ("f", "law", "dropped"),
            ("g", "law", "a"),
        )
    ]
    assigned = run(
        MODELS["taxonomy_assignments"],
        cluster_assignments=assignments,
        final_taxonomy=taxonomy,
        advantage_corpus=corpus,
    )
    assert assigned.rows() == [("f", "b", "law", 1), ("f", "a", "math", 0), ("g", "a", "law", 1)]


# domain_distribution


def distribution(run, counts, domains, n_clusters=2):
    """``counts``: descriptions by (cluster, domain)."""
    assigned = [
        {"family": "f", "advantage_id": f"{cluster}-{domain}-{i}", "domain": domain, "cluster_id": cluster}
        for (cluster, domain), n in counts.items()
        for i in range(n)
    ]
    table = run(
        MODELS["domain_distribution"],
        taxonomy_assignments=assigned,
        final_taxonomy=[{"family": "f", "cluster_id": i} for i in range(n_clusters)],
        pass_rate_table=[{"family": "f", "domain": d, "question_id": f"{d}{i}"} for d in domains for i in range(3)],
    )
    TABLES["domain_distribution"].check(TABLES["domain_distribution"].conform(table.lazy(), {}))
    return {(row["cluster_id"], row["domain"]): row for row in table.to_dicts()}


def test_counts_and_both_normalisations(run):
    # Cluster 0: 3 of math, 1 of law; cluster 1: 0 of math, 4 of law; music was run but has none.
    # Rows: 3/4, 1/4, 0 and 0, 1, 0. Columns: math 3/3, 0; law 1/5, 4/5; music undefined.
    by_cell = distribution(run, {(0, "math"): 3, (0, "law"): 1, (1, "law"): 4}, ["math", "law", "music"])
    cells = {key: (row["n_advantages"], row["row_share"], row["column_share"]) for key, row in by_cell.items()}
    assert cells == {
        (0, "math"): (3, 0.75, 1), (0, "law"): (1, 0.25, 0.2), (0, "music"): (0, 0, None),
        (1, "math"): (0, 0, 0), (1, "law"): (4, 1, 0.8), (1, "music"): (0, 0, None),
    }  # fmt: skip


def test_rows_and_columns_sum_to_one(run):
    counts = {(c, d): 1 + (3 * c + 7 * i) % 5 for c in range(3) for i, d in enumerate(["math", "law", "music"])}
    cells = distribution(run, counts, ["math", "law", "music"], n_clusters=3)
    for cluster in range(3):
        shares = [row["row_share"] for (c, _), row in cells.items() if c == cluster]
        assert math.fsum(shares) == pytest.approx(1)
    for domain in ("math", "law", "music"):
        shares = [row["column_share"] for (_, d), row in cells.items() if d == domain]
        assert math.fsum(shares) == pytest.approx(1)


def test_one_cluster_in_one_domain(run):
    cells = distribution(run, {(0, "math"): 2}, ["math"], n_clusters=1)
    assert cells[0, "math"]["row_share"] == cells[0, "math"]["column_share"] == 1


def test_a_cluster_without_descriptions_has_no_row_shares(run):
    cells = distribution(run, {(0, "math"): 2}, ["math"])
    assert (cells[1, "math"]["n_advantages"], cells[1, "math"]["row_share"]) == (0, None)


# edi_summary


def summary(run, indexes, place=PLACE):
    dispersion = [
        {**place, "question_id": f"q{i}", "n_errors": 0 if index is None else 5, "edi": index}
        for i, index in enumerate(indexes)
    ]
    rows = [*graded({"q": "10"}), *graded({"q": "00"}, "smaller")]
    table = run(MODELS["edi_summary"], graded_trials=rows, error_dispersion=dispersion)
    TABLES["edi_summary"].check(TABLES["edi_summary"].conform(table.lazy(), {}))
    (row,) = table.to_dicts()
    assert row["model"] == "m-smaller"
    return row["n_questions"], row["n_undefined"], row["mean_edi"], row["std_edi"]


def test_mean_and_sample_deviation_of_the_index(run):
    # Mean of 0.1, 0.2, 0.6 is 0.3; squared deviations 0.04 + 0.01 + 0.09 = 0.14, over 2: sqrt(0.07) = 0.264575.
    assert summary(run, [0.1, 0.2, 0.6]) == (3, 0, pytest.approx(0.3), pytest.approx(0.264575, abs=1e-6))


def test_undefined_indexes_are_counted_and_in_no_mean(run):
    # 0.0 and 0.5: mean 0.25, deviation sqrt(2 * 0.0625) = 0.353553.
    assert summary(run, [None, 0.0, 0.5, None]) == (4, 2, 0.25, pytest.approx(0.353553, abs=1e-6))


@pytest.mark.parametrize(
    ("indexes", "expected"),
    [
        ([], (0, 0, None, None)),  # a domain without selected questions still has a row
        ([None, None], (2, 2, None, None)),
        ([0.4], (1, 0, 0.4, None)),
        ([0.25, 0.25, 0.25], (3, 0, 0.25, 0)),
    ],
)
def test_degenerate_domains(run, indexes, expected):
    assert summary(run, indexes) == expected


def test_indexes_of_other_domains_do_not_count(run):
    assert summary(run, [0.5], {"family": "f", "domain": "law"}) == (0, 0, None, None)


# column lineage

CONSTANTS = {("accuracy_summary", "level")}


@pytest.mark.parametrize("name", MODELS)
def test_every_column_comes_from_somewhere(name):
    lineage = column_lineage(MODELS[name])
    assert set(lineage) == set(TABLES[name].schema)
    assert {(name, column) for column, sources in lineage.items() if not sources} == {
        constant for constant in CONSTANTS if constant[0] == name
    }
    for sources in lineage.values():
        for table, column in sources:
            assert table in MODELS[name].refs
            assert column in TABLES[table].schema


# the same SQL for one partition and for all

PLACES = [{"family": family, "domain": domain} for family in ("f", "g") for domain in ("math", "law")]


def test_over_all_rows_a_model_gives_the_union_of_its_partitions(run, table_rows):
    graded_rows, dispersion = [], []
    for i, place in enumerate(PLACES):
        graded_rows += graded({"q": "1-10"[i:], "r": "0110"}, place=place)
        graded_rows += graded({"q": "0010", "r": "--01"[: i + 1]}, "smaller", place=place)
        dispersion += [{**place, "question_id": f"q{j}", "edi": j / 10 if j != i else None} for j in range(i + 1)]
    tables = {"graded_trials": graded_rows, "error_dispersion": dispersion}

    def of_place(rows, place):
        return [row for row in rows if all(row[name] == value for name, value in place.items())]

    for name in ("pass_rate_table", "benchmark_accuracy", "edi_summary"):
        given = {table: rows for table, rows in tables.items() if table in MODELS[name].refs}
        together = run(MODELS[name], **given)
        apart = [run(MODELS[name], **{t: of_place(rows, place) for t, rows in given.items()}) for place in PLACES]
        assert together.height > len(PLACES) - 1
        assert as_set(together) == as_set(pl.concat(apart))

    accuracy = run(MODELS["benchmark_accuracy"], graded_trials=graded_rows).to_dicts()
    together = run(MODELS["accuracy_summary"], benchmark_accuracy=accuracy)
    families = [{"family": "f"}, {"family": "g"}]
    apart = [run(MODELS["accuracy_summary"], benchmark_accuracy=of_place(accuracy, family)) for family in families]
    assert as_set(together) == as_set(pl.concat(apart))


def test_over_all_families_the_clustering_models_give_the_union_too(run):
    tables = {"cluster_assignments": [], "final_taxonomy": [], "advantage_corpus": [], "pass_rate_table": PLACES}
    for family, pca_dim in (("f", 4), ("g", 8)):
        for i in range(6):
            advantage = f"{family}{i}"
            place = {"family": family, "domain": ("math", "law")[i % 3 == 0]}
            tables["advantage_corpus"].append({**place, "advantage_id": advantage})
            tables["cluster_assignments"] += [
                assignment(advantage, i % 2, pca_dim, family=family),
                assignment(advantage, 1 - i % 2, pca_dim * 2, family=family),
            ]
        tables["final_taxonomy"] += [
            {"family": family, "cluster_id": cluster, "pca_dim": pca_dim, "n_clusters": 2} for cluster in (0, 1)
        ]

    def run_on(name, family=None):
        given = {
            table: [row for row in rows if family in (None, row["family"])]
            for table, rows in tables.items()
            if table in MODELS[name].refs
        }
        return run(MODELS[name], **given)

    assigned = run_on("taxonomy_assignments")
    assert assigned.height == 12
    assert as_set(assigned) == as_set(pl.concat([run_on("taxonomy_assignments", f) for f in ("f", "g")]))
    tables["taxonomy_assignments"] = assigned.to_dicts()
    distributed = run_on("domain_distribution")
    assert distributed["n_advantages"].sum() == 12
    assert as_set(distributed) == as_set(pl.concat([run_on("domain_distribution", f) for f in ("f", "g")]))


def as_set(rows):
    """Sorted rows with numbers to 12 digits, since sums in another order differ in the last bits."""
    return sorted(
        tuple(f"{value:.12g}" if isinstance(value, float) else str(value) for value in row) for row in rows.rows()
    )
