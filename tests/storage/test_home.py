from pathlib import Path

import pytest

from advcluster_dagster.storage.home import Home, shipped
from advcluster_dagster.study.files import SettingsError
from advcluster_dagster.study.study import StudyError

SMALLEST = """\
study: {name}
trials: {trials}
families:
  f: {{larger: {{model: a, provider: imported}}, smaller: {{model: b, provider: imported}}}}
domains: {{math: [sums]}}
"""


def write_study(path: Path, name: str, trials: int = 2) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(SMALLEST.format(name=name, trials=trials), encoding="utf-8")
    return path


def test_home_is_named_by_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("ADVCLUSTER_HOME", str(tmp_path / "a" / ".." / "b"))
    assert Home.from_environment() == Home(tmp_path / "b")


def test_without_a_name_the_home_is_the_checkouts_data(monkeypatch):
    monkeypatch.delenv("ADVCLUSTER_HOME")
    root = Home.from_environment().root
    assert root.name == "data"
    assert (root.parent / "pyproject.toml").is_file()


def test_an_installed_package_has_its_home_in_the_current_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("ADVCLUSTER_HOME")
    monkeypatch.setattr("advcluster_dagster.storage.home._PROJECT", tmp_path / "site-packages")
    monkeypatch.chdir(tmp_path)
    assert Home.from_environment().root == tmp_path / "advcluster"


def test_two_homes_share_no_place(tmp_path):
    for name in ("lake", "studies", "imports", "reports", "dagster", "ledger_url"):
        one, other = (str(getattr(Home(tmp_path / root), name)) for root in ("one", "other"))
        assert str(tmp_path / "one") in one
        assert one != other


@pytest.mark.parametrize("name", ["demo", "paper"])
def test_shipped_studies_are_found_by_name_and_copied(home, name):
    study = home.register_study(name)
    assert study.study == name
    assert (home.studies / f"{name}.yaml").read_bytes() == (shipped("data/studies") / f"{name}.yaml").read_bytes()
    assert home.load_study(name) == study


def test_a_changed_copy_of_a_shipped_study_is_kept(home):
    write_study(home.studies / "demo.yaml", "demo", trials=3)
    assert home.register_study("demo").trials == 3


def test_a_file_is_copied_under_the_name_of_its_study(home, tmp_path):
    file = write_study(tmp_path / "download.yml", "sums.v2")
    assert home.register_study(str(file)).study == "sums.v2"
    assert home.register_study("sums.v2") == home.load_study("sums.v2")
    assert home.study_files() == [home.studies / "sums.v2.yaml"]


def test_a_file_given_again_replaces_its_copy(home, tmp_path):
    file = write_study(tmp_path / "sums.yaml", "sums", trials=2)
    home.register_study(str(file))
    write_study(file, "sums", trials=5)
    assert home.register_study(str(file)).trials == 5
    assert home.load_study("sums").trials == 5
    assert [path.name for path in home.studies.iterdir()] == ["sums.yaml"]


def test_the_copy_itself_may_be_given(home):
    file = write_study(home.studies / "sums.yaml", "sums")
    assert home.register_study(str(file)).study == "sums"
    assert home.study_files() == [file]


def test_a_wrong_file_does_not_replace_the_copy(home, tmp_path):
    write_study(home.studies / "sums.yaml", "sums", trials=2)
    wrong = write_study(tmp_path / "sums.yaml", "sums", trials=0)
    with pytest.raises(StudyError, match="trials is 0"):
        home.register_study(str(wrong))
    assert home.load_study("sums").trials == 2


def test_studies_are_listed_by_name(home):
    for name in ("b", "a"):
        write_study(home.studies / f"{name}.yaml", name)
    assert [path.stem for path in home.study_files()] == ["a", "b"]


def test_a_wrong_file_does_not_hide_the_other_studies(home):
    for name, trials in (("a", 2), ("b", 0), ("c", 3)):
        write_study(home.studies / f"{name}.yaml", name, trials)
    studies, faults = home.readable_studies()
    assert [study.study for study in studies] == ["a", "c"]
    assert faults == [f"{home.studies / 'b.yaml'}, line 2: trials is 0; give a number of at least 1"]


def test_an_unknown_name_lists_the_known_ones(home):
    with pytest.raises(StudyError) as caught:
        home.load_study("sums")
    assert str(caught.value) == f"study 'sums' not found in {home.studies}; known: none yet"
    write_study(home.studies / "one.yaml", "one")
    with pytest.raises(StudyError, match=r"known: one$"):
        home.register_study("sums")


def test_a_missing_file_is_one_line(home, tmp_path):
    with pytest.raises(StudyError, match=r"none\.yaml: study file not found; correct its name, or create it first$"):
        home.register_study(str(tmp_path / "none.yaml"))


def test_a_study_stands_in_the_file_of_its_name(home):
    path = write_study(home.studies / "sums.yaml", "differences")
    with pytest.raises(StudyError) as caught:
        home.load_study("sums")
    assert str(caught.value) == f"{path}: study is 'differences'; allowed: the name of its file, 'sums'"


@pytest.mark.parametrize("folder", ["data/studies", "dbt_like_sql"])
def test_shipped_folders_exist_and_a_wheels_own_take_precedence(folder, monkeypatch, tmp_path):
    assert shipped(folder).is_dir()
    monkeypatch.setattr("advcluster_dagster.storage.home._PACKAGE", tmp_path)
    packed = tmp_path / "presets" / Path(folder).name
    packed.mkdir(parents=True)
    assert shipped(folder) == packed


def test_the_platforms_settings_move_lake_and_database(home, monkeypatch):
    home.root.mkdir(parents=True)
    (home.root / "platform.yaml").write_text("lake: memory://bucket/prefix\ndatabase_url_env: HISTORY_URL\n")
    assert str(home.lake).rstrip("/").endswith("bucket/prefix")
    assert home.lake.protocol == "memory"
    for url, fault in (
        (None, "HISTORY_URL, which is not set"),
        ("postgresql://me:secret@host/db", r"HISTORY_URL, which does not begin with postgresql\+psycopg2://"),
    ):
        if url:
            monkeypatch.setenv("HISTORY_URL", url)
        with pytest.raises(SettingsError, match=f"platform.yaml: database_url_env names {fault}$"):
            _ = home.ledger_url
    monkeypatch.setenv("HISTORY_URL", "postgresql+psycopg2://me:secret@host/db")
    assert home.ledger_url == home.database_url == "postgresql+psycopg2://me:secret@host/db"


@pytest.mark.parametrize(
    ("lake", "missing", "message"),
    [
        (
            "s3://bucket",
            ImportError,
            r"lake s3://bucket: install the package for it: pip install -c constraints.txt -e '.\[s3]'",
        ),
        ("floppy://disk", ValueError, "lake floppy://disk: unknown storage 'floppy'"),
    ],
)
def test_a_lake_that_cannot_be_reached_is_one_line(home, monkeypatch, lake, missing, message):
    def find(_protocol):
        raise missing("no such thing")

    monkeypatch.setattr("fsspec.get_filesystem_class", find)
    home.root.mkdir(parents=True)
    (home.root / "platform.yaml").write_text(f"lake: {lake}\n")
    with pytest.raises(SettingsError, match=message):
        _ = home.lake


def test_on_kubernetes_the_instance_is_the_charts(home, monkeypatch, tmp_path):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "chart"))
    assert home.dagster == home.root / "dagster"
    home.root.mkdir(parents=True)
    (home.root / "platform.yaml").write_text("executor: kubernetes\n")
    assert Home(home.root).dagster == tmp_path / "chart"
