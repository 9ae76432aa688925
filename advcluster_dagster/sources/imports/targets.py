"""Check the target of an import (family, domain, benchmark, roles) against the study."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from advcluster_dagster.contracts.columns import ROLES, Role
from advcluster_dagster.sources.imports.errors import ImportFileError, shown
from advcluster_dagster.study.models import Family, Model
from advcluster_dagster.study.study import Study


class FamilyModel(NamedTuple):
    """A model of a family and its role."""

    role: Role
    model: Model


def check_benchmark(study: Study, domain: str, benchmark: str, path: Path) -> None:
    """Check that the study has the domain and the domain the benchmark.

    Raises:
        ImportFileError: it does not; the message lists those that exist.
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


@dataclass(frozen=True)
class Naming:
    """How a file names the model of its traces: its name and, if given, its role and label.

    ``where`` is the file and the position in it, ``field`` what holds the name there. ``remedy`` is the advice if the
    name refers to both models of the family.
    """

    name: str
    where: str
    field: str = "field 'model'"
    role: object = None
    label: object = None
    remedy: str = "tell them apart in each row with a field role (larger or smaller) or label ({labels})"


class FamilyModels:
    """The two models of a family, looked up by name or alias; a model used in both roles matches both."""

    def __init__(self, family: str, models: Family) -> None:
        self._family = family
        self._models = {role: models.model_of(role) for role in ROLES}

    def __contains__(self, name: str) -> bool:
        return bool(self._roles_of(name))

    @property
    def names(self) -> tuple[str, ...]:
        """All names of the models, those of the larger first."""
        return tuple(dict.fromkeys(name for model in self._models.values() for name in model.names))

    def is_clear(self, name: str) -> bool:
        """Whether a name refers to exactly one of the models."""
        return len(self._roles_of(name)) == 1

    def find(self, naming: Naming) -> FamilyModel:
        """Find the model that a file names.

        Raises:
            ImportFileError: the family has no such model, the file's role or label contradicts the model, the name
                refers to both models and nothing tells them apart, or the model's traces are not imported.
        """
        roles = self._roles_of(naming.name)
        if not roles:
            allowed = ", ".join(f"{name} ({' or '.join(self._roles_of(name))})" for name in self.names)
            raise ImportFileError(f"{naming.where}, {naming.field}: {shown(naming.name)}; allowed: {allowed}")
        roles = self._agreeing(roles, "role", naming.role, {role: role for role in ROLES}, naming)
        labels = {role: model.label for role, model in self._models.items()}
        roles = self._agreeing(roles, "label", naming.label, labels, naming)
        if len(roles) > 1:
            remedy = naming.remedy.format(labels=" or ".join(shown(label) for label in labels.values()))
            fault = f"{shown(naming.name)} refers to both models of family {self._family}"
            raise ImportFileError(f"{naming.where}, {naming.field}: {fault}; {remedy}")
        model = self._models[roles[0]]
        if model.provider != "imported":
            raise ImportFileError(
                f"{naming.where}, {naming.field}: {shown(naming.name)} has provider {model.provider}; "
                "allowed: models with provider: imported"
            )
        return FamilyModel(roles[0], model)

    def _roles_of(self, name: str) -> list[Role]:
        return [role for role, model in self._models.items() if name in model.names]

    def _agreeing(
        self, roles: list[Role], field: str, value: object, known: Mapping[Role, str | None], naming: Naming
    ) -> list[Role]:
        """Filter the remaining roles by the value of a field, if the file has one."""
        if value is None:
            return roles
        if not any(known.values()):
            raise ImportFileError(
                f"{naming.where}, field '{field}': {shown(value)}; family {self._family} of the study has no {field}s; "
                f"give each of its models one, or remove the field"
            )
        matching = [role for role in roles if known[role] == value]
        if not matching:
            allowed = " or ".join(shown(known[role]) for role in roles)
            raise ImportFileError(
                f"{naming.where}, field '{field}': {shown(value)} of model {shown(naming.name)}; allowed: {allowed}"
            )
        return matching


def family_models(study: Study, family: str, path: Path) -> FamilyModels:
    """The models of a family.

    Raises:
        ImportFileError: the study has no such family.
    """
    if family not in study.families:
        raise ImportFileError(
            f"{path}: study {study.study} has no family {shown(family)}; allowed: {', '.join(study.families)}"
        )
    return FamilyModels(family, study.families[family])
