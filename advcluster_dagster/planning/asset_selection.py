"""Dagster asset selections over a study's tables and pages, by names without the study's prefix."""

import re
import warnings
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from functools import cache
from typing import Any

import dagster as dg

from advcluster_dagster.assets.registry import RECIPES
from advcluster_dagster.errors import AdvClusterError
from advcluster_dagster.pipeline.recipe import Recipe

_COMMA_OUTSIDE_QUOTES = re.compile(r',(?=(?:[^"]*"[^"]*")*[^"]*$)')
#: A quoted name, an attribute with its value, or a bare word.
_TOKEN = re.compile(r'(?P<attribute>[A-Za-z_]+):(?P<value>"[^"]*"|[^\s()+,"]+)|(?P<quoted>"[^"]*")|(?P<word>[\w*./-]+)')
_KEYWORDS = frozenset({"and", "or", "not", "roots", "sinks"})


class SelectionError(AdvClusterError, ValueError):
    """An invalid selection: unknown name, unknown attribute, or not Dagster's syntax; one line."""


def select_assets(expressions: Iterable[str]) -> tuple[str, ...]:
    """Return the names of the tables and pages that the selections cover, in data-flow order.

    Expressions have Dagster's syntax: ``+final_taxonomy`` (with everything upstream), ``final_taxonomy+`` (with
    everything downstream), ``1+name``, ``group:grading and not graded_trials``, ``kind:duckdb``, ``*taxonomy*``.
    A bare name is a table, a page or a step, which stands for all its tables. Commas outside double quotes separate
    expressions; the result is their union.

    Raises:
        SelectionError: an expression is empty, has an unknown name, or is not valid in Dagster.
    """
    covered: set[str] = set()
    for part in (part.strip() for expression in expressions for part in _COMMA_OUTSIDE_QUOTES.split(expression)):
        if not part:
            raise SelectionError("--select has an empty part; name assets, such as final_taxonomy or +final_taxonomy")
        names = _resolve(part)
        if not names:
            raise SelectionError(f"--select {part!r} covers no asset")
        covered |= names
    return tuple(name for name in asset_names() if name in covered)


def asset_names() -> list[str]:
    """Return the names of all tables and pages, in data-flow order."""
    return [name for recipe in RECIPES.values() for name in recipe.tables]


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint about an unknown name: the nearest known names, or all if none is near."""
    known = list(known)
    near = get_close_matches(name, known, n=3)
    return f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known)}"


def _resolve(expression: str) -> set[str]:
    qualified = _TOKEN.sub(_qualify, expression)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", dg.BetaWarning)
            keys = dg.AssetSelection.from_string(qualified).resolve(_stand_ins().resolve_asset_graph())
    except dg.DagsterError as error:
        raise SelectionError(
            f"--select {expression!r} is not a valid asset selection; join names by and, or, not, and add + before or"
            " after a name to include upstream or downstream assets"
        ) from error
    return {key.to_user_string() for key in keys}


def _qualify(token: re.Match[str]) -> str:
    """Return a token in Dagster's syntax, after checking that its name exists."""
    attribute, value = token["attribute"], token["value"]
    if attribute is not None:
        _check(attribute, value.strip('"'))
        return token[0]
    name = token["quoted"] or token["word"]
    if name.lower() in _KEYWORDS or name.isdigit() or name == "*":
        return name.lower()
    bare = name.strip('"')
    if bare in RECIPES and bare not in asset_names():  # a step, as `status` names it: all its tables
        keys = [f'key:"{table}"' for table in RECIPES[bare].tables]
        return f"({' or '.join(keys)})"
    _check("key", bare)
    return f'key:"{bare}"'


def _check(attribute: str, name: str) -> None:
    known = {
        "key": asset_names(),
        "group": sorted({recipe.group for recipe in RECIPES.values()}),
        "kind": sorted({kind for recipe in RECIPES.values() for kind in recipe.kinds}),
    }
    if attribute not in known:
        raise SelectionError(f"--select: {attribute}: cannot be resolved for a study; use {', '.join(known)}")
    if "*" not in name and name not in known[attribute]:
        kind = "asset" if attribute == "key" else attribute
        raise SelectionError(f"--select: {kind} {name!r} does not exist; {nearest(name, known[attribute])}")


@cache
def _stand_ins() -> dg.Definitions:
    """Return the assets of any study under plain names, to resolve selections; their functions are never called."""
    return dg.Definitions(assets=[_stand_in(recipe) for recipe in RECIPES.values()])


def _stand_in(recipe: Recipe) -> dg.AssetsDefinition:
    deps = recipe.reads if recipe.makes_page else recipe.upstream
    specs = [
        dg.AssetSpec(name, deps=list(deps), group_name=recipe.group, kinds=set(recipe.kinds)) for name in recipe.tables
    ]

    @dg.multi_asset(specs=specs, name=f"step_{recipe.name}")
    def _never_called() -> Iterator[Any]:
        yield from ()

    return _never_called
