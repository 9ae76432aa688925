"""Tables of accuracy against compute: what traces cost, their lengths, and the accuracy that several samples or a
shorter limit give for it.
"""

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

_K = Column("k", pl.Int64(), "Samples a question.", minimum=1)

TRACE_COSTS = Table(
    "trace_costs",
    "family_domain",
    "Tokens, FLOPs and money of every trial, each as if its prompt were read for it alone.",
    ("question_id", "role", "trial"),
    (
        QUESTION_ID,
        BENCHMARK,
        ROLE,
        TRIAL,
        Column("prompt_tokens", pl.Int64(), "Tokens of the prompt; null when not known.", True, 0),
        Column("completion_tokens", pl.Int64(), "Tokens of the response; null when not known.", True, 0),
        number("flops", "FLOPs by the model's own layers; null without its shape or a token count.", 0),
        number("flops_published", "FLOPs by the published formula, which takes plain attention for granted.", 0),
        number("cost", "US dollars; null without a price or a token count that is charged.", 0),
        flag("is_estimated", "Whether a quarter of the characters stands for token counts that are not known."),
        flag("is_truncated", "Whether the trial was cut at its token limit; it then counts as wrong."),
        flag("is_correct", "Right, wrong, or null: could not be graded.", True),
    ),
    section="compute",
)
COMPUTE_SUMMARIES = Table(
    "compute_summaries",
    "family",
    "Accuracy, length and cost of both models on the questions that both have a scored trial of.",
    ("domain", "benchmark", "task_format", "role"),
    (
        text("domain", "Domain; `all` on the family's rows."),
        text("benchmark", "Benchmark; `all` above it."),
        text("task_format", "multiple_choice or open_ended; `all` for both."),
        ROLE,
        count("n_questions", "Questions with a scored trial of both models: the row is over these."),
        count("n_unpaired", "Questions left out because a model has no scored trial."),
        count("n_keys", "Source keys among n_questions."),
        count("n_trials", "Trials of the model on these questions."),
        count("n_scored", "Of these, trials that could be graded."),
        count("n_without_tokens", "Of n_trials, those whose completion tokens are not known, left out of lengths."),
        rate("accuracy", "Truncated trials count as wrong; over trials, questions, benchmarks, then domains."),
        rate("accuracy_truncated_dropped", "The same without truncated trials; null where a benchmark has no other."),
        rate("accuracy_truncated_right", "The same with truncated trials as right: an upper bound."),
        number("tokens_mean", "Mean completion tokens, averaged as accuracy; null if a benchmark has none known.", 0),
        number("tokens_correct", "Mean completion tokens over all correct trials.", 0),
        number("tokens_wrong", "Mean completion tokens over all wrong trials, truncated ones included.", 0),
        number("flops_mean", "Mean FLOPs of a trace, averaged as tokens_mean.", 0),
        number("cost_mean", "Mean US dollars of a trace, averaged as tokens_mean.", 0),
        rate("truncated_share", "Share of scored trials that were truncated, averaged as accuracy."),
        number("token_factor", "Mean completion tokens, larger / smaller, over questions with counts of both.", 0),
        number("gain", "Accuracy of the larger minus that of the smaller model; the same on both roles.", -1, 1),
        number("length_effect", "Mean log2 tokens, wrong - right within a question; null without both outcomes."),
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
    "Accuracy of a way to use a model and what a question costs with it; truncated trials count as wrong.",
    ("domain", "role", "strategy", "k", "token_limit"),
    (
        text("domain", "Domain; `all` for the family."),
        ROLE,
        text("strategy", "One trial, the best of k with a perfect checker, a vote, or a limit.", allowed=STRATEGIES),
        _K,
        count("token_limit", "Completion tokens after which generation stops as wrong; 0 where there is no limit."),
        number("length_percentile", "Percentile of the completion tokens that is the limit; null without one.", 0, 100),
        count("n_questions", "Questions with at least k trials that count."),
        count("n_keys", "Source keys among them."),
        count("n_without_tokens", "Trials of these questions without completion tokens, left out of what it costs."),
        rate("accuracy", "Mean over questions, benchmarks, then domains."),
        rate("low", "Lower end of its interval, over source keys; null where a benchmark has one."),
        rate("high", "Upper end."),
        number("flops", "FLOPs a question, the prompt read once for k samples; null if unknown in a benchmark.", 0),
        number("tokens", "Completion tokens a question, over all k samples.", 0),
        number("cost", "US dollars a question, the prompt charged for each sample.", 0),
        flag("is_efficient", "No other row of the domain has more for as few FLOPs; null unless all have FLOPs.", True),
        flag("is_efficient_tokens", "The same with completion tokens in the place of FLOPs.", True),
        flag("is_efficient_unaided", "is_efficient among the rows that need no checker; null for pass_at_k.", True),
        flag("is_efficient_unaided_tokens", "The same with completion tokens in the place of FLOPs.", True),
    ),
    section="compute",
)
BUDGET_MATCHES = Table(
    "budget_matches",
    "family",
    "Fewest samples of the smaller model whose accuracy reaches the interval of one trial of the larger.",
    ("domain", "strategy"),
    (
        text("domain", "Domain; `all` for the family."),
        text("strategy", "majority, or pass_at_k: an upper bound.", allowed=("majority", "pass_at_k")),
        text("outcome", "Whether a k reaches it, or why that is not known.", allowed=MATCH_OUTCOMES),
        Column("k", pl.Int64(), "Fewest samples; null unless reached.", True, 1),
        Column("largest_k", pl.Int64(), "Most samples that were tried.", minimum=1),
        rate("larger_accuracy", "One trial of the larger model."),
        *interval("larger", "it, over source keys"),
        rate("smaller_accuracy", "The smaller model with k samples; null unless reached."),
        number("flops_ratio", "FLOPs a question, the smaller with k samples / the larger with one.", 0),
        number("tokens_ratio", "Completion tokens a question, in the same way.", 0),
        number("cost_ratio", "US dollars a question, in the same way; null where the larger costs nothing.", 0),
    ),
    section="compute",
)

TABLES = (TRACE_COSTS, COMPUTE_SUMMARIES, BUDGET_CURVES, BUDGET_MATCHES)
