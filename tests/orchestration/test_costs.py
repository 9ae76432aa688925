"""Costs of a whole study: dry runs compared with runs, caps, metadata; judges behind a small HTTP server."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from advcluster_dagster.assets.registry import RECIPES
from advcluster_dagster.ledger.prices import load_prices
from advcluster_dagster.ledger.spending_limits import spent_by_study
from advcluster_dagster.models import connection
from advcluster_dagster.models.remote_chat import SCHEMA_REFUSED
from advcluster_dagster.pipeline.platform import Platform
from advcluster_dagster.pipeline.recipe import Estimate
from advcluster_dagster.planning.dry_run import PlannedStep, plan_run
from advcluster_dagster.planning.selection import Selection
from advcluster_dagster.study.partition import Partition
from tests.providers.small_provider import Answer, SmallProvider, analyst
from tests.studies import ALL_TABLES, SIMULATED, SmallHome, given_study, write_study

#: Dollars per million tokens; the embedder's tokens are reported by the server as a quarter of the characters.
PRICES = "models:\n  analyst: {prompt: 2, completion: 10}\n  wordllama-256: {prompt: 1}\n"
#: Tables of steps that call models, grouped by when their inputs become available.
ASKING = (
    ("larger_traces", "smaller_traces"),
    ("advantage_corpus",),
    ("advantage_embeddings",),
    ("cluster_summaries",),
    ("candidate_reviews",),
    ("name_checks",),
    ("themes",),
)
#: Up to and including the first step that calls a judge.
EXTRACTED = ALL_TABLES[: ALL_TABLES.index("extraction_failures") + 1]
JUDGED = tuple(table for (table,) in ASKING[1:])


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallProvider]:
    monkeypatch.setattr(connection, "_FIRST_PAUSE_S", 0.0)
    with SmallProvider(analyst(seed=0)) as opened:
        yield opened


def judged_at(server: SmallProvider, root: Path, prices: str = PRICES, **sections: Any) -> SmallHome:
    """The study `given`, judged over HTTP."""
    judge = {"model": "analyst", "provider": "own"}
    judges = dict.fromkeys(("extractor", "summariser", "reviewer"), judge)
    judges["embedder"] = {"model": "wordllama-256", "provider": "own"}
    root.mkdir()
    (root / "prices.yaml").write_text(prices)
    return given_study(root, providers={"own": {"base_url": server.url}}, judges=judges, **sections)


def plan(small: SmallHome, **how: Any) -> list[PlannedStep]:
    with small.instance() as instance:
        return plan_run(Platform(small.home, **how), small.study, instance, Selection(assets=ALL_TABLES))


def estimates(planned: list[PlannedStep]) -> dict[str, Estimate]:
    """By the first table of each step that calls models."""
    by_table: dict[str, Estimate] = {}
    for step in planned:
        if step.estimate is not None:
            table = RECIPES[step.status.step].tables[0]
            by_table[table] = by_table.get(table, Estimate()) + step.estimate
    return by_table


def actual(small: SmallHome) -> dict[str, tuple[int, int, int, float]]:
    """Calls, prompt tokens, completion tokens and dollars by asset."""
    totals: dict[str, tuple[int, int, int, float]] = {}
    for (asset, _), asset_totals in small.platform.ledger.totals_by_asset_and_model(small.name).items():
        assert asset_totals.n_cost_unknown == 0
        of_model = (
            asset_totals.n_calls,
            asset_totals.prompt_tokens or 0,
            asset_totals.completion_tokens or 0,
            asset_totals.cost or 0.0,
        )
        before = totals.get(asset, (0, 0, 0, 0.0))
        totals[asset] = tuple(was + more for was, more in zip(before, of_model, strict=True))  # type: ignore[assignment]
    return totals


def run_and_compare(small: SmallHome) -> dict[str, Estimate]:
    """Each stage is estimated once its inputs exist, then run: calls are exact, tokens and dollars within 30 %.

    Prompt lengths are known far better than reply lengths, which are unknown before the first; the sum is compared.
    """
    seen = {}
    for place, tables in enumerate(ASKING):
        estimated = estimates(plan(small))
        seen |= {table: estimated[table] for table in tables}
        following = ASKING[place + 1][0] if place + 1 < len(ASKING) else None
        assert small.run(ALL_TABLES[: ALL_TABLES.index(following)] if following else ALL_TABLES).failures == {}
    came = actual(small)
    for table, (n_calls, n_prompt, n_completion, cost) in came.items():
        estimated = seen[table]
        assert estimated.n_calls == n_calls, table
        assert estimated.prompt_tokens == pytest.approx(n_prompt, rel=0.3), table
        assert estimated.prompt_tokens + estimated.completion_tokens == pytest.approx(
            n_prompt + n_completion, rel=0.3
        ), table
        assert estimated.cost == pytest.approx(cost, rel=0.3), table
    return seen


@pytest.mark.integration
def test_a_dry_run_tells_what_a_simulated_study_then_takes(tmp_path: Path) -> None:
    seen = run_and_compare(write_study(tmp_path / "home", SIMULATED))
    assert set(seen) == {*ASKING[0], *JUDGED}
    assert all(estimate.n_calls > 0 and estimate.cost == 0.0 for estimate in seen.values())


@pytest.mark.integration
def test_a_dry_run_tells_what_paid_judges_then_cost(server: SmallProvider, tmp_path: Path) -> None:
    small = judged_at(server, tmp_path / "home")
    seen = run_and_compare(small)
    assert all(seen[table].cost > 0 for table in JUDGED)
    assert seen["larger_traces"].n_calls == 0  # imported
    # A text shared by two domains is sent once, and counted once.
    texts = small.table("advantage_corpus")["advantage"]
    assert seen["advantage_embeddings"].n_calls == texts.n_unique() < len(texts)
    # By now the ledger knows the mean length of replies and the characters per token.
    small.change(judges={**small.study.model_dump(mode="json")["judges"], "extractor": _warmer()})
    before = actual(small)["advantage_corpus"]
    estimate = estimates(plan(small))["advantage_corpus"]
    assert estimate.assumed == ()
    assert small.run(("advantage_corpus",)).failures == {}
    came = [after - was for after, was in zip(actual(small)["advantage_corpus"], before, strict=True)]
    expected = (estimate.n_calls, estimate.prompt_tokens, estimate.completion_tokens, estimate.cost)
    assert expected == pytest.approx(tuple(came), rel=0.05)


def _warmer() -> dict[str, Any]:
    return {"model": "analyst", "provider": "own", "sampling": {"temperature": 0.5}}


def test_stages_without_inputs_say_what_they_assume_and_cost(server: SmallProvider, tmp_path: Path) -> None:
    by_table = estimates(plan(judged_at(server, tmp_path / "home", trials=10)))
    assert by_table["advantage_corpus"].assumed == (
        "extracted_advantages: 5% of the questions kept, 7 pairs each, 3,000 + 150 tokens per call",
    )
    reviews = by_table["candidate_reviews"]  # 10 candidates, one review each
    assert (reviews.n_calls, reviews.prompt_tokens, reviews.completion_tokens) == (10, 15_000, 250)
    assert reviews.cost == pytest.approx(15_000 * 2e-6 + 250 * 10e-6)


def test_in_batches_chat_costs_half(server: SmallProvider, tmp_path: Path) -> None:
    small = judged_at(server, tmp_path / "home")

    def cost(is_batched: bool) -> float:
        return sum(estimates(plan(small, is_batched=is_batched)).values(), Estimate()).cost or 0.0

    direct, batched = cost(is_batched=False), cost(is_batched=True)
    small.home.prices.write_text(PRICES.replace("{prompt: 1}", "{prompt: 0}"))
    chat = cost(is_batched=False)
    assert 0 < chat < direct
    assert batched == pytest.approx(direct - chat / 2)


@pytest.mark.integration
def test_an_unknown_price_makes_the_sum_unknown_and_refuses_a_cap(server: SmallProvider, tmp_path: Path) -> None:
    small = judged_at(server, tmp_path / "home", prices="models: {wordllama-256: {prompt: 1}}\n")
    total = sum(estimates(plan(small)).values(), Estimate())
    assert (total.cost, total.unpriced) == (None, ("analyst",))
    outcome = small.run(EXTRACTED, Platform(small.home, max_cost=5.0), domains=("sums",))
    (line,) = outcome.failures.values()
    assert "a cost cap requires the price of every model; unknown for analyst; add it to" in line
    assert str(small.home.prices) in line
    assert server.stats.requests == 0
    assert small.run(EXTRACTED, domains=("sums",)).failures == {}  # without a cap it runs, and the cost stays unknown
    totals = small.platform.ledger.totals_by_asset_and_model("given")["advantage_corpus", "analyst"]
    assert (totals.cost, totals.n_cost_unknown) == (None, totals.n_calls)


def cost_facts(small: SmallHome, table: str, partition: Partition) -> Mapping[str, Any]:
    metadata = small.metadata(table, partition)
    return {name: metadata[name] for name in ("calls_cost_usd", "calls_asked_cost_usd", "calls_n_cost_unknown")}


def test_a_materialisation_shows_what_it_cost_and_what_it_would_have(server: SmallProvider, tmp_path: Path) -> None:
    small, partition = judged_at(server, tmp_path / "home"), Partition("f", "sums")
    assert small.run(EXTRACTED, domains=("sums",)).failures == {}
    first = cost_facts(small, "advantage_corpus", partition)
    assert first["calls_cost_usd"] == first["calls_asked_cost_usd"] > 0
    assert first["calls_n_cost_unknown"] == 0
    by_use = small.platform.ledger.totals_by_use("given")["given", "advantage_corpus", "f/sums"]
    assert by_use.cost == pytest.approx(first["calls_cost_usd"])
    small.path("advantage_corpus", partition).unlink()
    assert small.run(("advantage_corpus",), domains=("sums",)).failures == {}
    again = cost_facts(small, "advantage_corpus", partition)
    assert again == {**first, "calls_cost_usd": pytest.approx(first["calls_cost_usd"]), "calls_asked_cost_usd": None}


def _brief() -> dict[str, Any]:
    """An extractor with a token limit, so that a call's expected cost is known from the start: about half a cent."""
    return {"model": "analyst", "provider": "own", "sampling": {"max_tokens": 300}}


