"""Divergence of two solutions, on short texts in many styles."""

import ast
from pathlib import Path

import pytest

from advcluster_dagster.demo import analyst
from advcluster_dagster.demo.analyst.arithmetic import read_sum, sum_at_end
from advcluster_dagster.demo.analyst.divergence import find_divergence
from advcluster_dagster.demo.analyst.equations import false_equations, unknowns_of
from advcluster_dagster.demo.analyst.findings import STAGES, Difference, Finding, NoContrast
from advcluster_dagster.demo.analyst.phrasing import _PHRASES, advantages_of
from advcluster_dagster.demo.analyst.reading import read_trace

CAR = "A car at 24 m/s speeds up by 9 m/s2 for 3 s. Final speed in m/s?"
CAR_RIGHT = "Use v=u+at. u=24, a=9, t=3. a*t=27. v=24+27=51. \\boxed{51}"
LOOP = "What does f([13, 24]) return?\n\ndef f(items):\n    return sum(items)"
LOOP_RIGHT = "x = 13: total = 0 + 13 = 13.\nx = 24: total = 13 + 24 = 37.\n[ANSWER]37[/ANSWER]"
BRANCH_RIGHT = "x = 13: x > 9 is true, so n becomes 1.\nx = 24: x > 9 is true, so n becomes 2.\n[ANSWER]2[/ANSWER]"
SHOP = "A shop sells 48 lamps at 25 dollars; 12 come back. What is left of the income?"
SHOP_RIGHT = "Sold: 48 - 12 = 36. Income: 36 * 25 = 900. \\boxed{900}"

CASES = [
    (CAR, CAR_RIGHT, "Use v=u+at. u=42, a=9, t=3. a*t=27. v=42+27=69. \\boxed{69}", Difference.MISCOPIED),
    (CAR, CAR_RIGHT, "$9 \\times 3 = 27$. $42 + 27 = 69$. \\boxed{69}", Difference.MISCOPIED),
    (CAR, CAR_RIGHT, "u=24, a=9, t=3. a*t=27. v=24+27=41. \\boxed{41}", Difference.MISCALCULATED),
    (CAR, CAR_RIGHT, "u=24, a=9, t=3. a*t=56. v=24+56=80. \\boxed{80}", Difference.MISCALCULATED),
    (CAR, CAR_RIGHT, "9*3=27. \\boxed{27}", Difference.OTHER_GOAL),
    (CAR, CAR_RIGHT, "9*3=27. 24-27=-3. \\boxed{-3}", Difference.OTHER_RELATION),
    (CAR, CAR_RIGHT, "9*3=27. 24+27=51. In km/h this is \\boxed{183.6}", Difference.MISSTATED),
    (CAR, CAR_RIGHT, "", NoContrast.WRONG_WITHOUT_REASONING),
    (CAR, "51", "9*3=27. 24+27=41.", NoContrast.RIGHT_WITHOUT_REASONING),
    (CAR, "51", "\\boxed{41}", NoContrast.NO_REASONING),
    (CAR, CAR_RIGHT, "9*3=27. Then we", NoContrast.UNFINISHED),
    (CAR, CAR_RIGHT, "9*3=27. 24+27=5", NoContrast.UNFINISHED),
    (CAR, CAR_RIGHT, "9*3=27. 24+27=41. Then we", Difference.MISCALCULATED),
    (SHOP, SHOP_RIGHT, "Income: 48 * 25 = 1200. \\boxed{1200}", Difference.OMITTED),
    (SHOP, SHOP_RIGHT, "They sold 48 - 12 = <<48-12=36>>36 lamps\nThey made 36*30=$<<36*30=1080>>1,080\nA: 1080",
     Difference.INVENTED),
    ("4 mol X give 8 mol Y. How much Y from 6 mol X?", "6 * 8 / 4 = 12. \\boxed{12}", "6 * 4 / 8 = 3. \\boxed{3}",
     Difference.INVERTED),
    ("Which is cheaper, North or South?", "North: 2 * 3 = 6. South: 2 * 4 = 8. \\boxed{North}",
     "North: 2 * 3 = 6. South: 2 * 4 = 8. \\boxed{South}", NoContrast.NOT_LOCATED),
    ("Which is cheaper, North or South?",
     "North: 2 * 3 = 6. South: 2 * 4 = 8. The smaller sum is at North. \\boxed{North}",
     "North: 2 * 3 = 6. South: 2 * 4 = 8. The larger sum is at South. \\boxed{South}", Difference.OTHER_GOAL),
    ("Which is cheaper? (A) 6 (B) 8", "2 * 3 = 6, which is option A. \\boxed{A}", "2 * 3 = 6. \\boxed{6}",
     Difference.MISSTATED),
    (SHOP, SHOP_RIGHT, "48 - 12 = 36. The answer is 36.", Difference.OTHER_GOAL),
    (SHOP, SHOP_RIGHT, "48 - 12 = 36. 36 * 25 = 900. 900 / 12 = 75. The answer is 75.", Difference.MISSTATED),
    (SHOP, SHOP_RIGHT, "48 - 12 = 36. 36 * 25 = 900. 900 - 48 = 852. The answer is 852.", Difference.OTHER_GOAL),
    (SHOP, SHOP_RIGHT, "48 - 12 = 36. 36 * 25 = 900. The answer is 871.", NoContrast.NOT_LOCATED),
    (SHOP, SHOP_RIGHT, "48 lamps bring 48 * 25 = 1200. 12 * 25 = 300 go back. 1200 - 300 = 900. The answer is 87.",
     NoContrast.NOT_LOCATED),
    (LOOP, LOOP_RIGHT, LOOP_RIGHT.replace("37", "38"), Difference.MISCALCULATED),
    (LOOP, LOOP_RIGHT, LOOP_RIGHT.replace("37[", "'37'["), Difference.MISSTATED),
    (LOOP, LOOP_RIGHT, "We trace f([13, 42]).\n" + LOOP_RIGHT.replace("24", "42"), Difference.MISCOPIED),
    (LOOP, BRANCH_RIGHT, BRANCH_RIGHT.replace("true, so n becomes 2", "false, so n becomes 1"), Difference.MISTRACED),
    (LOOP, BRANCH_RIGHT, "x = 13: x > 9 is true, so n becomes 1.\nx = 13: n becomes 1.\n[ANSWER]1[/ANSWER]",
     Difference.MISTRACED),
    ("s='fcabc'; s=s[::-1]. What is s?", "Reverse: c-b-a-c-f. \\boxed{cbacf}", "Reverse: c-b-a-f-c. \\boxed{cbafc}",
     Difference.MISCALCULATED),
    ("Why?", "Because of this.", "Because of this.", NoContrast.UNFINISHED),
    ("What is the value of x if 3x + 4 = 19?", "3x = 19 - 4 = 15, so x = 5. #### 5",
     "3x = 19 + 4. So x = 7.67. #### 7.67",
     Difference.OTHER_RELATION),
]  # fmt: skip


