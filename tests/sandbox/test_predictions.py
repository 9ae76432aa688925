"""Verdicts on predicted inputs, honest ones and ones that try to cheat."""

import json

import pytest

from advcluster_dagster.sandbox.deciding import Deciders
from advcluster_dagster.science.grading.comparison import Comparison

IDENTITY = "def f(x):\n    return x"
STATED = "'stated output'"
FORGED_CODE = f"(lambda x: {STATED}).__code__"

# Code, stated output, prediction.
RIGHT = [
    ("def f(a, b):\n    return [a, b]", "[1, {'k': (2, {3}), 'l': b'x'}]", "1, {'k': (2, {3}), 'l': b'x'}"),
    ("def f(a, b):\n    return a - b", "-3", "b=-1, a=-4"),
    ("def f(*a, **b):\n    return a, b", "((1, 2), {'k': 3})", "*[1, 2], **{'k': 3}"),
    ("def f(list, sum):\n    return list * sum", "[0, 0]", "sum=2, list=[0]"),
    ("def f(text):\n    return len(text)", "20", "''.join(['A'] * 20)"),
    ("def f(xs, keep):\n    return [x for x in xs if keep(x)]", "[0, 1]", "[0, 3, 1], lambda x: x < 2"),
    ("def f(xs, g):\n    g(xs)\n    return xs", "[2, 1]", "[1, 2], (lambda x: x.reverse())"),
    ("def f(xs, g):\n    g(xs)\n    return xs", "[2, 1]", "[1, 2], list.reverse"),
    ("def f(xs, g):\n    return [g(x) for x in xs]", "['A', 'B']", "'ab', str.upper"),
    ("def f(xs, g):\n    return [g(x) for x in xs]", "[1, 0]", "'ba', 'ab'.index"),
    ("def f(x):\n    return x", "'A'", "'a'.upper().lower().upper()"),
    ("def f(g):\n    return g('ab')", "['A', 'B']", "lambda s: [c.upper() for c in s]"),
    ("def f(g):\n    return g('ab')", "('ab', 7)", "lambda x, *, y=7: (x, y)"),
    ("def f(d, k):\n    return d[k]", "1", "dict(did=1), 'did'"),
    (IDENTITY, "{'a': 0, 'b': 0}", "dict.fromkeys('ab', 0)"),
    (IDENTITY, "'7.50'", "f'{15 / 2:.2f}'"),
    (IDENTITY, "[1, 2, 3]", "sorted({3, 1, 2}, key=lambda n: n)"),
    (IDENTITY, "b'ab'", "bytearray(b'ab')"),
    (IDENTITY, "'_'", "'__class__'[0]"),
    # Data defined by the benchmark's code: predictions get a copy, so they cannot change it for the function.
    ("limit = 1000\ndef f(n):\n    return n < limit", "True", "limit - 1"),
]  # fmt: skip
WRONG = [
    # The function, a built-in or the worker replaced.
    (IDENTITY, STATED, f"""f((lambda eval: 0)(0) or eval("setattr(f,'__code__',{FORGED_CODE})"))"""),
    (IDENTITY, STATED, f"f((lambda setattr: 0)(0) or setattr(f, '__code__', {FORGED_CODE}))"),
    (IDENTITY, STATED, f"f([0 for exec in [0]] and exec('f.__code__ = {FORGED_CODE}'))"),
    (IDENTITY, STATED, f"setattr(f, '__code__', {FORGED_CODE})"),
    (IDENTITY, STATED, f"f.__code__.replace(co_consts=({STATED},))"),
    (IDENTITY, STATED, f"(f := lambda x: {STATED})"),
    (IDENTITY, STATED, f"(lambda f: f)(lambda x: {STATED})(1)"),
    (IDENTITY, STATED, f"[f for f in [lambda x: {STATED}]][0]"),
    (IDENTITY, STATED, f"f(0) or {STATED}"),
    (IDENTITY, STATED, f"1) or ({STATED}"),
    (IDENTITY, STATED, f"1), ({STATED}"),
    (IDENTITY, STATED, f"[c for c in ().__class__.__base__.__subclasses__()] and {STATED}"),
    (IDENTITY, STATED, f"print({STATED})"),
    (IDENTITY, STATED, f"exit({STATED})"),
    # The function's data changed, so that an input gives an otherwise impossible output.
    ("seen = []\ndef f(x):\n    seen.append(x)\n    return len(seen)", "2", "seen.append(0) or 1"),
    ("seen = []\ndef f(x):\n    seen.append(x)\n    return len(seen)", "2", "f(f(0))"),
    ("seen = []\ndef f(x):\n    seen.append(x)\n    return len(seen)", "2", "[seen.append(n) for n in range(9)]"),
    ("rates = {'a': 1}\ndef f(k):\n    return rates[k]", "5", "rates.update(a=5) or 'a'"),
    # Modules, functions, classes and frames that the benchmark's code passes to a lambda.
    ("import copy\ndef f(g):\n    return g(copy)", "[1]", "lambda m: m.copy([1])"),
    ("class A:\n    def pop(self):\n        return 7\ndef f(g):\n    return g(A())", "7", "lambda a: a.pop()"),
    ("def f(g):\n    return g(str)", "'A'", "lambda s: s.upper('a')"),
    ("import copy\ndef f(g):\n    return g(copy)", "'copy'", "lambda m: [1].index(1) or m.copy and 'copy'"),
    ("def f(g):\n    return g(f)", STATED, f"lambda h: h.__code__ or {STATED}"),
    ("import sys\ndef f(g):\n    return g(sys)", STATED, "lambda s: s._getframe(1).f_globals"),
    # Imports and definitions of the code other than data cannot be named.
    ("import os\ndef f(x):\n    return x", "'posix'", "os.name"),
    ("def g():\n    return 1\ndef f(x):\n    return x", "1", "g()"),
    # More than one call, or a comparison that does not state the output.
    (IDENTITY, "1", "f(0) != 1"),
    (IDENTITY, "1", "f(1), f(1)"),
    (IDENTITY, "1", "f(1) and f(1)"),
    (IDENTITY, "True", "f(0) < 1"),
    ("def f(x):\n    return lambda y: y", "1", "f(0)(1)"),
]  # fmt: skip


