"""Which source texts make a step stale: what can change its rows does, what cannot does not."""

import ast
import json
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from advcluster_dagster.assets.registry import RECIPES
from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.pipeline.code_text import contract_digest, sql_digest
from advcluster_dagster.pipeline.source_code import SourceCode, SourceError, package_source, read_source

SNAPSHOT = Path(__file__).with_name("step_modules.json")
HOW_TO = "steps reach other modules; if they should: UPDATE_SNAPSHOT=1 pytest tests/pipeline/test_source_code.py"
PYTHON = [name for name, recipe in RECIPES.items() if recipe.module]


def edited(path, old, new):
    """The package's source with one text replaced in one file."""
    text = read_source(path)
    assert old in text, f"{path} no longer holds {old!r}"
    return SourceCode(lambda asked: text.replace(old, new) if asked == path else read_source(asked))


def parts(source, step):
    recipe = RECIPES[step]
    return source.parts(recipe.module, step, recipe.tables[0] not in TABLES)


def changed_steps(source):
    """Steps that the edited source makes stale."""
    return {step for step in PYTHON if parts(source, step) != parts(package_source(), step)}


def test_the_modules_of_each_step_are_those_of_the_snapshot():
    found = {name: list(recipe.code_parts) for name, recipe in RECIPES.items()}
    if os.environ.get("UPDATE_SNAPSHOT"):
        SNAPSHOT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    assert found == json.loads(SNAPSHOT.read_text(encoding="utf-8")), HOW_TO


@pytest.mark.parametrize(
    ("path", "old", "new", "steps"),
    [
        # Helpers of a stage's module, which a step calls.
        ("inference", "LazyFrame(rows, schema", "LazyFrame(rows[1:], schema", {"larger_traces", "smaller_traces"}),
        ("advantage_extraction", 'how="left", maintain', 'how="inner", maintain', {"extracted_advantages"}),
        ("grading", "pairs = panel_pairs(graded", "pairs = panel_pairs(graded[1:]", {"graded_trials"}),
        ("taxonomy", "placed = assignments.join", "placed = assignments[1:].join", {"final_taxonomy"}),
        ("cluster_naming", ".points.astype(", ".points[::-1].astype(", {"cluster_summaries"}),
        ("cluster_naming", '_SCORES = ("distinctness", ', "_SCORES = (", {"candidate_reviews"}),
        ("taxonomy_coverage", 'sizes, on="cluster_id", how="left"', 'sizes, on="cluster_id"', {"covered_advantages"}),
        # Checks, which may block what follows.
        ("grading", "largest <= bound", "largest < bound", {"graded_trials"}),
        ("grading", 'pl.col("verdict") == "no_answer"', 'pl.col("verdict") == "none"', {"graded_trials"}),
        ("error_dispersion", '["mean_edi"] > bound', '["mean_edi"] >= bound', {"edi_summary"}),
    ],
)
def test_helpers_and_checks_make_stale_the_steps_that_use_them_and_no_others(path, old, new, steps):
    assert changed_steps(edited(f"assets/{path}.py", old, new)) == steps


