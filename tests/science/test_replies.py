"""Replies of judges as data: each ends in the right record or in the right fault."""

import json
from pathlib import Path

import pytest

from advcluster_dagster.science.advantage_extraction.replies import parse_extraction_reply
from advcluster_dagster.science.grading.equivalence import parse_equivalence_reply
from advcluster_dagster.science.prompting import ReplyFault
from advcluster_dagster.science.semantic_clustering.replies import parse_candidate_review, parse_cluster_name

CASES = Path(__file__).resolve().parent.parent / "cases" / "replies"
PARSERS = {
    "extraction": parse_extraction_reply,
    "naming": parse_cluster_name,
    "review": parse_candidate_review,
    "equivalence": parse_equivalence_reply,
}


def cases():
    for judge, parse in PARSERS.items():
        for line in (CASES / f"{judge}.jsonl").read_text(encoding="utf-8").splitlines():
            case = json.loads(line)
            yield pytest.param(parse, case, id=f"{judge}: {case['name']}")


@pytest.mark.parametrize(("parse", "case"), cases())
def test_a_reply_is_its_record_or_its_fault(parse, case):
    if "record" in case:
        assert parse(case["reply"]).model_dump() == case["record"]
    else:
        with pytest.raises(ReplyFault) as caught:
            parse(case["reply"])
        assert case["fault"] in str(caught.value)
