"""Coverage of confidence intervals on simulated studies, compared with evalconfidence, errorbars and evalstats.

Run it as `python bench/interval_coverage.py [--studies 4000]`; the other tools come with the extra `bench`. Two parts,
each over studies with newly drawn questions:

1. The difference of two accuracies, n questions with T trials each: coverage of the population difference by the 95 %
   interval, and its mean width. The other tools get the input that their documentation requires: evalconfidence single
   scores, errorbars means of questions, evalstats an array of model, question and run.
2. The mean gap of selected questions (observed gap of at least .6): coverage, by the ordinary paired interval of those
   questions, of the gap that fresh trials would show, and the error of the estimate that corrects for selection.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np
import numpy.typing as npt
import polars as pl

from advcluster_dagster.science.question_set.paired_accuracies import weighted_mean
from advcluster_dagster.science.question_set.question_statistics import GapRule, question_statistics

Rates = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]
Interval = tuple[float, float]
#: Maximum number of studies for evalstats, which resamples 10,000 times per call.
EVALSTATS_STUDIES = 500
COVERED, WIDTH = (0.93, 0.97), 1.02


def correlated(rng: np.random.Generator, n: int) -> Rates:
    """Pass rates with a difficulty per question common to both models, on the log-odds scale."""
    difficulty = rng.normal(0, 1.5, n)
    return _odds(difficulty + 1.0 + rng.normal(0, 0.5, n)), _odds(difficulty + rng.normal(0, 0.5, n))


def mixed(rng: np.random.Generator, n: int) -> Rates:
    """A third easy for both, a third hard for both, a third where the larger model is better."""
    kind = rng.integers(0, 3, n)
    larger = np.select([kind == 0, kind == 1], [0.95, 0.1], rng.beta(6, 2, n))
    smaller = np.select([kind == 0, kind == 1], [0.9, 0.05], rng.beta(2, 4, n))
    return larger, smaller


def sparse(rng: np.random.Generator, n: int) -> Rates:
    """Nearly all correct for both, a few questions where the smaller model fails: reported, without a target."""
    return np.full(n, 0.99), np.where(rng.random(n) < 0.06, 0.1, 0.98)


def _odds(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return 1 / (1 + np.exp(-values))


@dataclass(frozen=True)
class Trials:
    """0/1 scores of both models, each of shape (questions, trials)."""

    larger: npt.NDArray[np.int64]
    smaller: npt.NDArray[np.int64]

    @property
    def differences(self) -> npt.NDArray[np.float64]:
        """Difference of the pass rates per question."""
        return self.larger.mean(axis=1) - self.smaller.mean(axis=1)


def draw(rng: np.random.Generator, rates: Rates, n_trials: int) -> Trials:
    larger, smaller = (rng.binomial(1, rate[:, None], (len(rate), n_trials)) for rate in rates)
    return Trials(larger, smaller)


def ours(trials: Trials) -> Interval:
    n = len(trials.differences)
    mean = weighted_mean(trials.differences, np.full(n, 1 / n), np.zeros(n, dtype=np.int64), np.arange(n), 0.95)
    return (mean.mean, mean.mean) if mean.low is None or mean.high is None else (mean.low, mean.high)


def evalconfidence(trials: Trials) -> Interval:
    from evalconfidence import ItemResult, compare

    results = [
        [
            ItemResult(item_id=str(question), score=float(score), model_id=role, epoch=trial)
            for question, row in enumerate(scores)
            for trial, score in enumerate(row)
        ]
        for role, scores in (("larger", trials.larger), ("smaller", trials.smaller))
    ]
    low, high = compare(*results).ci_diff
    return float(low), float(high)


def errorbars(trials: Trials) -> Interval:
    from errorbars.compare import paired_compare

    comparison = paired_compare(trials.larger.mean(axis=1), trials.smaller.mean(axis=1))
    return comparison.ci_low, comparison.ci_high


def evalstats(trials: Trials) -> Interval:
    from evalstats import pairwise_differences

    scores = np.stack([trials.larger, trials.smaller]).astype(float)
    if scores.shape[2] < 3:  # fewer than three runs are not resampled: their means are compared
        scores = scores.mean(axis=2)
    comparison = pairwise_differences(scores, 0, 1, rng=np.random.default_rng(0))
    return float(comparison.ci_low), float(comparison.ci_high)


TOOLS: tuple[Callable[[Trials], Interval], ...] = (ours, evalconfidence, errorbars, evalstats)


def compare_differences(n_studies: int) -> None:
    print("\nDifference of accuracies: share of studies whose 95 % interval covers the truth, and mean width")
    print(f"{'questions':<12}{'n':>4}{'T':>4}" + "".join(f"{tool.__name__:>18}" for tool in TOOLS))
    covers: dict[str, list[float]] = {tool.__name__: [] for tool in TOOLS}
    widths: dict[str, list[float]] = {tool.__name__: [] for tool in TOOLS}
    for kind in (correlated, mixed, sparse):
        larger, smaller = kind(np.random.default_rng(1), 2_000_000)
        truth = float((larger - smaller).mean())
        for n, n_trials in ((20, 2), (20, 10), (60, 2), (60, 10)):
            cells = []
            for tool in TOOLS:
                rng = np.random.default_rng(n * 100 + n_trials)
                n_asked = min(n_studies, EVALSTATS_STUDIES) if tool is evalstats else n_studies
                ends = np.array([tool(draw(rng, kind(rng, n), n_trials)) for _ in range(n_asked)])
                covered, width = ((ends[:, 0] <= truth) & (truth <= ends[:, 1])).mean(), np.diff(ends).mean()
                cells.append(f"{covered:>10.3f} {width:>7.4f}")
                if kind is not sparse:
                    covers[tool.__name__].append(float(covered))
                    widths[tool.__name__].append(float(width))
            print(f"{kind.__name__:<12}{n:>4}{n_trials:>4}" + "".join(cells), flush=True)
    report_differences(covers, widths)


def report_differences(covers: dict[str, list[float]], widths: dict[str, list[float]]) -> None:
    low, high = min(covers["ours"]), max(covers["ours"])
    is_met = COVERED[0] <= low and high <= COVERED[1]
    print(
        f"ours covers {low:.3f} to {high:.3f} where data are not sparse; target {COVERED[0]} to {COVERED[1]}: {is_met}"
    )
    valid = [name for name in covers if name != "ours" and min(covers[name]) >= COVERED[0]]
    if valid:
        ratio = max(width / min(widths[name][cell] for name in valid) for cell, width in enumerate(widths["ours"]))
        print(
            f"width against the narrowest of {', '.join(valid)}: at most {ratio:.3f}; target {WIDTH}: {ratio <= WIDTH}"
        )


def compare_kept_gaps(n_studies: int) -> None:
    print(
        "\nMean gap of kept questions (observed gap >= .6, T = 10): what fresh trials of the same questions would show"
    )
    print(f"{'questions':<12}{'n':>5}{'kept':>6}{'true':>7}{'observed':>10}{'estimated':>11}{'mean error':>12}", end="")
    print(f"{'ordinary covers':>17}{'posterior covers':>18}")
    for kind in (correlated, mixed):
        for n in (300, 1000):
            rng = np.random.default_rng(n)
            rows = np.array([kept_gap(rng, kind(rng, n)) for _ in range(n_studies)])
            n_kept, truth, observed, estimated, is_covered, share = np.nanmean(rows, axis=0)
            error = np.nanmean(np.abs(rows[:, 3] - rows[:, 1]))
            print(f"{kind.__name__:<12}{n:>5}{n_kept:>6.0f}{truth:>7.3f}{observed:>10.3f}{estimated:>11.3f}", end="")
            print(f"{error:>12.3f}{100 * is_covered:>15.1f} %{100 * share:>16.1f} %", flush=True)
    print("target: the ordinary interval covers in under 10 % of studies; posterior intervals cover 90 % of questions")


def kept_gap(rng: np.random.Generator, rates: Rates) -> tuple[float, ...]:
    """Kept questions, their true, observed and estimated gap, whether the ordinary interval covers the true one, and
    the share of all questions whose posterior interval covers their own gap.
    """
    trials, true = draw(rng, rates, 10), rates[0] - rates[1]
    counts = {f"{role}_n_correct": getattr(trials, role).sum(axis=1) for role in ("larger", "smaller")}
    names = [f"q{number}" for number in range(len(true))]
    frame = pl.DataFrame(
        {
            "question_id": names,
            "benchmark": "b",
            "pass_rate_gap": trials.differences,
            **counts,
            **{f"{role}_n_{what}": 10 for role in ("larger", "smaller") for what in ("scored", "trials")},
        }
    ).with_columns(pl.lit(True).alias("is_complete"))
    keys = pl.DataFrame({"question_id": names, "source_key": names})
    statistics = question_statistics(frame, keys, GapRule(0.6, 10))
    is_kept = statistics["is_selected"].to_numpy()
    low, high = statistics["gap_low"].to_numpy(), statistics["gap_high"].to_numpy()
    share = float(((low <= true) & (true <= high)).mean())
    if is_kept.sum() < 2:
        return (float(is_kept.sum()), *[float("nan")] * 4, share)
    ends = ours(Trials(trials.larger[is_kept], trials.smaller[is_kept]))
    truth = float(true[is_kept].mean())
    estimated = float(statistics["gap_mean"].to_numpy()[is_kept].mean())
    observed = float(trials.differences[is_kept].mean())
    return float(is_kept.sum()), truth, observed, estimated, float(ends[0] <= truth <= ends[1]), share


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=4000, help="simulated studies a cell")
    chosen = parser.parse_args()
    names = ("evalconfidence", "errorbars", "evalstats")
    print(", ".join(f"{name} {version(name)}" for name in names), f"; {chosen.studies} studies a cell", end="")
    print(f" ({min(chosen.studies, EVALSTATS_STUDIES)} for evalstats)")
    began = time.perf_counter()
    compare_differences(chosen.studies)
    compare_kept_gaps(max(chosen.studies // 20, 50))
    print(f"took {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
