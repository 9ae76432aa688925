"""Columns shared by several tables."""

from typing import Literal

import polars as pl

from advcluster_dagster.contracts.table import Column

Role = Literal["larger", "smaller"]
ROLES: tuple[Role, Role] = ("larger", "smaller")

QUESTION_ID = Column("question_id", pl.String(), "Question id, unique in the study.")
BENCHMARK = Column("benchmark", pl.String(), "Benchmark that the question belongs to.")
SOURCE_KEY = Column("source_key", pl.String(), "Source item of the question; questions from the same item share it.")
MODEL = Column("model", pl.String(), "Model name as given in the study.")
ROLE = Column("role", pl.String(), "Role of the model in its family.", allowed=ROLES)
TRIAL = Column("trial", pl.Int64(), "Trial number, from 0.", minimum=0)
PAIR_ID = Column("pair_id", pl.String(), "Pair of traces, QUESTION_ID:PAIR_INDEX.")
ADVANTAGE_ID = Column("advantage_id", pl.String(), "Advantage description, PAIR_ID:POSITION.")
PCA_DIM = Column("pca_dim", pl.Int64(), "PCA dimension d' of the candidate.", minimum=1)
N_CLUSTERS = Column("n_clusters", pl.Int64(), "Number of clusters K of the candidate.", minimum=2)
CLUSTER_ID = Column("cluster_id", pl.Int64(), "Cluster number, from 0 within its candidate.", minimum=0)
TAG = Column("tag", pl.String(), "Short name of the cluster; null when naming failed.", is_nullable=True)
DEFINITION = Column(
    "definition", pl.String(), "What the cluster's members have in common; null when naming failed.", is_nullable=True
)
PROMPT_HASH = Column("prompt_hash", pl.String(), "sha256 of the prompt file, 64 hex digits.")


def rate(name: str, description: str) -> Column:
    """A nullable share in [0, 1]; null when undefined."""
    return Column(name, pl.Float64(), description, is_nullable=True, minimum=0, maximum=1)


def count(name: str, description: str) -> Column:
    """A non-negative integer column, never null."""
    return Column(name, pl.Int64(), description, minimum=0)


def interval(name: str, of: str, minimum: float | None = 0, maximum: float | None = 1) -> tuple[Column, Column]:
    """The columns ``name_low`` and ``name_high``, null where the interval is undefined."""
    return (
        Column(f"{name}_low", pl.Float64(), f"Lower bound of the confidence interval of {of}.", True, minimum, maximum),
        Column(
            f"{name}_high", pl.Float64(), f"Upper bound of the confidence interval of {of}.", True, minimum, maximum
        ),
    )


def number(name: str, description: str, minimum: float | None = None, maximum: float | None = None) -> Column:
    """A nullable float column; null when undefined."""
    return Column(name, pl.Float64(), description, True, minimum, maximum)


def flag(name: str, description: str, is_nullable: bool = False) -> Column:
    """A Boolean column."""
    return Column(name, pl.Boolean(), description, is_nullable)


def text(name: str, description: str, is_nullable: bool = False, allowed: tuple[str, ...] | None = None) -> Column:
    """A string column."""
    return Column(name, pl.String(), description, is_nullable, allowed=allowed)
