"""Questions of a training pool that repeat questions held out of training, and those that vary only their numbers.

A duplicate would let a model train on what it is tested with and is left out. A sibling is another question of the same
template: it is listed and stays.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, product

import numpy as np
import numpy.typing as npt
import polars as pl

from advcluster_dagster.contracts.preferences import HELD_OUT_MATCHES, MATCH_METHODS
from advcluster_dagster.science.preferences.question_forms import normalise_question, question_forms
from advcluster_dagster.science.semantic_clustering.embeddings import check_embeddings

#: Cosine of embeddings above which two questions say the same.
EMBEDDING_THRESHOLD = 0.95
#: Cosine of letter groups above which two questions with the same numbers, at least two of them, say the same.
#: Measured: of the pairs with the same numbers among 1,319 questions of GSM8K and among 800 programs of CRUXEval none
#: exceeds 0.36; of copies in which four words of ten are replaced at random 99.8 % exceed 0.45.
LEXICAL_THRESHOLD = 0.45
#: The same where the numbers tell less: questions with one number or none, and siblings. No two programs of CRUXEval
#: without numbers exceed 0.74; copies in which two words of ten are replaced do so in 93 % and more.
STRICT_LEXICAL_THRESHOLD = 0.8
_FEW_NUMBERS = 2
# Rows compared at a time: bounds the similarity matrix.
_BLOCK_ROWS = 512

Matrix = npt.NDArray[np.float64]


def held_out_matches(
    questions: pl.DataFrame,
    held_out: pl.DataFrame,
    embeddings: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    threshold: float = EMBEDDING_THRESHOLD,
) -> pl.DataFrame:
    """Compare every question with every question held out.

    A question is a duplicate where the ids or the normal forms are equal, or where both say the same with the same
    numbers, in any order. It is a sibling where the numbers differ and the forms with masked numbers are equal, or both
    say the same otherwise. Two questions say the same where the cosine of their embeddings is above the threshold;
    without embeddings, where that of their TF-IDF weights of 3 and 4 letters is above ``LEXICAL_THRESHOLD``
    (``STRICT_LEXICAL_THRESHOLD`` for questions with fewer than two numbers, and for siblings), numbers being masked.
    An empty question matches by its id alone.

    Args:
        questions: question_id (unique), question.
        held_out: question_id (unique), question; question_id is the ``held_out_id`` of the matches.
        embeddings: of both in row order, float arrays of shape (n_questions, d) and (n_held_out, d).
        threshold: cosine of embeddings, in [0, 1]; exceeded strictly.

    Returns:
        Rows of ``held_out_matches``, sorted by key; a pair that matches in several ways has the first of ids,
        normalised, embedding, lexical, and is a duplicate where any way says so.

    Raises:
        ValueError: embeddings are not finite, differ in width or in the number of rows, or the threshold is outside
            [0, 1].
    """
    if not 0 <= threshold <= 1:
        raise ValueError(f"near-duplicate threshold {threshold} is outside [0, 1]")
    matches: dict[tuple[str, str], tuple[str, str]] = {}
    asked, kept_out = (_Texts(frame) for frame in (questions, held_out))
    similar = _lexical(asked, kept_out) if embeddings is None else _by_embedding(asked, kept_out, embeddings, threshold)
    for row, column, relation, how in chain(_by_id(asked, kept_out), _by_form(asked, kept_out), similar):
        key = (asked.ids[row], kept_out.ids[column])
        if key not in matches or (relation == "duplicate" and matches[key][0] == "sibling"):
            matches[key] = (relation, how)
    rows = [(*key, *match) for key, match in sorted(matches.items())]
    return pl.DataFrame(rows, schema=HELD_OUT_MATCHES.own_schema, orient="row")


def held_out_faults(questions: pl.DataFrame, exported: Sequence[str], held_out: pl.DataFrame) -> list[str]:
    """Ids of exported questions that are held out or repeat a question held out in their normal form.

    An independent second look at what the drawing leaves out: it compares by ids and normal forms alone.

    Args:
        questions: question_id, question.
        exported: ids of the questions that are to get out.
        held_out: question_id, question.
    """
    ids = set(held_out["question_id"])
    forms = {normalise_question(text) for text in held_out["question"]} - {""}
    wanted = set(exported)
    rows = questions.select("question_id", "question").filter(pl.col("question_id").is_in(list(wanted)))
    repeated = {name for name, text in rows.iter_rows() if normalise_question(text) in forms}
    return sorted(repeated | (wanted & ids))


def count_matches(questions: pl.DataFrame, matches: pl.DataFrame) -> Mapping[str, int]:
    """Number of questions by what becomes of them; the numbers add up to all questions.

    Args:
        questions: question_id (unique).
        matches: rows of ``held_out_matches``.

    Returns:
        ``duplicate_ids``, ``duplicate_normalised``, ``duplicate_embedding`` and ``duplicate_lexical`` by the first way
        that shows a duplicate; ``sibling`` for those that have siblings alone; ``unmatched`` for the rest.
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
    """Questions with their forms, by row."""

    def __init__(self, frame: pl.DataFrame) -> None:
        texts = frame["question"].fill_null("").to_list()
        self.ids: list[str] = frame["question_id"].to_list()
        forms = [question_forms(text) for text in texts]
        self.forms = [form.normal for form in forms]
        self.masked = [form.masked for form in forms]
        self.numbers = [form.numbers for form in forms]


