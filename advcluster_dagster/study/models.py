"""Settings of models, providers, families and judges (paper section 4.1, appendix A.1)."""

from typing import Any, Literal

from pydantic import Field, StrictInt, model_validator

from advcluster_dagster.contracts.columns import Role
from advcluster_dagster.study.base import Label, Name, Settings


class Engine(Settings):
    """Settings of an in-process inference engine (vLLM); ignored for remote models."""

    tensor_parallel_size: StrictInt = Field(1, ge=1, le=64, description="GPUs that one model copy is split over.")
    gpu_memory_gib: float | None = Field(
        None, gt=0, description="Minimum memory of each of these GPUs, GiB; None leaves the choice to the cluster."
    )
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = Field(
        "auto", description="Number format of weights and activations; auto is the model's default."
    )
    max_model_len: StrictInt | None = Field(
        None, ge=16, description="Maximum tokens of prompt and response together; None is the model's limit."
    )
    gpu_memory_utilization: float = Field(
        0.9, gt=0, le=1, description="Share of each GPU's memory that the engine may take, in (0, 1]."
    )
    enforce_eager: bool = Field(False, description="Disable compiled graphs: faster start, slower inference.")
    max_questions_in_flight: StrictInt = Field(
        256, ge=1, description="Questions, with all their trials, in the engine at once; lost if it is killed."
    )


class Model(Settings):
    """A language model or embedder and its provider."""

    model: str = Field(min_length=1, description="The provider's name of the model.")
    provider: Name = Field(description="A built-in provider or one declared under `providers`.")
    aliases: tuple[str, ...] = Field((), description="Other names of the model in files to import.")
    sampling: dict[str, Any] = Field(
        default_factory=dict,
        description="Sampling settings sent with each call (temperature, top_p, ...); others are the model's defaults.",
    )
    system_prompt: str | None = Field(
        None,
        min_length=1,
        max_length=20_000,
        description="System message before every question (detailed thinking off, ...); for models of families.",
    )
    label: Label | None = Field(
        None, description="Display name, shown instead of the model's name and of larger or smaller; one line."
    )
    engine: Engine = Field(Engine(), description="Settings of the engine of provider vllm.")

    @property
    def request_identity(self) -> dict[str, Any]:
        """Settings that its replies depend on: all but label and engine."""
        identity = self.model_dump(mode="json", exclude={"engine", "label"})
        if self.system_prompt is None:
            del identity["system_prompt"]  # keeps results of earlier versions, which had no such setting, fresh
        return identity

    @property
    def shown_as(self) -> str:
        """Display name: the label, otherwise the provider's name of the model."""
        return self.label or self.model

    @property
    def names(self) -> tuple[str, ...]:
        """Names accepted in files to import: the provider's, the aliases, the label."""
        return (self.model, *self.aliases, *([self.label] if self.label else []))


class Family(Settings):
    """A larger and a smaller model of one family, or one model in two modes, such as with and without thinking."""

    larger: Model = Field(description="The model whose advantages are analysed.")
    smaller: Model = Field(description="The model whose first errors are analysed.")

    @model_validator(mode="after")
    def _are_distinguishable(self) -> "Family":
        larger, smaller = self.larger, self.smaller
        for role, model, other in (("larger", larger, smaller), ("smaller", smaller, larger)):
            if other.label and not model.label:
                raise ValueError(f"{role}.label is missing, but the other model has one; label both, or neither")
            if model.label and model.label in other.names:
                raise ValueError(f"{role}.label is {model.label!r}, also a name of the other model; use another label")
        shared = [name for name in (larger.model, *larger.aliases) if name in (smaller.model, *smaller.aliases)]
        if shared and larger.model != smaller.model:
            raise ValueError(
                f"larger and smaller must be two different models, but both are called {shared[0]!r};"
                " rename one, or remove the alias"
            )
        if shared:
            self._check_two_modes()
        return self

    def _check_two_modes(self) -> None:
        """Raise unless the same model has different settings in each role, and labels."""
        name = self.larger.model
        # Of imported traces, labels tell the two ways apart: how they were sampled need not be in the study.
        is_imported = self.larger.provider == self.smaller.provider == "imported" and self.larger.label is not None
        is_alike = self.larger.sampling == self.smaller.sampling
        if is_alike and self.larger.system_prompt == self.smaller.system_prompt and not is_imported:
            raise ValueError(
                f"larger and smaller are the same model, {name!r}, with the same settings; name two models, or set"
                " different sampling (such as enable_thinking: true and false) or system_prompt"
            )
        if not self.larger.label:
            raise ValueError(
                f"larger and smaller are the same model, {name!r}; add a label to each, such as"
                " label: with thinking and label: without thinking"
            )
        if self.larger.provider == self.smaller.provider == "vllm" and self.larger.engine != self.smaller.engine:
            raise ValueError(
                f"larger and smaller are the same model, {name!r}, served by one engine; give both the same engine"
            )

    @property
    def is_labelled(self) -> bool:
        """Whether its models are shown by label, not as larger and smaller."""
        return self.larger.label is not None

    @property
    def is_one_model(self) -> bool:
        """Whether both roles are the same model, in two modes."""
        return self.larger.model == self.smaller.model

    def model_of(self, role: Role) -> Model:
        """Return the model in a role."""
        return self.larger if role == "larger" else self.smaller