@pytest.fixture(scope="module")
def deciders():
    with Deciders(2) as opened:
        yield opened


@pytest.fixture(scope="module")
def verdicts(deciders):
    return deciders.decide_many([_comparison(*case) for case in RIGHT + WRONG])


def _comparison(code, output, prediction):
    return Comparison("python_input", "", prediction, json.dumps({"code": code, "output": output}))


@pytest.mark.parametrize("number", range(len(RIGHT)), ids=[prediction for _, _, prediction in RIGHT])
def test_right_predictions(verdicts, number):
    assert verdicts[number] == "correct"


@pytest.mark.parametrize("number", range(len(WRONG)), ids=[prediction for _, _, prediction in WRONG])
def test_wrong_predictions(verdicts, number):
    assert verdicts[len(RIGHT) + number] == "wrong"


def test_each_call_runs_in_a_process_of_its_own(deciders):
    # A program that counts its calls in a module which the worker has loaded beforehand.
    code = "import string\ndef f(x):\n    string.calls = getattr(string, 'calls', 0) + 1\n    return string.calls"
    assert deciders.decide_many([_comparison(code, "1", str(n)) for n in range(20)]) == ["correct"] * 20


def test_numbers_and_texts_that_python_cannot_write_out_get_a_verdict(deciders):
    # 0xff...f with 5000 digits exceeds the number of decimal digits that Python converts by default.
    long_number, nested_quotes = f"0x{'f' * 5000}", """f'{"a" + 'b'}'"""
    predictions = [f"{long_number} % 16", "'\\ud800'", "'\\x00'", nested_quotes, "\ud800", "'\x00'"]
    outputs = ["15", "'\\ud800'", "'\\x00'", "'ab'", "1", "1"]
    comparisons = [_comparison(IDENTITY, output, text) for output, text in zip(outputs, predictions, strict=True)]
    # Python 3.12 reads the quotes within quotes, 3.11 does not.
    assert deciders.decide_many(comparisons)[:3] == ["correct"] * 3
    assert deciders.decide_many(comparisons)[4:] == ["wrong"] * 2
