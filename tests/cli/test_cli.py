"""The command line as a person meets it: help, outputs, and one line for whatever goes wrong."""

import csv
import json
import sys
from importlib.metadata import version
from pathlib import Path

import polars as pl
import pytest

from advcluster_dagster.cli import main as cli
from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.study.study import load_study
from tests.studies import GIVEN, bring_questions, given_study, ledger_rows, write_lines, write_study

COMMANDS = (
    "demo",
    "compare",
    "init",
    "run",
    "regrade",
    "status",
    "import",
    "import questions",
    "import traces",
    "export",
    "export inspect",
    "findings",
    "studies",
    "query",
    "report",
    "ui",
    "audit",
    "label",
    "lineage",
    "taxonomy",
    "taxonomy freeze",
)
QUESTION = {"question_id": "q", "question": "1 + 1?", "answer": "2", "answer_type": "numeric"}
TRACE = {"question_id": "sums-0", "model": "f-small", "trial": 0, "response": "\\boxed{2}"}


def run_cli(monkeypatch, capfd, *arguments):
    """Exit status, standard output and standard error of the entry point."""
    monkeypatch.setattr(sys, "argv", ["advcluster", *arguments])
    monkeypatch.setenv("COLUMNS", "200")
    capfd.readouterr()
    with pytest.raises(SystemExit) as ended:
        cli.main()
    out, err = capfd.readouterr()
    return ended.value.code or 0, out, err


@pytest.fixture
def run(monkeypatch, capfd):
    return lambda *arguments: run_cli(monkeypatch, capfd, *arguments)


def test_version_and_short_help(run):
    status, out, _ = run("--version")
    assert (status, out) == (0, f"advcluster {version('advcluster-dagster')}\n")
    assert run("run", "-h")[:2] == run("run", "--help")[:2]


@pytest.fixture
def fails(run):
    """Runs a command that must fail with exactly one line; gives the line."""

    def check(*arguments):
        status, out, err = run(*arguments)
        assert (status, out) == (1, "")
        (line,) = err.splitlines()
        assert line.startswith("error ")
        return line

    return check


@pytest.fixture
def at(monkeypatch, tmp_path):
    """Makes a home the command line's own."""

    def use(small):
        monkeypatch.setenv("ADVCLUSTER_HOME", str(small.home.root))
        return small

    return use


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_of_every_command(run, command):
    status, out, _ = run(*command.split(), "--help")
    assert status == 0
    assert "Usage:" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "nothing"), "study 'nothing' not found in "),
        (("run", "[/b]"), "study '[/b]' not found in "),  # what a person types is no markup
        (("run", ":smile:"), "study ':smile:' not found in "),
        (("run", "missing.yaml"), "missing.yaml: study file not found"),
        (("status", "nothing"), "study 'nothing' not found in "),
        (("report", "nothing"), "study 'nothing' not found in "),
        (("init", "Big Study"), "study name 'Big Study': names consist of a-z"),
        (("query", "select 1"), "name a study with --study; known: none yet"),
        (("query", "select 1", "--study", "x"), "study 'x' not found in "),
        (("import", "questions", "f", "-s", "x", "-d", "d", "-b", "b"), "study 'x' not found in "),
    ],
)
def test_errors_in_an_empty_home(fails, tmp_path, arguments, message):
    (tmp_path / "own-home").mkdir()
    assert fails(*arguments).startswith(f"error {message}")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "given", "--family", "q"), "family 'q' is not in study given; known: f"),
        (("run", "given", "--domain", "q", "--dry-run"), "domain 'q' is not in study given; known: sums,"),
        (
            ("run", "given", "--select", "edi_summary,q"),
            "--select: asset 'q' does not exist; known: benchmark_questions,",
        ),
        (("query", "selec 1"), "query: Parser Error: "),
        (("query", "select * from nowhere"), "query: Catalog Error: Table with name nowhere does not exist!"),
        (("query", ";"), "query: only select statements are allowed; tables are written by runs"),
        (("query", "select 1", "--format", "xml"), "--format is 'xml'; allowed: table, json, jsonl, csv, parquet"),
        (("init", "given"), ""),
    ],
)
def test_errors_in_a_home_with_a_study(fails, at, tmp_path, arguments, message):
    at(write_study(tmp_path / "home", GIVEN))
    line = fails(*arguments)
    assert line.startswith(f"error {message}")
    if arguments[0] == "init":
        assert line.endswith("given.yaml exists already; edit it or choose another name")


