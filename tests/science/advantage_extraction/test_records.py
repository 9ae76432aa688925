import polars as pl
import pytest

from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.science.advantage_extraction.records import extraction_tables
from advcluster_dagster.science.advantage_extraction.replies import ExtractedAdvantage, ExtractionReply

PLACE = {"family": "f", "domain": "d"}


def pairs(*ids):
    rows = [(pair_id, pair_id.rpartition(":")[0]) for pair_id in ids]
    return pl.DataFrame(rows, schema={"pair_id": pl.String, "question_id": pl.String}, orient="row")


def reply(stage, *advantages):
    items = [ExtractedAdvantage(advantage=text, evidence=f"E {text}", larger_quote="L") for text in advantages]
    return ExtractionReply(failure_stage=stage, failure_description="D", failure_quote="Q", advantages=items)


def tables_of(pair_ids, outcomes):
    tables = extraction_tables(pairs(*pair_ids), outcomes, "judge", "0" * 64)
    for name, frame in tables.items():
        TABLES[name].check(TABLES[name].conform(frame.lazy(), PLACE))
    return tables


def test_every_pair_is_a_first_error_or_a_failure():
    outcomes = [
        (reply("Reading", "Tracks units", "Uses 2 cases"), "", "", "{...}"),
        (None, "no_json", "no list in it", "I am sorry"),
        (reply("Encoding", "Checks limits", "Maps cases", "Lists terms"), "", "", "{...}"),
    ]
    tables = tables_of(["q:0", "q:1", "r:x:0"], outcomes)
    assert tables["first_errors"].rows() == [
        ("q:0", "q", "Reading", 1, "D", "Q"),
        ("r:x:0", "r:x", "Encoding", 5, "D", "Q"),
    ]
    assert tables["extraction_failures"].rows() == [("q:1", "no_json", "no list in it", "I am sorry")]
    assert tables["advantage_corpus"]["advantage_id"].to_list() == [
        "q:0:0", "q:0:1", "r:x:0:0", "r:x:0:1", "r:x:0:2",
    ]  # fmt: skip


def test_an_advantage_keeps_its_texts_and_its_flags():
    tables = tables_of(["q:0"], [(reply("Comprehension", "Tracks units", "Uses 2 cases"), "", "", "")])
    assert tables["advantage_corpus"].rows() == [
        ("q:0:0", "q:0", "q", 0, "Tracks units", "E Tracks units", "L", "", [], "judge", "0" * 64),
        ("q:0:1", "q:0", "q", 1, "Uses 2 cases", "E Uses 2 cases", "L", "", ["quantity"], "judge", "0" * 64),
    ]


def test_no_pairs_give_empty_tables():
    assert all(frame.is_empty() for frame in tables_of([], []).values())


def test_all_failed():
    tables = tables_of(["q:0", "q:1"], [(None, "timeout", "", "")] * 2)
    assert tables["first_errors"].is_empty()
    assert tables["advantage_corpus"].is_empty()
    assert tables["extraction_failures"].height == 2


def test_pairs_and_outcomes_must_match():
    with pytest.raises(ValueError, match="zip"):
        extraction_tables(pairs("q:0", "q:1"), [(None, "timeout", "", "")], "judge", "0" * 64)
