import os
import signal

import pytest

from advcluster_dagster.sandbox import launch, pool
from advcluster_dagster.sandbox.calls import build_plain_copier
from advcluster_dagster.sandbox.pool import LOST, SandboxError, WorkerPool


def _tasks(*calls, code="def f(x):\n    return x"):
    return [{"code": code, "call": call} for call in calls]


def test_replies_come_in_the_order_of_the_tasks():
    with WorkerPool("programs", 2) as workers:
        replies = workers.run(_tasks(*(f"f({n})" for n in range(50))))
        assert replies == [{"status": "value", "value": str(n)} for n in range(50)]
        assert workers.run([]) == []


@pytest.mark.parametrize("n_tasks", [0, 1, 2, 9, 1000])
@pytest.mark.parametrize("n_servers", [1, 2, 7])
def test_portions_are_all_tasks_in_order_and_the_last_are_small(n_tasks, n_servers):
    portions = list(pool._portions(n_tasks, n_servers))
    assert [number for portion in portions for number in portion] == list(range(n_tasks))
    assert all(len(portion) <= pool._MOST_AT_ONCE for portion in portions)
    assert [len(portion) for portion in portions[-4 * n_servers :]] == [1] * min(n_tasks, 4 * n_servers)


def test_a_killed_server_is_started_anew():
    with WorkerPool("programs", 1) as workers:
        workers.run(_tasks("f(1)"))
        os.killpg(workers._servers[0]._process.pid, signal.SIGKILL)
        assert workers.run(_tasks("f(1)", "f(2)")) == [
            {"status": "value", "value": "1"},
            {"status": "value", "value": "2"},
        ]


def test_a_task_that_loses_its_server_twice_is_lost(monkeypatch):
    with WorkerPool("programs", 1) as workers:
        assert workers.level
        monkeypatch.setattr(pool._Server, "_ask", lambda self, line: None)
        assert workers.run(_tasks("f(1)")) == [LOST]


def test_a_program_does_not_see_the_calls_before_it():
    code = "seen = []\ndef f(x):\n    seen.append(x)\n    return seen"
    with WorkerPool("programs", 1) as workers:
        replies = workers.run(_tasks("f(1)", "f(2)", code=code))
    assert [reply["value"] for reply in replies] == ["[1]", "[2]"]


def test_a_refused_bubblewrap_is_done_without(monkeypatch):
    monkeypatch.setattr(pool, "has_bubblewrap", lambda: True)
    monkeypatch.setattr(launch, "bubblewrap_command", lambda: ["false"])
    with WorkerPool("programs", 1) as workers:
        assert "bubblewrap" not in workers.level
        assert workers.run(_tasks("f(1)"))[0]["value"] == "1"


def test_a_server_that_never_starts_is_named(monkeypatch):
    monkeypatch.setattr(launch.sys, "executable", "false")
    with pytest.raises(SandboxError, match="the server for programs does not start"):
        WorkerPool("programs", 1, with_bubblewrap=False).run(_tasks("f(1)"))


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("from collections import Counter\ndef f(x):\n    return Counter(x)", "{1: 2}"),
        ("from collections import OrderedDict\ndef f(x):\n    return OrderedDict(a=x)", "{'a': [1, 1]}"),
        ("from collections import namedtuple\ndef f(x):\n    return namedtuple('P', 'x')(2)", "(2,)"),
        ("import typing\nclass P(typing.NamedTuple):\n    x: int = 1\ndef f(x):\n    return P()", "(1,)"),
        ("import enum\nE = enum.IntEnum('E', 'A B')\ndef f(x):\n    return E.B", "2"),
        ("from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int = 1\ndef f(x):\n    return P().x", "1"),
        ("import functools\ndef f(x):\n    return functools.wraps(f)(lambda: 0).__code__.co_argcount", "0"),
        ("def f(x):\n    return frozenset(x)", "{1}"),
        ("def f(x):\n    return bytearray(b'ab')", "b'ab'"),
        ("def f(x):\n    return 'a'.encode('shift_jis')", "b'a'"),
    ],
)
def test_a_value_comes_back_as_the_literal_it_equals(code, value):
    with WorkerPool("programs", 1) as workers:
        assert workers.run(_tasks("f([1, 1])", code=code)) == [{"status": "value", "value": value}]


@pytest.mark.parametrize("value", [range(3), object(), lambda: 1, [object()], iter([])])
def test_a_value_without_a_literal_is_refused(value):
    with pytest.raises(TypeError, match="has no literal"):
        build_plain_copier()(value)
