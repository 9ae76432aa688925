"""Declarations of checks."""

from dataclasses import replace

import pytest

from advcluster_dagster.assets.registry import RECIPES


def test_checks_of_a_table_that_the_step_does_not_make_are_refused():
    recipe = RECIPES["trace_pairs"]
    with pytest.raises(ValueError, match=r"^step trace_pairs: checks of trace_pair; its tables: trace_pairs$"):
        replace(recipe, checks={"trace_pair": ()})
