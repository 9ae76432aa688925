"""Settings of the analysis stages (paper section 3.2) and bounds of their checks."""

from typing import Annotated, Literal

from pydantic import Field, StrictInt, model_validator

from advcluster_dagster.study.base import Name, Settings


class QuestionSet(Settings):
    """First stage (paper section 3.2.1)."""

    min_gap: float = Field(0.6, gt=0, le=1, description="Smallest pass-rate gap of a kept question, in [0, 1].")


class Statistics(Settings):
    """Intervals and tests (docs/statistics.md); their unit is the source item of a question."""

    confidence: float = Field(0.95, gt=0.5, lt=1, description="Confidence of every interval.")
    n_bootstrap: StrictInt = Field(2000, ge=100, le=100_000, description="Bootstrap replicates of source items.")
    n_permutations: StrictInt = Field(2000, ge=100, le=100_000, description="Permutations per p-value.")
    fdr: float = Field(0.05, gt=0, lt=1, description="False discovery rate of a family of tests.")
    prior: Literal["auto", "empirical", "jeffreys"] = Field(
        "auto",
        description="Prior of a question's gap: estimated from all questions, none (jeffreys), or auto: estimated if"
        " there are at least 100 complete questions.",
    )
    pass_at_k: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (), description="Numbers of samples k for pass@k and majority votes, in addition to 1, 2, 3, 5 and T."
    )


class Extraction(Settings):
    """Second stage (paper section 3.2.2)."""

    wrong_verdicts: tuple[Literal["wrong", "no_answer", "truncated"], ...] = Field(
        ("wrong",),
        min_length=1,
        description="Verdicts accepted for the wrong trace of a pair. A trace without an answer shows no first error"
        " that led to it, so such pairs never enter the error dispersion.",
    )
    max_repeats: StrictInt = Field(
        2,
        ge=0,
        le=10,
        description="Maximum number of repeats of a call with an invalid reply; the repeat states the fault.",
    )


class Deduplication(Settings):
    """Deduplication of descriptions (paper section 3.2.3)."""

    threshold: float = Field(
        0.95, gt=0, le=1, description="Descriptions with a higher cosine similarity to a kept one are dropped."
    )
    scope: Literal["question", "domain"] = Field("question", description="Rows among which duplicates are searched.")


class Pin(Settings):
    """A candidate chosen by hand."""

    pca_dim: StrictInt = Field(ge=1, description="PCA dimension d' of the candidate.")
    n_clusters: StrictInt = Field(ge=2, description="Number of clusters K of the candidate.")
    reason: str = Field(min_length=1, description="Reason for the choice; recorded with the taxonomy.")


class Clustering(Settings):
    """Candidates, naming, review and choice (paper section 3.2.3)."""

    pca_dims: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (256, 128, 64, 16, 8, 4), min_length=1, description="PCA dimensions d'."
    )
    min_clusters: StrictInt = Field(2, ge=2, description="Smallest K.")
    max_clusters: StrictInt = Field(15, ge=2, description="Largest K.")
    n_init: StrictInt = Field(
        10,
        ge=1,
        le=1000,
        description="Initialisations of each K-means run, of which the best is used; if more than 1, the labels of"
        " retained candidates are the best of 50.",
    )
    n_best: StrictInt = Field(
        5, ge=1, description="Number of K with the lowest Davies-Bouldin index considered per d'."
    )
    n_dims_kept: StrictInt = Field(2, ge=1, description="Number of d' retained.")
    n_shown: StrictInt = Field(
        300, ge=2, description="Maximum number of descriptions per cluster shown to the summariser."
    )
    n_bootstrap: StrictInt = Field(
        100, ge=0, le=10_000, description="Bootstrap replicates for the stability of candidates and clusters."
    )
    n_choices: StrictInt = Field(
        20, ge=0, le=1000, description="Bootstrap replicates of the whole sweep, for the stability of the choice."
    )
    choose_by: Literal["reviews", "reviews_and_stability"] = Field(
        "reviews",
        description="reviews: the reviews choose among the retained candidates; reviews_and_stability: candidates whose"
        " bootstrap stability is more than a standard deviation below the best are excluded first.",
    )
    n_name_checks: StrictInt = Field(
        100, ge=0, le=10_000, description="Advantages per family that a judge assigns to clusters by their names."
    )
    n_intruders: StrictInt = Field(
        10,
        ge=0,
        le=1000,
        description="Sets of five advantages per cluster in which a judge looks for the one from another cluster.",
    )
    n_reviews: StrictInt = Field(3, ge=1, le=20, description="Reviews per candidate.")
    max_repeats: StrictInt = Field(
        2,
        ge=0,
        le=10,
        description="Maximum number of repeats of a call with an invalid reply; the repeat states the fault.",
    )
    pins: dict[Name, Pin] = Field(default_factory=dict, description="Candidate chosen by hand, by family.")

    @model_validator(mode="after")
    def _bounds_are_ordered(self) -> "Clustering":
        if self.max_clusters < self.min_clusters:
            raise ValueError(
                f"max_clusters {self.max_clusters} is below min_clusters {self.min_clusters};"
                " raise one or lower the other"
            )
        return self


