import json
import time
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advcluster_dagster.sandbox.deciding import Deciders
from advcluster_dagster.science.grading.comparison import Comparison
from advcluster_dagster.science.grading.context import AnswerContext
from advcluster_dagster.science.grading.errors import OversizedAnswerError, UnreadableAnswerError
from advcluster_dagster.science.grading.evaluation import Evaluator, UndefinedValueError
from advcluster_dagster.science.grading.expression_equality import are_equal
from advcluster_dagster.science.grading.expressions import read_expression
from advcluster_dagster.science.grading.forms import read_answer
from advcluster_dagster.science.grading.mathematics import (
    compare_math,
    compare_math_cheaply,
    compare_number,
    is_numeric_expression,
)
from advcluster_dagster.science.grading.notation import check_size, normalise_math
from advcluster_dagster.science.grading.vocabulary import is_word
from advcluster_dagster.science.grading.words import word_of

FOLDER = Path(__file__).parents[2] / "cases/grading"
CASES = [json.loads(line) for name in ("math", "numeric") for line in (FOLDER / f"{name}.jsonl").open()]


def _by_source():
    groups = {}
    for case in CASES:
        groups.setdefault((case["answer_type"], case["source"]), []).append(case)
    return groups


GROUPS = _by_source()


@pytest.fixture(scope="module")
def verdicts():
    comparisons = [
        Comparison(case["answer_type"], case["gold"], case["prediction"], case.get("context")) for case in CASES
    ]
    with Deciders(2) as deciders:
        return dict(zip(comparisons, deciders.decide_many(comparisons), strict=True))


@pytest.mark.parametrize("group", sorted(GROUPS), ids=lambda group: ": ".join(group))
def test_cases(verdicts, group):
    differing = [
        (case["gold"], case["prediction"], "wanted", case["verdict"], "got", verdict)
        for case in GROUPS[group]
        if (verdict := verdicts[Comparison(group[0], case["gold"], case["prediction"], case.get("context"))])
        != case["verdict"]
    ]
    assert differing == []


def test_there_are_many_cases_and_each_names_its_source():
    assert len(CASES) >= 2000
    assert all(case["source"] for case in CASES)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("$5$", "5"),
        (r"\boxed{5}.", "5"),
        ("6.02e23", r"6.02\times 10^{23}"),
        ("1e-6", r"1\times 10^{-6}"),
        (r"\left( 1, 2 \right]", "( 1, 2 ]"),
        (r"\dfrac{1}{2}", r"\frac{1}{2}"),
        ("x\u00b2 \u2264 10\u207b\u2076", r"x^{2} \le 10^{-6}"),
        # (16 - 1) / 90 = 1/6, (14 - 1) / 9 = 13/9
        (r"0.1\overline{6}", r"\frac{15}{90}"),
        (r"1.\dot{4}", r"\frac{13}{9}"),
        ("2e", "2e"),
        ("e^2", "e^2"),
        ("", ""),
    ],
)
def test_normal_texts(text, normal):
    assert normalise_math(text) == normal


@pytest.mark.parametrize(
    ("gold", "prediction", "is_right"),
    [
        ("x^2 + 1", "x^2+1", True),
        ("18", "18.0", True),
        ("1/2", "0.5", True),
        ("5", "6", False),
        ("5 m", "5 km", False),
        ("yes", r"\text{Yes}", True),
        ("no", "on", False),
        ("12", "1 2", None),
        ("1/3", "0.33", None),
        ("50%", "0.5", None),
        ("x=5", "y=5", None),
        ("x", "y", None),
        ("", "", None),
    ],
)
def test_cheap_comparisons(gold, prediction, is_right):
    assert compare_math_cheaply(gold, prediction) is is_right


@pytest.mark.parametrize("text", ["{" * 25 + "}" * 25, "x" * 1001, "-" * 30, r"\{" * 25])
def test_oversized_text_is_rejected(text):
    with pytest.raises(OversizedAnswerError):
        check_size(text)


