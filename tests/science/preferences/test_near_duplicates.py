"""Near-duplicates of held-out questions: generated copies, questions of the same style, changed numbers."""

import random
import re

import numpy as np
import polars as pl
import pytest

from advcluster_dagster.contracts.preferences import HELD_OUT_MATCHES
from advcluster_dagster.science.preferences.near_duplicates import count_matches, held_out_matches

NAMES = ("Maria", "Tom", "Aisha", "Ken", "Olga", "Pedro", "Lin", "Ruth", "Sam", "Ines", "Omar", "Greta")
THINGS = ("pencils", "tickets", "apples", "stamps", "bricks", "candles", "shirts", "eggs", "books", "marbles", "tiles",
          "melons", "bottles", "chairs", "coins", "flags", "ropes", "lamps", "cups", "kites")  # fmt: skip
OPENINGS = (
    "{n} buys {a} boxes of {t} at the market on Saturday.",
    "A big shop sells {t} in bags of {a} each.",
    "{n} has {a} times as many {t} as her little brother.",
    "In a quiet factory {n} makes {a} {t} every hour.",
    "The school orders {a} large crates of {t} for the fair.",
    "{n} collects {a} {t} per week and keeps them in a drawer.",
    "On a long trip {n} carries {a} {t} in a heavy bag.",
    "Each of {a} children receives some {t} from {n}.",
    "A truck brings {a} loads of {t} to the old warehouse.",
    "{n} paints {a} {t} before lunch.",
)
EVENTS = (
    "After a storm {b} of them are broken and thrown away.",
    "Every day {b} more are added by a friend.",
    "A quick neighbour borrows {b} and returns half of these.",
    "The price of each rises by {b} cents in the spring.",
    "For every {b} of them one extra is given free.",
    "Later {b} people share what is left equally.",
    "It takes {b} minutes to pack a single one.",
    "The first {b} are sold at once to a happy tourist.",
)
QUESTIONS = (
    "How many {t} are there after {c} days?",
    "How much money is needed for {c} rows of {t}?",
    "What is the total number of {t} when {c} helpers leave?",
    "How long does it take to finish if {c} machines stop?",
    "Find the smallest number of boxes that hold {c} {t}.",
    "How many more are required to fill {c} shelves?",
)
SYNONYMS = {
    "buys": "purchases", "big": "huge", "shop": "store", "little": "small", "makes": "produces", "large": "big",
    "collects": "gathers", "long": "lengthy", "heavy": "weighty", "children": "kids", "receives": "gets", "brings":
    "delivers", "old": "ancient", "broken": "damaged", "friend": "pal", "quick": "fast", "borrows": "takes",
    "happy": "cheerful", "money": "cash", "needed": "necessary", "total": "overall", "finish": "complete",
    "smallest": "least", "required": "needed", "quiet": "silent", "keeps": "stores", "rises": "grows",
    "share": "divide", "extra": "additional", "lunch": "noon", "boxes": "cartons", "orders": "requests",
}  # fmt: skip


def story(rng, kind, numbers):
    opening, event, question = kind
    fields = {"n": rng.choice(NAMES), "t": rng.choice(THINGS), **dict(zip("abc", numbers, strict=True))}
    return " ".join(part.format(**fields) for part in (opening, event, question))


def kinds():
    return [(o, e, q) for o in OPENINGS for e in EVENTS for q in QUESTIONS]


def numbers(rng):
    """Few distinct numbers, so that unrelated questions often share them."""
    return [rng.randint(2, 9) for _ in range(3)]


def with_options(rng, text):
    options = [rf"$\dfrac{{{rng.randint(1, 9)}}}{{7}} \cdot {value}$ units" for value in rng.sample(range(10, 60), 4)]
    return text, options


def listed(text, options):
    return text + "\n" + "\n".join(f"({letter}) {option}" for letter, option in zip("ABCD", options, strict=True))


