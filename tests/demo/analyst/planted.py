"""Generated pairs of responses: 100 without a contrast and 100 with a planted first error.

Small word problems, their solutions in several wordings, and typical errors in them.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

_ONES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
_ONES += ["thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]


@dataclass(frozen=True)
class Pair:
    """A problem, a right and a wrong response; ``marked`` occurs in the statement with the first error."""

    kind: str
    problem: str
    right: str
    wrong: str
    marked: str = ""


@dataclass(frozen=True)
class Task:
    """A problem of two steps: ``n`` things of ``k`` each, ``gone`` of them lost, each worth ``price``."""

    n: int
    k: int
    gone: int
    price: int
    thing: str
    box: str

    @property
    def problem(self) -> str:
        return (
            f"A shop gets {self.n} {self.box} with {self.k} {self.thing} each. {self.gone} {self.thing} are broken. "
            f"Each whole one is sold for {self.price} dollars. How many dollars does the shop take?"
        )

    @property
    def values(self) -> tuple[int, int, int]:
        """All things, whole ones, dollars."""
        everything = self.n * self.k
        return everything, everything - self.gone, (everything - self.gone) * self.price


def words_of(number: int) -> str:
    """Write a number below 100 in words, a larger one in digits."""
    if number < 20:
        return _ONES[number]
    if number >= 100:
        return str(number)
    tens, ones = divmod(number, 10)
    return _TENS[tens - 2] + (f"-{_ONES[ones]}" if ones else "")


def task(rng: Random) -> Task:
    """Draw a task whose numbers are distinct and have at least two digits, except the number of boxes."""
    while True:
        n, k, gone, price = rng.randint(3, 9), rng.randint(13, 48), rng.randint(11, 29), rng.randint(12, 36)
        drawn = Task(n, k, gone, price, rng.choice(["lamps", "cups", "vases"]), rng.choice(["crates", "boxes"]))
        numbers = [n, k, gone, price, *drawn.values]
        swapped = [int(str(value)[::-1]) for value in (k, gone, price)]
        if (
            len(set(numbers)) == len(numbers)
            and not set(swapped) & {k, gone, price}
            and not any(v % 10 == 0 for v in (k, gone, price))
        ):
            return drawn


def _equations(t: Task, final: object) -> str:
    a, b, c = t.values
    return (
        f"There are {t.n} * {t.k} = {a} {t.thing}.\nOf these {a} - {t.gone} = {b} are whole.\n"
        f"They bring in {b} * {t.price} = {c} dollars.\n#### {final}"
    )


def _prose(t: Task, final: object) -> str:
    a, b, c = t.values
    return (
        f"First count everything that arrives. {words_of(t.n).capitalize()} {t.box} of {words_of(t.k)} make {a}. "
        f"Without the {words_of(t.gone)} broken ones, {b} can be sold. At {words_of(t.price)} dollars each the shop "
        f"takes {c} dollars. So the answer is {final}."
    )


def _variables(t: Task, final: object) -> str:
    return (
        f"boxes = {t.n}\nper_box = {t.k}\nbroken = {t.gone}\nprice = {t.price}\nall_items = boxes * per_box\n"
        f"whole = all_items - broken\nincome = whole * price\n\\boxed{{{final}}}"
    )


def _merged(t: Task, final: object) -> str:
    a, b, c = t.values
    return (
        f"We sell ({t.n} x {t.k} - {t.gone}) items, i.e. {a} - {t.gone} = {b} of them, and get "
        f"${t.price} \u00d7 {b} = ${c:,}.\nFinal answer: {final}"
    )


def _reordered(t: Task, final: object) -> str:
    a, b, c = t.values
    return (
        f"Step 1: Each whole item brings {t.price} dollars, so we need the number of whole items.\n"
        f"Step 2: {t.gone} of the {t.thing} are useless; {t.k} * {t.n} = {a} arrive.\n"
        f"Step 3: The rest is {b}, since {b} + {t.gone} = {a}.\nStep 4: Hence {t.price} * {b} = {c}.\n"
        f"**Answer:** {final}"
    )


def _in_json(t: Task, final: object) -> str:
    a, b, c = t.values
    reasoning = f"{t.n} {t.box} hold {t.n} * {t.k} = {a}. {a} - {t.gone} = {b} whole ones. {b} * {t.price} = {c}."
    return json.dumps({"reasoning": reasoning, "answer": str(final)})


WORDINGS: list[Callable[[Task, object], str]] = [_equations, _prose, _variables, _merged, _reordered, _in_json]

_SENTENCES = [
    ("All roses are flowers, and this plant is a rose. Therefore it is a flower.",
     "Since every rose counts as a flower and the plant in question is one, a flower it must be."),
    ("The river rises in the north and runs to the sea. Towns along it are old.",
     "Old towns line the river, which has its source in the north and ends in the sea."),
    ("Iron rusts when water and air reach it. Paint keeps both away, so painted iron lasts.",
     "Painted iron lasts because paint keeps air and water away; without it, iron rusts."),
    ("The list is sorted first, then every second element is kept.",
     "We keep every other element after sorting the list."),
    ("A whale breathes with lungs and feeds milk to its young, which makes it a mammal.",
     "Mammals feed milk to their young. Whales do so, and have lungs, so they belong there."),
]  # fmt: skip


def without_contrast(seed: int) -> Iterator[Pair]:
    """Yield 100 pairs that differ only in answers, wording, order and length."""
    rng = Random(seed)
    yield from _bare(rng)
    for place in range(50):
        t = task(rng)
        right, wrong = rng.sample(WORDINGS, 2)
        c = t.values[2]
        # Some state the right number but are marked wrong for another reason, others an unsupported number.
        final = rng.choice([c, c + rng.randint(17, 43), f"{c} dollars"])
        yield Pair(f"paraphrase {place}", t.problem, right(t, c), wrong(t, final))
    for one, other in _SENTENCES:
        yield Pair("sentences", "Is it so? Answer yes or no.", f"{one} Answer: yes", f"{other} Answer: no")
        yield Pair("sentences", "Is it so? Answer yes or no.", f"{other} Answer: no", f"{one} Answer: yes")
    for _ in range(5):
        pair = _wrong_branch(rng)
        yield Pair("cut off", pair.problem, pair.right, pair.right[: rng.randint(100, len(pair.right) - 25)])
    for _ in range(15):
        t = task(rng)
        right, wrong = rng.sample([_equations, _merged, _reordered], 2)
        text = wrong(t, t.values[2])
        yield Pair("cut off", t.problem, right(t, t.values[2]), text[: rng.randint(len(text) // 2, len(text) - 25)])


def _bare(rng: Random) -> Iterator[Pair]:
    """Yield 20 pairs in which at least one response is only an answer."""
    question = "What does f([4, 7]) return?"
    for place in range(10):
        one, other = rng.randint(10, 99), rng.randint(100, 999)
        right, wrong = [
            (f"{one}", f"{other}"), (f"[{one}, 2]", f"[{other}, 2]"),
            (f'{{"answer": {one}}}', f'{{"answer": {other}}}'),
            (f"The answer is {one}.", f"The answer is {other}."), (f"\\boxed{{{one}}}", f"\\boxed{{{other}}}"),
            (f"```python\n{one}\n```", f"```python\n{other}\n```"), (f"'a{one}'", f"'a{other}'"), ("True", "False"),
            (f"#### {one}", f"#### {other}"), (f"A: {one}", f"A: {other}"),
        ][place]  # fmt: skip
        yield Pair("bare", question, right, wrong)
    for place in range(10):
        t = task(rng)
        c = t.values[2]
        bare = rng.choice([f"{c + 5}", f"\\boxed{{{c + 5}}}", f'```json\n{{"answer": "{c + 5}"}}\n```'])
        texts = (_equations(t, c), bare) if place % 2 else (f"{c}", _equations(t, c + 5))
        yield Pair("one bare", t.problem, *texts)


def _steps(t: Task, rng: Random, steps: list[tuple[str, int]], unit: str = "dollars") -> str:
    """Write a response of calculations in one of three styles; the last value is the answer."""
    style = rng.randrange(3)
    lines = [f"{working} = {value}" for working, value in steps]
    if style == 0:
        lines = [f"Step {place}: We get {line}." for place, line in enumerate(lines, 1)]
    elif style == 1:
        lines = [f"{lead} {line}." for lead, line in zip(["First we have", "Then", "So", "Now"], lines, strict=False)]
    return "\n".join([*lines, rng.choice(["#### {}", "The answer is {}.", "\\boxed{{{}}}"]).format(steps[-1][1])])


def _wrong_product(t: Task, rng: Random) -> tuple[list[tuple[str, int]], str]:
    a = t.values[0] + rng.choice([-2, 3, 4])
    return [(f"{t.n} * {t.k}", a), (f"{a} - {t.gone}", a - t.gone),
            (f"{a - t.gone} * {t.price}", (a - t.gone) * t.price)], f"{t.n} * {t.k} = {a}"  # fmt: skip


def _wrong_carry(t: Task, rng: Random) -> tuple[list[tuple[str, int]], str]:
    a, b, _ = t.values
    b += rng.choice([-10, 10, 100])
    return [(f"{t.n} * {t.k}", a), (f"{a} - {t.gone}", b), (f"{b} * {t.price}", b * t.price)], f"{a} - {t.gone} = {b}"


def _dropped_condition(t: Task, _: Random) -> tuple[list[tuple[str, int]], str]:
    a = t.values[0]
    return [(f"{t.n} * {t.k}", a), (f"{a} * {t.price}", a * t.price)], f"{a} * {t.price}"


def _misread(t: Task, _: Random) -> tuple[list[tuple[str, int]], str]:
    k = int(str(t.k)[::-1])
    a = t.n * k
    b = a - t.gone
    return [(f"{t.n} * {k}", a), (f"{a} - {t.gone}", b), (f"{b} * {t.price}", b * t.price)], f"{t.n} * {k}"


def _other_operation(t: Task, _: Random) -> tuple[list[tuple[str, int]], str]:
    a = t.values[0]
    return [(f"{t.n} * {t.k}", a), (f"{a} + {t.gone}", a + t.gone),
            (f"{a + t.gone} * {t.price}", (a + t.gone) * t.price)], f"{a} + {t.gone}"  # fmt: skip


def _stops_early(t: Task, _: Random) -> tuple[list[tuple[str, int]], str]:
    a, b, _c = t.values
    return [(f"{t.n} * {t.k}", a), (f"{a} - {t.gone}", b)], str(b)


def _invented(t: Task, _: Random) -> tuple[list[tuple[str, int]], str]:
    a, b, c = t.values
    extra = 977
    return [(f"{t.n} * {t.k}", a), (f"{a} - {t.gone}", b), (f"{b} * {t.price}", c), (f"{c} - {extra}", c - extra)], str(
        extra
    )


ERRORS = [_wrong_product, _wrong_carry, _dropped_condition, _misread, _other_operation, _stops_early, _invented]


def with_contrast(seed: int) -> Iterator[Pair]:
    """Yield 100 pairs whose wrong response has one planted error: 70 in a calculation, 30 of other kinds."""
    rng = Random(seed)
    for error in ERRORS:
        for _ in range(10):
            t = task(rng)
            steps, marked = error(t, rng)
            right = rng.choice(WORDINGS[:1] + WORDINGS[3:])(t, t.values[2])
            yield Pair(error.__name__.strip("_"), t.problem, right, _steps(t, rng, steps), marked)
    for _ in range(5):
        yield from (_wrong_form(rng), _wrong_unit(rng), _wrong_branch(rng), _wrong_element(rng), _wrong_sense(rng))
        yield _wrong_equation(rng)


def _wrong_form(rng: Random) -> Pair:
    """The right result stated in thousandths."""
    t = task(rng)
    c = t.values[2]
    text = _equations(t, c).replace(f"#### {c}", f"In cents and tenths of cents:\n#### {c * 1000}")
    return Pair("wrong form", t.problem, _reordered(t, c), text, str(c * 1000))


def _wrong_unit(rng: Random) -> Pair:
    """Minutes become hours by a wrong factor."""
    laps, minutes = rng.randint(3, 9), rng.choice([35, 45, 55, 65])
    problem = f"A runner runs {laps} laps of {minutes} minutes each. How many hours does that take?"
    total = laps * minutes
    hours = f"{total / 60:.4g}"
    right = f"In all {laps} * {minutes} = {total} minutes. That is {total} / 60 = {hours} hours. #### {hours}"
    wrong = (
        f"In all {laps} * {minutes} = {total} minutes.\nThat is {total} * 60 = {total * 60} hours.\n#### {total * 60}"
    )
    return Pair("wrong unit", problem, right, wrong, f"{total} * 60")


def _wrong_branch(rng: Random) -> Pair:
    """A condition of a traced program is judged wrongly."""
    items = [rng.randint(1, 9), rng.randint(11, 19), rng.randint(21, 29), rng.randint(1, 8)]
    program = "def f(items):\n    n = 0\n    for x in items:\n        if x > 10:\n            n = n + x\n    return n"
    problem = f"What does f({items}) return?\n\n{program}"
    lines, wrong_lines, n, m = [], [], 0, 0
    for place, x in enumerate(items):
        holds = x > 10
        n += x if holds else 0
        lines.append(f"x = {x}: x > 10 is {str(holds).lower()}, so n becomes {n}.")
        believed = holds if place != 2 else not holds
        m += x if believed else 0
        wrong_lines.append(f"x = {x}: x > 10 is {str(believed).lower()}, so n becomes {m}.")
    right = "\n".join([*lines, f"[ANSWER]{n}[/ANSWER]"])
    return Pair("wrong branch", problem, right, "\n".join([*wrong_lines, f"[ANSWER]{m}[/ANSWER]"]), f"x = {items[2]}:")


def _wrong_element(rng: Random) -> Pair:
    """One letter of a word that is spelled out is wrong."""
    word = "".join(rng.sample("bcdfgklmnprst", 6))
    turned = word[::-1]
    broken = turned[:2] + turned[3] + turned[2] + turned[4:]
    problem = f"Write the word {word} backwards."
    right = f"The word is turned round letter by letter. Backwards it reads {'-'.join(turned)}. \\boxed{{{turned}}}"
    wrong = f"We turn the word round letter by letter. Backwards it reads {'-'.join(broken)}. \\boxed{{{broken}}}"
    return Pair("wrong element", problem, right, wrong, "-".join(broken))


def _wrong_sense(rng: Random) -> Pair:
    """A statement is turned into its opposite."""
    one, other = rng.choice(
        [("is even", "is odd"), ("is divisible by three", "is not divisible by three"),
         ("comes before it", "comes after it"),
         ("is greater than the rest", "is smaller than the rest"), ("moves to the left", "moves to the right")]
    )  # fmt: skip
    problem = "Which token wins, the red or the blue one?"
    right = (
        f"We look at the red token. The number on the red token {one}. By the rule this decides the game. Answer: red"
    )
    wrong = f"Let us look at the red one first. The number on the red token {other}. That decides. Answer: blue"
    return Pair("wrong sense", problem, right, wrong, other)


def _wrong_equation(rng: Random) -> Pair:
    """An equation leaves a term out."""
    x, a, b = rng.randint(11, 39), rng.randint(3, 9), rng.randint(41, 79)
    total = a * x + b
    problem = (
        f"A ticket costs x dollars. {a} tickets and a fee of {b} dollars cost {total} dollars. What is the value of x?"
    )
    right = f"The cost is {a}x + {b} = {total}. So {a}x = {total} - {b} = {total - b}. Hence x = {x}. #### {x}"
    wrong = (
        f"Let us set up an equation.\nAll tickets cost {a}x = {total}.\nSo x = {total / a:.4g}.\n#### {total / a:.4g}"
    )
    return Pair("wrong equation", problem, right, wrong, f"{a}x = {total}")
