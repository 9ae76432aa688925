"""Each SQL test on faulty rows, which it must return, and on valid rows, which it must not."""

import pytest

from advcluster_dagster.storage.home import shipped
from advcluster_dagster.storage.sql_models import SqlModel, sql_tests

FILES = {f"{path.parent.name}/{path.stem}": path for path in (shipped("dbt_like_sql") / "tests").glob("*/*.sql")}


def rates(larger, smaller, gap, **counts):
    return {
        "question_id": "q",
        "larger_pass_rate": larger,
        "smaller_pass_rate": smaller,
        "pass_rate_gap": gap,
        **counts,
    }


def counts(larger, smaller):
    names = [f"{role}_{name}" for role in ("larger", "smaller") for name in ("n_trials", "n_scored", "n_correct")]
    return {"question_id": "q", **dict(zip(names, (*larger, *smaller), strict=True))}


def summed(family, *domains):
    """Mean and deviation of a family's row and its domains' rows, with a row of another role."""
    rows = [
        ("family", "all", "larger", *family),
        *(("domain", f"d{i}", "larger", *row) for i, row in enumerate(domains)),
    ]
    names = ("level", "domain", "role", "mean_accuracy", "std_accuracy")
    rows.append(("domain", "d0", "smaller", 99.0, 9.0))
    return {"accuracy_summary": [{"family": "f", **dict(zip(names, row, strict=True))} for row in rows]}


def cells(*shares, n=1):
    return [
        {"family": "f", "cluster_id": 0, "domain": f"d{i}", "n_advantages": n, "row_share": s}
        for i, s in enumerate(shares)
    ]


def sized(size, n_assigned, assigned_to=0):
    return {
        "final_taxonomy": [{"family": "f", "cluster_id": 0, "size": size}],
        "taxonomy_assignments": [
            {"family": "f", "advantage_id": f"a{i}", "cluster_id": assigned_to} for i in range(n_assigned)
        ],
    }


def edi(n_questions, n_undefined, mean):
    return {"edi_summary": [{"n_questions": n_questions, "n_undefined": n_undefined, "mean_edi": mean}]}


def deviating(n_trials, deviation):
    return {"benchmark_accuracy": [{"n_trials": n_trials, "std_accuracy": deviation}]}


def rated(*args, **kwargs):
    return {"pass_rate_table": [rates(*args, **kwargs)]}


def counted(larger, smaller):
    return {"pass_rate_table": [counts(larger, smaller)]}


#: Per test: tables with faulty rows, tables with valid rows.
CASES = {
    "accuracy_summary/assert_family_is_mean_of_domains": (
        [summed((51.0, 2.0), (40.0, 1.0), (60.0, 3.0)), summed((50.0, 2.5), (40.0, 1.0), (60.0, 3.0)),
         summed((None, None), (40.0, None)), summed((40.0, None), (None, None))],
        [summed((50.0, 2.0), (40.0, 1.0), (60.0, 3.0)), summed((40.0, None), (40.0, None), (None, None)),
         summed((None, None), (None, None))],
    ),
    # Two trials of 0 % and 100 % have deviation sqrt(2 * 50^2) = 70.71, the maximum for two; ten have 52.70.
    "benchmark_accuracy/assert_deviation_is_possible": (
        [deviating(2, 70.72), deviating(10, 52.71)],
        [deviating(2, 70.710678), deviating(10, 52.70), deviating(1, None), deviating(0, None), deviating(3, 0.0)],
    ),
    "domain_distribution/assert_rows_sum_to_one": (
        [
            {"domain_distribution": cells(0.5, 0.4)},
            {"domain_distribution": cells(0.5, 0.6)},
            {"domain_distribution": cells(None, None, n=0)},
        ],
        [{"domain_distribution": cells(0.1, 0.2, 0.7)}, {"domain_distribution": cells(1.0)}],
    ),
    "edi_summary/assert_undefined_are_counted": (
        [edi(2, 3, None), edi(2, 2, 0.1), edi(2, 1, None), edi(0, 0, 0.1)],
        [edi(2, 1, 0.1), edi(2, 2, None), edi(0, 0, None)],
    ),
    "pass_rate_table/assert_both_models_ran": (
        [counted((0, 0, 0), (2, 2, 1)), counted((2, 2, 1), (0, 0, 0))],
        [counted((2, 2, 1), (1, 0, 0))],
    ),
    "pass_rate_table/assert_counts_nest": (
        [
            counted((2, 1, 2), (2, 2, 2)), counted((1, 2, 1), (2, 2, 2)),
            counted((2, 2, 2), (2, 1, 2)), counted((2, 2, 2), (1, 2, 1)),
        ],
        [counted((2, 2, 2), (2, 1, 0)), counted((0, 0, 0), (0, 0, 0))],
    ),
    "pass_rate_table/assert_gap_is_difference": (
        [rated(0.9, 0.2, 0.6), rated(0.9, None, 0.9), rated(0.9, 0.2, None), rated(None, None, 0.0)],
        [rated(0.9, 0.2, 0.7), rated(0.2, 0.9, -0.7), rated(0.9, None, None), rated(None, None, None)],
    ),
    "taxonomy_assignments/assert_sizes_match": (
        [sized(2, 3), sized(2, 1), sized(2, 0), sized(2, 2, assigned_to=1)],
        [sized(2, 2), sized(0, 0)],
    ),
}  # fmt: skip


def test_every_test_has_cases_of_both_kinds():
    assert set(CASES) == set(FILES)
    assert all(faulty and clean for faulty, clean in CASES.values())


@pytest.mark.parametrize(("name", "tables"), [(name, case) for name, (faulty, _) in CASES.items() for case in faulty])
def test_faulty_rows_are_found(run, name, tables):
    faulty_rows = run(sql_test(name), **tables)
    assert faulty_rows.height == 1


@pytest.mark.parametrize(("name", "tables"), [(name, case) for name, (_, clean) in CASES.items() for case in clean])
def test_clean_rows_are_not(run, name, tables):
    assert run(sql_test(name), **tables).is_empty()


@pytest.mark.parametrize("name", FILES)
def test_tables_not_yet_made_have_no_faults(run, name):
    assert run(sql_test(name)).is_empty()


@pytest.mark.parametrize("name", FILES)
def test_every_test_reads_the_table_it_stands_under_and_says_what_it_means(name):
    assert name.split("/")[0] in sql_test(name).refs
    assert sql_test(name).description.endswith(".")


def test_only_a_half_run_question_does_not_block():
    assert [name for name in sorted(FILES) if not sql_test(name).is_blocking] == [
        "pass_rate_table/assert_both_models_ran"
    ]


def sql_test(name: str) -> SqlModel:
    table, _, stem = name.partition("/")
    (chosen,) = (test for test in sql_tests(table) if test.name == stem)
    assert chosen.source == FILES[name].read_text(encoding="utf-8")
    return chosen
