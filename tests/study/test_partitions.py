import dagster as dg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advcluster_dagster.orchestration.partition_definitions import (
    partition_mapping,
    partitions_definition,
    sync_partitions,
)
from advcluster_dagster.study.partition import Partition, all_partitions, partition_from_key
from advcluster_dagster.study.study import Study

LEVELS = ("study", "domain", "family", "family_domain")
MODELS = {"larger": {"model": "l", "provider": "imported"}, "smaller": {"model": "s", "provider": "imported"}}


def study(families=("f", "g"), domains=("math", "law"), name="sums"):
    return Study.model_validate(
        {"study": name, "families": dict.fromkeys(families, MODELS), "domains": {domain: ["b"] for domain in domains}}
    )


@pytest.mark.parametrize(
    ("partition", "key", "label", "columns"),
    [
        (Partition("f", "math"), "math|f", "f/math", {"family": "f", "domain": "math"}),
        (Partition("f"), "f", "f", {"family": "f"}),
        (Partition(domain="math"), "math", "math", {"domain": "math"}),
        (Partition(), None, "all", {}),
    ],
)
def test_keys_labels_and_columns(partition, key, label, columns):
    assert partition.key == key
    assert partition.label == label
    assert partition.columns == columns


NAMES = st.from_regex(r"[a-z0-9][a-z0-9_.-]{0,8}", fullmatch=True)


@settings(deadline=None)
@given(NAMES, NAMES, st.sampled_from(LEVELS))
def test_a_key_leads_back_to_its_partition(family, domain, level):
    partition = Partition(family, domain).at(level)
    assert partition_from_key(level, partition.key) == partition
    assert partition_from_key(level, None if partition.key is None else str(partition.key)) == partition


@pytest.mark.parametrize(
    ("one", "other", "is_overlapping"),
    [
        (Partition("f", "math"), Partition("f", "math"), True),
        (Partition("f", "math"), Partition("f", "law"), False),
        (Partition("f", "math"), Partition("g", "math"), False),
        (Partition("f"), Partition("f", "math"), True),
        (Partition("g"), Partition("f", "math"), False),
        (Partition("f"), Partition(domain="math"), True),
        (Partition(), Partition("f", "math"), True),
    ],
)
def test_partitions_overlap_where_they_agree_in_what_both_have(one, other, is_overlapping):
    assert one.overlaps(other) == other.overlaps(one) == is_overlapping


def test_all_partitions_in_the_order_of_the_file():
    assert all_partitions(study(), "family_domain") == [
        Partition("f", "math"), Partition("f", "law"), Partition("g", "math"), Partition("g", "law"),
    ]  # fmt: skip
    assert all_partitions(study(), "family") == [Partition("f"), Partition("g")]
    assert all_partitions(study(), "domain") == [Partition(domain="math"), Partition(domain="law")]
    assert all_partitions(study(), "study") == [Partition()]


@pytest.mark.parametrize("level", LEVELS)
def test_every_fine_partition_lies_in_a_coarse_one(level):
    coarse = {partition.at(level) for partition in all_partitions(study(), "family_domain")}
    assert coarse == set(all_partitions(study(), level))


def test_definitions_are_named_by_the_study():
    assert partitions_definition("sums", "study") is None
    assert partitions_definition("sums", "family").name == "sums_family"
    assert partitions_definition("sums", "domain").name == "sums_domain"
    both = partitions_definition("sums", "family_domain")
    assert {part.name: part.partitions_def.name for part in both.partitions_defs} == {
        "family": "sums_family",
        "domain": "sums_domain",
    }


def keys(instance, name="sums"):
    return {of: set(instance.get_dynamic_partitions(f"{name}_{of}")) for of in ("family", "domain")}


def test_partition_keys_follow_the_study():
    with dg.DagsterInstance.ephemeral() as instance:
        sync_partitions(instance, study())
        assert keys(instance) == {"family": {"f", "g"}, "domain": {"math", "law"}}
        sync_partitions(instance, study())
        assert keys(instance) == {"family": {"f", "g"}, "domain": {"math", "law"}}
        sync_partitions(instance, study(families=("g", "h"), domains=("math",)))
        assert keys(instance) == {"family": {"g", "h"}, "domain": {"math"}}


def test_studies_do_not_share_keys():
    with dg.DagsterInstance.ephemeral() as instance:
        sync_partitions(instance, study())
        sync_partitions(instance, study(families=("x",), domains=("y",), name="other"))
        assert keys(instance) == {"family": {"f", "g"}, "domain": {"math", "law"}}
        assert keys(instance, "other") == {"family": {"x"}, "domain": {"y"}}


@pytest.mark.parametrize("upstream", LEVELS)
@pytest.mark.parametrize("downstream", LEVELS)
def test_mappings_between_levels_reach_what_a_partition_is_made_from(upstream, downstream):
    mapping = partition_mapping(upstream, downstream)
    if upstream in (downstream, "study"):
        assert mapping is None
        return
    with dg.DagsterInstance.ephemeral() as instance:
        sync_partitions(instance, study())
        definitions = [partitions_definition("sums", level) for level in (downstream, upstream)]
        chosen = Partition("f", "math").at(downstream)
        found = mapping.get_upstream_mapped_partitions_result_for_partitions(
            None if definitions[0] is None else definitions[0].subset_with_partition_keys([chosen.key]),
            definitions[0],
            definitions[1],
            dynamic_partitions_store=instance,
        )
        reached = {partition_from_key(upstream, key) for key in found.partitions_subset.get_partition_keys()}
    assert reached == {
        partition
        for partition in all_partitions(study(), upstream)
        if partition.family in (None, chosen.family) or chosen.family is None
        if partition.domain in (None, chosen.domain) or chosen.domain is None
    }
