"""Generate docs/benchmarks.md."""

import json
from collections.abc import Iterator, Mapping

from advcluster_dagster.sources.benchmarks.definition import BenchmarkDefinition, Row
from advcluster_dagster.sources.benchmarks.jsonl import jsonl_benchmark
from advcluster_dagster.sources.benchmarks.registry import REGISTERED

_HEAD = """\
<!-- Written by `make docs`; do not edit. -->

# Benchmarks

A benchmark with `source: registered` is downloaded once from the Hugging Face Hub, at the commit given here, into
`benchmarks_cache/` of the home folder (or the Hub's own cache if HF_HOME or HF_HUB_CACHE is set). Without a network, or
for a gated data set, provide a copy of its rows with its own columns (JSON, JSON Lines, CSV, Parquet):

```yaml
benchmarks:
  cruxeval-o: {source: registered, file: cruxeval.jsonl}   # relative to the home folder
```

A commit is immutable, so its rows never change; the study may select another with `revision`. If the number of
questions differs from the expected one, a warning gives both. Rows without an answer, with a repeated id or that cannot
be read are skipped and listed in a warning; the other rows are used.

The prompt is the text sent to models, and later shown to judges as the problem. The questions on this page are made up,
in the data sets' own columns. To add a benchmark, see [CONTRIBUTING](../CONTRIBUTING.md)."""


def benchmarks_page() -> str:
    """Markdown of the page."""
    sections = [_section(definition) for definition in REGISTERED.values()]
    own = jsonl_benchmark("Your own file")
    own_lines = [
        f"## {own.name}",
        "A file of questions with the same columns as imports, read at every run: `file`, by default"
        " `benchmarks/NAME.jsonl` in the home folder. Ids are used as given.",
        _fenced(json.dumps(own.example), "json"),
    ]
    return "\n\n".join([_HEAD, *sections, *own_lines]) + "\n"


def _section(definition: BenchmarkDefinition) -> str:
    domain = next(iter(definition.size)) if isinstance(definition.size, Mapping) else "any"
    item = definition.read(Row(definition.example, 0), domain)
    assert item is not None, f"the example of {definition.name} is filtered out"
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
    """Wrap text in a code block with a fence longer than any inside it."""
    return f"````{language}\n{text}\n````"
