"""Models, who serves them, and which of them judge (paper section 4.1, appendix A.1)."""

from typing import Any, Literal

from pydantic import Field, StrictInt, model_validator

from advcluster_dagster.contracts.columns import Role
from advcluster_dagster.study.base import Label, Name, Settings


class Engine(Settings):
    """Settings of an in-process inference engine (vLLM); ignored for remote models."""

    tensor_parallel_size: StrictInt = Field(1, ge=1, le=64, description="GPUs that one copy is split over.")
    gpu_memory_gib: float | None = Field(
        None, gt=0, description="Memory that each of these GPUs must have, GiB; None leaves the choice to the cluster."
    )
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = Field(
        "auto", description="Number format of weights and activations; auto is the model's own."
    )
    max_model_len: StrictInt | None = Field(
        None, ge=16, description="Longest prompt and response together, tokens; None is the model's own."
    )
    gpu_memory_utilization: float = Field(
        0.9, gt=0, le=1, description="Share of each GPU's memory that the engine may take, in (0, 1]."
    )
    enforce_eager: bool = Field(False, description="Do without compiled graphs: starts sooner, runs slower.")
    max_questions_in_flight: StrictInt = Field(
        256, ge=1, description="Questions, each with all its trials, that the engine holds at once; a kill loses these."
    )


class Model(Settings):
    """A language model or embedder and who serves it."""

    model: str = Field(min_length=1, description="The name the provider knows the model by.")
    provider: Name = Field(description="A built-in provider or one declared under `providers`.")
    aliases: tuple[str, ...] = Field((), description="Other names of the model in files to import.")
    sampling: dict[str, Any] = Field(
        default_factory=dict,
        description="Sampling settings sent with each call (temperature, top_p, ...); absent ones are the model's own.",
    )
    system_prompt: str | None = Field(
        None,
        min_length=1,
        max_length=20_000,
        description="System message in front of every question (detailed thinking off, ...); for models of families.",
    )
    label: Label | None = Field(
        None, description="What people read in place of the model's name and of larger or smaller; one line."
    )
    engine: Engine = Field(Engine(), description="How the engine is started, with provider vllm.")

    @property
    def asked_as(self) -> dict[str, Any]:
        """What its replies depend on: all but its label, and how an engine is started, which a reply does not show."""
        asked = self.model_dump(mode="json", exclude={"engine", "label"})
        if self.system_prompt is None:
            del asked["system_prompt"]  # results of earlier versions, which knew none, stay fresh
        return asked

    @property
    def shown_as(self) -> str:
        """Its label, else the name the provider knows it by."""
        return self.label or self.model

    @property
    def names(self) -> tuple[str, ...]:
        """The names that files to import may call it by: the provider's, its aliases, its label."""
        return (self.model, *self.aliases, *([self.label] if self.label else []))


class Family(Settings):
    """A larger and a smaller model of one family, or one model in two ways, such as with and without thinking."""

    larger: Model = Field(description="The model whose advantages are sought.")
    smaller: Model = Field(description="The model whose first errors are sought.")

    @model_validator(mode="after")
    def _are_told_apart(self) -> "Family":
        larger, smaller = self.larger, self.smaller
        for role, mine, other in (("larger", larger, smaller), ("smaller", smaller, larger)):
            if other.label and not mine.label:
                raise ValueError(f"{role}.label is missing, and the other model has one; label both, or neither")
            if mine.label and mine.label in other.names:
                raise ValueError(f"{role}.label is {mine.label!r}, a name of the other model too; give another label")
        shared = [name for name in (larger.model, *larger.aliases) if name in (smaller.model, *smaller.aliases)]
        if shared and larger.model != smaller.model:
            raise ValueError(
                f"larger and smaller must be two different models, both are called {shared[0]!r};"
                " rename one, or take the alias away"
            )
        if shared:
            self._is_asked_in_two_ways()
        return self

    def _is_asked_in_two_ways(self) -> None:
        """Raise unless one and the same model is asked differently in each role, and labelled."""
        name = self.larger.model
        # Of imported traces, labels tell the two ways apart: how they were sampled need not be in the study.
        is_imported = self.larger.provider == self.smaller.provider == "imported" and self.larger.label is not None
        is_alike = self.larger.sampling == self.smaller.sampling
        if is_alike and self.larger.system_prompt == self.smaller.system_prompt and not is_imported:
            raise ValueError(
                f"larger and smaller are the same model, {name!r}, asked in the same way; name two models, or give the"
                " two a different sampling (such as enable_thinking: true and false) or system_prompt"
            )
        if not self.larger.label:
            raise ValueError(
                f"larger and smaller are the same model, {name!r}; add a label to each, such as"
                " label: with thinking and label: without thinking"
            )
        if self.larger.provider == self.smaller.provider == "vllm" and self.larger.engine != self.smaller.engine:
            raise ValueError(
                f"larger and smaller are the same model, {name!r}, which one engine serves; give both the same engine"
            )

    @property
    def is_labelled(self) -> bool:
        """Whether its models go by labels, not by larger and smaller."""
        return self.larger.label is not None

    @property
    def is_one_model(self) -> bool:
        """Whether both roles are one and the same model, asked in two ways."""
        return self.larger.model == self.smaller.model

    def model_of(self, role: Role) -> Model:
        """The model that plays a role."""
        return self.larger if role == "larger" else self.smaller


