"""Steps of stage 2 (paper section 3.2.2): pairs of traces, advantages and first errors."""

from typing import Any

import polars as pl

from advcluster_dagster.ledger.validated import Validated
from advcluster_dagster.models.failures import failure_reasons
from advcluster_dagster.models.protocol import ChatRequest
from advcluster_dagster.pipeline.checks import Check, Outcome
from advcluster_dagster.pipeline.declare import table_step
from advcluster_dagster.pipeline.estimates import (
    assumed_questions,
    at_least_as_now,
    estimate_assumed,
    estimate_chat,
)
from advcluster_dagster.pipeline.recipe import Estimate
from advcluster_dagster.pipeline.step import Step
from advcluster_dagster.printable import one_line
from advcluster_dagster.prompts.files import load_prompt
from advcluster_dagster.science.advantage_extraction.evidence import check_evidence
from advcluster_dagster.science.advantage_extraction.messages import extraction_messages
from advcluster_dagster.science.advantage_extraction.pairs import draw_trace_pairs
from advcluster_dagster.science.advantage_extraction.records import extraction_tables
from advcluster_dagster.science.advantage_extraction.replies import ExtractionReply, parse_extraction_reply
from advcluster_dagster.science.prompting import wire_schema

_GROUP = "advantage_extraction"


@table_step(
    _GROUP,
    settings=lambda study, _: {"seed": study.seed, "wrong_verdicts": study.extraction.wrong_verdicts},
)
def trace_pairs(step: Step, analysis_question_set: pl.DataFrame, graded_trials: pl.DataFrame) -> pl.DataFrame:
    """Pairs of a correct trace of the larger model and a wrong one of the smaller model."""
    verdicts = step.study.extraction.wrong_verdicts
    pairs = draw_trace_pairs(analysis_question_set, graded_trials, step.family, step.study.seed, verdicts)
    n_possible = draw_trace_pairs(analysis_question_set, graded_trials, step.family, step.study.seed).height
    step.facts |= {"n_pairs": pairs.height, "n_left_out": n_possible - pairs.height}
    return pairs


def _failures_bounded(step: Step, failures: pl.LazyFrame, bound: float) -> Outcome:
    reasons = failures.select("reason", "detail").collect()
    n_failures, n_silent = reasons.height, int((reasons["reason"] == "no_contrast").sum())
    n_pairs = step.read_partition("trace_pairs", must_exist=True).height
    share = n_failures / n_pairs if n_pairs else 0.0
    facts: dict[str, Any] = {"n_failures": n_failures, "n_pairs": n_pairs, "share": share, "bound": bound}
    if n_failures:
        facts["reasons"] = failure_reasons(reasons.iter_rows())
    if n_silent:
        silent = f"the embedded reader sees no contrast in {n_silent} of {n_pairs} pairs"
        facts["hint"] = f"{silent}; use a judge model"
    return Outcome(share <= bound, facts)


def _evidence_found(_step: Step, checked: pl.LazyFrame, bound: float) -> Outcome:
    rows = checked.select("n_quotes", "is_supported").collect()
    n_unsupported = int((~rows["is_supported"]).sum())
    share = n_unsupported / rows.height if rows.height else 0.0
    facts = {"n_unsupported": n_unsupported, "n_without_quotes": int((rows["n_quotes"] == 0).sum())}
    return Outcome(share <= bound, {"share": share, "bound": bound, **facts})


def _style_kept(_step: Step, corpus: pl.LazyFrame, bound: float) -> Outcome:
    rows = corpus.select("rule_violations").collect()
    rules = rows.explode("rule_violations").drop_nulls()["rule_violations"].value_counts(sort=True)
    share = (rows["rule_violations"].list.len() > 0).mean() or 0.0
    return Outcome(float(str(share)) <= bound, {"share": share, "bound": bound, **dict(rules.iter_rows())})