@pytest.mark.parametrize(("problem", "right", "wrong", "expected"), CASES)
def test_first_difference(problem: str, right: str, wrong: str, expected: Difference | NoContrast) -> None:
    result = find_divergence(problem, right, wrong)
    assert (result.difference if isinstance(result, Finding) else result) is expected


def test_wording_and_order_of_words_do_not_count() -> None:
    wrong = "Step 1: Now. 3 s at 9 m/s2 add 9 \\cdot 3 = 27.\nStep 2: So (24 + 27) = 50 m/s. **Answer:** \\boxed{50}"
    result = find_divergence(CAR, CAR_RIGHT, wrong)
    assert isinstance(result, Finding)
    assert result.wrong_at == 2
    assert result.difference is Difference.MISCALCULATED
    assert "24 + 27" in result.wrong_text
    assert "24+27" in result.right_text


def test_sums() -> None:
    result = read_sum("(2 + 3) * 4 - 6 / 3")
    assert result is not None
    # 5 * 4 - 2 = 18; parts: 2+3, 5*4, 6/3, 20-2
    assert result.value == 18
    assert result.parts == (5, 20, 2, 18)
    assert result.operands == (2, 3, 4, 6, 3)
    assert read_sum("2 / 0") is None
    assert read_sum("9 ^ 99") is None
    assert read_sum("(1 + 2") is not None
    assert sum_at_end("altogether 7") is None


