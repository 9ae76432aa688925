"""Columns that several tables share."""

from typing import Literal

import polars as pl

from advcluster_dagster.contracts.table import Column

Role = Literal["larger", "smaller"]
ROLES: tuple[Role, Role] = ("larger", "smaller")

QUESTION_ID = Column("question_id", pl.String(), "Question, unique in the study.")
BENCHMARK = Column("benchmark", pl.String(), "Benchmark the question belongs to.")
SOURCE_KEY = Column("source_key", pl.String(), "Item the question comes from; questions of one item share it.")
MODEL = Column("model", pl.String(), "Model name as the study gives it.")
ROLE = Column("role", pl.String(), "Which of the family's two models.", allowed=ROLES)
TRIAL = Column("trial", pl.Int64(), "Trial, counted from 0.", minimum=0)
PAIR_ID = Column("pair_id", pl.String(), "Pair of traces, QUESTION_ID:PAIR_INDEX.")
ADVANTAGE_ID = Column("advantage_id", pl.String(), "Advantage description, PAIR_ID:POSITION.")
PCA_DIM = Column("pca_dim", pl.Int64(), "PCA dimension d' of the candidate.", minimum=1)
N_CLUSTERS = Column("n_clusters", pl.Int64(), "Number of clusters K of the candidate.", minimum=2)
CLUSTER_ID = Column("cluster_id", pl.Int64(), "Cluster, counted from 0 within its candidate.", minimum=0)
TAG = Column("tag", pl.String(), "Short name of the cluster; null when naming failed.", is_nullable=True)
DEFINITION = Column("definition", pl.String(), "What unites the cluster; null when naming failed.", is_nullable=True)
PROMPT_HASH = Column("prompt_hash", pl.String(), "sha256 of the prompt file, 64 hex digits.")


def rate(name: str, description: str) -> Column:
    """A share in [0, 1], null when undefined."""
    return Column(name, pl.Float64(), description, is_nullable=True, minimum=0, maximum=1)


def count(name: str, description: str) -> Column:
    """A count, never null."""
    return Column(name, pl.Int64(), description, minimum=0)


def interval(name: str, of: str, minimum: float | None = 0, maximum: float | None = 1) -> tuple[Column, Column]:
    """The columns ``name_low`` and ``name_high``, null where the interval is undefined."""
    return (
        Column(f"{name}_low", pl.Float64(), f"Lower end of the interval of {of}.", True, minimum, maximum),
        Column(f"{name}_high", pl.Float64(), f"Upper end of the interval of {of}.", True, minimum, maximum),
    )


def number(name: str, description: str, minimum: float | None = None, maximum: float | None = None) -> Column:
    """A number, null when undefined."""
    return Column(name, pl.Float64(), description, True, minimum, maximum)


def flag(name: str, description: str, is_nullable: bool = False) -> Column:
    """True or false."""
    return Column(name, pl.Boolean(), description, is_nullable)


def text(name: str, description: str, is_nullable: bool = False, allowed: tuple[str, ...] | None = None) -> Column:
    """A text."""
    return Column(name, pl.String(), description, is_nullable, allowed=allowed)
