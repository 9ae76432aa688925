"""From valid replies to the tables of the second stage (paper section 3.2.2, appendix A.5).

Here: rows of advantages, first errors and failures. Not here: asking, parsing (replies).
"""

from collections.abc import Sequence

import polars as pl
from polars._typing import PolarsDataType as DataType

from advcluster_dagster.science.advantage_extraction.replies import STAGE_DEPTHS, ExtractionReply, style_violations

_CORPUS: dict[str, DataType] = {
    "advantage_id": pl.String, "pair_id": pl.String, "question_id": pl.String, "position": pl.Int64,
    "advantage": pl.String, "evidence": pl.String, "rule_violations": pl.List(pl.String), "extractor": pl.String,
    "prompt_hash": pl.String,
}  # fmt: skip
_ERRORS = {
    "pair_id": pl.String, "question_id": pl.String, "stage": pl.String, "depth": pl.Int64, "description": pl.String,
}  # fmt: skip
_FAILURES = {"pair_id": pl.String, "reason": pl.String, "detail": pl.String, "raw_reply": pl.String}


def extraction_tables(
    pairs: pl.DataFrame,
    outcomes: Sequence[tuple[ExtractionReply | None, str, str, str]],
    extractor: str,
    prompt_hash: str,
) -> dict[str, pl.DataFrame]:
    """Rows of ``advantage_corpus``, ``first_errors`` and ``extraction_failures``.

    Every pair ends in exactly one of the last two.

    Args:
        pairs: rows of ``trace_pairs``.
        outcomes: per pair the record, or None with the failure's reason, its detail and the raw reply.
        extractor: name of the model that was asked.
        prompt_hash: sha256 of the prompt file.
    """
    corpus, errors, failures = [], [], []
    for (pair_id, question_id), (reply, *failure) in zip(
        pairs.select("pair_id", "question_id").iter_rows(), outcomes, strict=True
    ):
        if reply is None:
            failures.append((pair_id, *failure))
            continue
        stage = reply.failure_stage
        errors.append((pair_id, question_id, stage, STAGE_DEPTHS[stage], reply.failure_description))
        for position, item in enumerate(reply.advantages):
            key = (f"{pair_id}:{position}", pair_id, question_id, position)
            rules = style_violations(item.advantage)
            corpus.append((*key, item.advantage, item.evidence, rules, extractor, prompt_hash))
    return {
        "advantage_corpus": pl.DataFrame(corpus, schema=_CORPUS, orient="row"),
        "first_errors": pl.DataFrame(errors, schema=_ERRORS, orient="row"),
        "extraction_failures": pl.DataFrame(failures, schema=_FAILURES, orient="row"),
    }
