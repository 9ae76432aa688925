"""Benchmarks in a study's drop folder: DOMAIN/NAME.jsonl, in addition to those in the study file."""

from collections.abc import Iterator
from pathlib import Path

from advcluster_dagster.contracts.columns import ROLES
from advcluster_dagster.study.base import is_name
from advcluster_dagster.study.benchmarks import Benchmark
from advcluster_dagster.study.study import Study


def with_dropped_benchmarks(root: Path, declared: Study) -> Study:
    """Return the study with each valid file of its drop folder as a benchmark of its domain, after declared ones.

    Args:
        root: the home folder.
        declared: the study as declared in its file.
    """
    dropped: dict[str, list[str]] = {domain: [] for domain in declared.domains}
    for path, fault in _entries(root, declared):
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
    """Return one line for each skipped entry of the drop folder: path, reason, remedy."""
    return [f"{path}: skipped, {fault}" for path, fault in _entries(root, declared) if fault is not None]


def _folder(declared: Study) -> str:
    return declared.automation.drop_folder or f"benchmarks/{declared.study}"


def _entries(root: Path, declared: Study) -> Iterator[tuple[Path, str | None]]:
    """Yield the entries of the drop folder by name, each with its fault or None; hidden files are ignored."""
    for place in _visible(root / Path(_folder(declared)).expanduser()):
        if not place.is_dir():
            yield place, "a benchmark belongs in the folder of its domain"
        elif place.name not in declared.domains:
            yield place, f"no such domain in study {declared.study}; known: {', '.join(declared.domains)}"
        else:
            yield from ((path, _fault(path, declared)) for path in _visible(place))


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if not path.name.startswith("."))


def _fault(path: Path, declared: Study) -> str | None:
    if path.suffix != ".jsonl" or not path.is_file():
        return "a benchmark is a JSON Lines file, NAME.jsonl"
    if not is_name(path.stem):
        return "names consist of a-z, 0-9, '_', '.', '-', start with a letter or digit and have at most 60 characters"
    if any(path.stem in names for names in declared.domains.values()):
        return "the study file has a benchmark of that name; rename this one"
    for name, family in declared.families.items():
        if any(family.model_of(role).provider == "imported" for role in ROLES):
            return (
                f"traces of family {name} are imported; list the benchmark in the study file and import its questions"
                " and traces"
            )
    return None
