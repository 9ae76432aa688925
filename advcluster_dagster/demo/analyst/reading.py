"""Parse a worked solution: statements, calculations, named values, steps of a procedure, final answer."""

import re
from dataclasses import dataclass
from functools import cached_property

from advcluster_dagster.demo.analyst.arithmetic import is_close, numbers_in, numbers_with_words
from advcluster_dagster.demo.analyst.calculations import Calculation, assigned_values, calculations_in, named_numbers
from advcluster_dagster.science.json_values import find_values

_LONGEST_TEXT = 60_000
_MOST_STATEMENTS = 400
_MOST_CALCULATIONS = 150

_SPELLINGS = [
    (re.compile(r"(?<=[$€£])(\d{1,3}) (?=\d{3}(?![\d]))"), r"\1"),
    (re.compile(r"<<([^<>\n]*)>>(?:\$?[\d.,]*\d)?"), r"\1"),
    (re.compile(r"\\d?frac\{([^{}]*)\}\{([^{}]*)\}"), r"(\1)/(\2)"),
    (re.compile(r"\\(?:text|mathrm|mathbf)\{([^{}]*)\}"), r" \1 "),
    (re.compile(r"\\(?:times|cdot)|[\u00d7·]|(?<=[\w%)]) x (?=\$?\d)|(?<=\d)x (?=\d)"), " * "),
    (re.compile(r"\\div|÷"), " / "),
    (re.compile(r"\\%"), "%"),
    (re.compile(r"[\u2212\u2013]"), "-"),
    (re.compile(r"(?<=\d),(?=\d{3}(?!\d))"), ""),
    (re.compile(r"\\(?:left|right|[()\[\],;! ])|[$€£]"), ""),
    (re.compile(r"</?think>|\*\*(?=\D)|(?<=\D)\*\*|#+ |```\w*"), " "),
]
_STATEMENT_END = re.compile(r"\n+|(?<=[.;!?])\s+|(?<=[a-z]):\s+(?=[A-Z][a-z]+ )")
_NUMBER_OF_STEP = r"step\s*\d+\s*[:.]|\(\d+\)|\d+[.)](?=\s|$)|[-*•]"
_NUMBERING = re.compile(rf"^\s*(?:{_NUMBER_OF_STEP})\s*", re.IGNORECASE)
_LITERAL = re.compile(r"'[^'\n]*'|\"[^\"\n]*\"|\[[^\[\]\n]*\]|(?<![\w.])-?\d+(?:\.\d+)?")
_VERDICT = re.compile(r"\b(is true|is false|holds|does not hold|fails|true|false)\b", re.IGNORECASE)
_TRUE = ("is true", "holds", "true")
_STATES_ANSWER = (
    r"(?:the )?(?:(?:final |correct )?(?:answer|result) (?:is|would be|will be)\b:?|(?:final )?answer ?[:=])"
)
_FINALS = (
    re.compile(r"\\boxed\s*\{((?:[^{}]|\{[^{}]*\})*)\}?"),
    re.compile(r"\[ANSWER\](.*?)(?:\[/ANSWER\]|$)", re.DOTALL),
    re.compile(rf"(?:####|(?:^|\n)[ \t]*(?:{_NUMBER_OF_STEP})?[ \t]*A:)[ \t]*(.+)", re.IGNORECASE),
    re.compile(rf"\b{_STATES_ANSWER}[ \t]*(.+?)(?:\.?[ \t]*(?:\n|$)|\.[ \t]+(?=[A-Z]))", re.IGNORECASE),
)
#: A concluding last sentence that contains a number.
_CONCLUSION = re.compile(
    r"(?:^|[.!?\n:]\s*)(?:so|thus|hence|therefore|altogether|in total|finally|in conclusion)\b[^\n]*?"
    r"(?<![\w.,])\$?(\d[\d,]*(?:\.\d+)?)(?![\d.,]*\d)(?:(?!\d)[^\n=])*[.!*)]\s*$",
    re.IGNORECASE,
)
_MARKED_ANSWER = re.compile(rf"^(?:####|A:|(?:(?:so|thus|hence|therefore),? )?{_STATES_ANSWER}).*", re.IGNORECASE)
#: A word spelled letter by letter, or an equation with an operator.
_WORKED = re.compile(
    r"\b[A-Za-z](?:-[A-Za-z]){2,}\b"
    r"|[\w)] ?[-+*/^] ?[\w(][^=]{0,200}(?<![<>=!])=(?!=)|(?<![<>=!])=(?!=)[^=]{0,200}?[\w)] ?[-+*/^] ?[\w(]"
)
_WORD = re.compile(r"[A-Za-z]{2,}")
_ANSWER_KEYS = ("answer", "final_answer", "finalanswer", "final", "result", "output", "response", "solution")
_ANSWER_KEY = re.compile(r"[\"'](?:final_)?answer[\"']\s*:")
_FEWEST_WORDS = 3
_LONGEST_CONCLUSION = 400
_MOST_WORDS_OF_ANSWER = 6
_MOST_WORDS_OF_SUBJECT = 3


