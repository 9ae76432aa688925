"""Benchmark of grading: many trials of all answer types, some designed to hang, recurse or explode.

Run it as `python bench/grading.py [--trials 50000]`. About one trial in four is a distinct pair of gold answer and
prediction, and one distinct pair in a hundred is adversarial: it must end as wrong if its prediction exceeds the
limits, else as grader_error or grader_timeout ("null"). Times are printed with their target and never fail the
benchmark; an unexpected verdict does.
"""

import argparse
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from itertools import count

import polars as pl
import psutil

from advcluster_dagster.sandbox.deciding import Deciders
from advcluster_dagster.science.grading.answers import AnswerPlace
from advcluster_dagster.science.grading.grade import grade_in_batches

TARGET_SECONDS = 60.0
TRIALS_PER_PAIR = 4
PAIRS_PER_QUESTION = 5
LOOP = json.dumps({"code": "def f(n):\n    while n > 9:\n        n += 1\n    return n", "output": "9"})
Pair = tuple[str, str, str, str | None, str]

# Each returns answer type, gold answer, prediction, context and expected verdict of the n-th pair of question q.
KINDS: tuple[Callable[[int, int], Pair], ...] = (
    lambda q, n: ("numeric", f"{q}.5", f"{q + n}.50 m", None, "wrong" if n else "correct"),
    lambda q, n: ("numeric", f"{q}", f"{q}.{3 * n:02d}", '{"tolerance": 0.05}', "correct" if n < 2 else "wrong"),
    lambda q, n: ("choice", "ABCD"[q % 4], f"({'ABCD'[(q + n) % 4]}) {n}", None, "correct" if n % 4 == 0 else "wrong"),
    lambda q, n: ("choices", "A, C", ("AC", "A, B", "A and D", "C", "ACD")[n], None, "wrong" if n else "correct"),
    lambda q, n: ("text", f"word {q}", f"word  {q + n}", None, "wrong" if n else "correct"),
    lambda q, n: ("python_output", f"[{q}, {{}}]", f"[{q + n},{{}}]", None, "wrong" if n else "correct"),
    lambda q, n: ("math", rf"\frac{{{q}}}{{7}}+x^2", rf"x^2+\frac{{{q + n}}}{{7}}", None, "wrong" if n else "correct"),
    lambda q, n: (
        "math", rf"{q}\sqrt{{3}}", rf"\sqrt{{{3 * q * q}}}" + f"+{n}" * (n > 0), None, "wrong" if n else "correct"
    ),
    lambda q, n: ("math", f"[{q}, {q + 9})", f"[{q},{q + 9 + n})", None, "wrong" if n else "correct"),
    lambda q, n: ("math", rf"\{{{q}, {q + 1}\}}", f"{q + 1}, {q + n}", None, "wrong" if n else "correct"),
    lambda q, n: ("math", f"{q}", rf"y = {q + n}\text{{ cm}}", None, "wrong" if n else "correct"),
    lambda q, n: (
        "python_input", f"{q}", f"{q + n}", json.dumps({"code": "def f(x):\n    return x * 2", "output": str(2 * q)}),
        "wrong" if n else "correct",
    ),
)  # fmt: skip
ADVERSARIAL: tuple[Callable[[int], Pair], ...] = (
    lambda n: ("math", "5", f"{n}+10^{{10^{{10}}}}", None, "wrong"),
    lambda n: ("math", "5", rf"\prod_{{k=1}}^{{9998{n % 10}}} (1+\frac{{{n + 1}}}{{k\sqrt{{k}}}})", None, "null"),
    lambda n: ("math", "5", f"{n}+" + r"\frac{1}{1+" * 40 + "x" + "}" * 40, None, "wrong"),
    lambda n: ("math", "5", f"{n}+(((9!)!)!)!", None, "wrong"),
    lambda n: ("math", "5", rf"\sum_{{k=1}}^{{9999{n % 10}}} \frac{{1}}{{k^2+\sqrt{{k+{n}}}}}", None, "null"),
    lambda n: ("math", "5", rf"{n}\cdot 2^{{99999999999}}", None, "wrong"),
    lambda n: ("math", "(x+y)^{200}", rf"(x+y)^{{201}}-{n}(x+y)^{{200}}", None, "wrong"),
    lambda n: ("python_output", "[]", "[" * 5_000 + str(n) + "]" * 5_000, None, "null"),
    lambda n: ("python_input", "9", f"{n + 10}", LOOP, "null"),
    lambda n: ("math", "5", "(" * 300 + f"{n}" + ")" * 300, None, "wrong"),
)


