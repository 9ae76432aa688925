"""Find questions of a training pool that duplicate held-out questions, or differ from them only in numbers.

Training on a duplicate would contaminate the test, so duplicates are left out. A sibling is another question of the
same template: it is listed but kept.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, product

import numpy as np
import numpy.typing as npt
import polars as pl

from advcluster_dagster.contracts.preferences import HELD_OUT_MATCHES, MATCH_METHODS
from advcluster_dagster.science.preferences.question_forms import normalise_question, question_forms
from advcluster_dagster.science.semantic_clustering.embeddings import check_embeddings

#: Cosine of embeddings above which two questions are equivalent.
EMBEDDING_THRESHOLD = 0.95
#: Cosine of character n-grams above which two questions with the same numbers, at least two, are equivalent.
#: Measured: no pair with the same numbers among 1,319 questions of GSM8K and among 800 programs of CRUXEval exceeds
#: 0.36; of copies with four of ten words replaced at random 99.8 % exceed 0.45.
LEXICAL_THRESHOLD = 0.45
#: The same if numbers are less informative: questions with at most one number, and siblings. No two programs of
#: CRUXEval without numbers exceed 0.74; at least 93 % of copies with two of ten words replaced do.
STRICT_LEXICAL_THRESHOLD = 0.8
_FEW_NUMBERS = 2
# Rows compared at a time; bounds the size of the similarity matrix.
_BLOCK_ROWS = 512

Matrix = npt.NDArray[np.float64]


def held_out_matches(
    questions: pl.DataFrame,
    held_out: pl.DataFrame,
    embeddings: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    threshold: float = EMBEDDING_THRESHOLD,
) -> pl.DataFrame:
    """Compare every question with every held-out question.

    A question is a duplicate if the ids or the normal forms are equal, or if the questions are equivalent and have the
    same numbers in any order. It is a sibling if the numbers differ and the forms with masked numbers are equal or the
    questions are equivalent. Two questions are equivalent if the cosine of their embeddings exceeds the threshold;
    without embeddings, if the cosine of their TF-IDF weights of 3- and 4-grams of characters, with masked numbers,
    exceeds ``LEXICAL_THRESHOLD`` (``STRICT_LEXICAL_THRESHOLD`` for questions with fewer than two numbers, and for
    siblings). An empty question matches only by its id.

    Args:
        questions: Columns question_id (unique), question.
        held_out: Columns question_id (unique), question; question_id is the ``held_out_id`` of the matches.
        embeddings: Embeddings of both in row order, float arrays of shape (n_questions, d) and (n_held_out, d).
        threshold: Cosine of embeddings, in [0, 1], that must be strictly exceeded.

    Returns:
        Rows of ``held_out_matches``, sorted by key; a pair that matches by several methods has the first of ids,
        normalised, embedding, lexical, and is a duplicate if it is one by any method.

    Raises:
        ValueError: Embeddings are not finite, differ in width or number of rows, or the threshold is outside [0, 1].
    """
    if not 0 <= threshold <= 1:
        raise ValueError(f"near-duplicate threshold {threshold} is outside [0, 1]")
    matches: dict[tuple[str, str], tuple[str, str]] = {}
    pool, reserved = (_Texts(frame) for frame in (questions, held_out))
    similar = _lexical(pool, reserved) if embeddings is None else _by_embedding(pool, reserved, embeddings, threshold)
    for row, column, relation, how in chain(_by_id(pool, reserved), _by_form(pool, reserved), similar):
        key = (pool.ids[row], reserved.ids[column])
        if key not in matches or (relation == "duplicate" and matches[key][0] == "sibling"):
            matches[key] = (relation, how)
    rows = [(*key, *match) for key, match in sorted(matches.items())]
    return pl.DataFrame(rows, schema=HELD_OUT_MATCHES.own_schema, orient="row")


def held_out_faults(questions: pl.DataFrame, exported: Sequence[str], held_out: pl.DataFrame) -> list[str]:
    """Ids of exported questions that are held out or have the normal form of a held-out question.

    An independent check of the sampling, by ids and normal forms only.

    Args:
        questions: Columns question_id, question.
        exported: Ids of the questions to export.
        held_out: Columns question_id, question.
    """
    ids = set(held_out["question_id"])
    forms = {normalise_question(text) for text in held_out["question"]} - {""}
    exported_ids = set(exported)
    rows = questions.select("question_id", "question").filter(pl.col("question_id").is_in(list(exported_ids)))
    repeated = {name for name, text in rows.iter_rows() if normalise_question(text) in forms}
    return sorted(repeated | (exported_ids & ids))


def count_matches(questions: pl.DataFrame, matches: pl.DataFrame) -> Mapping[str, int]:
    """Number of questions by outcome; the numbers sum to all questions.

    Args:
        questions: Column question_id (unique).
        matches: Rows of ``held_out_matches``.

    Returns:
        ``duplicate_ids``, ``duplicate_normalised``, ``duplicate_embedding`` and ``duplicate_lexical`` by the first
        method that finds a duplicate; ``sibling`` for questions with siblings only; ``unmatched`` for the rest.
    """
    rank = pl.col("how").replace_strict({how: place for place, how in enumerate(MATCH_METHODS)}, return_dtype=pl.Int64)
    first = (
        matches.sort(pl.col("relation"), rank)  # duplicate before sibling
        .group_by("question_id", maintain_order=True)
        .agg(pl.col("relation").first(), pl.col("how").first())
    )
    joined = questions.select("question_id").join(first, on="question_id", how="left")
    is_duplicate = pl.col("relation") == "duplicate"
    outcome = pl.when(is_duplicate).then("duplicate_" + pl.col("how")).otherwise(pl.col("relation"))
    counted = dict(joined.select(outcome.fill_null("unmatched")).to_series().value_counts().iter_rows())
    names = (*(f"duplicate_{how}" for how in MATCH_METHODS), "sibling", "unmatched")
    return {name: counted.get(name, 0) for name in names}


_Match = tuple[int, int, str, str]


class _Texts:
    """Normal forms, masked forms and numbers of questions, by row."""

    def __init__(self, frame: pl.DataFrame) -> None:
        texts = frame["question"].fill_null("").to_list()
        self.ids: list[str] = frame["question_id"].to_list()
        forms = [question_forms(text) for text in texts]
        self.forms = [form.normal for form in forms]
        self.masked = [form.masked for form in forms]
        self.numbers = [form.numbers for form in forms]


def _by_id(pool: _Texts, reserved: _Texts) -> Iterator[_Match]:
    rows = {question_id: i for i, question_id in enumerate(reserved.ids)}
    for row, question_id in enumerate(pool.ids):
        if question_id in rows:
            yield row, rows[question_id], "duplicate", "ids"


def _by_form(pool: _Texts, reserved: _Texts) -> Iterator[_Match]:
    """Yield duplicates by equal normal forms, and siblings by equal masked forms with different numbers."""
    for row, column in _equal(pool.forms, reserved.forms):
        yield row, column, "duplicate", "normalised"
    for row, column in _equal(pool.masked, reserved.masked):
        if pool.forms[row] != reserved.forms[column] and pool.numbers[row] != reserved.numbers[column]:
            yield row, column, "sibling", "normalised"


def _equal(pool: list[str], reserved: list[str]) -> Iterator[tuple[int, int]]:
    """Yield pairs of rows with equal, non-empty texts."""
    rows: dict[str, tuple[list[int], list[int]]] = {}
    for side, forms in enumerate((pool, reserved)):
        for row, form in enumerate(forms):
            if form:
                rows.setdefault(form, ([], []))[side].append(row)
    for left, right in rows.values():
        yield from product(left, right)


def _by_embedding(
    pool: _Texts, reserved: _Texts, embeddings: tuple[npt.ArrayLike, npt.ArrayLike], threshold: float
) -> Iterator[_Match]:
    left, right = (_unit(check_embeddings(matrix)) for matrix in embeddings)
    if (len(left), len(right)) != (len(pool.ids), len(reserved.ids)) or left.shape[1] != right.shape[1]:
        raise ValueError(
            f"embeddings of shapes {left.shape} and {right.shape} for {len(pool.ids)} questions and"
            f" {len(reserved.ids)} held-out questions: provide one row per question, all of one width"
        )
    for start in range(0, len(left), _BLOCK_ROWS):
        for row, column in np.argwhere(left[start : start + _BLOCK_ROWS] @ right.T > threshold).tolist():
            is_same = pool.numbers[start + row] == reserved.numbers[column]
            yield start + row, column, "duplicate" if is_same else "sibling", "embedding"


def _unit(matrix: npt.NDArray[np.float32]) -> Matrix:
    """Normalise rows to length one; zero rows stay zero."""
    rows = matrix.astype(np.float64)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(norms > 0, norms, 1))


def _lexical(pool: _Texts, reserved: _Texts) -> Iterator[_Match]:
    from sklearn.feature_extraction.text import TfidfVectorizer

    if not any(pool.masked) or not any(reserved.masked):
        return
    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 4), lowercase=False)
    vectorizer.fit(sorted([*pool.masked, *reserved.masked]))
    left, right = vectorizer.transform(pool.masked), vectorizer.transform(reserved.masked)
    for start in range(0, left.shape[0], _BLOCK_ROWS):
        cosines = (left[start : start + _BLOCK_ROWS] @ right.T).toarray()
        for row, column in np.argwhere(cosines > LEXICAL_THRESHOLD).tolist():
            numbers = pool.numbers[start + row]
            is_same = numbers == reserved.numbers[column]
            if (is_same and len(numbers) >= _FEW_NUMBERS) or cosines[row, column] > STRICT_LEXICAL_THRESHOLD:
                yield start + row, column, "duplicate" if is_same else "sibling", "lexical"
