"""Columns that several tables share."""

import polars as pl

from advcluster_dagster.contracts.table import Column

QUESTION_ID = Column("question_id", pl.String(), "Question, unique in the study.")
BENCHMARK = Column("benchmark", pl.String(), "Benchmark the question belongs to.")
MODEL = Column("model", pl.String(), "Model name as the study gives it.")
ROLE = Column("role", pl.String(), "Which of the family's two models.", allowed=("larger", "smaller"))
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
