import json
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advcluster_dagster.science.grading.answers import AnswerPlace, find_answer

CASES = [json.loads(line) for line in (Path(__file__).parents[2] / "cases/grading/answers.jsonl").open()]

PIECES = [
    "\\boxed{",
    "\\boxed",
    r"\fbox{",
    "{",
    "}",
    r"\{",
    r"\}",
    "\\",
    "[ANSWER]",
    "[/ANSWER]",
    "<think>",
    "</think>",
    "A:",
]
RESPONSES = st.lists(st.sampled_from([*PIECES, "\n", " ", "5"]) | st.text(max_size=5), max_size=30).map("".join)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_cases(case):
    result = find_answer(
        case["response"], case["finish_reason"], AnswerPlace(case["marker"]), case.get("answer_type", "text")
    )
    assert (result.prediction, result.verdict) == (case["prediction"], case["verdict"])


@given(RESPONSES, st.sampled_from([None, "stop", "length"]), st.sampled_from([None, "A:", "\\boxed{"]))
def test_any_text_has_an_answer_or_a_verdict(response, finish_reason, marker):
    result = find_answer(response, finish_reason, AnswerPlace(marker))
    assert result.verdict or result.prediction
    assert result.prediction is None or result.prediction.strip() == result.prediction != ""
    # Several boxes give their contents, joined.
    assert result.prediction is None or all(part in response for part in result.prediction.split(", "))


@given(st.text(alphabet="0123456789abc +-", min_size=1).filter(str.strip))
def test_a_boxed_text_is_extracted(answer):
    assert find_answer(f"<think>{{</think> so {{ \\boxed{{{answer}}} }}").prediction == answer.strip()


@pytest.mark.parametrize("piece", [r"\boxed{", r"\boxed{}", r"\boxed{ ", "[ANSWER]", "{", "<think></think>"])
def test_memory_is_linear_in_the_length_of_adversarial_text(piece):
    text = piece * 20_000
    tracemalloc.start()
    assert find_answer(text).prediction is None
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # Each box costs one or two integers, not a copy of the text: 200 bytes per box is ample.
    assert peak < 3 * len(text) + 200 * 20_000


def test_deeply_nested_boxes_give_the_innermost():
    assert find_answer(r"\boxed{" * 50_000 + "5" + "}" * 50_000).prediction == "5"
