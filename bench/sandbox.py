"""Benchmark of the sandbox: run small programs on predicted inputs and grade the results.

Run it as `python bench/sandbox.py [--functions 800] [--inputs 10] [--bare]`. It generates functions of a few kinds,
with the input that gives the stated output and other inputs, about half of which give it too, and grades them in
bubblewrap if it is installed (`--bare`: without). Times are printed with their target and never fail the benchmark; a
wrong verdict does.
"""

import argparse
import json
import random
import sys
import time

from advcluster_dagster.sandbox.deciding import Deciders
from advcluster_dagster.science.grading.comparison import Comparison

TARGET_SECONDS = 20.0
KINDS = (
    ("def f(xs):\n    out = []\n    for x in xs:\n        out.append(x * {n})\n    return sorted(out)", "[{a}, {b}]"),
    ("def f(text):\n    count = {n}\n    for c in text:\n        count += c.isalpha()\n    return count", "'{a}x{b}y'"),
    ("def f(d, k):\n    d[k] = d.get(k, 0) + {n}\n    return d", "{{'p': {a}}}, 'q'"),
    ("def f(s):\n    parts = s.split('-')\n    return '+'.join(reversed(parts)) * ({n} % 3)", "'{a}-{b}-k'"),
)


def generate_comparisons(n_functions: int, n_inputs: int) -> tuple[list[Comparison], list[str]]:
    """Predictions and their expected verdicts, determined by running the same programs in this process."""
    rng = random.Random(0)
    comparisons, verdicts = [], []
    for number in range(n_functions):
        template, call = KINDS[number % len(KINDS)]
        code = template.replace("{n}", str(number))
        names: dict[str, object] = {}
        exec(code, names)
        gold = call.format(a=number, b=number + 1)
        output = eval(f"f({gold})", names)
        context = json.dumps({"code": code, "output": repr(output)})
        for i in range(n_inputs):
            shift = 0 if i == 0 else rng.randint(0, 1) * i
            arguments = call.format(a=number + shift, b=number + 1)
            # Empty tuples make the calls distinct: equal calls would be run once.
            comparisons.append(Comparison("python_input", gold, f"*({arguments},) + (){' + ()' * i}", context))
            verdicts.append("correct" if eval(f"f({arguments})", names) == output else "wrong")
    return comparisons, verdicts


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--functions", type=int, default=800)
    parser.add_argument("--inputs", type=int, default=10)
    parser.add_argument("--bare", action="store_true")
    options = parser.parse_args()
    comparisons, expected = generate_comparisons(options.functions, options.inputs)
    start = time.perf_counter()
    with Deciders(with_bubblewrap=not options.bare) as deciders:
        verdicts = deciders.decide_many(comparisons)
    seconds = time.perf_counter() - start
    n_differing = sum(verdict != correct for verdict, correct in zip(verdicts, expected, strict=True))
    print(f"sandbox: {deciders.facts['sandbox']}")
    print(f"{len(comparisons)} predicted inputs, {expected.count('correct')} of them correct, {n_differing} misjudged")
    print(f"{seconds:.1f} s (target {TARGET_SECONDS:.0f} s), {len(comparisons) / seconds:.0f} a second")
    return 1 if n_differing else 0


if __name__ == "__main__":
    sys.exit(main())
