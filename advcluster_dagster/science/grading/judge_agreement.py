"""Agreement among the members of a judge panel: kappas, and differences of the accuracies each would yield."""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt
import polars as pl

from advcluster_dagster.contracts.grading import PANEL_AGREEMENTS, PANEL_VOTES

#: `judge_a` and `judge_b` of the row over all judges.
ALL_JUDGES = "all"
_KEY = ("question_id", "prediction")


def panel_votes(pairs: pl.DataFrame, votes: Mapping[str, Sequence[bool | None]]) -> pl.DataFrame:
    """Build the rows of ``panel_votes``, sorted by question, prediction and judge.

    Args:
        pairs: Columns question_id and prediction, one row per answer.
        votes: For each judge one vote per row of ``pairs``; None without a usable reply.
    """
    frames = [
        pairs.select(_KEY).with_columns(judge=pl.lit(judge), is_same=pl.Series(list(judge_votes), dtype=pl.Boolean))
        for judge, judge_votes in votes.items()
    ]
    empty = pl.DataFrame(schema=PANEL_VOTES.own_schema)
    return pl.concat([empty, *frames]).sort(*_KEY, "judge")


def panel_agreements(votes: pl.DataFrame, judges: Sequence[str], graded: pl.DataFrame) -> pl.DataFrame:
    """Measure the agreement of every pair of judges and of all judges.

    For judges i and j, benchmark b and model m, acc_i(b, m) is the share of m's trials on b whose answer i counts as
    the gold one, over the trials whose answer both voted on. The error of the pair is |acc_i(b, m) - acc_j(b, m)| in
    points, its mean over the models, and the median of that over the benchmarks. Over all judges it is the median over
    the benchmarks of the mean over the pairs. The panel votes only on undecided answers and a sample of decided ones,
    so these accuracies are not those of the model.

    Args:
        votes: Rows of ``panel_votes``.
        judges: Names of the members, two or more; empty without a panel.
        graded: Columns question_id, benchmark, role, prediction, one row per trial; others are ignored.

    Returns:
        Rows of ``panel_agreements``: pairs sorted by name, then the row over all judges; empty without judges. Shares,
        kappas and errors are null if no answer has votes of both (or all) judges. A kappa is null if all its votes
        are equal, since expected agreement by chance is then 1.

    References:
        Cohen (1960), A coefficient of agreement for nominal scales. Fleiss (1971), Measuring nominal scale agreement
        among many raters. The pairwise error is that of "When does reasoning matter", appendix D.3.
    """
    names = sorted(judges)
    if not names:
        return pl.DataFrame(schema=PANEL_AGREEMENTS.own_schema)
    wide = _wide(votes, names)
    trials = graded.group_by(*_KEY, "benchmark", "role").agg(n=pl.len()).join(wide, on=_KEY)
    errors: list[dict[str, float]] = []
    rows = []
    for first, second in combinations(range(len(names)), 2):
        errors.append(_errors(trials, _column(first), _column(second)))
        shared = _complete(wide, [first, second])
        counts = (len(shared), agreeing_share(shared), cohen_kappa(shared), _median(list(errors[-1].values())))
        rows.append((names[first], names[second], *counts))
    complete = _complete(wide, range(len(names)))
    benchmarks = sorted({name for by_benchmark in errors for name in by_benchmark})
    means = [float(np.mean([by[name] for by in errors if name in by])) for name in benchmarks]
    counts = (len(complete), agreeing_share(complete), fleiss_kappa(complete), _median(means))
    rows.append((ALL_JUDGES, ALL_JUDGES, *counts))
    return pl.DataFrame(rows, schema=PANEL_AGREEMENTS.own_schema, orient="row")