class Taxonomy(Settings):
    """Rule by which a cluster is specialised in a domain (of this project; the paper judges by eye)."""

    rule: Literal["standard_shares", "residuals"] = Field(
        "standard_shares",
        description="standard_shares: by the standardised share, its interval and a permutation test over source items;"
        " residuals: by the raw share and its adjusted residual, which assumes independent advantages.",
    )
    max_q: float = Field(0.05, gt=0, lt=1, description="Largest adjusted p-value of a specialised cluster.")
    min_questions: StrictInt = Field(
        5, ge=1, description="Minimum number of questions of a specialised cluster in its domain."
    )
    min_share: float = Field(
        0.6, gt=0, le=1, description="Minimum share of a specialised cluster's descriptions from its domain."
    )
    min_residual: float = Field(2.0, ge=0, description="The domain's adjusted standardised residual must exceed this.")


class Themes(Settings):
    """Themes that group clusters (paper section 5)."""

    n_repeats: StrictInt = Field(5, ge=1, le=50, description="Number of times the clusters are grouped.")
    declared: dict[Name, str] = Field(
        default_factory=dict,
        description="Themes declared before seeing the results, as name: definition; each is tested by votes.",
    )
    n_votes: StrictInt = Field(3, ge=1, le=21, description="Votes on each cluster for a declared theme.")
    n_advantages: StrictInt = Field(
        100, ge=0, le=100_000, description="Advantages per family that are judged one by one for a declared theme."
    )


class ErrorDispersion(Settings):
    """First-error statistics (paper appendix A.5)."""

    max_edi_shown: float = Field(0.4, ge=0, le=1, description="Largest EDI of a question shown in the violin plot.")


class CheckBounds(Settings):
    """Bounds of the asset checks; shares are in [0, 1]."""

    max_missing_trial_share: float = Field(
        0.0, ge=0, le=1, description="Trials that the study declares and the traces lack."
    )
    max_ungraded_share: float = Field(0.05, ge=0, le=1, description="Trials that could not be graded.")
    max_no_answer_share: float = Field(0.2, ge=0, le=1, description="Trials without an answer.")
    max_no_answer_share_by_benchmark: float = Field(
        0.95,
        gt=0,
        le=1,
        description="Trials of one model on one benchmark without an answer; reaching this share blocks the result,"
        " 1 never blocks.",
    )
    max_contradiction_share: float = Field(
        0.05, ge=0, le=1, description="Verdicts imported with the traces that our verdicts contradict."
    )
    max_contradiction_share_by_benchmark: float = Field(
        0.5,
        gt=0,
        le=1,
        description="Contradicted verdicts of one model on one benchmark where its accuracy is at most 5 %; reaching"
        " this share blocks the result, 1 never blocks.",
    )
    max_truncated_share: float = Field(0.2, ge=0, le=1, description="Trials cut off at the token limit.")
    max_extraction_failure_share: float = Field(
        0.1, ge=0, le=1, description="Pairs without a usable extraction; a higher share blocks the result."
    )
    max_judge_failure_share: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Unusable replies of the summariser, the reviewer or the panel; a higher share blocks the result.",
    )
    max_style_violation_share: float = Field(0.2, ge=0, le=1, description="Advantages that break a style rule.")
    max_duplicate_share: float = Field(0.5, ge=0, le=1, description="Advantages dropped as duplicates.")
    max_cluster_share: float = Field(
        0.8, gt=0, le=1, description="Descriptions in the largest cluster of the taxonomy."
    )
    max_outside_share: float = Field(
        0.1, ge=0, le=1, description="New advantages that fit no cluster of the frozen taxonomy."
    )
    max_mean_edi: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Mean EDI of a domain (all below 0.4 in paper section 5.3); None relies on the test against"
        " permuted stages only.",
    )
    max_unsupported_share: float = Field(
        0.2, ge=0, le=1, description="Advantages with quotes that do not occur in the traces."
    )
    max_dispersion_p: float = Field(
        0.05, gt=0, le=1, description="p-value of the test that first errors concentrate more than permuted stages."
    )