class Provider(Settings):
    """Transport settings of a model provider; they are not part of a call's identity."""

    kind: Literal["openai", "google-genai"] = Field(
        "openai", description="The wire format: OpenAI and every compatible server, or Gemini."
    )
    base_url: str | None = Field(
        None,
        description="URL of a compatible server (for Gemini without the API version); None is the vendor's.",
    )
    api_key_env: str | None = Field(
        None,
        pattern=r"^[A-Z][A-Z0-9_]*$",
        description="Environment variable with the key; None is OPENAI_API_KEY, or for Gemini GEMINI_API_KEY, otherwise"
        " GOOGLE_API_KEY.",
    )
    max_in_flight: StrictInt = Field(
        64, ge=1, le=1024, description="Maximum calls in flight; reduced while the server answers most with a 429."
    )
    requests_per_minute: float | None = Field(None, gt=0, description="Maximum calls per minute; None: no limit.")
    tokens_per_minute: float | None = Field(
        None, gt=0, description="Maximum prompt and completion tokens per minute; None: no limit."
    )
    timeout_s: float = Field(600.0, gt=0, description="Seconds after which a call without answer fails.")
    max_retries: StrictInt = Field(6, ge=0, le=20, description="Maximum retries of a call after transient faults.")
    mode: Literal["direct", "batch"] = Field(
        "direct",
        description="Send chat calls one by one, or in batches at half the price, answered within a day.",
    )
    batch_poll_s: float = Field(60.0, gt=0, description="Seconds between two polls of a batch.")


class Judges(Settings):
    """The models that read traces and descriptions (paper appendix A.1); the defaults run without key or network."""

    extractor: Model = Field(Model(model="analyst", provider="embedded"), description="Compares two traces.")
    embedder: Model = Field(
        Model(model="wordllama-256", provider="embedded"), description="Embeds advantage descriptions."
    )
    embedding_dimensions: StrictInt | None = Field(
        None, ge=2, description="Vector length requested from the embedder; None is its default."
    )
    summariser: Model = Field(Model(model="analyst", provider="embedded"), description="Names clusters.")
    reviewer: Model = Field(Model(model="analyst", provider="embedded"), description="Scores candidate taxonomies.")
    rater: Model | None = Field(
        None, description="Rates single traces if the study has `ratings`; None is the extractor."
    )

    @property
    def rating_judge(self) -> Model:
        """The model that rates traces."""
        return self.rater or self.extractor


#: Providers that need no declaration: traces imported from files, the demo's simulated family, the embedded analyst
#: and embedder, OpenAI, Gemini, and vLLM in process.
BUILT_IN_PROVIDERS = ("embedded", "imported", "onnx", "openai", "simulated", "vllm", "google-genai")
#: Providers whose answers cost neither money nor GPU hours.
FREE_PROVIDERS = frozenset({"embedded", "imported", "onnx", "simulated"})
