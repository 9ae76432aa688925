"""A family of two equally good models: questions are kept by chance, and no claims are made about them.

Both models fail every question in half of their trials. The rule of the first study keeps few questions; that of the
second keeps so many that their advantages form clusters that resampling reproduces.
"""

import re
from collections.abc import Iterator

import pytest

from advcluster_dagster.demo.simulation import profiles
from tests.studies import ALL_TABLES, SIMULATED, SmallHome, write_study

pytestmark = pytest.mark.integration  # slow: 480 questions

#: Benchmarks of 24 questions.
N_BENCHMARKS = {"default rule": 5, "few trials, low bound": 2}
RULES = {"default rule": (10, 0.6), "few trials, low bound": (4, 0.5)}
DOMAINS = ("math", "physics", "chemistry", "programming")


@pytest.fixture(scope="module", params=RULES)
def alike(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallHome]:
    trials, min_gap = RULES[request.param]
    domains = {domain: [f"{domain}-{number}" for number in range(N_BENCHMARKS[request.param])] for domain in DOMAINS}
    weakness = profiles._weakness
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(profiles.PROFILES, "orion-large", profiles.PROFILES["orion-small"])
        patch.setattr(
            profiles, "_weakness", lambda _model, problem, seed: (0.5, weakness("orion-small", problem, seed)[1])
        )
        small = write_study(
            tmp_path_factory.mktemp("alike") / "home",
            SIMULATED
            | {
                "trials": trials,
                "question_set": {"min_gap": min_gap},
                "domains": domains,
                "benchmarks": {name: {"source": "simulated"} for names in domains.values() for name in names},
                "clustering": {"n_bootstrap": 20, "n_choices": 2},
            },
        )
        assert small.run((*ALL_TABLES, "study_report")).failures == {}
        yield small


def test_no_question_and_no_difference_is_a_discovery(alike: SmallHome) -> None:
    whole = alike.table("paired_accuracies").filter(level="family", task_format="all").row(0, named=True)
    assert whole["n_questions"] in (4 * 5 * 24, 4 * 2 * 24)
    assert whole["difference_low"] < 0 < whole["difference_high"]
    assert not alike.table("gap_tests")["is_discovery"].any()


def test_the_estimated_gap_of_kept_questions_is_below_the_observed_one(alike: SmallHome) -> None:
    kept = alike.table("selection_reliabilities").filter(domain="all").row(0, named=True)
    assert kept["n_kept"] > 0
    assert kept["observed_gap"] >= alike.study.question_set.min_gap
    # The true gap is 0. Measured: .50 of .70 for two kept questions of 480, since the prior is kept smooth, and .45 of
    # .57 for 34 of 192, where no domain has the 100 questions that a prior takes.
    assert kept["estimated_gap"] < kept["observed_gap"] - 0.1


def test_no_cluster_is_called_stable_or_specialised(alike: SmallHome) -> None:
    assert set(alike.table("final_taxonomy")["kind"]) == {None}
    page = (alike.home.reports / alike.name / "report.html").read_text(encoding="utf-8")
    text = " ".join(re.sub(r"<[^>]+>", " ", page).split())
    assert "No gap between the two models is established, neither over all questions nor on any single one" in text
    assert not re.search(rf"(is|are) specialised:|specialised in ({'|'.join(DOMAINS)})", text)
    has_a_prior = alike.table("pass_rate_table").height >= 400
    assert ("barely corrects" in text) is not has_a_prior
    assert "are stable when questions are resampled" not in text
    assert not re.search(r"\d % (very )?stable\b", text)
    tables = re.findall(r"<table.*?</table>", page, flags=re.DOTALL)
    assert [table for table in tables if re.search(r">\s*(very stable|stable)\s*<", table)] == []
