import base64
import hashlib
import json
import re
from importlib.resources import files

from advcluster_dagster.report.explorer.page import render_explorer
from advcluster_dagster.study.study import Study
from tests.report.explorer.evidence import made_study

PAGE = render_explorer(made_study(("f", "g")), "explorer/0123")


def _between(start, end):
    return PAGE.split(start)[1].split(end)[0]


def _digest(text):
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def test_evidence_of_an_embedded_judge_on_real_traces_carries_a_notice():
    study = made_study(("f",)).model_dump(mode="json")
    study["judges"] = {judge: {"model": "m", "provider": "openai"} for judge in ("extractor", "summariser", "reviewer")}
    assert 'class="notice"' not in render_explorer(Study.model_validate(study), "explorer/0")
    study["judges"]["summariser"] = {"model": "analyst", "provider": "embedded"}
    assert "Tags and definitions of f were produced by the embedded reader" in render_explorer(
        Study.model_validate(study), "explorer/0"
    )
    study["judges"]["extractor"] = {"model": "analyst", "provider": "embedded"}
    page = render_explorer(Study.model_validate(study), "explorer/0")
    assert "Advantages, evidence, first errors and tags of f were produced by the embedded reader" in page
    for role in ("larger", "smaller"):
        study["families"]["f"][role]["provider"] = "simulated"
    assert 'class="notice"' not in render_explorer(Study.model_validate(study), "explorer/0")


def test_the_policy_names_the_style_and_the_script_and_lets_nothing_be_fetched():
    style, script = _between("<style>", "</style>"), _between("<script>", "</script>")
    assert re.search('http-equiv="Content-Security-Policy" content="([^"]*)"', PAGE)[1] == (
        f"default-src 'none'; script-src {_digest(script)} 'self' file:; style-src {_digest(style)}; "
        "base-uri 'none'; form-action 'none'"
    )


def test_the_page_names_the_folder_and_the_families():
    assert json.loads(_between('id="manifest">', "</script>")) == {
        "folder": "explorer/0123",
        "families": [{"name": name, "larger": f"{name}-larger", "smaller": f"{name}-smaller"} for name in ("f", "g")],
    }


def test_names_of_models_are_data():
    settings = made_study().model_dump(mode="json", exclude_unset=True)
    settings["families"]["f"]["larger"]["model"] = "</script><b>'\""
    page = render_explorer(Study.model_validate(settings), "explorer/0123")
    assert "</script><b>" not in page
    assert page.count("</script>") == PAGE.count("</script>")


def test_the_script_makes_no_markup_and_no_request():
    script = (files("advcluster_dagster.report.explorer") / "templates" / "explorer.js").read_text(encoding="utf-8")
    for way in (
        "innerHTML",
        "outerHTML",
        "insertAdjacent",
        "document.write",
        "eval(",
        "Function(",
        "fetch(",
        "XMLHttp",
    ):
        assert way not in script
    assert "http" not in script
    assert not re.search(r"url\(|@import|@font-face|<link", PAGE)
