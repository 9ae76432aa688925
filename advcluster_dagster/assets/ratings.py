"""Steps that rate traces: scores and deltas per domain, then calibration and summaries per family."""

from collections.abc import Sequence

import polars as pl

from advcluster_dagster.assets.advantage_extraction import assumed_pairs
from advcluster_dagster.assets.failed_calls import CALLS_ANSWERED, JUDGE_USABLE
from advcluster_dagster.contracts.ratings import FAULT_DIMENSIONS
from advcluster_dagster.ledger.validated import Validated
from advcluster_dagster.models.protocol import ChatRequest, approximate_tokens
from advcluster_dagster.pipeline.declare import table_step
from advcluster_dagster.pipeline.estimates import estimate_assumed, estimate_chat
from advcluster_dagster.pipeline.recipe import Estimate
from advcluster_dagster.pipeline.step import Step
from advcluster_dagster.prompts.files import load_prompt
from advcluster_dagster.science.prompting import wire_schema
from advcluster_dagster.science.ratings.calibration import Bootstrap, rating_calibrations
from advcluster_dagster.science.ratings.deltas import RatedFamily, quality_deltas, trace_qualities
from advcluster_dagster.science.ratings.deltas import delta_summaries as summarise_deltas
from advcluster_dagster.science.ratings.faults import faulted_traces
from advcluster_dagster.science.ratings.overlaps import delta_overlaps
from advcluster_dagster.science.ratings.rating import TraceRating, parse_rating, rating_messages, rating_rows
from advcluster_dagster.science.ratings.sampling import RatedSample, draw_rated_traces
from advcluster_dagster.science.statistics.resampling import table_rng
from advcluster_dagster.science.traces import stack_traces
from advcluster_dagster.study.partition import Partition
from advcluster_dagster.study.ratings import Ratings
from advcluster_dagster.study.study import Study

_GROUP = "ratings"
_TRACE = ["question_id", "role", "trial"]
#: Assumed tokens of a reply before the rater's first, and of a request before there are traces.
_USUAL_REPLY, _USUAL_REQUEST = 600, 2500


def _ratings(study: Study) -> Ratings:
    assert study.ratings is not None  # the steps exist only for studies with this section
    return study.ratings


def _settings(study: Study, partition: Partition) -> dict[str, object]:
    chosen = _ratings(study)
    return {
        "rater": study.judges.rating_judge.request_identity,
        **chosen.model_dump(mode="json", exclude={"families", "domains", "overlap_sizes"}),
        "is_rated": chosen.covers(str(partition.family), partition.domain),
        "seed": study.seed,
    }


def _family_settings(study: Study, partition: Partition) -> dict[str, object]:
    return {
        **_settings(study, partition),
        "overlap_sizes": list(_ratings(study).overlap_sizes),
        "domains": list(_ratings(study).domains),
        **study.statistics.model_dump(mode="json", include={"confidence", "n_bootstrap"}),
    }


@table_step(
    _GROUP,
    tables=("trace_ratings", "trace_qualities", "quality_deltas"),
    kinds=("polars", "llm"),
    settings=_settings,
    prompts=("rating",),
    checks={"trace_ratings": (CALLS_ANSWERED, JUDGE_USABLE)},
    estimate=lambda step: _estimate_ratings(step),
)
def trace_ratings(
    step: Step,
    trace_pairs: pl.DataFrame,
    graded_trials: pl.DataFrame,
    larger_traces: pl.LazyFrame,
    smaller_traces: pl.LazyFrame,
    benchmark_questions: pl.DataFrame,
) -> dict[str, pl.DataFrame]:
    """Scores of paired traces and of further right and wrong ones, and the difference within each pair."""
    sample, texts = _sample(step, trace_pairs, graded_trials, larger_traces, smaller_traces, benchmark_questions)
    step.facts |= {"n_rated": texts.height, "n_left_out": sample.n_left_out, "n_without_text": sample.n_without_text}
    calls, replies = _rated(step, texts)
    ratings = rating_rows(calls, replies)
    keys = benchmark_questions.select("question_id", "source_key")
    qualities = trace_qualities(ratings)
    pairs = trace_pairs.join(keys, on="question_id", how="left", maintain_order="left")
    return {
        "trace_ratings": ratings,
        "trace_qualities": qualities,
        "quality_deltas": quality_deltas(pairs, qualities),
    }


