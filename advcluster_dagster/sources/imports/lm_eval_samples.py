"""Read sample files of the lm-evaluation-harness (`--log_samples`).

The format is plain JSON Lines, so the harness need not be installed. Memory holds one line, and the ids of the
documents seen.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from advcluster_dagster.sources.imports.errors import ImportFileError, shown
from advcluster_dagster.sources.imports.fields import is_name
from advcluster_dagster.sources.imports.json_lines import JsonLines, Progress, first_object
from advcluster_dagster.sources.imports.logged_trials import LoggedTrial, LogHeader
from advcluster_dagster.sources.imports.source_files import kind_fault, read_head
from advcluster_dagster.sources.imports.verdicts import Scorer

_FILE_NAME = re.compile(r"samples_(?P<task>.+?)(?:_(?P<time>\d{4}-\d\d-\d\dT[\d.:-]+))?\.jsonl(?:\.gz)?")
# Fields of a document that hold the problem in the harness's own tasks, and fields that hold its id.
_QUESTION_FIELDS = ("question", "problem", "query", "input")
_ID_FIELDS = ("question_id", "id")
# Fields of a document that list its options, as texts or as {"text": [...], "label": [...]}.
_OPTION_FIELDS = ("choices", "options", "endings")
# Metrics that grade a single answer as right or wrong, in order of preference.
_VERDICTS = ("exact_match", "acc")
_MAX_RESULTS_BYTES = 64 * 2**20


def is_lm_eval_samples(path: Path) -> bool:
    """Whether a file contains samples of the harness, by its first record."""
    return path.name.endswith((".jsonl", ".jsonl.gz")) and {"doc_id", "resps"} <= first_object(path).keys()


def is_lm_eval_name(path: Path) -> bool:
    """Whether a file is named like a sample file."""
    return _FILE_NAME.fullmatch(path.name) is not None


def lm_eval_task(path: Path) -> str | None:
    """The task in the name of a sample file; None if the name does not contain it."""
    named = _FILE_NAME.fullmatch(path.name)
    return named["task"] if named else None


class LmEvalSamples:
    """A sample file; see :class:`~.logged_trials.EvaluationLog`."""

    def __init__(self, path: Path) -> None:
        """Read the first record and the results file of the same run.

        Raises:
            ImportFileError: the file contains no samples, or the results file cannot be read.
        """
        if fault := kind_fault(path, read_head(path)):
            raise ImportFileError(f"{path}: {fault}")
        where, first = next(iter(JsonLines(path, allows_nan=True)), ("", {}))
        if not {"doc_id", "resps"} <= first.keys():
            raise ImportFileError(f"{where or path}: not a harness sample; allowed: records with doc_id and resps")
        named = _FILE_NAME.fullmatch(path.name)
        self._path = path
        self._task = named["task"] if named else path.stem
        self._results = _results(path, named["time"] if named else None)
        self._filter = first.get("filter")
        self._other_filters: dict[str, None] = {}
        self._scorers: dict[str, Scorer] = {}
        # The folder is named after the model, with two underscores in place of a slash.
        folder = path.absolute().parent.name
        name_in_log = self._results.get("model_name")
        names = (*([name_in_log] if isinstance(name_in_log, str) else []), folder, folder.replace("__", "/"))
        order = f"{path.name} {path}"
        self.header = LogHeader(path, self._task, tuple(dict.fromkeys(names)), run=str(path), order=order)

    @property
    def facts(self) -> list[str]:
        """The filter and the metrics whose verdicts were taken."""
        others = f" (not those of {', '.join(self._other_filters)})" if self._other_filters else ""
        taken = [scorer.name for scorer in self._scorers.values() if scorer.n_taken]
        verdicts = f"recorded verdicts are those of {' and '.join(taken)} under filter {self._filter}{others}"
        return [verdicts] if taken else []

    @property
    def warnings(self) -> list[str]:
        """Warnings on metrics whose values are not verdicts."""
        return [scorer.warning for scorer in self._scorers.values() if scorer.warning]

    def trials(self, benchmark: str, on_progress: Progress | None = None) -> Iterator[LoggedTrial]:
        """Yield one trial per response of a document; records of other filters than the file's first are skipped.

        Verdicts are taken only for documents with one response: with several, the metric covers all of them together.
        The file is read once beforehand to collect the values of its metrics.
        """
        self._collect_verdicts()
        seen: set[str] = set()
        for where, record in JsonLines(self._path, on_progress, allows_nan=True):
            if record.get("filter") == self._filter:
                doc_id = str(record.get("doc_id"))
                if doc_id in seen:
                    raise ImportFileError(
                        f"{where}, field 'doc_id': {shown(doc_id)} occurs twice; allowed: once per filter"
                    )
                seen.add(doc_id)
                yield from self._of_document(record, f"{benchmark}-{doc_id}", where)

    def _collect_verdicts(self) -> None:
        self._scorers.clear()
        for _, record in JsonLines(self._path, allows_nan=True):
            if record.get("filter") != self._filter:
                self._other_filters[str(record.get("filter"))] = None
            elif (metric := _metric(record)) is not None:
                self._scorers.setdefault(metric, Scorer(metric)).add(record[metric])

    def _of_document(self, record: dict[str, Any], own_id: str, where: str) -> Iterator[LoggedTrial]:
        responses = _responses(record, where)
        document = record.get("doc")
        doc = document if isinstance(document, dict) else {}
        prompt, settings = _asked(record, where)
        asked = next((text for name in _QUESTION_FIELDS if isinstance(text := doc.get(name), str) and text), prompt)
        version = self._results.get("versions", {}).get(self._task)
        question = {
            "question": asked,
            "prompt": prompt,
            "answer": record.get("target"),
            "answer_type": None,
            "answer_context": _options(doc),
            "source": f"lm-evaluation-harness, {self._task}" + ("" if version is None else f" version {version}"),
        }
        ids = (*(str(doc[name]) for name in _ID_FIELDS if is_name(str(doc.get(name, "")))), own_id)
        # Tasks with custom fields: any text of the document may be the question as it was imported.
        is_named = any(isinstance(doc.get(name), str) and doc[name] for name in _QUESTION_FIELDS)
        texts = () if is_named else tuple(text for text in doc.values() if isinstance(text, str))
        metric = _metric(record) if len(responses) == 1 else None
        for trial, response in enumerate(responses):
            trace = {
                "response": response,
                "engine": self._engine,
                "sampling": settings,
                "recorded_correct": self._scorers[metric].verdict(record[metric]) if metric else None,
            }
            yield LoggedTrial(where, ids, question, trial, trace, texts)

    @property
    def _engine(self) -> str | None:
        engine = self._results.get("config", {}).get("model")
        return engine if is_name(engine) else None


def _results(path: Path, time: str | None) -> dict[str, Any]:
    """Read the results file of the same run; empty if there is none."""
    results = path.with_name(f"results_{time}.json")
    if not results.is_file():
        return {}
    if results.stat().st_size > _MAX_RESULTS_BYTES:
        raise ImportFileError(f"{results}: larger than {_MAX_RESULTS_BYTES // 2**20} MiB; allowed: results of one run")
    try:
        content = json.loads(results.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ImportFileError(f"{results}: invalid JSON: {str(error).splitlines()[0]}") from None
    named = ("versions", "config")
    if not isinstance(content, dict) or not all(isinstance(content.get(name, {}), dict) for name in named):
        raise ImportFileError(f"{results}: not the results of a run; allowed: an object with objects {named}")
    return content


def _responses(record: dict[str, Any], where: str) -> list[str]:
    asked = record.get("resps")
    responses = asked[0] if isinstance(asked, list) and len(asked) == 1 else None
    if not isinstance(responses, list) or not all(isinstance(response, str) for response in responses):
        raise ImportFileError(
            f"{where}, field 'resps': not generated text; allowed: tasks of output type generate_until, since "
            "log-likelihoods of given options are not traces"
        )
    return responses


def _asked(record: dict[str, Any], where: str) -> tuple[str, dict[str, Any] | None]:
    """The prompt and the generation settings."""
    arguments = record.get("arguments")
    first = arguments.get("gen_args_0") if isinstance(arguments, dict) else None
    prompt = _prompt_text(first.get("arg_0")) if isinstance(first, dict) else None
    if not isinstance(first, dict) or prompt is None:
        raise ImportFileError(f"{where}, field 'arguments': allowed: {{'gen_args_0': {{'arg_0': PROMPT, ...}}}}")
    settings = first.get("arg_1")
    return prompt, settings if isinstance(settings, dict) else None


def _prompt_text(prompt: Any) -> str | None:
    """Prompt as text; the messages of a chat, which the harness writes as JSON in a list, are joined."""
    if isinstance(prompt, list) and len(prompt) == 1:
        try:
            messages = json.loads(prompt[0])
            return "\n\n".join(message["content"] for message in messages)
        except (ValueError, TypeError, KeyError, RecursionError):
            return None
    return prompt if isinstance(prompt, str) else None


def _metric(record: dict[str, Any]) -> str | None:
    """The first known metric of a record that grades a single answer."""
    return next((name for name in _VERDICTS if name in record), None)


def _options(doc: dict[str, Any]) -> dict[str, Any] | None:
    """The options of a document as an answer context; None if it lists none."""
    for name in _OPTION_FIELDS:
        listed, labels = doc.get(name), ascii_uppercase
        if isinstance(listed, dict) and isinstance(listed.get("text"), list):
            listed, labels = listed["text"], "".join(map(str, listed.get("label") or labels))
        texts = listed if isinstance(listed, list) and all(isinstance(text, str) for text in listed) else []
        if len(labels) >= len(texts) > 1 and labels.isalpha():
            return {"options": dict(zip(labels, texts, strict=False))}
    return None