def test_a_run_without_sources_says_what_to_do(fails, at, tmp_path):
    at(write_study(tmp_path / "home", GIVEN))
    assert fails("run", "given").endswith(
        "no domain has questions and traces yet; benchmark additions of domain sums has no questions: advcluster import"
        " questions FILE --study given --domain sums --benchmark additions"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("study: [", "not a YAML file: "),
        ("- a", "a study file needs keys and values, found a list"),
        ("study: s\nstudy: t", "key 'study' is given twice"),
        ("study: s\nfamilies: {f: {larger: {model: a, provider: imported}}}\ndomains: {d: [b]}", "families.f.smaller"),
        (
            "study: s\nfamilies: {f: {larger: {model: a, provider: imported}, smaller: {model: a, provider: imported}}}"
            "\ndomains: {d: [b]}",
            "families.f: larger and smaller are the same model",
        ),
        ("study: s\nfamilies: {}\ndomains: {d: [b]}", "families is {}; "),
    ],
)
def test_a_wrong_study_file_is_one_line(fails, tmp_path, text, message):
    path = tmp_path / "wrong.yaml"
    path.write_text(text, encoding="utf-8")
    line = fails("run", str(path))
    assert str(path) in line
    assert message in line


@pytest.fixture
def ready(at, tmp_path):
    """A home with the questions of one benchmark."""
    small = at(write_study(tmp_path / "home", GIVEN))
    bring_questions(small, "sums")
    return small


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{]\n", "line 1: not JSON"),
        (json.dumps(QUESTION | {"level": 3}).encode(), "line 1, field 'level': unknown; allowed: question_id,"),
        (json.dumps(QUESTION | {"answer_type": "essay"}).encode(), "line 1, field 'answer_type': 'essay'; allowed: "),
        (b"", "the file is empty; allowed: one JSON object per line"),
        (b'{"question_id": "\xff"}\n', "line 1: byte 18 is not UTF-8"),
    ],
)
def test_wrong_questions_name_file_and_line(fails, ready, tmp_path, content, message):
    path = tmp_path / "wrong[/b].jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    line = fails("import", "questions", str(path), "-s", "given", "-d", "products", "-b", "doublings")
    assert str(path) in line
    assert message in line
    assert not (ready.home.imports / "given" / "questions" / "products" / "doublings.parquet").exists()


@pytest.mark.parametrize(
    ("trace", "message"),
    [
        ({"question_id": "sums-77"}, "field 'question_id': 'sums-77' is not a question of the benchmark; allowed"),
        ({"model": "f-medium"}, "field 'model': 'f-medium'; allowed: f-large (larger), f-small (smaller)"),
        ({"trial": 2}, "field 'trial': 2; allowed: 0 to 1 (the study's trials)"),
        ({"trial": 0}, "field 'trial': trial 0 of the smaller model on question 'sums-0' occurs twice"),
        ({"respond": ""}, "field 'respond': unknown; allowed: question_id, model, trial, response"),
    ],
)
def test_wrong_traces_name_file_and_line(fails, ready, tmp_path, trace, message):
    path = tmp_path / "traces.jsonl"
    write_lines(path, [TRACE, TRACE | trace])
    line = fails("import", "traces", str(path), "-s", "given", "-f", "f", "-d", "sums", "-b", "additions")
    assert f"{path}, line 2, {message}" in line
    assert not list((ready.home.imports / "given" / "traces").rglob("*.parquet"))


def test_other_import_errors(fails, ready, tmp_path):
    path = tmp_path / "traces.jsonl"
    write_lines(path, [TRACE])
    common = ("import", "traces", str(path), "-s", "given")
    assert "has no family 'q'; allowed: f" in fails(*common, "-f", "q", "-d", "sums", "-b", "additions")
    assert "has no domain 'q'; allowed: sums" in fails(*common, "-f", "f", "-d", "q", "-b", "additions")
    assert "has no benchmark 'q'" in fails(*common, "-f", "f", "-d", "sums", "-b", "q")
    assert "has no imported questions yet" in fails(*common, "-f", "f", "-d", "products", "-b", "doublings")
    assert fails(*common, "-f", "[/f]").endswith("a file of traces needs --domain and --benchmark")
    gone = ("import", "questions", str(tmp_path / "gone.jsonl"), "-s", "given", "-d", "sums", "-b", "additions")
    assert "gone.jsonl: no such file" in fails(*gone)


