"""Settings of trace ratings: number of traces, families, domains; `judges.rater` is the model that rates."""

from typing import Annotated

from pydantic import Field, StrictInt

from advcluster_dagster.study.base import Name, Settings


class Ratings(Settings):
    """Quality of traces in five dimensions (docs/ratings.md); `ratings: {}` enables ratings."""

    n_traces: StrictInt = Field(
        200,
        ge=1,
        le=1_000_000,
        description="Maximum rated traces per family and domain, covering as many questions as possible.",
    )
    n_generations: StrictInt = Field(5, ge=1, le=100, description="Number of ratings per trace.")
    n_faulted: StrictInt = Field(
        20, ge=0, le=10_000, description="Right traces per family that are rated again with an inserted fault."
    )
    overlap_sizes: tuple[Annotated[StrictInt, Field(ge=1)], ...] = Field(
        (), description="Numbers of pairs k whose overlap is measured; by default n/16, n/6 and n/3 of n pairs."
    )
    families: tuple[Name, ...] = Field((), description="Families to rate; by default all.")
    domains: tuple[Name, ...] = Field((), description="Domains to rate; by default all.")
    max_repeats: StrictInt = Field(
        2,
        ge=0,
        le=10,
        description="Maximum number of repeats of a call with an invalid reply; the repeat states the fault.",
    )

    def covers(self, family: str, domain: str | None = None) -> bool:
        """Return whether traces of a family, and of the domain if given, are rated."""
        is_rated = not self.families or family in self.families
        return is_rated and (domain is None or not self.domains or domain in self.domains)