class Provider(Settings):
    """Transport settings of a model provider; they never enter the identity of a call."""

    kind: Literal["openai", "google-genai"] = Field(
        "openai", description="The wire format: OpenAI and every compatible server, or Gemini."
    )
    base_url: str | None = Field(
        None,
        description="Address of a compatible server (for Gemini without the API version); None is the vendor's own.",
    )
    api_key_env: str | None = Field(
        None,
        pattern=r"^[A-Z][A-Z0-9_]*$",
        description="Environment variable that holds the key; None is OPENAI_API_KEY, or GEMINI_API_KEY, else"
        " GOOGLE_API_KEY.",
    )
    max_in_flight: StrictInt = Field(
        64, ge=1, le=1024, description="Calls in flight at once; fewer while the server answers most with a 429."
    )
    requests_per_minute: float | None = Field(None, gt=0, description="Calls sent a minute at most; None is no limit.")
    tokens_per_minute: float | None = Field(
        None, gt=0, description="Prompt and completion tokens a minute at most; None is no limit."
    )
    timeout_s: float = Field(600.0, gt=0, description="Seconds until a call without answer counts as failed.")
    max_retries: StrictInt = Field(6, ge=0, le=20, description="Retries of a call after transient faults.")
    mode: Literal["direct", "batch"] = Field(
        "direct",
        description="Chat calls answered one by one, or handed over in batches, at half the price and within a day.",
    )
    batch_poll_s: float = Field(60.0, gt=0, description="Seconds between two looks at a batch.")


class Judges(Settings):
    """The models that read traces and descriptions (paper appendix A.1); the defaults run without key or network."""

    extractor: Model = Field(Model(model="analyst", provider="embedded"), description="Compares two traces.")
    embedder: Model = Field(
        Model(model="wordllama-256", provider="embedded"), description="Embeds advantage descriptions."
    )
    embedding_dimensions: StrictInt | None = Field(
        None, ge=2, description="Vector length asked of the embedder; None is its own."
    )
    summariser: Model = Field(Model(model="analyst", provider="embedded"), description="Names clusters.")
    reviewer: Model = Field(Model(model="analyst", provider="embedded"), description="Scores candidate taxonomies.")
    rater: Model | None = Field(None, description="Rates single traces, where the study has `ratings`; the extractor.")

    @property
    def rating_judge(self) -> Model:
        """Who rates traces."""
        return self.rater or self.extractor


#: Providers that need no declaration: traces imported from files, the demo's simulated family, the embedded analyst
#: and embedder, OpenAI itself, and vLLM in process.
BUILT_IN_PROVIDERS = ("embedded", "imported", "openai", "simulated", "vllm", "google-genai")
#: Providers whose answers cost neither money nor hours of a GPU.
FREE_PROVIDERS = frozenset({"embedded", "imported", "simulated"})
