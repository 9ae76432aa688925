import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advcluster_dagster.report.explorer import scripts
from advcluster_dagster.report.explorer.scripts import as_script_json, script_files
from tests.report.explorer.evidence import clusters, family_of, pair_of

BREAKING = "</script><!--<script>]]>&amp;\u2028\u2029\u0000\u202e\\\"'`${x}\r\n__proto__ \U0001f600"


def read_files(files):
    """Content by file name without suffix, as the page receives it."""
    contents = {}
    for name, content in files:
        given_name, body = re.fullmatch(
            r'advcluster\.receive\("([0-9a-z-]+)",(.*)\);\n', content.decode("ascii"), re.S
        ).groups()
        assert f"{given_name}.js" == name
        contents[given_name] = json.loads(body)
    return contents


@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_nothing_in_the_json_can_end_a_script_and_all_of_it_returns(value):
    text = as_script_json(value)
    assert text.isascii()
    assert not set("<>&\n\r") & set(text)
    assert json.loads(text) == value


def test_not_a_number_is_refused():
    with pytest.raises(ValueError, match="JSON compliant"):
        as_script_json(float("nan"))


def test_an_index_and_the_pairs_of_a_family():
    rows = {"math": [pair_of(0), pair_of(1, reason="not_json")], "physics": [pair_of(2, "physics")]}
    contents = read_files(script_files([family_of(rows, reason="too few rows")]))
    assert set(contents) == {"0-index", "0-0", "0-texts-0"}
    index = contents["0-index"]
    assert index["questions"] == {"id": ["math-0", "math-1", "physics-2"], "domain": [0, 0, 1], "benchmark": [0, 0, 1]}
    assert (index["domains"], index["benchmarks"]) == (["math", "physics"], ["math-set", "physics-set"])
    assert index["stages"] == ["Reading", None, "Transformation"]
    # The second pair has no advantage: its extraction failed.
    assert index["pairs"] == {
        "question": [0, 1, 2],
        "index": [0, 0, 0],
        "stage": [0, 1, 2],
        "n_advantages": [1, 0, 1],
    }
    assert index["parts"] == [0]
    assert index["advantages"] == {"position": [0, 0], "cluster": [0, 2]}
    assert contents["0-texts-0"] == [
        ["Adds the right number 0", 'Model_A has "0 + 1" where Model_B has "0 + 2".', None],
        ["Adds the right number 2", 'Model_A has "2 + 1" where Model_B has "2 + 2".', None],
    ]
    assert [cluster["tag"] for cluster in index["clusters"]] == ["Cluster 0", "Cluster 1", "Cluster 2"]
    assert index["no_taxonomy_reason"] == "too few rows"
    first, second, _ = contents["0-0"]
    assert first["larger"]["response"] == "We add one.\n0 + 1 = 1."
    assert second["failure"] == {"reason": "not_json", "reply": "no"}
    assert second["error"] is None


def test_passages_are_placed_in_both_traces_and_the_question():
    # "2 + 1" stands at 12 of the larger trace, "2 + 2" at 12 of the smaller one; "plus one" at 10 of the question
    row = pair_of(2, evidence='"2 + 1", "2 + 2", "plus one", "nowhere"', error='It adds "2 + 2".')
    (pair,) = read_files(script_files([family_of({"math": [row]})]))["0-0"]
    assert pair["advantages"][0]["passages"] == [
        {"text": "2 + 1", "is_exact": True, "larger": [[12, 17]], "smaller": [], "question": []},
        {"text": "2 + 2", "is_exact": True, "larger": [], "smaller": [[12, 17]], "question": []},
        {"text": "plus one", "is_exact": True, "larger": [], "smaller": [], "question": [[10, 18]]},
        {"text": "nowhere", "is_exact": False, "larger": [], "smaller": [], "question": []},
    ]
    assert pair["error"]["passages"] == [{"text": "2 + 2", "is_exact": True, "smaller": [[12, 17]], "question": []}]


