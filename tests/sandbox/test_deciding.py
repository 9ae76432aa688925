import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advcluster_dagster.contracts.inference import ANSWER_TYPES
from advcluster_dagster.sandbox.deciding import Deciders
from advcluster_dagster.sandbox.jobs import JOBS, timed
from advcluster_dagster.science.grading.comparison import Comparison
from advcluster_dagster.study.grading import Grading

FOLDER = Path(__file__).parents[1] / "cases/grading"
#: Cases that need a worker process; those of ``comparisons.jsonl`` are in ``science/grading/test_comparison.py``.
CASES = [json.loads(line) for line in (FOLDER / "decisions.jsonl").open()]


def _comparison(case):
    return Comparison(case["answer_type"], case["gold"], case["prediction"], case.get("context"))


@pytest.fixture(scope="module")
def deciders():
    with Deciders(2) as opened:
        yield opened


@pytest.fixture(scope="module")
def verdicts(deciders):
    return deciders.decide_many([_comparison(case) for case in CASES])


def _name(case):
    return f"{case['answer_type']}: {case['gold'][:20]} / {case['prediction'][:40]}"


@pytest.mark.parametrize("number", range(len(CASES)), ids=[_name(case) for case in CASES])
def test_cases(verdicts, number):
    assert verdicts[number] == CASES[number]["verdict"], CASES[number]["source"]


def test_there_are_many_cases_of_each_type_and_each_names_its_source():
    cases = [*CASES, *(json.loads(line) for line in (FOLDER / "comparisons.jsonl").open())]
    assert len(cases) >= 300
    for answer_type in ANSWER_TYPES:
        assert sum(case["answer_type"] == answer_type for case in cases) >= 15
    assert all(case["source"] for case in cases)


def test_no_worker_is_started_without_need():
    with Deciders() as deciders:
        assert deciders.decide_many([Comparison("choice", "A", "b"), Comparison("math", "5", "5.0")]) == [
            "wrong",
            "correct",
        ]
        assert deciders.decide_many([]) == []
    assert deciders.facts == {}


def test_the_level_of_the_sandbox_is_told(deciders, verdicts):
    assert deciders.facts["sandbox"].endswith("resource limits")


def test_workers_are_healthy_after_hanging(deciders):
    hangs = [Comparison("math", "7", rf"\sum_{{k=1}}^{{9999{n}}} \frac{{1}}{{k^2+\sqrt{{k}}}}") for n in (3, 4, 5)]
    honest = [Comparison("math", rf"{n}\sqrt{{2}}", rf"\sqrt{{{2 * n * n}}}") for n in range(2, 8)]
    verdicts = deciders.decide_many([*honest, *hangs, *honest])
    # n sqrt(2) = sqrt(2 n^2)
    assert verdicts == ["correct"] * 6 + ["grader_timeout"] * 3 + ["correct"] * 6


def test_time_limits_are_those_of_the_settings():
    defaults = Grading()
    limits = {name: job.limits.cpu_s for name, job in JOBS.items()}
    assert limits == {"mathematics": defaults.math_timeout_s, "programs": defaults.program_timeout_s}
    assert timed(JOBS["programs"], 30.0).limits.wall_s == 300
    assert timed(JOBS["programs"], 0.1).limits.wall_s == JOBS["programs"].limits.wall_s


def test_another_time_limit_decides_otherwise():
    # About 0.3 s of counting on a slow machine: within 20 s of CPU time, beyond 0.01 s.
    context = json.dumps({"code": "def f(n):\n    return sum(1 for _ in range(n))", "output": "3000000"})
    hang = Comparison("math", "7", r"\sum_{k=1}^{99993} \frac{1}{k^2+\sqrt{k}}")
    comparisons = [Comparison("python_input", "1", "3000000", context), hang]
    with Deciders(1, math_cpu_s=0.2, program_cpu_s=20.0) as patient:
        assert patient.decide_many(comparisons) == ["correct", "grader_timeout"]
    with Deciders(1, program_cpu_s=0.01) as hasty:
        assert hasty.decide_many(comparisons[:1]) == ["grader_timeout"]


@settings(max_examples=15, deadline=None)
@given(st.integers(-50, 50), st.integers(1, 50), st.integers(2, 9))
def test_equal_values_are_equal_both_ways(deciders, top, bottom, factor):
    # a/b + x^2 in two spellings
    first = rf"\frac{{{top}}}{{{bottom}}}+x^2"
    second = rf"x^2+\frac{{{top * factor}}}{{{bottom * factor}}}"
    pairs = [Comparison("math", first, second), Comparison("math", second, first)]
    assert deciders.decide_many(pairs) == ["correct", "correct"]
    others = [Comparison("math", first, second + "+1"), Comparison("math", second + "+1", first)]
    assert deciders.decide_many(others) == ["wrong", "wrong"]


@settings(max_examples=30, deadline=None)
@given(st.text(max_size=30), st.sampled_from(["5", r"\frac{1}{2}", "(1,2)", "x=3"]))
def test_any_text_gets_a_verdict(deciders, text, gold):
    (verdict,) = deciders.decide_many([Comparison("math", gold, text)])
    assert verdict in ("correct", "wrong", "grader_error", "grader_timeout")


LITERALS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=30, deadline=None)
@given(LITERALS, LITERALS)
def test_the_identity_returns_its_input(deciders, value, other):
    context = json.dumps({"code": "def f(x):\n    return x", "output": repr(value)})
    verdicts = deciders.decide_many(
        [Comparison("python_input", repr(value), repr(given), context) for given in (value, other)]
    )
    assert verdicts == ["correct", "correct" if other == value else "wrong"]


def test_equal_runs_are_run_once(deciders, monkeypatch):
    ran = []
    run = Deciders._run
    monkeypatch.setattr(Deciders, "_run", lambda self, job, tasks: ran.extend(tasks) or run(self, job, tasks))
    context = json.dumps({"code": "def f(x):\n    return x + 1", "output": "2"})
    spellings = ["1", "f(1)", " 1 ", "assert f(1) == 2"]
    verdicts = deciders.decide_many([Comparison("python_input", "1", text, context) for text in spellings])
    assert verdicts == ["correct"] * 4
    assert [task["call"] for task in ran] == ["f(1)"]
