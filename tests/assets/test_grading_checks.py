"""Answers that are found nowhere, and verdicts against those that came with the traces: what is blocked."""

import dagster as dg
import pytest
from rich.console import Console

from advcluster_dagster.cli.study_template import write_study_template
from advcluster_dagster.cli.tables import status_table
from advcluster_dagster.orchestration.run_study import run_study
from advcluster_dagster.planning.failed_checks import failed_warnings
from advcluster_dagster.planning.partition_state import asset_key
from advcluster_dagster.planning.selection import Selection
from advcluster_dagster.sources.imports.questions import import_questions
from advcluster_dagster.sources.imports.traces import import_traces
from advcluster_dagster.storage.home import Home
from advcluster_dagster.study.partition import Partition
from tests.studies import SmallHome, write_lines

ONE = Partition("my-family", "math")
GRADED = ("benchmark_questions", "larger_traces", "smaller_traces", "graded_trials", "grading_disagreements")
N_QUESTIONS, TRIALS = 4, 10


def from_template(root, response, recorded=lambda role, number, trial: None, n_questions=N_QUESTIONS, **settings):
    """The study that `advcluster init` writes with imports: gold answers 100, 101, ..., ``response`` of each trial."""
    home = Home(root)
    write_study_template(home, "mine")
    small = SmallHome(home, "mine")
    if settings:
        small.change(**settings)
    questions = [
        {"question_id": f"q{n}", "question": f"What is 100 + {n}?", "answer": f"{100 + n}", "answer_type": "numeric"}
        for n in range(n_questions)
    ]
    write_lines(root / "questions.jsonl", questions)
    import_questions(root / "questions.jsonl", small.study, "math", "my-benchmark", home.imports)
    rows = [
        {
            "question_id": f"q{n}",
            "model": f"my-model-{size}",
            "trial": trial,
            "response": response(role, n, trial),
            "recorded_correct": recorded(role, n, trial),
        }
        for role, size in (("larger", "large"), ("smaller", "small"))
        for n in range(n_questions)
        for trial in range(small.study.trials)
    ]
    write_lines(root / "traces.jsonl", rows)
    import_traces(root / "traces.jsonl", small.study, "my-family", "math", "my-benchmark", home.imports)
    return small


def marked(role, number, trial):
    """The right answer, where no rule looks for it."""
    return f"Adding up.\nA: {100 + number}"


def boxed(n_correct):
    """Boxed answers, right on the first questions only."""
    return lambda role, number, trial: f"So \\boxed{{{100 + number if number < n_correct else 7}}}"


def facts_of(small, check):
    """Whether a check of graded trials passed, and its facts."""
    with small.instance() as instance:
        key = dg.AssetCheckKey(asset_key(small.name, "graded_trials"), check)
        [record] = instance.event_log_storage.get_asset_check_execution_history(key, limit=1)
        found = record.event.dagster_event.asset_check_evaluation_data
    return found.passed, {name: value.value for name, value in found.metadata.items()}


def test_an_untouched_template_over_marked_answers_ends_with_what_to_do(tmp_path, capsys):
    # 16 questions x 10 trials x 2 models: 320 responses, none of them with a box.
    small = from_template(tmp_path, marked, n_questions=16)
    outcome = small.run()
    facts = (
        "measured 160 of 160 responses of my-model-large on my-benchmark have no answer; 160 of 160 responses of"
        " my-model-small on my-benchmark have no answer, a_response_ends_in Adding up. A: 100, bound 0.95, look_at"
        r" benchmarks.my-benchmark.answer_marker, answer_field or whole_response (now \boxed{} or [ANSWER])"
    )
    name = "no_answer_share_by_benchmark"
    assert outcome.failures == {ONE: f"graded_trials: blocking check {name} failed ({facts})"}
    assert small.table("graded_trials")["verdict"].to_list() == ["no_answer"] * 320
    assert small.table("analysis_question_set").is_empty()
    status = small.status()["graded_trials", "my-family/math"]
    assert (status.state, status.texts) == ("blocked", (f"blocking check {name} of graded_trials failed ({facts})",))
    Console(width=1000).print(status_table(small.study, [status]))
    assert "look_at benchmarks.my-benchmark.answer_marker, answer_field or whole_response" in capsys.readouterr().out
    # The setting that it names mends it.
    small.change(benchmarks={"my-benchmark": {"answer_marker": "A:"}})
    assert small.run(GRADED).failures == {}
    assert small.table("graded_trials")["is_correct"].all()


@pytest.mark.parametrize(
    ("n_found", "bound", "is_passed"),
    [
        (0, 0.95, False),
        (2, 0.95, False),  # 38 of 40: 0.95, which is not below the bound
        (3, 0.95, True),  # 37 of 40: 0.925
        (0, 1.0, True),  # at 1 nothing is blocked
        (20, 0.5, False),
        (21, 0.5, True),
    ],
)
def test_from_the_bound_on_a_benchmark_without_answers_is_blocked(tmp_path, n_found, bound, is_passed):
    def response(role, number, trial):
        is_found = role == "larger" or number * TRIALS + trial < n_found
        return boxed(4)(role, number, trial) if is_found else marked(role, number, trial)

    small = from_template(tmp_path, response, checks={"max_no_answer_share_by_benchmark": bound})
    outcome = small.run(GRADED)
    passed, facts = facts_of(small, "no_answer_share_by_benchmark")
    assert passed == is_passed == (outcome.failures == {})
    share = (40 - n_found) / 40
    if is_passed:
        assert facts["largest_share"] == pytest.approx(share if bound < 1 or n_found == 0 else 1.0)
    else:
        assert facts["measured"] == f"{40 - n_found} of 40 responses of my-model-small on my-benchmark have no answer"
    assert facts.get("default_bound") == (None if bound == 0.95 else 0.95)


