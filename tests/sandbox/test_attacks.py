"""Hostile input against the sandbox: nothing escapes, is judged correct by fraud, or is left afterwards."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from string import Template

import psutil
import pytest

from advcluster_dagster.sandbox.deciding import Deciders
from advcluster_dagster.sandbox.launch import bubblewrap_command
from advcluster_dagster.sandbox.pool import WorkerPool
from advcluster_dagster.sandbox.system_calls import build_filter
from advcluster_dagster.science.grading.comparison import Comparison

CODE = "def f(x):\n    return x"
STATED = "stated output"
FORGED = json.dumps({"status": "value", "value": repr(STATED)}).encode() + b"\n"
FOLDER = Path(__file__).parents[1] / "cases/sandbox"
# A hostile program that inspects stack frames for the worker's token, to forge a reply.
CLIMB = """
import os
while frame:
    for token in list(frame.f_locals.values()):
        if isinstance(token, bytes) and len(token) == 32:
            for n in range(64):
                try: os.write(n, token + b' 0 value ' + repr(STATED).encode() + b'\\n')
                except OSError: pass
            os._exit(0)
    frame = frame.f_back
RESULT = 1
"""


def _programs(name):
    """Statements by name; the value they assign to RESULT is returned.

    $folder has a file `secret`, $port listens, $pid is this process, $forged is a reply in the form that servers give.
    """
    sections = (FOLDER / f"{name}.txt").read_text().split("=== ")[1:]
    return {title: Template(text) for title, _, text in (section.partition("\n") for section in sections)}


ATTACKS = _programs("hostile_programs")
FORGERIES = _programs("forging_programs")


def _task(name, attack, places):
    statements = attack.safe_substitute(places)
    code = f"def f(x):\n    names = dict(STATED={STATED!r})\n    exec({statements!r}, names)\n"
    return {"code": f"{code}    return names.get('RESULT')\n# {name}", "call": "f(0)"}


@pytest.fixture
def target(tmp_path, monkeypatch):
    """A folder with a secret, a listening port, a secret in the environment."""
    (tmp_path / "secret").write_text("kept")
    (tmp_path / "secret").chmod(0o644)
    tmp_path.chmod(0o777)
    monkeypatch.setenv("SECRET_OF_THE_HOST", "kept")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        places = {"folder": str(tmp_path), "port": server.getsockname()[1], "pid": os.getpid()}
        places |= {"forged": FORGED, "climb": CLIMB}
        yield places, tmp_path, server


def _attack_all(with_bubblewrap, target):
    places, folder, server = target
    before = set(psutil.Process().children(recursive=True))
    tasks = [_task(name, attack, places) for name, attack in (ATTACKS | FORGERIES).items()]
    honest = {"code": CODE, "call": "f([1, 2])"}
    with WorkerPool("programs", 2, with_bubblewrap) as pool:
        level = pool.level
        if "call filter" not in level:
            pytest.skip("without the call filter, the host itself would be attacked")
        replies = dict(zip(ATTACKS | FORGERIES, pool.run(tasks), strict=True))
        # The pool is healthy afterwards: correct answers, no processes except its servers.
        assert pool.run([honest] * 8) == [{"status": "value", "value": "[1, 2]"}] * 8
    assert set(psutil.Process().children(recursive=True)) <= before
    assert sorted(path.name for path in folder.iterdir()) == ["secret"]
    assert (folder / "secret").read_text() == "kept"
    with pytest.raises(BlockingIOError):
        server.accept()
    return level, replies


def _assert_harmless(replies):
    for name, reply in replies.items():
        assert "kept" not in str(reply), name
        assert "secret" not in str(reply.get("value")), name
        assert STATED not in str(reply), name


def test_there_are_many_attacks():
    assert len(ATTACKS) >= 45
    assert len(FORGERIES) >= 45


@pytest.mark.integration
def test_attacks_without_bubblewrap(target):
    level, replies = _attack_all(False, target)
    assert level == "call filter, resource limits"
    _assert_harmless(replies)
    assert replies["endless loop"] == {"status": "timeout"}
    assert replies["memory bomb at once"] == {"status": "memory"}
    assert replies["fork bomb"]["status"] == "raised"


@pytest.mark.integration
@pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")
def test_attacks_in_bubblewrap(target):
    level, replies = _attack_all(True, target)
    assert level.startswith("bubblewrap, ")
    _assert_harmless(replies)


def test_memory_is_bounded_however_long_filling_it_takes():
    # A time limit far beyond what 512 MiB need: on a busy machine the default of one second may be hit first.
    with WorkerPool("programs", 1, cpu_s=60.0) as pool:
        assert pool.run([_task("bomb", ATTACKS["memory bomb"], {})]) == [{"status": "memory"}]


@pytest.mark.parametrize("with_bubblewrap", [False, True])
def test_no_prediction_changes_the_verdict_of_another(with_bubblewrap):
    # Programs that pass dangerous objects to a lambda; each is called five times.
    code = "import builtins\ndef f(change):\n    change(vars(builtins))\n    return repr(1)"
    attacks = [f"lambda names: names.update(repr=lambda value: {STATED!r})", "lambda names: names.clear()"]
    context = json.dumps({"code": code, "output": "'1'"})
    predictions = [*attacks, "lambda names: 0"] * 5
    with Deciders(1, with_bubblewrap) as deciders:
        verdicts = deciders.decide_many([Comparison("python_input", "1", text, context) for text in predictions])
    # The lambda that does nothing returns repr(1) = '1', independently of earlier runs.
    assert verdicts == ["wrong", "wrong", "correct"] * 5


def test_no_attack_is_judged_right(target):
    context = json.dumps({"code": CODE, "output": repr(STATED)})
    texts = [attack.safe_substitute(target[0]) for attack in (ATTACKS | FORGERIES).values()]
    predictions = [f"f(exec({text!r}, names := dict(STATED={STATED!r})) or names.get('RESULT'))" for text in texts]
    with Deciders(1) as deciders:
        verdicts = deciders.decide_many([Comparison("python_input", "1", text, context) for text in predictions])
        # None of them is an argument list, so none is run, and no worker was needed.
        assert deciders.facts == {}
    assert verdicts == ["wrong"] * len(predictions)


FORBIDDEN = """
import errno, os, socket, sys
from advcluster_dagster.sandbox.system_calls import build_filter
build_filter(sys.argv[1] == 'reading')()
def refused(act):
    try:
        act()
    except OSError as error:
        return error.errno == errno.EPERM
    return False