def _sample(
    step: Step,
    pairs: pl.DataFrame,
    graded: pl.DataFrame,
    larger: pl.LazyFrame,
    smaller: pl.LazyFrame,
    questions: pl.DataFrame,
) -> tuple[RatedSample, pl.DataFrame]:
    """Return the traces to rate, and the same traces with prompt and response."""
    chosen = _ratings(step.study)
    traces = _responses(larger, smaller, graded)
    verdicts = graded.select(*_TRACE, "verdict", "is_correct")
    has_text = pl.col("response").fill_null("").str.contains(r"\w")
    trials = verdicts.join(traces, on=_TRACE, how="left", maintain_order="left").with_columns(has_text=has_text)
    n_traces = chosen.n_traces if chosen.covers(step.family, step.domain) else 0
    sample = draw_rated_traces(pairs, trials.drop("response"), step.family, step.study.seed, n_traces)
    prompts = questions.select("question_id", "prompt")
    texts = sample.traces.join(traces, on=_TRACE, how="left", maintain_order="left")
    return sample, texts.join(prompts, on="question_id", how="left", maintain_order="left")


def _calls(texts: pl.DataFrame, n_generations: int) -> pl.DataFrame:
    """Return one row per call: every trace repeated for each of its ratings."""
    generations = pl.DataFrame({"generation": range(n_generations)}, schema={"generation": pl.Int64})
    return texts.join(generations, how="cross", maintain_order="left_right")


def _requests(step: Step, calls: pl.DataFrame) -> list[ChatRequest]:
    prompt = load_prompt("rating")
    messages = [rating_messages(prompt, *row) for row in calls.select("prompt", "response").iter_rows()]
    trials = calls["generation"].to_list()
    return step.models.chat(step.study.judges.rating_judge, messages, trials, schema=wire_schema(TraceRating))


def _rated(step: Step, texts: pl.DataFrame) -> tuple[pl.DataFrame, Sequence[TraceRating | None]]:
    """Rate the traces; return the calls, and the reply to each, None where it is unusable."""
    chosen = _ratings(step.study)
    calls = _calls(texts, chosen.n_generations)
    results = step.models.ask(step.study.judges.rating_judge, _requests(step, calls), parse_rating, chosen.max_repeats)
    return calls, [result.record if isinstance(result, Validated) else None for result in results]


@table_step(
    _GROUP,
    tables=("delta_summaries", "delta_overlaps", "rating_calibrations"),
    kinds=("polars", "llm"),
    settings=_family_settings,
    prompts=("rating",),
    checks={"rating_calibrations": (CALLS_ANSWERED, JUDGE_USABLE)},
    estimate=lambda step: _estimate_faults(step),
)
def delta_summaries(
    step: Step,
    trace_ratings: pl.DataFrame,
    quality_deltas: pl.DataFrame,
    graded_trials: pl.DataFrame,
    larger_traces: pl.LazyFrame,
    smaller_traces: pl.LazyFrame,
    benchmark_questions: pl.DataFrame,
    trace_pairs: pl.DataFrame,
    question_statistics: pl.DataFrame,
) -> dict[str, pl.DataFrame]:
    """Calibration of the rater, and how much better the larger model's traces are rated, by dimension."""
    chosen, statistics, seed = _ratings(step.study), step.study.statistics, step.study.seed
    traces = _rated_traces(trace_ratings, graded_trials, larger_traces, smaller_traces, benchmark_questions)
    bootstrap = Bootstrap(
        statistics.confidence, statistics.n_bootstrap, table_rng(seed, "rating_calibrations", step.family)
    )
    lengths = _lengths(trace_pairs, larger_traces, smaller_traces)
    gaps = question_statistics.select("question_id", "gap_mean")
    rated = RatedFamily(quality_deltas, trace_ratings, traces, lengths, gaps)
    rng = table_rng(seed, "delta_summaries", step.family)
    return {
        "rating_calibrations": rating_calibrations(trace_ratings, traces, _rated_faults(step, traces), bootstrap),
        "delta_summaries": summarise_deltas(rated, statistics.confidence, statistics.n_bootstrap, rng),
        "delta_overlaps": delta_overlaps(quality_deltas, chosen.overlap_sizes),
    }


def _rated_traces(
    ratings: pl.DataFrame, graded: pl.DataFrame, larger: pl.LazyFrame, smaller: pl.LazyFrame, questions: pl.DataFrame
) -> pl.DataFrame:
    """Return the rated traces with domain, source_key, verdict, texts, and whether verdicts of their draw are mixed."""
    rated = ratings.select(*_TRACE, "is_truncated").unique(maintain_order=True)
    verdicts = graded.select("domain", *_TRACE, "is_correct")
    texts = _responses(larger, smaller, rated)
    keys = questions.select("question_id", "source_key", "prompt")
    traces = rated.join(verdicts, on=_TRACE, how="left", maintain_order="left")
    traces = traces.join(texts, on=_TRACE, how="left", maintain_order="left")
    traces = traces.join(keys, on="question_id", how="left", maintain_order="left")
    both = pl.col("is_correct").any() & (~pl.col("is_correct")).any()
    return traces.with_columns(is_mixed=both.over("question_id", "role").fill_null(False))


