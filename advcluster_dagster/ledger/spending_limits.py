"""The spending limits of a study and of a run, opened for the calls of one model."""

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
    """The cap of one run, nothing spent yet."""
    return Cap("--max-cost", limit, "raise it or run again to go on: every run has its own")


def spent_by_study(ledger: Ledger, study: Study, prices: PriceTable) -> float:
    """Dollars that the calls a study uses cost, over all runs, whoever asked them first.

    Replies whose cost is not in the ledger count at today's prices, failed calls and models without a price at nothing.
    """
    total = 0.0
    for part in ledger.spending(study.study):
        model = Model(model=part.model, provider=part.provider)
        price = prices.price_of(model, study, part.kind == "embedding")
        total += part.known + ((price and price.cost(part.prompt_tokens, part.completion_tokens)) or 0.0)
    return total


def refuse_unpriced(study: Study, prices: PriceTable) -> None:
    """A cap cannot be held where a model's price is not known.

    Raises:
        FatalModelError: names the models and the file their prices go into.
    """
    if names := prices.unpriced(study):
        raise FatalModelError(
            f"study {study.study}: a cap on costs needs the price of every model, none is known of {', '.join(names)};"
            f" add it to {prices.own_file} (0 for a server of your own) or leave the cap out"
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
    """The budget of one model's calls; None where no cap holds or the model costs nothing.

    A study's own cap is held under a lock, so that steps of several processes do not spend the same dollar: they ask
    one after the other. A ledger in files has the lock in a file, so that it holds on one machine.

    Args:
        model: who is asked.
        is_embedder: whether for vectors.
        study: with the way its providers are asked in this run.
        asset: on whose behalf, for the expected length of replies.
        ledger: what was spent.
        prices: of all models.
        caps: those of the run.
        lock: file of the study's lock, for a ledger in files.

    Raises:
        FatalModelError: a model of the study has no known price.
    """
    price, max_cost = prices.price_of(model, study, is_embedder), study.spending.max_cost
    if (not caps and max_cost is None) or (price is not None and price.is_free):
        return None
    refuse_unpriced(study, prices)
    assert price is not None
    held = ExitStack()
    if max_cost is not None:
        held.enter_context(ledger.session_lock(f"spending of {study.study}") if ledger.is_shared else file_lock(lock))
        name, advice = f"spending.max_cost of study {study.study}", "raise it in the study file to go on"
        caps = [*caps, Cap(name, max_cost, advice, spent_by_study(ledger, study, prices))]
    usual = ledger.mean_usage(model.model, asset).completion_tokens
    return Budget(model.model, price, caps, usual, held.close)
