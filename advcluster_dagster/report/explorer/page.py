"""Render the explorer's page: markup, style and script in one file, with data files next to it.

The content security policy allows this one script and the data files; it forbids requests, images and forms.
"""

from markupsafe import Markup

from advcluster_dagster.report.explorer.scripts import as_script_json
from advcluster_dagster.report.html import policy_hash, shipped_text, template_environment
from advcluster_dagster.report.stand_ins import explorer_notice
from advcluster_dagster.study.study import Study


def render_explorer(study: Study, folder: str) -> str:
    """Render the page as HTML; ``folder`` is the path of its data files relative to the page."""
    package = "advcluster_dagster.report.explorer"
    style = shipped_text(package, "explorer.css")
    script = "\n".join(shipped_text(package, name) for name in ("alignment.js", "explorer.js"))
    manifest = {
        "folder": folder,
        "families": [
            {
                "name": name,
                "larger": family.larger.shown_as,
                "smaller": family.smaller.shown_as,
                **({"is_labelled": True} if family.is_labelled else {}),
            }
            for name, family in study.families.items()
        ],
    }
    return (
        template_environment(package)
        .get_template("explorer.html.j2")
        .render(
            study=study,
            style=Markup(style),
            style_hash=policy_hash(style),
            script=Markup(script),
            script_hash=policy_hash(script),
            notices=[notice for family in study.families if (notice := explorer_notice(study, family))],
            manifest=Markup(as_script_json(manifest)),
        )
    )
