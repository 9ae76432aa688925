"""The target of an import: family, domain, benchmark and roles, checked against the study."""

from pathlib import Path
from typing import NamedTuple

from advcluster_dagster.sources.imports.errors import ImportFileError, shown
from advcluster_dagster.study.base import ROLES, Role
from advcluster_dagster.study.models import Model
from advcluster_dagster.study.study import Study


class Player(NamedTuple):
    """A model of a family and its role."""

    role: Role
    model: Model


def check_benchmark(study: Study, domain: str, benchmark: str, path: Path) -> None:
    """Raise unless the study has the domain and the domain the benchmark.

    Raises:
        ImportFileError: it has not; the message names those it has.
    """
    if domain not in study.domains:
        raise ImportFileError(
            f"{path}: study {study.study} has no domain {shown(domain)}; allowed: {', '.join(study.domains)}"
        )
    if benchmark not in study.domains[domain]:
        raise ImportFileError(
            f"{path}: domain {domain} of study {study.study} has no benchmark {shown(benchmark)}; "
            f"allowed: {', '.join(study.domains[domain])}"
        )


def players(study: Study, family: str, path: Path) -> dict[str, Player]:
    """The models of a family by every name that they go by.

    Raises:
        ImportFileError: the study has no such family.
    """
    if family not in study.families:
        raise ImportFileError(
            f"{path}: study {study.study} has no family {shown(family)}; allowed: {', '.join(study.families)}"
        )
    targets = {}
    for role in ROLES:
        model = study.families[family].model_of(role)
        targets.update(dict.fromkeys((model.model, *model.aliases), Player(role, model)))
    return targets


def player_named(name: str, known: dict[str, Player], where: str) -> Player:
    """The model that a file calls by a name.

    Raises:
        ImportFileError: the family has no such model, or its traces do not come from files.
    """
    player = known.get(name)
    if player is None:
        allowed = ", ".join(f"{name} ({player.role})" for name, player in known.items())
        raise ImportFileError(f"{where}: {shown(name)}; allowed: {allowed}")
    if player.model.provider != "imported":
        raise ImportFileError(
            f"{where}: {shown(name)}, whose provider is {player.model.provider}; "
            "allowed: models with provider: imported"
        )
    return player
