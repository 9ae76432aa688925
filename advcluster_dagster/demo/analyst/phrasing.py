"""Phrase a finding: the failure, and the advantages of the solver that avoids it.

Phrases are chosen by a hash of the two differing texts, so that equal contrasts are phrased alike. Style rules: paper
appendix A.2.1.
"""

import hashlib
import re
from collections.abc import Iterator
from itertools import product
from random import Random

from advcluster_dagster.demo.analyst.findings import Difference, Finding

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")  # not allowed in replies
_LONGEST_QUOTE = 160

#: (verbs, objects, endings): each combination is an advantage of at most ten words.
_PHRASES: dict[Difference, tuple[tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]], ...]] = {
    Difference.MISCOPIED: (
        (
            ("Copies", "Transcribes", "Carries over"),
            ("given values", "stated figures", "each written number"),
            ("exactly as written", "without altering a digit", "faithfully from the text"),
        ),
        (
            ("Reads", "Records", "Rechecks"),
            ("each stated number", "the given figures", "written values"),
            ("without altering a digit", "exactly as the text has them", "faithfully to every digit"),
        ),
    ),
    Difference.OMITTED: (
        (
            ("Includes", "Covers", "Incorporates"),
            ("every stated condition", "all restrictions", "each limiting condition"),
            ("before computing further", "instead of ignoring one", "so that nothing is left out"),
        ),
        (
            ("Honours", "Respects", "Considers"),
            ("conditions and exceptions", "restrictions mentioned in passing", "all limiting conditions"),
            ("that the text imposes", "instead of ignoring one", "rather than dropping an exception"),
        ),
    ),
    Difference.INVENTED: (
        (
            ("Relies on", "Builds on", "Restricts itself to"),
            ("supplied information", "facts actually provided", "available evidence"),
            ("without inventing assumptions", "instead of unsupported guesses", "and avoids made-up data"),
        ),
        (
            ("Avoids", "Rejects", "Resists"),
            ("unsupported assumptions", "invented data", "guessed facts"),
            ("about the situation", "that nobody provided", "foreign to the description"),
        ),
    ),
    Difference.OTHER_GOAL: (
        (
            ("Keeps", "Holds", "Maintains"),
            ("the requested goal in view", "focus on the requested target", "sight of the goal"),
            ("until the end", "beyond intermediate stages", "before stopping"),
        ),
        (
            ("Pursues", "Targets", "Seeks"),
            ("the goal actually asked for", "the requested target", "what is finally sought"),
            ("instead of stopping early", "through to the end", "beyond intermediate stages"),
        ),
    ),
    Difference.INVERTED: (
        (
            ("Orients", "Directs", "Sets up"),
            ("ratios", "proportions", "conversion factors"),
            ("in the proper direction", "with numerator and denominator in place", "so that scaling runs forward"),
        ),
        (
            ("Scales", "Relates", "Converts"),
            ("amounts by the proper ratio", "proportional amounts", "by the conversion ratio"),
            ("without inverting the proportion", "in the right direction", "instead of its inverse"),
        ),
    ),
    Difference.OTHER_RELATION: (
        (
            ("Selects", "Chooses", "Applies"),
            ("the governing relation", "the fitting formula", "the governing law"),
            ("from the structure of the system", "before inserting quantities", "that matches the situation"),
        ),
        (
            ("Derives", "Formulates", "Models"),
            ("the governing formula", "relations between quantities", "the underlying law"),
            ("from principles", "instead of a superficial formula", "by its mechanism"),
        ),
    ),
    Difference.MISCALCULATED: (
        (
            ("Performs", "Executes", "Carries out"),
            ("arithmetic operations", "each calculation", "intermediate computations"),
            ("without numerical slips", "accurately at every step", "with arithmetic precision"),
        ),
        (
            ("Computes", "Calculates", "Verifies"),
            ("intermediate arithmetic", "sums and products", "each computation"),
            ("accurately", "precisely before moving on", "without arithmetic slips"),
        ),
    ),
    Difference.MISTRACED: (
        (
            ("Traces", "Simulates", "Follows"),
            ("each iteration of the procedure", "state changes at every iteration", "every branch"),
            ("in order", "without skipping any", "as the rules dictate"),
        ),
        (
            ("Evaluates", "Tracks", "Monitors"),
            ("the branch taken at every iteration", "changing state", "the state of the procedure"),
            ("before updating it", "across repeated iterations", "along each branch"),
        ),
    ),
    Difference.MISSTATED: (
        (
            ("Presents", "Expresses", "States"),
            ("the final answer", "the finished answer", "the concluding answer"),
            ("in the required format", "in the expected form and unit", "following format instructions"),
        ),
        (
            ("Formats", "Delivers", "Reports"),
            ("the answer", "the final answer", "the answer form"),
            ("as the instructions require", "in the expected representation", "without changing its format"),
        ),
    ),
}


def failure_description(finding: Finding) -> str:
    """Describe the first failure in one or two sentences."""
    where = f' The place is "{_quote(finding.wrong_text)}".' if finding.wrong_text else ""
    return f"In the wrong solution {finding.difference.value}.{where}"


def advantages_of(finding: Finding) -> Iterator[tuple[str, str]]:
    """Yield two or three (advantage, evidence) pairs on the difference found."""
    digest = hashlib.sha256(f"{finding.right_text}\x1f{finding.wrong_text}".encode("utf-8", "replace")).digest()
    rng = Random(int.from_bytes(digest[:8], "big"))
    banks = [[" ".join(parts) for parts in product(*slots)] for slots in _PHRASES[finding.difference]]
    texts = [rng.choice(bank) for bank in banks]
    if rng.random() < 0.35:
        texts.append(rng.choice([text for bank in banks for text in bank if text not in texts]))
    for text in texts:
        yield text, _evidence(finding)


def _evidence(finding: Finding) -> str:
    right, wrong = _quote(finding.right_text), _quote(finding.wrong_text)
    return f'Model_A has "{right or "a complete answer"}" where Model_B has "{wrong or "no answer"}".'


def _quote(text: str) -> str:
    plain = _CONTROL.sub("", " ".join(text.split()))
    return plain if len(plain) <= _LONGEST_QUOTE else plain[: _LONGEST_QUOTE - 1] + "…"
