"""Inspect logs without inspect-ai installed; tests/integration covers logs written by Inspect."""

import sys

import pytest

from advcluster_dagster.sources.imports.evaluation_logs import find_logs, import_logs
from advcluster_dagster.sources.imports.inspect_logs import MissingInspectError, inspect_module, is_inspect_log


def test_logs_are_known_by_their_ending_or_beginning(tmp_path):
    log, listing = tmp_path / "run.json", tmp_path / "logs.json"
    log.write_text('{\n  "version": 2,\n  "status": "success",\n  "eval": {}}')
    listing.write_text('{"run.json": {"version": 2, "status": "success"}}')
    assert is_inspect_log(log)
    assert not is_inspect_log(listing)
    assert not is_inspect_log(tmp_path / "nothing.json")
    (tmp_path / "run.eval").touch()
    assert find_logs(tmp_path).paths == (tmp_path / "run.eval", log)


def test_without_inspect_one_line_says_how_to_have_it(tmp_path, study, root, monkeypatch):
    monkeypatch.setitem(sys.modules, "inspect_ai", None)
    monkeypatch.delitem(sys.modules, "inspect_ai.log", raising=False)
    path = tmp_path / "run.eval"
    path.write_bytes(b"PK")
    with pytest.raises(MissingInspectError, match=r"^Inspect logs need .* pip install") as error:
        import_logs(path, find_logs(path), study, "f", "math", "addition", root)
    assert len(str(error.value).splitlines()) == 1


def test_a_fault_inside_inspect_is_not_called_missing(monkeypatch):
    monkeypatch.setattr("importlib.import_module", _lacks_a_part)
    with pytest.raises(ModuleNotFoundError) as error:
        inspect_module("log")
    assert not isinstance(error.value, MissingInspectError)


def _lacks_a_part(name):
    raise ModuleNotFoundError("No module named 'zstandard'", name="zstandard")
