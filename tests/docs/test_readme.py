"""Commands of the README print what stands below them, and its Python runs."""

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest

from advcluster_dagster.storage.home import Home
from tests.cli.test_cli import run_cli

ROOT = Path(__file__).resolve().parents[2]
BLOCKS = re.findall(
    r"^```console\n(.*?)^```$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
)


def test_there_are_such_commands() -> None:
    assert len(BLOCKS) >= 2


@pytest.mark.parametrize("block", BLOCKS)
def test_a_command_prints_what_the_readme_shows(
    block: str, finished_demo: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    command, *expected = block.splitlines()
    assert command.startswith("$ advcluster ")
    arguments = command.split()[2:]
    home = finished_demo.root if "demo" in arguments else tmp_path
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("ADVCLUSTER_HOME", str(home))
    status, out, _ = run_cli(monkeypatch, capfd, *arguments)
    assert (status, out.splitlines()) == (0, expected)


@pytest.mark.integration
def test_the_python_of_the_readme_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (block,) = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(encoding="utf-8"), re.M | re.S)
    # The larger model is right in all trials, the smaller one in none: every question is kept, every pair compared.
    for model, shift in (("large", 0), ("small", 1)):
        lines = [
            json.dumps({"id": n, "question": f"What is {n} + {n}?", "answer": 2 * n,
                        "response": f"We add: {n} + {n} = {2 * n + shift}. \\boxed{{{2 * n + shift}}}", "trial": trial})
            for n in range(1, 7) for trial in range(2)
        ]  # fmt: skip
        path = tmp_path / "logs" / f"{model}" / "records.jsonl"
        path.parent.mkdir(parents=True)
        path.write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ADVCLUSTER_HOME", str(tmp_path / "home"))
    names: dict[str, Any] = {}
    *statements, last = ast.parse(block).body
    exec(compile(ast.Module(statements, []), "README.md", "exec"), names)
    assert isinstance(last, ast.Expr)
    pair = eval(compile(ast.Expression(last.value), "README.md", "eval"), names)
    assert "answers 100.0 % correctly" in capsys.readouterr().out
    assert names["comparison"].differences["difference"].to_list() == pytest.approx([1.0] * 3)
    assert "boxed" in pair._repr_html_()
