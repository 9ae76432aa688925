"""Write the explorer's data as script files, because a page opened from disk cannot load other files.

File names are numbers, so that no model output becomes part of a path. Data are ASCII JSON without ``<``, so that no
text can end the script, start a comment or break a line. The index holds numbers and question ids; texts are in
separate files, which the page loads when it displays or searches them.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from advcluster_dagster.contracts.columns import ROLES
from advcluster_dagster.report.explorer.data import DomainEvidence, FamilyEvidence
from advcluster_dagster.science.quotes import Span, find_passage, quoted_passages

MAX_FILE_BYTES = 2**20
#: Number of advantages per text file.
TEXTS_PER_FILE = 2000
#: Cluster codes of advantages without a cluster, and of advantages removed as duplicates.
UNCLUSTERED, REPEATED = -1, -2
Row = Mapping[str, Any]


def as_script_json(value: Any) -> str:
    """Serialise a value as JSON that is safe inside a script and an HTML page."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def script_files(families: Iterable[FamilyEvidence], max_bytes: int = MAX_FILE_BYTES) -> Iterator[tuple[str, bytes]]:
    """Yield (name, content) of every file: for each family its pairs and texts, then its index.

    ``NUMBER-index.js`` holds the data of filters, ``NUMBER-PART.js`` pairs with their traces, ``NUMBER-texts-CHUNK.js``
    the texts of ``TEXTS_PER_FILE`` advantages; a pair larger than ``max_bytes`` gets a separate file.
    """
    for number, family in enumerate(families):
        yield from _family_files(number, family, max_bytes)


def _family_files(number: int, family: FamilyEvidence, max_bytes: int) -> Iterator[tuple[str, bytes]]:
    index, texts = _Index(family), _Chunks(f"{number}-texts")
    records: list[str] = []
    n_bytes = part = 0
    for evidence in family.domains:
        by_pair = _by_pair(evidence)
        for pair in evidence.pairs.iter_rows(named=True):
            advantages = by_pair.get(pair["pair_id"], [])
            record = as_script_json(_pair_record(pair, advantages))
            if records and n_bytes + len(record) > max_bytes:
                yield _script(f"{number}-{part}", records)
                records, n_bytes, part = [], 0, part + 1
            if not records:
                index.start_part()
            index.add(evidence.domain, pair, advantages)
            for advantage in advantages:
                yield from texts.add([advantage["advantage"], advantage["evidence"], advantage["duplicate_of"]])
            records.append(record)
            n_bytes += len(record)
    if records:
        yield _script(f"{number}-{part}", records)
    yield from texts.rest()
    yield _script(f"{number}-index", [as_script_json(index.content)], is_list=False)


def _script(name: str, records: Sequence[str], is_list: bool = True) -> tuple[str, bytes]:
    joined = ",\n".join(records)
    content = f"[{joined}]" if is_list else joined
    return f"{name}.js", f'advcluster.receive("{name}",{content});\n'.encode("ascii")


class _Chunks:
    """Buffer that yields files of ``TEXTS_PER_FILE`` rows each."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._rows: list[str] = []
        self._n_files = 0

    def add(self, row: Sequence[Any]) -> Iterator[tuple[str, bytes]]:
        self._rows.append(as_script_json(row))
        if len(self._rows) == TEXTS_PER_FILE:
            yield from self.rest()

    def rest(self) -> Iterator[tuple[str, bytes]]:
        if self._rows:
            yield _script(f"{self._name}-{self._n_files}", self._rows)
            self._rows, self._n_files = [], self._n_files + 1


class _Codes:
    """Distinct values in order of appearance; the code of a value is its index."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._codes: dict[Any, int] = {}

    def code(self, value: Any) -> int:
        if value not in self._codes:
            self._codes[value] = len(self.values)
            self.values.append(value)
        return self._codes[value]