@pytest.fixture(scope="module")
def planted():
    """Texts (held out, copies, unrelated, siblings); the i-th copies and sibling belong to held-out question i."""
    rng = random.Random(5)
    chosen = rng.sample(kinds(), 480)
    held_out, copies, siblings = [], [], []
    for place, kind in enumerate(chosen[:50]):
        plain = story(rng, kind, numbers(rng))
        text, options = with_options(rng, plain)
        held_out.append(listed(text, options) if place % 2 else plain)
        whole = held_out[-1]
        spaced = whole.replace(" ", "  ").replace(". ", ".\n\n")
        latex = whole.replace(r"\dfrac", r"\frac").replace(r"\cdot", r"\times")
        latex = re.sub(r"(?<![\d{])(\d)(?![\d}])", r"$\\left. \1 \\right.$", latex) if place % 2 == 0 else latex
        shuffled = (
            listed(text, rng.sample(options, 4)).replace("(", "").replace(")", ".") if place % 2 else whole.upper()
        )
        other = re.sub(r"[a-z]+", lambda match: SYNONYMS.get(match[0], match[0]), whole)
        copies.append([spaced, latex, shuffled, other])
        siblings.append(re.sub(r"(?<![\d{}])\d+(?![\d}])", lambda match: str(int(match[0]) + 11), whole))
    unrelated = [story(rng, kind, numbers(rng)) for kind in chosen[50:]]
    unrelated += [listed(*with_options(rng, story(rng, rng.choice(chosen[50:]), numbers(rng)))) for _ in range(570)]
    return held_out, copies, unrelated, siblings


def frame(texts, prefix):
    return pl.DataFrame(
        {"question_id": [f"{prefix}{place}" for place in range(len(texts))], "question": texts},
        schema={"question_id": pl.String, "question": pl.String},
    )


def test_generated_copies_are_found_and_other_questions_are_not(planted):
    held_out, copies, unrelated, siblings = planted
    flat = [copy for group in copies for copy in group]
    assert (len(held_out), len(flat), len(unrelated), len(siblings)) == (50, 200, 1000, 50)
    assert sum(copy[3] != text for copy, text in zip(copies, held_out, strict=True)) == 50  # each has a synonym
    pool = pl.concat([frame(flat, "copy"), frame(unrelated, "other"), frame(siblings, "sibling")])
    matches = held_out_matches(pool, frame(held_out, "h"))
    duplicates = matches.filter(pl.col("relation") == "duplicate")
    pairs = set(duplicates.select("question_id", "held_out_id").iter_rows())
    assert {
        (f"copy{place}", f"h{place // 4}") for place in range(200)
    } <= pairs  # all 200, each matched to its original
    wrong = duplicates.filter(pl.col("question_id").str.starts_with("other"))["question_id"].n_unique()
    assert wrong <= 10  # 1 % of 1,000
    assert duplicates.filter(pl.col("question_id").str.starts_with("sibling")).is_empty()
    listed_siblings = matches.filter(pl.col("question_id").str.starts_with("sibling"), pl.col("relation") == "sibling")
    assert {(f"sibling{i}", f"h{i}") for i in range(50)} <= set(
        listed_siblings.select("question_id", "held_out_id").iter_rows()
    )
    counted = count_matches(pool, matches)
    assert sum(counted.values()) == pool.height == 1250
    n_excluded = sum(n for name, n in counted.items() if name.startswith("duplicate"))
    assert n_excluded == duplicates["question_id"].n_unique() == 200 + wrong
    assert counted["duplicate_normalised"] >= 150  # all but the synonyms
    assert counted["sibling"] >= 50


def test_matches_do_not_depend_on_the_order_of_rows(planted):
    held_out, copies, unrelated, _ = planted
    pool = frame([*copies[0], *copies[1], *unrelated[:50]], "q")
    kept_out = frame(held_out, "h")
    matches = held_out_matches(pool, kept_out)
    assert matches.height >= 8
    assert held_out_matches(pool.reverse(), kept_out.reverse()).equals(matches)


def unit(*angles):
    return np.array([(np.cos(angle), np.sin(angle)) for angle in angles])


