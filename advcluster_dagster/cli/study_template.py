"""The study file that ``advcluster init`` writes."""

import re
from pathlib import Path

from advcluster_dagster.storage.home import Home
from advcluster_dagster.study.base import NAME_PATTERN
from advcluster_dagster.study.study import StudyError

_TEMPLATE = """\
# A study of existing traces. docs/study_file.md lists every setting with its default.
study: {name}
trials: 10                       # T, trials of each model on each question, as in your files

families:
  my-family:
    larger:  {{model: my-model-large, provider: imported}}    # aliases: [...] for other names the files use
    smaller: {{model: my-model-small, provider: imported}}

domains:
  math: [my-benchmark]           # benchmarks of each domain

benchmarks:
  # Answers are read from \\boxed{{}} or [ANSWER] marks. If yours are elsewhere, set {{answer_marker: "A:"}},
  # {{answer_field: answer}} for JSON responses, or {{whole_response: true}}; the import suggests which.
  my-benchmark: {{}}

# Judges read traces and descriptions. Without this section an embedded stand-in is used, which needs no key.
# Keys are read from the environment (OPENAI_API_KEY); declare a compatible server under `providers`.
# judges:
#   extractor:  {{model: gpt-5.2, provider: openai}}
#   embedder:   {{model: text-embedding-3-large, provider: openai}}
#   summariser: {{model: gpt-5.2, provider: openai}}
#   reviewer:   {{model: gpt-5.2, provider: openai}}
"""


def write_study_template(home: Home, name: str) -> Path:
    """Write a study file to fill in; return its path.

    Raises:
        StudyError: the name is not allowed, or a study with that name exists.
    """
    if not re.fullmatch(NAME_PATTERN, name):
        raise StudyError(
            f"study name {name!r}: names consist of a-z, 0-9, '_', '.', '-' and start with a letter or digit"
        )
    path = home.studies / f"{name}.yaml"
    if path.exists():
        raise StudyError(f"{path} exists already; edit it or choose another name")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_TEMPLATE.format(name=name), encoding="utf-8")
    return path