@pytest.mark.parametrize(
    "text",
    ["10^{20001}", "2^{2^{20}}", "10^{10^{10}}", r"\left(10\right)^{10^{10}}", "5001!", "(5!)!!!^2", "(7!)!",
     "e^{10^8}", "2^{2^{2^{2^{2^{2}}}}}", r"\sin(10^{400})", r"\binom{6000}{3}", "9^{9^{9^{9^{9}}}}"],
)  # fmt: skip
def test_values_out_of_bounds_are_not_evaluated(text):
    with pytest.raises((OversizedAnswerError, UnreadableAnswerError)):
        compare_math(text, "7.5")
    assert compare_math("7.5", text) is False


@pytest.mark.parametrize(
    "text",
    # 2^(2^10) has 309 digits; 1^(9^9) is 1
    ["10^{20000}", "2^{2^{10}}", "2^{2024}", "2018!", "3!!", r"\binom{20}{10}", "1^{9^{9}}", "(3!)!"],
)
def test_values_within_bounds_are_evaluated(text):
    assert are_equal(read_expression(text), read_expression(f"{text}+1-1"))
    assert not are_equal(read_expression(text), read_expression(f"{text}+1"))


@given(st.text(alphabet="0123456789^{}()!-+ \\binomsum_", max_size=300))
def test_bounds_are_checked_on_any_text(text):
    try:
        check_size(text)
    except OversizedAnswerError:
        pass
    else:
        assert len(text) <= 1000


@pytest.mark.parametrize(
    ("run", "is_a_word"),
    [("no", True), ("on", True), ("ABCD", True), ("AB", True), ("HTH", True), ("stop", True), ("Yes", True),
     ("ab", False), ("xyz", False), ("mgh", False), ("abcd", False), ("kT", False), ("wxyz", False)],
)  # fmt: skip
def test_words_and_products_of_letters(run, is_a_word):
    assert is_word(run) is is_a_word


@pytest.mark.parametrize(
    ("text", "word"),
    [(r"\text{Yes}", "yes"), ("No solution.", "no solution"), (r"\text{5 cm}", None), (r"\text{e}", None),
     (r"\text{June 20}", "june 20"), ("11:30 a.m.", "11:30 am"), ("2x", None), (r"1 \text{ and } 2", None)],
)  # fmt: skip
def test_answers_that_are_words(text, word):
    assert word_of(text) == word


