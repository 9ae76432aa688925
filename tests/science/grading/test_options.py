import json
from pathlib import Path

import pytest

from advcluster_dagster.science.grading.comparison import Comparison, compare_here
from advcluster_dagster.science.grading.options import MAX_CHARACTERS, read_choice, read_choices

CASES = [json.loads(line) for line in (Path(__file__).parents[2] / "cases/grading/options.jsonl").open()]


@pytest.mark.parametrize(
    "case", CASES, ids=lambda case: f"{case['answer_type']}: {case['gold']} / {case['prediction'][:50]}"
)
def test_cases(case):
    comparison = Comparison(case["answer_type"], case["gold"], case["prediction"], case["context"])
    assert compare_here(comparison) == case["verdict"]


@pytest.mark.parametrize("letter", "ABCD")
def test_an_option_is_named_by_its_letter_its_text_or_both(letter):
    options = {"A": "5 m/s", "B": "Both (A) and (C)", "C": "a force, or none", "D": r"\frac{1}{2}"}
    for spelling in (
        "{}",
        "({}) {}",
        "{}. {}",
        "{}: {}",
        "**{}**. {}",
        "{} - {}",
        "Option {}: {}",
        "The answer is ({}) {}.",
    ):
        assert read_choice(spelling.format(letter, options[letter]), options) == letter, spelling
    assert read_choice(options[letter], options) == letter


@pytest.mark.parametrize("letter", "ABCD")
@pytest.mark.parametrize("other", "ABCD")
def test_a_letter_with_the_text_of_another_option_names_none(letter, other):
    options = {"A": "5 m/s", "B": "5 m", "C": "a force", "D": "none of these"}
    if letter != other:
        assert read_choice(f"{letter}. {options[other]}", options) is None


def test_a_context_gives_options_as_a_list_a_mapping_or_with_letters():
    for options in (["red", "blue"], {"a": "red", "b": "blue"}, ["A) red", "(B) blue"]):
        context = json.dumps({"options": options})
        assert compare_here(Comparison("choice", "B", "blue", context)) == "correct"
        assert compare_here(Comparison("choice", "B", "C", context)) == "wrong"


@pytest.mark.parametrize("piece", ["answer is ", "(A", "and B ", "not A, ", "\\boxed{", "- "])
def test_adversarial_texts_name_no_option(piece):
    text = piece * (MAX_CHARACTERS // len(piece) + 1)
    assert read_choice(text, None) is None  # longer than the bound
    assert read_choice(text[:MAX_CHARACTERS], {"A": "5 m", "B": "6 m"}) is None
    assert read_choices(text, None) is None