def _responses(larger: pl.LazyFrame, smaller: pl.LazyFrame, trials: pl.DataFrame) -> pl.DataFrame:
    """Return the responses of these trials of both models."""
    traces = stack_traces(larger, smaller, ("question_id", "trial", "response"))
    return traces.join(trials.lazy().select(_TRACE), on=_TRACE, how="semi").collect()


def _lengths(pairs: pl.DataFrame, larger: pl.LazyFrame, smaller: pl.LazyFrame) -> pl.DataFrame:
    """Return the lengths of each pair's traces, in characters."""
    lengths = pairs.select("pair_id", "question_id", "larger_trial", "smaller_trial")
    for role, traces in (("larger", larger), ("smaller", smaller)):
        of_role = traces.select(
            "question_id",
            pl.col("trial").alias(f"{role}_trial"),
            pl.col("response").str.len_chars().cast(pl.Int64).alias(f"{role}_length"),
        ).collect()
        lengths = lengths.join(of_role, on=["question_id", f"{role}_trial"], how="left", maintain_order="left")
    return lengths.select("pair_id", "larger_length", "smaller_length")


def _faulted(step: Step, traces: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """Return right traces with each fault inserted and their prompt, and how many had no number to change."""
    whole = traces.filter(~pl.col("is_truncated"))
    faulted, n_without_number = faulted_traces(whole, step.family, step.study.seed, _ratings(step.study).n_faulted)
    prompts = whole.select(*_TRACE, "prompt", "is_truncated")
    return faulted.join(prompts, on=_TRACE, how="left", maintain_order="left"), n_without_number


def _rated_faults(step: Step, traces: pl.DataFrame) -> pl.DataFrame:
    """Rate the faulted traces; return the ratings with the fault."""
    faulted, n_without_number = _faulted(step, traces)
    calls, replies = _rated(step, faulted)
    step.facts |= {"n_faulted": faulted.height, "n_without_number": n_without_number}
    parts = []
    for fault in FAULT_DIMENSIONS:
        chosen = [reply for name, reply in zip(calls["fault"], replies, strict=True) if name == fault]
        rows = rating_rows(calls.filter(pl.col("fault") == fault), chosen)
        parts.append(rows.with_columns(fault=pl.lit(fault)))
    return pl.concat(parts)


def _estimate_ratings(step: Step) -> Estimate:
    """Estimate the calls on the traces to rate."""
    chosen, judge = _ratings(step.study), step.study.judges.rating_judge
    if not chosen.covers(step.family, step.domain):
        return Estimate()
    pairs = step.read_partition("trace_pairs")
    if pairs is not None and step.has_final_inputs:
        graded, questions = (step.scan_partition(name).collect() for name in ("graded_trials", "benchmark_questions"))
        larger, smaller = (step.scan_partition(name) for name in ("larger_traces", "smaller_traces"))
        _, texts = _sample(step, pairs, graded, larger, smaller, questions)
        return estimate_chat(step, judge, _requests(step, _calls(texts, chosen.n_generations)), _USUAL_REPLY)
    n_pairs, basis = assumed_pairs(step) if pairs is None else (pairs.height, "the pairs drawn")
    n_calls = min(chosen.n_traces, 3 * n_pairs) * chosen.n_generations
    n_prompt = _usual_request(step.scan_partition("larger_traces"))
    return estimate_assumed(step, judge, n_calls, n_prompt, _USUAL_REPLY, f"three traces per pair, {basis}")


def _usual_request(traces: pl.LazyFrame) -> int:
    """Return the tokens of a request with a trace of mean length, or a default if there are no traces yet."""
    lengths = traces.select(pl.col("response").str.len_chars().mean())
    mean, prompt = lengths.collect().item(), load_prompt("rating")
    if mean is None:
        return _USUAL_REQUEST
    return round(approximate_tokens(len(prompt.system) + len(prompt.user) + mean))


def _estimate_faults(step: Step) -> Estimate:
    """Estimate the calls on faulted traces."""
    chosen, judge = _ratings(step.study), step.study.judges.rating_judge
    if not chosen.covers(step.family):
        return Estimate()
    if step.has_final_inputs:
        names = ("trace_ratings", "graded_trials", "benchmark_questions", "larger_traces", "smaller_traces")
        ratings, graded, questions, *traces = (step.load(name) for name in names)
        larger, smaller = (frame.lazy() for frame in traces)
        faulted, _ = _faulted(step, _rated_traces(ratings, graded, larger, smaller, questions))
        return estimate_chat(step, judge, _requests(step, _calls(faulted, chosen.n_generations)), _USUAL_REPLY)
    n_calls = len(FAULT_DIMENSIONS) * chosen.n_faulted * chosen.n_generations
    n_prompt = _usual_request(step.load("larger_traces").lazy())
    return estimate_assumed(step, judge, n_calls, n_prompt, _USUAL_REPLY, "as many faulted traces as set")


STEPS = (
    trace_ratings,
    delta_summaries,
)
