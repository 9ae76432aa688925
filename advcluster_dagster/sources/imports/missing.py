"""List the imports that a study still needs, each with the command to run."""

from pathlib import Path

from advcluster_dagster.contracts.columns import ROLES
from advcluster_dagster.sources.imports.staging import questions_file, traces_file
from advcluster_dagster.study.study import Study


def missing_imports(imports_root: Path, study: Study, domain: str, family: str | None = None) -> list[str]:
    """List missing imports of a domain, for one family or all; empty if nothing is missing.

    For a benchmark without questions only these are listed: its traces can only be imported afterwards.
    """
    lines = []
    for benchmark in study.domains[domain]:
        if study.benchmark(benchmark).source != "imported":
            continue
        place = f"--study {study.study} --domain {domain} --benchmark {benchmark}"
        if not questions_file(imports_root, study.study, domain, benchmark).exists():
            lines.append(
                f"benchmark {benchmark} of domain {domain} has no questions: advcluster import questions FILE {place}"
            )
            continue
        for name in [family] if family else study.families:
            missing = _models_without_traces(imports_root, study, name, domain, benchmark)
            if missing:
                lines.append(
                    f"benchmark {benchmark} of domain {domain} has no traces of {' and '.join(missing)}: "
                    f"advcluster import traces FILE --family {name} {place}"
                )
    return lines


def _models_without_traces(imports_root: Path, study: Study, family: str, domain: str, benchmark: str) -> list[str]:
    models = {role: study.families[family].model_of(role) for role in ROLES}
    return [
        f"the {role} model {model.shown_as}"
        for role, model in models.items()
        if model.provider == "imported"
        and not traces_file(imports_root, study.study, family, domain, benchmark, role).exists()
    ]