def test_logs_bring_their_questions_and_say_what_was_left_aside(run, fails, at, tmp_path):
    models = {"larger": {"model": "org/large"}, "smaller": {"model": "s", "aliases": ["org/small"]}}
    families = {"f": {role: model | {"provider": "imported"} for role, model in models.items()}}
    domains = {"math": ["sums"]}
    small = at(
        write_study(tmp_path / "home", {"study": "logged", "trials": 2, "families": families, "domains": domains})
    )
    runs = Path(__file__).resolve().parents[1] / "cases" / "lm_eval" / "runs"
    common = ("import", "traces", str(runs / "org__small"), "-s", "logged", "-f", "f")
    assert fails(*common).endswith("logs need --domain and --benchmark")
    common = (*common, "-d", "math", "-b", "sums")
    assert "pass --answer-type; allowed: numeric, " in fails(*common)
    status, _, err = run(*common, "--answer-type", "numeric")
    assert status == 0
    assert "Read 4 traces of sums from samples_sums_2" in err
    assert "Read 4 questions of sums from samples_sums_2" in err
    assert "Recorded verdicts are those of exact_match under filter strict-match" in err
    assert "Note: skipped 2 logs of other tasks than sums: samples_sums_options_2" in err
    assert "Traces of sums in family f so far: larger org/large none yet, smaller s 4." in err
    assert len(list(small.home.imports.rglob("*.parquet"))) == 2


def test_export_says_what_is_missing(fails, ready, monkeypatch):
    monkeypatch.setitem(sys.modules, "inspect_ai", None)
    monkeypatch.delitem(sys.modules, "inspect_ai.log", raising=False)
    assert "install it with: pip install -c constraints.txt -e '.[inspect]' in " in fails(
        "export", "inspect", "given", "-f", "f"
    )


def test_debug_shows_where_it_came_from(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["advcluster", "--debug", "run", "nothing"])
    with pytest.raises(ValueError, match="study 'nothing' not found"):
        cli.main()


def test_init_writes_a_study_that_can_be_loaded(run, tmp_path):
    status, _, said = run("init", "my-study")
    assert status == 0
    path = tmp_path / "own-home" / "studies" / "my-study.yaml"
    assert str(path) in said
    study = load_study(path)
    assert (study.study, study.trials, list(study.families)) == ("my-study", 10, ["my-family"])
    status, out, _ = run("status", "my-study")
    assert status == 0
    assert "no sources" in out


def test_imports_say_what_came_in(run, ready, tmp_path):
    path = tmp_path / "traces.jsonl"
    write_lines(path, [TRACE, TRACE | {"trial": 1}])
    status, _, said = run("import", "traces", str(path), "-s", "given", "-f", "f", "-d", "sums", "-b", "additions")
    assert status == 0
    # The answer to the question is 33: 7 boxes of 4 pens, and 5 loose ones.
    assert said.splitlines() == [
        "Read 2 traces of additions from traces.jsonl (JSON Lines or a JSON array).",
        "Smaller f-small: 2 traces, 1 questions, trials per question: 2; answers located in 2 of 2 sampled responses, "
        "such as '2'; right 0 of 2 (0.0%).",
        "Traces of additions in family f so far: larger f-large none yet, smaller f-small 2.",
        "Imported.",
    ]


def test_traces_without_answers_are_stored_only_with_a_yes(run, ready, tmp_path):
    path = tmp_path / "traces.jsonl"
    write_lines(path, [TRACE | {"response": "I think it is two."}, TRACE | {"trial": 1, "response": "Or three."}])
    command = ("import", "traces", str(path), "-s", "given", "-f", "f", "-d", "sums", "-b", "additions")
    status, _, err = run(*command)
    assert status == 1
    assert "Note: 2 of 2 responses of the smaller model f-small have no answer in \\boxed{}" in err
    assert err.splitlines()[-1].endswith("nothing was imported: see the note above; add --yes to import anyway")
    stored = ready.home.imports / "given" / "traces"
    assert not list(stored.rglob("*.parquet*"))
    assert run(*command, "--yes")[0] == 0
    assert len(list(stored.rglob("*.parquet"))) == 1


