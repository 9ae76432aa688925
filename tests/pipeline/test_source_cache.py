import pytest

from advcluster_dagster.pipeline import source_cache


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    forget()
    yield
    forget()


def forget():
    """What a new process starts with."""
    source_cache._cache_file.cache_clear()
    source_cache._entries.cache_clear()


def refuse():
    raise AssertionError


def test_an_entry_is_computed_once_and_kept_for_other_processes():
    assert source_cache.cached_parts("a", lambda: {"science/x": "1"}) == {"science/x": "1"}
    assert source_cache.cached_parts("a", refuse) == {"science/x": "1"}
    forget()
    assert source_cache.cached_parts("a", refuse) == {"science/x": "1"}
    assert source_cache.cached_parts("b", lambda: {}) == {}


@pytest.mark.parametrize("content", [b"", b"[1]", b"{", b"\xff"])
def test_a_file_that_is_no_cache_is_written_again(content):
    source_cache.cached_parts("a", lambda: {"x": "1"})
    (path,) = source_cache._cache_file().parent.iterdir()
    path.write_bytes(content)
    forget()
    assert source_cache.cached_parts("a", lambda: {"x": "2"}) == {"x": "2"}
    forget()
    assert source_cache.cached_parts("a", refuse) == {"x": "2"}


def test_where_nothing_can_be_written_nothing_is_kept(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert source_cache.cached_parts("a", lambda: {"x": "1"}) == {"x": "1"}
    forget()
    assert source_cache.cached_parts("a", lambda: {"x": "2"}) == {"x": "2"}


def test_a_changed_file_of_the_package_has_a_cache_of_its_own(monkeypatch, tmp_path):
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    monkeypatch.setattr(source_cache.advcluster_dagster, "__file__", str(package / "__init__.py"))
    first = source_cache._cache_file()
    forget()
    assert source_cache._cache_file() == first
    (package / "module.py").write_text("x = 1")
    forget()
    assert source_cache._cache_file() != first
