"""Generate docs/benchmarks.md."""

import json
from collections.abc import Iterator, Mapping

from advcluster_dagster.sources.benchmarks.definition import BenchmarkDefinition, Row
from advcluster_dagster.sources.benchmarks.jsonl import jsonl_benchmark
from advcluster_dagster.sources.benchmarks.registry import REGISTERED

_HEAD = """\
<!-- Written by `make docs`; do not edit. -->

# Benchmarks

A benchmark with `source: registered` is fetched from the Hugging Face Hub at the commit named here, once, into
`benchmarks_cache/` of the home folder (or the Hub's own cache where HF_HOME or HF_HUB_CACHE is set). Without a network,
or for a data set that needs consent, give a copy of its rows in its own columns (JSON, JSON Lines, CSV, Parquet):

```yaml
benchmarks:
  cruxeval-o: {source: registered, file: cruxeval.jsonl}   # relative to the home folder
```

A commit is immutable, so its rows never change; the study may name another with `revision`. A size other than the
expected one is a warning with both numbers. A row without answer, a repeated id, a row that cannot be read: each is
left out, counted and named in a warning; the other rows stay.

The prompt is what models are asked and what judges later read as the problem. The questions shown here are made up, in
the data sets' own columns. To add a benchmark, see [CONTRIBUTING](../CONTRIBUTING.md)."""


def benchmarks_page() -> str:
    """Text of the page."""
    sections = [_section(definition) for definition in REGISTERED.values()]
    own = jsonl_benchmark("A file of one's own")
    own_lines = [
        f"## {own.name}",
        "A file of questions with the columns that imports have, read at every run: `file`, by default"
        " `benchmarks/NAME.jsonl` of the home folder. Ids stay as given.",
        _fenced(json.dumps(own.example), "json"),
    ]
    return "\n\n".join([_HEAD, *sections, *own_lines]) + "\n"


def _section(definition: BenchmarkDefinition) -> str:
    domain = next(iter(definition.size)) if isinstance(definition.size, Mapping) else "any"
    item = definition.read(Row(definition.example, 0), domain)
    assert item is not None, f"the example of {definition.name} does not count"
    return "\n\n".join(
        (
            f"## {definition.name}",
            "\n".join(_facts(definition)),
            f"Prompt for a made-up question (id `{definition.name}-{item.source_id}`, `{item.answer_type}`, gold answer"
            f" `{item.answer}`):",
            _fenced(item.prompt, "text"),
        )
    )


def _facts(definition: BenchmarkDefinition) -> Iterator[str]:
    yield f"- Data set: [`{definition.dataset}`](https://huggingface.co/datasets/{definition.dataset})"
    yield f"- Revision: `{definition.revision}`"
    yield f"- File: {' or '.join(f'`{name}`' for name in definition.files)}"
    yield f"- Rows: {definition.rows}"
    yield f"- Expected size: {_size(definition)}"
    yield f"- Answers: {definition.answers}"


def _size(definition: BenchmarkDefinition) -> str:
    if isinstance(definition.size, Mapping):
        return ", ".join(f"{domain} {size}" for domain, size in definition.size.items())
    return str(definition.size)


def _fenced(text: str, language: str) -> str:
    """A block of code whose fence is longer than any within."""
    return f"````{language}\n{text}\n````"
