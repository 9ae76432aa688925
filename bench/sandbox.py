"""Benchmark of the sandbox: predicted inputs of small programs, run and judged.

Run it as `python bench/sandbox.py [--functions 800] [--inputs 10] [--bare]`. It makes functions of a few kinds, each
with the input that gives the stated output and others, about half of which give it too, and judges them in bubblewrap
where the host has it (`--bare`: without). The time is printed beside its target and never fails; a wrong verdict does.
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


def made_comparisons(n_functions: int, n_inputs: int) -> tuple[list[Comparison], list[str]]:
    """Predictions and their verdicts, worked out here by running the same programs."""
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
            given = call.format(a=number + shift, b=number + 1)
            # Empty tuples keep the runs apart: equal calls would be run once.
            comparisons.append(Comparison("python_input", gold, f"*({given},) + (){' + ()' * i}", context))
            verdicts.append("correct" if eval(f"f({given})", names) == output else "wrong")
    return comparisons, verdicts


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--functions", type=int, default=800)
    parser.add_argument("--inputs", type=int, default=10)
    parser.add_argument("--bare", action="store_true")
    options = parser.parse_args()
    comparisons, wanted = made_comparisons(options.functions, options.inputs)
    start = time.perf_counter()
    with Deciders(with_bubblewrap=not options.bare) as deciders:
        verdicts = deciders.decide_many(comparisons)
    seconds = time.perf_counter() - start
    n_differing = sum(mine != theirs for mine, theirs in zip(verdicts, wanted, strict=True))
    print(f"sandbox: {deciders.facts['sandbox']}")
    print(f"{len(comparisons)} predicted inputs, {wanted.count('correct')} of them right, {n_differing} misjudged")
    print(f"{seconds:.1f} s (target {TARGET_SECONDS:.0f} s), {len(comparisons) / seconds:.0f} a second")
    return 1 if n_differing else 0


if __name__ == "__main__":
    sys.exit(main())
