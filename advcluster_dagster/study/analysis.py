"""The stages of the analysis (paper section 3.2) and the bounds of their checks."""

from typing import Annotated, Literal

from pydantic import Field, StrictInt, model_validator

from advcluster_dagster.study.base import Name, Settings


class QuestionSet(Settings):
    """First stage (paper section 3.2.1)."""

    min_gap: float = Field(0.6, gt=0, le=1, description="Smallest pass-rate gap of a kept question, in [0, 1].")


class Extraction(Settings):
    """Second stage (paper section 3.2.2)."""

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
    n_best: StrictInt = Field(5, ge=1, description="Per d', how many K of lowest Davies-Bouldin index are considered.")
    n_dims_kept: StrictInt = Field(2, ge=1, description="How many d' are retained.")
    n_shown: StrictInt = Field(300, ge=2, description="Most descriptions shown to the summariser per cluster.")
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

    min_share: float = Field(
        0.6, gt=0, le=1, description="Smallest share of the cluster's descriptions from one domain."
    )
    min_residual: float = Field(2.0, ge=0, description="The domain's adjusted standardised residual must exceed this.")


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
    max_mean_edi: float = Field(
        0.4, ge=0, le=1, description="Mean EDI of a domain (paper section 5.3 finds all below 0.4)."
    )
