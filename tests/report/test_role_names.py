"""Labels of models: if a study defines them, pages name its models only by label."""

import json
import re
from collections.abc import Callable
from dataclasses import replace

import polars as pl
import pytest
from matplotlib.figure import Figure

from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.report.data import ReportData
from advcluster_dagster.report.explorer.page import render_explorer
from advcluster_dagster.report.figures import family_figures
from advcluster_dagster.report.page import render_report
from advcluster_dagster.report.role_names import UNLABELLED, RoleNames, names_in, names_of
from advcluster_dagster.report.sections import accuracy, summary
from advcluster_dagster.study.models import Family
from tests.report.test_figures import texts
from tests.report.test_page import Page, page_of, with_table

LABELS = ("thinking on", "thinking off")
#: Words for the roles.
ROLE_WORDS = re.compile(r"\b(?:larger|smaller)\b", re.IGNORECASE)


def _family(labels: tuple[str, str] = LABELS) -> Family:
    """One model with two settings."""
    ways = zip(("larger", "smaller"), labels, (True, False), strict=True)
    shared = {"model": "qwen3-8b", "provider": "imported"}
    return Family.model_validate(
        {role: {**shared, "label": label, "sampling": {"enable_thinking": on}} for role, label, on in ways}
    )


def _labelled(data: ReportData, **labels: tuple[str, str]) -> ReportData:
    """Data with these families labelled, including model names in the tables."""
    families = {**data.study.families, **{name: _family(pair) for name, pair in labels.items()}}
    is_labelled = pl.col("family").is_in(list(labels))
    tables = {
        name: frame.with_columns(model=pl.when(is_labelled).then(pl.lit("qwen3-8b")).otherwise("model"))
        if {"family", "model"} <= set(frame.columns)
        else frame
        for name, frame in data.tables.items()
    }
    return replace(data, study=data.study.model_copy(update={"families": families}), tables=tables)


@pytest.fixture(scope="module")
def labelled(make_data: Callable[..., ReportData]) -> ReportData:
    data = make_data(("lyra",))
    cases = pl.DataFrame(
        [{"family": "lyra", "cluster_id": 0, "advantage_id": "a", "question_id": "q", "domain": "math",
          "question": "How many?", "stage": "Reading",
          **{f"{role}_{name}": value for role in ("larger", "smaller")
             for name, value in (("excerpt", "So it is five."), ("start", 9), ("end", 13))}}]
    )  # fmt: skip
    contract = TABLES["worked_cases"]
    cases = cases.select(
        (pl.col(name) if name in cases.columns else pl.lit(None)).cast(dtype).alias(name)
        for name, dtype in contract.schema.items()
    )
    return _labelled(with_table(data, worked_cases=cases), lyra=LABELS)


@pytest.fixture(scope="module")
def page(labelled: ReportData) -> Page:
    return page_of(labelled)


def test_words_for_the_models() -> None:
    assert [UNLABELLED.the("larger"), UNLABELLED.the("smaller", "one"), UNLABELLED.the("smaller", "")] == [
        "the larger model",
        "the smaller one",
        "the smaller",
    ]
    assert (UNLABELLED.model("larger"), UNLABELLED.capitalised("smaller")) == ("larger model", "The smaller model")
    names = RoleNames("on", "off", is_label=True)
    assert {names.the("larger"), names.model("larger"), names.capitalised("larger"), names.of("larger")} == {"on"}
    assert {names.the("smaller", ""), names.the("smaller", "one")} == {"off"}


def test_words_of_a_study_are_those_that_fit_all_its_families(data: ReportData) -> None:
    assert names_in(data.study) == UNLABELLED
    first, second = data.study.families
    assert names_in(_labelled(data, **{first: LABELS}).study).the("larger") == "the first model"
    assert (
        names_in(_labelled(data, **{first: LABELS, second: ("on", "off")}).study).the("smaller") == "the second model"
    )
    assert names_in(_labelled(data, **{first: LABELS, second: LABELS}).study) == names_of(_family())


def test_no_page_text_speaks_of_larger_and_smaller_where_there_are_labels(page: Page) -> None:
    assert [page.text[max(0, at.start() - 60) : at.end() + 30] for at in ROLE_WORDS.finditer(page.text)] == []
    for attributes in (dict(attrs) for _, attrs in page.tags):
        assert not ROLE_WORDS.search(attributes.get("alt") or "")


def test_without_labels_the_same_places_do(make_data: Callable[..., ReportData]) -> None:
    text = page_of(make_data(("lyra",))).text
    assert len(ROLE_WORDS.findall(text)) > 15
    assert "Where the larger model excels, and what the smaller one gets wrong first" in text


def test_title_summary_tables_and_cases_name_the_labels(labelled: ReportData, page: Page) -> None:
    assert "Where thinking on excels, and what thinking off gets wrong first" in page.text
    assert "lyra: thinking on over thinking off" in page.text
    assert "First errors of thinking off" in page.text
    (first, *_) = summary.findings(labelled, "lyra")
    assert first.startswith("thinking on answers ")
    assert ", thinking off " in first
    table = accuracy.accuracy_table(labelled, "lyra", None)
    assert table.columns[2:] == ("thinking off", "thinking on", "difference")
    assert table.caption.startswith("Accuracy of thinking off and thinking on in percent")
    assert accuracy.verdict_table(labelled, "lyra").spans == (("", 1), ("thinking off", 2), ("thinking on", 2))
    assert "Model_A is thinking on and Model_B thinking off." in page.text
    assert "thinking on So it is five . thinking off So it is five ." in page.text
    assert ["lyra, thinking on", "qwen3-8b", "imported", "enable_thinking True", "none"] in page.rows


