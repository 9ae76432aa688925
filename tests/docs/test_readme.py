"""Commands of the README print what stands below them."""

import re
from pathlib import Path

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