@dataclass(frozen=True)
class ProcedureStep:
    """One step of a traced procedure: subject, verdicts on conditions, working, outcome (a literal), statement."""

    subject: str
    verdicts: tuple[bool, ...]
    working: str
    outcome: str
    statement: str
    at: int

    @property
    def subject_name(self) -> str:
        """The subject without its value."""
        return self.subject.split("=")[0].strip()


@dataclass(frozen=True)
class Trace:
    """A worked solution as statements, indexed from 0; ``final`` is the stated answer, None if there is none."""

    statements: tuple[str, ...]
    final: str | None

    @cached_property
    def calculations(self) -> tuple[Calculation, ...]:
        """The calculations in order, up to a maximum number."""
        return tuple(calculations_in(self.statements, _MOST_CALCULATIONS))

    @cached_property
    def named_values(self) -> dict[str, float]:
        """The first value assigned to each name without a calculation."""
        values: dict[str, float] = {}
        for statement in self.statements:
            for name, value in named_numbers(statement):
                values.setdefault(name, value)
        return values

    @cached_property
    def steps(self) -> tuple[ProcedureStep, ...]:
        """Statements that look like steps of a procedure."""
        procedure_steps = (_procedure_step(statement, at) for at, statement in enumerate(self.statements))
        return tuple(step for step in procedure_steps if step)

    @cached_property
    def numbers(self) -> list[float]:
        """All numbers in the solution, in digits or words."""
        written = numbers_with_words("\n".join(self.statements))
        final = self.final_number
        return [*written, *([] if final is None else [final])]

    @cached_property
    def used_values(self) -> list[float]:
        """Numbers that are used in a calculation or have a name."""
        return self.used_in_sums + list(self.named_values.values())

    @cached_property
    def used_in_sums(self) -> list[float]:
        """Numbers that are used in a calculation."""
        return [value for calculation in self.calculations for value in calculation.sum.operands]

    @cached_property
    def reached_values(self) -> list[float]:
        """Values of calculations and of their parts."""
        return [value for calculation in self.calculations for value in (*calculation.sum.parts, calculation.claimed)]

    @property
    def final_number(self) -> float | None:
        """The stated answer if it contains one number, or the same several times; the last one of ``6 + 6 = 12``."""
        final = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", self.final or "")
        numbers = numbers_in(final)
        if not numbers or (len(numbers) > 1 and "=" not in final and not is_close(numbers[0], numbers[-1])):
            return None
        return -numbers[-1] if re.match(r"\W*-\W*\d", final) and len(numbers) == 1 else numbers[-1]

    @cached_property
    def result(self) -> float | None:
        """The stated answer as a number; for a program without one, the value that it prints."""
        if self.final is not None or not self.statements:
            return self.final_number
        printed = re.fullmatch(r"print\((\w+)\)", self.statements[-1])
        return assigned_values(self.statements).get(printed[1]) if printed else None

    @property
    def has_reasoning(self) -> bool:
        """Whether any statement contains more than an answer."""
        return any(map(_is_worded, self.statements)) or bool(self.reasoning)

    @cached_property
    def reasoning(self) -> tuple[int, ...]:
        """Indices of statements with more than an answer: a few words, a calculation, a step of a procedure."""
        steps = {step.at for step in self.steps} if len(self.steps) > 1 else set()
        working = {calculation.at for calculation in self.calculations} | steps
        return tuple(at for at, statement in enumerate(self.statements) if at in working or _is_worded(statement))


