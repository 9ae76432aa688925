"""How the pages speak of the two models of a family: by their labels where a study gives them, else by role."""

from dataclasses import dataclass

from advcluster_dagster.contracts.columns import Role
from advcluster_dagster.report.formatting import foreign_text
from advcluster_dagster.study.models import Family
from advcluster_dagster.study.study import Study


@dataclass(frozen=True)
class RoleNames:
    """Words for both models. With ``is_label`` they stand alone; else they are adjectives: larger, smaller."""

    larger: str = "larger"
    smaller: str = "smaller"
    is_label: bool = False

    def of(self, role: Role) -> str:
        """The word alone, as a heading."""
        return self.larger if role == "larger" else self.smaller

    def model(self, role: Role) -> str:
        """``larger model``, or the label."""
        return self.of(role) if self.is_label else f"{self.of(role)} model"

    def the(self, role: Role, noun: str = "model") -> str:
        """``the larger model``, or the label; without a noun ``the larger``."""
        return self.of(role) if self.is_label else f"the {self.of(role)} {noun}".rstrip()

    def begun(self, role: Role) -> str:
        """``The larger model``, or the label, at the beginning of a sentence."""
        return self.of(role) if self.is_label else f"The {self.of(role)} model"


#: Where a study labels no model.
UNLABELLED = RoleNames()
#: Where one text is about families that go by different names.
_IN_TURN = RoleNames("first", "second")


def names_of(models: Family) -> RoleNames:
    """The words for a family's models."""
    if not models.is_labelled:
        return UNLABELLED
    return RoleNames(foreign_text(models.larger.label), foreign_text(models.smaller.label), is_label=True)


def names_in(study: Study) -> RoleNames:
    """The words that fit all families of a study: those they share, else first and second, in the order of titles."""
    names = {names_of(models) for models in study.families.values()}
    return names.pop() if len(names) == 1 else _IN_TURN