@table_step(
    _GROUP,
    tables=("advantage_corpus", "first_errors", "extraction_failures", "evidence_checks"),
    kinds=("polars", "llm"),
    settings=lambda study, _: {
        "extractor": study.judges.extractor.request_identity,
        "extraction": study.extraction.model_dump(mode="json", include={"max_repeats"}),
    },
    prompts=("extraction",),
    checks={
        "advantage_corpus": (
            Check(
                "style_rules",
                description="Few advantages break a style rule of the prompt.",
                judge=_style_kept,
                bound="max_style_violation_share",
            ),
        ),
        "extraction_failures": (
            Check(
                "failures_bounded",
                description="Few pairs lack a usable extraction; more would bias the corpus.",
                judge=_failures_bounded,
                is_blocking=True,
                bound="max_extraction_failure_share",
            ),
        ),
        "evidence_checks": (
            Check(
                "evidence_found",
                description="The passages quoted as evidence occur in the traces.",
                judge=_evidence_found,
                bound="max_unsupported_share",
            ),
        ),
    },
    estimate=lambda step: _estimate(step),
)
def extracted_advantages(
    step: Step,
    trace_pairs: pl.DataFrame,
    benchmark_questions: pl.DataFrame,
    larger_traces: pl.LazyFrame,
    smaller_traces: pl.LazyFrame,
    graded_trials: pl.DataFrame,
) -> dict[str, pl.DataFrame]:
    """Advantages and first error of every pair, as reported by the extractor, and whether its quotes are verbatim."""
    judge, prompt = step.study.judges.extractor, load_prompt("extraction")
    texts = _pair_texts(trace_pairs, benchmark_questions, larger_traces, smaller_traces, graded_trials)
    requests = _requests(step, texts)
    results = step.models.ask(judge, requests, parse_extraction_reply, step.study.extraction.max_repeats)
    outcomes = [
        (result.record, "", "", "")
        if isinstance(result, Validated)
        else (None, result.reason, one_line(result.detail), result.raw_reply)
        for result in results
    ]
    tables = extraction_tables(trace_pairs, outcomes, judge.model, prompt.sha256)
    traces = texts.select("pair_id", "larger_response", "smaller_response")
    return {**tables, "evidence_checks": check_evidence(tables["advantage_corpus"], tables["first_errors"], traces)}


def _pair_texts(
    pairs: pl.DataFrame, questions: pl.DataFrame, larger: pl.LazyFrame, smaller: pl.LazyFrame, graded: pl.DataFrame
) -> pl.DataFrame:
    """Return the pairs in order, with the prompt, both responses and both extracted answers."""
    texts = pairs.join(questions.select("question_id", "prompt"), on="question_id", how="left", maintain_order="left")
    for role, traces in (("larger", larger), ("smaller", smaller)):
        needed = pairs.select("question_id", pl.col(f"{role}_trial").alias("trial")).lazy()
        of_pairs = traces.join(needed, on=["question_id", "trial"], how="semi").select(
            "question_id", "trial", "response"
        )
        responses = of_pairs.rename({"trial": f"{role}_trial", "response": f"{role}_response"}).collect()
        texts = texts.join(responses, on=["question_id", f"{role}_trial"], how="left", maintain_order="left")
        answers = graded.filter(pl.col("role") == role).select(
            "question_id", pl.col("trial").alias(f"{role}_trial"), pl.col("prediction").alias(f"{role}_answer")
        )
        texts = texts.join(answers, on=["question_id", f"{role}_trial"], how="left", maintain_order="left")
    return texts


def _requests(step: Step, texts: pl.DataFrame) -> list[ChatRequest]:
    """Return one request per pair, in the order of the pairs."""
    prompt = load_prompt("extraction")
    columns = texts.select("prompt", "larger_response", "smaller_response", "larger_answer", "smaller_answer")
    messages = [extraction_messages(prompt, *row) for row in columns.iter_rows()]
    return step.models.chat(step.study.judges.extractor, messages, schema=wire_schema(ExtractionReply))


#: Assumptions of a dry run while inputs do not exist yet: share of questions kept, pairs per question, reply tokens.
_KEPT_SHARE, _PAIRS_EACH, _USUAL_REPLY = 0.05, 7, 150


def assumed_pairs(step: Step) -> tuple[int, str]:
    """Return the number of pairs that a dry run assumes before they are drawn, and the basis of that estimate."""
    n_questions, known = assumed_questions(step)
    pairs_each = min(_PAIRS_EACH, step.study.trials)
    basis = f"{_KEPT_SHARE:.0%} of the questions kept, {pairs_each} pairs each{known}"
    return at_least_as_now(step, "trace_pairs", round(n_questions * _KEPT_SHARE) * pairs_each, basis, "pairs")


def _estimate(step: Step) -> Estimate:
    pairs, judge = step.read_partition("trace_pairs"), step.study.judges.extractor
    if step.has_final_inputs:
        tables = ("benchmark_questions", "larger_traces", "smaller_traces")
        questions, larger, smaller = (step.scan_partition(table) for table in tables)
        graded = step.scan_partition("graded_trials").collect()
        texts = _pair_texts(pairs, questions.collect(), larger, smaller, graded)
        return estimate_chat(step, judge, _requests(step, texts), _USUAL_REPLY)
    n_pairs, basis = assumed_pairs(step) if pairs is None else (pairs.height, "the pairs drawn")
    return estimate_assumed(step, judge, n_pairs, 3000, _USUAL_REPLY, basis)


STEPS = (
    trace_pairs,
    extracted_advantages,
)
