import json

import pytest

from advcluster_dagster.science.prompting import ReplyFault
from advcluster_dagster.science.semantic_clustering.replies import parse_candidate_review, parse_cluster_name

SCORES = {"distinctness": 7, "granularity": 6, "interpretability": 10, "balance": 1, "resolution": 8}
PAPER_SCORES = {
    "Distinctness_score": 7, "Granularity_score": 6, "Interpretability_score": 10, "Balance_score": 1,
    "Taxonomy_resolution_score": 8,
}  # fmt: skip
NAME = {"tag": "Tracking Constraints", "definition": "Keeps every condition in view. Checks each."}


@pytest.mark.parametrize("wrap", ["{}", "```json\n{}\n```", "My verdict: {} and no more."])
@pytest.mark.parametrize("scores", [SCORES, PAPER_SCORES], ids=["ours", "paper"])
def test_reviews(wrap, scores):
    review = parse_candidate_review(wrap.replace("{}", json.dumps(scores)))
    assert review.model_dump(exclude_defaults=True) == SCORES
    assert review.total == 32  # 7 + 6 + 10 + 1 + 8


@pytest.mark.parametrize(("score", "total"), [(1, 5), (10, 50)])
def test_the_bounds_of_the_total(score, total):
    assert parse_candidate_review(json.dumps(dict.fromkeys(SCORES, score))).total == total


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({**SCORES, "balance": 0}, "balance"),
        ({**SCORES, "balance": 11}, "balance"),
        ({**SCORES, "balance": 7.5}, "balance"),
        ({**SCORES, "balance": "high"}, "balance"),
        ({**SCORES, "balance": None}, "balance"),
        ({name: score for name, score in SCORES.items() if name != "resolution"}, "resolution"),
        ([SCORES], "the reply"),
        ([7, 6, 10, 1, 8], "the reply"),
        ({}, "distinctness"),
    ],
)
def test_invalid_reviews_have_one_line_faults(value, words):
    with pytest.raises(ReplyFault) as caught:
        parse_candidate_review(json.dumps(value))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_names():
    assert parse_cluster_name(json.dumps(NAME)).model_dump() == NAME
    spaced = {name: f"  {text}\n" for name, text in NAME.items()}
    assert parse_cluster_name(f"```json\n{json.dumps(spaced)}\n```").model_dump() == NAME


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({**NAME, "tag": " "}, "tag"),
        ({**NAME, "tag": "x" * 81}, "tag"),
        ({**NAME, "definition": ""}, "definition"),
        ({**NAME, "definition": "x" * 2001}, "definition"),
        ({"tag": "Tracking"}, "definition"),
        ({**NAME, "tag": ["Tracking"]}, "tag"),
        ([NAME], "the reply"),
    ],
)
def test_invalid_names_have_one_line_faults(value, words):
    with pytest.raises(ReplyFault) as caught:
        parse_cluster_name(json.dumps(value))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("parse", [parse_candidate_review, parse_cluster_name])
@pytest.mark.parametrize("text", ["", "no", "7 6 10 1 8", "null", "{"])
def test_text_without_a_reply_is_a_fault(parse, text):
    with pytest.raises(ReplyFault):
        parse(text)
