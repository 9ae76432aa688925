"""Questions of simulated benchmarks."""

from collections.abc import Sequence
from functools import cache
from random import Random

import polars as pl

from advcluster_dagster.demo.simulation.chemistry_kinds import CHEMISTRY_KINDS
from advcluster_dagster.demo.simulation.math_kinds import MATH_KINDS
from advcluster_dagster.demo.simulation.physics_kinds import PHYSICS_KINDS
from advcluster_dagster.demo.simulation.problems import Problem
from advcluster_dagster.demo.simulation.profiles import stream
from advcluster_dagster.demo.simulation.program_kinds import PROGRAM_KINDS, ProgramKind
from advcluster_dagster.demo.simulation.programs import make_program_problem
from advcluster_dagster.demo.simulation.worked import Kind, make_worked_problem
from advcluster_dagster.study.study import Study

GENERATOR_VERSION = "simulation-1"
N_PER_KIND = 4
_MOST_DRAWS = 200

#: The benchmarks of the demonstration study, by domain.
BUILT_IN_BENCHMARKS: dict[str, tuple[str, ...]] = {
    "math": ("worked-math",),
    "physics": ("worked-physics",),
    "chemistry": ("worked-chemistry",),
    "programming": ("worked-programs",),
}

_WORKED_KINDS: dict[str, tuple[Kind, ...]] = {
    "math": MATH_KINDS,
    "physics": PHYSICS_KINDS,
    "chemistry": CHEMISTRY_KINDS,
}


def simulated_questions(benchmark: str, domain: str, seed: int) -> pl.DataFrame:
    """Generate the questions of a simulated benchmark, one row each, deterministically.

    Returns:
        Columns question_id (``BENCHMARK-NNN``), question, prompt, answer, answer_type (numeric, choice, text or
        python_output), source (``simulated``), source_revision (the generator's version), source_key.

    Raises:
        ValueError: the domain is not one of math, physics, chemistry, programming.
    """
    rows = [
        (problem.question_id, problem.question, problem.prompt, problem.answer, problem.answer_type)
        for problem in problem_bank(benchmark, domain, seed)
    ]
    columns = ["question_id", "question", "prompt", "answer", "answer_type"]
    return pl.DataFrame(rows, schema=dict.fromkeys(columns, pl.String), orient="row").with_columns(
        source=pl.lit("simulated"), source_revision=pl.lit(GENERATOR_VERSION), source_key=pl.col("question_id")
    )


def answerable_benchmarks(study: Study) -> dict[str, list[str]]:
    """Names of the benchmarks whose questions a simulated family may answer, by domain.

    These are simulated benchmarks, and question files in a simulated domain, which may contain generated questions.
    """
    return {
        domain: [
            name
            for name in names
            if (source := study.benchmark(name).source) == "simulated"
            or (source == "jsonl" and domain in BUILT_IN_BENCHMARKS)
        ]
        for domain, names in study.domains.items()
    }


@cache
def problem_bank(benchmark: str, domain: str, seed: int) -> tuple[Problem, ...]:
    """Problems of a benchmark's questions, with distinct prompts.

    Raises:
        ValueError: the domain is not one of math, physics, chemistry, programming; a kind yields no new question.
    """
    n_kinds = len(_kinds(domain))
    distinct: dict[str, Problem] = {}
    for number in range(N_PER_KIND * n_kinds):
        rng = stream(seed, "question", benchmark, domain, number)
        for _ in range(_MOST_DRAWS):
            problem = _make_problem(domain, number % n_kinds, f"{benchmark}-{number:03d}", rng)
            if problem.prompt not in distinct:
                distinct[problem.prompt] = problem
                break
        else:
            raise ValueError(f"kind {_kinds(domain)[number % n_kinds].name}: no new question in {_MOST_DRAWS} draws")
    return tuple(distinct.values())


def _kinds(domain: str) -> Sequence[Kind | ProgramKind]:
    if domain == "programming":
        return PROGRAM_KINDS
    if domain not in _WORKED_KINDS:
        raise ValueError(f"domain {domain}: simulated questions exist for {', '.join(BUILT_IN_BENCHMARKS)}")
    return _WORKED_KINDS[domain]


def _make_problem(domain: str, kind: int, question_id: str, rng: Random) -> Problem:
    if domain == "programming":
        return make_program_problem(PROGRAM_KINDS[kind], domain, question_id, rng)
    return make_worked_problem(_WORKED_KINDS[domain][kind], domain, question_id, rng)
