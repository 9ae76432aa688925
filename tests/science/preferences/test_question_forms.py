"""Normal forms of questions and the numbers in them."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advcluster_dagster.science.preferences.question_forms import masked_question, normalise_question, numbers_of


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (r"Find $\dfrac{1}{2}\cdot 1{,}000$.", r"find  \( \frac12 \times 1000 \)"),
        (r"If $x^{2}+1=5$, find $\left(x+1\right)^2$.", "If x\u00b2 + 1 = 5, find (x + 1)^2"),
        (r"Solve $x \leq 5$ for \text{all} $x_{1}$", "Solve x \u2264 5 for all x\u2081."),
        ("Compute 2*3", r"Compute $2\times3$"),
        ("Compute 2 x 3", r"compute 2 $\cdot$ 3."),
        (r"The angle is $30^\circ$.", "The angle is 30\u00b0"),
        ("He gave 20% (in dollars) of it", "he gave 20 percent, in dollars, of it!"),
        ("Janet\u2019s ducks lay \u201cthree\u201d eggs", "Janet's ducks lay 3 eggs"),
        (r"It costs \$1,000.50", r"It costs $1\,000.5"),
        ("\uff21\uff22 \ufb01ne", "ab fine"),  # full-width letters, a ligature
        ("a two-digit number", "a 2-digit number"),
        ("Twenty-one cats", "21 cats"),
        ("**Bold** word", "bold word"),
        (r"\frac{x+1}{2}", "(x+1)/2"),
        ("f(a, b) = 1", "f(a,b)=1"),
        ("Which?\n(A) 5 m\n(B) 7 m\n(C) 9 m\n\nOne letter.", "Which?\nA. 9 m\nB. 5 m\nC. 7 m\nOne letter."),
        (r"Pick: $\textbf{(A)}\ 5 \qquad \textbf{(B)}\ 6$", "Pick: (A) 6 (B) 5"),
        ("Which? a) red b) blue", "which? (A) Blue (B) Red"),
    ],
)
def test_copies_with_typographic_differences_are_equal(first, second):
    assert normalise_question(first) == normalise_question(second)
    assert numbers_of(first) == numbers_of(second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Buy 3 pens", "Buy 4 pens"),
        ("Compute (2+3)*4", "Compute 2+(3*4)"),
        ("What is 5!", "What is 5"),
        ("return a[1:]", "return a[:1]"),
        ("x = -2", "x = 2"),
        ("list 1 2", "list 12"),
        ("Which? (A) red (B) blue", "Which? (A) red (B) green"),
        ("x^2", "x 2"),
    ],
)
def test_different_questions_differ(first, second):
    assert normalise_question(first) != normalise_question(second)


def test_numbers_by_hand():
    assert numbers_of("1,000 and 0.50 and .5 and 3. Then seven") == ("0.5", "0.5", "1000", "3", "7")
    assert numbers_of("5 - 3, 5-3, x=-7, (-2)") == ("-2", "-7", "3", "3", "5", "5")
    assert numbers_of("two hundred and twenty") == ("220",)
    assert numbers_of("one two three") == ("1", "2", "3")  # words that do not form one number
    assert numbers_of("Which? (A) 4 (B) 5") == ("4", "5")
    assert numbers_of("someone has a bone") == ()


def test_masked_forms_equal_those_of_the_template():
    assert masked_question("Buy 3 pens for $1.50.") == masked_question("Buy twelve pens for $2.")
    assert masked_question("Buy 3 pens") != masked_question("Sell 3 pens")


@pytest.mark.parametrize("empty", ["", " \n\t ", "...", "$$"])
def test_empty_questions_have_an_empty_form(empty):
    assert (normalise_question(empty), masked_question(empty), numbers_of(empty)) == ("", "", ())


@given(st.lists(st.sampled_from(["pens", "cost", "red", "12", "3.5", "each", "Tom"]), min_size=1), st.data())
def test_white_space_and_case_never_matter(words, data):
    gaps = st.sampled_from([" ", "  ", "\n", "\t", "\u00a0"])
    other = "".join(data.draw(st.sampled_from([word, word.upper()])) + data.draw(gaps) for word in words)
    assert normalise_question(other) == normalise_question(" ".join(words))


@given(st.permutations(["one apple", "2 pears", r"$\frac{1}{2}$", "none", "3.50"]))
def test_the_order_of_options_never_matters(texts):
    def listed(options):
        return "Which one?\n" + "\n".join(f"({letter}) {text}" for letter, text in zip("ABCDE", options, strict=True))

    assert normalise_question(listed(texts)) == normalise_question(listed(sorted(texts)))
    # "one apple" has 1, "2 pears" 2, the fraction 1 and 2; the "one" of the question is another 1.
    assert numbers_of(listed(texts)) == ("1", "1", "1", "2", "2", "3.5")


@given(st.text(max_size=200))
def test_any_text_has_forms(text):
    assert isinstance(normalise_question(text), str)
    assert list(numbers_of(text)) == sorted(numbers_of(text))


@pytest.mark.parametrize("piece", ["(a", "{", r"\frac{", "1,", "one-", "a) ", "\\", "\u00a0", "\n", "(a "])
def test_long_adversarial_texts_are_processed_quickly(piece):
    start = time.perf_counter()
    normalise_question(piece * 20_000 + "x")
    assert time.perf_counter() - start < 5
