"""Installation command of an optional dependency (an extra of this package)."""

from pathlib import Path

_PROJECT = Path(__file__).resolve().parent.parent


def install_command(extra: str) -> str:
    """The command that installs an extra, from the checkout if running in one, else from the wheel file.

    The package is not on a package index, so it cannot be installed by name.
    """
    if (_PROJECT / "pyproject.toml").is_file():
        return f"pip install -c constraints.txt -e '.[{extra}]' in {_PROJECT}"
    return f"pip install 'FILE.whl[{extra}]' with the wheel file that this was installed from"
