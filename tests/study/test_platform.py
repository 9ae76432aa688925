import pytest

from advcluster_dagster.study.files import SettingsError
from advcluster_dagster.study.platform import PlatformSettings, load_platform_settings


def read(tmp_path, text):
    path = tmp_path / "platform.yaml"
    path.write_text(text, encoding="utf-8")
    return load_platform_settings(path)


def test_without_a_file_all_is_as_on_a_laptop(tmp_path):
    settings = load_platform_settings(tmp_path / "platform.yaml")
    assert settings == PlatformSettings()
    assert (settings.executor, settings.database_url_env, settings.lake) == ("in_process", None, None)
    assert (settings.max_concurrent_runs, settings.max_concurrent_steps, settings.gpu_pool_slots) == (2, None, 1)


def test_a_file_names_what_differs(tmp_path):
    settings = read(tmp_path, "executor: ray\nmax_concurrent_steps: 8\nlake: s3://bucket/a/b\n")
    assert settings.executor == "ray"
    assert settings.max_concurrent_steps == 8
    assert settings.lake == "s3://bucket/a/b"


@pytest.mark.parametrize(
    ("executor", "has_cluster"), [("in_process", False), ("multiprocess", False), ("ray", True), ("kubernetes", True)]
)
def test_ray_and_kubernetes_are_clusters(executor, has_cluster):
    assert PlatformSettings(executor=executor).has_cluster == has_cluster


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("executor: slurm", "executor is 'slurm'; give 'in_process', 'multiprocess', 'ray' or 'kubernetes'"),
        ("max_concurrent_steps: 0", "max_concurrent_steps is 0; give a number of at least 1"),
        (
            "database_url: postgresql://me:pw@host/db",
            "database_url is 'postgresql://...@host/db': there is no such setting; did you mean database_url_env?",
        ),
        ("lake: lake/here", "lake is 'lake/here'; give an address such as s3://BUCKET/PREFIX"),
        ("gpu_pool_slots: 1.5", "gpu_pool_slots is 1.5; give a whole number"),
        ("executor: ray\nexecutor: ray", "key 'executor' is given twice, first in line 1; remove one of them"),
        ("- ray", "a platform file needs keys and values, found a list; write lines `key: value`"),
    ],
)
def test_a_wrong_file_is_one_line(tmp_path, text, message):
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, text)
    line = str(caught.value)
    assert line.startswith(f"{tmp_path / 'platform.yaml'}")
    assert message in line
    assert "\n" not in line
