"""Generated evidence: tables of one family and domain that the explorer joins.

Here: rows of as many pairs as asked for, of types that keep the contracts. Not here: any assertion.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import polars as pl

from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.report.explorer.data import TABLES_READ, FamilyEvidence, join_evidence
from advcluster_dagster.study.models import Family
from advcluster_dagster.study.study import Study

STAGES = ("Reading", "Comprehension", "Transformation", "Process Skills", "Encoding")
Rows = dict[str, list[dict[str, Any]]]


def made_study(
    families: Sequence[str] = ("f",),
    domains: Sequence[str] = ("math", "physics"),
    labels: Mapping[str, str] = MappingProxyType({}),
) -> Study:
    """A study of imported families with one benchmark per domain; ``labels`` of its models by role."""
    pair = {
        name: {
            role: {"model": f"{name}-{role}", "provider": "imported", "label": labels.get(role)}
            for role in ("larger", "smaller")
        }
        for name in families
    }
    return Study.model_validate({"study": "made", "families": pair, "domains": {d: [f"{d}-set"] for d in domains}})


def pair_of(number: int, domain: str = "math", **texts: Any) -> Rows:
    """Rows of one pair of a separate question with one advantage in cluster ``number % 3``; ``texts`` override some.

    Known texts: question_id, question, answer, larger, smaller (the traces), stage, error, advantage, evidence,
    reason (the extraction failed: no first error, no advantage), duplicate_of.
    """
    given = {
        "question_id": f"{domain}-{number}",
        "question": f"What is {number} plus one?",
        "answer": str(number + 1),
        "larger": f"We add one.\n{number} + 1 = {number + 1}.",
        "smaller": f"We add two.\n{number} + 2 = {number + 2}.",
        "stage": STAGES[number % 5],
        "error": "It adds the wrong number.",
        "advantage": f"Adds the right number {number}",
        "evidence": f'Model_A has "{number} + 1" where Model_B has "{number} + 2".',
        "reason": None,
        "duplicate_of": None,
        **texts,
    }
    question, place = given["question_id"], {"family": "f", "domain": domain}
    pair, rows = f"{question}:0", _question_rows(given, domain)
    rows["trace_pairs"] = [
        {**place, "pair_id": pair, "question_id": question, "pair_index": 0, "larger_trial": 1, "smaller_trial": 0}
    ]
    if given["reason"] is not None:
        failed = {"reason": given["reason"], "detail": "no list in it", "raw_reply": "no"}
        rows["extraction_failures"] = [{**place, "pair_id": pair, **failed}]
        return rows
    known = {**place, "pair_id": pair, "question_id": question}
    depth = STAGES.index(given["stage"]) + 1
    rows["first_errors"] = [{**known, "stage": given["stage"], "depth": depth, "description": given["error"]}]
    advantage = {**place, "advantage_id": f"{pair}:0"}
    texts = {name: given[name] for name in ("advantage", "evidence")}
    rows["advantage_corpus"] = [
        {**known, **advantage, **texts, "position": 0, "rule_violations": [], "extractor": "judge", "prompt_hash": "a"}
    ]
    repeated = given["duplicate_of"]
    rows["deduplicated_advantages"] = [{**advantage, "is_kept": repeated is None, "duplicate_of": repeated}]
    rows["taxonomy_assignments"] = [{**advantage, "cluster_id": number % 3}] if repeated is None else []
    return rows


def _question_rows(given: Mapping[str, Any], domain: str) -> Rows:
    question, place = given["question_id"], {"family": "f", "domain": domain}
    known = {"question_id": question, "benchmark": f"{domain}-set"}
    trials = {"larger": 1, "smaller": 0}
    rows: Rows = {
        "benchmark_questions": [
            {"domain": domain, **known, "question": given["question"], "prompt": given["question"]}
            | {"answer": given["answer"], "answer_type": "numeric", "source": "made", "source_revision": "1"}
        ],
        "graded_trials": [],
    }
    for role, trial in trials.items():
        trace = {**place, **known, "trial": trial, "model": f"f-{role}"}
        rows[f"{role}_traces"] = [{**trace, "response": given[role], "finish_reason": "stop", "completion_tokens": 9}]
        verdict = "correct" if role == "larger" else "wrong"
        rows["graded_trials"].append(
            {**trace, "role": role, "prediction": "7", "verdict": verdict, "is_correct": role == "larger"}
            | {"grader": "numeric", "grader_version": "1"}
        )
    return rows


def as_tables(pairs: Iterable[Rows]) -> dict[str, pl.LazyFrame]:
    """Rows of several pairs as frames with the contracts' types."""
    rows_by_table: Rows = {}
    for rows in pairs:
        for table, some in rows.items():
            rows_by_table.setdefault(table, []).extend(some)
    return {name: pl.DataFrame(rows_by_table.get(name, []), schema=TABLES[name].schema).lazy() for name in TABLES_READ}


def clusters(n: int = 3, text: Callable[[int], str] = "Cluster {}".format) -> pl.DataFrame:
    """A taxonomy of clusters numbered from 0."""
    rows = [
        {
            "family": "f",
            "cluster_id": i,
            "tag": text(i),
            "definition": f"It is about {text(i)}.",
            "size": 1,
            "pca_dim": 2,
        }
        | {"n_clusters": n, "kind": "common", "main_domain": "math", "domain_entropy": 0.5}
        for i in range(n)
    ]
    return pl.DataFrame(rows, schema=TABLES["final_taxonomy"].schema)


def family_of(
    pairs: Mapping[str, Sequence[Rows]],
    taxonomy: pl.DataFrame | None = None,
    name: str = "f",
    reason: str | None = None,
) -> FamilyEvidence:
    """A family's evidence from the pairs of each domain."""
    models: Family = made_study((name,)).families[name]
    domains = (join_evidence(domain, as_tables(rows)) for domain, rows in pairs.items())
    return FamilyEvidence(name, models, clusters() if taxonomy is None else taxonomy, reason, domains)
