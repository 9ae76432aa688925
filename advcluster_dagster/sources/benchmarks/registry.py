"""Load the questions of a domain from any source.

To add a benchmark, add a file to this folder and a line to ``REGISTERED``.
"""

from collections.abc import Iterable
from typing import Any

import polars as pl

from advcluster_dagster.contracts.inference import BENCHMARK_QUESTIONS
from advcluster_dagster.demo.simulation.questions import GENERATOR_VERSION, simulated_questions
from advcluster_dagster.sources.benchmarks.cruxeval_i import CRUXEVAL_I
from advcluster_dagster.sources.benchmarks.cruxeval_o import CRUXEVAL_O
from advcluster_dagster.sources.benchmarks.data_files import cached_file, file_hash, own_file
from advcluster_dagster.sources.benchmarks.definition import BenchmarkDefinition
from advcluster_dagster.sources.benchmarks.definition import BenchmarkError as BenchmarkError
from advcluster_dagster.sources.benchmarks.gpqa_diamond import GPQA_DIAMOND
from advcluster_dagster.sources.benchmarks.hmmt_nov_2025 import HMMT_NOV_2025
from advcluster_dagster.sources.benchmarks.jeebench import JEEBENCH
from advcluster_dagster.sources.benchmarks.jsonl import jsonl_benchmark
from advcluster_dagster.sources.benchmarks.loading import load_benchmark
from advcluster_dagster.sources.benchmarks.olympiadbench import OLYMPIADBENCH
from advcluster_dagster.sources.benchmarks.omni_math import OMNI_MATH
from advcluster_dagster.sources.imports.readers import import_provenance, read_imported_questions
from advcluster_dagster.storage.home import Home
from advcluster_dagster.study.study import Study


def by_name(definitions: Iterable[BenchmarkDefinition]) -> dict[str, BenchmarkDefinition]:
    """Return registered benchmarks by name.

    Raises:
        ValueError: two have the same name, or one names no data set on the Hub.
    """
    named: dict[str, BenchmarkDefinition] = {}
    for definition in definitions:
        if definition.name in named:
            raise ValueError(f"benchmark {definition.name} is registered twice; give one of them another name")
        if not definition.dataset:
            raise ValueError(f"benchmark {definition.name}: dataset is empty; a registered benchmark is on the Hub")
        named[definition.name] = definition
    return named


REGISTERED = by_name((HMMT_NOV_2025, JEEBENCH, OMNI_MATH, OLYMPIADBENCH, GPQA_DIAMOND, CRUXEVAL_I, CRUXEVAL_O))


def load_questions(home: Home, study: Study, domain: str, warnings: list[str] | None = None) -> pl.DataFrame:
    """Load the questions of a domain's benchmarks, in study order.

    Args:
        home: Home folder with imports, local files and the cache.
        study: The study.
        domain: One of its domains.
        warnings: Receives a line for every benchmark of unexpected size, and for skipped rows.

    Raises:
        BenchmarkError: a benchmark's questions could not be loaded, or an id occurs twice.
        ImportFileError: a benchmark's questions are not imported yet.
    """
    columns = [column.name for column in BENCHMARK_QUESTIONS.columns]
    remarks = warnings if warnings is not None else []
    frames = [_load(home, study, domain, name, remarks) for name in study.domains[domain]]
    questions = pl.concat([frame.select(columns) for frame in frames])
    repeated = questions.filter(pl.col("question_id").is_duplicated())
    if repeated.height:
        question_id, names = repeated["question_id"][0], repeated["benchmark"].unique().sort().to_list()
        raise BenchmarkError(
            f"domain {domain}: question {question_id!r} occurs in {' and '.join(names)}; ids must be unique"
        )
    return questions


def questions_at_hand(home: Home, study: Study, domain: str) -> pl.DataFrame | None:
    """Load the questions of a domain if none have to be imported or downloaded first, else None; works offline.

    Raises:
        BenchmarkError, ImportFileError: as :func:`load_questions`.
    """
    if not can_load_questions(home, study, domain):
        return None
    is_missing = any(_needs_download(home, study, domain, name) for name in study.domains[domain])
    return None if is_missing else load_questions(home, study, domain)