def agreeing_share(votes: npt.NDArray[np.bool_]) -> float | None:
    """Share of agreeing pairs of judges, averaged over the answers; for two judges, the share of equal votes.

    Args:
        votes: Shape (n answers, m judges), m of two or more.

    Returns:
        In [0, 1]; None without answers.

    >>> agreeing_share(np.array([[1, 1], [0, 0], [1, 0], [0, 0]], dtype=bool))
    0.75
    """
    n, m = votes.shape
    return _n_agreeing(votes) / (n * m * (m - 1)) if n else None


def cohen_kappa(votes: npt.NDArray[np.bool_]) -> float | None:
    """Cohen's kappa of two judges, in [-1, 1]: 1 is full agreement, 0 agreement at chance level.

    Args:
        votes: shape (n answers, 2).

    Returns:
        None without answers, or if all votes of both judges are equal.

    >>> cohen_kappa(np.array([[1, 1], [0, 0], [1, 0], [0, 0]], dtype=bool))
    0.5
    """
    n = len(votes)
    n_first, n_second = (int(column.sum()) for column in votes.T)
    agreeing = n * int((votes[:, 0] == votes[:, 1]).sum())
    chance = n_first * n_second + (n - n_first) * (n - n_second)
    return None if chance == n * n else (agreeing - chance) / (n * n - chance)


def fleiss_kappa(votes: npt.NDArray[np.bool_]) -> float | None:
    """Fleiss' kappa of m judges who voted on the same answers, in [-1 / (m - 1), 1]: 1 full agreement, 0 chance level.

    Args:
        votes: shape (n answers, m judges), m of two or more.

    Returns:
        None without answers, or if all votes are equal.

    >>> fleiss_kappa(np.array([[1, 1, 1], [0, 0, 0]], dtype=bool))
    1.0
    """
    n, m = votes.shape
    total, n_yes = n * m, int(votes.sum())
    chance = n_yes**2 + (total - n_yes) ** 2
    if chance == total**2:
        return None
    agreeing = _n_agreeing(votes)
    # (P - Pe) / (1 - Pe) with P = agreeing / (total (m - 1)) and Pe = chance / total², in integer arithmetic.
    return float((agreeing * total - chance * (m - 1)) / ((total**2 - chance) * (m - 1)))


def _n_agreeing(votes: npt.NDArray[np.bool_]) -> int:
    """Number of ordered pairs of different judges with equal votes, summed over the answers."""
    n_yes = votes.sum(axis=1, dtype=np.int64)
    n_no = votes.shape[1] - n_yes
    return int((n_yes * (n_yes - 1) + n_no * (n_no - 1)).sum())


def _column(place: int) -> str:
    """Column name of a judge, by index, since judge names are arbitrary."""
    return f"judge_{place}"


def _wide(votes: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """Pivot votes to one row per answer and one column per judge; missing votes are null."""
    columns = [
        pl.col("is_same").filter(pl.col("judge") == name).first().alias(_column(place))
        for place, name in enumerate(names)
    ]
    return votes.group_by(_KEY).agg(columns)


def _complete(wide: pl.DataFrame, places: Sequence[int]) -> npt.NDArray[np.bool_]:
    """Votes of the given judges on answers that all of them voted on, shape (n answers, n judges)."""
    chosen = wide.select(_column(place) for place in places).drop_nulls()
    return np.column_stack([column.to_numpy() for column in chosen.iter_columns()]).astype(np.bool_)


def _errors(trials: pl.DataFrame, first: str, second: str) -> dict[str, float]:
    """Accuracy difference of two judges per benchmark in points, averaged over the models with a trial there."""
    share = ((pl.col(first).cast(pl.Int64) - pl.col(second).cast(pl.Int64)) * pl.col("n")).sum() / pl.col("n").sum()
    by_model = trials.drop_nulls([first, second]).group_by("benchmark", "role").agg(error=100 * share.abs())
    by_benchmark = by_model.sort("role").group_by("benchmark").agg(pl.col("error").mean())
    return dict(by_benchmark.sort("benchmark").iter_rows())


def _median(values: Sequence[float]) -> float | None:
    return float(np.median(values)) if values else None