def test_places_count_as_javascript_counts():
    # two code units for the face, one for each of the others: the passage begins at 3 and is 4 long
    row = pair_of(0, larger="\U0001f600é x\U0001f600y", evidence='"x\U0001f600y"')
    (pair,) = read_files(script_files([family_of({"math": [row]})]))["0-0"]
    assert pair["advantages"][0]["passages"][0]["larger"] == [[4, 8]]


def test_spacing_may_differ_and_is_said_to():
    row = pair_of(0, larger="one  two\nthree", evidence='"one two three"')
    (pair,) = read_files(script_files([family_of({"math": [row]})]))["0-0"]
    assert pair["advantages"][0]["passages"] == [
        {"text": "one two three", "is_exact": False, "larger": [[0, 14]], "smaller": [], "question": []}
    ]


def test_pairs_are_spread_over_files_by_size():
    rows = {
        "math": [pair_of(n, larger="x" * 3000) for n in range(5)],
        "physics": [pair_of(9, "physics", larger="x" * 20_000)],
    }
    files = list(script_files([family_of(rows)], max_bytes=10_000))
    contents = read_files(files)
    # a record of some 3,700 bytes: two fit under 10,000; the large one has a separate file
    assert [len(contents[f"0-{part}"]) for part in range(4)] == [2, 2, 1, 1]
    assert contents["0-index"]["parts"] == [0, 2, 4, 5]
    assert all(len(content) < 10_000 for name, content in files if name in ("0-0.js", "0-1.js", "0-2.js"))
    assert files[-1][0] == "0-index.js"


def test_families_are_told_apart_by_number():
    families = [family_of({"math": [pair_of(0)]}, name=name) for name in ("f", "g")]
    names = {f"{number}-{part}" for number in (0, 1) for part in ("0", "texts-0", "index")}
    assert set(read_files(script_files(families))) == names


def test_texts_are_spread_over_files_by_number(monkeypatch):
    monkeypatch.setattr(scripts, "TEXTS_PER_FILE", 2)
    rows = {"math": [pair_of(n) for n in range(4)] + [pair_of(4, duplicate_of="math-0:0:0")]}
    contents = read_files(script_files([family_of(rows)]))
    assert [len(contents[f"0-texts-{n}"]) for n in range(3)] == [2, 2, 1]
    assert contents["0-texts-2"][0][2] == "math-0:0:0"
    assert contents["0-index"]["texts_per_file"] == 2
    assert contents["0-index"]["advantages"]["cluster"] == [0, 1, 2, 0, scripts.REPEATED]


def test_an_advantage_in_no_cluster_is_told_from_a_repeat():
    row = pair_of(0)
    row["taxonomy_assignments"] = []
    contents = read_files(script_files([family_of({"math": [row]}, clusters(0))]))
    assert contents["0-index"]["advantages"]["cluster"] == [scripts.UNCLUSTERED]


def test_a_family_without_anything_has_an_index():
    contents = read_files(script_files([family_of({}, clusters(0), reason="no questions kept")]))
    assert set(contents) == {"0-index"}
    assert contents["0-index"]["clusters"] == []
    assert contents["0-index"]["pairs"]["question"] == []


def test_what_a_model_wrote_neither_breaks_out_nor_changes():
    names = ("question", "answer", "larger", "smaller", "advantage", "evidence", "error")
    row = pair_of(0, question_id=BREAKING, **dict.fromkeys(names, BREAKING))
    files = list(script_files([family_of({"math": [row]}, clusters(1, lambda _: BREAKING))]))
    assert [name for name, _ in files] == ["0-0.js", "0-texts-0.js", "0-index.js"]
    contents = read_files(files)
    (pair,) = contents["0-0"]
    assert {pair["question"], pair["answer"], pair["larger"]["response"], pair["error"]["description"]} == {BREAKING}
    assert contents["0-texts-0"][0][:2] == [BREAKING, BREAKING]
    assert contents["0-index"]["questions"]["id"] == [BREAKING]
    assert contents["0-index"]["clusters"][0]["tag"] == BREAKING