CORPUS_READERS = {
    "cluster_summaries", "clustered_advantages", "candidate_stabilities", "covered_advantages", "taxonomy_changes",
    "final_taxonomy", "themes", "name_checks",
}  # fmt: skip
IMPORT_READERS = {"benchmark_questions", "larger_traces", "smaller_traces"}
#: Modules that steps reach, at whatever distance, and the steps.
REACHED = {
    "science/grading/units": {"graded_trials"},
    "science/grading/answers": {"graded_trials"},
    "sandbox/pool": {"graded_trials"},
    "sandbox/server": {"graded_trials"},  # runs in a process of its own; named in a text and imported nowhere
    "science/question_set/selection": {"analysis_question_set", "question_statistics", "gap_tests", "study_report"},
    "science/advantage_extraction/records": {"extracted_advantages"},
    "science/advantage_extraction/pairs": {"trace_pairs"},
    "science/semantic_clustering/embeddings": {
        "deduplicated_advantages",
        "clustered_advantages",
        "candidate_stabilities",
        "covered_advantages",
        "name_checks",
        "taxonomy_changes",
        "preference_pairs",
    },
    "science/semantic_clustering/corpus": {*CORPUS_READERS, "deduplicated_advantages", "worked_cases"},
    "science/error_dispersion/dispersion": {"error_dispersion", "dispersion_tests"},
    "sources/imports/readers": IMPORT_READERS,
    "sources/imports/staging": IMPORT_READERS,
    "sources/imports/fields": {"benchmark_questions", "preference_pairs"},
    "sources/benchmarks/cruxeval_i": {"benchmark_questions"},
    "models/trace_answers": {"larger_traces", "smaller_traces"},
    "ledger/validated": {
        "graded_trials",
        "extracted_advantages",
        "cluster_summaries",
        "candidate_reviews",
        "name_checks",
        "themes",
        "trace_ratings",
        "delta_summaries",
    },
    "storage/frozen_taxonomies": {"covered_advantages", "taxonomy_changes"},
    "report/formatting": {"study_report"},
    "science/quotes": {"evidence_explorer", "extracted_advantages", "worked_cases"},
    "demo/simulation/recovery": {"study_report"},
    # The framework, and what no step reaches.
    "pipeline/step": set(),
    "orchestration/asset_definitions": set(),
    "storage/table_files": set(),
    "planning/status": set(),
    "ledger/calls": set(),
    "demo/analyst/naming": set(),
    "sources/benchmarks/page": set(),
    "sources/imports/traces": set(),
    "audit/verify": set(),
}


def with_text(path, change):
    text = change(read_source(path))
    return SourceCode(lambda asked: text if asked == path else read_source(asked))


@pytest.mark.parametrize("module", REACHED)
def test_a_module_makes_stale_the_steps_that_reach_it_and_no_others(module):
    assert changed_steps(with_text(f"{module}.py", lambda text: f"{text}\nADDED = 1\n")) == REACHED[module]


@pytest.mark.parametrize("module", REACHED)
def test_comments_docstrings_and_unused_imports_of_a_module_make_nothing_stale(module):
    def reworded(text):
        own = ast.get_docstring(ast.parse(text), clean=False)
        return text.replace(own, "Other words.", 1) + "\n# More words.\nimport this\n"

    assert changed_steps(with_text(f"{module}.py", reworded)) == set()


@pytest.mark.parametrize(
    ("path", "steps"),
    [
        ("report/templates/report.css", {"study_report"}),
        ("report/explorer/templates/explorer.js", {"evidence_explorer"}),
    ],
)
def test_templates_make_their_page_stale(path, steps):
    assert changed_steps(with_text(path, lambda text: f"{text} ")) == steps


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        # A docstring, a comment, formatting, a type, an import that nothing uses.
        ("inference", '"""Traces of the larger model."""', '"""What the larger model answered."""'),
        ("inference", '    """Traces of the larger model."""\n', ""),
        ("inference", "    model = step.study", "    # The model of the role.\n    model = step.study"),
        ("inference", "_traces(step: Step, questions", "_traces(\n    step: Step,\n    questions"),
        ("inference", "questions: pl.DataFrame, role: Role) -> pl.LazyFrame", "questions, role)"),
        ("inference", "from typing import Any\n", "import this\nfrom typing import Any\n"),
        # What a check is said to be, what a dry run assumes, how the UI marks a step, what is drawn beside rows.
        ("grading", "Few responses lack an answer.", "Most responses hold an answer."),
        ("error_dispersion", "First errors concentrate at few depths", "Errors stand at few depths"),
        ("grading", "_ASSUMED_UNDECIDED_SHARE = 0.01", "_ASSUMED_UNDECIDED_SHARE = 0.02"),
        ("inference", 'estimate=lambda step: _estimate(step, "larger")', "estimate=None"),
        ("cluster_naming", 'kinds=("polars", "llm")', 'kinds=("llm",)'),
        # Settings count by their values: another way to write them is no change.
        ("question_set", '"trials": study.trials}', '"trials": study.trials + 0}'),
    ],
)
def test_what_cannot_change_rows_makes_nothing_stale(path, old, new):
    assert changed_steps(edited(f"assets/{path}.py", old, new)) == set()


