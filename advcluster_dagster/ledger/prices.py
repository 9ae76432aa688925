"""Prices of model calls: the shipped price table, overrides of a home, the cost of a call.

All amounts are US dollars; an unknown cost is None, never 0.
"""

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from advcluster_dagster.models.protocol import FatalModelError
from advcluster_dagster.study.models import FREE_PROVIDERS, Model
from advcluster_dagster.study.study import Study

_SHIPPED = Path(__file__).with_suffix(".yaml")
_TOKENS_PER_UNIT = 1_000_000
#: Built-in providers that run locally: their calls have no API cost.
_UNCHARGED = FREE_PROVIDERS | {"vllm"}


@dataclass(frozen=True)
class Price:
    """Price of a model's tokens, dollars per million, >= 0.

    ``completion`` is None for embedders. ``factor`` scales the cost by the provider's mode, such as 0.5 for batches.
    ``thinking_tokens`` estimates a reply's hidden reasoning tokens.
    """

    prompt: float
    completion: float | None = None
    thinking_tokens: int = 0
    factor: float = 1.0

    @property
    def is_free(self) -> bool:
        """Whether all calls are free."""
        return not self.prompt and not self.completion

    def cost(self, prompt_tokens: float | None, completion_tokens: float | None) -> float | None:
        """Cost of these tokens, dollars; None if a token count that is charged for is unknown.

        >>> Price(2.0, 12.0, factor=0.5).cost(1_000, 500)
        0.004
        """
        if self.is_free:
            return 0.0
        if prompt_tokens is None or (self.completion and completion_tokens is None):
            return None
        total = prompt_tokens * self.prompt + (completion_tokens or 0) * (self.completion or 0.0)
        return total * self.factor / _TOKENS_PER_UNIT


NO_CHARGE = Price(0.0)


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    prompt: float = Field(ge=0, allow_inf_nan=False)
    completion: float | None = Field(None, ge=0, allow_inf_nan=False)
    thinking_tokens: int = Field(0, ge=0)


class _PriceFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    as_of: date | None = None
    batch_factor: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field(default_factory=dict)
    models: dict[str, _Entry] = Field(default_factory=dict)


@dataclass(frozen=True)
class PriceTable:
    """Prices by model name as of a date; ``own_file`` is the user's file of overrides."""

    models: dict[str, Price]
    batch_factors: dict[str, float]
    as_of: date | None
    own_file: Path

    def price_of(self, model: Model, study: Study, is_embedder: bool = False) -> Price | None:
        """Price of a model under the study's provider settings; None if unknown."""
        provider = study.providers.get(model.provider)
        kind = provider.kind if provider else model.provider
        if kind in _UNCHARGED:
            return NO_CHARGE
        listed = self.models.get(model.model)
        if listed is None or (listed.completion is None and not is_embedder):
            return None
        is_batched = provider is not None and provider.mode == "batch" and not is_embedder
        factor = self.batch_factors.get(kind, 1.0) if is_batched else 1.0
        return Price(listed.prompt, None if is_embedder else listed.completion, listed.thinking_tokens, factor)

    def unpriced(self, study: Study) -> list[str]:
        """Names of the study's models without a known price."""
        candidates = (
            model.model
            for key, model in study.all_models()
            if self.price_of(model, study, is_embedder=key == "judges.embedder") is None
        )
        return list(dict.fromkeys(candidates))


def load_prices(own_file: Path) -> PriceTable:
    """Load the shipped prices, overridden by the user's file.

    Args:
        own_file: the home's file; may be missing.

    Raises:
        FatalModelError: the file is invalid; the message names the key.
    """
    shipped = _read(_SHIPPED)
    own = _read(own_file) if own_file.is_file() else _PriceFile()
    entries = {**shipped.models, **own.models}
    return PriceTable(
        {name: Price(entry.prompt, entry.completion, entry.thinking_tokens) for name, entry in entries.items()},
        {**shipped.batch_factor, **own.batch_factor},
        own.as_of or shipped.as_of,
        own_file,
    )


def dollars(cost: float | None) -> str:
    """Format an amount: two decimals from a dollar upwards, four below.

    >>> [dollars(cost) for cost in (None, 0.0, 0.00213, 0.9, 1234.5)]
    ['unknown', 'no charge', '$0.0021', '$0.9000', '$1,234.50']
    """
    if cost is None:
        return "unknown"
    if not cost:
        return "no charge"
    if cost < 0.0001:
        return "<$0.0001"
    return f"${cost:,.2f}" if cost >= 1 else f"${cost:.4f}"


def _read(path: Path) -> _PriceFile:
    try:
        return _PriceFile.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")) or {})
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise FatalModelError(f"{path}: {key}: {first['msg']}") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise FatalModelError(f"{path}: cannot be read: {' '.join(str(error).split())}") from None
