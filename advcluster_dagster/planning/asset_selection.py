"""Dagster's asset selection for the tables and pages of one study, by names without the study's prefix."""

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
    """A selection that a study cannot resolve: unknown name, unknown attribute, not Dagster's syntax; one line."""


def select_assets(expressions: Iterable[str]) -> tuple[str, ...]:
    """Names of the tables and pages that any of some selections covers, in the order of the data flow.

    An expression is Dagster's: ``+final_taxonomy`` (with everything before it), ``final_taxonomy+`` (with everything
    after), ``1+name``, ``group:grading and not graded_trials``, ``kind:duckdb``, ``*taxonomy*``.
    A bare name is a key. Commas outside double quotes separate expressions; the result is their union.

    Raises:
        SelectionError: an expression is empty, names what does not exist, or is none that Dagster reads.
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
    """Tables and pages of a study, in the order of the data flow."""
    return [name for recipe in RECIPES.values() for name in recipe.tables]


def nearest(name: str, known: Iterable[str]) -> str:
    """What to write after the report of an unknown name: the nearest known names, or all where none is near."""
    known = list(known)
    near = get_close_matches(name, known, n=3)
    return f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known)}"


def _resolve(expression: str) -> set[str]:
    spelt = _TOKEN.sub(_spell, expression)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", dg.BetaWarning)
            keys = dg.AssetSelection.from_string(spelt).resolve(_stand_ins().resolve_asset_graph())
    except dg.DagsterError as error:
        raise SelectionError(
            f"--select {expression!r} is no asset selection; write names joined by and, or, not, with + before or after"
            " for what stands upstream or downstream"
        ) from error
    return {key.to_user_string() for key in keys}


def _spell(token: re.Match[str]) -> str:
    """A token as Dagster's parser reads it, after a check that what it names exists."""
    attribute, value = token["attribute"], token["value"]
    if attribute is not None:
        _check(attribute, value.strip('"'))
        return token[0]
    name = token["quoted"] or token["word"]
    if name.lower() in _KEYWORDS or name.isdigit() or name == "*":
        return name.lower()
    bare = name.strip('"')
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
        what = "asset" if attribute == "key" else attribute
        raise SelectionError(f"--select: {what} {name!r} does not exist; {nearest(name, known[attribute])}")


@cache
def _stand_ins() -> dg.Definitions:
    """The assets of any study, with plain names; their functions are never called."""
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