def with_brief_replies(small: SmallHome) -> SmallHome:
    small.change(judges={**small.study.model_dump(mode="json")["judges"], "extractor": _brief()})
    return small


@pytest.mark.integration
def test_a_run_stops_before_its_cap_and_the_next_goes_on(server: SmallProvider, tmp_path: Path) -> None:
    small = with_brief_replies(judged_at(server, tmp_path / "home", themes={"n_repeats": 1}))
    assert small.run(ALL_TABLES[: ALL_TABLES.index("advantage_corpus")]).failures == {}
    # 16 pairs of some 0.25 cents each.
    outcome = small.run(("advantage_corpus",), Platform(small.home, max_cost=0.02))
    (line, *_) = outcome.failures.values()
    assert line.startswith("extracted_advantages: --max-cost of $0.02 stops the step: $0.01")
    assert line.endswith("completed calls are kept; raise it, or run again: each run has its own limit")
    spent = spent_by_study(small.platform.ledger, small.study, load_prices(small.home.prices))
    assert 0.01 < spent <= 0.02
    (totals,) = small.platform.ledger.totals_by_asset_and_model("given").values()
    assert 0 < totals.n_calls == server.stats.completed < 16
    assert small.run(platform=Platform(small.home, max_cost=10.0)).failures == {}
    assert server.stats.repeated == 0  # replies of the first run were not requested again


