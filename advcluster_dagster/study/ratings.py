"""Ratings of traces: how many of which families and domains; `judges.rater` names who rates."""

from typing import Annotated

from pydantic import Field, StrictInt

from advcluster_dagster.study.base import Name, Settings


class Ratings(Settings):
    """Quality of traces in five dimensions (docs/ratings.md); `ratings: {}` switches them on."""

    n_traces: StrictInt = Field(
        200, ge=1, le=1_000_000, description="Most traces that are rated of a family and domain, most questions first."
    )
    n_generations: StrictInt = Field(5, ge=1, le=100, description="How often each trace is rated.")
    n_faulted: StrictInt = Field(
        20, ge=0, le=10_000, description="Right traces of a family that are rated again with a fault put into them."
    )
    overlap_sizes: tuple[Annotated[StrictInt, Field(ge=1)], ...] = Field(
        (), description="Numbers of pairs k whose overlap is measured; without any n/16, n/6 and n/3 of n pairs."
    )
    families: tuple[Name, ...] = Field((), description="Families that are rated; without any, all.")
    domains: tuple[Name, ...] = Field((), description="Domains that are rated; without any, all.")
    max_repeats: StrictInt = Field(
        2, ge=0, le=10, description="How often a broken reply is asked for again with its fault named."
    )

    def covers(self, family: str, domain: str | None = None) -> bool:
        """Whether traces of a family, and of a domain where one is named, are rated."""
        is_rated = not self.families or family in self.families
        return is_rated and (domain is None or not self.domains or domain in self.domains)
