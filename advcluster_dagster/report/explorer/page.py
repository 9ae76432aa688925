"""Render the explorer's page: markup, style and script in one file, with the data beside it.

The policy lets run this one script and files beside the page, which hold data alone; it allows no request, no image,
no form.
"""

import base64
import hashlib
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from advcluster_dagster.report.explorer.scripts import as_script_json
from advcluster_dagster.report.stand_ins import explorer_notice
from advcluster_dagster.study.study import Study


def render_explorer(study: Study, folder: str) -> str:
    """The page as HTML; ``folder`` is where its data files lie, seen from the page."""
    environment = Environment(
        loader=PackageLoader("advcluster_dagster.report.explorer"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style, script = (
        (files("advcluster_dagster.report.explorer") / "templates" / f"explorer.{kind}").read_text(encoding="utf-8")
        for kind in ("css", "js")
    )
    manifest = {
        "folder": folder,
        "families": [
            {"name": name, "larger": family.larger.model, "smaller": family.smaller.model}
            for name, family in study.families.items()
        ],
    }
    return environment.get_template("explorer.html.j2").render(
        study=study,
        style=Markup(style),
        style_hash=_hash(style),
        script=Markup(script),
        script_hash=_hash(script),
        notices=[notice for family in study.families if (notice := explorer_notice(study, family))],
        manifest=Markup(as_script_json(manifest)),
    )


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