def test_rounding_is_no_error() -> None:
    trace = read_trace(
        "7 / 3 = 2.333. 7 / 3 = 2.34. 1,000 * 2 = 2000. 10 / 4 = 3. 8 / 3 = 2.66. 1 / 4 = 25%. 5 * 3 = 15 + 2 = 17."
    )
    # 2.3333 to three places; 2.34 is not a rounding of it; 2.5 may be rounded to 3; 2.66 is 2.666... truncated;
    # a share in per cent; two calculations joined, 15 being the value of the first
    assert [result.is_sound for result in trace.calculations] == [True, False, True, True, True, True, True, True]


def test_sums_with_units_and_names() -> None:
    trace = read_trace("3 days * 24 hours/day = 72 hours. 40 x $2 = $80.\nprice = 5\ntotal = price * 3\nprint(total)")
    assert [(result.sum.value, result.claimed, result.at) for result in trace.calculations] == [
        (72, 72, 0), (80, 80, 1), (15, 15, 3)
    ]  # fmt: skip
    assert trace.result == 15
    # An expression next to an unknown, a root or a power has no value.
    for text in (
        "x + 2 + 3 = 5 + x",
        "(y-24)^2 = 625",
        "f(2) + 1 = 9",
        "20 = 1/2 * size",
        "12 / 4 = 6 / x",
        "3% of 40 = 0.03 * 40",
    ):
        assert not [result for result in read_trace(text).calculations if not result.is_sound], text
    assert [result.sum.value for result in read_trace("2(6 + 1.5) = 15. So 12 = 3 * 4.").calculations] == [15, 12]


def test_equations_are_tried_with_the_right_value() -> None:
    problem = "7 bags of x nuts and 4 nuts are 39 nuts. What is the value of unknown variable x?"
    right = read_trace("7x + 4 = 39. 7x = 35. x = 5.")
    values = unknowns_of(problem, right)
    assert values == {"x": 5.0}
    # 7 * 5 = 35, not 39; x = 39 / 7 is not 5; 7 * 5 + 4 = 39 holds; other letters are ignored
    texts = ["So 7x = 39.", "x = 39/7.", "We write 7 * x + 4 = 39.", "7y = 39."]
    assert [list(false_equations(text, values)) for text in texts] == [[False], [True], [], []]
    # Not asked for, or with several values.
    assert unknowns_of("A car at 5 m/s for x s, x > 3.", read_trace("x = 4.")) == {}
    assert unknowns_of("Find x if x * x = 16.", read_trace("x = 4 or x = -4.")) == {}
    assert list(false_equations("Case 2: x = 7", {"x": 5.0})) == []


def test_final_answers() -> None:
    assert read_trace("so \\boxed{\\frac{1}{2}}").final == "\\frac{1}{2}"
    assert read_trace("x\n#### 42").final == "42"
    assert read_trace("The answer is 42.").final == "42"
    assert read_trace("**Answer:** 42").final == "42"
    assert read_trace("Step 3: #### 42").final == "42"
    assert read_trace("She has 3 left.\nSo she pays $1,234 in all.").final == "1,234"
    assert read_trace("She has 3 left. So she pays $1,234 and").final is None
    assert read_trace('{"reasoning": "the word "x" is 6 * 7 = 42", "answer": "42"}').final == "42"
    assert read_trace("The answer is presented in the form that was asked for below.").final is None
    assert read_trace('```json\n{"reasoning": "6 * 7 = 42.", "answer": 42}\n```').final == "42"
    assert read_trace("[ANSWER][1, 2][/ANSWER]").final == "[1, 2]"
    assert read_trace("nothing").final is None


def test_every_difference_has_a_stage_and_words() -> None:
    assert set(STAGES) == set(Difference) == set(_PHRASES)


def test_equal_findings_read_alike_and_others_vary() -> None:
    findings = [
        find_divergence(CAR, CAR_RIGHT, f"9*3=27. 24+27={wrong}. \\boxed{{{wrong}}}") for wrong in range(60, 80)
    ]
    assert all(isinstance(finding, Finding) for finding in findings)
    texts = [tuple(advantages_of(finding)) for finding in findings]
    assert texts == [tuple(advantages_of(finding)) for finding in findings]
    assert len({text for pairs in texts for text, _ in pairs}) > 10


def test_the_analyst_knows_nothing_of_the_simulation() -> None:
    for path in Path(str(analyst.__file__)).parent.glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        modules = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        assert not [module for module in modules if "simulation" in module]
