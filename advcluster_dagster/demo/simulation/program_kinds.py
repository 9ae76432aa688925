"""Templates of short Python programs for the domain ``programming``.

In a template, ``[[c]]`` is a condition and ``<<s>>`` the sequence of a loop; a line after ``#~`` is executed but not
shown and records a step, a line that ends in ``#!`` comes after the loop.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random

Draw = Callable[[Random], tuple[Mapping[str, int], int | str | list[int]]]


@dataclass(frozen=True)
class ProgramKind:
    """A template with ``$names`` for its constants; ``draw`` returns the constants and the argument."""

    name: str
    template: str
    draw: Draw


def _letters(rng: Random, n: int) -> str:
    return "".join(rng.choice("aeioubcdfgklmnprst") for _ in range(n))


def _numbers(rng: Random, n: int) -> list[int]:
    return [rng.randint(11, 59) for _ in range(n)]


PROGRAM_KINDS = (
    ProgramKind(
        "filtered_sum",
        """def f(items):
    total = 0
    for x in <<items>>:
        if [[x % $m == 0]]:
            total = total + x
            #~ total = note(f"x = {x}", "total", f"{total - x} + {x}", total)
        else:
            total = total - $d
            #~ total = note(f"x = {x}", "total", f"{total + $d} - $d", total)
    total = total * $k  #!
    #~ total = note("After the loop", "total", f"{total // $k} * $k", total)  #!
    return total
""",
        lambda rng: (
            {"m": rng.choice([2, 3, 4]), "d": rng.randint(2, 9), "k": rng.randint(3, 7)},
            _numbers(rng, rng.randint(5, 7)),
        ),
    ),
    ProgramKind(
        "both_ends",
        """def f(word):
    out = ''
    for c in <<word>>:
        if [[c in 'aeiou']]:
            out = out + c
            #~ out = note(f"c = {c!r}", "out", f"{out[:-1]!r} + {c!r}", out)
        else:
            out = c + out
            #~ out = note(f"c = {c!r}", "out", f"{c!r} + {out[1:]!r}", out)
    out = out[$k:] + out[:$k]  #!
    #~ out = note("After the loop", "out", "out[$k:] + out[:$k]", out)  #!
    return out
""",
        lambda rng: ({"k": rng.choice([1, 2, 3])}, _letters(rng, rng.randint(6, 8))),
    ),
    ProgramKind(
        "shifted_list",
        """def f(items):
    out = []
    for x in <<items>>:
        if [[x > $m]]:
            out = out + [x - $d]
            #~ out = note(f"x = {x}", "out", f"out + [{x} - $d]", out)
        else:
            out = out + [x + $k]
            #~ out = note(f"x = {x}", "out", f"out + [{x} + $k]", out)
    out = out[::-1]  #!
    #~ out = note("After the loop", "out", "out[::-1]", out)  #!
    return out
""",
        lambda rng: (
            {"m": rng.randint(28, 42), "d": rng.randint(4, 9), "k": rng.randint(12, 19)},
            _numbers(rng, rng.randint(5, 6)),
        ),
    ),
    ProgramKind(
        "shrinking_number",
        """def f(n):
    steps = 0
    for i in <<range($r)>>:
        if [[n % 2 == 0]]:
            n = n // 2
            #~ n = note(f"i = {i}", "n", f"{2 * n} // 2", n)
        else:
            n = n + $k
            #~ n = note(f"i = {i}", "n", f"{n - $k} + $k", n)
            steps = steps + 1
    n = n * 10 + steps  #!
    #~ n = note("After the loop", "n", f"{(n - steps) // 10} * 10 + {steps}", n)  #!
    return n
""",
        lambda rng: ({"r": rng.randint(5, 7), "k": rng.choice([5, 7, 9, 13])}, rng.randint(61, 197)),
    ),
    ProgramKind(
        "running_maximum",
        """def f(items):
    best = 0
    rest = 0
    for x in <<items>>:
        if [[x > best]]:
            best = x
            #~ best = note(f"x = {x}", "best", "x", best)
        else:
            rest = rest + x
            #~ rest = note(f"x = {x}", "rest", f"{rest - x} + {x}", rest)
    best = rest - $k * best  #!
    #~ best = note("After the loop", "best", "rest - $k * best", best)  #!
    return best
""",
        lambda rng: ({"k": rng.choice([2, 3, 4])}, _numbers(rng, rng.randint(6, 7))),
    ),
    ProgramKind(
        "marked_letters",
        """def f(word):
    marks = []
    for c in <<word>>:
        if [[c < '$$k']]:
            marks = marks + [c]
            #~ marks = note(f"c = {c!r}", "marks", f"marks + [{c!r}]", marks)
        elif [[len(marks) > $m]]:
            marks = marks[1:]
            #~ marks = note(f"c = {c!r}", "marks", "marks[1:]", marks)
    marks = ''.join(marks)  #!
    #~ marks = note("After the loop", "marks", "''.join(marks)", marks)  #!
    return marks
""".replace("$$k", "m"),
        lambda rng: ({"m": rng.choice([1, 2])}, _letters(rng, rng.randint(8, 10))),
    ),
)
