"""Compare two logs written by Inspect itself with one call."""

from pathlib import Path

import pytest

from advcluster_dagster import compare
from tests.studies import _question, _response

pytestmark = pytest.mark.integration
pytest.importorskip("inspect_ai", reason="inspect-ai is not installed (extra inspect)")

from inspect_ai.dataset import Sample  # noqa: E402

from tests.integration.inspect_runs import run, said  # noqa: E402

N, N_WRONG, EPOCHS = 10, 4, 2


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    questions = [_question("sums", number) for number in range(N)]
    samples = [Sample(input=question["question"], target=question["answer"]) for question in questions]
    folders = []
    for model, n_wrong in (("org/large", 0), ("org/small", N_WRONG)):
        replies = {
            question["question"]: [said(_response("sums", number, trial, number < n_wrong)) for trial in range(EPOCHS)]
            for number, question in enumerate(questions)
        }
        folders.append(tmp_path_factory.mktemp("logs") / model.rpartition("/")[2])
        run(folders[-1], model, samples, replies, epochs=EPOCHS)
    return folders[0], folders[1]


def test_two_logs_of_inspect_need_no_other_word(logs: tuple[Path, Path], tmp_path: Path) -> None:
    comparison = compare(*logs, home=tmp_path)
    whole = comparison.differences.filter(level="family", task_format="all").row(0, named=True)
    assert (whole["n_questions"], whole["larger_mean"]) == (N, pytest.approx(1.0))
    assert whole["difference"] == pytest.approx(N_WRONG / N)
    assert comparison.study.settings.trials == EPOCHS
    assert comparison.kept.filter(domain="all")["n_kept"].item() == N_WRONG


def test_a_judge_reads_them_too(logs: tuple[Path, Path], tmp_path: Path) -> None:
    comparison = compare(*logs, home=tmp_path, judge="embedded")
    assert len(list(comparison.study.pairs(comparison.family))) == N_WRONG * EPOCHS
    assert comparison.study.report is not None
    assert comparison.study.explorer is not None