def test_missing_responses_are_doubted_like_missing_answers(run, ready, tmp_path):
    path = tmp_path / "traces.jsonl"
    write_lines(path, [TRACE, TRACE | {"trial": 1, "response": None}])
    status, _, err = run("import", "traces", str(path), "-s", "given", "-f", "f", "-d", "sums", "-b", "additions")
    assert status == 1
    assert "Note: 1 of 2 responses of the smaller model f-small are missing or too long to check" in err


def test_questions_of_another_form_are_imported_through_a_map(run, ready, tmp_path):
    path = tmp_path / "questions.json"
    path.write_text(json.dumps([{"uid": 7, "task": {"text": "1 + 1?", "gold": 2}}, {"uid": 8, "task": {"text": "2 + 2?",
                                "gold": 4}}]))  # fmt: skip
    command = ("import", "questions", str(path), "-s", "given", "-d", "sums", "-b", "additions")
    status, _, err = run(*command, "--map", "question=task.text", "--map", "answer=task.gold")
    assert status == 0, err
    assert "Fields of questions.json: question = task.text, answer = task.gold, question_id = uid; gold answers" in err
    (stored,) = (ready.home.imports / "given" / "questions").rglob("additions.parquet")
    rows = pl.read_parquet(stored).select("question_id", "question", "answer", "answer_type").rows()
    assert rows == [("additions-7", "1 + 1?", "2", "numeric"), ("additions-8", "2 + 2?", "4", "numeric")]
    status, _, err = run(*command, "--map", "question=task.words")
    assert status == 1
    assert "--map question=task.words, but there is no such field; it has uid, task.text, task.gold" in err


def test_query_in_three_forms(run, at, given_once):
    at(given_once)
    sql = (
        "select domain, count(*) as n, list(verdict order by verdict)[1] as v from graded_trials group by 1 order by 1"
    )
    rows = [{"domain": "products", "n": 24, "v": "correct"}, {"domain": "sums", "n": 24, "v": "correct"}]
    status, out, err = run("query", sql, "--format", "json")
    assert (status, json.loads(out), err) == (0, rows, "")
    _, out, _ = run("query", sql, "--format", "csv", "--study", "given")
    assert list(csv.DictReader(out.splitlines())) == [row | {"n": "24"} for row in rows]
    _, out, _ = run("query", sql)
    assert "products" in out
    assert "2 rows" in out


def test_a_sheet_is_written_and_its_labels_are_read(run, fails, at, given_once, tmp_path):
    at(given_once)
    sheet = str(tmp_path / "sheet.csv")
    status, out, err = run("label", "given", sheet)
    assert (status, out) == (0, "")
    assert "fill in the column label, then read it with --read" in " ".join(err.split())
    status, out, _ = run("label", "given", sheet, "--read")
    assert status == 0
    assert out.splitlines()[0] == "stage: kappa undefined on 0 of 16 items"
    assert "sheet.csv already exists; read it with --read, or choose another name" in fails("label", "given", sheet)
    assert fails("label", "given", sheet, "-f", "g") == "error --family is 'g'; the study has f"


def test_query_shows_hostile_text_as_text(run, at, given_once):
    at(given_once)
    sql = "select chr(27) || '[31mred' as a, '=1+1' as b, '-2' as c, -2 as d, chr(8238) || 'x' as e"
    _, out, _ = run("query", sql)
    assert "\x1b" not in out
    assert r"\x1b[31mred" in out
    _, out, _ = run("query", sql, "--format", "csv")
    assert list(csv.reader(out.splitlines()))[1] == [r"\x1b[31mred", "'=1+1", "'-2", "-2", r"\u202ex"]
    _, out, _ = run("query", sql, "--format", "json")
    assert "\x1b" not in out
    assert json.loads(out)[0]["b"] == "=1+1"


def test_query_knows_every_table_and_shows_markup_as_text(run, at, tmp_path):
    at(write_study(tmp_path / "home", GIVEN))
    _, out, _ = run("query", "select '[red]x[/red]' as \"[b]\"")
    assert "[b]" in out
    assert "[red]x[/red]" in out
    for table in TABLES:
        assert run("query", f"select count(*) as n from {table}", "--format", "json")[:2] == (0, '[{"n": 0}]\n')


