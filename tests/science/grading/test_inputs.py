from pathlib import Path

import pytest

from advcluster_dagster.science.grading.inputs import BUILTINS, is_input, read_call, read_names

NAMES = read_names("import math\nbase, other = [1, 2], 3\ndef helper(x):\n    inner = x\ndef f(x):\n    return x")

FOLDER = Path(__file__).parents[2] / "cases/grading"


def _lines(name):
    return [line for line in (FOLDER / name).read_text().splitlines() if not line.startswith("#")]


@pytest.mark.parametrize("arguments", ["", *_lines("inputs_allowed.txt")])
def test_expressions_that_are_inputs(arguments):
    assert is_input(f"f({arguments})", NAMES)


@pytest.mark.parametrize("arguments", _lines("inputs_refused.txt"))
def test_expressions_that_are_no_inputs(arguments):
    assert not is_input(f"f({arguments})", NAMES)


@pytest.mark.parametrize(
    "call", ["f", "g(1)", "f(1)(2)", "f(1).a()", "(f)(1), 2", "f(1) or 2", "lambda: f(1)", "f(1", "", "f[1]"]
)
def test_a_source_that_is_not_one_call_is_no_input(call):
    assert not is_input(call, NAMES)


def test_impure_built_in_functions_are_rejected():
    impure = "eval exec compile open getattr setattr delattr hasattr vars dir globals locals type object super input"
    impure += " print breakpoint help id memoryview callable format property classmethod staticmethod __import__"
    assert not BUILTINS & set(impure.split())


@pytest.mark.parametrize(
    ("text", "call"),
    [
        ("f(1)", "f(1)"),
        ("1", "f(1)"),
        (" 1 ", "f(1)"),
        ("", "f()"),
        ("1,", "f(1,)"),
        ("x=1", "f(x=1)"),
        ("(f(1))", "f(1)"),
        ("f(1) == 2", "f(1)"),
        ("f(1) is None", "f(1)"),
        ("2 == f(1)", "f(1)"),
        ("assert f(1) == 2", "f(1)"),
        ("assert(f(1) == 2)", "f(1)"),
        ("assert f(1) == 2, 'a message'", "f(1)"),
        ("assert f(1)", "f(1)"),
        ("f(1)  # a comment", "f(1)"),
        ("1  # a comment", "f(1  # a comment\n)"),
        ("```python\nf(1)\n```", "f(1)"),
        ("1 == 1", "f(1 == 1)"),
        ("f('é', 0)", "f('é', 0)"),
        # Several calls, or a nested call: the whole text is taken as arguments, which then name the function.
        ("f(1), f(2)", "f(f(1), f(2))"),
        ("f(1) and 2", "f(f(1) and 2)"),
        ("f(1)(2)", "f(f(1)(2))"),
        ("f(f(1))", "f(f(1))"),
        ("f(1) != 2", "f(f(1) != 2)"),
        ("f(1) < 2", "f(f(1) < 2)"),
        ("not f(1)", "f(not f(1))"),
        ("[f(1)]", "f([f(1)])"),
        # Brackets that close the call's own.
        ("1) or f(2", None),
        ("1) == (2", None),
        ("1), f(2", None),
        ("1)(2", None),
        ("f(1)\nf(2)", None),
        ("x = 1; f(x)", None),
        ("def f(x): return 1", None),
        ("f(1", None),
        ("the input is 5", None),
    ],
)
def test_the_call_in_a_prediction_is_extracted(text, call):
    assert read_call(text) == call


def test_names_of_a_program():
    names = read_names(
        "import a\nfrom b import c as d\nx = y = 1\nfor z in []: pass\ndef f(p):\n    q = 1\nclass G:\n    r = 1\n"
        "f = lambda s: s\ng = [t for t in []]"
    )
    assert names.all == {"a", "d", "x", "y", "z", "f", "G", "g"}
    assert names.assigned == {"x", "y", "z", "g"}
    assert read_names("").all == frozenset()
    with pytest.raises(SyntaxError):
        read_names("def f(:")
