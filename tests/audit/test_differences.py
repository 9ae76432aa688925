"""What changed between two materialisations."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from advcluster_dagster.audit.differences import asset_changes, differences
from advcluster_dagster.audit.history import Materialisation, every_materialisation
from advcluster_dagster.audit.records import AuditError
from advcluster_dagster.study.partition import Partition

OLD = Materialisation(
    "trace_pairs",
    Partition("f", "math"),
    "0f" * 16,
    "made__trace_pairs",
    datetime(2026, 1, 2, tzinfo=UTC),
    "aa" * 32,
    3,
    "bb" * 32,
    {"code": "c", "settings": "s", "prompts": "p", "upstream": {"graded_trials@f/math": "11" * 32}},
    {
        "code": {"trace_pairs": "1", "science/pairs": "2"},
        "prompts": {"extraction": "e"},
        "settings": {"trials": 3, "model": {"model": "m", "sampling": {}}, "dims": [4, 2]},
        "sources": [{"sha256": "one"}],
        "bounds": {"max_share": 0.1},
    },
)


def _with(made_from=None, **fingerprint):
    return replace(
        OLD, fingerprint={**OLD.fingerprint, **fingerprint}, made_from={**OLD.made_from, **(made_from or {})}
    )


@pytest.mark.parametrize(
    ("new", "said"),
    [
        (_with({"code": {"trace_pairs": "1", "science/pairs": "3"}}, code="d"), ["code changed: science/pairs"]),
        (_with({"prompts": {"extraction": "f"}}, prompts="q"), ["prompts changed: extraction"]),
        (
            _with({"settings": {**OLD.made_from["settings"], "trials": 4, "seed": 1}}, settings="t"),
            ["settings changed: trials: 3 to 4; seed: none to 1"],
        ),
        (
            _with({"settings": {**OLD.made_from["settings"], "dims": [4, 8]}}, settings="t"),
            ["settings changed: dims[1]: 2 to 8"],
        ),
        (_with({"sources": [{"sha256": "two"}]}, settings="t"), ["settings changed: source[0].sha256: one to two"]),
        (_with({"bounds": {"max_share": 0.2}}, settings="t"), ["settings changed: checks.max_share: 0.1 to 0.2"]),
        (
            _with(upstream={"graded_trials@f/math": "22" * 32}),
            ["graded_trials@f/math changed (111111111111 to 222222222222)"],
        ),
        (_with(upstream={}), ["graded_trials@f/math changed (111111111111 to none)"]),
        (replace(_with(code="d"), made_from={}), ["code changed"]),
        (
            _with({"code": {"assets/pairs": "1"}, "bounds": None}, code="d", settings="t"),
            ["code changed: an earlier version of this program made the older one"],
        ),
        (
            OLD,
            ["no input changed: it was not stale, but was run again"],
        ),
        (
            replace(OLD, fingerprint={}),
            ["inputs unknown: an older version of this program made it and did not record them in the event log"],
        ),
    ],
)
def test_differences_are_named(new, said):
    assert list(differences(OLD, new)) == said


def test_a_changed_setting_is_followed_through_the_history(made):
    made.change(question_set={"min_gap": 0.3})
    made.run(assets=("analysis_question_set", "trace_pairs"))
    with made.instance() as instance:
        changes = asset_changes(instance, made.study, "analysis_question_set@orion/math", 10)
        assert [change.reasons for change in changes] == [("settings changed: min_gap: 0.6 to 0.3",), ()]
        assert changes[0].has_other_rows
        assert changes[1].before is None
        (newest, first) = asset_changes(instance, made.study, "trace_pairs", 10)  # the study has one such partition
        assert newest.reasons[0].startswith("analysis_question_set@orion/math changed (")
        assert len(asset_changes(instance, made.study, "trace_pairs", 1)) == 1
        assert first.as_dict()["before_run_id"] is None
        assert len(list(every_materialisation(instance, "made", "trace_pairs"))) == 2


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("nothing", "--diff nothing: no asset nothing; known: benchmark_questions, "),
        ("trace_pairs@orion", "--diff trace_pairs@orion: allowed: trace_pairs@orion/math"),
        ("study_report", "--diff study_report: study_report of all was never materialised"),
    ],
)
def test_what_cannot_be_compared_is_said(made_intact, given, said):
    with made_intact.instance() as instance, pytest.raises(AuditError) as error:
        asset_changes(instance, made_intact.study, given, 10)
    assert str(error.value).startswith(said)