def test_a_sentence_begins_with_the_label(labelled: ReportData) -> None:
    shares = labelled.table("stage_shares", "lyra").filter(pl.col("domain") == "all")
    leading = shares.with_columns(
        question_share=pl.when(pl.col("stage") == "Reading").then(0.9).otherwise(0.01), lead_low=pl.lit(0.5)
    )
    sentences = summary.findings(with_table(labelled, stage_shares=leading), "lyra")
    assert any(sentence.startswith("thinking off most often fails first at Reading") for sentence in sentences)


def _words(figure: Figure) -> str:
    labels = [text for axes in figure.axes for text in (axes.get_xlabel(), axes.get_ylabel())]
    return "\n".join((texts(figure), *labels))


def test_legends_and_axes_name_the_labels(labelled: ReportData) -> None:
    drawn = family_figures(labelled, "lyra")
    assert not [kind for kind, figure in drawn.items() if ROLE_WORDS.search(_words(figure))]
    assert "thinking on\n" in _words(drawn["accuracy"])
    assert "Pass rate of thinking off" in _words(drawn["pass_rates"])


HOSTILE = ('<b>on</b> & "$x^2$" {{ 7*7 }}', "'off' <img src=x> $\\frac{1$ \\alpha")


def test_labels_stay_text(labelled: ReportData) -> None:
    data = _labelled(labelled, lyra=HOSTILE)
    html = render_report(data)
    assert "<b>on" not in html
    assert "<img src=x" not in html
    page = Page(html)
    assert page.open == []
    assert f"Where {HOSTILE[0]} excels, and what {HOSTILE[1]} gets wrong first" in page.text
    explorer = render_explorer(data.study, "explorer/0")
    assert not {"<b>on", "<img src=x"} & {tag for tag in ("<b>on", "<img src=x") if tag in explorer}


def test_the_longest_labels_stand_whole_in_a_figure(labelled: ReportData) -> None:
    long = ("W" * 60, f"a {'b' * 40} {'c' * 17}")
    words = _words(family_figures(_labelled(labelled, lyra=long), "lyra")["accuracy"])
    assert "…" not in words
    assert f"{'W' * 40}\n{'W' * 20}" in words
    assert f"a\n{'b' * 40}\n{'c' * 17}" in words


def test_the_explorer_is_told_the_labels_and_that_they_are_labels(labelled: ReportData) -> None:
    page = render_explorer(labelled.study, "explorer/0")
    manifest = json.loads(page.split('id="manifest">')[1].split("</script>")[0])
    assert manifest["families"] == [
        {"name": "lyra", "larger": "thinking on", "smaller": "thinking off", "is_labelled": True}
    ]
    script = page.split('id="manifest">')[1]
    # Each place of the script that names a role asks whether the family has labels.
    lines = [line for line in script.splitlines() if re.search(r"(larger|smaller) (model|trace|one)|Larger: ", line)]
    assert [line for line in lines if "is_labelled" not in line and not line.strip().startswith(("//", ":", "["))] == []


AGREEMENTS = [
    ("lyra", "math", "a", "b", 4, 0.75, 0.5, 18.75),
    ("lyra", "math", "all", "all", 4, 0.75, None, 18.75),
    ("lyra", "physics", "a", "b", 0, None, None, None),
    ("lyra", "physics", "all", "all", 0, None, None, None),
]


def _with_panel(data: ReportData, rows: list[tuple[object, ...]]) -> ReportData:
    frame = pl.DataFrame(rows, schema=TABLES["panel_agreements"].schema, orient="row")
    members = [{"model": name, "provider": "openai"} for name in "ab"]
    grading = type(data.study.grading).model_validate({"panel": members})
    study = data.study.model_copy(update={"grading": grading})
    return replace(with_table(data, panel_agreements=frame), study=study)


def test_members_of_a_panel_stand_beside_each_other(labelled: ReportData) -> None:
    data = _with_panel(labelled, AGREEMENTS)
    assert [(row.kind, row.cells) for row in accuracy.judges_table(data, "lyra").rows] == [
        ("group", ("math",)),
        ("plain", ("a and b", "4", "75.0", "0.50", "18.8")),
        ("subtotal", ("all judges", "4", "75.0", "—", "18.8")),
        ("group", ("physics",)),
        ("plain", ("a and b", "0", "—", "—", "—")),
        ("subtotal", ("all judges", "0", "—", "—", "—")),
    ]
    assert [row.kind for row in accuracy.judges_table(_with_panel(labelled, AGREEMENTS[:2]), "lyra").rows] == [
        "plain",
        "subtotal",
    ]
    assert "Agreement between members of the judge panel" in page_of(data).text


def test_without_a_panel_the_page_has_no_such_table(page: Page) -> None:
    assert "Members of the judge panel" not in page.text
