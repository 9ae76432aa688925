import inspect
import os
import re
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from advcluster_dagster.storage.home import shipped
from advcluster_dagster.study import study as study_module
from advcluster_dagster.study.base import NAME_PATTERN, Settings
from advcluster_dagster.study.benchmarks import Benchmark
from advcluster_dagster.study.grading import judge_names
from advcluster_dagster.study.models import BUILT_IN_PROVIDERS, Model
from advcluster_dagster.study.study import Study, StudyError, load_study

SMALLEST = """\
study: gsm8k
trials: 2
families:
  gpt3:
    larger:  {model: gpt3-175b, provider: imported}
    smaller: {model: gpt3-6b,   provider: imported}
domains:
  math: [gsm8k]
benchmarks:
  gsm8k: {answer_marker: "A:"}
"""


def load(tmp_path: Path, text: str) -> Study:
    path = tmp_path / "gsm8k.yaml"
    path.write_text(text, encoding="utf-8")
    return load_study(path)


def changed(old: str, new: str) -> str:
    assert old in SMALLEST
    return SMALLEST.replace(old, new)


def two_ways(larger: str, smaller: str) -> str:
    """One model in both roles, each with further settings."""
    text = changed("{model: gpt3-175b, provider: imported}", f"{{model: gpt3, provider: imported, {larger}}}")
    return text.replace("{model: gpt3-6b,   provider: imported}", f"{{model: gpt3, provider: imported, {smaller}}}")


def test_the_smallest_study_has_a_default_for_all_else(tmp_path):
    study = load(tmp_path, SMALLEST)
    assert (study.study, study.trials, study.seed) == ("gsm8k", 2, 0)
    assert study.families["gpt3"].model_of("larger").model == "gpt3-175b"
    assert study.families["gpt3"].model_of("smaller").model == "gpt3-6b"
    assert study.domains == {"math": ("gsm8k",)}
    assert study.benchmark("gsm8k").answer_marker == "A:"
    assert study.benchmark("gsm8k").source == "imported"
    assert study.question_set.min_gap == 0.6
    assert study.deduplication.threshold == 0.95
    assert study.deduplication.scope == "question"
    assert study.clustering.pca_dims == (256, 128, 64, 16, 8, 4)
    assert (study.clustering.min_clusters, study.clustering.max_clusters) == (2, 15)
    assert (study.clustering.n_best, study.clustering.n_dims_kept, study.clustering.n_reviews) == (5, 2, 3)
    assert study.taxonomy.min_share == 0.6
    assert study.error_dispersion.max_edi_shown == 0.4
    judges = (study.judges.extractor, study.judges.embedder, study.judges.summariser, study.judges.reviewer)
    assert {judge.provider for judge in judges} == {"embedded"}


def test_trials_default_to_the_papers_ten(tmp_path):
    assert load(tmp_path, changed("trials: 2\n", "")).trials == 10


def test_a_benchmark_not_listed_has_the_defaults(tmp_path):
    study = load(tmp_path, SMALLEST.split("benchmarks:")[0])
    assert study.benchmark("gsm8k") == Benchmark()


def test_settings_do_not_change_after_reading(tmp_path):
    with pytest.raises(ValueError, match="frozen"):
        load(tmp_path, SMALLEST).trials = 3


@pytest.mark.parametrize("name", ["demo", "paper"])
def test_shipped_studies_load(name):
    study = load_study(shipped("data/studies") / f"{name}.yaml")
    assert (study.study, study.trials, len(study.families), len(study.domains)) == (name, 10, 2, 4)


def test_the_papers_benchmarks():
    study = load_study(shipped("data/studies") / "paper.yaml")
    assert sum(map(len, study.domains.values())) == 10  # of which JEEBench stands in three domains and GPQA in two
    assert study.families["qwen3"].larger.model == "Qwen/Qwen3-32B"
    assert study.judges.embedder.model == "text-embedding-3-large"
    assert study.judges.embedding_dimensions == 3072


