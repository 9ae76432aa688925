import numpy as np
import polars as pl
import pytest

from advcluster_dagster.science.semantic_clustering.corpus import gather_corpus, stack_vectors

#: Domain, question, pair, position of each description, in canonical order; by benchmark, z-1 precedes a-1.
CANONICAL = [
    ("law", "z-1", 0, 0),
    ("law", "z-1", 0, 1),
    ("law", "z-1", 2, 0),
    ("law", "z-1", 10, 0),
    ("law", "a-1", 0, 0),
    ("math", "a:1", 1, 1),
    ("math", "b:1", 0, 0),
]
BENCHMARKS = {"z-1": "alpha", "a-1": "beta", "a:1": "sums", "b:1": "sums"}


def parts(order=None, dropped=()):
    """The five inputs of one family, rows in the given order; each embedding is the description's canonical index."""
    rows = [
        {
            "domain": domain,
            "question_id": question,
            "pair_id": f"{question}:{pair}",
            "pair_index": pair,
            "position": position,
            "advantage_id": f"{question}:{pair}:{position}",
            "advantage": f"text {i}",
            "embedding": [float(i), 1.0],
            "is_kept": i not in dropped,
        }
        for i, (domain, question, pair, position) in enumerate(CANONICAL)
    ]
    frame = pl.DataFrame(
        [rows[i] for i in order or range(len(rows))], schema_overrides={"embedding": pl.List(pl.Float32)}
    )
    questions = frame.select("domain", "question_id").unique(maintain_order=True)
    questions = questions.with_columns(benchmark=pl.col("question_id").replace_strict(BENCHMARKS))
    return (
        frame.drop("embedding", "is_kept", "pair_index"),
        frame.select("domain", "pair_id", "pair_index").unique().sample(fraction=1, shuffle=True, seed=2),
        questions,
        frame.select("advantage_id", "is_kept"),
        frame.select("advantage_id", "embedding"),
    )


@pytest.mark.parametrize("order", [range(7), range(6, -1, -1), [3, 1, 6, 0, 2, 5, 4]])
def test_rows_are_in_canonical_order_for_any_input_order(order):
    # Pair 10 follows pair 2: pairs are sorted numerically. Benchmark alpha precedes beta, whatever the question ids.
    advantages, pairs, questions, deduplicated, embeddings = parts(list(order))
    corpus = gather_corpus(
        advantages, pairs, questions, deduplicated[::-1], embeddings.sample(fraction=1, shuffle=True, seed=1)
    )
    assert corpus.rows["advantage_id"].to_list() == [f"{q}:{pair}:{position}" for _, q, pair, position in CANONICAL]
    assert corpus.rows["advantage"].to_list() == [f"text {i}" for i in range(7)]
    assert corpus.rows.columns == ["domain", "benchmark", "question_id", "advantage_id", "advantage"]
    np.testing.assert_array_equal(corpus.embeddings, np.array([[i, 1] for i in range(7)], dtype=np.float32))


def test_duplicates_are_excluded():
    corpus = gather_corpus(*parts(dropped=(1, 4)))
    assert corpus.embeddings[:, 0].tolist() == [0, 2, 3, 5, 6]
    assert corpus.rows.height == 5


def test_equal_question_ids_of_two_domains_keep_their_benchmarks():
    advantages = pl.DataFrame(
        {"domain": ["math", "law"], "question_id": ["q", "q"], "pair_id": ["q:0", "q:0"], "position": [0, 0],
         "advantage_id": ["m", "l"], "advantage": ["x", "y"]}
    )  # fmt: skip
    pairs = pl.DataFrame({"domain": ["math", "law"], "pair_id": ["q:0", "q:0"], "pair_index": [0, 0]})
    questions = pl.DataFrame({"domain": ["math", "law"], "question_id": ["q", "q"], "benchmark": ["sums", "cases"]})
    kept = pl.DataFrame({"advantage_id": ["m", "l"], "is_kept": [True, True]})
    vectors = pl.DataFrame({"advantage_id": ["m", "l"], "embedding": [[1.0], [2.0]]})
    corpus = gather_corpus(advantages, pairs, questions, kept, vectors.cast({"embedding": pl.List(pl.Float32)}))
    assert corpus.rows.select("domain", "benchmark").rows() == [("law", "cases"), ("math", "sums")]


def test_pairs_are_sorted_by_index_and_not_by_id():
    ids = {f"{question}:{pair}": f"pair {7 - i}" for i, (_, question, pair, _) in enumerate(CANONICAL)}
    inputs = [
        part.with_columns(pl.col("pair_id").replace_strict(ids)) if "pair_id" in part.columns else part
        for part in parts()
    ]
    assert gather_corpus(*inputs).embeddings[:, 0].tolist() == [0, 1, 2, 3, 4, 5, 6]


def test_a_description_without_a_pair_is_an_error():
    advantages, pairs, *others = parts()
    with pytest.raises(ValueError, match=r"^1 kept descriptions have no trace pair; extract the advantages again$"):
        gather_corpus(advantages, pairs.filter(pl.col("pair_index") != 10), *others)


@pytest.mark.parametrize("dropped", [range(7), None])
def test_an_empty_corpus(dropped):
    inputs = parts(dropped=dropped) if dropped else [part.clear() for part in parts()]
    corpus = gather_corpus(*inputs)
    assert corpus.rows.is_empty()
    assert corpus.embeddings.shape == (0, 0)
    assert corpus.embeddings.dtype == np.float32


@pytest.mark.parametrize("dtype", [pl.List(pl.Float32), pl.Array(pl.Float32, 2)])
def test_vectors_are_stacked_to_a_matrix(dtype):
    matrix = stack_vectors(pl.Series([[1.0, 2.0], [3.0, 4.0]], dtype=dtype))
    assert matrix.dtype == np.float32
    assert matrix.flags.c_contiguous
    assert matrix.tolist() == [[1, 2], [3, 4]]


def test_vectors_of_different_lengths_are_an_error():
    with pytest.raises(ValueError, match=r"^embeddings have 2 different lengths, including \[1, 2\]$"):
        stack_vectors(pl.Series([[1.0], [1.0, 2.0]], dtype=pl.List(pl.Float32)))
