"""The study: one YAML file, read into typed settings."""

import keyword
from collections.abc import Iterator
from pathlib import Path

from pydantic import Field, StrictInt, model_validator

from advcluster_dagster.errors import AdvClusterError
from advcluster_dagster.study.analysis import (
    CheckBounds,
    Clustering,
    Deduplication,
    ErrorDispersion,
    Extraction,
    QuestionSet,
    Statistics,
    Taxonomy,
    Themes,
)
from advcluster_dagster.study.automation import Automation
from advcluster_dagster.study.base import Name, Owner, Settings
from advcluster_dagster.study.benchmarks import Benchmark
from advcluster_dagster.study.compute import Compute
from advcluster_dagster.study.files import SettingsError, read_settings
from advcluster_dagster.study.grading import Grading
from advcluster_dagster.study.models import BUILT_IN_PROVIDERS, FREE_PROVIDERS, Family, Judges, Model, Provider
from advcluster_dagster.study.preferences import Preferences
from advcluster_dagster.study.ratings import Ratings
from advcluster_dagster.study.spending import Spending

#: Words reserved by Dagster, in addition to those of Python.
_RESERVED = (
    "context", "conf", "config", "meta", "arg_dict", "dict", "input_arg_dict", "output_arg_dict", "int", "str", "float",
    "bool", "input", "output", "type",
)  # fmt: skip


class StudyError(AdvClusterError, ValueError):
    """An unusable study file; one line with file, key, value and allowed values."""


class Study(Settings):
    """A whole study; its name separates its data from those of other studies."""

    study: Name = Field(description="Name of the study.")
    owners: tuple[Owner, ...] = Field(
        (), description="Owners of the study, shown in the UI: email addresses, or `team:NAME`."
    )
    trials: StrictInt = Field(10, ge=1, le=1000, description="T, trials of each model on each question.")
    seed: StrictInt = Field(0, ge=0, description="Seed of every random step.")
    families: dict[Name, Family] = Field(min_length=1, description="Model families.")
    domains: dict[Name, tuple[Name, ...]] = Field(min_length=1, description="Benchmarks of each domain.")
    benchmarks: dict[Name, Benchmark] = Field(
        default_factory=dict, description="Settings of benchmarks; benchmarks not listed have the defaults."
    )
    providers: dict[Name, Provider] = Field(
        default_factory=dict, description="Model providers in addition to the built-in ones."
    )
    judges: Judges = Field(default_factory=Judges)
    grading: Grading = Field(default_factory=Grading)
    question_set: QuestionSet = Field(default_factory=QuestionSet)
    statistics: Statistics = Field(default_factory=Statistics)
    extraction: Extraction = Field(default_factory=Extraction)
    deduplication: Deduplication = Field(default_factory=Deduplication)
    clustering: Clustering = Field(default_factory=Clustering)
    taxonomy: Taxonomy = Field(default_factory=Taxonomy)
    themes: Themes = Field(default_factory=Themes)
    error_dispersion: ErrorDispersion = Field(default_factory=ErrorDispersion)
    compute: Compute | None = Field(None, description="Accuracy against compute; disabled without this section.")
    ratings: Ratings | None = Field(None, description="Quality of traces; disabled without this section.")
    preferences: Preferences | None = Field(
        None, description="Preference pairs for training; disabled without this section."
    )
    checks: CheckBounds = Field(default_factory=CheckBounds)
    automation: Automation = Field(default_factory=Automation)
    spending: Spending = Field(default_factory=Spending)
    published_results: Name | None = Field(
        None, description="Published results shown next to a run's own: `paper` or none."
    )

    @model_validator(mode="after")
    def _references_exist(self) -> "Study":
        known = {*BUILT_IN_PROVIDERS, *self.providers}
        for key, model in self.all_models():
            if model.provider not in known:
                raise ValueError(f"{key}.provider is {model.provider!r}; allowed: {', '.join(sorted(known))}")
            if model.system_prompt is not None and not key.startswith("families."):
                raise ValueError(f"{key}.system_prompt is not used, as judges have their own prompts; remove it")
        for domain, names in self.domains.items():
            if not names or len(set(names)) != len(names):
                raise ValueError(f"domains.{domain} is {list(names)}; allowed: one or more different benchmark names")
        for section, names_used, names_known in (
            ("benchmarks", self.benchmarks, {name for names in self.domains.values() for name in names}),
            ("clustering.pins", self.clustering.pins, set(self.families)),
            ("ratings.families", (self.ratings or Ratings()).families, set(self.families)),
            ("ratings.domains", (self.ratings or Ratings()).domains, set(self.domains)),
            ("compute.shapes", (self.compute or Compute()).shapes, self._sampled_models()),
        ):
            for name in names_used:
                if name not in names_known:
                    raise ValueError(f"{section}.{name} is used nowhere; allowed: {', '.join(sorted(names_known))}")
        return self

    @model_validator(mode="after")
    def _sections_fit(self) -> "Study":
        if self.judges.rater is not None and self.ratings is None:
            raise ValueError("judges.rater is set, but there is no section ratings; add ratings: {}, or remove it")
        if self.preferences is not None and self.preferences.selection == "top_delta" and self.ratings is None:
            raise ValueError("preferences.selection is 'top_delta', which needs rated traces; add ratings: {}")
        return self

    def _sampled_models(self) -> set[str]:
        """Return the names of the compared models."""
        return {model.model for family in self.families.values() for model in (family.larger, family.smaller)}

    def all_models(self) -> Iterator[tuple[str, Model]]:
        """Yield every model of the study with its key in the study file."""
        for name, family in self.families.items():
            yield f"families.{name}.larger", family.larger
            yield f"families.{name}.smaller", family.smaller
        for judge in ("extractor", "embedder", "summariser", "reviewer"):
            yield f"judges.{judge}", getattr(self.judges, judge)
        if self.judges.rater is not None:
            yield "judges.rater", self.judges.rater
        for place, member in enumerate(self.grading.panel):
            yield f"grading.panel.{place}", member

    @property
    def asks_paid_models(self) -> bool:
        """Whether a run may call a model whose answers cost money or GPU hours."""
        return any(model.provider not in FREE_PROVIDERS for _, model in self.all_models())

    @property
    def identifier(self) -> str:
        """The name as an identifier for Dagster's ops, jobs, sensors and repositories; unique per study.

        Dagster allows neither dashes, dots nor reserved words. They are replaced by words with capital letters, which
        study names do not have.
        """
        if keyword.iskeyword(self.study) or self.study in _RESERVED:
            return f"{self.study}_Study"
        return self.study.replace("-", "_Dash_").replace(".", "_Dot_")

    def may_train(self, benchmark: str) -> bool:
        """Return whether preference pairs of a benchmark may be exported; GPQA needs ``i_know``."""
        training = self.benchmark(benchmark).training
        return training == "i_know" or (training == "allowed" and "gpqa" not in benchmark)

    def benchmark(self, name: str) -> Benchmark:
        """Return the settings of a benchmark, by default if the study lists none."""
        return self.benchmarks.get(name, Benchmark())


def load_study(path: Path) -> Study:
    """Read a study file.

    Raises:
        StudyError: the file is missing, not YAML, or has an invalid setting; one line with file, key, value, remedy.
    """
    try:
        return read_settings(path, Study, "study file")
    except SettingsError as error:
        raise StudyError(str(error)) from None
