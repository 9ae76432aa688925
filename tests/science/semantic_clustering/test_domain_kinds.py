import math

import polars as pl
import pytest

from advcluster_dagster.science.semantic_clustering.domain_kinds import adjusted_residuals, classify_clusters


def counts(table):
    """Long form of {cluster_id: {domain: n_advantages}}."""
    rows = [(cluster, domain, n) for cluster, row in table.items() for domain, n in row.items()]
    schema = {"cluster_id": pl.Int64, "domain": pl.String, "n_advantages": pl.Int64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def kinds(table, **settings):
    return classify_clusters(counts(table), **settings).rows()


def test_residual_by_hand():
    # Table 30 10 / 10 50: N = 100, row 40, column 40, expected 16, variance 16 * 0.6 * 0.6 = 5.76 = 2.4 squared.
    # (30 - 16) / 2.4 = 5.8333; in a two-by-two table all four residuals have this magnitude.
    residuals = adjusted_residuals(counts({0: {"math": 30, "physics": 10}, 1: {"math": 10, "physics": 50}}))
    assert residuals["adjusted_residual"].to_list() == pytest.approx([35 / 6, -35 / 6, -35 / 6, 35 / 6])


def test_absent_pair_is_a_count_of_zero():
    full = adjusted_residuals(counts({0: {"math": 3, "physics": 0}, 1: {"math": 1, "physics": 2}}))
    sparse = adjusted_residuals(counts({1: {"physics": 2, "math": 1}, 0: {"math": 3}}))
    assert sparse.equals(full)


def test_residual_is_undefined_in_empty_or_full_rows_and_columns():
    one_domain = adjusted_residuals(counts({0: {"math": 3}, 1: {"math": 2}}))
    assert one_domain["adjusted_residual"].null_count() == 2
    empty_cluster = adjusted_residuals(counts({0: {"math": 3, "physics": 1}, 1: {"math": 0, "physics": 0}}))
    assert empty_cluster["adjusted_residual"].null_count() == 4
    nothing = adjusted_residuals(counts({0: {"math": 0, "physics": 0}}))
    assert nothing["adjusted_residual"].null_count() == 2


def test_specialised_and_common():
    # Cluster 0: math 45 of 50 (0.9). Cluster 1: even. Cluster 2: physics 45 of 50.
    table = {
        0: {"math": 45, "physics": 5},
        1: {"math": 25, "physics": 25},
        2: {"math": 5, "physics": 45},
    }
    # Entropy of (0.9, 0.1): 0.9 * log2(1 / 0.9) + 0.1 * log2(10) = 0.136803 + 0.332193 bits of at most 1.
    assert kinds(table) == [
        (0, "specialised", "math", pytest.approx(0.468996, abs=1e-6)),
        (1, "common", "math", pytest.approx(1.0)),
        (2, "specialised", "physics", pytest.approx(0.468996, abs=1e-6)),
    ]


def test_share_is_compared_exactly():
    # 6 of 10 and 60 of 100 are 0.6; 599 of 1000 is not.
    other = {"math": 10, "physics": 1000}
    assert kinds({0: {"math": 60, "physics": 40}, 1: other})[0][1] == "specialised"
    assert kinds({0: {"math": 599, "physics": 401}, 1: other})[0][1] == "common"
    assert kinds({0: {"math": 7, "physics": 3}, 1: other}, min_share=0.7)[0][1] == "specialised"


def test_large_share_without_over_representation_is_common():
    # Both clusters 80 % math: the residuals are 0.
    rows = kinds({0: {"math": 80, "physics": 20}, 1: {"math": 40, "physics": 10}})
    assert [row[1:3] for row in rows] == [("common", "math")] * 2


def test_residual_must_exceed_the_bound():
    # 35 / 6 = 5.833 (see above), share 30 / 40 = 0.75.
    table = {0: {"math": 30, "physics": 10}, 1: {"math": 10, "physics": 50}}
    assert kinds(table, min_residual=5.83)[0][1] == "specialised"
    assert kinds(table, min_residual=5.84)[0][1] == "common"


def test_low_min_share_considers_every_domain():
    # Cluster 0: math 50 %, common in all clusters; physics 40 %, rare elsewhere.
    rows = kinds({0: {"math": 50, "physics": 40, "chemistry": 10}, 1: {"math": 500, "physics": 20}}, min_share=0.4)
    assert rows[0][1:3] == ("specialised", "physics")


def test_one_domain_is_common_and_has_no_entropy():
    assert kinds({0: {"math": 3}, 1: {"math": 2}}) == [(0, "common", "math", None), (1, "common", "math", None)]


def test_entropy_counts_all_domains_of_the_table():
    # Cluster 0 equally in two of three domains: 1 bit of log2(3). Cluster 1 in one domain: 0, not -0.
    rows = kinds({0: {"math": 2, "physics": 2}, 1: {"chemistry": 4}})
    assert rows[0][3] == pytest.approx(1 / math.log2(3))
    assert math.copysign(1, rows[1][3]) == 1
    assert rows[1][3] == 0


def test_empty_cluster_and_empty_table():
    rows = kinds({0: {"math": 3, "physics": 1}, 1: {"math": 0, "physics": 0}})
    assert rows[1] == (1, "common", None, None)
    assert kinds({}) == []
    assert classify_clusters(counts({})).columns == ["cluster_id", "kind", "main_domain", "domain_entropy"]


def test_a_repeated_pair_is_an_error():
    table = counts({0: {"math": 3}})
    with pytest.raises(ValueError, match="cluster 0, domain 'math' occurs more than once"):
        classify_clusters(pl.concat([table, table]))