@pytest.mark.integration
def test_a_studys_cap_holds_over_all_runs(server: SmallProvider, tmp_path: Path) -> None:
    small = with_brief_replies(judged_at(server, tmp_path / "home", spending={"max_cost": 0.03}))
    prices = load_prices(small.home.prices)
    lines = set()
    for _ in range(2):
        lines |= set(small.run(EXTRACTED).failures.values())
        assert spent_by_study(small.platform.ledger, small.study, prices) <= 0.03
    assert any("spending.max_cost of study given of $0.03 stops the step: " in line for line in lines)
    assert any("raise it in the study file to continue" in line for line in lines)
    small.change(spending={"max_cost": 50})
    assert small.run(EXTRACTED).failures == {}
    assert server.stats.repeated == 0
    # Results do not depend on a cap.
    small.change(spending={"max_cost": 60})
    assert small.run(EXTRACTED).n_steps == 0


def test_a_step_says_that_the_server_refused_the_schema(tmp_path: Path) -> None:
    answer = analyst(seed=0)

    def refuse(path: str, body: dict[str, Any], n_before: int) -> Answer:
        if "response_format" in body:
            return Answer({"error": "json_schema is not supported by this model"}, 400)
        return answer(path, body, n_before)

    with SmallProvider(refuse) as server:
        small = judged_at(server, tmp_path / "home")
        assert small.run(EXTRACTED, domains=("sums",)).failures == {}
    facts = small.metadata("advantage_corpus", Partition("f", "sums"))
    assert facts["structured_output"] == SCHEMA_REFUSED
    assert "structured_output" not in small.metadata("trace_pairs", Partition("f", "sums"))
