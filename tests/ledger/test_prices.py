"""Prices: the shipped table, the user's overrides, the cost of a call."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advcluster_dagster.ledger.prices import NO_CHARGE, Price, PriceTable, dollars, load_prices
from advcluster_dagster.models.protocol import FatalModelError
from advcluster_dagster.storage.home import shipped
from advcluster_dagster.study.models import Model
from advcluster_dagster.study.study import Study, load_study

OWN = {"kind": "openai", "base_url": "http://127.0.0.1:1/v1"}


def study(**sections: object) -> Study:
    model = {"provider": "imported"}
    content = {
        "study": "s",
        "families": {"f": {"larger": {"model": "l", **model}, "smaller": {"model": "m", **model}}},
        "domains": {"math": ["b"]},
        "providers": {"own": OWN, "batched": {**OWN, "mode": "batch"}},
        **sections,
    }
    return Study.model_validate(content)


@pytest.fixture
def own_file(tmp_path: Path) -> Path:
    return tmp_path / "prices.yaml"


@pytest.fixture
def table(own_file: Path) -> PriceTable:
    return load_prices(own_file)


@pytest.mark.parametrize(
    ("price", "tokens", "cost"),
    [
        (Price(2.0, 12.0), (1_000_000, 1_000_000), 14.0),
        (Price(2.0, 12.0), (1_000, 500), 0.008),  # 0.002 + 0.006
        (Price(2.0, 12.0, factor=0.5), (1_000, 500), 0.004),
        (Price(2.0, 12.0), (0, 0), 0.0),
        (Price(2.0, 12.0), (None, 500), None),
        (Price(2.0, 12.0), (1_000, None), None),
        (Price(0.13), (1_000_000, None), 0.13),  # an embedder has no completion
        (Price(2.0, 0.0), (1_000_000, None), 2.0),
        (NO_CHARGE, (None, None), 0.0),
        (Price(0.0, 0.0), (None, None), 0.0),
    ],
)
def test_the_cost_of_a_call(price: Price, tokens: tuple[int | None, int | None], cost: float | None) -> None:
    assert price.cost(*tokens) == (None if cost is None else pytest.approx(cost))


@given(st.integers(0, 10**7), st.integers(0, 10**7), st.integers(0, 10**7))
def test_costs_of_calls_add_up(prompt: int, completion: int, more: int) -> None:
    price = Price(1.75, 14.0)
    apart = (price.cost(prompt, completion) or 0.0) + (price.cost(more, more) or 0.0)
    assert price.cost(prompt + more, completion + more) == pytest.approx(apart)


def test_every_model_of_the_shipped_studies_has_a_price(table: PriceTable) -> None:
    for name in ("paper", "demo"):
        assert table.unpriced(load_study(shipped("data/studies") / f"{name}.yaml")) == []
    assert table.as_of is not None
    assert set(table.batch_factors) == {"openai", "google-genai"}


@pytest.mark.parametrize("provider", ["embedded", "simulated", "imported", "vllm"])
def test_models_that_run_here_cost_nothing_whatever_their_name(table: PriceTable, provider: str) -> None:
    assert table.price_of(Model(model="gpt-5.2", provider=provider), study()) == NO_CHARGE


def test_a_batch_costs_half_and_only_chat_goes_in_batches(table: PriceTable) -> None:
    direct = table.price_of(Model(model="gpt-5.2", provider="own"), study())
    batched = table.price_of(Model(model="gpt-5.2", provider="batched"), study())
    assert direct is not None
    assert batched is not None
    assert batched.cost(100, 100) == (direct.cost(100, 100) or 0.0) / 2
    embedder = Model(model="text-embedding-3-large", provider="batched")
    assert table.price_of(embedder, study(), is_embedder=True) == Price(0.13)


def test_an_unknown_price_is_missing_and_not_nothing(table: PriceTable) -> None:
    assert table.price_of(Model(model="my-judge", provider="own"), study()) is None
    # An embedder's price does not apply to chat replies.
    assert table.price_of(Model(model="text-embedding-3-large", provider="own"), study()) is None
    judges = {
        "extractor": {"model": "my-judge", "provider": "own"},
        "reviewer": {"model": "my-judge", "provider": "own"},
    }
    assert table.unpriced(study(judges=judges)) == ["my-judge"]


def test_a_persons_own_prices_win_by_model(own_file: Path) -> None:
    own_file.write_text(
        "as_of: 2030-01-02\n"
        "batch_factor: {openai: 0.25}\n"
        "models:\n  gpt-5.2: {prompt: 3, completion: 4}\n  my-judge: {prompt: 0, completion: 0}\n"
    )
    table = load_prices(own_file)
    assert table.price_of(Model(model="gpt-5.2", provider="own"), study()) == Price(3.0, 4.0)
    assert table.price_of(Model(model="gpt-5.2", provider="batched"), study()) == Price(3.0, 4.0, factor=0.25)
    own = table.price_of(Model(model="my-judge", provider="own"), study())
    assert own is not None
    assert own.is_free
    assert table.price_of(Model(model="gpt-5", provider="own"), study()) is not None
    assert str(table.as_of) == "2030-01-02"


def test_an_empty_own_file_changes_nothing(own_file: Path) -> None:
    before = load_prices(own_file)
    own_file.write_text("# nothing yet\n")
    assert load_prices(own_file) == before


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("models: {m: {prompt: -1}}", "models.m.prompt: Input should be greater than or equal to 0"),
        ("models: {m: {prompt: .nan}}", "models.m.prompt: Input should be a finite number"),
        ("models: {m: {output: 1}}", "models.m.prompt: Field required"),
        ("model: {}", "model: Extra inputs are not permitted"),
        ("batch_factor: {openai: 2}", "batch_factor.openai: "),
        ("- a", ": Input should be a valid dictionary"),
        ("models: [", "cannot be read: while parsing"),
    ],
)
def test_a_wrong_own_file_is_one_line(own_file: Path, text: str, words: str) -> None:
    own_file.write_text(text)
    with pytest.raises(FatalModelError) as error:
        load_prices(own_file)
    assert str(error.value).startswith(f"{own_file}: ")
    assert words in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("cost", "said"),
    [
        (None, "unknown"), (0.0, "no charge"), (0.00001, "<$0.0001"), (0.00213, "$0.0021"), (0.5, "$0.5000"),
        (1.0, "$1.00"), (1234.567, "$1,234.57"),
    ],
)  # fmt: skip
def test_sums_in_words(cost: float | None, said: str) -> None:
    assert dollars(cost) == said
