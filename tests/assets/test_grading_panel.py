"""A judge panel through the whole graph: what it is asked, what it decides, what makes its decisions stale."""

import json
from collections import Counter

import pytest

from advcluster_dagster.pipeline.platform import Platform
from advcluster_dagster.science.prompting import read_fenced
from advcluster_dagster.sources.imports.questions import import_questions
from advcluster_dagster.sources.imports.traces import import_traces
from advcluster_dagster.study.partition import Partition
from tests.providers.small_provider import Answer, SmallProvider, chat_completion
from tests.studies import GIVEN, ledger_rows, write_lines, write_study

SUMS = Partition("f", "sums")
MEMBERS = ("strict", "stricter", "kind")
GRADED = ("benchmark_questions", "larger_traces", "smaller_traces", "graded_trials")


def _vote(_path, body, _n_before):
    """Two members know what a dozen is; the third is for everything, and has no words for 13."""
    shown = read_fenced(next(m["content"] for m in body["messages"] if "<<<" in m["content"]))
    is_same = shown["given"] == {"a dozen": "12"}.get(shown["reference"], shown["reference"])
    if body["model"] == "kind":
        is_same = True
        if shown["given"] == "13":
            return Answer(chat_completion(body, "who knows?"))
    return Answer(chat_completion(body, json.dumps({"reason": "as seen", "same": is_same})))


@pytest.fixture
def provider(monkeypatch):
    monkeypatch.setenv("SMALL_KEY", "none")
    with SmallProvider(_vote) as opened:
        yield opened


@pytest.fixture
def judged(tmp_path, provider):
    """Two questions; the gold answer of the first is no number, so that no rule decides its four trials."""
    small = write_study(
        tmp_path / "home",
        GIVEN
        | {
            "domains": {"sums": ["additions"]},
            "providers": {"small": {"base_url": provider.url, "api_key_env": "SMALL_KEY", "max_retries": 0}},
            "grading": {"panel": [{"model": name, "provider": "small"} for name in MEMBERS]},
        },
    )
    questions, traces = small.home.root / "questions.jsonl", small.home.root / "traces.jsonl"
    gold = {"q-0": "a dozen", "q-1": "5"}
    write_lines(
        questions,
        [{"question_id": q, "question": "How many?", "answer": a, "answer_type": "numeric"} for q, a in gold.items()],
    )
    said = {("q-0", "f-large"): 12, ("q-0", "f-small"): 13, ("q-1", "f-large"): 5, ("q-1", "f-small"): 6}
    write_lines(
        traces,
        [
            {"question_id": q, "model": model, "trial": trial, "response": _worked(answer)}
            for (q, model), answer in said.items()
            for trial in range(2)
        ],
    )
    import_questions(questions, small.study, "sums", "additions", small.home.imports)
    import_traces(traces, small.study, "f", "sums", "additions", small.home.imports)
    return small


def _worked(answer):
    """What is no answer of this study adds one too many."""
    return f"We add: 2 + 3 = {answer}.\nTwelve are 6 + 6 = {answer}.\n\\boxed{{{answer}}}"


