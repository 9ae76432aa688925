"""Benchmarks dropped into a study's folder: DOMAIN/NAME.jsonl, beyond those the study file lists."""

from collections.abc import Iterator
from pathlib import Path

from advcluster_dagster.contracts.columns import ROLES
from advcluster_dagster.study.base import is_name
from advcluster_dagster.study.benchmarks import Benchmark
from advcluster_dagster.study.study import Study


def with_dropped_benchmarks(root: Path, declared: Study) -> Study:
    """The study with each good file of its drop folder as a benchmark of its domain, behind those it declares.

    Args:
        root: the home folder.
        declared: the study as its file says.
    """
    dropped: dict[str, list[str]] = {domain: [] for domain in declared.domains}
    for path, fault in _found(root, declared):
        if fault is None:
            dropped[path.parent.name].append(path.stem)
    names = {name for of_domain in dropped.values() for name in of_domain}
    if not names:
        return declared
    folder = _folder(declared)
    settings = {name: Benchmark(source="jsonl", file=f"{folder}/{{domain}}/{name}.jsonl") for name in sorted(names)}
    domains = {domain: (*listed, *dropped[domain]) for domain, listed in declared.domains.items()}
    return declared.model_copy(update={"domains": domains, "benchmarks": {**declared.benchmarks, **settings}})


def drop_faults(root: Path, declared: Study) -> list[str]:
    """A line for everything in the drop folder that is left out of the study: where, why, what to do."""
    return [f"{path}: left out, {fault}" for path, fault in _found(root, declared) if fault is not None]


def _folder(declared: Study) -> str:
    return declared.automation.drop_folder or f"benchmarks/{declared.study}"


def _found(root: Path, declared: Study) -> Iterator[tuple[Path, str | None]]:
    """What lies in the drop folder, by name, and why it is no benchmark; hidden files are passed by."""
    for place in _visible(root / Path(_folder(declared)).expanduser()):
        if not place.is_dir():
            yield place, "a benchmark lies in the folder of its domain"
        elif place.name not in declared.domains:
            yield place, f"there is no such domain in study {declared.study}; known: {', '.join(declared.domains)}"
        else:
            yield from ((path, _fault(path, declared)) for path in _visible(place))


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if not path.name.startswith("."))


def _fault(path: Path, declared: Study) -> str | None:
    if path.suffix != ".jsonl" or not path.is_file():
        return "a benchmark is a file of JSON Lines, NAME.jsonl"
    if not is_name(path.stem):
        return "names consist of a-z, 0-9, '_', '.', '-', start with a letter or digit and have at most 60 characters"
    if any(path.stem in names for names in declared.domains.values()):
        return "the study file has a benchmark of that name; give this one another"
    for name, family in declared.families.items():
        if any(family.model_of(role).provider == "imported" for role in ROLES):
            return (
                f"traces of family {name} are imported; list the benchmark in the study file and import its questions"
                " and traces"
            )
    return None
