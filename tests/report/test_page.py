import base64
import hashlib
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser

import polars as pl
import pytest

from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.report.data import ReportData
from advcluster_dagster.report.page import render_report
from advcluster_dagster.report.style import notice_figure
from advcluster_dagster.study.models import Family

HOSTILE = "<script>alert(1)</script>\"' onmouseover=alert(1) x='</td></table>{{ 7*7 }} \u202egnp.exe\u200b " + "W" * 400


class Page(HTMLParser):
    """Parsed page: text, tags, attributes, tables by caption, unclosed tags."""

    VOID = frozenset({"meta", "img", "br"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.rows: list[list[str]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th") and self.rows:
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        if "style" in self.open:
            return
        self.words.append(data)
        if {"td", "th"} & set(self.open) and self.rows:
            self.rows[-1][-1] += data

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def html(data: ReportData) -> str:
    return render_report(data)


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def page_of(data: ReportData) -> Page:
    """The page with one small figure in place of all, for tests that do not concern figures."""
    notice = notice_figure("left out")
    kinds = ("accuracy", "pass_rates", "sweep", "heatmap", "depths")
    return Page(render_report(data, {f"{family}_{kind}": notice for family in data.study.families for kind in kinds}))


def with_table(data: ReportData, **tables: pl.DataFrame) -> ReportData:
    return replace(data, tables={**data.tables, **tables})


def test_the_page_is_well_formed_and_deterministic(data: ReportData, html: str, page: Page) -> None:
    assert page.open == []
    assert render_report(data) == html


def test_nothing_is_fetched_and_nothing_runs(html: str, page: Page) -> None:
    kinds = {tag for tag, _ in page.tags}
    assert not kinds & {"script", "link", "iframe", "object", "embed", "base", "form", "svg"}
    for _, attributes in page.tags:
        assert "style" not in attributes
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href", "srcset", "action"):
            assert (attributes.get(name) or "#").startswith(("#", "data:image/svg+xml;base64,", "explorer.html#"))
    assert not re.search(r"url\(|@import|@font-face", html)
    figures = [attributes["src"] for tag, attributes in page.tags if tag == "img"]
    assert len(figures) == 10
    assert all(base64.b64decode(str(source).split(",", 1)[1]).startswith(b"<?xml") for source in figures)


def test_the_policy_names_the_stylesheet(html: str, page: Page) -> None:
    policy = next(a["content"] for _, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    style = html.split("<style>")[1].split("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert (
        policy == f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )


def test_every_link_of_the_contents_leads_somewhere(page: Page) -> None:
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    links = [link for tag, attributes in page.tags if tag == "a" and (link := str(attributes["href"])).startswith("#")]
    assert len(links) == 15
    assert {link[1:] for link in links} <= set(ids)
    assert len(ids) == len(set(ids))


def test_clusters_and_examples_lead_to_the_explorer(data: ReportData) -> None:
    ids = {"family": ["qwen3"], "advantage_id": ["a b&c=#/%:0:0"], "domain": ["math"]}
    odd = (
        data.tables["advantage_corpus"].head(1).with_columns(**{name: pl.lit(value[0]) for name, value in ids.items()})
    )
    placed = (
        data.tables["taxonomy_assignments"]
        .head(1)
        .with_columns(**{name: pl.lit(value[0]) for name, value in ids.items()}, cluster_id=pl.lit(3, pl.Int64))
    )
    page = page_of(with_table(data, advantage_corpus=odd, taxonomy_assignments=placed))
    links = {attributes["href"] for tag, attributes in page.tags if tag == "a"}
    assert {"explorer.html#family=qwen3", "explorer.html#family=qwen3&cluster=3"} <= links
    assert "explorer.html#family=qwen3&advantage=a%20b%26c%3D%23/%25%3A0%3A0" in links


def test_tables_and_figures_are_numbered_in_order(page: Page) -> None:
    for kind, n in (("Table", 42), ("Figure", 10)):
        numbers = [int(number) for number in re.findall(rf"\b{kind} (\d+)\.", page.text)]
        assert numbers == list(range(1, n + 1))


def test_the_summary_speaks_in_numbers_of_the_tables(data: ReportData, page: Page) -> None:
    paired = data.table("paired_accuracies", "qwen3").filter(pl.col("level") == "family").row(0, named=True)
    low, high = (f"{100 * paired[f'difference_{end}']:.1f}" for end in ("low", "high"))
    assert f"qwen3-32b answers {100 * paired['larger_mean']:.1f} % correctly" in page.text
    assert f"a difference of +{100 * paired['difference']:.1f} points [{low}, {high}] over 4 domains" in page.text
    kept = data.table("analysis_question_set", "qwen3").height
    selected = data.table("selection_reliabilities", "qwen3").filter(pl.col("domain") == "all").row(0, named=True)
    assert f"{kept} of 320 questions show an observed gap of at least 0.6" in page.text
    assert f"an estimated {selected['estimated_gap']:.2f} in fresh trials" in page.text
    assert "a deterministic stand-in for a judge model" in page.text
    assert ["qwen3", "0.431", "700", "81.2", "281"] in page.rows


NOTICE = "produced by the embedded reader, a stand-in without language understanding, and are not findings"


def summary_of(page: Page) -> str:
    return page.text.split("Limitations")[0]


def with_embedded(make_data: Callable[..., ReportData], *parts: str, provider: str = "imported") -> ReportData:
    """One family whose named judges are embedded, the others a vendor's."""
    embedded, other = {"model": "analyst", "provider": "embedded"}, {"model": "judge", "provider": "openai"}
    judges = {part: embedded if part in parts else other for part in ("extractor", "summariser", "reviewer")}
    data = make_data(("lyra",), judges=judges)
    models = {role: {"model": f"lyra-{role}", "provider": provider} for role in ("larger", "smaller")}
    families = {"lyra": Family.model_validate(models)}
    return replace(data, study=data.study.model_copy(update={"families": families}))


def test_what_the_embedded_reader_made_of_real_traces_is_no_finding(make_data: Callable[..., ReportData]) -> None:
    data = with_embedded(make_data, "extractor", "summariser", "reviewer")
    page = page_of(data)
    summary = summary_of(page)
    tags = data.table("final_taxonomy", "lyra")["tag"].to_list()
    assert not [tag for tag in tags if tag in summary]
    assert "fails first" not in summary.split("gets wrong first", 1)[-1]
    assert "First errors observed" not in summary
    assert "mean EDI" not in summary
    assert "remain after deduplication" not in summary
    pairs, failures = data.table("trace_pairs", "lyra").height, data.table("extraction_failures", "lyra")
    silent = failures.filter(reason="no_contrast").height
    assert f"{pairs:,} pairs of traces were compared by the embedded reader" in summary
    assert f"in {silent} it detects no contrast" in summary
    # One notice each over advantages, clusters, taxonomy and first errors; what they hide is there.
    assert page.text.count(NOTICE) == 4
    assert all(tag in page.text for tag in tags)


def test_tags_alone_are_no_finding_where_a_model_extracted(make_data: Callable[..., ReportData]) -> None:
    page = page_of(with_embedded(make_data, "summariser"))
    assert page.text.count(NOTICE) == 1
    assert "cannot be ranked" in summary_of(page)
    assert "the largest," not in summary_of(page)


@pytest.mark.parametrize(("parts", "provider"), [((), "imported"), (("extractor", "summariser"), "simulated")])
def test_models_and_simulated_traces_need_no_notice(
    make_data: Callable[..., ReportData], parts: tuple[str, ...], provider: str
) -> None:
    page = page_of(with_embedded(make_data, *parts, provider=provider))
    assert NOTICE not in page.text
    assert "cannot be ranked" in summary_of(page)


def test_tables_show_the_data(data: ReportData, page: Page) -> None:
    edi = data.table("edi_summary", "orion").row(0, named=True)
    expected = ["math", "orion-8b", str(edi["n_questions"]), "0", f"{edi['mean_edi']:.3f}", f"{edi['std_edi']:.3f}"]
    assert expected in page.rows
    dedup = data.table("deduplicated_advantages", "orion")
    kept = int(dedup["is_kept"].sum())
    removed = dedup.height - kept
    shares = [f"{dedup.height:,}", f"{kept:,}", str(removed), f"{100 * removed / dedup.height:.2f}"]
    assert ["total", *shares] in page.rows
    assert ["trials", "10", "T, trials of each model on each question."] in page.rows
    assert ["total", "", "860", "1,224,431", "102,323"] in page.rows


def test_published_results_stand_beside_ours_as_printed(page: Page) -> None:
    family = next(row for row in page.rows if row[0] == "all domains" and len(row) == 8)
    assert family[5:] == ["59.35 ± 5.34", "65.78 ± 5.13", "+6.43"]
    assert ["published total", "1,927", "1,824", "103", "5.34"] in page.rows
    chemistry = next(row for row in page.rows if row[:2] == ["chemistry", "qwen3-8b"])
    assert chemistry[6:] == ["29", "0.114", "0.151"]
    kept = next(row for row in page.rows if row[0] == "chemistry" and len(row) == 7)
    assert kept[5:] == ["27", "249"]  # N_Q 29 above, 27 kept: both as printed
    assert "350, 246, 331, 233, 217, 447" in page.text
    assert "Published benchmarks without a counterpart here: math hmmt" in page.text


def test_the_chosen_candidate_and_its_pin_are_shown(page: Page) -> None:
    assert len([row for row in page.rows if row and row[0] == "●"]) == 2
    assert "Pinned manually: d' = 8, K = 7. Reason: as agreed" in page.text


def test_examples_come_from_different_questions(data: ReportData, page: Page) -> None:
    ids = re.findall(r"\b[a-z]+-(?:basic|olympiad)-\d+:\d+:\d+\b", page.text)
    assert len(ids) == 2 * 7 * 3
    assert set(ids) <= set(data.tables["advantage_corpus"]["advantage_id"])
    for first in range(0, len(ids), 3):
        assert len({name.rsplit(":", 2)[0] for name in ids[first : first + 3]}) == 3


def test_hostile_text_stays_text(data: ReportData) -> None:
    hostile = pl.lit(HOSTILE)
    family = data.tables["final_taxonomy"].with_columns(tag=hostile, definition=hostile)
    corpus = data.tables["advantage_corpus"].with_columns(
        advantage=hostile + pl.col("advantage_id"), evidence=hostile, rule_violations=pl.concat_list(hostile)
    )
    failures = data.tables["extraction_failures"].with_columns(reason=hostile)
    page = page_of(with_table(data, final_taxonomy=family, advantage_corpus=corpus, extraction_failures=failures))
    assert page.open == []
    assert "script" not in {tag for tag, _ in page.tags}
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert "<script>alert(1)</script>\"' onmouseover" in page.text
    assert "{{ 7*7 }} [U+202E]gnp.exe[U+200B]" in page.text
    assert "\u202e" not in page.text


def test_a_study_without_any_row_still_reports(make_data: Callable[..., ReportData]) -> None:
    data = make_data(("orion",), ("math",), 0)
    empty = replace(
        data,
        tables={name: table.empty() for name, table in TABLES.items()},
        no_taxonomy_reasons={"orion": "no question was kept in any domain"},
        recovery=None,
        stand_ins=(),
        call_totals=data.call_totals.clear(),
    )
    page = page_of(empty)
    assert page.open == []
    for sentence in (
        "There is no taxonomy: no question was kept in any domain.",
        "0 of 0 questions show an observed gap",
        "No accuracy could be compared for orion-32b and orion-8b.",
        "No candidate was retained.",
        "No model was called.",
        "No question was kept, so there are no first errors.",
    ):
        assert sentence in page.text
    assert "Limitations" not in page.text
    assert ["total", "0", "0", "0", "—"] in page.rows


def test_absent_tables_are_empty_ones(data: ReportData) -> None:
    page = page_of(replace(data, tables={}))
    # of each of two families, in the summary and in its section
    assert page.text.count("There is no taxonomy: the taxonomy has not been built.") == 4


def test_a_domain_left_out_is_named_and_never_zero(data: ReportData) -> None:
    page = page_of(replace(data, not_run={"orion": ["physics"]}))
    assert "Not run, and excluded from all results below: physics." in page.text
    assert ["physics", "—", "—", "—", "—"] in page.rows


def test_nulls_are_dashes(data: ReportData) -> None:
    no_index = data.tables["edi_summary"].with_columns(
        mean_edi=pl.lit(None, pl.Float64), std_edi=pl.lit(None, pl.Float64)
    )
    no_mean = data.tables["accuracy_summary"].with_columns(mean_accuracy=pl.lit(None, pl.Float64))
    scores = pl.col("distinctness", "granularity", "interpretability", "balance", "resolution", "total")
    failed = data.tables["candidate_reviews"].with_columns(pl.when(pl.col("review") > 0).then(scores))
    unnamed = data.tables["final_taxonomy"].with_columns(
        tag=pl.lit(None, pl.String), definition=pl.lit(None, pl.String)
    )
    page = page_of(
        with_table(
            data, edi_summary=no_index, accuracy_summary=no_mean, candidate_reviews=failed, final_taxonomy=unnamed
        )
    )
    row = next(row for row in page.rows if row[:2] == ["math", "orion-8b"])
    assert row[4:] == ["—", "—"]
    assert next(row for row in page.rows if row[0] == "all domains" and len(row) == 5)[2:] == ["—", "—", "—"]
    assert "8 reviews of 24 failed and are not in the means." in page.text
    assert "(no usable name)" in page.text
    assert "—: not measured or undefined; never a zero." in page.text
    results = page.text.split("Both models answer every question")[0]
    assert not re.search(r"\b(None|nan|NaN)\b", results)


def test_one_family_and_one_domain(make_data: Callable[..., ReportData]) -> None:
    page = Page(render_report(make_data(("orion",), ("math",))))
    assert "over 1 domain." in page.text
    assert not [row for row in page.rows if "published" in row]
    assert "common to several domains" not in page.text.split("Contents")[0]


def test_credentials_in_an_address_are_not_shown(make_data: Callable[..., ReportData]) -> None:
    providers = {"local": {"kind": "openai", "base_url": "http://me:secret@localhost:8000/v1"}}
    page = page_of(make_data(("orion",), ("math",), 5, providers=providers))
    assert ["providers.local.base_url", "http://localhost:8000/v1"] in [row[:2] for row in page.rows]
    assert "secret" not in page.text


@pytest.mark.parametrize("trials", [1, 2])
def test_a_study_with_one_trial_says_what_its_gaps_are_worth(data: ReportData, trials: int) -> None:
    note = "With one trial per question, pass rates are 0 or 1: a gap is based on one answer of each model and cannot"
    text = page_of(replace(data, study=data.study.model_copy(update={"trials": trials}))).text
    assert (note in text) == (trials == 1)


def test_bounds_that_the_study_sets_itself_are_named_with_their_default(data: ReportData) -> None:
    note = "Bounds of checks that are not the default:"
    assert note not in page_of(data).text
    checks = data.study.checks.model_copy(update={"max_no_answer_share_by_benchmark": 1.0, "max_mean_edi": 0.5})
    text = page_of(replace(data, study=data.study.model_copy(update={"checks": checks}))).text
    assert f"{note} max_no_answer_share_by_benchmark 1 (default 0.95), max_mean_edi 0.5 (default none)." in text