def _needs_download(home: Home, study: Study, domain: str, benchmark: str) -> bool:
    settings = study.benchmark(benchmark)
    if settings.source != "registered" or own_file(home, benchmark, settings, domain) is not None:
        return False
    return cached_file(home, _definition(study, benchmark), settings) is None


def _load(home: Home, study: Study, domain: str, benchmark: str, warnings: list[str]) -> pl.DataFrame:
    settings = study.benchmark(benchmark)
    if settings.source == "imported":
        return read_imported_questions(home.imports, study, domain).filter(pl.col("benchmark") == benchmark)
    if settings.source == "simulated":
        questions = simulated_questions(benchmark, domain, study.seed)
        extra = {"benchmark": pl.lit(benchmark), "answer_context": pl.lit(None, dtype=pl.String)}
        return questions.with_columns(**{name: value for name, value in extra.items() if name not in questions.columns})
    loaded = load_benchmark(home, _definition(study, benchmark), settings, domain)
    warnings.extend(loaded.warnings)
    return loaded.questions


def _definition(study: Study, benchmark: str) -> BenchmarkDefinition:
    if study.benchmark(benchmark).source == "jsonl":
        return jsonl_benchmark(benchmark)
    if benchmark not in REGISTERED:
        raise BenchmarkError(
            f"benchmark {benchmark!r} is not registered; allowed: {', '.join(REGISTERED)}, or source: imported or jsonl"
        )
    return REGISTERED[benchmark]


def benchmark_provenance(home: Home, study: Study, domain: str) -> list[dict[str, Any]]:
    """Provenance of each benchmark's questions: file name and hash, data set and revision, or generator.

    Works offline, and does not depend on whether the benchmark has been downloaded.
    """
    others = [name for name in study.domains[domain] if study.benchmark(name).source != "imported"]
    return [
        *import_provenance(home.imports, study, domain),
        *(_provenance(home, study, domain, name) for name in others),
    ]


def _provenance(home: Home, study: Study, domain: str, benchmark: str) -> dict[str, Any]:
    settings = study.benchmark(benchmark)
    record = {"benchmark": benchmark, "source": settings.source}
    if settings.source == "simulated":
        return {**record, "revision": GENERATOR_VERSION, "seed": study.seed}
    if (path := own_file(home, benchmark, settings, domain)) is not None:
        return {**record, "file_name": path.name, "revision": file_hash(path)}
    definition = REGISTERED.get(benchmark)
    revision = settings.revision or (definition.revision if definition else None)
    return {**record, "dataset": definition.dataset if definition else None, "revision": revision}


def can_load_questions(home: Home, study: Study, domain: str) -> bool:
    """Whether a domain's questions can be loaded now: no import or local file is missing.

    A registered benchmark counts as available even if its data set is not downloaded yet: the network is not queried,
    and a run reports a failed download in one line.
    """
    names = study.domains[domain]
    sources = [study.benchmark(name).source for name in names]
    local_files = [
        own_file(home, name, study.benchmark(name), domain) for name in names if study.benchmark(name).source == "jsonl"
    ]
    n_imported = len(import_provenance(home.imports, study, domain))
    return n_imported >= sources.count("imported") and all(path and path.is_file() for path in local_files)


def expected_questions(home: Home, study: Study, domain: str) -> dict[str, int | None]:
    """Number of questions of each benchmark of a domain, without downloading any; None if unknown.

    Raises:
        BenchmarkError, ImportFileError: as :func:`load_questions`; or a registered benchmark has no questions for the
            domain.
    """
    return {name: _expected(home, study, domain, name) for name in study.domains[domain]}


def _expected(home: Home, study: Study, domain: str, benchmark: str) -> int | None:
    alone = study.model_copy(update={"domains": {domain: (benchmark,)}})
    if (questions := questions_at_hand(home, alone, domain)) is not None:
        return questions.height
    is_registered = study.benchmark(benchmark).source == "registered"
    return _definition(study, benchmark).expected_size(domain) if is_registered else None
