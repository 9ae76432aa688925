"""The stages of the analysis (paper section 3.2) and the bounds of their checks."""

from typing import Annotated, Literal

from pydantic import Field, StrictInt, model_validator

from advcluster_dagster.study.base import Name, Settings


class QuestionSet(Settings):
    """First stage (paper section 3.2.1)."""

    min_gap: float = Field(0.6, gt=0, le=1, description="Smallest pass-rate gap of a kept question, in [0, 1].")


class Statistics(Settings):
    """Intervals and tests (docs/statistics.md); the source item of a question is their unit."""

    confidence: float = Field(0.95, gt=0.5, lt=1, description="Confidence of every interval.")
    n_bootstrap: StrictInt = Field(2000, ge=100, le=100_000, description="Bootstrap replicates of source items.")
    n_permutations: StrictInt = Field(2000, ge=100, le=100_000, description="Permutations behind a p-value.")
    fdr: float = Field(0.05, gt=0, lt=1, description="False discovery rate of tests that are made together.")
    prior: Literal["auto", "empirical", "jeffreys"] = Field(
        "auto",
        description="Prior of a question's gap: estimated from all questions, none (jeffreys), or auto: estimated where"
        " there are at least 100 complete questions.",
    )
    pass_at_k: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (), description="Numbers of samples k of pass@k and majority votes, beside 1, 2, 3, 5 and T."
    )


class Extraction(Settings):
    """Second stage (paper section 3.2.2)."""

    wrong_verdicts: tuple[Literal["wrong", "no_answer", "truncated"], ...] = Field(
        ("wrong",),
        min_length=1,
        description="Verdicts of the wrong side of a pair. A trace without an answer shows no first"
        " error that led to it, so such pairs never enter the error dispersion.",
    )
    max_repeats: StrictInt = Field(
        2, ge=0, le=10, description="How often a broken reply is asked for again with its fault named."
    )


class Deduplication(Settings):
    """Deduplication of descriptions (paper section 3.2.3)."""

    threshold: float = Field(
        0.95, gt=0, le=1, description="A description more similar than this to a kept one is dropped (cosine)."
    )
    scope: Literal["question", "domain"] = Field("question", description="Within which rows duplicates are sought.")


class Pin(Settings):
    """A candidate chosen by hand."""

    pca_dim: StrictInt = Field(ge=1, description="PCA dimension d' of the candidate.")
    n_clusters: StrictInt = Field(ge=2, description="Number of clusters K of the candidate.")
    reason: str = Field(min_length=1, description="Why; recorded with the taxonomy.")


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
        description="Starts of each K-means run, the best of which counts; with more than one, the labels of retained"
        " candidates are the best of 50.",
    )
    n_best: StrictInt = Field(5, ge=1, description="Per d', how many K of lowest Davies-Bouldin index are considered.")
    n_dims_kept: StrictInt = Field(2, ge=1, description="How many d' are retained.")
    n_shown: StrictInt = Field(300, ge=2, description="Most descriptions shown to the summariser per cluster.")
    n_bootstrap: StrictInt = Field(
        100, ge=0, le=10_000, description="Bootstrap replicates behind the stability of candidates and clusters."
    )
    n_choices: StrictInt = Field(
        20, ge=0, le=1000, description="Bootstrap replicates of the whole sweep, behind the stability of the choice."
    )
    choose_by: Literal["reviews", "reviews_and_stability"] = Field(
        "reviews",
        description="reviews: the reviews choose among the retained candidates; reviews_and_stability: those drop out"
        " first whose bootstrap stability is more than a standard deviation below the best.",
    )
    n_name_checks: StrictInt = Field(
        100, ge=0, le=10_000, description="Advantages of a family that a judge assigns to the clusters by their names."
    )
    n_intruders: StrictInt = Field(
        10,
        ge=0,
        le=1000,
        description="Sets of five advantages a cluster in which a judge looks for the one of another.",
    )
    n_reviews: StrictInt = Field(3, ge=1, le=20, description="Reviews per candidate.")
    max_repeats: StrictInt = Field(
        2, ge=0, le=10, description="How often a broken reply is asked for again with its fault named."
    )
    pins: dict[Name, Pin] = Field(default_factory=dict, description="Per family, a candidate chosen by hand.")

    @model_validator(mode="after")
    def _bounds_are_ordered(self) -> "Clustering":
        if self.max_clusters < self.min_clusters:
            raise ValueError(
                f"max_clusters {self.max_clusters} is below min_clusters {self.min_clusters};"
                " raise one or lower the other"
            )
        return self