def test_status_and_plan(run, at, given_once):
    at(given_once)
    status, out, _ = run("status", "given", "--format", "json")
    assert status == 0
    records = json.loads(out)
    assert {record["state"] for record in records} == {"fresh", "no sources", "missing"}
    missing = [record for record in records if record["state"] == "missing"]
    assert [record["step"] for record in missing] == ["evidence_explorer", "study_report"]
    status, out, _ = run("run", "given", "--dry-run")
    assert status == 0
    assert "study_report" in out
    assert "benchmark_questions" not in out


def test_a_run_that_fails_names_the_partition_and_ends_with_one(run, at, tmp_path):
    at(given_study(tmp_path / "home"))
    command = ("run", "given", "--domain", "sums", "--offline", "--select", "first_errors,trace_pairs,larger_traces")
    status, out, err = run(*command)
    assert (status, out) == (1, "")
    failed, done, *missing, error = err.splitlines()
    assert all(line.startswith("missing benchmark open of domain later has no") for line in missing)
    assert failed == (
        "failed f/sums: larger_traces needs benchmark_questions, which does not exist yet;"
        " --select +larger_traces makes both"
    )
    assert done == "Nothing was run, 0 model calls."
    assert error == "error 1 partition(s) did not finish; see the lines above"


def test_a_taxonomy_is_frozen_by_name(given, run, fails, monkeypatch):
    monkeypatch.setenv("ADVCLUSTER_HOME", str(given.home.root))
    status, _, said = run("taxonomy", "freeze", "given", "--name", "june")
    assert (status, said.strip()) == (0, "Froze the taxonomy of f as june.")
    assert (given.home.taxonomies / "given" / "f" / "june.parquet").is_file()
    assert "--name is '../june'; names consist of a-z" in fails("taxonomy", "freeze", "given", "--name", "../june")
    assert "family 'q' is not in study given; known: f" in fails("taxonomy", "freeze", "given", "--family", "q")
    given.change(deduplication={"threshold": 0.5})
    assert "the taxonomy of family f is stale" in fails("taxonomy", "freeze", "given")


def test_what_is_left_out_of_a_drop_folder_is_named(given, run, monkeypatch):
    monkeypatch.setenv("ADVCLUSTER_HOME", str(given.home.root))
    path = given.home.root / "benchmarks" / "given" / "sums" / "more.jsonl"
    path.parent.mkdir(parents=True)
    write_lines(path, [QUESTION])
    status, out, said = run("status", "given", "--format", "json")
    assert status == 0
    json.loads(out)
    assert said.startswith(f"{path}: skipped, traces of family f are imported")


def test_costs_and_batches_of_a_ledger(run, at, given):
    at(given)
    status, out, err = run("ledger", "costs", "given")
    assert status == 0
    assert "advantage_corpus" in out
    assert "no charge" in out  # the embedded stand-in
    assert "Total, including repeated calls: no charge." in err
    assert run("ledger", "batches") == (0, "", "No open batches.\n")


def test_costs_of_a_study_that_asked_nobody(run, at, tmp_path):
    at(given_study(tmp_path / "home"))
    assert run("ledger", "costs", "given") == (0, "", "Study given has made no model calls yet.\n")


def test_a_cap_is_refused_at_once_where_a_price_is_unknown(fails, at, tmp_path):
    judge = {"model": "nameless", "provider": "openai"}
    at(given_study(tmp_path / "home", judges={"extractor": judge}))
    line = fails("run", "given", "--max-cost", "5")
    assert "study given: a cost cap requires the price of every model; unknown for nameless; add it to" in line