def generate_trials(n_trials: int) -> tuple[pl.DataFrame, pl.DataFrame, dict[tuple[str, str], str]]:
    """Traces, questions, and the expected verdict by question and prediction."""
    rng, numbers = random.Random(0), count()
    n_pairs = n_trials // TRIALS_PER_PAIR
    questions, traces, expected = [], [], {}
    for q in range(1, n_pairs // PAIRS_PER_QUESTION + 1):
        kind = KINDS[q % len(KINDS)]
        pairs = [kind(q, n) for n in range(PAIRS_PER_QUESTION)]
        if q % 20 == 0:  # one pair in a hundred: a separate question with one adversarial prediction
            attack = ADVERSARIAL[(q // 20) % len(ADVERSARIAL)](next(numbers))
            questions.append((f"attack {q}", attack[1], attack[0], attack[3]))
            traces += [(f"attack {q}", attack[2])] * TRIALS_PER_PAIR
            expected[f"attack {q}", attack[2]] = attack[4]
        questions.append((f"{q}", *pairs[0][1::-1], pairs[0][3]))
        for pair in pairs:
            traces += [(f"{q}", pair[2])] * TRIALS_PER_PAIR
            expected[f"{q}", pair[2].strip()] = pair[4]
    rng.shuffle(traces)
    return _frame(traces), _questions(questions), expected


def _questions(rows: list[tuple[str, str, str, str | None]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=["question_id", "answer", "answer_type", "answer_context"], orient="row")


def _frame(traces: list[tuple[str, str]]) -> pl.DataFrame:
    frame = pl.DataFrame(traces, schema=["question_id", "answer"], orient="row")
    return frame.select(
        "question_id",
        benchmark=pl.lit("made"),
        trial=pl.int_range(pl.len()),
        model=pl.lit("made"),
        response="So we are done. Answer: " + pl.col("answer"),
        finish_reason=pl.lit("stop"),
    )


def processor_time() -> float:
    """CPU seconds of this process, its descendants, and child processes that have ended."""
    here = psutil.Process()
    return sum(sum(process.cpu_times()[:4]) for process in (here, *here.children(recursive=True)))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=50_000)
    traces, questions, expected = generate_trials(parser.parse_args().trials)
    start, processor_start = time.perf_counter(), processor_time()
    with Deciders() as deciders:
        places = {"made": AnswerPlace(marker="Answer:")}
        graded = grade_in_batches({"larger": traces.lazy()}, questions, places, deciders.decide_many)
        seconds, processor_seconds = time.perf_counter() - start, processor_time() - processor_start
    rows = graded.select("question_id", "prediction", "verdict", "is_correct", "grader").rows()
    bad = [row for row in rows if expected[row[0], row[1]] != ("null" if row[3] is None else row[2])]
    n_attacks = sum(question.startswith("attack") for question, _ in expected)
    print(f"sandbox: {deciders.facts['sandbox']}")
    print(f"{len(rows)} trials, {len(expected)} distinct pairs, {n_attacks} of them adversarial")
    print("verdicts:", dict(Counter(row[2] for row in rows).most_common()))
    print(f"{processor_seconds:.1f} s of CPU time, all processes together")
    print(f"{seconds:.1f} s (target {TARGET_SECONDS:.0f} s); {len(bad)} trials with an unexpected verdict")
    for row in bad[:10]:
        print(f"    {row!s:.100} expected {expected[row[0], row[1]]}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
