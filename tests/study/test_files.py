"""Wrong files of settings, both kinds alike: file, line, key and what to do."""

import pytest

from advcluster_dagster.study.files import SettingsError, read_settings
from advcluster_dagster.study.platform import PlatformSettings
from advcluster_dagster.study.study import Study

STUDY = """\
study: s
families:
  f:
    larger: {model: a, provider: imported}
    smaller: {model: b, provider: imported}
domains:
  d: [q]
"""
#: Kind of fault -> bytes of a study file, what its line says behind the path.
STUDIES = {
    "syntax": (STUDY + "trials: [1\n", ", line 9: not a YAML file: expected ',' or ']', but got '<stream end>'; close"),
    "colon": ("study: a: b\n", ", line 1: not a YAML file: mapping values are not allowed here; put text"),
    "tab": ("study:\n\tname: a\n", ", line 2: not a YAML file: found character '\\t' that cannot start any token;"),
    "documents": (STUDY + "---\na: 1\n", ", line 8: not a YAML file: but found another document; remove the '---'"),
    "date": (STUDY + "seed: 2026-13-40\n", ": not a YAML file: month must be in 1..12; put the value in quotes"),
    "unknown field": (STUDY + "clustering: {max_cluster: 3}\n", ", line 8: clustering.max_cluster is 3: there is no"
                      " such setting; did you mean max_clusters?"),
    "unlike any": (STUDY + "spending: {zzz: 3}\n", ", line 8: spending.zzz is 3: there is no such setting; remove it;"
                   " known here: max_cost"),
    "mistyped role": (STUDY.replace("smaller", "small"), ", line 3: families.f.smaller is missing; add it: the model"),
    "of a list": (STUDY + "grading:\n  panel:\n  - {model: a, provider: openai}\n  - {modle: b, provider: openai}\n",
                  ", line 11: grading.panel.1.model is missing; add it: the provider's name"),
    "text": (STUDY + "trials: '3'\n", ", line 8: trials is '3'; give a whole number, without quotes"),
    "no section": (STUDY + "judges: none\n", ", line 8: judges is 'none'; write keys and values below it, indented"),
    "no list": (STUDY.replace("[q]", "q"), ", line 7: domains.d is 'q'; give a list, such as [a, b]"),
    "no boolean": (STUDY + "benchmarks: {q: {whole_response: maybe}}\n",
                   ", line 8: benchmarks.q.whole_response is 'maybe'; give true or false"),
    "out of range": (STUDY + "question_set:\n\n  min_gap: 1.5\n", ", line 10: question_set.min_gap is 1.5; give a"
                     " number of at most 1"),
    "infinite": (STUDY + "spending: {max_cost: .inf}\n", ", line 8: spending.max_cost is inf; give a finite number"),
    "missing": (STUDY.replace("study: s\n", ""), ": study is missing; add it: name of the study"),
    "of the whole": (STUDY.replace("b, provider: imported", "b, provider: here"),
                     ", line 5: families.f.smaller.provider is 'here'; allowed: "),
    "key twice": (STUDY + "study: t\n", ", line 8: key 'study' is given twice, first in line 1; remove one of them"),
    "empty": ("# nothing\n", ": the study file is empty; add settings"),
    "one text": ("hello\n", ": a study file needs keys and values, found one text; write lines `key: value`"),
    "binary": (b"PK\x03\x04\x00\x00", ": not a YAML file: it holds bytes that are not text; save it as UTF-8 text"),
    "Latin": (STUDY.encode() + b"judges: \xe9\n", ", line 8: not a YAML file: it is not UTF-8 text; save it as UTF-8"),
    "too deep": ("[" * 5000, ": not a YAML file: it is nested too deeply; flatten it"),
}  # fmt: skip
PLATFORMS = {
    "syntax": ("executor: {ray", ", line 1: not a YAML file: expected ',' or '}', but got '<stream end>'; close"),
    "unknown field": ("\nexecuter: ray\n", ", line 2: executer is 'ray': there is no such setting; did you mean ex"),
    "out of range": ("keep_history_days: -1\n", ", line 1: keep_history_days is -1; give a number of at least 0"),
    "no variable": ("database_url_env: my url\n", ", line 1: database_url_env is 'my url'; give the name of an"),
    "key twice": ("lake: null\nlake: null\n", ", line 2: key 'lake' is given twice, first in line 1; remove one"),
    "empty": ("", ": the platform file is empty; add settings"),
    "one number": ("3", ": a platform file needs keys and values, found one number; write lines"),
    "binary": (b"\x89PNG\r\n\x1a\n", ", line 1: not a YAML file: it is not UTF-8 text; save it as UTF-8 text"),
}  # fmt: skip
CASES = [
    pytest.param(record, what, *case, id=f"{what}: {kind}")
    for record, what, cases in ((Study, "study file", STUDIES), (PlatformSettings, "platform file", PLATFORMS))
    for kind, case in cases.items()
]


@pytest.mark.parametrize(("record", "what", "content", "message"), CASES)
def test_a_wrong_file_says_where_and_what_to_do(tmp_path, record, what, content, message):
    path = tmp_path / "file.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SettingsError) as caught:
        read_settings(path, record, what)
    said = str(caught.value)
    assert said.startswith(f"{path}{message}")
    assert not [word for word in ("\n", "Input should", "pydantic", "https://", "while parsing") if word in said]


def test_a_byte_order_mark_is_no_fault(tmp_path):
    path = tmp_path / "file.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + STUDY.encode())
    assert read_settings(path, Study, "study file").study == "s"
