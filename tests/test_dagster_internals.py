"""The private parts of Dagster that the package uses have the expected form."""

import dagster as dg
import pytest

from advcluster_dagster import dagster_internals as internals


@pytest.mark.parametrize("name", [name for name in internals.__all__ if name[0].isupper() and not name.isupper()])
def test_every_name_is_a_class(name):
    assert isinstance(getattr(internals, name), type)


def test_a_partition_filter_takes_a_key():
    assert internals.PartitionKeyFilter(key="a").key == "a"
    assert internals.PartitionKeyFilter(key=None).key is None


def rebuilt(name):
    @dg.op(name=name)
    def nothing() -> None:
        return None

    @dg.job(name=f"{name}_job")
    def job() -> None:
        nothing()

    return dg.Definitions(jobs=[job]).get_repository_def()


def test_a_repository_is_rebuilt_from_a_function_and_its_arguments():
    pointer = internals.CustomPointer(internals.ModuleCodePointer(__name__, rebuilt.__name__), [], [["name", "made"]])
    assert pointer.reconstructor_pointer.fn_name == "rebuilt"
    assert pointer.reconstructable_kwargs == [["name", "made"]]


def test_the_default_launcher_is_that_of_a_fresh_instance(tmp_path):
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        assert isinstance(instance.run_launcher, internals.DefaultRunLauncher)
        assert isinstance(instance.get_ref(), internals.InstanceRef)


def test_an_asset_job_is_resolved_later():
    assert isinstance(dg.define_asset_job("job"), internals.UnresolvedAssetJobDefinition)


def test_runs_of_this_process_belong_to_the_code_location(tmp_path):
    @dg.asset
    def made() -> None:
        return None

    job = dg.Definitions(assets=[made]).resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        with internals.runs_of_location(instance, job.name):
            inside = job.execute_in_process(instance=instance).run_id
        outside = job.execute_in_process(instance=instance).run_id
        origin = instance.get_run_by_id(inside).remote_job_origin
        assert origin.job_name == job.name
        assert origin.repository_origin.get_label() == "__repository__@advcluster_dagster.code_location"
        assert instance.get_run_by_id(outside).remote_job_origin is None
        # The query of the job's page in the UI.
        tag = {".dagster/repository": origin.repository_origin.get_label()}
        assert [run.run_id for run in instance.get_runs(dg.RunsFilter(tags=tag))] == [inside]
