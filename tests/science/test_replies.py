"""Recorded replies of judges: each gives the expected record or fault."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advcluster_dagster.contracts.vocabularies import STAGE_DEPTHS
from advcluster_dagster.models.protocol import sha256_of_json
from advcluster_dagster.science.advantage_extraction.replies import ExtractionReply, parse_extraction_reply
from advcluster_dagster.science.grading.equivalence import EquivalenceReply, parse_equivalence_reply
from advcluster_dagster.science.prompting import ReplyFault, wire_schema
from advcluster_dagster.science.semantic_clustering.replies import (
    CandidateReview,
    ClusterName,
    parse_candidate_review,
    parse_cluster_name,
)

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
def test_a_reply_gives_the_expected_record_or_fault(parse, case):
    if "record" in case:
        assert parse(case["reply"]).model_dump(exclude_defaults=True) == case["record"]
    else:
        with pytest.raises(ReplyFault) as caught:
            parse(case["reply"])
        assert case["fault"] in str(caught.value)


@pytest.mark.parametrize(
    ("record", "schema"),
    [
        (ExtractionReply, "1b5d775c75f35bcb676467bc195685b6218f6250ce6464c1fa08c7e0aea1c3f2"),
        (ClusterName, "fcad02943cb8ab1414ff3ce91c13345a540b32f082fd36be009785a61051e6cc"),
        (CandidateReview, "fa013c48aac921dcab711ae25ab1871c09c2557cb9361841a652f9adab0e6ecd"),
        (EquivalenceReply, "29f55c2e77129860c35320911c510170c2ba72104386f9466c837f5816cc8d39"),
    ],
)
def test_the_schemas_sent_with_a_call_are_unchanged(record, schema):
    """Schemas are part of a call's identity: a changed docstring or field setting would repeat every call."""
    assert sha256_of_json(wire_schema(record)) == schema


TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30) | st.lists(
    st.sampled_from(
        ['"', "\\", "{", "}", "[", ",", "</think>", "<think>", "```", "\\frac", "\n2", "\t-", "x", "{'same': 1}"]
    )
).map("".join)


def texts(*words):
    """Strategy for texts that are not copies, whatever is between their two words."""
    return TEXTS.map(lambda text: f"{words[0]} {text} {words[1]}")


RECORDS = {
    "extraction": st.fixed_dictionaries(
        {
            "failure_stage": st.sampled_from(list(STAGE_DEPTHS)),
            "failure_description": texts("Multiplies", "twice"),
            "advantages": st.lists(texts("Sees", "again"), min_size=2, max_size=5).map(
                lambda drawn: [
                    {"advantage": f"{'Also ' * i}{text}", "evidence": f"{text} stands there"}
                    for i, text in enumerate(drawn)
                ]
            ),
        }
    ),
    "naming": st.fixed_dictionaries({"tag": st.just("Tracking Limits"), "definition": texts("Keeps", "in view.")}),
    "review": st.fixed_dictionaries(
        {
            name: texts("Borders", "blur.") if name.endswith("_reason") else st.integers(1, 10)
            for name in CandidateReview.model_fields
        }
    ),
    "equivalence": st.fixed_dictionaries({"reason": texts("Equal", "values"), "same": st.booleans()}),
}
LAYOUTS = st.sampled_from([{}, {"indent": 0}, {"indent": 2}, {"ensure_ascii": False}, {"separators": (",", ":")}])
PROSE = st.sampled_from(
    [
        "",
        "Here:\n",
        '<think>Say {x} or {"a": 1}.</think>',
        "On [0, 1) or {1, 2}: ",
        'As in {"a": x}:\n',
        "```json\n",
        "a\n```\n",
    ]
)


@pytest.mark.parametrize("judge", RECORDS)
@settings(deadline=None)
@given(data=st.data())
def test_any_record_is_parsed_in_any_layout_and_context(judge, data):
    record = data.draw(RECORDS[judge])
    text = json.dumps(record, **data.draw(LAYOUTS))
    assert PARSERS[judge](text).model_dump(exclude_defaults=True) == record
    before, after = data.draw(PROSE), data.draw(st.sampled_from(["", "\n```\n", "\nDone [1].", "<|eot_id|>", "}"]))
    assert PARSERS[judge](f"{before}{text}{after}").model_dump(exclude_defaults=True) == record


@pytest.mark.parametrize("judge", RECORDS)
@settings(deadline=None)
@given(data=st.data())
def test_a_truncated_record_is_a_fault(judge, data):
    record = data.draw(RECORDS[judge])
    wrapped = data.draw(st.sampled_from([record, {"result": record}, {"draft": record, "final": record}]))
    text = json.dumps(wrapped, **data.draw(LAYOUTS))
    beginning = text[: data.draw(st.integers(0, len(text) - 1))]
    for cut in (beginning, f"```json\n{beginning}", f"Here it is: {beginning}", f"<think>x</think>{beginning}"):
        with pytest.raises(ReplyFault):
            PARSERS[judge](cut)


@given(st.text(max_size=80) | st.text("{}[]\"',:\\nutfrab<>/think` 1", max_size=80))
@settings(deadline=None)
def test_any_text_gives_a_record_or_a_one_line_fault(text):
    for parse in PARSERS.values():
        with pytest.raises(ReplyFault) as caught:
            parse(text)
        assert "\n" not in str(caught.value)
