"""Recovery of planted errors by the embedded analyst, on pairs of a right and a wrong trial."""

import pytest

from advcluster_dagster.demo.analyst.divergence import find_divergence
from advcluster_dagster.demo.analyst.findings import Finding
from advcluster_dagster.demo.simulation.profiles import TrialPlan, plan_trial
from advcluster_dagster.demo.simulation.questions import BUILT_IN_BENCHMARKS, problem_bank
from advcluster_dagster.demo.simulation.trials import respond


@pytest.mark.parametrize("domain", list(BUILT_IN_BENCHMARKS))
def test_nine_of_ten_first_error_stages_are_recovered(domain: str) -> None:
    outcomes = []
    for problem in problem_bank(BUILT_IN_BENCHMARKS[domain][0], domain, 11):
        right = [t for t in range(5) if plan_trial("lyra-large", problem, 11, t) == TrialPlan(None, "complete")]
        for trial in range(5):
            slip = plan_trial("lyra-small", problem, 11, trial).slip
            if slip and right:
                texts = [
                    respond("lyra-large", problem, 11, right[0]).text,
                    respond("lyra-small", problem, 11, trial).text,
                ]
                finding = find_divergence(problem.question, *texts)
                outcomes.append(finding.stage == slip.stage if isinstance(finding, Finding) else None)
    assert len(outcomes) > 20
    # Measured: 95 to 99 % right, where pairs without a finding (at most 5 %) count as not right.
    assert outcomes.count(True) / len(outcomes) >= 0.9
    assert outcomes.count(None) / len(outcomes) <= 0.1