@pytest.mark.parametrize(
    ("text", "kind", "n_parts"),
    [
        ("5", "value", 0),
        ("1, 2, 3", "list", 3),
        (r"\{1, 2\}", "set", 2),
        (r"\emptyset", "set", 0),
        ("[1, 2)", "sequence", 2),
        (r"1 \pm 2", "list", 2),
        ("1 < x < 2", "relation", 3),
        (r"(0,1) \cup (2,3)", "union", 2),
        ("36_8", "based", 0),
        (r"x \equiv 3 \pmod{7}", "congruence", 2),
        (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", "matrix", 4),
    ],
)
def test_answers_are_parsed_into_forms(text, kind, n_parts):
    form = read_answer(text)
    assert (form.kind, len(form.parts)) == (kind, n_parts)


def test_a_gold_answer_that_cannot_be_read_is_an_error_and_a_prediction_is_wrong():
    assert compare_math("5", r"\frac{") is False
    with pytest.raises(UnreadableAnswerError):
        compare_math(r"\frac{", "5")


@pytest.mark.parametrize(
    ("text", "is_expression"),
    [("2^4", True), (r"\sqrt{2}", True), ("x = 2+3", True), (r"\sum_{k=1}^{9} k", True), ("five", False), ("5x", False),
     ("2^{", False), ("", False), ("5 or 6", False)],
)  # fmt: skip
def test_expressions_with_a_value(text, is_expression):
    assert is_numeric_expression(text) is is_expression


def test_expressions_are_compared_exactly_without_a_tolerance():
    # sqrt(8) = 2 sqrt(2), not 2.828427
    assert compare_number(r"2\sqrt{2}", r"\sqrt{8}", AnswerContext())
    assert not compare_number("2.828427", r"\sqrt{8}", AnswerContext())
    with pytest.raises(UnreadableAnswerError):
        compare_number(r"\frac{1}{0}", "5", AnswerContext())


RATIONALS = st.fractions(min_value=-50, max_value=50, max_denominator=40)
EXPRESSIONS = st.recursive(
    st.tuples(st.just("n"), RATIONALS),
    lambda inner: st.tuples(st.sampled_from("+-*/"), inner, inner),
    max_leaves=8,
)


def _latex(tree):
    if tree[0] == "n":
        return rf"\left(\frac{{{tree[1].numerator}}}{{{tree[1].denominator}}}\right)"
    left, right = _latex(tree[1]), _latex(tree[2])
    return {
        "+": rf"({left}+{right})",
        "-": rf"({left}-{right})",
        "*": rf"({left}\cdot {right})",
        "/": rf"\frac{{{left}}}{{{right}}}",
    }[tree[0]]


def _value(tree):
    if tree[0] == "n":
        return tree[1]
    left, right = _value(tree[1]), _value(tree[2])
    return {"+": left + right, "-": left - right, "*": left * right}[tree[0]] if tree[0] != "/" else left / right


@given(EXPRESSIONS)
def test_rational_expressions_have_their_exact_value(tree):
    evaluator = Evaluator(60, {}, is_real=True)
    node = read_expression(normalise_math(_latex(tree)))
    try:
        value = _value(tree)
    except ZeroDivisionError:
        with pytest.raises(UndefinedValueError):
            evaluator.value(node)
    else:
        assert evaluator.value(node) == value


@given(st.integers(-9, 9), st.integers(-9, 9), st.integers(-9, 9), st.integers(-9, 9))
def test_products_equal_their_expansion_only(a, b, c, d):
    # (a x + b)(c x + d) = ac x^2 + (ad + bc) x + bd
    product = f"({a}x+({b}))({c}x+({d}))"
    expanded = f"({a * c})x^2+({a * d + b * c})x+({b * d})"
    assert compare_math(product, expanded)
    assert not compare_math(product, f"{expanded}+10^{{-30}}")
    assert not compare_math(f"{expanded}+x^3", product)


@given(st.fractions(max_denominator=10**6), st.fractions(max_denominator=10**6))
def test_different_constants_differ_however_close(first, second):
    assert compare_math(f"{first} \\cdot \\pi", f"{second} \\cdot \\pi") == (first == second)


ALPHABET = st.sampled_from([*r"0123456789xye+-*/^_(){}[]|!,.;=<>\ ", r"\frac", r"\sqrt", r"\pi", r"\text", "$"])


@settings(deadline=2000)
@given(st.lists(ALPHABET, max_size=60).map("".join), st.sampled_from(["5", r"\frac{1}{2}", "(1,2)", "x=3", "x<2"]))
def test_any_text_is_compared_in_a_short_time(text, gold):
    start = time.process_time()
    assert compare_math(gold, text) in (True, False)
    assert time.process_time() - start < 2


@given(st.lists(ALPHABET, max_size=40).map("".join))
def test_a_text_that_can_be_read_equals_itself(text):
    try:
        form = read_answer(text)
    except (UnreadableAnswerError, OversizedAnswerError):
        return
    if form.node is not None and not form.unit:
        evaluator = Evaluator(60, dict.fromkeys("xy", Fraction(3, 2)), is_real=False)
        try:
            evaluator.value(form.node)
        except (UndefinedValueError, OversizedAnswerError):
            return
    assert compare_math(text, text)