print(refused(os.fork), refused(lambda: os.kill(1, 0)), refused(socket.socket), refused(lambda: os.mkdir('/var/x')),
      refused(lambda: os.open('/var/x', os.O_CREAT | os.O_WRONLY)),
      refused(lambda: os.open('/tmp', os.O_TMPFILE | os.O_RDWR)),
      refused(lambda: os.open(os.devnull, os.O_RDONLY)), sum(range(5)))
"""


@pytest.mark.skipif(build_filter(False) is None, reason="this platform has no call filter")
@pytest.mark.parametrize(("files", "is_reading_refused"), [("none", True), ("reading", False)])
def test_the_filter_refuses_calls(files, is_reading_refused):
    done = subprocess.run([sys.executable, "-c", FORBIDDEN, files], capture_output=True, text=True, check=True)
    # 0 + 1 + 2 + 3 + 4 = 10: code without system calls still works.
    assert done.stdout.split() == ["True"] * 6 + [str(is_reading_refused), "10"]


LOOK_ROUND = """
import os, socket
print(os.getpid(), sorted(os.environ), os.path.exists({folder!r}))
for act in (lambda: open('/usr/x', 'w'), lambda: open('/x', 'w'),
            lambda: socket.create_connection(('127.0.0.1', {port})), lambda: os.kill({pid}, 9)):
    try:
        print(act())
    except OSError as error:
        print(type(error).__name__)
"""


@pytest.mark.integration
@pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")
def test_bubblewrap_alone_shows_nothing_of_the_host(target):
    places, _, server = target
    command = [*bubblewrap_command(), sys.executable, "-c", LOOK_ROUND.format(**places)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True, env={}).stdout.splitlines()
    assert lines[0].startswith("1 [")
    assert lines[0].endswith("] False")
    assert "SECRET_OF_THE_HOST" not in lines[0]
    assert lines[1:] == ["OSError", "OSError", "ConnectionRefusedError", "ProcessLookupError"]
    with pytest.raises(BlockingIOError):
        server.accept()