def _by_id(asked: _Texts, kept_out: _Texts) -> Iterator[_Match]:
    places = {question_id: place for place, question_id in enumerate(kept_out.ids)}
    for row, question_id in enumerate(asked.ids):
        if question_id in places:
            yield row, places[question_id], "duplicate", "ids"


def _by_form(asked: _Texts, kept_out: _Texts) -> Iterator[_Match]:
    """Duplicates by the normal form; siblings, and the same numbers in another order, by the masked form."""
    for row, column in _equal(asked.forms, kept_out.forms):
        yield row, column, "duplicate", "normalised"
    for row, column in _equal(asked.masked, kept_out.masked):
        if asked.forms[row] != kept_out.forms[column] and asked.numbers[row] != kept_out.numbers[column]:
            yield row, column, "sibling", "normalised"


def _equal(asked: list[str], kept_out: list[str]) -> Iterator[tuple[int, int]]:
    """Pairs of rows with equal texts that are not empty."""
    rows: dict[str, tuple[list[int], list[int]]] = {}
    for side, forms in enumerate((asked, kept_out)):
        for place, form in enumerate(forms):
            if form:
                rows.setdefault(form, ([], []))[side].append(place)
    for left, right in rows.values():
        yield from product(left, right)


def _by_embedding(
    asked: _Texts, kept_out: _Texts, embeddings: tuple[npt.ArrayLike, npt.ArrayLike], threshold: float
) -> Iterator[_Match]:
    left, right = (_unit(check_embeddings(matrix)) for matrix in embeddings)
    if (len(left), len(right)) != (len(asked.ids), len(kept_out.ids)) or left.shape[1] != right.shape[1]:
        raise ValueError(
            f"embeddings of shapes {left.shape} and {right.shape} for {len(asked.ids)} questions and"
            f" {len(kept_out.ids)} held out: give one row per question, all of one width"
        )
    for start in range(0, len(left), _BLOCK_ROWS):
        for row, column in np.argwhere(left[start : start + _BLOCK_ROWS] @ right.T > threshold).tolist():
            is_same = asked.numbers[start + row] == kept_out.numbers[column]
            yield start + row, column, "duplicate" if is_same else "sibling", "embedding"


def _unit(matrix: npt.NDArray[np.float32]) -> Matrix:
    """Rows of length one; zero rows stay zero."""
    rows = matrix.astype(np.float64)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(norms > 0, norms, 1))


def _lexical(asked: _Texts, kept_out: _Texts) -> Iterator[_Match]:
    from sklearn.feature_extraction.text import TfidfVectorizer

    if not any(asked.masked) or not any(kept_out.masked):
        return
    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 4), lowercase=False)
    vectorizer.fit(sorted([*asked.masked, *kept_out.masked]))
    left, right = vectorizer.transform(asked.masked), vectorizer.transform(kept_out.masked)
    for start in range(0, left.shape[0], _BLOCK_ROWS):
        cosines = (left[start : start + _BLOCK_ROWS] @ right.T).toarray()
        for row, column in np.argwhere(cosines > LEXICAL_THRESHOLD).tolist():
            numbers = asked.numbers[start + row]
            is_same = numbers == kept_out.numbers[column]
            if (is_same and len(numbers) >= _FEW_NUMBERS) or cosines[row, column] > STRICT_LEXICAL_THRESHOLD:
                yield start + row, column, "duplicate" if is_same else "sibling", "lexical"