def test_embeddings_by_hand():
    pool = pl.DataFrame(
        {
            "question_id": ["same", "other numbers", "far", "id"],
            "question": ["Cats eat 3 fish", "Cats eat 4 fish now", "Dogs eat 3 fish", "Nothing alike"],
        }
    )
    kept_out = pl.DataFrame({"question_id": ["h", "id"], "question": ["Three fish are eaten by cats", ""]})
    # Cosines with h: cos .1 = .995, cos .2 = .980, cos .4 = .921; with id all are below .95.
    embeddings = (unit(0.1, 0.2, 0.4, 2.0), unit(0.0, 4.0))
    assert held_out_matches(pool, kept_out, embeddings).rows() == [
        ("id", "id", "duplicate", "ids"),
        ("other numbers", "h", "sibling", "embedding"),
        ("same", "h", "duplicate", "embedding"),
    ]
    assert held_out_matches(pool, kept_out, embeddings, 0.9)["question_id"].to_list() == [
        "far", "id", "other numbers", "same",
    ]  # fmt: skip
    assert held_out_matches(pool, kept_out, embeddings, 1.0).rows() == [("id", "id", "duplicate", "ids")]


def test_the_first_method_counts_and_a_duplicate_is_no_sibling():
    text = "Buy 3 pens and 4 caps"
    pool = pl.DataFrame({"question_id": ["a", "h2"], "question": [text, "Buy 4 pens and 3 caps"]})
    kept_out = pl.DataFrame({"question_id": ["h1", "h2"], "question": [text.upper(), "Buy 5 pens and 4 caps"]})
    matches = held_out_matches(pool, kept_out)
    # a repeats h1 and differs in numbers from h2; h2 is itself held out, with the numbers of h1 in another order.
    assert matches.rows() == [
        ("a", "h1", "duplicate", "normalised"),
        ("a", "h2", "sibling", "normalised"),
        ("h2", "h1", "duplicate", "lexical"),
        ("h2", "h2", "duplicate", "ids"),
    ]
    assert count_matches(pool, matches) == {
        "duplicate_ids": 1, "duplicate_normalised": 1, "duplicate_embedding": 0, "duplicate_lexical": 0,
        "sibling": 0, "unmatched": 0,
    }  # fmt: skip


def test_questions_without_numbers_need_more_in_common():
    held = frame(["Why does the moon look larger near the horizon at night?"], "h")
    pool = frame(
        ["Why does the moon look bigger near the horizon at night?", "Why does the sun look red near the sea at noon?"],
        "q",
    )
    assert held_out_matches(pool, held).rows() == [("q0", "h0", "duplicate", "lexical")]


@pytest.mark.parametrize("with_embeddings", [False, True])
def test_empty_input_gives_no_matches(with_embeddings):
    def matrices(left, right):
        return (np.ones((left.height, 2)), np.ones((right.height, 2))) if with_embeddings else None

    empty, question = frame([], "q"), frame(["Buy 3 pens"], "q")
    for left, right in ((empty, empty), (question, empty), (empty, question)):
        matches = held_out_matches(left, right, matrices(left, right))
        assert matches.is_empty()
        assert matches.schema == HELD_OUT_MATCHES.own_schema
    counted = count_matches(question, held_out_matches(question, empty))
    assert counted["unmatched"] == sum(counted.values()) == 1


def test_empty_questions_are_not_copies_of_each_other():
    assert held_out_matches(frame(["", None, "?"], "q"), frame(["", None], "h")).is_empty()


def test_equal_questions_all_match():
    matches = held_out_matches(frame(["Buy 3 pens"] * 4, "q"), frame(["buy 3 pens"] * 2, "h"))
    assert matches.height == 8
    assert set(matches["relation"]) == {"duplicate"}


@pytest.mark.parametrize(
    ("embeddings", "threshold", "message"),
    [
        ((np.ones((1, 2)), np.ones((2, 2))), 0.95, "one row per question"),
        ((np.ones((1, 2)), np.ones((1, 3))), 0.95, "one row per question"),
        ((np.full((1, 2), np.nan), np.ones((1, 2))), 0.95, "NaN"),
        (None, 1.5, "outside"),
    ],
)
def test_incomparable_input_is_an_error(embeddings, threshold, message):
    question = frame(["Buy 3 pens"], "q")
    with pytest.raises(ValueError, match=message):
        held_out_matches(question, question, embeddings, threshold)