def _toy(**files):
    """Source of a package that holds these modules, with slashes written as ``__``."""
    texts = {f"{name.replace('__', '/')}.py": text for name, text in files.items()}
    return SourceCode(texts.get)


STAGE = """
from advcluster_dagster.science.first import compute
from advcluster_dagster.assets.other import helper, unused
from advcluster_dagster.storage.files import write

@table_step("group", estimate=lambda step: guess(step), checks={"rows": (Check("one", description="d", judge=judge),)})
def rows(step, other_rows):
    return prepared(compute(other_rows))

def prepared(frame, size=DEFAULT):
    write(frame)
    return frame.head(LIMITS["a"])

def judge(step, frame): return helper(frame)
def guess(step): return unused(step)
def other_rows(step): return 1
DEFAULT = 1
LIMITS = {}
LIMITS["a"] = 3
"""
FIRST = (
    "from advcluster_dagster.science import second\nimport math as m\ndef compute(x):\n    return second.go(m.floor(x))"
)
TOY = {
    "assets__stage": STAGE,
    "assets__other": "def helper(x): return 1\ndef unused(x): return 2",
    "science__first": FIRST,
    "science__second": "def go(x):\n    from advcluster_dagster.science.third import last\n    return last(x)",
    "science__third": 'PROGRAM = ["-m", "advcluster_dagster.science.fourth"]\ndef last(x): return x',
    "science__fourth": "print(1)",
    "storage__files": "def write(x): return None",
}
STEP = ("assets/stage", "rows")
BEFORE = _toy(**TOY).parts(*STEP)


def test_a_step_reaches_functions_used_and_modules_imported_or_named():
    assert list(BEFORE) == [
        "assets/other",
        "assets/stage",
        *(f"science/{n}" for n in ("first", "fourth", "second", "third")),
    ]


@pytest.mark.parametrize(
    ("module", "old", "new", "changed"),
    [
        ("assets__stage", "frame.head", "frame.tail", ["assets/stage"]),
        ("assets__stage", "DEFAULT = 1", "DEFAULT = 2", ["assets/stage"]),
        ("assets__stage", 'LIMITS["a"] = 3', 'LIMITS["a"] = 4', ["assets/stage"]),  # changed in place
        ("assets__stage", "return helper", "return not helper", ["assets/stage"]),
        ("assets__stage", 'Check("one"', 'Check("two"', ["assets/stage"]),
        ("assets__stage", 'description="d"', 'description="e"', []),
        ("assets__stage", "return unused(step)", "return 0", []),
        ("assets__stage", "def other_rows(step): return 1", "def other_rows(step): return 2", []),
        ("assets__other", "return 1", "return 3", ["assets/other"]),
        ("assets__other", "return 2", "return 3", []),
        ("science__fourth", "1", "2", ["science/fourth"]),
        ("storage__files", "None", "1", []),
        # What a name stands for counts, the line that says so does not.
        ("science__first", "import math as m", "import cmath as m", ["science/first"]),
        ("science__first", "import math as m", "import os, math as m", []),
        ("science__second", "import last", "import last  # the last", []),
        ("science__third", "x): return x", "x: int = 1) -> int: return x", ["science/third"]),
        ("science__third", "x): return x", "x: int) -> int: return x", []),
    ],
)
def test_what_counts_of_a_small_package(module, old, new, changed):
    assert old in TOY[module]
    found = _toy(**{**TOY, module: TOY[module].replace(old, new)}).parts(*STEP)
    assert [name for name in found if found[name] != BEFORE.get(name)] == changed
    assert found.keys() == BEFORE.keys()


