"""Questions, answers and slips of every kind of simulated problem."""

import ast
import re

import polars as pl
import pytest

from advcluster_dagster.demo.simulation.problems import DOMAIN_SKILLS, SKILL_STAGES, Problem
from advcluster_dagster.demo.simulation.questions import BUILT_IN_BENCHMARKS, problem_bank, simulated_questions

DOMAINS = list(BUILT_IN_BENCHMARKS)


def bank(domain: str, seed: int = 0) -> tuple[Problem, ...]:
    return problem_bank(BUILT_IN_BENCHMARKS[domain][0], domain, seed)


@pytest.mark.parametrize("domain", DOMAINS)
def test_table_of_questions(domain: str) -> None:
    frame = simulated_questions("my-benchmark", domain, 3)
    assert frame.columns == [
        "question_id", "question", "prompt", "answer", "answer_type", "source", "source_revision",
        "source_key",
    ]  # fmt: skip
    assert frame.height == 24  # six kinds, four questions each
    assert frame["question_id"].to_list() == [f"my-benchmark-{number:03d}" for number in range(24)]
    assert frame["prompt"].n_unique() == 24
    assert frame.null_count().sum_horizontal().item() == 0
    assert set(frame["answer_type"]) <= {"numeric", "choice", "text", "python_output"}
    assert frame["source"].unique().to_list() == ["simulated"]
    marker = "[ANSWER]" if domain == "programming" else "\\boxed{}"
    assert frame["prompt"].str.contains(marker, literal=True).all()


def test_same_seed_same_questions_and_other_seed_others() -> None:
    one = simulated_questions("b", "math", 1)
    problem_bank.cache_clear()
    assert one.equals(simulated_questions("b", "math", 1))
    assert not one["prompt"].equals(simulated_questions("b", "math", 2)["prompt"])
    assert not one["prompt"].equals(simulated_questions("c", "math", 1)["prompt"])


def test_unknown_domain_is_named() -> None:
    with pytest.raises(ValueError, match="domain poetry: simulated questions exist for math, physics"):
        simulated_questions("b", "poetry", 0)


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("seed", [0, 7])
def test_every_slip_leads_to_a_wrong_answer(domain: str, seed: int) -> None:
    for problem in bank(domain, seed):
        assert problem.solve(None).final == problem.answer
        assert len(problem.slips) >= 3
        for skill, slips in problem.slips.items():
            assert skill in SKILL_STAGES
            for slip in slips:
                assert problem.solve(slip).final != problem.answer, (problem.question, slip)
                assert slip.stage == SKILL_STAGES[skill]


@pytest.mark.parametrize("domain", DOMAINS)
def test_only_the_own_domain_calls_for_a_special_skill(domain: str) -> None:
    special = {skill for problem in bank(domain) for skill in problem.slips} & set(DOMAIN_SKILLS.values())
    assert special == {DOMAIN_SKILLS[domain]}


def test_worked_steps_are_true_without_a_slip() -> None:
    for domain in ("math", "physics", "chemistry"):
        for problem in bank(domain):
            for line in problem.solve(None).lines:
                assert eval(line.working) == pytest.approx(float(line.result)), line  # our own arithmetic


def test_a_misread_value_is_carried_through() -> None:
    problem = next(p for p in bank("math") if p.answer_type == "numeric")
    slip = problem.slips["copying_values"][0]
    solution = problem.solve(slip)
    assert (slip.place, slip.change) in [(symbol, value) for _, symbol, value in solution.givens]
    for line in solution.lines:
        assert eval(line.working) == pytest.approx(float(line.result))
    assert solution.lines[-1].result == solution.final


def test_programs_are_executed_for_their_answer() -> None:
    for problem in bank("programming"):
        argument = re.match(r"What does f\((.*)\) return", problem.question)
        assert argument is not None
        code = problem.question.split("\n\n", 1)[1]
        assert not re.search(r"#|\[\[|<<|note\(|check\(", code)
        namespace: dict[str, object] = {}
        exec(code, namespace)
        result = namespace["f"](ast.literal_eval(argument[1]))  # type: ignore[operator]
        assert repr(result) == problem.answer


def test_choice_options_hold_the_answer_once() -> None:
    for domain in ("math", "physics", "chemistry"):
        for problem in bank(domain):
            if problem.answer_type == "choice":
                options = re.findall(r"^\(([A-D])\) (.+)$", problem.question, re.MULTILINE)
                assert [letter for letter, _ in options] == list("ABCD")
                assert len({value for _, value in options}) == 4
                assert problem.solve(None).lines[-1].result == dict(options)[problem.answer]


def test_questions_are_no_frame_of_nulls_when_written() -> None:
    assert simulated_questions("b", "physics", 0).schema["answer"] == pl.String
