"""Trials of a simulated model: its response to a problem, and the error planted in it.

Planted errors are recomputed from the generator and occur in no trace, prompt or table of a study; they are used to
measure recovery by the analysis.
"""

from dataclasses import dataclass

import polars as pl

from advcluster_dagster.demo.simulation.problems import Problem
from advcluster_dagster.demo.simulation.profiles import PROFILES, plan_trial, stream
from advcluster_dagster.demo.simulation.questions import problem_bank
from advcluster_dagster.demo.simulation.wording import cut_response, drop_answer, write_response


@dataclass(frozen=True)
class TrialResponse:
    """Response text and finish reason (``stop``, or ``length`` when cut off) of one trial."""

    text: str
    finish_reason: str


def respond(model: str, problem: Problem, seed: int, trial: int) -> TrialResponse:
    """Generate the model's response in a trial, deterministically.

    Raises:
        KeyError: the simulated model does not exist.
    """
    plan = plan_trial(model, problem, seed, trial)
    rng = stream(seed, "wording", model, problem.prompt, trial)
    is_enumerating = PROFILES[model].is_enumerating
    text = write_response(problem.solve(plan.slip), problem.is_program, is_enumerating, model.endswith("-large"), rng)
    if plan.outcome == "cut_off":
        return TrialResponse(cut_response(text, rng), "length")
    return TrialResponse(drop_answer(text) if plan.outcome == "unanswered" else text, "stop")


def planted_slips(model: str, benchmark: str, domain: str, seed: int, trials: int) -> pl.DataFrame:
    """Planted errors of all trials that have one.

    Trials that are cut off or unanswered are wrong without a planted slip and have no row.

    Returns:
        Columns question_id, trial (0 to ``trials`` - 1), skill, stage (of Newman's error analysis).

    Raises:
        KeyError: the simulated model does not exist.
        ValueError: the domain has no simulated questions.
    """
    rows = [
        (problem.question_id, trial, slip.skill, slip.stage)
        for problem in problem_bank(benchmark, domain, seed)
        for trial in range(trials)
        if (slip := plan_trial(model, problem, seed, trial).slip) is not None
    ]
    schema = {"question_id": pl.String, "trial": pl.Int64, "skill": pl.String, "stage": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")
