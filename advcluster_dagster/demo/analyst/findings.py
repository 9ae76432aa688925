"""Kinds of difference between two solutions, and their stages in Newman's error analysis (paper appendix A.5)."""

from dataclasses import dataclass
from enum import StrEnum


class Difference(StrEnum):
    """Kinds of first difference between a right and a wrong solution."""

    MISCOPIED = "a value of the problem is copied wrongly"
    OMITTED = "a given condition is left out"
    INVENTED = "a value is used that the problem does not give"
    OTHER_GOAL = "another quantity than the one asked for is answered"
    INVERTED = "a ratio is applied the wrong way round"
    OTHER_RELATION = "the quantities are combined by another relation"
    MISCALCULATED = "a calculation is carried out wrongly"
    MISTRACED = "a condition or a repetition of the procedure is followed wrongly"
    MISSTATED = "the result is reached but stated in a wrong form"


STAGES: dict[Difference, str] = {
    Difference.MISCOPIED: "Reading",
    Difference.OMITTED: "Comprehension",
    Difference.INVENTED: "Comprehension",
    Difference.OTHER_GOAL: "Comprehension",
    Difference.INVERTED: "Transformation",
    Difference.OTHER_RELATION: "Transformation",
    Difference.MISCALCULATED: "Process Skills",
    Difference.MISTRACED: "Process Skills",
    Difference.MISSTATED: "Encoding",
}


@dataclass(frozen=True)
class Finding:
    """The first difference: its kind, and the texts of the right and the wrong solution there (either may be empty).

    ``wrong_at`` is the index of a statement in the wrong solution, from 0; None if only an answer outside all
    statements differs.
    """

    difference: Difference
    right_text: str
    wrong_text: str
    wrong_at: int | None

    @property
    def stage(self) -> str:
        """Stage of Newman's error analysis."""
        return STAGES[self.difference]


class NoContrast(StrEnum):
    """Reasons why two solutions yield no finding."""

    NO_REASONING = "neither response holds reasoning, only an answer"
    RIGHT_WITHOUT_REASONING = "the right response holds no reasoning, only an answer"
    WRONG_WITHOUT_REASONING = "the wrong response holds no reasoning, only an answer"
    UNFINISHED = "the wrong response ends before an answer, and nothing in it contradicts the right one"
    NOT_LOCATED = "the responses differ in no place that is clearly more than wording or another approach"
