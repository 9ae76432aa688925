"""Where the questions of a benchmark come from, and where its responses hold their answer."""

from typing import Literal

from pydantic import Field, model_validator

from advcluster_dagster.study.base import Settings


class Benchmark(Settings):
    """Where the questions of a benchmark come from and how the answer is read from a response."""

    source: Literal["imported", "simulated", "registered", "jsonl"] = Field(
        "imported",
        description="Imported from a file, made by the simulation, loaded by the registered benchmark of that name, or"
        " read at every run from a file of questions (JSON Lines with the columns that imports have).",
    )
    file: str | None = Field(
        None,
        min_length=1,
        description="Local file to read instead of fetching the registered data set, in that set's own columns (JSON,"
        " JSON Lines, CSV, Parquet), or the file of a jsonl benchmark, by default benchmarks/NAME.jsonl; relative paths"
        " start at the home folder, `{domain}` stands for the domain's name.",
    )
    revision: str | None = Field(
        None, min_length=1, description="Commit of a registered data set; None is the one the benchmark pins."
    )
    answer_marker: str | None = Field(
        None,
        min_length=1,
        description="Text behind which the final answer stands; without it \\boxed{} or [ANSWER] is looked for.",
    )
    answer_field: str | None = Field(
        None,
        min_length=1,
        description="Field of the response's last JSON object that holds the final answer, for responses that are"
        ' JSON such as `{"reasoning": ..., "answer": "540"}`, fenced or not.',
    )
    whole_response: bool = Field(
        False, description="Whether the whole response, its thinking apart, is the final answer."
    )

    training: Literal["refused", "allowed", "i_know"] = Field(
        "refused",
        description="Whether preference pairs of it may be exported to train on. Benchmarks are evaluation data, so"
        " they are refused unless the study allows it; names with gpqa, whose authors ask that it is not published,"
        " need i_know.",
    )

    @model_validator(mode="after")
    def _answer_has_one_place(self) -> "Benchmark":
        places = {
            "answer_marker": self.answer_marker,
            "answer_field": self.answer_field,
            "whole_response": self.whole_response,
        }
        chosen = [name for name, value in places.items() if value]
        if len(chosen) > 1:
            raise ValueError(f"{' and '.join(chosen)} are set; allowed: one of {', '.join(places)}")
        return self

    @model_validator(mode="after")
    def _source_has_a_file(self) -> "Benchmark":
        if self.file and self.source not in ("registered", "jsonl"):
            raise ValueError(f"file is {self.file!r}; allowed: none with source: {self.source}")
        if self.revision and (self.source != "registered" or self.file):
            raise ValueError(f"revision is {self.revision!r}; allowed: with source: registered and no file")
        return self
