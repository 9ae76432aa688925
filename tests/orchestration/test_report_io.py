import dagster as dg
import pytest

from advcluster_dagster.orchestration.report_io import ReportIOManager
from advcluster_dagster.storage.pages import PageFiles, page_path, read_report_stamp
from advcluster_dagster.storage.table_files import Stamp

REPORT, EXPLORER = "study_report", "evidence_explorer"


@pytest.fixture
def write(tmp_path):
    def write(page, files, stamp=None, study="sums", asset=REPORT):
        @dg.asset(key=[study, asset], io_manager_key="report_io")
        def made():
            return PageFiles(page, iter(files.items()), stamp or Stamp())

        @dg.asset(key=[study, "reader"], ins={"page": dg.AssetIn(key=made.key)})
        def reader(page):
            return page

        managers = {"report_io": ReportIOManager(tmp_path), "io_manager": dg.mem_io_manager}
        return dg.materialize([made, reader], resources=managers).output_for_node(reader.node_def.name)

    return write


def _files(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".json"
    }


def test_page_and_figures_are_written_and_read(write, tmp_path):
    assert write("<p>größer</p>", {"a.png": b"A"}) == "<p>größer</p>"
    assert page_path(tmp_path, "sums", REPORT).read_text(encoding="utf-8") == "<p>größer</p>"
    assert (tmp_path / "sums" / "a.png").read_bytes() == b"A"


def test_a_new_report_replaces_all_of_the_old_one(write, tmp_path):
    write("old", {"a.png": b"A", "b.png": b"B"})
    (tmp_path / "sums" / "notes.txt").write_text("a person's own")
    assert write("new", {"b.png": b"C"}) == "new"
    assert _files(tmp_path / "sums") == {"report.html": b"new", "b.png": b"C", "notes.txt": b"a person's own"}


def test_the_explorer_and_the_report_stand_side_by_side(write, tmp_path):
    write("report", {"a.png": b"A"})
    write("old", {"explorer/1/0-0.js": b"0", "explorer/1/0-1.js": b"1"}, asset=EXPLORER)
    write("new", {"explorer/2/0-0.js": b"2"}, asset=EXPLORER)
    assert _files(tmp_path / "sums") == {
        "report.html": b"report",
        "a.png": b"A",
        "explorer.html": b"new",
        "explorer/2/0-0.js": b"2",
    }
    assert not (tmp_path / "sums" / "explorer" / "1").exists()
    write("report again", {})
    assert (tmp_path / "sums" / "explorer" / "2" / "0-0.js").exists()


def test_files_that_cannot_be_made_leave_the_old_page_and_all_it_shows(write, tmp_path):
    write("old", {"explorer/1/0-0.js": b"0"}, asset=EXPLORER)
    before = _files(tmp_path / "sums")

    class Broken(dict):
        def items(self):
            yield "explorer/2/0-0.js", b"2"
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write("new", Broken(), asset=EXPLORER)
    assert before.items() <= _files(tmp_path / "sums").items()


def test_studies_have_reports_of_their_own(write, tmp_path):
    write("one", {}, study="one")
    write("two", {}, study="two")
    assert page_path(tmp_path, "one", REPORT).read_text() == "one"


def test_the_stamp_returns_as_it_was_written(write, tmp_path):
    stamp = Stamp("c", "s", "p", {"edi_summary@f/math": "abc"}, "hash", 3, {"n_failed": 0})
    write("page", {}, stamp)
    assert read_report_stamp(tmp_path, "sums", REPORT) == stamp
    assert read_report_stamp(tmp_path, "sums", EXPLORER) is None


@pytest.mark.parametrize("missing", ["report.html", "report.json"])
def test_half_a_report_has_no_stamp(write, tmp_path, missing):
    assert read_report_stamp(tmp_path, "sums", REPORT) is None
    write("page", {})
    (tmp_path / "sums" / missing).unlink()
    assert read_report_stamp(tmp_path, "sums", REPORT) is None
