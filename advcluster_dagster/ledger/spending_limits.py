"""Spending limits of a study and of a run, applied to the calls of one model."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from advcluster_dagster.ledger.budget import Budget, Cap
from advcluster_dagster.ledger.ledger import Ledger
from advcluster_dagster.ledger.prices import PriceTable
from advcluster_dagster.models.protocol import FatalModelError
from advcluster_dagster.storage.files import file_lock
from advcluster_dagster.study.models import Model
from advcluster_dagster.study.study import Study


def run_cap(limit: float) -> Cap:
    """The cap of a new run."""
    return Cap("--max-cost", limit, "raise it, or run again: each run has its own limit")


def spent_by_study(ledger: Ledger, study: Study, prices: PriceTable) -> float:
    """Cost of the calls a study uses, dollars, over all runs, whichever study sent them first.

    Replies without a recorded cost count at current prices; failed calls and models without a price count 0.
    """
    total = 0.0
    for part in ledger.spending(study.study):
        model = Model(model=part.model, provider=part.provider)
        price = prices.price_of(model, study, part.kind == "embedding")
        total += part.known + ((price and price.cost(part.prompt_tokens, part.completion_tokens)) or 0.0)
    return total


def refuse_unpriced(study: Study, prices: PriceTable) -> None:
    """Refuse a cost cap if the price of a model is unknown.

    Raises:
        FatalModelError: a price is unknown; the message names the models and the price file.
    """
    if names := prices.unpriced(study):
        raise FatalModelError(
            f"study {study.study}: a cost cap requires the price of every model; unknown for {', '.join(names)};"
            f" add it to {prices.own_file} (0 for your own server) or remove the cap"
        )


def open_budget(
    model: Model,
    is_embedder: bool,
    study: Study,
    asset: str,
    ledger: Ledger,
    prices: PriceTable,
    caps: Sequence[Cap],
    lock: Path,
) -> Budget | None:
    """Open the budget of one model's calls; None if no cap applies or the model is free.

    A study's cap is held under a lock, which serialises steps of several processes so that they do not spend the same
    dollar twice. With a SQLite ledger it is a file lock, effective on one machine.

    Args:
        model: the model to call.
        is_embedder: whether it is called for embeddings.
        study: with the provider modes of this run.
        asset: on whose behalf, for the expected length of replies.
        ledger: for spending so far.
        prices: of all models.
        caps: of the run.
        lock: path of the study's lock file, for a SQLite ledger.

    Raises:
        FatalModelError: a model of the study has no known price.
    """
    price, max_cost = prices.price_of(model, study, is_embedder), study.spending.max_cost
    if (not caps and max_cost is None) or (price is not None and price.is_free):
        return None
    refuse_unpriced(study, prices)
    assert price is not None
    locks = ExitStack()
    if max_cost is not None:
        locks.enter_context(ledger.session_lock(f"spending of {study.study}") if ledger.is_shared else file_lock(lock))
        name, advice = f"spending.max_cost of study {study.study}", "raise it in the study file to continue"
        caps = [*caps, Cap(name, max_cost, advice, spent_by_study(ledger, study, prices))]
    mean_completion = ledger.mean_usage(model.model, asset).completion_tokens
    return Budget(model.model, price, caps, mean_completion, locks.close)
