"""All tables by name, in the order of the data flow."""

from advcluster_dagster.contracts import (
    advantage_extraction,
    compute,
    error_dispersion,
    grading,
    inference,
    preferences,
    question_set,
    ratings,
    semantic_clustering,
    themes,
)
from advcluster_dagster.contracts.table import Table

TABLES: dict[str, Table] = {
    table.name: table
    for stage in (
        inference,
        grading,
        question_set,
        advantage_extraction,
        semantic_clustering,
        error_dispersion,
        themes,
        compute,
        ratings,
        preferences,
    )
    for table in stage.TABLES
}