@pytest.mark.integration
def test_the_panel_decides_what_no_rule_does_and_is_held_against_them(judged, provider):
    assert judged.run().failures == {}
    assert judged.table("grading_panel").drop("family", "domain").rows() == [
        ("q-0", "12", "a dozen", "grader_error", 3, 3, True),
        ("q-0", "13", "a dozen", "grader_error", 2, 0, False),
        ("q-1", "5", "5", "correct", 3, 3, True),
        ("q-1", "6", "5", "wrong", 3, 1, False),
    ]
    votes = judged.table("panel_votes").drop("family", "domain").rows()
    assert [vote for vote in votes if vote[2] == "kind"] == [
        ("q-0", "12", "kind", True),
        ("q-0", "13", "kind", None),
        ("q-1", "5", "kind", True),
        ("q-1", "6", "kind", True),
    ]
    # strict and stricter agree on all four, two yes and two no. kind says yes to the three that it has words for, the
    # others to two of them: 2/3, which chance gives too. It holds the wrong 6 for right: 100 points for the smaller, 0
    # for the larger, mean 50. All three voted on three answers: P = (1 + 1 + 1/3) / 3 = 7/9, yes 7/9 of the votes, so
    # Pe = (49 + 4) / 81 and kappa (63 - 53) / (81 - 53). Error over all: (0 + 50 + 50) / 3.
    (*pairs, whole) = judged.table("panel_agreements").drop("family", "domain").rows()
    assert pairs == [
        ("kind", "strict", 3, pytest.approx(2 / 3), 0.0, 50.0),
        ("kind", "stricter", 3, pytest.approx(2 / 3), 0.0, 50.0),
        ("strict", "stricter", 4, 1.0, 1.0, 0.0),
    ]
    assert whole == ("all", "all", 3, pytest.approx(7 / 9), pytest.approx(10 / 28), pytest.approx(100 / 3))
    graded = judged.table("graded_trials").select("question_id", "role", "verdict", "is_correct", "grader").unique()
    assert sorted(graded.rows()) == [
        ("q-0", "larger", "correct", True, "panel"),
        ("q-0", "smaller", "wrong", False, "panel"),
        ("q-1", "larger", "correct", True, "numeric"),
        ("q-1", "smaller", "wrong", False, "numeric"),
    ]
    # 3 members x 4 distinct answers, and 2 repeats of what the kind one could not put into words.
    asked = Counter(body["model"] for body in provider.bodies)
    assert asked == {"strict": 4, "stricter": 4, "kind": 6}
    facts = judged.metadata("graded_trials", SUMS)
    assert facts["panel"] == {
        "n_undecided_by_rules": 2,
        "n_decided_by_panel": 2,
        "agreement_with_rules": {"n_pairs": 2, "share": 1.0, "kappa": 1.0},
    }
    assert facts["n_failures"] == 1
    # What the panel decided counts: question q-0 is kept, and the traces are compared on it.
    assert judged.table("analysis_question_set")["question_id"].to_list() == ["q-0", "q-1"]
    assert judged.run(()).failures == {}
    page = (judged.home.reports / "given" / "report.html").read_text(encoding="utf-8")
    assert "Judge panel of 3 models" in page
    assert "panel 3" in page
    assert "strict and stricter" in page


def test_without_a_panel_the_answers_stay_undecided(judged, provider):
    judged.change(grading={})
    line = "graded_trials: blocking check ungraded_share failed (larger 0.5, smaller 0.5, bound 0.05)"
    assert judged.run(GRADED).failures == {SUMS: line}
    assert all(judged.table(name).is_empty() for name in ("grading_panel", "panel_votes", "panel_agreements"))
    assert judged.table("graded_trials").filter(question_id="q-0")["is_correct"].null_count() == 4
    assert provider.stats.requests == 0


@pytest.mark.integration
def test_what_makes_verdicts_stale(judged):
    panel = judged.study.grading.model_dump(mode="json")
    assert judged.run(GRADED).failures == {}
    for change, is_stale in (
        ({"n_workers": 1}, False),
        ({"math_timeout_s": 2.0}, True),
        ({"program_timeout_s": 2.0}, True),
        ({"n_agreement_pairs": 1}, True),
        ({"panel": panel["panel"][:2]}, True),
        ({"panel": [*panel["panel"][:2], {**panel["panel"][2], "label": "the kind one"}]}, True),
        ({"panel": [*panel["panel"][:2], {**panel["panel"][2], "sampling": {"temperature": 1.0}}]}, True),
        ({"panel": [{**panel["panel"][0], "engine": {"enforce_eager": True}}, *panel["panel"][1:]]}, False),
    ):
        judged.change(grading={**panel, **change})
        status = judged.status()["graded_trials", "f/sums"]
        assert (status.state, status.texts) == (("stale", ("settings changed",)) if is_stale else ("fresh", ()))


def test_a_further_member_is_all_that_is_asked(judged, provider):
    assert judged.run(GRADED).failures == {}
    n_before = provider.stats.completed
    panel = [{"model": name, "provider": "small"} for name in (*MEMBERS, "late")]
    judged.change(grading={"panel": panel})
    assert judged.run(GRADED).failures == {}
    assert provider.stats.completed - n_before == 4
    assert {body["model"] for body in provider.bodies[n_before:]} == {"late"}


def test_offline_the_panel_is_had_from_the_ledger_or_not_at_all(judged, provider):
    offline = Platform(judged.home, offline=True)
    line = judged.run(GRADED, offline).failures[SUMS]
    assert line.startswith("graded_trials: offline: call ")
    assert "of model strict (provider small) and 3 more are not in the ledger" in line
    assert judged.run(GRADED).failures == {}
    rows, hashes = ledger_rows(judged.home), judged.hashes()
    judged.path("graded_trials", SUMS).unlink()
    assert judged.run(GRADED, Platform(judged.home, offline=True)).failures == {}
    assert (ledger_rows(judged.home), judged.hashes()) == (rows, hashes)
