"""Worked cases: the selected member, the excerpts, and the omitted cases."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advcluster_dagster.science.semantic_clustering.worked_cases import excerpt, nearest_members, worked_cases


def members(rows: list[tuple[int, str, bool | None]]) -> pl.DataFrame:
    schema = {"cluster_id": pl.Int64, "advantage_id": pl.String, "is_eligible": pl.Boolean}
    return pl.DataFrame(rows, schema=schema, orient="row")


def test_the_eligible_member_nearest_to_the_centre_of_all_is_chosen() -> None:
    # Cluster 0 on a line at 0, 1, 2, 9: centre 3. Nearest is 2 (d), which is not eligible, then 1 (c).
    rows = [(0, "a", True), (0, "c", True), (0, "d", False), (0, "b", True), (1, "e", None)]
    vectors = np.array([[0.0], [1.0], [2.0], [9.0], [5.0]])
    assert nearest_members(members(rows), vectors).rows() == [(0, "c")]


def test_ties_go_to_the_first_id_in_any_order() -> None:
    rows = [(0, "b", True), (0, "a", True)]
    assert nearest_members(members(rows), np.array([[0.0], [2.0]])).rows() == [(0, "a")]
    assert nearest_members(members(rows[::-1]), np.array([[2.0], [0.0]])).rows() == [(0, "a")]


def test_without_members_there_is_no_case() -> None:
    assert nearest_members(members([]), np.empty((0, 0))).is_empty()


@given(st.text("ab \n", max_size=40), st.text("ab \n", max_size=12), st.text("ab \n", max_size=40))
def test_the_mark_of_an_excerpt_is_the_passage(before: str, passage: str, after: str) -> None:
    result = excerpt(before + passage + after, passage, around=5)
    if result is not None:
        assert result.text[result.start : result.end].split() == passage.split()
        assert result.start <= 5
        assert len(result.text) - result.end <= 5
    else:  # an empty passage, or a short passage that is not a separate word
        assert not passage.strip() or len(passage) <= 2


def case(**changes: str | None) -> pl.DataFrame:
    row = {
        "cluster_id": 3, "advantage_id": "q:0:1", "domain": "math", "question_id": "q", "question": "How many?",
        "stage": "Reading", "larger_quote": "counts both", "smaller_quote": "only one",
        "larger_response": f"{'x' * 400} counts both ends", "smaller_response": "takes only one end",
    }  # fmt: skip
    return pl.DataFrame([row | changes])


def test_excerpts_have_300_characters_on_either_side() -> None:
    (row,) = worked_cases(case()).iter_rows(named=True)
    assert (row["cluster_id"], row["stage"]) == (3, "Reading")
    # 300 characters before the passage: 299 times x and the space.
    assert row["larger_excerpt"] == f"{'x' * 299} counts both ends"
    assert row["larger_excerpt"][row["larger_start"] : row["larger_end"]] == "counts both"
    assert row["smaller_excerpt"][row["smaller_start"] : row["smaller_end"]] == "only one"


@pytest.mark.parametrize(
    "changes", [{"larger_quote": "is not there"}, {"smaller_quote": ""}, {"smaller_response": None}], ids=str
)
def test_a_case_without_both_passages_is_omitted(changes: dict[str, str | None]) -> None:
    assert worked_cases(case(**changes)).is_empty()
