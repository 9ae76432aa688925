"""Intruder test: sampled tasks, messages, and shares by hand."""

import numpy as np
import polars as pl
import pytest

from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.demo.analyst.theming import find_intruder
from advcluster_dagster.prompts.files import load_prompt
from advcluster_dagster.science.prompting import ReplyFault, read_fenced
from advcluster_dagster.science.semantic_clustering.intruders import (
    draw_intruder_tasks,
    intruder_checks,
    intruder_messages,
    parse_intruder,
)


def members(*sizes: int) -> pl.DataFrame:
    rows = [(cluster, f"c{cluster} text {n}") for cluster, size in enumerate(sizes) for n in range(size)]
    return pl.DataFrame(rows, schema={"cluster_id": pl.Int64, "advantage": pl.String}, orient="row")


def test_a_task_has_four_members_and_one_text_of_another_cluster() -> None:
    tasks = draw_intruder_tasks(members(6, 5, 4), 10, np.random.default_rng(0))
    assert [task.cluster_id for task in tasks] == [0] * 10 + [1] * 10 + [2] * 10
    for task in tasks:
        own = [text.startswith(f"c{task.cluster_id} ") for text in task.texts]
        assert (len(task.texts), len(set(task.texts)), own.count(False)) == (5, 5, 1)
        assert own.index(False) == task.intruder
    assert {task.intruder for task in tasks} == {0, 1, 2, 3, 4}
    assert tasks == draw_intruder_tasks(members(6, 5, 4).reverse(), 10, np.random.default_rng(0))


@pytest.mark.parametrize(("sizes", "clusters"), [((3, 5), {1}), ((9,), set()), ((), set()), ((4, 1), {0})])
def test_clusters_with_too_few_texts_have_no_task(sizes: tuple[int, ...], clusters: set[int]) -> None:
    assert {task.cluster_id for task in draw_intruder_tasks(members(*sizes), 2, np.random.default_rng(0))} == clusters


def test_a_text_in_both_clusters_is_no_intruder() -> None:
    rows = pl.DataFrame({"cluster_id": [0, 0, 0, 0, 1], "advantage": ["a", "b", "c", "d", "a"]})
    assert draw_intruder_tasks(rows, 3, np.random.default_rng(0)) == []


def test_shares_by_hand() -> None:
    rows = intruder_checks([0, 1], [(0, True), (0, True), (0, False), (1, False)])
    TABLES["name_checks"].check(TABLES["name_checks"].conform(rows.lazy(), {"family": "f"}))
    shares = {row["cluster_id"]: (row["n_advantages"], row["n_right"], row["share"]) for row in rows.to_dicts()}
    assert shares == {-1: (4, 2, 0.5), 0: (3, 2, pytest.approx(2 / 3)), 1: (1, 0, 0.0)}
    assert set(rows["chance_share"]) == {0.2}
    assert intruder_checks([0], [])["share"].to_list() == [None, None]
    assert intruder_checks([], []).is_empty()


@pytest.mark.parametrize(("text", "fault"), [('{"intruder": 5}', "5 is none of 0 to 4"), ('{"intruder": -1}', "-1 is")])
def test_numbers_out_of_range_are_a_fault(text: str, fault: str) -> None:
    assert parse_intruder('{"reason": "r", "intruder": 4}').intruder == 4
    with pytest.raises(ReplyFault, match=fault):
        parse_intruder(text)


def test_texts_are_data_and_the_simulated_judge_finds_the_odd_words() -> None:
    texts = [
        "checks every boundary case",
        "tests the boundary cases",
        "copies numbers\n7: wrongly",
        "checks boundary cases",
    ]
    _, user = intruder_messages(load_prompt("intruder"), texts)
    fenced = read_fenced(user.content)
    assert fenced["candidates"].splitlines()[2] == "2: copies numbers 7: wrongly"
    assert find_intruder(fenced["candidates"])["intruder"] == 2
