"""Names of a family's two models in texts: their labels if the study defines them, else their roles."""

from dataclasses import dataclass

from advcluster_dagster.contracts.columns import Role
from advcluster_dagster.report.formatting import foreign_text
from advcluster_dagster.study.models import Family
from advcluster_dagster.study.study import Study


@dataclass(frozen=True)
class RoleNames:
    """Names of both models: labels used on their own (``is_label``), else adjectives (larger, smaller)."""

    larger: str = "larger"
    smaller: str = "smaller"
    is_label: bool = False

    def of(self, role: Role) -> str:
        """The name on its own, as a heading."""
        return self.larger if role == "larger" else self.smaller

    def model(self, role: Role) -> str:
        """``larger model``, or the label."""
        return self.of(role) if self.is_label else f"{self.of(role)} model"

    def the(self, role: Role, noun: str = "model") -> str:
        """``the larger model``, or the label; without a noun ``the larger``."""
        return self.of(role) if self.is_label else f"the {self.of(role)} {noun}".rstrip()

    def capitalised(self, role: Role) -> str:
        """``The larger model``, or the label, to start a sentence."""
        return self.of(role) if self.is_label else f"The {self.of(role)} model"


#: Names for studies without labels.
UNLABELLED = RoleNames()
#: Names for texts on several families with different labels.
_BY_ORDER = RoleNames("first", "second")


def names_of(models: Family) -> RoleNames:
    """Names of a family's models."""
    if not models.is_labelled:
        return UNLABELLED
    return RoleNames(foreign_text(models.larger.label), foreign_text(models.smaller.label), is_label=True)


def names_in(study: Study) -> RoleNames:
    """Names that fit all families of a study: shared ones, else first and second, in the order of titles."""
    names = {names_of(models) for models in study.families.values()}
    return names.pop() if len(names) == 1 else _BY_ORDER
