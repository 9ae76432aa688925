"""Data sets of preference pairs: rows of each format, thinking, excluded pairs, card."""

import json

import polars as pl
import pytest

from advcluster_dagster.exports.preference_cards import DatasetFacts, ModelFact, SourceFact, escaped
from advcluster_dagster.exports.preferences import PreferenceExportError, write_preferences
from advcluster_dagster.science.preferences.selection import LengthRatios

FACTS = DatasetFacts(
    "paper", "qwen3", "all pairs", [SourceFact("gsm8k", "openai/gsm8k", "abc123", "MIT")],
    [ModelFact("larger", "Qwen/Qwen3-8B", "r1", "Apache-2.0"), ModelFact("smaller", "Qwen/Qwen3-0.6B")],
    {"max_tokens": "8192"}, delta="step coherence", ledger_digest="f00d",
)  # fmt: skip
SCHEMA = {
    "preference_id": pl.String, "scheme": pl.String, "combination": pl.String, "prompt": pl.String,
    "chosen": pl.String, "rejected": pl.String, "delta": pl.Float64, "is_exported": pl.Boolean,
    "reason_left_out": pl.String,
}  # fmt: skip


def pairs(*rows):
    """Pairs p0, p1, ... from (prompt, chosen, rejected) or from the columns to override."""
    base = dict.fromkeys(SCHEMA) | {"scheme": "generator", "combination": "c_i", "prompt": "Q", "is_exported": True}
    full = []
    for place, row in enumerate(rows):
        given = row if isinstance(row, dict) else dict(zip(("prompt", "chosen", "rejected"), row, strict=True))
        named = {"preference_id": f"p{place}", "chosen": f"C{place}", "rejected": f"R{place}"}
        full.append(base | named | given)
    return pl.DataFrame(full, schema=SCHEMA)


def rows_of(folder):
    lines = (folder / "train.jsonl").read_text(encoding="utf-8").split("\n")
    assert lines.pop() == ""
    rows = [json.loads(line) for line in lines]
    assert pl.read_parquet(folder / "train.parquet").to_dicts() == rows  # the same rows in both files
    return rows


def ids_of(folder):
    origin = pl.read_parquet(folder / "rows.parquet")
    assert origin["row"].to_list() == list(range(origin.height))
    return origin["preference_ids"].to_list()


def message(text, role="assistant"):
    return [{"role": role, "content": text}]


def test_rows_of_dpo(tmp_path):
    written = write_preferences(tmp_path / "new" / "set", pairs(("1+1?", "2", "3"), ("Q\n\u2028x", "a\"b\\", "\u00e9")),
                                "dpo", "keep", FACTS)  # fmt: skip
    folder = tmp_path / "new" / "set"
    assert rows_of(folder) == [
        {"prompt": message("1+1?", "user"), "chosen": message("2"), "rejected": message("3")},
        {"prompt": message("Q\n\u2028x", "user"), "chosen": message('a"b\\'), "rejected": message("\u00e9")},
    ]
    assert ids_of(folder) == [["p0"], ["p1"]]
    assert (written.n_rows, written.n_pairs, written.unwritten) == (2, 2, {})
    assert sorted(path.name for path in folder.iterdir()) == sorted(path.name for path in written.files)


def test_rows_of_kto_hold_a_completion_once_with_each_label(tmp_path):
    given = pairs(("Q", "a", "b"), ("Q", "a", "c"), ("Q", "c", "b"), ("P", "a", "b"))
    written = write_preferences(tmp_path, given, "kto", "keep", FACTS)
    assert [(r["prompt"][0]["content"], r["completion"][0]["content"], r["label"]) for r in rows_of(tmp_path)] == [
        ("Q", "a", True), ("Q", "b", False), ("Q", "c", False), ("Q", "c", True), ("P", "a", True), ("P", "b", False),
    ]  # fmt: skip
    assert ids_of(tmp_path) == [["p0", "p1"], ["p0", "p2"], ["p1"], ["p2"], ["p3"], ["p3"]]
    assert (written.n_rows, written.n_pairs, written.n_both_labels) == (6, 4, 1)  # c of Q has both
    assert all(isinstance(row["label"], bool) for row in rows_of(tmp_path))
    assert "with both labels, from different pairs: 1." in (tmp_path / "README.md").read_text()