class _Index:
    """Filter data of a family by column, with texts as codes.

    Pairs are ordered by file and, within a question, by number; the advantages of a pair are consecutive. Ids are
    composed as QUESTION_ID:PAIR_INDEX:POSITION.
    """

    def __init__(self, family: FamilyEvidence) -> None:
        shown_columns = ("cluster_id", "tag", "definition", "size", "kind", "main_domain")
        self._questions, self._domains, self._benchmarks, self._stages = _Codes(), _Codes(), _Codes(), _Codes()
        self._of_question: dict[str, list[int]] = {"domain": [], "benchmark": []}
        self._pairs: dict[str, list[int]] = {"question": [], "index": [], "stage": [], "n_advantages": []}
        self._parts: list[int] = []
        self._advantages: dict[str, list[int]] = {"position": [], "cluster": []}
        self.content = {
            "clusters": family.clusters.select(shown_columns)
            .sort("size", "cluster_id", descending=[True, False])
            .to_dicts(),
            "no_taxonomy_reason": family.no_taxonomy_reason,
            "domains": self._domains.values,
            "benchmarks": self._benchmarks.values,
            "stages": self._stages.values,
            "questions": {"id": self._questions.values, **self._of_question},
            "pairs": self._pairs,
            "parts": self._parts,  # number of the first pair of each file
            "advantages": self._advantages,
            "texts_per_file": TEXTS_PER_FILE,
        }

    def start_part(self) -> None:
        """Start a file with the next pair."""
        self._parts.append(len(self._pairs["question"]))

    def add(self, domain: str, pair: Row, advantages: Sequence[Row]) -> None:
        n_questions = len(self._questions.values)
        question = self._questions.code(pair["question_id"])
        if question == n_questions:
            row = (self._domains.code(domain), self._benchmarks.code(pair["benchmark"]))
            _append(self._of_question, row)
        stage = self._stages.code(pair["stage"])
        _append(self._pairs, (question, pair["pair_index"], stage, len(advantages)))
        for advantage in advantages:
            is_repeat, cluster = advantage["duplicate_of"] is not None, advantage["cluster_id"]
            code = cluster if cluster is not None else REPEATED if is_repeat else UNCLUSTERED
            _append(self._advantages, (advantage["position"], code))


def _append(columns: Mapping[str, list[Any]], row: Sequence[Any]) -> None:
    for column, value in zip(columns.values(), row, strict=True):
        column.append(value)


def _by_pair(evidence: DomainEvidence) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = {}
    for row in evidence.advantages.iter_rows(named=True):
        groups.setdefault(row["pair_id"], []).append(row)
    return groups


def _pair_record(pair: Row, advantages: Sequence[Row]) -> dict[str, Any]:
    """Data of a pair for display."""
    texts: dict[str, str] = {role: pair[f"{role}_response"] or "" for role in ROLES}
    texts["question"] = pair["question"] or ""
    named = ("trial", "model", "response", "finish_reason", "completion_tokens", "prediction", "verdict")
    return {
        "question": pair["question"],
        "answer": pair["answer"],
        "error": _error(pair, texts),
        "failure": None if pair["reason"] is None else {"reason": pair["reason"], "reply": pair["raw_reply"]},
        **{role: {name: pair[f"{role}_{name}"] for name in named} for role in ROLES},
        "advantages": [
            {
                "id": advantage["advantage_id"],
                "rule_violations": advantage["rule_violations"],
                "extractor": advantage["extractor"],
                "passages": [_passage(passage, texts) for passage in quoted_passages(advantage["evidence"])],
            }
            for advantage in advantages
        ],
    }


def _error(pair: Row, texts: Mapping[str, str]) -> dict[str, Any] | None:
    if pair["stage"] is None:
        return None
    wrong = {name: texts[name] for name in ("smaller", "question")}
    passages = [_passage(passage, wrong) for passage in quoted_passages(pair["description"])]
    return {**{name: pair[name] for name in ("stage", "depth", "description")}, "passages": passages}


def _passage(passage: str, texts: Mapping[str, str]) -> dict[str, Any]:
    """A passage with its positions in each text by name, in UTF-16 code units as in JavaScript."""
    matches = {name: find_passage(passage, text) for name, text in texts.items()}
    places = {name: [_in_utf16(span, texts[name]) for span in match.spans] for name, match in matches.items()}
    return {"text": passage, "is_exact": any(match.spans and match.is_exact for match in matches.values()), **places}


def _in_utf16(span: Span, text: str) -> Span:
    """Convert offsets in code points to offsets in UTF-16 code units."""
    if text.isascii():
        return span
    start = len(text[: span[0]].encode("utf-16-le")) // 2
    return start, start + len(text[span[0] : span[1]].encode("utf-16-le")) // 2
