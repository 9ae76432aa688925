"""Commands of the README print what stands below them."""

import re
from pathlib import Path

import pytest

from tests.cli.test_cli import run_cli

ROOT = Path(__file__).resolve().parents[2]
BLOCKS = re.findall(
    r"^```console\n(.*?)^```$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
)


def test_there_are_such_commands() -> None:
    assert len(BLOCKS) >= 1


@pytest.mark.parametrize("block", BLOCKS)
def test_a_command_prints_what_the_readme_shows(
    block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("ADVCLUSTER_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    command, *expected = block.splitlines()
    assert command.startswith("$ advcluster ")
    status, out, _ = run_cli(monkeypatch, capfd, *command.split()[2:])
    assert (status, out.splitlines()) == (0, expected)