class Taxonomy(Settings):
    """When a cluster is specialised in a domain (a rule of this project; the paper judges by eye)."""

    rule: Literal["standard_shares", "residuals"] = Field(
        "standard_shares",
        description="standard_shares: by the standardised share, its interval and a permutation test over source items;"
        " residuals: by the raw share and its adjusted residual, which takes advantages as independent.",
    )
    max_q: float = Field(0.05, gt=0, lt=1, description="Largest adjusted p-value of a specialised cluster.")
    min_questions: StrictInt = Field(5, ge=1, description="Fewest questions of a specialised cluster in its domain.")
    min_share: float = Field(
        0.6, gt=0, le=1, description="Smallest share of the cluster's descriptions from one domain."
    )
    min_residual: float = Field(2.0, ge=0, description="The domain's adjusted standardised residual must exceed this.")


class Themes(Settings):
    """Themes above the clusters (paper section 5)."""

    n_repeats: StrictInt = Field(5, ge=1, le=50, description="How often the clusters are grouped.")
    declared: dict[Name, str] = Field(
        default_factory=dict,
        description="Themes declared before the results are seen, name to definition; each is tested by votes.",
    )
    n_votes: StrictInt = Field(3, ge=1, le=21, description="Votes on each cluster for a declared theme.")
    n_advantages: StrictInt = Field(
        100, ge=0, le=100_000, description="Advantages of a family that are judged one by one for a declared theme."
    )


class ErrorDispersion(Settings):
    """First-error statistics (paper appendix A.5)."""

    max_edi_shown: float = Field(0.4, ge=0, le=1, description="The violin shows questions with an EDI up to this.")


class CheckBounds(Settings):
    """Bounds of the asset checks; shares are in [0, 1]."""

    max_missing_trial_share: float = Field(
        0.0, ge=0, le=1, description="Trials that the study asks for and the traces lack."
    )
    max_ungraded_share: float = Field(0.05, ge=0, le=1, description="Trials that could not be graded.")
    max_no_answer_share: float = Field(0.2, ge=0, le=1, description="Trials without an answer.")
    max_no_answer_share_by_benchmark: float = Field(
        0.95,
        gt=0,
        le=1,
        description="Trials of one model on one benchmark without an answer; from this share on the result is blocked,"
        " at 1 never.",
    )
    max_contradiction_share: float = Field(
        0.05, ge=0, le=1, description="Verdicts that came with the traces and that ours contradict."
    )
    max_contradiction_share_by_benchmark: float = Field(
        0.5,
        gt=0,
        le=1,
        description="The same of one model on one benchmark of which it has at most 5 % right; from this share on the"
        " result is blocked, at 1 never.",
    )
    max_truncated_share: float = Field(0.2, ge=0, le=1, description="Trials cut off at the token limit.")
    max_extraction_failure_share: float = Field(
        0.1, ge=0, le=1, description="Pairs without a usable extraction; above it the result is blocked."
    )
    max_judge_failure_share: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Replies of the summariser, the reviewer or the panel that cannot be used; above it the result is"
        " blocked.",
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
        description="Mean EDI of a domain (paper section 5.3 finds all below 0.4); None leaves it to the test against"
        " permuted stages.",
    )
    max_unsupported_share: float = Field(
        0.2, ge=0, le=1, description="Advantages whose quotes do not all stand in the traces."
    )
    max_dispersion_p: float = Field(
        0.05, gt=0, le=1, description="p-value of first errors that concentrate no more than permuted stages would."
    )
