"""Vocabularies shared by several tables and the method: stages of first errors, verdicts on answers."""

from collections.abc import Mapping
from typing import Literal, get_args

ErrorStage = Literal["Reading", "Comprehension", "Transformation", "Process Skills", "Encoding"]

#: Depth of each stage of Newman's error analysis, 1 (first) to 5 (last); paper appendix A.5.
STAGE_DEPTHS: dict[str, int] = {stage: depth for depth, stage in enumerate(get_args(ErrorStage), start=1)}
N_DEPTHS = len(STAGE_DEPTHS)

Verdict = Literal[
    "correct",
    "wrong",
    "no_answer",
    "truncated",
    "missing_response",
    "not_gradable_yet",
    "grader_error",
    "grader_timeout",
]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
#: Verdict to correctness in a pass rate. Every other verdict is null: the trial could not be graded.
IS_CORRECT: Mapping[str, bool] = {"correct": True, "wrong": False, "no_answer": False, "truncated": False}
#: Verdicts of a trial that count as wrong in a pass rate.
WRONG_VERDICTS: tuple[Verdict, ...] = ("wrong", "no_answer", "truncated")
#: Verdicts that a comparison of a gold answer with a prediction can return.
ComparisonVerdict = Literal["correct", "wrong", "not_gradable_yet", "grader_error", "grader_timeout"]
COMPARISON_VERDICTS: tuple[ComparisonVerdict, ...] = get_args(ComparisonVerdict)
#: Of these, the verdicts of a comparison that the rules could not decide.
UNDECIDED_VERDICTS: tuple[ComparisonVerdict, ...] = ("not_gradable_yet", "grader_error", "grader_timeout")