def read_trace(text: str) -> Trace:
    """Parse a solution; very long texts are reduced to start and end, a JSON object to its values."""
    if len(text) > _LONGEST_TEXT:
        text = f"{text[: _LONGEST_TEXT // 2]}\n{text[-_LONGEST_TEXT // 2 :]}"
    text, field = _without_json(text)
    final = field or _final_answer(text)
    for pattern in _FINALS[:2]:
        text = pattern.sub(" ", text)
    return Trace(tuple(statements_of(text)), final)


def statements_of(text: str) -> list[str]:
    """Split a text into statements, without numbering and with normalised operators."""
    for pattern, spelling in _SPELLINGS:
        text = pattern.sub(spelling, text)
    parts = (" ".join(_NUMBERING.sub("", part).split()) for part in _STATEMENT_END.split(text))
    return [part for part in parts if part and not part.strip("().").isdigit()][:_MOST_STATEMENTS]


def literals_in(text: str) -> list[str]:
    """Quoted texts, lists and numbers, in order."""
    return _LITERAL.findall(text)


def _without_json(text: str) -> tuple[str, str | None]:
    """Values of a JSON object, one per line, and its answer field; other text unchanged, without an answer."""
    if not re.match(r"\s*(?:```\w*\s*)?\{\s*[\"'\w]", text):
        return text, None
    objects = [found.value for found in find_values(text).complete if isinstance(found.value, dict)]
    if not objects:
        return _without_broken_json(text)
    answer, others = None, []
    for key, value in objects[-1].items():
        written = value if isinstance(value, str) else repr(value)
        if key.lower().replace(" ", "_") in _ANSWER_KEYS:
            answer = written
        else:
            others.append(written)
    return "\n".join(others), answer


def _without_broken_json(text: str) -> tuple[str, str | None]:
    """The same for invalid JSON: the text after the last answer key is the answer."""
    parts = _ANSWER_KEY.split(text)
    answer = parts[-1].strip(" \t\r\n\"'`{},") if len(parts) > 1 else ""
    return "\n".join(parts[:-1] or parts).replace("\\n", "\n"), answer or None


def _is_worded(statement: str) -> bool:
    plain = _MARKED_ANSWER.sub("", statement)
    return len(_WORD.findall(plain)) >= _FEWEST_WORDS or bool(_WORKED.search(plain))


def _final_answer(text: str) -> str | None:
    for pattern in _FINALS:
        answers = [answer for answer in pattern.findall(text) if _is_answer(answer)]
        if answers:
            return str(answers[-1]).strip(" \t\r\n*_`").rstrip(".") or None
    concluded = _CONCLUSION.search(text[-_LONGEST_CONCLUSION:])
    return concluded[1] if concluded else None


def _is_answer(text: str) -> bool:
    """Whether a text may be an answer: a number, or a few words, letters or brackets."""
    is_short = len(_WORD.findall(text)) <= _MOST_WORDS_OF_ANSWER
    return any(map(str.isdigit, text)) or (is_short and any(char.isalnum() or char in "[{('\"" for char in text))


def _procedure_step(statement: str, at: int) -> ProcedureStep | None:
    """Parse a statement of the form *subject: working, outcome* with a literal; None for others."""
    head, mark, rest = (*re.split(r"([:,])\s+", statement, maxsplit=1), "", "")[:3]
    literals = literals_in(rest)
    if not mark or not literals or len(head) > 40 or "[" in head or "(" in head:
        return None
    if "=" not in head and len(head.split()) > _MOST_WORDS_OF_SUBJECT:
        return None
    verdicts = tuple(word.lower() in _TRUE for word in _VERDICT.findall(rest))
    done = rest.rsplit(", so ", 1)[-1] if verdicts else rest
    working = re.split(r", now |(?: becomes| is now| -> ).*|= (?=[^=]*$)", done)[0]
    return ProcedureStep(head, verdicts, working.strip(" ."), literals[-1], statement, at)