def test_a_step_that_is_declared_in_an_unusual_way_depends_on_its_whole_module():
    stage = (
        "for name in ('a', 'b'):\n    sql_step(name, checks=(judge,))\ndef judge(x): return 1\ndef other(x): return 2"
    )
    one, other = (_toy(assets__s=text).parts("assets/s", "a") for text in (stage, stage.replace("2", "3")))
    assert one != other


@pytest.mark.parametrize(
    ("base", "is_counted"), [("BaseModel", True), ("pydantic.BaseModel", True), ("ValueError", False)]
)
def test_the_docstring_of_a_reply_counts_since_judges_are_sent_it(base, is_counted):
    text = f'class Reply({base}):\n    """One."""\n    score: int = 1'
    texts = (text, text.replace("One", "Two"), text.replace("int", "str"))
    one, other, typed = (_toy(science__r=source).parts("science/r", "") for source in texts)
    assert (one != other) == is_counted
    assert one != typed


def test_sources_that_are_missing_are_one_line():
    with pytest.raises(SourceError, match=r"^assets/grading\.py of advcluster_dagster is not installed; "):
        SourceCode(lambda _path: None).parts("assets/grading", "graded_trials")


def test_a_module_installed_without_its_source_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "science").mkdir()
    (tmp_path / "science" / "prompting.pyc").write_bytes(b"")
    monkeypatch.setattr("advcluster_dagster.pipeline.source_code.resources.files", lambda _package: tmp_path)
    assert read_source("science/nothing.py") is None
    with pytest.raises(SourceError, match=r"install the package with its \.py files$"):
        read_source("science/prompting.py")


@pytest.mark.parametrize(
    ("sql", "is_equal"),
    [
        ("-- Other words.\nselect a,\n  'b  c' -- why\nfrom {{ ref('t') }}", True),
        ("/* Other\nwords */ select a , 'b  c'\n\nfrom {{ref('t')}} {# jinja #}", True),
        ("select a, 'b c' from {{ ref('t') }}", False),
        ("select a, 'b  c' from {{ ref('u') }}", False),
        ("select a, '--' from {{ ref('t') }}", False),
        ("select b, 'b  c' from {{ ref('t') }}", False),
        ("", False),
    ],
)
def test_sql_counts_without_comments_and_white_space(sql, is_equal):
    assert (sql_digest([sql]) == sql_digest(["-- Words.\nselect a, 'b  c' from {{ ref('t') }}"])) == is_equal


def test_a_contract_counts_by_what_it_demands():
    table = TABLES["edi_summary"]
    first, *others = table.columns
    told = replace(table, description="Other words.", columns=(replace(first, description="Others."), *others))
    assert contract_digest(told) == contract_digest(table)
    second, *rest = others  # no part of the key
    for columns in (
        (replace(first, is_nullable=not first.is_nullable), *others),
        (replace(first, maximum=7.0), *others),
        (first, replace(second, name="other"), *rest),
        (first, *rest),
    ):
        assert contract_digest(replace(table, columns=columns)) != contract_digest(table)
    assert contract_digest(replace(table, key=(second.name,))) != contract_digest(table)


def test_sql_and_contracts_are_parts_of_their_steps():
    assert {"SQL of edi_summary", "SQL tests of edi_summary", "contract of edi_summary"} <= RECIPES[
        "edi_summary"
    ].code_parts.keys()
    assert not any(name.startswith("SQL") for name in RECIPES["graded_trials"].code_parts)


def test_all_fingerprints_of_a_process_are_there_at_once():
    source = SourceCode()
    begun = time.process_time()
    for step in PYTHON:
        parts(source, step)
    assert time.process_time() - begun < 1.0  # 0.2 s on a free machine