def test_a_marker_that_is_not_there_is_named_as_it_is_now(tmp_path):
    small = from_template(tmp_path, marked, benchmarks={"my-benchmark": {"answer_marker": "Answer ="}})
    (line,) = small.run(GRADED).failures.values()
    assert "answer_field or whole_response (now answer_marker 'Answer =')" in line


def test_few_contradictions_pass_and_more_are_a_warning(tmp_path):
    # The larger model's recorded verdicts are ours; the smaller one's differ in 3 of 40 trials: 0.075 > 0.05.
    def recorded(role, number, trial):
        return not (role == "smaller" and number == 0 and trial < 3)

    small = from_template(tmp_path, boxed(4), recorded)
    assert small.run(GRADED).failures == {}
    passed, facts = facts_of(small, "contradiction_share")
    assert not passed
    assert (facts["larger"], facts["smaller"], facts["bound"]) == (0.0, pytest.approx(0.075), 0.05)
    assert (facts["n_compared"], facts["n_contradicted"]) == (80, 3)
    said = "gold '100', predicted '100', recorded as wrong"
    assert facts["examples"] == "; ".join(f"q0 trial {trial} of the smaller model: {said}" for trial in range(3))
    with small.instance() as instance:
        (warning,) = [w for w in failed_warnings(instance, small.study) if w.check == "contradiction_share"]
    assert "smaller 0.075" in warning.text
    rows = small.table("grading_disagreements").select("question_id", "role", "trial", "answer", "prediction")
    assert rows.rows() == [("q0", "smaller", trial, "100", "100") for trial in range(3)]
    small.change(checks={"max_contradiction_share": 0.075})
    small.run(GRADED)
    passed, facts = facts_of(small, "contradiction_share")
    assert passed
    assert facts["default_bound"] == 0.05


def test_verdicts_that_came_with_no_trace_contradict_nothing(tmp_path):
    small = from_template(tmp_path, boxed(0))
    assert small.run(GRADED).failures == {}
    assert facts_of(small, "contradiction_share") == (True, {"n_compared": 0, "n_contradicted": 0, "bound": 0.05})
    assert facts_of(small, "contradiction_share_by_benchmark") == (True, {"n_compared": 0, "bound": 0.5})


@pytest.mark.parametrize(
    ("n_correct", "n_recorded", "bound", "is_passed"),
    [
        (0, 4, 0.5, False),  # accuracy 0, all of the recorded verdicts contradicted
        (0, 2, 0.5, False),  # half of them
        (0, 1, 0.5, True),  # a quarter
        (1, 4, 0.5, True),  # accuracy 25 %, though 30 of 40 verdicts are contradicted
        (0, 4, 1.0, True),  # at 1 nothing is blocked
        (0, 1, 0.25, False),
    ],
)
def test_hardly_any_correct_answer_against_the_recorded_verdicts_is_blocked(
    tmp_path, n_correct, n_recorded, bound, is_passed
):
    small = from_template(
        tmp_path,
        boxed(n_correct),
        lambda role, number, trial: number < n_recorded,
        checks={"max_contradiction_share_by_benchmark": bound},
    )
    outcome = small.run(GRADED)
    assert facts_of(small, "contradiction_share_by_benchmark")[0] == is_passed
    if is_passed:
        assert outcome.failures == {}
        return
    (line,) = outcome.failures.values()
    measured = f"accuracy of 0.0 % on my-benchmark, {10 * n_recorded} of 40 recorded verdicts say otherwise"
    assert line.startswith(
        "graded_trials: blocking check contradiction_share_by_benchmark failed (measured my-model-large has an"
    )
    assert measured in line
    assert "gold '100', predicted '7', recorded as correct" in line
    assert "look_at answer and answer_type of the questions, benchmarks.my-benchmark.answer_marker" in line


def test_an_accuracy_above_one_in_twenty_is_not_blocked(tmp_path):
    # 1 of 20 questions right: 5 %, blocked; 2 of 20: 10 %, not.
    for n_correct, n_failures in ((1, 1), (2, 0)):
        root = tmp_path / str(n_correct)
        root.mkdir()
        small = from_template(root, boxed(n_correct), lambda *_: True, n_questions=20, trials=1)
        assert len(small.run(GRADED).failures) == n_failures


def test_examples_of_untrusted_text_stay_on_one_line(tmp_path):
    small = from_template(tmp_path, lambda *_: "\\boxed{\x1b[31m12\n" + "9" * 200 + "}", lambda *_: True)
    (line,) = small.run(GRADED).failures.values()
    assert line.isprintable()
    assert len(line) < 1200


def test_a_study_with_one_trial_says_so(tmp_path):
    small = from_template(tmp_path, boxed(4), trials=1)
    with small.instance() as instance:
        run_study(
            small.platform,
            small.study,
            instance,
            Selection(assets=(*GRADED, "pass_rate_table", "analysis_question_set")),
        )
        (warning,) = [w for w in failed_warnings(instance, small.study) if w.check == "several_trials"]
    assert warning.text == (
        "analysis_question_set of my-family/math: several_trials (measured one trial per question: pass rates are 0 or"
        " 1, and a gap cannot be told from chance, trials 1). Expected: Each model answers each question in several"
        " trials."
    )
