"""Build the tables of stage 2 from the extractor's replies (paper section 3.2.2, appendix A.5)."""

from collections.abc import Sequence

import polars as pl

from advcluster_dagster.contracts.advantage_extraction import ADVANTAGE_CORPUS, EXTRACTION_FAILURES, FIRST_ERRORS
from advcluster_dagster.contracts.vocabularies import STAGE_DEPTHS
from advcluster_dagster.science.advantage_extraction.replies import ExtractionReply, style_violations


def extraction_tables(
    pairs: pl.DataFrame,
    outcomes: Sequence[tuple[ExtractionReply | None, str, str, str]],
    extractor: str,
    prompt_hash: str,
) -> dict[str, pl.DataFrame]:
    """Build the rows of ``advantage_corpus``, ``first_errors`` and ``extraction_failures``.

    Every pair is in exactly one of the last two tables.

    Args:
        pairs: Rows of ``trace_pairs``.
        outcomes: For each pair the record, or None with the failure's reason, its detail and the raw reply.
        extractor: Name of the extractor model.
        prompt_hash: SHA-256 of the prompt file.
    """
    corpus, errors, failures = [], [], []
    for (pair_id, question_id), (reply, *failure) in zip(
        pairs.select("pair_id", "question_id").iter_rows(), outcomes, strict=True
    ):
        if reply is None:
            failures.append((pair_id, *failure))
            continue
        stage = reply.failure_stage
        errors.append(
            (pair_id, question_id, stage, STAGE_DEPTHS[stage], reply.failure_description, reply.failure_quote)
        )
        for position, item in enumerate(reply.advantages):
            key = (f"{pair_id}:{position}", pair_id, question_id, position)
            rules = style_violations(item.advantage)
            quotes = item.larger_quote, item.smaller_quote
            corpus.append((*key, item.advantage, item.evidence, *quotes, rules, extractor, prompt_hash))
    return {
        "advantage_corpus": pl.DataFrame(corpus, schema=ADVANTAGE_CORPUS.own_schema, orient="row"),
        "first_errors": pl.DataFrame(errors, schema=FIRST_ERRORS.own_schema, orient="row"),
        "extraction_failures": pl.DataFrame(failures, schema=EXTRACTION_FAILURES.own_schema, orient="row"),
    }
