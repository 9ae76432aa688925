"""Provenance tree of one result: from a cluster, heatmap cell, advantage or index back to traces, prompts and runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from advcluster_dagster.audit.evidence import Evidence
from advcluster_dagster.audit.records import AuditError, Node, Place
from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.study.partition import Partition
from advcluster_dagster.study.study import Study

Kind = Literal["cluster", "cell", "advantage", "edi"]
_FORMS: dict[Kind, str] = {
    "cluster": "FAMILY/CLUSTER",
    "cell": "FAMILY/CLUSTER/DOMAIN",
    "advantage": "FAMILY/ADVANTAGE_ID",
    "edi": "FAMILY/DOMAIN, or FAMILY/DOMAIN/QUESTION_ID",
}
_ASSIGNED = ("taxonomy_assignments", "domain_distribution", "final_taxonomy")


@dataclass(frozen=True)
class Start:
    """Starting point of a provenance chain; ``parts`` are slash-separated, the last one may itself hold slashes."""

    kind: Kind
    family: str
    parts: tuple[str, ...]

    @classmethod
    def parse(cls, study: Study, kind: Kind, given: str) -> "Start":
        """Parse a starting point given on the command line.

        Raises:
            AuditError: it does not match the form of its kind, or the study has no such family or domain.
        """
        family, *rest = given.split("/", {"cluster": 1, "cell": 2, "advantage": 1, "edi": 2}[kind])
        if kind == "advantage" and family not in study.families and len(study.families) == 1:
            family, rest = next(iter(study.families)), [given]
        n_parts = {"cluster": (1,), "cell": (2,), "advantage": (1,), "edi": (1, 2)}[kind]
        if len(rest) not in n_parts or not all(rest):
            raise AuditError(f"--{kind} {given}: allowed: {_FORMS[kind]}")
        if family not in study.families:
            raise AuditError(f"--{kind} {given}: no family {family}; known: {', '.join(study.families)}")
        if kind in ("cluster", "cell") and not rest[0].isdecimal():
            raise AuditError(f"--{kind} {given}: {rest[0]} is not a cluster number; allowed: {_FORMS[kind]}")
        domain = {"cell": rest[-1], "edi": rest[0]}.get(kind)
        if domain is not None and domain not in study.domains:
            raise AuditError(f"--{kind} {given}: no domain {domain}; known: {', '.join(study.domains)}")
        return cls(kind, family, tuple(rest))

    @property
    def roots(self) -> list[Place]:
        """Table partitions that hold the result."""
        if self.kind == "edi":
            return [(table, Partition(self.family, self.parts[0])) for table in ("edi_summary", "error_dispersion")]
        return [(table, Partition(self.family)) for table in _ASSIGNED]


def chain_of(start: Start, evidence: Evidence, most: int | None = None) -> Node:
    """Return the provenance tree of a result; its last node lists the files it was made from.

    Args:
        start: the result.
        evidence: builds the nodes.
        most: maximum number of children of one kind to follow per node, the rest being counted; None follows all.

    Raises:
        AuditError: the study has no such result.
    """
    builders = {"cluster": _cluster, "cell": _cell, "advantage": _advantage, "edi": _edi}
    node = builders[start.kind](start, evidence, most)
    domain = evidence.row("advantage_corpus", family=start.family, advantage_id=start.parts[0]).get("domain")
    return Node(
        node.kind,
        node.name,
        node.facts,
        [*node.children, _files(evidence, Partition(start.family, domain))],
        node.n_left_out,
    )


def _cluster(start: Start, evidence: Evidence, most: int | None) -> Node:
    family, cluster_id = start.family, int(start.parts[0])
    members = evidence.rows("taxonomy_assignments", family=family, cluster_id=cluster_id)
    node = _cluster_only(evidence, family, cluster_id)
    advantages = _advantages(evidence, family, members[:most])
    children = [*node.children, *advantages]
    return Node(node.kind, node.name, node.facts, children, len(members) - len(advantages))


def _cluster_only(evidence: Evidence, family: str, cluster_id: int) -> Node:
    """Return a cluster with its naming call and its candidate clustering, without its advantages."""
    row = evidence.row("final_taxonomy", family=family, cluster_id=cluster_id)
    if not row:
        known = ", ".join(str(other["cluster_id"]) for other in evidence.rows("final_taxonomy", family=family))
        raise AuditError(f"family {family} has no cluster {cluster_id}; known: {known or 'none'}")
    partition, candidate = Partition(family), (row["pca_dim"], row["n_clusters"])
    names = ("tag", "size", "pca_dim", "n_clusters", "kind", "main_domain", "domain_entropy")
    facts = {**{name: row[name] for name in names}, "definition": evidence.text(row["definition"])}
    naming_calls = evidence.call("naming call", "cluster_summaries", partition, *candidate, cluster_id)
    children = [
        *naming_calls,
        _candidate(evidence, family, candidate),
    ]
    return Node("cluster", f"{family}/{cluster_id}", facts, children)


def _candidate(evidence: Evidence, family: str, candidate: tuple[int, int]) -> Node:
    """Return the chosen clustering with its scores and reviews."""
    where = {"family": family, "pca_dim": candidate[0], "n_clusters": candidate[1]}
    row = evidence.row("candidate_clusterings", **where)
    facts = {name: row.get(name) for name in ("davies_bouldin", "silhouette", "explained_variance")}
    reviews = [
        Node("review call", call.name, {"total": review["total"], **call.facts})
        for review in evidence.rows("candidate_reviews", **where)
        for call in evidence.call("review call", "candidate_reviews", Partition(family), *candidate, review["review"])
    ]
    file = evidence.verification.files["final_taxonomy"][Partition(family)]
    choice = file.stamp.notes.get("choice") if file.stamp else None
    return Node("candidate", f"d' {candidate[0]}, K {candidate[1]}", {**facts, "choice": choice}, reviews)


def _cell(start: Start, evidence: Evidence, most: int | None) -> Node:
    family, (number, domain) = start.family, start.parts
    where = {"family": family, "cluster_id": int(number), "domain": domain}
    row = evidence.row("domain_distribution", **where)
    if not row:
        raise AuditError(f"family {family} has no cell of cluster {number} and domain {domain}")
    facts = {name: row[name] for name in ("n_advantages", "row_share", "column_share")}
    members = evidence.rows("taxonomy_assignments", **where)
    advantages = _advantages(evidence, family, members[:most])
    children = [_cluster_only(evidence, family, int(number)), *advantages]
    return Node("cell", f"{family}/{number}/{domain}", facts, children, len(members) - len(advantages))


def _advantages(evidence: Evidence, family: str, members: Sequence[dict[str, Any]]) -> list[Node]:
    return [evidence.advantage(Partition(family, row["domain"]), row["advantage_id"]) for row in members]


def _advantage(start: Start, evidence: Evidence, _most: int | None) -> Node:
    family, advantage_id = start.family, start.parts[0]
    row = evidence.row("advantage_corpus", family=family, advantage_id=advantage_id)
    if not row:
        raise AuditError(f"family {family} has no advantage {advantage_id}; ids are QUESTION_ID:PAIR_INDEX:POSITION")
    node = evidence.advantage(Partition(family, row["domain"]), advantage_id)
    assigned = evidence.row("taxonomy_assignments", family=family, advantage_id=advantage_id)
    return Node(
        node.kind, f"{family}/{node.name}", {"cluster": assigned.get("cluster_id"), **node.facts}, node.children
    )


def _edi(start: Start, evidence: Evidence, most: int | None) -> Node:
    where = {"family": start.family, "domain": start.parts[0]}
    if len(start.parts) == 2:
        row = evidence.row("error_dispersion", **where, question_id=start.parts[1])
        if not row:
            raise AuditError(f"{start.family}/{start.parts[0]} has no kept question {start.parts[1]}")
        return _question_index(evidence, row, most)
    summary = evidence.row("edi_summary", **where)
    if not summary:
        raise AuditError(f"{start.family}/{start.parts[0]} has no Error Dispersion Index")
    names = ("model", "n_questions", "n_undefined", "mean_edi", "std_edi")
    rows = evidence.rows("error_dispersion", **where)
    questions = [_question_index(evidence, row, most) for row in rows[:most]]
    facts = {name: summary[name] for name in names}
    return Node("mean index", f"{start.family}/{start.parts[0]}", facts, questions, len(rows) - len(questions))


def _question_index(evidence: Evidence, row: dict[str, Any], most: int | None) -> Node:
    """Return the index of one question and the pairs whose first errors it counts."""
    partition = Partition(row["family"], row["domain"])
    depths = [f"n_depth_{depth}" for depth in range(1, 6)]
    facts = {name: row[name] for name in ("edi", "n_errors", *depths, "entropy", "max_entropy", "mean_depth")}
    errors = evidence.rows("first_errors", **partition.columns, question_id=row["question_id"])
    pairs = [evidence.pair(partition, error["pair_id"]) for error in errors[:most]]
    return Node("index", f"{partition.label}/{row['question_id']}", facts, pairs, len(errors) - len(pairs))


def _files(evidence: Evidence, scope: Partition) -> Node:
    """Return the table partitions behind a result (for an advantage, those of its domain): content, step, run, time."""
    files = [
        _file(evidence, table, partition)
        for table in TABLES
        for partition in evidence.verification.files.get(table, {})
        if scope.overlaps(partition)
    ]
    return Node("made of", "these files", {}, files)


def _file(evidence: Evidence, table: str, partition: Partition) -> Node:
    file = evidence.verification.files[table][partition]
    materialisation = evidence.verification.made[table].get(partition)
    facts: dict[str, Any] = {"is_sound": file.is_sound}
    if file.stamp:
        facts |= {name: getattr(file.stamp, name) for name in ("n_rows", "content_hash", "code", "settings", "prompts")}
    if materialisation:
        time = materialisation.time.isoformat(timespec="seconds")
        facts |= {"run_id": materialisation.run_id, "step": materialisation.step, "made_at": time}
        facts |= {"file_sha256": materialisation.file_sha256, "prompt_hashes": materialisation.made_from.get("prompts")}
        facts |= {"made_from_settings": materialisation.made_from.get("settings")}
    if file.stamp:
        facts["upstream"] = dict(file.stamp.upstream)
    return Node("file", f"{table} of {partition.label}", facts)
