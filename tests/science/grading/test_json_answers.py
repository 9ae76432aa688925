import json
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advcluster_dagster.science.grading.answers import AnswerPlace, find_answer
from advcluster_dagster.science.grading.grade import grade_trials
from advcluster_dagster.science.grading.json_answers import python_text

CASES = [json.loads(line) for line in (Path(__file__).parents[2] / "cases/grading/json_answers.jsonl").open()]
ANSWER = AnswerPlace(field="answer")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_cases(case):
    result = find_answer(case["response"], case["finish_reason"], ANSWER, case["answer_type"])
    assert (result.prediction, result.verdict) == (case["prediction"], case["verdict"])


# Control characters are excluded: a backspace before a letter is read as the LaTeX command it came from.
TEXTS = st.text(st.characters(exclude_categories=["C"], exclude_characters="<"))


@given(TEXTS.filter(str.strip), TEXTS, st.booleans())
def test_the_answer_in_strict_json_is_parsed_exactly(answer, reasoning, is_indented):
    response = json.dumps({"reasoning": reasoning, "answer": answer}, indent=2 if is_indented else None)
    assert find_answer(f"{response}\n", None, ANSWER).prediction == answer.strip()


@given(st.one_of(st.text(), st.integers(), st.lists(st.text()), st.booleans(), st.none()))
def test_a_python_literal_is_unchanged(value):
    assert python_text(repr(value)) == repr(value)


@pytest.mark.parametrize(
    ("gold", "answer", "verdict"),
    [
        ("'abc'", '"abc"', "correct"),  # the same rule for the gold answer and the prediction
        ("abc", "\"'abc'\"", "correct"),
        ("abc", '"abc"', "correct"),
        ("5", '"5"', "correct"),
        ("5", "5", "correct"),
        ("'5'", '"5"', "wrong"),  # "5" is the number
        ("[1, 2]", '"[1, 2]"', "correct"),
        ("[1, 2]", "[1, 2]", "correct"),
        ("[1, 2]", "[2, 1]", "wrong"),
        ("None", "null", "correct"),
    ],
)
def test_strings_without_quotes_follow_one_rule(gold, answer, verdict):
    questions = pl.DataFrame({"question_id": ["q"], "answer": [gold], "answer_type": ["python_output"]})
    traces = pl.DataFrame(
        [("q", "crux", 0, "m", f'{{"reasoning": "r", "answer": {answer}}}', "stop")],
        schema=["question_id", "benchmark", "trial", "model", "response", "finish_reason"],
        orient="row",
    )
    assert grade_trials(traces, questions, "larger", {"crux": ANSWER})["verdict"].to_list() == [verdict]
