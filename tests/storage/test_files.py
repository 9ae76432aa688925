import hashlib
import multiprocessing

import pytest

from advcluster_dagster.storage.files import atomic_write, file_lock, file_sha256


def test_the_new_content_replaces_the_old_when_the_block_ends(tmp_path):
    path = tmp_path / "made" / "file.txt"
    path.parent.mkdir()
    with atomic_write(path) as staged:
        staged.write_text("first")
        assert not path.exists()
    with atomic_write(path) as staged:
        staged.write_text("second")
        assert path.read_text() == "first"
    assert path.read_text() == "second"
    assert [file.name for file in path.parent.iterdir()] == ["file.txt"]


def test_an_error_leaves_the_old_content_and_no_other_file(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("first")

    def write_half():
        with atomic_write(path) as staged:
            staged.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert path.read_text() == "first"
    assert [file.name for file in tmp_path.iterdir()] == ["file.txt"]


@pytest.mark.parametrize("content", [b"", b"abc", b"\0" * 3_000_000])
def test_the_hash_is_that_of_the_bytes(tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    assert file_sha256(tmp_path / "file") == hashlib.sha256(content).hexdigest()


def hold(path, is_held, may_end):
    with file_lock(path) as held:
        assert held
        is_held.set()
        may_end.wait(60)


def test_a_lock_is_held_by_one_process_at_a_time(tmp_path):
    context = multiprocessing.get_context("spawn")
    is_held, may_end, path = context.Event(), context.Event(), tmp_path / "made" / "a.lock"
    other = context.Process(target=hold, args=(path, is_held, may_end))
    other.start()
    assert is_held.wait(60)
    with file_lock(path, must_wait=False) as held:
        assert not held
    may_end.set()
    with file_lock(path) as held:
        assert held
    other.join(60)
    assert other.exitcode == 0


def test_a_killed_process_gives_its_lock_up(tmp_path):
    context = multiprocessing.get_context("spawn")
    is_held, may_end, path = context.Event(), context.Event(), tmp_path / "a.lock"
    other = context.Process(target=hold, args=(path, is_held, may_end))
    other.start()
    assert is_held.wait(60)
    other.kill()
    other.join(60)
    with file_lock(path, must_wait=False) as held:
        assert held
