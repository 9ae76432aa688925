"""Tables of accuracy against compute: costs and lengths of traces, accuracy of several samples or a lower limit."""

import polars as pl

from advcluster_dagster.contracts.columns import (
    BENCHMARK,
    QUESTION_ID,
    ROLE,
    TRIAL,
    count,
    flag,
    interval,
    number,
    rate,
    text,
)
from advcluster_dagster.contracts.table import Column, Table

STRATEGIES = ("single", "pass_at_k", "majority", "early_stop")
MATCH_OUTCOMES = ("reached", "not_reached", "no_interval")

_K = Column("k", pl.Int64(), "Samples per question.", minimum=1)

TRACE_COSTS = Table(
    "trace_costs",
    "family_domain",
    "Tokens, FLOPs and cost of every trial, each including its own prompt.",
    ("question_id", "role", "trial"),
    (
        QUESTION_ID,
        BENCHMARK,
        ROLE,
        TRIAL,
        Column("prompt_tokens", pl.Int64(), "Tokens of the prompt; null if unknown.", True, 0),
        Column("completion_tokens", pl.Int64(), "Tokens of the response; null if unknown.", True, 0),
        number("flops", "FLOPs computed from the model's layers; null without its shape or a token count.", 0),
        number("flops_published", "FLOPs by the published formula, which assumes full attention.", 0),
        number("cost", "US dollars; null without a price or a token count that is charged for.", 0),
        flag("is_estimated", "Whether unknown token counts are estimated as a quarter of the characters."),
        flag("is_truncated", "Whether the trial was truncated at its token limit; it then counts as wrong."),
        flag("is_correct", "Whether the answer is correct; null if it could not be graded.", True),
    ),
    section="compute",
)
COMPUTE_SUMMARIES = Table(
    "compute_summaries",
    "family",
    "Accuracy, length and cost of both models on the questions with a scored trial of each.",
    ("domain", "benchmark", "task_format", "role"),
    (
        text("domain", "Domain; `all` on the family's rows."),
        text("benchmark", "Benchmark; `all` on the rows of a domain or the family."),
        text("task_format", "multiple_choice or open_ended; `all` for both."),
        ROLE,
        count("n_questions", "Questions with a scored trial of both models, which the row aggregates."),
        count("n_unpaired", "Questions excluded because a model has no scored trial."),
        count("n_keys", "Source keys of these questions."),
        count("n_trials", "Trials of the model on these questions."),
        count("n_scored", "Of these, trials that could be graded."),
        count("n_without_tokens", "Of n_trials, those with unknown completion tokens, excluded from lengths."),
        rate("accuracy", "Averaged over trials, questions, benchmarks, then domains; truncated trials are wrong."),
        rate("accuracy_truncated_dropped", "The same without truncated trials; null if a benchmark has no others."),
        rate("accuracy_truncated_right", "The same with truncated trials as correct: an upper bound."),
        number("tokens_mean", "Mean completion tokens, averaged like accuracy; null if a benchmark has no counts.", 0),
        number("tokens_correct", "Mean completion tokens over all correct trials.", 0),
        number("tokens_wrong", "Mean completion tokens over all wrong trials, truncated ones included.", 0),
        number("flops_mean", "Mean FLOPs of a trace, averaged like tokens_mean.", 0),
        number("cost_mean", "Mean US dollars of a trace, averaged like tokens_mean.", 0),
        rate("truncated_share", "Share of scored trials that were truncated, averaged like accuracy."),
        number("token_factor", "Mean completion tokens, larger / smaller, over questions with counts for both.", 0),
        number("gain", "Accuracy of the larger minus that of the smaller model; equal on both roles.", -1, 1),
        number("length_effect", "Mean log2 tokens, wrong - correct within a question; null without both outcomes."),
        *interval("length_effect", "length_effect, over source keys", None, None),
        count("n_length_questions", "Questions with trials of both outcomes, behind length_effect."),
        number("length_effect_finished", "The same without truncated trials, which are wrong because they are long."),
        *interval("length_effect_finished", "length_effect_finished, over source keys", None, None),
        count("n_finished_questions", "Questions behind length_effect_finished."),
    ),
    section="compute",
)
BUDGET_CURVES = Table(
    "budget_curves",
    "family",
    "Accuracy and cost per question of each strategy; truncated trials count as wrong.",
    ("domain", "role", "strategy", "k", "token_limit"),
    (
        text("domain", "Domain; `all` for the family."),
        ROLE,
        text(
            "strategy",
            "One trial, best of k with a perfect checker, majority vote, or token limit.",
            allowed=STRATEGIES,
        ),
        _K,
        count("token_limit", "Completion tokens at which generation stops and counts as wrong; 0 without a limit."),
        number("length_percentile", "Percentile of the completion tokens used as the limit; null without one.", 0, 100),
        count("n_questions", "Questions with at least k scored trials; with a limit, of known length."),
        count("n_keys", "Source keys of these questions."),
        count("n_without_tokens", "Trials of these questions without completion tokens, excluded from the costs."),
        rate("accuracy", "Mean over questions, benchmarks, then domains."),
        rate("low", "Lower bound of its confidence interval, over source keys; null if a benchmark has one."),
        rate("high", "Upper bound."),
        number("flops", "FLOPs per question, the prompt read once for k samples; null if unknown in a benchmark.", 0),
        number("tokens", "Completion tokens per question, over all k samples.", 0),
        number("cost", "US dollars per question, the prompt charged for each sample.", 0),
        flag(
            "is_efficient",
            "Whether no other row of the domain is more accurate for as few FLOPs; null unless all have FLOPs.",
            True,
        ),
        flag("is_efficient_tokens", "The same with completion tokens instead of FLOPs.", True),
        flag("is_efficient_unaided", "is_efficient among the rows that need no checker; null for pass_at_k.", True),
        flag("is_efficient_unaided_tokens", "The same with completion tokens instead of FLOPs.", True),
    ),
    section="compute",
)
BUDGET_MATCHES = Table(
    "budget_matches",
    "family",
    "Fewest samples with which the smaller model reaches the accuracy interval of one trial of the larger.",
    ("domain", "strategy"),
    (
        text("domain", "Domain; `all` for the family."),
        text("strategy", "majority, or pass_at_k: an upper bound.", allowed=("majority", "pass_at_k")),
        text("outcome", "Whether some k reaches it, or why that is unknown.", allowed=MATCH_OUTCOMES),
        Column("k", pl.Int64(), "Fewest samples that reach it; null unless reached.", True, 1),
        Column("largest_k", pl.Int64(), "Largest number of samples tried.", minimum=1),
        rate("larger_accuracy", "Accuracy of one trial of the larger model."),
        *interval("larger", "larger_accuracy, over source keys"),
        rate("smaller_accuracy", "Accuracy of the smaller model with k samples; null unless reached."),
        number("flops_ratio", "FLOPs per question, smaller model with k samples / larger with one.", 0),
        number("tokens_ratio", "Completion tokens per question, as in flops_ratio.", 0),
        number("cost_ratio", "US dollars per question, as in flops_ratio; null if the larger model is free.", 0),
    ),
    section="compute",
)

TABLES = (TRACE_COSTS, COMPUTE_SUMMARIES, BUDGET_CURVES, BUDGET_MATCHES)
