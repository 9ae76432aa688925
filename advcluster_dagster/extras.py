"""The command that installs an optional dependency (an extra of this package)."""

from pathlib import Path

_PROJECT = Path(__file__).resolve().parent.parent


def install_command(extra: str) -> str:
    """The command that installs an extra: from the checkout where this runs in one, else from the wheel's file.

    The package is on no index, so its name alone would install nothing.
    """
    if (_PROJECT / "pyproject.toml").is_file():
        return f"pip install -c constraints.txt -e '.[{extra}]' in {_PROJECT}"
    return f"pip install 'FILE.whl[{extra}]' with the wheel file that this was installed from"