def test_rows_of_sft_hold_each_chosen_trace_once(tmp_path):
    given = pairs(("Q", "a", "b"), ("Q", "a", None), ("P", "a", "a"))
    assert write_preferences(tmp_path, given, "sft", "keep", FACTS).unwritten == {}
    assert rows_of(tmp_path) == [
        {"prompt": message("Q", "user"), "completion": message("a")},
        {"prompt": message("P", "user"), "completion": message("a")},
    ]
    assert ids_of(tmp_path) == [["p0", "p1"], ["p2"]]


def test_thinking_is_kept_or_stripped(tmp_path):
    given = pairs(
        ("Q", "<think>hm</think>\n\n4", "<think>no</think>5"),
        ("Q", "<think>one way</think>4", "<think>another</think>4"),  # equal without thinking
        ("Q", "<think>never ends", "5"),
        ("Q", "<think>empty</think> ", "5"),
        ("Q", "4", None),
    )
    kept = write_preferences(tmp_path / "keep", given, "dpo", "keep", FACTS)
    assert kept.unwritten == {"no_text": 1}
    assert rows_of(tmp_path / "keep")[0]["chosen"] == message("<think>hm</think>\n\n4")
    stripped = write_preferences(tmp_path / "strip", given, "dpo", "strip", FACTS)
    assert rows_of(tmp_path / "strip") == [
        {"prompt": message("Q", "user"), "chosen": message("4"), "rejected": message("5")}
    ]
    assert stripped.unwritten == {"identical_text": 1, "no_text": 2, "open_thinking": 1}
    assert stripped.n_pairs + sum(stripped.unwritten.values()) == 5
    card = (tmp_path / "strip" / "README.md").read_text()
    assert "| open\\_thinking | 1 | when written |" in card
    assert "thinking is removed" in card
    assert "Some chat templates silently strip" in (tmp_path / "keep" / "README.md").read_text()


def test_only_what_is_exported_and_selected_is_written(tmp_path):
    given = pairs({}, {}, {"is_exported": False, "reason_left_out": "held_out", "chosen": None, "rejected": None}, {})
    written = write_preferences(tmp_path, given, "dpo", "keep", FACTS, selected={"p0", "p2", "p3"})
    assert ids_of(tmp_path) == [["p0"], ["p3"]]
    assert written.unwritten == {"not_selected": 1}


@pytest.mark.parametrize("given", [pairs(), pairs({"is_exported": False}), pairs(("Q", "a", "a"), ("", "a", "b"))])
def test_nothing_to_write_is_an_error(tmp_path, given):
    with pytest.raises(PreferenceExportError, match="no preference pair remains to write") as error:
        write_preferences(tmp_path / "x", given, "dpo", "keep", FACTS)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("given", "form", "thinking", "message"),
    [
        (pairs({}).drop("prompt", "delta"), "dpo", "keep", "prompt, delta are missing"),
        (pairs({}), "ppo", "keep", "allowed: dpo, kto, sft"),
        (pairs({}), "dpo", "drop", "allowed: keep, strip"),
    ],
)
def test_wrong_calls_are_refused(tmp_path, given, form, thinking, message):
    with pytest.raises(PreferenceExportError, match=message):
        write_preferences(tmp_path, given, form, thinking, FACTS)


def test_equal_arguments_give_equal_files(tmp_path):
    given = pairs(*({"delta": place / 3} for place in range(20)))
    first, again = (write_preferences(tmp_path / name, given, "kto", "keep", FACTS).files for name in "ab")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]


