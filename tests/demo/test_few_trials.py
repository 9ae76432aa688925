"""Studies with one and two trials: undefined values are null and explained, nothing fails."""

import re
from pathlib import Path

import pytest

from tests.studies import ALL_TABLES, SIMULATED, write_study

pytestmark = pytest.mark.integration  # slow: whole studies

WORDS = {
    1: "With a single trial no single question's gap can be significant (the smallest possible p is 0.25)",
    2: "With two trials no single question's gap can be significant (the smallest possible p is 0.0625)",
}


@pytest.mark.parametrize("trials", WORDS)
def test_the_report_says_what_so_few_trials_cannot(tmp_path: Path, trials: int) -> None:
    small = write_study(tmp_path / "home", SIMULATED | {"trials": trials})
    assert small.run((*ALL_TABLES, "study_report")).failures == {}
    page = (small.home.reports / small.name / "report.html").read_text(encoding="utf-8")
    text = " ".join(re.sub(r"<[^>]+>", " ", page).replace("&#39;", "'").split())
    assert WORDS[trials] in text
    assert not small.table("gap_tests")["is_discovery"].any()
    dispersion = small.table("dispersion_tests")
    halves = small.table("split_half_gaps")
    if trials == 1:  # no question has two first errors, and no half to split
        assert set(dispersion["n_questions"]) == {0}
        assert dispersion["mean_edi"].null_count() == dispersion["p_value"].null_count() == dispersion.height > 0
        assert halves["replicated_gap"].null_count() == halves.height
    else:
        assert set(small.table("error_dispersion")["edi"].drop_nulls()) <= {0.0, 1.0}
        assert halves["replicated_gap"].null_count() == 0 < halves.height
    # The paired difference needs questions, not trials.
    whole = small.table("paired_accuracies").filter(level="family", task_format="all").row(0, named=True)
    assert whole["difference_low"] > 0