def test_the_paper_preset_is_priced_without_key_or_network(run, at, tmp_path, monkeypatch):
    for name in ("OPENAI_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    at(write_study(tmp_path / "home", GIVEN))
    sums = {}
    for option in ((), ("--batch",)):
        status, out, _ = run("run", "paper", "--dry-run", *option)
        assert status == 0
        (line,) = (line for line in out.splitlines() if "extracted_advantages" in line and "$" in line)
        sums[option] = float(line.split("$")[1])
        assert "Prices as of " in out
        assert "5% of the questions kept, 7 pairs each" in out
    assert sums["--batch",] == pytest.approx(sums[()] / 2, rel=0.01)


@pytest.mark.parametrize(
    "arguments",
    [
        ("status", "given"),
        ("query", "select 1"),
        ("report", "given"),
        ("audit", "given"),
        ("lineage", "given", "--to", "x"),
        ("export", "inspect", "given", "--family", "f"),
        ("ledger", "costs", "given"),
        ("ledger", "batches"),
        ("backup", "x.tar.gz"),
        ("housekeeping", "given"),
        ("taxonomy", "freeze", "given"),
    ],
)
def test_commands_that_only_read_make_no_home(run, monkeypatch, tmp_path, arguments):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ADVCLUSTER_HOME", str(tmp_path / "misspelt"))
    status, _, err = run(*arguments)
    assert status == 1
    assert f"ADVCLUSTER_HOME is {tmp_path / 'misspelt'}, which is not a folder" in " ".join(err.split())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.integration
def test_failed_warnings_and_missing_imports_are_told_by_run_and_status(given, run, monkeypatch):
    """The bound of the largest cluster is exceeded: a warning, which blocks nothing and is told all the same."""
    monkeypatch.setenv("ADVCLUSTER_HOME", str(given.home.root))
    given.change(checks={"max_mean_edi": 1.0, "max_style_violation_share": 0.0, "max_cluster_share": 0.01})
    status, _, told = run("run", "given")
    assert status == 0
    warnings = [line for line in told.splitlines() if line.startswith("warning ")]
    assert any(
        line.startswith("warning final_taxonomy of f: no_dominant_cluster (") and "0.01" in line for line in warnings
    )
    assert "missing benchmark open of domain later has no questions: advcluster import questions FILE" in told
    _, out, told = run("status", "given")
    assert [line for line in told.splitlines() if line.startswith("warning ")] == warnings
    _, out, _ = run("run", "given", "--dry-run")
    assert "Nothing to do: all that can run is fresh." in out
    given.change(checks={"max_mean_edi": 1.0})
    _, _, told = run("run", "given")
    assert "no_dominant_cluster" not in told


@pytest.mark.parametrize("name", ["rows.parquet", "rows.jsonl", "rows.json", "rows.csv"])
def test_a_query_goes_into_a_file_of_the_format_that_its_name_tells(run, given, at, tmp_path, name):
    at(given)
    file = tmp_path / name
    sql = "select domain, count(*) as n from pass_rate_table group by 1 order by 1"
    status, out, said = run("query", sql, "--study", "given", "--to", str(file))
    assert (status, out, said.strip()) == (0, "", f"Wrote 2 rows to {file}.")
    readers = {".parquet": pl.read_parquet, ".jsonl": pl.read_ndjson, ".json": pl.read_json, ".csv": pl.read_csv}
    assert readers[file.suffix](file).get_column("domain").to_list() == ["products", "sums"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("query", "select 1", "--format", "parquet"), "--format parquet needs a file; add --to FILE.parquet"),
        (("query", "select 1", "--to", "rows.xlsx"), "rows.xlsx: its name ends in '.xlsx'; allowed: table, json,"),
        (("query", "select 1", "--to", "a.csv", "--format", "table"), "a table can only be printed; for a file,"),
        (("run", "given", "--format", "json"), "--format and --to apply to --dry-run only"),
    ],
)
def test_formats_that_do_not_fit_are_one_line(fails, given, at, arguments, message):
    at(given)
    assert fails(*arguments).startswith(f"error {message}")


def test_tables_of_a_study_as_json(run, given, at):
    at(given)
    status, out, _ = run("studies", "--format", "json")
    assert (status, [(row["study"], row["families"]) for row in json.loads(out)]) == (0, [("given", ["f"])])
    status, out, _ = run("run", "given", "--dry-run", "--format", "jsonl")
    assert status == 0
    assert {json.loads(line)["step"] for line in out.splitlines()} == {"study_report", "evidence_explorer"}
    status, out, _ = run("ledger", "costs", "given", "--format", "json")
    assert status == 0
    assert sum(row["n_calls"] for row in json.loads(out)) == len(ledger_rows(given.home)) > 0


def test_a_query_takes_a_study_by_its_file(run, given, at):
    at(given)
    file = given.home.studies / "given.yaml"
    assert run("query", "select 1 as one", "--study", str(file), "--format", "json")[:2] == (0, '[{"one": 1}]\n')