#: What is wrong -> the file, and what its one line says: key, value, what is allowed.
WRONG = {
    "unknown key": (SMALLEST + "tirals: 3\n", "tirals is 3: there is no such setting; did you mean trials?"),
    "unknown nested key": (
        changed('{answer_marker: "A:"}', "{marker: A}"),
        "benchmarks.gsm8k.marker is 'A': there is no such setting; did you mean answer_marker?",
    ),
    "wrong type": (
        changed("trials: 2", "trials: ten"),
        "trials is 'ten'; give a whole number, without quotes",
    ),
    "layers without a number": (
        SMALLEST + "compute: {shapes: {large: {width: 8}}}\n",
        "compute.shapes.large: has neither config nor vocabulary, feed_forward, heads, layers; allowed: config, or all",
    ),
    "layers twice": (
        SMALLEST + "compute: {shapes: {large: {config: c.json, kv_heads: 2}}}\n",
        "compute.shapes.large: has config and kv_heads; allowed: one of them",
    ),
    "layers of a model that is not compared": (
        SMALLEST + "compute: {shapes: {other: {config: c.json}}}\n",
        "compute.shapes.other is used nowhere; allowed: ",
    ),
    "experts that do not fit": (
        SMALLEST
        + "compute: {shapes: {large: {vocabulary: 9, width: 8, feed_forward: 8, heads: 1, layers: 1, n_experts: 4}}}\n",
        "compute.shapes.large: n_experts and experts_per_token do not fit; allowed: 1 to n_experts per token, or",
    ),
    "the largest deltas without ratings": (
        SMALLEST + "preferences: {selection: top_delta}\n",
        "preferences.selection is 'top_delta', which needs rated traces; add ratings: {}",
    ),
    "a rater without ratings": (
        SMALLEST + "judges: {rater: {model: m, provider: openai}}\n",
        "judges.rater is set, but there is no section ratings; add ratings: {}, or remove it",
    ),
    "clusters that are not asked for": (
        SMALLEST + "preferences: {clusters: [1]}\n",
        "preferences: clusters are set, but selection is 'all'; allowed: selection: cluster",
    ),
    "a scheme twice": (
        SMALLEST + "preferences: {schemes: [generator, generator]}\n",
        "preferences: schemes is ['generator', 'generator']; allowed: each once",
    ),
    "a family that is not there is rated": (
        SMALLEST + "ratings: {families: [nobody]}\n",
        "ratings.families.nobody is used nowhere; allowed: ",
    ),
    "out of range": (changed("trials: 2", "trials: 0"), "trials is 0; give a number of at least 1"),
    "not a number": (
        SMALLEST + "question_set: {min_gap: .nan}\n",
        "question_set.min_gap is nan; give a number of at most 1",
    ),
    "gap of zero": (
        SMALLEST + "question_set: {min_gap: 0}\n",
        "question_set.min_gap is 0; give a number above 0",
    ),
    "none of the choices": (
        SMALLEST + "deduplication: {scope: family}\n",
        "deduplication.scope is 'family'; give 'question' or 'domain'",
    ),
    "capitals in a name": (
        changed("study: gsm8k", "study: GSM8K"),
        "study is 'GSM8K'; names consist of a-z, 0-9, '_', '.', '-' and start with a letter or digit",
    ),
    "comma in a name": (
        changed("math: [gsm8k]", '"math,hard": [gsm8k]'),
        "domains.math,hard is 'math,hard'; names consist of a-z, 0-9, '_', '.', '-' and start with a letter or digit",
    ),
    "name that is no text": (
        changed("math: [gsm8k]", "1: [gsm8k]"),
        "domains.1 is 1; allowed: text; put a value that YAML reads otherwise (off, yes, 1) in quotes",
    ),
    "long name": (
        changed("study: gsm8k", f"study: {'x' * 61}"),
        f"study is '{'x' * 56}...; give text of at most 60 characters",
    ),
    "panel of one": (
        SMALLEST + "grading: {panel: [{model: a, provider: openai}]}\n",
        "grading: panel has 1 model; allowed: none, or at least two",
    ),
    "panel with a member twice": (
        SMALLEST + "grading: {panel: [{model: a, provider: openai}, {model: a, provider: openai}]}\n",
        "grading: panel has 'a' of openai twice; allowed: different models",
    ),
    "panel served by nobody": (
        SMALLEST + "grading: {panel: [{model: a, provider: openai}, {model: b, provider: nobody}]}\n",
        "grading.panel.1.provider is 'nobody'; allowed: ",
    ),
    "time limit of zero": (
        SMALLEST + "grading: {math_timeout_s: 0}\n",
        "grading.math_timeout_s is 0; give a number above 0",
    ),
    "key given twice": (SMALLEST + "trials: 3\n", "key 'trials' is given twice, first in line 2; remove one of them"),
    "nested key given twice": (
        changed("math: [gsm8k]", "math: [gsm8k]\n  math: [other]"),
        "key 'math' is given twice, first in line 8; remove one of them",
    ),
    "one model": (
        changed("gpt3-6b,  ", "gpt3-175b,"),
        "families.gpt3: larger and smaller are the same model, 'gpt3-175b', with the same settings; name two models, or"
        " set different sampling (such as enable_thinking: true and false) or system_prompt",
    ),
    "one model asked in one way, with labels": (
        two_ways("label: a", "label: b").replace("imported", "openai"),
        "families.gpt3: larger and smaller are the same model, 'gpt3', with the same settings; name two models",
    ),
    "one model in two ways without labels": (
        two_ways("sampling: {enable_thinking: true}", "sampling: {enable_thinking: false}"),
        "families.gpt3: larger and smaller are the same model, 'gpt3'; add a label to each, such as label: with"
        " thinking and label: without thinking",
    ),
    "one label for both": (
        two_ways("label: a, sampling: {top_p: 1}", "label: a, sampling: {top_p: 0.9}"),
        "families.gpt3: larger.label is 'a', also a name of the other model; use another label",
    ),
    "a label for one model alone": (
        two_ways("label: a, sampling: {top_p: 1}", "sampling: {top_p: 0.9}"),
        "families.gpt3: smaller.label is missing, but the other model has one; label both, or neither",
    ),
    "the name of the other model as a label": (
        changed("gpt3-175b,", "gpt3-175b, label: gpt3-6b,").replace("gpt3-6b,   ", "gpt3-6b, label: b, "),
        "families.gpt3: larger.label is 'gpt3-6b', also a name of the other model; use another label",
    ),
    "label on two lines": (
        two_ways('label: "a\\nb", sampling: {top_p: 1}', "label: b"),
        "families.gpt3.larger.label: is 'a\\nb'; give one line without control or invisible characters",
    ),
    "label that turns the direction of text": (
        two_ways('label: "a\\u202eb", sampling: {top_p: 1}', "label: b"),
        "families.gpt3.larger.label: is 'a\\u202eb'; give one line without control or invisible characters",
    ),
    "label of 61 characters": (
        two_ways(f"label: {'x' * 61}, sampling: {{top_p: 1}}", "label: b"),
        f"families.gpt3.larger.label is '{'x' * 56}...; give text of at most 60 characters",
    ),
    "blank label": (
        two_ways('label: " ", sampling: {top_p: 1}', "label: b"),
        "families.gpt3.larger.label is ' '; give text of at least 1 character(s), or omit the setting",
    ),
    "one engine for two settings": (
        two_ways(
            "label: a, sampling: {top_p: 1}, engine: {enforce_eager: true}", "label: b, sampling: {top_p: 0.9}"
        ).replace("imported", "vllm"),
        "families.gpt3: larger and smaller are the same model, 'gpt3', served by one engine; give both the same",
    ),
    "system prompt of a judge": (
        SMALLEST + "judges: {reviewer: {model: m, provider: openai, system_prompt: Be brief.}}\n",
        "judges.reviewer.system_prompt is not used, as judges have their own prompts; remove it",
    ),
    "one model by another name": (
        changed("{model: gpt3-6b,   provider: imported}", "{model: gpt3-6b, provider: imported, aliases: [gpt3-175b]}"),
        "families.gpt3: larger and smaller must be two different models, but both are called 'gpt3-175b';"
        " rename one, or remove the alias",
    ),
    "missing smaller": (
        changed("    smaller: {model: gpt3-6b,   provider: imported}\n", ""),
        "families.gpt3.smaller is missing; add it: the model whose first errors are analysed",
    ),
    "no families": (
        SMALLEST.replace(SMALLEST[SMALLEST.index("families") : SMALLEST.index("domains")], "families: {}\n"),
        "families is {}; give at least 1",
    ),
    "unknown provider": (
        changed("gpt3-6b,   provider: imported", "gpt3-6b, provider: opnai"),
        "families.gpt3.smaller.provider is 'opnai'; allowed: embedded, google-genai, imported, onnx, openai,"
        " simulated, vllm",
    ),
    "unknown provider of a judge": (
        SMALLEST + "judges: {reviewer: {model: m, provider: nobody}}\n",
        "judges.reviewer.provider is 'nobody'; allowed: embedded, google-genai, imported, onnx, openai,"
        " simulated, vllm",
    ),
    "no domains": (
        changed("domains:\n  math: [gsm8k]\n", "domains: {}\n"),
        "domains is {}; give at least 1",
    ),
    "domain without benchmarks": (
        changed('math: [gsm8k]\nbenchmarks:\n  gsm8k: {answer_marker: "A:"}\n', "math: []\n"),
        "domains.math is []; allowed: one or more different benchmark names",
    ),
    "benchmark twice in a domain": (
        changed("[gsm8k]", "[gsm8k, gsm8k]"),
        "domains.math is ['gsm8k', 'gsm8k']; allowed: one or more different benchmark names",
    ),
    "benchmark used nowhere": (
        changed("  gsm8k: {answer", "  other: {answer"),
        "benchmarks.other is used nowhere; allowed: gsm8k",
    ),
    "file of an imported benchmark": (
        changed('{answer_marker: "A:"}', "{file: q.jsonl}"),
        "benchmarks.gsm8k: file is 'q.jsonl'; allowed: none with source: imported",
    ),
    "revision of a file": (
        changed('{answer_marker: "A:"}', "{source: registered, file: q.jsonl, revision: abc}"),
        "benchmarks.gsm8k: revision is 'abc'; allowed: with source: registered and no file",
    ),
    "pin of an unknown family": (
        SMALLEST + "clustering: {pins: {qwen: {pca_dim: 4, n_clusters: 6, reason: r}}}\n",
        "clustering.pins.qwen is used nowhere; allowed: gpt3",
    ),
    "bounds out of order": (
        SMALLEST + "clustering: {min_clusters: 9, max_clusters: 5}\n",
        "clustering: max_clusters 5 is below min_clusters 9; raise one or lower the other",
    ),
    "several faults": (
        changed("trials: 2", "trials: 0\nseed: -1"),
        "trials is 0; give a number of at least 1 (and 1 more)",
    ),
    "not YAML": ("study: [gsm8k\ntrials: 2", "not a YAML file: expected ',' or ']', but got ':'; close the bracket"),
    "unsafe YAML": ("study: !!python/object/apply:os.getcwd []", "not a YAML file: could not determine a constructor"),
    "not a mapping": (
        "- study\n- trials\n",
        "a study file needs keys and values, found a list; write lines `key: value`",
    ),
    "empty": ("", "the study file is empty; add settings"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_file_gives_one_line_of_file_key_value_and_allowed(tmp_path, case):
    text, line = WRONG[case]
    with pytest.raises(StudyError) as caught:
        load(tmp_path, text)
    said = str(caught.value)
    place, _, rest = said.partition(": ")
    assert re.fullmatch(re.escape(str(tmp_path / "gsm8k.yaml")) + r"(, line [1-9]\d*)?", place)
    assert rest.startswith(line)
    assert not [word for word in ("\n", "Input should", "pydantic", "https://") if word in said]


def test_a_missing_file(tmp_path):
    with pytest.raises(StudyError) as caught:
        load_study(tmp_path / "none.yaml")
    assert str(caught.value) == f"{tmp_path / 'none.yaml'}: study file not found; correct its name, or create it first"


def test_a_folder_is_no_study_file(tmp_path):
    with pytest.raises(StudyError) as caught:
        load_study(tmp_path)
    assert str(caught.value) == f"{tmp_path}: cannot be read: {os.strerror(21)}; name a file"


def test_a_file_that_is_no_text(tmp_path):
    (tmp_path / "s.yaml").write_bytes(b"study: \xff\xfe")
    with pytest.raises(StudyError, match="line 1: not a YAML file: it is not UTF-8 text; save it as UTF-8 text"):
        load_study(tmp_path / "s.yaml")


def test_declared_providers_may_be_used(tmp_path):
    text = (
        SMALLEST
        + "providers: {local: {base_url: 'http://127.0.0.1:8000/v1'}}\n"
        + "judges: {reviewer: {model: m, provider: local}}\n"
    )
    assert load(tmp_path, text).judges.reviewer.provider == "local"


@pytest.mark.parametrize("provider", BUILT_IN_PROVIDERS)
def test_built_in_providers_need_no_declaration(tmp_path, provider):
    assert load(tmp_path, changed("gpt3-6b,   provider: imported", f"gpt3-6b, provider: {provider}")).trials == 2


def all_settings():
    models = [m for _, m in inspect.getmembers(study_module, inspect.isclass) if issubclass(m, BaseModel)]
    return {
        f"{model.__name__}.{name}": field
        for model in models
        if model.__module__ == study_module.__name__
        for name, field in model.model_fields.items()
    }


@pytest.mark.parametrize("field", all_settings().values(), ids=all_settings())
def test_every_setting_is_explained(field):
    # A section of settings is explained by its class.
    is_section = inspect.isclass(field.annotation) and issubclass(field.annotation, Settings)
    explanation = field.description or (field.annotation.__doc__ if is_section else "")
    assert explanation
    assert explanation.strip().endswith(".")


def test_every_class_of_settings_is_explained():
    models = [model for _, model in inspect.getmembers(study_module, inspect.isclass) if issubclass(model, Settings)]
    assert len(models) > 10
    assert all("." in (model.__doc__ or "") for model in models)


def test_the_order_of_families_and_domains_is_that_of_the_file(tmp_path):
    content = yaml.safe_load(SMALLEST)
    content["domains"] = {"z": ["a"], "a": ["gsm8k"], "m": ["b"]}
    assert list(load(tmp_path, yaml.safe_dump(content, sort_keys=False)).domains) == ["z", "a", "m"]


def test_names_need_no_quoting_in_paths_and_partition_keys():
    assert not any(character in NAME_PATTERN.replace("^", "").replace("$", "") for character in ",|/ :")


@pytest.mark.parametrize(
    ("larger", "smaller"),
    [
        ("sampling: {enable_thinking: true}", "sampling: {enable_thinking: false}"),
        ("sampling: {temperature: 0.6}", "system_prompt: detailed thinking off"),
        ("system_prompt: detailed thinking on", "system_prompt: detailed thinking off"),
        ("aliases: [slow, both], sampling: {top_p: 1}", "aliases: [fast, both]"),
    ],
)
def test_one_model_may_play_both_roles_in_two_ways(tmp_path, larger, smaller):
    family = load(tmp_path, two_ways(f"label: with, {larger}", f"label: without, {smaller}")).families["gpt3"]
    assert (family.is_one_model, family.is_labelled) == (True, True)
    assert (family.larger.shown_as, family.smaller.shown_as) == ("with", "without")
    assert family.larger.request_identity != family.smaller.request_identity


def test_two_models_may_have_labels_and_need_none(tmp_path):
    text = changed("gpt3-175b,", "gpt3-175b, label: the old one,").replace(
        "gpt3-6b,   ", "gpt3-6b, label: the new one, "
    )
    assert [load(tmp_path, text).families["gpt3"].model_of(role).shown_as for role in ("larger", "smaller")] == [
        "the old one",
        "the new one",
    ]
    plain = load(tmp_path, SMALLEST).families["gpt3"]
    assert (plain.is_labelled, plain.is_one_model, plain.larger.shown_as) == (False, False, "gpt3-175b")


def test_a_label_is_no_part_of_what_is_asked_and_a_system_prompt_is():
    plain = Model(model="m", provider="openai")
    assert plain.request_identity == {"model": "m", "provider": "openai", "aliases": [], "sampling": {}}
    assert Model(model="m", provider="openai", label="l").request_identity == plain.request_identity
    assert Model(model="m", provider="openai", system_prompt="s").request_identity == plain.request_identity | {
        "system_prompt": "s"
    }


def test_members_of_a_panel_have_different_names():
    def member(model, label=None):
        return Model(model=model, provider="openai", label=label)

    assert judge_names([]) == ()
    assert judge_names([member("b"), member("a")]) == ("b", "a")
    assert judge_names([member("a"), member("a"), member("a", "c")]) == ("a (1)", "a (2)", "c")
    # A name that already looks numbered keeps its own, and the others go round it.
    assert judge_names([member("a"), member("a (1)"), member("a")]) == ("a (2)", "a (1)", "a (3)")


def test_one_model_with_imported_traces_needs_only_labels_to_be_told_apart(tmp_path):
    path = tmp_path / "gsm8k.yaml"
    path.write_text(two_ways("label: a", "label: b"), encoding="utf-8")
    family = load_study(path).families["gpt3"]
    assert (family.larger.shown_as, family.smaller.shown_as) == ("a", "b")
