"""Locate the data file of a benchmark (local file, cache, Hugging Face Hub) and read its rows."""

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import polars as pl

from advcluster_dagster.sources.benchmarks.definition import BenchmarkDefinition, BenchmarkError
from advcluster_dagster.sources.imports.fields import SpelledFloat
from advcluster_dagster.storage.files import file_sha256
from advcluster_dagster.storage.home import Home
from advcluster_dagster.study.benchmarks import Benchmark

_SUFFIXES = (".jsonl", ".json", ".csv", ".parquet")


@dataclass(frozen=True)
class DataFile:
    """A local file of rows, with the ``source`` and ``revision`` that it comes from."""

    path: Path
    source: str
    revision: str


def own_file(home: Home, name: str, settings: Benchmark, domain: str) -> Path | None:
    """The local file configured for a benchmark, relative to the home folder; None if the Hub data set is used."""
    if settings.file is not None:
        return home.root / Path(settings.file.replace("{domain}", domain)).expanduser()
    return home.root / "benchmarks" / f"{name}.jsonl" if settings.source == "jsonl" else None


def file_hash(path: Path) -> str | None:
    """First 12 hex digits of the file's sha256, prefixed with ``sha256:``; None if there is no file."""
    return f"sha256:{file_sha256(path)[:12]}" if path.is_file() else None


def find_data_file(home: Home, definition: BenchmarkDefinition, settings: Benchmark, domain: str) -> DataFile:
    """Find the file of a benchmark: the study's own file, else the cached data set, else a download from the Hub.

    Raises:
        BenchmarkError: the file does not exist or cannot be downloaded.
    """
    if (path := own_file(home, definition.name, settings, domain)) is None:
        return cached_file(home, definition, settings) or _fetch(home, definition, settings)
    if (revision := file_hash(path)) is None:
        raise BenchmarkError(f"benchmark {definition.name!r}: file {path} does not exist; create it or change `file`")
    return DataFile(path, path.name, revision)


def read_rows(path: Path) -> list[Any]:
    """Read the rows of a file; a line that is not JSON becomes None. JSON numbers keep their spelling.

    Raises:
        BenchmarkError: the file cannot be read.
    """
    try:
        if path.suffix == ".parquet":
            return pl.read_parquet(path).to_dicts()
        if path.suffix == ".csv":
            return pl.read_csv(path, infer_schema=False).to_dicts()
        if path.suffix in (".json", ".jsonl"):
            return _json_rows(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError, pl.exceptions.PolarsError) as error:
        fault = " ".join(str(error).split())[:200]
        raise BenchmarkError(f"{path}: cannot be read as {path.suffix[1:]}: {fault}") from None
    raise BenchmarkError(f"{path}: unsupported file type; allowed: {', '.join(_SUFFIXES)}")


def _json_rows(text: str) -> list[Any]:
    if text.lstrip().startswith("["):
        rows: list[Any] = json.loads(text, parse_float=SpelledFloat)
        return rows
    return [_json_line(line) for line in text.split("\n") if line.strip()]


def _json_line(line: str) -> Any:
    try:
        return json.loads(line, parse_float=SpelledFloat)
    except (ValueError, RecursionError):
        return None


def cached_file(home: Home, definition: BenchmarkDefinition, settings: Benchmark) -> DataFile | None:
    """The data set's file in the cache; None if it has not been downloaded."""
    from huggingface_hub import try_to_load_from_cache  # slow to import, rarely needed

    revision = settings.revision or definition.revision
    for name in definition.files:
        cached = try_to_load_from_cache(definition.dataset, name, _cache(home), revision, "dataset")
        if isinstance(cached, str):
            return _as_data_file(definition, cached)
    return None


def _cache(home: Home) -> Path | None:
    """Cache folder; None for the Hub's own cache if it is configured in the environment."""
    is_set_up = any(name in os.environ for name in ("HF_HOME", "HF_HUB_CACHE"))
    return None if is_set_up else home.root / "benchmarks_cache"


def _as_data_file(definition: BenchmarkDefinition, path: str) -> DataFile:
    folders = Path(path).parts  # ..., "snapshots", commit, path within the data set
    commit = folders[len(folders) - folders[::-1].index("snapshots")]
    return DataFile(Path(path), definition.dataset, commit)


def _fetch(home: Home, definition: BenchmarkDefinition, settings: Benchmark) -> DataFile:
    """Download the first of the benchmark's files that the data set has.

    Raises:
        BenchmarkError: none is available; the message says what to do.
    """
    from huggingface_hub import errors, hf_hub_download

    revision = settings.revision or definition.revision
    dataset, fault = definition.dataset, ""
    with _quiet_hub():
        for name in definition.files:
            try:
                path = hf_hub_download(dataset, name, repo_type="dataset", revision=revision, cache_dir=_cache(home))
                return _as_data_file(definition, path)
            except errors.GatedRepoError:
                fault = "is gated: accept its terms on the Hub and set HF_TOKEN"
            except errors.RepositoryNotFoundError:
                fault = "does not exist, or HF_TOKEN has no access to it"
            except errors.RevisionNotFoundError:
                fault = "has no such revision"
            except errors.LocalEntryNotFoundError:
                fault = "could not be reached: check the network"
            except errors.RemoteEntryNotFoundError:
                fault = f"has no file {' or '.join(definition.files)} at that revision"
                continue
            except (OSError, httpx2.HTTPError, errors.HfHubHTTPError) as error:
                fault = f"could not be downloaded ({' '.join(str(error).split())[:120]})"
            break
    raise BenchmarkError(
        f"benchmark {definition.name!r}: data set {dataset} at {revision[:12]} {fault}, or provide a copy of its rows"
        f" as `benchmarks.{definition.name}.file` in the study"
    )


@contextmanager
def _quiet_hub() -> Iterator[None]:
    """Silence the library's warnings during retries; the final error is sufficient."""
    logger = logging.getLogger("huggingface_hub")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
