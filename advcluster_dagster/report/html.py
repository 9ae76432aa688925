"""HTML helpers shared by the report, the explorer and the audit page: templates and content policy hashes."""

import base64
import hashlib
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined


def template_environment(package: str) -> Environment:
    """Template environment of a package: all values are escaped, undefined names are errors."""
    return Environment(
        loader=PackageLoader(package), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )


def shipped_text(package: str, name: str) -> str:
    """Read a style sheet or script from a package's templates."""
    return (files(package) / "templates" / name).read_text(encoding="utf-8")


def policy_hash(text: str) -> str:
    """SHA-256 of a style or script in base64, for a content security policy."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
