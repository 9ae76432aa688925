import json
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from advcluster_dagster.science.grading.comparison import COMPARISONS, Comparison, compare_here, decide_here
from advcluster_dagster.science.grading.quantities import read_quantity

CASES = [json.loads(line) for line in (Path(__file__).parents[2] / "cases/grading/comparisons.jsonl").open()]

NUMBERS = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**12), max_value=10**12, places=4)
ANSWERS = st.sampled_from([case[side] for case in CASES for side in ("gold", "prediction")]) | st.text(max_size=12)


def compare(answer_type, gold, prediction, context=None):
    return compare_here(Comparison(answer_type, gold, prediction, context))


def _spellings(number: Decimal) -> list[str]:
    plain, fraction = f"{number:f}", Fraction(number)
    return [
        plain,
        f"{number:,f}",
        f"+{plain}" if number >= 0 else plain,
        f"{plain}0",
        f"${plain}$",
        f"\\${plain}",
        f"\\boxed{{{plain}}}",
        f"\\text{{{plain}}}",
        f"{plain}.".replace("..", "."),
        f"x = {plain}",
        f"{plain} kg",
        f"{number.scaleb(3):f}e-3",
        f"{number.scaleb(-2):f} \\times 10^{{2}}",
        f"{fraction.numerator}/{fraction.denominator}",
        f"{'-' if fraction < 0 else ''}\\frac{{{abs(fraction.numerator)}}}{{{fraction.denominator}}}",
        plain.replace("-", "\u2212"),
    ]


def _name(case: dict[str, str]) -> str:
    return f"{case['answer_type']}: {case['gold'][:20]} / {case['prediction'][:40]}"


@pytest.mark.parametrize("case", CASES, ids=_name)
def test_cases(case):
    assert compare(case["answer_type"], case["gold"], case["prediction"]) == case["verdict"]


def test_every_case_names_its_source():
    assert all(case["source"] for case in CASES)


def test_comparisons_that_need_a_worker_are_undecided():
    assert compare("math", "x^2", "x*x") is None
    assert compare("python_input", "1", "1") is None
    assert decide_here([Comparison("math", "x", "y"), Comparison("text", "x", "x")]) == ["not_gradable_yet", "correct"]


def test_an_unknown_type_is_not_gradable():
    assert compare("essay", "x", "x") == "not_gradable_yet"


LETTERS = st.sets(st.sampled_from("ABCD"), min_size=1).map(sorted)
JOINERS = st.sampled_from(["", ", ", ",", " and ", "; ", " ", "/"])


@given(LETTERS, st.randoms(), JOINERS, st.sampled_from(["{}", "({})", "[{}]", "${}$", r"\text{{{}}}", "**{}**"]))
def test_a_set_of_letters_equals_itself_in_any_order_and_spelling(letters, random, joiner, wrapper):
    shuffled = random.sample(letters, len(letters))
    assert compare("choices", "".join(letters), wrapper.format(joiner.join(shuffled))) == "correct"
    assert compare("choices", joiner.join(shuffled), "".join(letters)) == "correct"


@given(LETTERS, LETTERS)
def test_different_sets_of_letters_differ(letters, others):
    assume(letters != others)
    assert compare("choices", "".join(letters), ", ".join(others)) == "wrong"


@given(NUMBERS, NUMBERS, st.decimals(min_value=0, max_value=10, places=3))
def test_an_absolute_tolerance_is_exact_and_symmetric(gold, prediction, tolerance):
    context = json.dumps({"tolerance": str(tolerance), "tolerance_kind": "absolute"})
    is_near = abs(Fraction(gold) - Fraction(prediction)) <= Fraction(tolerance)
    verdict = "correct" if is_near else "wrong"
    assert compare("numeric", f"{gold:f}", f"{prediction:f}", context) == verdict
    assert compare("numeric", f"{prediction:f}", f"{gold:f}", context) == verdict


@given(NUMBERS, st.decimals(min_value=0, max_value=1, places=3))
def test_a_relative_tolerance_includes_its_bound(gold, tolerance):
    context = json.dumps({"tolerance": str(tolerance), "tolerance_kind": "relative"})
    bound = Fraction(gold) + Fraction(tolerance) * abs(Fraction(gold))
    assert compare("numeric", f"{gold:f}", f"{bound.numerator}/{bound.denominator}", context) == "correct"
    beyond = bound + Fraction(1, 10**6)
    assert compare("numeric", f"{gold:f}", f"{beyond.numerator}/{beyond.denominator}", context) == "wrong"


@given(NUMBERS)
def test_a_number_equals_itself_in_any_spelling(number):
    for spelling in _spellings(number):
        assert compare("numeric", f"{number:f}", spelling) == "correct", spelling


@given(NUMBERS, NUMBERS)
def test_different_numbers_differ_in_any_spelling(number, other):
    assume(number != other)
    for spelling in _spellings(other):
        assert compare("numeric", f"{number:f}", spelling) == "wrong", spelling


@pytest.mark.parametrize("answer_type", ["numeric", "choice", "choices", "text"])
@given(first=ANSWERS, second=ANSWERS)
def test_comparison_is_symmetric(answer_type, first, second):
    verdicts = {compare(answer_type, first, second), compare(answer_type, second, first)}
    # An unreadable gold answer is a grader error, an unreadable prediction is wrong.
    assert len(verdicts) == 1 or verdicts == {"wrong", "grader_error"}


@pytest.mark.parametrize("answer_type", sorted(COMPARISONS))
@given(gold=ANSWERS, prediction=ANSWERS)
def test_no_text_breaks_a_comparison(answer_type, gold, prediction):
    assert compare(answer_type, gold, prediction) in ("correct", "wrong", "grader_error", None)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner), max_leaves=8))
def test_a_python_value_equals_its_own_literal(value):
    assert compare("python_output", repr(value), f" {value!r}\n") == "correct"


@pytest.mark.parametrize("numeral", ["1e401", "1e-401", "10^{99999999}", "9" * 401, "1e" + "9" * 300])
def test_huge_numbers_are_not_read(numeral):
    assert read_quantity(numeral) is None


def test_a_huge_literal_is_not_parsed():
    assert compare("python_output", "4", "[" + "1, " * 400_000 + "]") == "grader_error"