def test_the_card_counts_by_hand(tmp_path):
    given = pairs(
        {"delta": 0.4}, {"delta": -0.2}, {"delta": 1.0 - 1e-16}, {"delta": 4.6 - 3.6}, {},
        {"combination": "c_c"}, {"combination": "c_c", "is_exported": False, "reason_left_out": "too_long"},
        {"is_exported": False, "reason_left_out": "near_duplicate"},
    )  # fmt: skip
    facts = DatasetFacts(
        "s", "f", "all", FACTS.sources, FACTS.models, FACTS.filters, ledger_digest="f00d", delta="strategy",
        length_ratios=[LengthRatios("generator", "c_i", 5, 5, 0, 1.25, 1.0, 1.5, 1.2, 0.6)],
    )  # fmt: skip
    write_preferences(tmp_path, given, "dpo", "keep", facts)
    card = (tmp_path / "README.md").read_text()
    assert "| generator | c\\_i | 6 | 5 | 5 |" in card
    assert "| generator | c\\_c | 2 | 1 | 1 |" in card
    assert "| near\\_duplicate | 1 | when drawn |\n| too\\_long | 1 | when drawn |\n" in card
    assert "| generator | c\\_i | 5 | 1\\.25 | 1\\.00 to 1\\.50 | 1\\.20 | 0\\.60 |" in card
    # Bins of half a point: -0.2, 0.4, none, and twice 1.0; two written pairs are not rated.
    assert (
        " -0.5 to below  0.0       1 ####################\n"
        "  0.0 to below  0.5       1 ####################\n"
        "  0.5 to below  1.0       0\n"
        f"  1.0 to below  1.5       2 {'#' * 40}\n"
        "not rated                 2\n"
    ) in card
    for piece in (
        "5e-8",
        "0\\.2",
        "f00d",
        "Contamination",
        "openai\\/gsm8k",
        "abc123",
        "MIT",
        "Qwen\\/Qwen3-0\\.6B | not",
    ):
        assert piece in card, piece
    assert card.startswith("---\nconfigs:\n- config_name: default\n")


@pytest.mark.parametrize(
    ("form", "beta"), [("dpo", "- beta: 0\\.2"), ("kto", "- beta: 0\\.5"), ("sft", "gives no settings")]
)
def test_the_card_suggests_settings_by_format(tmp_path, form, beta):
    write_preferences(tmp_path, pairs({}), form, "keep", FACTS)
    assert beta in (tmp_path / "README.md").read_text()


def test_hostile_names_stay_plain_text_on_the_card(tmp_path):
    evil = "x\n\n# Ha |</td><script>alert(1)</script> [a](http://e.vil) ![i](http://e.vil/i)"
    evil += " `c` **b** <!-- \u202e www.e.vil"
    facts = DatasetFacts(evil, evil, evil, [SourceFact(*[evil] * 4)], [ModelFact(*[evil] * 4)], {evil: evil},
                         delta=evil, ledger_digest=evil)  # fmt: skip
    given = pairs(("Q", "<script>in a trace</script>", "b"))
    write_preferences(tmp_path / "evil", given, "dpo", "keep", facts)
    card = (tmp_path / "evil" / "README.md").read_text()
    for markup in ("<script>", "<!--", "](http", "://", "www.", "**b**", "\n# Ha", "\u202e", "in a trace"):
        assert markup not in card
    tame = DatasetFacts("x", "x", "x", [SourceFact(*"xxxx")], [ModelFact(*"xxxx")], {"x": "x"}, (), "x", "x")
    write_preferences(tmp_path / "tame", given, "dpo", "keep", tame)
    assert card.count("\n") == (tmp_path / "tame" / "README.md").read_text().count("\n")
    table = next(line for line in card.splitlines() if line.startswith("| x"))
    assert len(table.replace("\\|", "").split("|")) == 4 + 2


def test_texts_are_cut_and_missing_ones_named():
    assert escaped(None) == escaped(" \n") == "not given"
    assert len(escaped("a" * 1000)) == 300
    assert escaped("Qwen3-8B") == "Qwen3-8B"
