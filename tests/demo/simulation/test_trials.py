"""Responses of simulated models, and the planted errors."""

import re
from collections import Counter

import polars as pl
import pytest

from advcluster_dagster.demo.simulation.problems import SKILL_STAGES, Problem
from advcluster_dagster.demo.simulation.profiles import PROFILES, plan_trial
from advcluster_dagster.demo.simulation.questions import BUILT_IN_BENCHMARKS, problem_bank
from advcluster_dagster.demo.simulation.trials import planted_slips, respond

BANKS = {domain: (names[0], problem_bank(names[0], domain, 0)) for domain, names in BUILT_IN_BENCHMARKS.items()}
TRIALS = 10


def stated_answer(problem: Problem, text: str) -> str | None:
    pattern = r"\[ANSWER\](.*?)\[/ANSWER\]" if problem.is_program else r"\\boxed\{(.*?)\}"
    matches = re.findall(pattern, text, re.DOTALL)
    return matches[-1] if matches else None


@pytest.mark.parametrize("domain", list(BANKS))
@pytest.mark.parametrize("model", list(PROFILES))
def test_right_exactly_when_nothing_was_planted(model: str, domain: str) -> None:
    for problem in BANKS[domain][1]:
        for trial in range(TRIALS):
            plan = plan_trial(model, problem, 0, trial)
            response = respond(model, problem, 0, trial)
            answer = stated_answer(problem, response.text)
            assert response.text
            assert response.finish_reason == ("length" if plan.outcome == "cut_off" else "stop")
            if plan.outcome == "complete":
                assert (answer == problem.answer) == (plan.slip is None)
            else:
                assert answer is None
                assert plan.slip is None


def test_runs_differ_and_repeat() -> None:
    problem = BANKS["math"][1][0]
    texts = [respond("lyra-large", problem, 0, trial).text for trial in range(TRIALS)]
    assert len(set(texts)) == TRIALS
    assert texts == [respond("lyra-large", problem, 0, trial).text for trial in range(TRIALS)]


def test_nothing_planted_is_told() -> None:
    names = "|".join([*SKILL_STAGES, *PROFILES])
    for _, problems in BANKS.values():
        for problem in problems:
            assert not re.search(names, problem.prompt)
            assert not re.search(names, respond("orion-small", problem, 0, 0).text)


@pytest.mark.parametrize("family", ["orion", "lyra"])
@pytest.mark.parametrize("domain", list(BANKS))
def test_enough_questions_with_a_gap(family: str, domain: str) -> None:
    problems = BANKS[domain][1]
    n_wrong: dict[str, Counter[str]] = {}
    for role in ("large", "small"):
        n_wrong[role] = Counter(
            problem.question_id
            for problem in problems
            for trial in range(TRIALS)
            if stated_answer(problem, respond(f"{family}-{role}", problem, 0, trial).text) != problem.answer
        )
    ids = [problem.question_id for problem in problems]
    kept = [name for name in ids if n_wrong["small"][name] - n_wrong["large"][name] >= 6]
    assert 8 <= len(kept) <= 14


def test_planted_table() -> None:
    frame = planted_slips("orion-small", "worked-physics", "physics", 0, TRIALS)
    assert frame.schema == {"question_id": pl.String, "trial": pl.Int64, "skill": pl.String, "stage": pl.String}
    assert frame.select("question_id", "trial").is_duplicated().sum() == 0
    assert frame["trial"].is_between(0, TRIALS - 1).all()
    assert all(SKILL_STAGES[row["skill"]] == row["stage"] for row in frame.to_dicts())
    # More trials only add rows.
    longer = planted_slips("orion-small", "worked-physics", "physics", 0, TRIALS + 5)
    assert longer.filter(pl.col("trial") < TRIALS).equals(frame)
    assert planted_slips("orion-small", "worked-physics", "physics", 0, 0).height == 0


def test_some_weaknesses_are_firm_and_some_scatter() -> None:
    frame = planted_slips("orion-small", "worked-math", "math", 0, TRIALS)
    stages = frame.group_by("question_id").agg(pl.len().alias("n"), pl.col("stage").n_unique())
    often = stages.filter(pl.col("n") >= 6)
    assert often.filter(pl.col("stage") == 1).height >= 4
    assert often.filter(pl.col("stage") >= 2).height >= 2


def test_larger_models_slip_less() -> None:
    for benchmark, domain in (("worked-math", "math"), ("worked-programs", "programming")):
        for family in ("orion", "lyra"):
            n_larger = planted_slips(f"{family}-large", benchmark, domain, 0, TRIALS).height
            n_smaller = planted_slips(f"{family}-small", benchmark, domain, 0, TRIALS).height
            assert 2 * n_larger < n_smaller


def test_unknown_model() -> None:
    with pytest.raises(KeyError):
        planted_slips("vega-small", "worked-math", "math", 0, 1)
