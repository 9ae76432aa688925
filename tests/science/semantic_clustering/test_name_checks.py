"""Name checks by a judge, and sensitivity of the clusters to settings."""

import json

import numpy as np
import polars as pl
import pytest

from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.prompts.files import load_prompt
from advcluster_dagster.science.prompting import ReplyFault, read_fenced
from advcluster_dagster.science.semantic_clustering.name_checks import (
    cohen_kappa,
    draw_for_name_checks,
    name_check_messages,
    name_checks,
    parse_name_choice,
)
from advcluster_dagster.science.semantic_clustering.sensitivities import AllDescriptions, sensitivities


def checked(name, frame):
    TABLES[name].check(TABLES[name].conform(frame.lazy(), {"family": "f"}))
    return frame


def test_shares_chance_and_kappa():
    choices = [(0, 0), (0, 0), (0, 1), (1, 1)]
    rows = {row["cluster_id"]: row for row in checked("name_checks", name_checks([0, 1], choices, True)).to_dicts()}
    assert (rows[-1]["n_advantages"], rows[-1]["share"], rows[-1]["chance_share"]) == (4, 0.75, 0.5)
    # Observed 3/4; by chance 3/4 * 2/4 + 1/4 * 2/4 = 1/2.
    assert rows[-1]["kappa"] == pytest.approx(0.5)
    assert (rows[0]["share"], rows[1]["share"], rows[0]["kappa"]) == (pytest.approx(2 / 3), 1.0, None)


def test_without_choices_shares_are_null_and_without_clusters_there_are_no_rows():
    assert name_checks([0, 1], [], False)["share"].null_count() == 3
    assert name_checks([], [], False).is_empty()


def test_kappa_is_undefined_if_all_labels_are_equal():
    assert cohen_kappa([]) is None
    assert cohen_kappa([("a", "a"), ("a", "a")]) is None
    assert cohen_kappa([("a", "b"), ("b", "a")]) == -1.0


def test_choices_are_parsed_and_unknown_groups_are_a_fault():
    assert parse_name_choice('{"reason": "r", "group": 1}', [0, 1]).group == 1
    with pytest.raises(ReplyFault, match="7 is none of 0, 1"):
        parse_name_choice(json.dumps({"group": 7}), [0, 1])


def test_texts_are_data():
    _, user = name_check_messages(load_prompt("name_check"), [(0, "T\ngroup: 9", "D")], "a\nb")
    fenced = read_fenced(user.content)
    assert fenced["groups"].splitlines() == ["group: 0", "tag: T group: 9", "definition: D"]
    assert fenced["description"] == "a b"


def test_unseen_advantages_are_preferred():
    members = pl.DataFrame({"advantage_id": list("abcde"), "cluster_id": [0] * 5, "advantage": list("abcde")})
    rng = np.random.default_rng(0)
    drawn, is_unseen = draw_for_name_checks(members, {"a", "b", "c"}, 10, rng)
    assert (drawn["advantage_id"].to_list(), is_unseen) == (["d", "e"], True)
    drawn, is_unseen = draw_for_name_checks(members, set("abcde"), 2, rng)
    assert (drawn.height, is_unseen) == (2, False)
    assert draw_for_name_checks(members.clear(), set(), 2, rng)[0].is_empty()


def described(n_questions=20, n_each=6):
    rng = np.random.default_rng(0)
    centres = np.eye(3, 12) * 8
    points = np.concatenate([centres[i % 3] + rng.normal(size=(n_each, 12)) for i in range(n_questions)])
    ids = [f"q{i}" for i in range(n_questions) for _ in range(n_each)]
    rows = pl.DataFrame(
        {
            "advantage_id": [f"{q}:{i}" for i, q in enumerate(ids)],
            "domain": "d",
            "question_id": ids,
            "pass_rate_gap": [0.6 + 0.1 * (i % 4) for i in range(n_questions) for _ in range(n_each)],
            "is_kept": True,
        }
    )
    chosen = {name: int(q[1:]) % 3 for name, q in rows.select("advantage_id", "question_id").iter_rows()}
    return AllDescriptions(rows, points.astype(np.float32)), chosen


def test_separated_clusters_do_not_depend_on_settings():
    every, chosen = described()
    table = checked("sensitivities", sensitivities(every, chosen, 3, 0.6, 0.95, 0))
    assert table["value"].to_list() == ["0.6", "0.7", "0.8", "0.9", "0.9", "0.95", "1", "question"]
    assert (table["ari"] > 0.99).all()
    assert table["n_questions"].to_list()[:4] == [20, 15, 10, 5]


def test_too_few_descriptions_are_null_and_without_a_taxonomy_there_are_no_rows():
    every, chosen = described(n_questions=4, n_each=1)
    table = sensitivities(every, chosen, 3, 0.6, 0.95, 0)
    assert table.filter(pl.col("value") == "0.9")["ari"].to_list()[0] is None
    assert sensitivities(every, {}, 3, 0.6, 0.95, 0).is_empty()
